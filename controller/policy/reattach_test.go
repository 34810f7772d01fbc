package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// recovering is a fleet in which castoff took web-0000 out, its row is draining
// and it has been read healthy for so long.
func recovering(long time.Duration) *scene {
	s := calm()
	fail(s.task("web", 0))
	s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
	s.row("web", 0).State = fleet.TargetDraining
	s.read()
	s.decide()
	heal(s.task("web", 0))
	s.read()
	s.decide()
	s.now = s.now.Add(100 * time.Millisecond)
	for s.tick = 5 * time.Second; long > 0; long -= s.tick {
		s.tick = min(s.tick, long)
		s.read()
		s.decide()
	}
	return s
}

func TestReattach(t *testing.T) {
	for _, c := range []struct {
		name   string
		long   time.Duration
		change func(*scene)
		want   Decision
		guard  Guard
		reason Reason
		says   string
	}{
		{"healthy for the window", time.Minute + 100*time.Millisecond, nil, Allow, "", OK, "healthy again: 10.0.0.1:10080 goes back into web"},
		{"not for quite as long", time.Minute - 1, nil, Hold, Recovery, Recovering, "healthy for 1m0s of 1m0s, after 0 flaps"},
		{"unknown", 5 * time.Minute, func(s *scene) { s.task("web", 0).Containers[0].Health = fleet.Unknown; s.read() }, Hold, Recovery, StillFailing, "not healthy"},
		{"away", 5 * time.Minute, func(s *scene) { s.task("web", 0).Connectivity = fleet.Disconnected; s.read() }, Hold, Recovery, StillFailing, ""},
		{"after a flap", 110 * time.Second, func(s *scene) { s.state.watch(taskARN("web", 0)).Flaps = 1 }, Hold, Recovery, Recovering, "of 2m0s, after 1 flap"},
		{"after two flaps, for long", 241 * time.Second, func(s *scene) { s.state.watch(taskARN("web", 0)).Flaps = 2 }, Allow, "", OK, ""},
		{"after very many flaps", 31 * time.Minute, func(s *scene) { s.state.watch(taskARN("web", 0)).Flaps = 1 << 20 }, Allow, "", OK, ""},
		{"recovery limits that make no sense", 2 * time.Minute, func(s *scene) { s.limits.Recovery.Window = 0 }, Allow, "", OK, ""},

		{"told a moment ago", 5 * time.Minute, func(s *scene) {
			s.detachments[0] = s.detachments[0].Attach(s.now.Add(-time.Second), Accepted)
		}, Hold, Recovery, Unanswered, "told to go back"},
		{"told long ago", 5 * time.Minute, func(s *scene) {
			s.detachments[0] = s.detachments[0].Attach(s.now.Add(-attachSpacing), Accepted)
		}, Allow, "", OK, ""},
		{"told in the future", 5 * time.Minute, func(s *scene) {
			s.detachments[0] = s.detachments[0].Attach(s.now.Add(time.Hour), Accepted)
		}, Allow, "", OK, ""},
		{"told, and refused", 5 * time.Minute, func(s *scene) {
			s.detachments[0] = s.detachments[0].Attach(s.now.Add(-retryFirst+1), Rejected)
		}, Hold, Recovery, Spaced, "AWS refused the call once in a row"},
		{"told, and refused a while ago", 5 * time.Minute, func(s *scene) {
			s.detachments[0] = s.detachments[0].Attach(s.now.Add(-retryFirst), Rejected)
		}, Allow, "", OK, ""},

		{"leaving", 5 * time.Minute, func(s *scene) { s.task("web", 0).DesiredStatus = fleet.Stopped }, Refuse, Identity, Leaving, ""},
		{"missing", 5 * time.Minute, func(s *scene) { s.task("web", 0).Missing = 2 }, Hold, Identity, Missing, "2 times"},
		{"another has the address", 5 * time.Minute, func(s *scene) {
			r := s.start("api", 20)
			r.Targets, r.Created = s.task("web", 0).Targets, noon
		}, Refuse, Identity, NotOwner, ""},
		{"another claims the address", 5 * time.Minute, func(s *scene) {
			r := s.start("api", 20)
			r.Targets, r.Created = s.task("web", 0).Targets, noon.Add(-24*time.Hour)
		}, Hold, Identity, AddressShared, ""},
		{"started again", 5 * time.Minute, func(s *scene) { s.detachments[0].Started = noon }, Refuse, Identity, Restarted, ""},
		{"read too long ago", 5 * time.Minute, func(s *scene) { s.now = s.now.Add(16 * time.Second) }, Hold, Identity, Old, "who owns the address is not sure"},
		{"read just not too long ago", 5 * time.Minute, func(s *scene) { s.now = s.task("web", 0).Read.Sent.Add(15 * time.Second) }, Allow, "", OK, ""},
		{"read this moment", 5 * time.Minute, func(s *scene) { s.task("web", 0).Read = fleet.Read{Sent: s.now, Received: s.now} }, Allow, "", OK, ""},
		{"read too long ago, with limits that make no sense", 5 * time.Minute, func(s *scene) {
			s.limits.Stale.Tasks = -1
			s.now = s.now.Add(16 * time.Second)
		}, Hold, Identity, Old, ""},
		{"read a while ago, by a reply that may be older", 5 * time.Minute, func(s *scene) {
			s.now = s.now.Add(14 * time.Second)
			s.task("web", 0).Read.Behind = 2 * time.Second
		}, Hold, Identity, Old, "read 14s ago, by a reply that may be 2s older, limit 15s"},
		{"read a while ago, where that may be", 5 * time.Minute, func(s *scene) {
			s.limits.Stale.Tasks = time.Minute
			s.now = s.now.Add(16 * time.Second)
		}, Allow, "", OK, ""},
		{"read lately, with limits that make no sense", 5 * time.Minute, func(s *scene) { s.limits = Limits{} }, Allow, "", OK, ""},
		{"the clock set back: what was healthy in the future counts no more", 5 * time.Minute, func(s *scene) { s.now = s.now.Add(-201 * time.Millisecond) }, Hold, Recovery, Recovering, ""},

		{"paused", 5 * time.Minute, func(s *scene) { s.pauses = []Pause{{Owner: "jane"}} }, Allow, "", OK, ""},
		{"paused with reattach=no", 5 * time.Minute, func(s *scene) { s.pauses = []Pause{{Owner: "jane", KeepOut: true}} }, Refuse, Paused, PausedNow, "with reattach=no"},
		{"paused elsewhere with reattach=no", 5 * time.Minute, func(s *scene) {
			s.pauses = []Pause{{Scope: ScopeCluster, Service: fleet.ServiceID{Cluster: "test"}, KeepOut: true}}
		}, Allow, "", OK, ""},
		{"by a tag", 5 * time.Minute, func(s *scene) {
			s.service("web").Tags = map[string]string{PauseTag: "until=2026-11-24T00:00:00Z owner=j reason=r reattach=no"}
		}, Hold, Paused, PausedNow, ""},

		// No brake blocks the way back.
		{"every brake", 5 * time.Minute, func(s *scene) {
			s.halts = []Halt{{Cause: "panic"}}
			s.began = s.now
			s.limits.Mode = Observing
			s.limits.Floor.Count = 1000
			s.limits.Budget = BudgetLimits{}
			s.limits.Rate = RateLimits{}
			s.fleet = FleetLimits{}
			s.denied = []Denial{{groupARN("web"), s.now.Add(time.Hour)}}
			s.state.take(Detaching, web, DefaultLimits().Rate, s.now)
			s.state.Latches = []Latch{{Until: s.now.Add(time.Hour)}, {Service: web, Until: s.now.Add(time.Hour)}}
			s.service("web").Deployments[0].Rollout = "IN_PROGRESS"
			s.gaps = []fleet.Gap{{Kind: fleet.GapTargetHealth, Ref: string(groupARN("web"))}}
			s.group("web").Read = fleet.Read{}
			s.group("web").Targets = nil
		}, Allow, "", OK, ""},
		{"the group is not there", 5 * time.Minute, func(s *scene) { s.groups = s.groups[1:] }, Allow, "", OK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := recovering(c.long)
			if c.change != nil {
				c.change(s)
			}
			v := verdict(t, NewLook(s.input()).Reattach(), taskARN("web", 0))
			if v.Decision != c.want || v.Guard != c.guard || v.Reason != c.reason || !strings.Contains(v.Sentence, c.says) {
				t.Errorf("%s by %s, %s: %q; want %s by %s, %s: …%q…", v.Decision, v.Guard, v.Reason, v.Sentence, c.want, c.guard, c.reason, c.says)
			}
			if v.Action != Attach || v.Mode != Detaching || len(v.Findings) != len(AttachGuards) {
				t.Errorf("%+v", v)
			}
			for i, g := range AttachGuards {
				if v.Findings[i].Guard != g {
					t.Errorf("finding %d is of %s, want %s", i, v.Findings[i].Guard, g)
				}
			}
		})
	}
}

func TestNothingToReattach(t *testing.T) {
	for name, change := range map[string]func(*scene){
		"closed":                  func(s *scene) { s.detachments[0].Progress = Closed },
		"what would be out":       func(s *scene) { s.detachments[0].Mode = Observing },
		"failing":                 func(s *scene) { fail(s.task("web", 0)) },
		"stopped":                 func(s *scene) { s.task("web", 0).LastStatus = fleet.Stopped },
		"not there":               func(s *scene) { s.tasks = s.tasks[1:] },
		"back by somebody's hand": func(s *scene) { s.row("web", 0).State = fleet.TargetInitial },
		"nothing was taken out":   func(s *scene) { s.detachments = nil },
	} {
		s := recovering(5 * time.Minute)
		change(s)
		if v := NewLook(s.input()).Reattach(); len(v) != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := NewLook(Input{Detachments: []Detachment{{}}}).Reattach(); v != nil {
		t.Errorf("nothing was read: %+v", v)
	}
}

func TestReattachInOrder(t *testing.T) {
	s := recovering(5 * time.Minute)
	s.detachments = []Detachment{s.detachment("web", 1, Detaching), s.detachments[0]}
	s.row("web", 1).State = fleet.TargetDraining
	if v := NewLook(s.input()).Reattach(); len(v) != 2 || v[0].Task != taskARN("web", 0) {
		t.Errorf("%+v", v)
	}
}

// The window is over at its end, and until then it is known when.
func TestReattachInTime(t *testing.T) {
	s := recovering(90 * time.Second)
	w := s.state.watch(taskARN("web", 0))
	s.limits.Recovery.Window = w.Read.Sub(w.Well)
	if v := verdict(t, NewLook(s.input()).Reattach(), taskARN("web", 0)); v.Decision != Allow {
		t.Errorf("%+v", v)
	}
	s.limits.Recovery.Window += time.Second
	if v := verdict(t, NewLook(s.input()).Reattach(), taskARN("web", 0)); v.Reason != Recovering || !v.Until.Equal(s.now.Add(time.Second)) {
		t.Errorf("%+v", v)
	}
}

// Who owns the address is on record with how old the evidence is.
func TestReattachEvidence(t *testing.T) {
	s := recovering(5 * time.Minute)
	v := verdict(t, NewLook(s.input()).Reattach(), taskARN("web", 0))
	if f, _ := v.Finding(Identity); len(f.Values) != 1 || f.Values[0] != seconds("task_age", s.now.Sub(s.task("web", 0).Read.Sent), 15*time.Second) {
		t.Errorf("%+v", f)
	}
	s.now = s.now.Add(-time.Minute)
	if v := verdict(t, NewLook(s.input()).Reattach(), taskARN("web", 0)); reason(v, Identity) != ClockBack {
		t.Errorf("%+v", v)
	}
}

// Called before and refused since: it is not on its way.
func TestReattachRefusedBefore(t *testing.T) {
	s := recovering(5 * time.Minute)
	s.detachments[0] = s.detachments[0].Attach(s.now.Add(-2*retryFirst), Accepted).Attach(s.now.Add(-retryFirst), Rejected)
	if v := verdict(t, NewLook(s.input()).Reattach(), taskARN("web", 0)); v.Decision != Allow {
		t.Errorf("%+v", v)
	}
}

func TestReattachRechecked(t *testing.T) {
	s := recovering(5 * time.Minute)
	v := verdict(t, NewLook(s.input()).Reattach(), taskARN("web", 0))
	if again := NewLook(s.input()).Recheck(v); again.Reason != NotReadAgain {
		t.Errorf("nothing was read again: %+v", again)
	}
	s.tick = time.Second
	s.read()
	if again := NewLook(s.input()).Recheck(v); again.Decision != Allow || again.Action != Attach || again.Zone != v.Zone {
		t.Errorf("%+v", again)
	}
	s.limits.Mode = Observing // since
	if again := NewLook(s.input()).Recheck(v); again.Decision != Allow || again.Mode != Detaching {
		t.Errorf("%+v", again)
	}
	in := s.input()
	in.Snapshot = nil
	if again := NewLook(in).Recheck(v); again.Decision == Allow {
		t.Error("nothing was read, and it is allowed")
	}
	in.State.Watches = nil
	if again := NewLook(in).Recheck(v); again.Reason != StillFailing {
		t.Errorf("nobody knows of the task: %+v", again)
	}
	s.detachments[0].Progress = Closed
	if again := NewLook(s.input()).Recheck(v); again.Decision == Allow {
		t.Error("it is back, and it is allowed")
	}
}
