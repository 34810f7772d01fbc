package policy

import (
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestStale(t *testing.T) {
	gap := func(kind fleet.GapKind, ref string) func(*scene) {
		return func(s *scene) {
			s.gaps = []fleet.Gap{{Kind: kind, Ref: ref, Class: fleet.Throttled, Detail: "Rate exceeded"}}
		}
	}
	cluster, group := string(prod), string(groupARN("web"))
	cases := []guardCase{
		{"all is fresh", nil, Allow, OK, "was read", 0},
		{"clusters that nobody listed", gap(fleet.GapClusters, "eu-central-1"), Allow, OK, "", 0},
		{"the service's tags", gap(fleet.GapTags, "prod/web"), Hold, Gap, "", 0},
		{"another service's tags", gap(fleet.GapTags, "prod/api"), Allow, OK, "", 0},
		{"the cluster's tags", gap(fleet.GapTags, cluster), Hold, Gap, "", 0},
		{"the group's tags", gap(fleet.GapTags, group), Allow, OK, "", 0},
		{"the region's groups", gap(fleet.GapTargetGroups, "eu-central-1"), Hold, Gap, "target_groups eu-central-1 cannot be read (throttled): Rate exceeded", 0},
		{"the definition", gap(fleet.GapTaskDefinition, string(definitionARN("web"))), Hold, Gap, "", 0},
		{"another definition", gap(fleet.GapTaskDefinition, string(definitionARN("api"))), Allow, OK, "", 0},
		{"the service by ARN", gap(fleet.GapService, account+"service/prod/web"), Hold, Gap, "", 0},
		{"a kind that nobody knows", gap("moon", "x"), Hold, Gap, "", 0},
		{"task never read", func(s *scene) { s.task("web", 0).Read = fleet.Read{} }, Hold, Unseen, "the task has not been read", 0},
		{"group never read", func(s *scene) { s.group("web").Read = fleet.Read{} }, Hold, Unseen, "target group web has not", 0},
		{"group's settings never read", func(s *scene) { s.group("web").Inventory = fleet.Read{} }, Hold, Unseen, "settings of target group web", 0},
		{"service never read", func(s *scene) { s.service("web").Read = fleet.Read{} }, Hold, Unseen, "service prod/web", 0},
		{"service not there", func(s *scene) { s.services = s.services[1:] }, Hold, Unseen, "its service", 0},
		{"group not there", func(s *scene) { s.groups = s.groups[1:] }, Hold, Unseen, "", 0},
		{"cluster not there", func(s *scene) { s.clusters = nil }, Hold, Unseen, "cluster prod has not been read", 0},
		{"attributes never read", func(s *scene) { s.group("web").Attributes.Read = fleet.Read{} }, Hold, Unseen, "the attributes of target group web", 0},
		{"definition not read", func(s *scene) { delete(s.definitions, definitionARN("web")) }, Hold, Unseen, "definition", 0},
		{"no limit", func(s *scene) { s.limits.Stale.Targets = 0 }, Refuse, InvalidLimit, "stale.targets", 0},
	}
	for _, kind := range []fleet.GapKind{fleet.GapCluster, fleet.GapServices, fleet.GapService, fleet.GapTaskList, fleet.GapTasks, fleet.GapContainerInstances} {
		for _, ref := range []string{cluster, "prod", "prod/web"} {
			cases = append(cases, guardCase{string(kind) + " " + ref, gap(kind, ref), Hold, Gap, "", 0})
		}
		for _, ref := range []string{cluster + "2", "test", "prod/api"} {
			cases = append(cases, guardCase{string(kind) + " " + ref, gap(kind, ref), Allow, OK, "", 0})
		}
	}
	for _, kind := range []fleet.GapKind{fleet.GapTargetGroup, fleet.GapTargetHealth, fleet.GapAttributes} {
		cases = append(cases, guardCase{string(kind), gap(kind, group), Hold, Gap, "", 0},
			guardCase{string(kind) + " elsewhere", gap(kind, string(groupARN("api"))), Allow, OK, "", 0})
	}
	age := func(read func(*scene) *fleet.Read, limit time.Duration, name string) {
		set := func(d time.Duration) func(*scene) {
			return func(s *scene) { *read(s) = fleet.Read{Sent: s.now.Add(-d), Received: s.now.Add(-d)} }
		}
		cases = append(cases,
			guardCase{name + " just fresh", set(limit), Allow, OK, "", 0},
			guardCase{name + " just now", set(0), Allow, OK, "", 0},
			guardCase{name + " just old", set(limit + time.Nanosecond), Hold, Old, "limit " + brief(limit), 0},
			guardCase{name + " in the future", set(-time.Second), Hold, ClockBack, "read 1s in the future", 0},
			guardCase{name + " received in the future", func(s *scene) { read(s).Received = s.now.Add(1) }, Hold, ClockBack, "", 0})
	}
	age(func(s *scene) *fleet.Read { return &s.task("web", 0).Read }, 15*time.Second, "task")
	age(func(s *scene) *fleet.Read { return &s.group("web").Read }, 15*time.Second, "group")
	age(func(s *scene) *fleet.Read { return &s.group("web").Inventory }, 5*time.Minute, "settings")
	age(func(s *scene) *fleet.Read { return &s.service("web").Read }, 5*time.Minute, "service")
	age(func(s *scene) *fleet.Read { return &s.group("web").Attributes.Read }, 5*time.Minute, "attributes")
	age(func(s *scene) *fleet.Read { return &s.clusters[0].Read }, 5*time.Minute, "cluster")
	testGuard(t, Stale, cases)
}

// Its ages are shown beside their limits.
func TestStaleShowsAges(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	s.read()
	s.decide()
	v := verdict(t, s.decide(), taskARN("web", 0))
	f, _ := v.Finding(Stale)
	want := []Value{
		{"task_age", 0.2, 15, "seconds"}, {"targets_age", 0.2, 15, "seconds"},
		{"service_age", 0.2, 300, "seconds"}, {"cluster_age", 0.2, 300, "seconds"},
		{"settings_age", 0.2, 300, "seconds"}, {"attributes_age", 0.2, 300, "seconds"},
	}
	if !slices.Equal(f.Values, want) {
		t.Errorf("got %v, want %v", f.Values, want)
	}
}

// Between the decision and the call all of it must be read again.
func TestStaleWantsAllReadAgain(t *testing.T) {
	for name, part := range map[string]func(*scene) *fleet.Read{
		"the task":                           func(s *scene) *fleet.Read { return &s.task("web", 0).Read },
		"target group web":                   func(s *scene) *fleet.Read { return &s.group("web").Read },
		"service prod/web":                   func(s *scene) *fleet.Read { return &s.service("web").Read },
		"cluster prod":                       func(s *scene) *fleet.Read { return &s.clusters[0].Read },
		"the settings of target group web":   func(s *scene) *fleet.Read { return &s.group("web").Inventory },
		"the attributes of target group web": func(s *scene) *fleet.Read { return &s.group("web").Attributes.Read },
	} {
		s := calm()
		fail(s.task("web", 0))
		s.read()
		s.decide()
		s.read()
		was := verdict(t, s.decide(), taskARN("web", 0))
		before := *part(s)
		s.read()
		if again := NewLook(s.input()).Recheck(was); was.Decision != Allow || again.Decision != Allow {
			t.Fatalf("%s, and with all of it read again %s", was.Sentence, again.Sentence)
		}
		*part(s) = before
		again := NewLook(s.input()).Recheck(was)
		if f, _ := again.Finding(Stale); f.Reason != NotReadAgain || f.Sentence != name+" has not been read again since the decision" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
