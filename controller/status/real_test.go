package status_test

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
	"github.com/castoff-ecs/castoff/metrics"
)

// The answers of a real castoff are as they are described, through the whole life
// of failures: from before its first pass, in a region where a task hangs and is
// taken out, and another of a service that castoff only watches.
func TestARealCastoffAnswersAsDescribed(t *testing.T) {
	c := newContract(t)
	saw := map[string]bool{}
	synctest.Test(t, func(t *testing.T) {
		region, daemon := living(t)
		events := status.NewEvents(time.Now(), 256)
		h := status.New(status.Options{View: daemon.View, Metrics: http.NotFoundHandler(), Events: events})
		l := listen(h, "", nil)
		look := func() {
			v := daemon.View()
			if v.Snapshot != nil { // as the loop does
				events.Publish(v, time.Now())
			}
			saw["closed"] = saw["closed"] || len(v.Closed) > 1
			for i := range v.Detachments {
				saw[string(v.Detachments[i].Progress)+" "+string(v.Detachments[i].Mode)] = true
			}
			for path, questions := range askedOfReal(v) {
				for _, question := range questions {
					c.check(t, path, get(h, address(path, question)))
				}
			}
		}
		daemon.Start()
		look() // before anything is known
		time.Sleep(time.Minute)
		look()
		for _, name := range []string{"api", "web"} {
			if err := region.Hang(region.Tasks(fleet.ServiceID{Cluster: "prod", Name: name})[0].ARN); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			time.Sleep(35 * time.Second)
			look()
		}
		events.Close()
		synctest.Wait()
		schemas := map[string]string{"timeline": "TimelineEvent", "verdict": "Decided", "detachment": "Detachment", "pass": "PassEvent"}
		for _, m := range regexp.MustCompile(`event: (\w+)\n(?:id: (.*)\n)?data: (.*)\n\n`).FindAllStringSubmatch(l.text(), -1) {
			if saw[m[1]] = true; schemas[m[1]] == "" {
				continue // a beat
			}
			for _, fault := range faults(c.doc.Components.Schemas[schemas[m[1]]].Value, []byte(m[3])) {
				t.Errorf("%s: %s\n%s", m[1], fault, m[3])
			}
		}
		l.end()
	})
	for _, want := range []string{"closed", "out detach", "closed detach", "out observe", "closed observe", "timeline", "verdict", "detachment", "pass"} {
		if !saw[want] {
			t.Errorf("never seen: %s", want)
		}
	}
}

// askedOfReal are questions that have answers as soon as there is something to
// tell.
func askedOfReal(v *status.View) map[string][]string {
	all := map[string][]string{}
	for _, list := range []string{"timelines", "tasks", "verdicts", "detachments", "services", "status"} {
		all["/api/v1/"+list] = []string{""}
	}
	for _, ts := range [][]*timeline.Timeline{v.Open, v.Closed} {
		for _, tl := range ts {
			all["/api/v1/timelines/{id}"] = append(all["/api/v1/timelines/{id}"], string(tl.ID))
			all["/api/v1/explain"] = []string{"?of=" + tl.Task.ID(), "?of=" + tl.Targets[0].Key.ID} // of one: validating is not quick
		}
	}
	return all
}

// living is castoff by its defaults, in detach mode for one of two services.
func living(t *testing.T) (*sim.Region, *controller.Controller) {
	t.Helper()
	region := sim.New(sim.Options{Seed: 1})
	if err := region.AddCluster("prod", sim.ClusterOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api", "web"} {
		spec := sim.ReferenceWorkload("prod", name)
		spec.Desired = 4
		if err := region.AddService(spec); err != nil {
			t.Fatal(err)
		}
	}
	aws := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	aws.HTTPClient = sim.Doer{Region: region}
	m := metrics.New(nil, metrics.Options{})
	cfg, err := config.Parse("", []byte("{state: none, services: [{match: prod/api, mode: detach}]}"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Web.Listen = ""
	daemon, _, err := controller.Open(cfg, controller.Place{
		Options: controller.Options{Metrics: m, Exposition: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler), Seed: 1},
		AWS:     awsapi.Options{Config: aws, Recorder: m.AWS},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Stop(context.Background()) })
	return region, daemon
}
