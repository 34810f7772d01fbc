package awsapi

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// ecsService is a service as ECS writes one, empty lists included.
func ecsService() map[string]any {
	return map[string]any{
		"events": []any{}, "placementConstraints": []any{}, "placementStrategy": []any{}, "serviceRegistries": []any{}, "desiredCount": 7,
		"deploymentConfiguration": map[string]any{"maximumPercent": 200, "minimumHealthyPercent": 100},
		"tags": []any{
			map[string]any{"key": "castoff:mode", "value": "observe"}, map[string]any{"key": "castoff:pause", "value": "until=2026-11-23T18:00:00Z owner=j reason=r"},
		},
	}
}

// SAFETY: what a reply lacks is not the default that allows more. What was known stays;
// at first nothing is known.
func TestServiceWithoutAMember(t *testing.T) {
	for member, tags := range map[string]bool{
		"tags": true, "desiredCount": false, "runningCount": false, "healthCheckGracePeriodSeconds": false, "schedulingStrategy": false,
		"deploymentConfiguration": false, "loadBalancers": false, "deployments": false, "status": false,
	} {
		for _, how := range []string{"left out", "null"} {
			t.Run(member+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					spoil := func(f *fake) {
						s := f.clusters[0].services[0]
						s.extra = ecsService()
						if s.extra[member] = nil; how == "left out" {
							s.without = member
						}
					}
					f := newFake(1, 1, 1)
					f.clusters[0].services[0].extra = ecsService()
					o := observer(t, Options{Config: f.config(), Budgets: unlimited})
					was := pass(t, o, 0).Services[0]
					if len(was.Tags) != 2 || was.Desired != 7 || was.Grace != time.Minute || was.TagsUnknown {
						t.Fatalf("whole: %+v", was)
					}
					spoil(f)
					s := pass(t, o, time.Minute)
					is := s.Services[0]
					if !maps.Equal(is.Tags, was.Tags) || is.Desired != 7 || is.Grace != time.Minute || is.TagsUnknown || len(is.LoadBalancers) != 1 {
						t.Errorf("was %+v, is %+v", was, is)
					}
					kind := fleet.GapService
					if tags {
						kind = fleet.GapTags
					}
					if len(s.Gaps) != 1 || s.Gaps[0].Kind != kind || s.Gaps[0].Ref != "c00/s0000" || s.Gaps[0].Class != fleet.Invalid {
						t.Errorf("gaps %v", s.Gaps)
					}
					// From the start.
					f = newFake(1, 1, 1)
					spoil(f)
					o = observer(t, Options{Config: f.config(), Budgets: unlimited})
					s = pass(t, o, 0)
					if len(s.Gaps) == 0 || s.Gaps[0].Kind != kind || len(s.Services) > 0 && (!tags || !s.Services[0].TagsUnknown) {
						t.Errorf("at first: %+v, gaps %v", s.Services, s.Gaps)
					}
					// And whole again.
					f.clusters[0].services[0].extra, f.clusters[0].services[0].without = ecsService(), ""
					if s = pass(t, o, time.Minute); len(s.Gaps) != 0 || len(s.Services) != 1 || s.Services[0].TagsUnknown || s.Services[0].Desired != 7 {
						t.Errorf("afterwards: %+v, gaps %v", s.Services, s.Gaps)
					}
				})
			})
		}
	}
}

// SAFETY: a number below 0 is not 0, by which a service would do without any target, or
// give its tasks no time.
func TestServiceWithANumberBelowNothing(t *testing.T) {
	deployment := func(member string) map[string]any {
		return map[string]any{"deployments": []any{map[string]any{"id": "ecs-svc/s0000", "status": "PRIMARY", member: -5}}}
	}
	for _, is := range []map[string]any{
		{"desiredCount": -5},
		{"runningCount": -5},
		{"pendingCount": -5},
		{"healthCheckGracePeriodSeconds": -5},
		{"deploymentConfiguration": map[string]any{"maximumPercent": 200, "minimumHealthyPercent": -5}},
		{"deploymentConfiguration": map[string]any{"maximumPercent": -5, "minimumHealthyPercent": 100}},
		deployment("desiredCount"),
		deployment("runningCount"),
		deployment("pendingCount"),
		deployment("failedTasks"),
		{"taskSets": []any{map[string]any{"id": "ecs-svc/1", "computedDesiredCount": -5}}},
		{"taskSets": []any{map[string]any{"id": "ecs-svc/1", "runningCount": -5}}},
		{"taskSets": []any{map[string]any{"id": "ecs-svc/1", "pendingCount": -5}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1, 1)
			f.clusters[0].services[0].extra = ecsService()
			o := observer(t, Options{Config: f.config(), Budgets: unlimited})
			was := pass(t, o, 0).Services[0]
			maps.Copy(f.clusters[0].services[0].extra, is)
			s := pass(t, o, time.Minute)
			if s.Services[0] != was || len(s.Gaps) != 1 || s.Gaps[0].Kind != fleet.GapService || s.Gaps[0].Class != fleet.Invalid {
				t.Errorf("%v: was %+v, is %+v, gaps %v", is, was, s.Services[0], s.Gaps)
			}
		})
	}
}

// Who leaves empty lists out has no tags to tell of; what was there before is lost.
func TestTagsOfWhoLeavesEmptyListsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		s := f.clusters[0].services[0]
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		if is := pass(t, o, 0); len(is.Gaps) != 0 || is.Services[0].TagsUnknown {
			t.Errorf("%+v, gaps %v", is.Services[0], is.Gaps)
		}
		s.extra = map[string]any{"tags": []any{map[string]any{"key": "castoff:mode", "value": "observe"}}}
		if is := pass(t, o, time.Minute); len(is.Gaps) != 0 || is.Services[0].Tags["castoff:mode"] != "observe" {
			t.Errorf("%+v, gaps %v", is.Services[0], is.Gaps)
		}
		s.extra = nil
		if is := pass(t, o, time.Minute); len(is.Gaps) != 1 || is.Gaps[0].Kind != fleet.GapTags || is.Services[0].Tags["castoff:mode"] != "observe" {
			t.Errorf("%+v, gaps %v", is.Services[0], is.Gaps)
		}
		s.extra = map[string]any{"tags": []any{}}
		if is := pass(t, o, time.Minute); len(is.Gaps) != 0 || len(is.Services[0].Tags) != 0 {
			t.Errorf("%+v, gaps %v", is.Services[0], is.Gaps)
		}
	})
}
