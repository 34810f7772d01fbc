package sim

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A witness sees the rows as they were before each write that was carried out,
// by whichever caller, and no write that was refused or lost.
func TestWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Seed: 1})
		id := fleet.ServiceID{Cluster: "prod", Name: "reference"}
		for _, err := range []error{r.AddCluster("prod", ClusterOptions{}), r.AddService(ReferenceWorkload("prod", "reference"))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		var seen []Write
		r.Witness(func(w Write) { seen = append(seen, w) })
		task := r.Tasks(id)[1]
		key := task.Targets[0]
		call := func(operation string) {
			form := url.Values{
				"Action": {operation}, "Version": {"2015-12-01"}, "TargetGroupArn": {string(key.Group)},
				"Targets.member.1.Id": {key.ID}, "Targets.member.1.Port": {strconv.Itoa(key.Port)},
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws.invalid/", strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			if rep, err := (Doer{Region: r}).Do(req); err == nil {
				_ = rep.Body.Close()
			}
		}
		for _, effect := range []Effect{Deny, Throttle, LoseRequest} {
			r.Fault(Fault{Operation: "DeregisterTargets", Effect: effect, Count: 1})
			call("DeregisterTargets")
		}
		if len(seen) != 0 {
			t.Fatalf("told of what never happened: %+v", seen)
		}
		r.Fault(Fault{Operation: "DeregisterTargets", Effect: LoseReply, Count: 1})
		call("DeregisterTargets")
		time.Sleep(time.Second)
		call("RegisterTargets")
		if len(seen) != 2 || seen[0].Operation != "DeregisterTargets" || seen[1].Operation != "RegisterTargets" || seen[0].Keys[0] != key {
			t.Fatalf("told of %+v", seen)
		}
		row := seen[0].Row(key)
		if row == nil || len(seen[0].Before) != 2 || row.State != fleet.TargetHealthy || row.For != task.ARN || row.Owner == nil {
			t.Fatalf("rows before: %+v", seen[0].Before)
		}
		if o := row.Owner; o.ARN != task.ARN || o.Service != id || o.Health != fleet.Healthy || !o.Answering || !o.Connected || o.Started.IsZero() {
			t.Errorf("owner: %+v", o)
		}
		if row := seen[1].Row(key); row == nil || row.State != fleet.TargetDraining {
			t.Errorf("row before it went back: %+v", row)
		}
		if rows := r.Rows(key.Group); len(rows) != 2 || rows[1].State != fleet.TargetInitial {
			t.Errorf("rows: %+v", rows)
		}
	})
}

// A tag that was set is in the replies, over deployments too, and gone when it
// was taken away; the spec that the service was made from stays as it was.
func TestTag(t *testing.T) {
	r := New(Options{})
	spec := ReferenceWorkload("prod", "reference")
	spec.Tags = map[string]string{"a": "1"}
	id := fleet.ServiceID{Cluster: "prod", Name: "reference"}
	for _, err := range []error{
		r.AddCluster("prod", ClusterOptions{}), r.AddService(spec),
		r.Tag(id, "b", "2"), r.Tag(id, "a", ""), r.Tag(fleet.ServiceID{Cluster: "prod"}, "c", "3"),
		r.Deploy(id),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := r.clusterNames["prod"].serviceNames["reference"].json().Tags; len(got) != 1 || got[0] != (tagJSON{"b", "2"}) {
		t.Errorf("tags of the service: %+v", got)
	}
	if got := r.clusterNames["prod"].json(true).Tags; len(got) != 1 || got[0] != (tagJSON{"c", "3"}) {
		t.Errorf("tags of the cluster: %+v", got)
	}
	if spec.Tags["a"] != "1" || len(spec.Tags) != 1 {
		t.Errorf("the spec's: %v", spec.Tags)
	}
	for _, id := range []fleet.ServiceID{{Cluster: "none"}, {Cluster: "prod", Name: "none"}} {
		if r.Tag(id, "a", "1") == nil {
			t.Errorf("tagged %s, which is not there", id)
		}
	}
}
