package controller

import (
	"log/slog"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// down is an AWS that cannot be reached.
type down struct{}

func (down) RoundTrip(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }

// A journal may have a detachment without a reading of its task, as older ones do. The
// task is asked for by name all the same: that no list has it ends nothing.
func TestTaskOfADetachmentIsAskedFor(t *testing.T) {
	const arn = "arn:aws:ecs:eu-central-1:123456789012:"
	d := policy.Detachment{
		Task: arn + "task/prod/0123", Cluster: arn + "cluster/prod", Service: fleet.ServiceID{Cluster: "prod", Name: "web"},
	}
	observer, err := awsapi.New(awsapi.Options{Config: aws.Config{
		Region: "eu-central-1", HTTPClient: &http.Client{Transport: down{}}, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
	}})
	if err != nil {
		t.Fatal(err)
	}
	remind(config.Default(), observer, &Options{
		Past: journal.Contents{Detachments: []policy.Detachment{d}}, Logger: slog.New(slog.DiscardHandler),
	})
	gaps := observer.Observe(t.Context(), nil).Gaps
	if !slices.ContainsFunc(gaps, func(g fleet.Gap) bool { return g.Kind == fleet.GapTasks && g.MayHide(d.Cluster, d.Service, d.Task) }) {
		t.Errorf("nobody asked for it: %+v", gaps)
	}
}

// A pass that breaks off loses nothing of castoff's calls: neither those under way, which
// may yet turn out to have changed nothing, nor what came of those that are over.
func TestCallsOutlastAPassThatBreaksOff(t *testing.T) {
	for name, tt := range map[string]struct {
		underWay bool
		rejected bool // in the end
		by       timeline.Actor
		within   time.Duration // after the call
	}{
		"under way":                    {true, false, timeline.ByCastoff, 4 * time.Second},
		"under way, and then rejected": {true, true, timeline.ByOther, 4 * time.Second},
		"over":                         {false, false, timeline.ByCastoff, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, _ := actor(policy.Detaching, hand{})
				c, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				defer stop(t, c)
				c.tracker.Track(hung())
				c.commit(nil)
				time.Sleep(time.Second)
				sent := time.Now().Round(0)
				d := policy.Detachment{
					Task: shopTask(0), Target: hung().TargetGroups[0].Targets[0].Key, Service: shop, Mode: policy.Detaching, Progress: policy.Out,
				}.Calling(sent)
				if tt.underWay {
					c.writes.underWay[d.Target] = sent
				} else {
					d = d.Call(sent, sent.Add(time.Second), policy.Accepted)
				}
				c.acting.detachments = []policy.Detachment{d}
				c.tracker = nil // it broke off
				c.restore()
				if tt.rejected {
					c.tracker.NotCalled(d.Task, d.Target, sent)
				}
				time.Sleep(4 * time.Second)
				out := *hung()
				out.TargetGroups[0].Targets = out.TargetGroups[0].Targets[1:]
				c.tracker.Track(fleet.NewSnapshot(out))
				time.Sleep(time.Second)
				out = *hung()
				out.TargetGroups[0].Targets = out.TargetGroups[0].Targets[1:]
				c.tracker.Track(fleet.NewSnapshot(out))
				m, ok := c.tracker.Open()[0].Milestone(timeline.Detach)
				if !ok || m.By != tt.by || m.NotAfter.Sub(sent) != tt.within {
					t.Errorf("want by %s within %s: %+v", tt.by, tt.within, m)
				}
			})
		})
	}
}
