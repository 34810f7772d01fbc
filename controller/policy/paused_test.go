package policy

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestPaused(t *testing.T) {
	pause := func(p Pause) func(*scene) { return func(s *scene) { s.pauses = append(s.pauses, p) } }
	later := noon.Add(time.Hour + 4*time.Second)
	testGuard(t, Paused, []guardCase{
		{"nobody", nil, Allow, OK, "nobody", 0},
		{"everything", pause(Pause{Scope: ScopeAll, Until: later, Owner: "jane", Reason: "upgrade"}), Hold, PausedNow, "jane paused everything (upgrade) until 2026-11-23 13:00:04 UTC", time.Hour},
		{"for ever", pause(Pause{Scope: ScopeAll, Owner: "jane"}), Refuse, PausedNow, "with no end", 0},
		{"over", pause(Pause{Scope: ScopeAll, Until: noon.Add(4 * time.Second)}), Allow, OK, "", 0},
		{"the cluster", pause(Pause{Scope: ScopeCluster, Service: fleet.ServiceID{Cluster: "prod"}, Until: later, Owner: "joe", Reason: "tests"}), Hold, PausedNow, "joe paused cluster prod (tests) until", time.Hour},
		{"another cluster", pause(Pause{Scope: ScopeCluster, Service: fleet.ServiceID{Cluster: "test"}, Until: later}), Allow, OK, "", 0},
		{"the service", pause(Pause{Scope: ScopeService, Service: web, Until: later}), Hold, PausedNow, "service prod/web", time.Hour},
		{"another service", pause(Pause{Scope: ScopeService, Service: fleet.ServiceID{Cluster: "prod", Name: "api"}, Until: later}), Allow, OK, "", 0},
		{"a scope that nobody knows", pause(Pause{Scope: "region", Until: later}), Hold, PausedNow, "", time.Hour},
		{"the longest of several", func(s *scene) {
			s.pauses = []Pause{{Until: later.Add(-time.Minute)}, {Until: later}, {Until: later.Add(-time.Second)}}
		}, Hold, PausedNow, "", time.Hour},
		{"one of several for ever", func(s *scene) { s.pauses = []Pause{{Until: later}, {}, {Until: later}} }, Refuse, PausedNow, "no end", 0},
		{"by the service's tag", func(s *scene) {
			s.service("web").Tags = map[string]string{PauseTag: "until=2026-11-23T13:00:04Z owner=jane reason=db upgrade"}
		}, Hold, PausedNow, "jane paused service prod/web (db upgrade)", time.Hour},
		{"by another service's tag", func(s *scene) { s.service("api").Tags = map[string]string{PauseTag: "x"} }, Allow, OK, "", 0},
		{"by the cluster's tag", func(s *scene) {
			s.clusters[0].Tags = map[string]string{PauseTag: "until=2026-11-23T13:00:04Z owner=jane reason=x"}
		}, Hold, PausedNow, "cluster prod", time.Hour},
		{"by a tag that cannot be read", func(s *scene) { s.service("web").Tags = map[string]string{PauseTag: "until=tomorrow"} }, Refuse, PauseUnreadable, "cannot be read", 0},
		{"after a panic", func(s *scene) { s.halts = []Halt{{Cause: "panic", Detail: "restart castoff"}} }, Refuse, Halted, "(panic): restart castoff", 0},
		{"AWS says no", func(s *scene) { s.denied = []Denial{{groupARN("web"), s.now.Add(time.Minute)}} }, Hold, Denied, "does not allow", time.Minute},
		{"AWS said no long ago", func(s *scene) { s.denied = []Denial{{groupARN("web"), s.now}} }, Allow, OK, "", 0},
		{"AWS says no elsewhere", func(s *scene) { s.denied = []Denial{{groupARN("api"), s.now.Add(time.Minute)}} }, Allow, OK, "", 0},
		{"AWS would say no, but nobody asks", func(s *scene) {
			s.limits.Mode = Observing
			s.denied = []Denial{{groupARN("web"), s.now.Add(time.Minute)}}
		}, Allow, OK, "", 0},
		{"no mode", func(s *scene) { s.limits.Mode = "" }, Refuse, InvalidLimit, "mode: must be observe or detach", 0},
	})
}

func TestParsePause(t *testing.T) {
	end := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		value   string
		want    Pause
		problem bool
	}{
		{"until=2026-11-23T18:00:00Z owner=jane@example.com reason=db", Pause{Until: end, Owner: "jane@example.com", Reason: "db"}, false},
		{"  reason=a long / one: 1+1 owner=Jane Doe until=2026-11-23T19:00:00+01:00 reattach=no ", Pause{Until: end, Owner: "Jane Doe", Reason: "a long / one: 1+1", KeepOut: true}, false},
		{"until=2026-11-23T18:00:00Z owner=j reason=r reattach=yes", Pause{Until: end, Owner: "j", Reason: "r"}, false},
		{"", Pause{}, true},
		{"yes", Pause{}, true},
		{"please until=2026-11-23T18:00:00Z owner=j reason=r", Pause{Owner: "j", Reason: "r"}, true},
		{"until=2026-11-23 owner=j reason=r", Pause{Owner: "j", Reason: "r"}, true},
		{"owner=j reason=r", Pause{Owner: "j", Reason: "r"}, true},
		{"until=2026-11-23T18:00:00Z reason=r", Pause{Reason: "r"}, true},
		{"until=2026-11-23T18:00:00Z owner=j", Pause{Owner: "j"}, true},
		{"until=2026-11-23T18:00:00Z owner= reason=r", Pause{Reason: "r"}, true},
		{"until=2026-11-23T18:00:00Z until=2027-11-23T18:00:00Z owner=j reason=r", Pause{Owner: "j", Reason: "r"}, true},
		{"until=2026-11-23T18:00:00Z owner=j reason=r reatach=no", Pause{Owner: "j", Reason: "r"}, true},
		{"until=2026-11-23T18:00:00Z owner=j reason=r reattach=maybe", Pause{Owner: "j", Reason: "r"}, true},
		{"until=soon owner=j reason=r reattach=no", Pause{Owner: "j", Reason: "r", KeepOut: true}, true},
	} {
		got := ParsePause(c.value)
		if (got.Problem != "") != c.problem {
			t.Errorf("%q: problem %q", c.value, got.Problem)
		}
		if c.problem && !got.Active(noon.AddDate(1000, 0, 0)) {
			t.Errorf("%q: it cannot be read, and ends", c.value)
		}
		got.Problem, c.want.From = "", FromTag
		if got != c.want {
			t.Errorf("%q: %+v, want %+v", c.value, got, c.want)
		}
	}
}

func TestParsePauseNamesTheFirstProblem(t *testing.T) {
	if p := ParsePause("until=soon colour=red"); p.Problem != `unknown key "colour": there are until, owner, reason and reattach` {
		t.Error(p.Problem)
	}
}

func FuzzParsePause(f *testing.F) {
	f.Add("until=2026-11-23T18:00:00Z owner=jane reason=db reattach=no")
	f.Add("until= owner")
	f.Fuzz(func(t *testing.T, value string) {
		p := ParsePause(value)
		if p.Problem == "" && (p.Until.IsZero() || p.Owner == "" || p.Reason == "") {
			t.Errorf("%q: it has no end, owner or reason, and no problem: %+v", value, p)
		}
		if p.Problem != "" && !p.Until.IsZero() {
			t.Errorf("%q: it cannot be read, and ends", value)
		}
	})
}
