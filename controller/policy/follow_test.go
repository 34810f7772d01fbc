package policy

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// follow brings the detachments up to date and returns the first.
func (s *scene) follow() Detachment {
	s.detachments = NewLook(s.input()).Follow()
	return s.detachments[0]
}

func TestFollowEnds(t *testing.T) {
	gap := func(kind fleet.GapKind, ref string) func(*scene) {
		return func(s *scene) {
			s.tasks = s.tasks[1:]
			s.gaps = []fleet.Gap{{Kind: kind, Ref: ref}}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*scene)
		want   Outcome
	}{
		{"failing", func(s *scene) { fail(s.task("web", 0)) }, ""},
		{"leaving", func(s *scene) { s.task("web", 0).LastStatus = fleet.Stopping }, ""},
		{"stopped", func(s *scene) { s.task("web", 0).LastStatus = fleet.Stopped }, Stopped},
		{"gone", func(s *scene) { s.tasks = s.tasks[1:] }, Stopped},
		{"gone, as far as can be seen", gap(fleet.GapTaskList, string(prod)), ""},
		{"gone, as far as can be seen of the cluster", gap(fleet.GapTasks, "prod"), ""},
		{"gone, as far as can be seen of the service", gap(fleet.GapTaskList, "prod/web"), ""},
		{"gone, and no cluster can be listed", gap(fleet.GapClusters, "eu-central-1"), ""},
		{"gone, and another cluster cannot be read", gap(fleet.GapTasks, "test"), Stopped},
		{"gone, as far as can be seen after a restart", func(s *scene) {
			s.tasks = s.tasks[1:]
			s.began = s.now.Add(-time.Minute + 1)
		}, ""},
		{"gone, a while after a restart", func(s *scene) {
			s.tasks = s.tasks[1:]
			s.began = s.now.Add(-time.Minute)
		}, Stopped},
		{"gone, and nobody knows since when", func(s *scene) { s.tasks = s.tasks[1:]; s.began = time.Time{} }, ""},
		{"the cluster is not watched", func(s *scene) { s.tasks, s.clusters = s.tasks[1:], nil }, ""},
		{"the cluster has not been watched for long", func(s *scene) {
			s.tasks, s.clusters = s.tasks[1:], nil
			s.now = s.detachments[0].Seen.Add(unwatched)
		}, Lost},
		{"the cluster has not been watched for almost as long", func(s *scene) {
			s.tasks, s.clusters = s.tasks[1:], nil
			s.now = s.detachments[0].Seen.Add(unwatched - 1)
		}, ""},
		{"back and healthy", func(s *scene) { s.row("web", 0).State = fleet.TargetInitial }, Recovered},
		{"out and healthy", func(*scene) {}, ""},
		{"back and healthy, by an old reading", func(s *scene) {
			s.row("web", 0).State = fleet.TargetHealthy
			s.detachments[0].Called = s.now
		}, ""},
		{"stopped, and a call is under way", func(s *scene) {
			s.task("web", 0).LastStatus = fleet.Stopped
			s.underWay = Calls{s.detachments[0].Target: s.now}
		}, ""},
		{"back and healthy, by a reading from before a call that took long was over", func(s *scene) {
			s.row("web", 0).State = fleet.TargetHealthy
			s.detachments[0].Answered = s.now
		}, ""},
		{"back and healthy, by a reading from while a call may have gone on in which castoff was ended", func(s *scene) {
			s.row("web", 0).State = fleet.TargetHealthy
			s.detachments[0].Called, s.detachments[0].Answered = s.now.Add(-fleet.CallLasts), time.Time{}
		}, ""},
		{"back and healthy, after that", func(s *scene) {
			s.row("web", 0).State = fleet.TargetHealthy
			s.detachments[0].Called, s.detachments[0].Answered = s.now.Add(-fleet.CallLasts-time.Second), time.Time{}
		}, Recovered},
		{"back and failing", func(s *scene) { fail(s.task("web", 0)); s.row("web", 0).State = fleet.TargetHealthy; s.read() }, ""},
		{"back and failing, by castoff's hand", func(s *scene) {
			s.detachments[0] = s.detachments[0].Attach(s.now.Add(-time.Second), NotAnswered)
			fail(s.task("web", 0))
			s.row("web", 0).State = fleet.TargetInitial
			s.read()
		}, Recovered},
		{"back before castoff said so", func(s *scene) {
			s.detachments[0] = s.detachments[0].Attach(s.now, Accepted)
			s.row("web", 0).State = fleet.TargetInitial
		}, ""},
		{"back, as another task's", func(s *scene) {
			s.row("web", 0).State = fleet.TargetHealthy
			r := s.start("api", 20)
			r.Targets, r.Created = s.task("web", 0).Targets, noon
		}, ""},
		{"would be out, and is healthy", func(s *scene) {
			s.row("web", 0).State = fleet.TargetHealthy
			s.detachments[0] = s.detachment("web", 0, Observing)
		}, Recovered},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := recovering(2 * time.Minute)
			s.tick = time.Second
			s.follow()
			c.change(s)
			d := s.follow()
			if d.Outcome != c.want || (d.Outcome == "") != d.Open() || d.Open() != d.Ended.IsZero() {
				t.Errorf("%+v, want outcome %q", d, c.want)
			}
			if c.want != "" && !d.Ended.Equal(s.now) {
				t.Errorf("ended at %v, now is %v", d.Ended, s.now)
			}
			if d.Open() {
				return
			}
			if left := NewLook(s.input()).Follow(); len(left) != 0 {
				t.Errorf("what has ended is followed: %+v", left)
			}
		})
	}
}

func TestFollowWithoutASnapshot(t *testing.T) {
	s := recovering(0)
	in := s.input()
	in.Snapshot = nil
	if ds := NewLook(in).Follow(); len(ds) != 1 || !reflect.DeepEqual(ds[0], s.detachments[0]) {
		t.Errorf("%+v", ds)
	}
}

// A task that comes back into sight is seen.
func TestFollowSees(t *testing.T) {
	s := recovering(0)
	if d := s.follow(); !d.Seen.Equal(s.now) {
		t.Errorf("%+v", d)
	}
	s.now = s.now.Add(-time.Hour)
	if d := s.follow(); d.Seen.Before(s.now.Add(time.Hour)) {
		t.Errorf("seen goes back with the clock: %+v", d)
	}
}

func TestECSBegins(t *testing.T) {
	stamp := func(d time.Duration) func(*fleet.Task) { return func(t *fleet.Task) { t.StoppingAt = noon.Add(d) } }
	for _, c := range []struct {
		name             string
		status           fleet.TaskStatus
		change           func(*fleet.Task)
		shortest, longer time.Duration // after noon
	}{
		{"seen deactivating", fleet.Deactivating, nil, 9800 * time.Millisecond, 19900 * time.Millisecond},
		{"stamped while deactivating", fleet.Deactivating, stamp(12 * time.Second), 12 * time.Second, 12 * time.Second},
		{"stamped, seen stopping", fleet.Stopping, stamp(12 * time.Second), 9800 * time.Millisecond, 12 * time.Second},
		{"stamped after it was read", fleet.Stopping, stamp(time.Hour), 9800 * time.Millisecond, 19900 * time.Millisecond},
		{"seen stopped", fleet.Stopped, func(t *fleet.Task) { t.StoppedAt = noon.Add(15 * time.Second) }, 9800 * time.Millisecond, 15 * time.Second},
		{"stamped before it was read up", fleet.Stopping, stamp(5 * time.Second), 5 * time.Second, 9800 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := calm()
			s.group("web").Check.Protocol, s.service("web").LoadBalancers[0].Container = "TCP", "app" // which sees nothing
			fail(s.task("web", 0))
			s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
			s.row("web", 0).State = fleet.TargetDraining
			s.tick = 10 * time.Second
			s.read()
			if d := s.follow(); d.ECS != nil {
				t.Fatalf("%+v", d.ECS)
			} else if _, ok := d.Saved(); ok {
				t.Fatal("it is saved before ECS has begun")
			}
			s.task("web", 0).LastStatus = c.status
			if c.change != nil {
				c.change(s.task("web", 0))
			}
			s.read()
			d := s.follow()
			want := Saved{c.shortest, c.longer}
			if got, ok := d.Saved(); !ok || got != want {
				t.Errorf("saved %+v, want %+v; %+v", got, want, d.ECS)
			}
			s.detachments[0].Progress, s.detachments[0].Outcome = Out, ""
			s.read()
			if again := s.follow(); !reflect.DeepEqual(again.ECS, d.ECS) {
				t.Errorf("it moved: %+v, was %+v", again.ECS, d.ECS)
			}
		})
	}
}

// A task that ECS knows no more has ended. When ECS began with it nobody has read, and
// so nothing is said of what was saved.
func TestNothingIsSaidToBeSavedOfATaskThatVanished(t *testing.T) {
	s := calm()
	s.detachments = []Detachment{s.detachment("web", 0, Observing)}
	s.tick = 10 * time.Second
	s.read()
	s.follow()
	s.tasks = s.tasks[1:]
	s.read()
	d := s.follow()
	if got, ok := d.Saved(); ok || d.ECS != nil || d.Outcome != Stopped {
		t.Errorf("%+v %v, %+v", got, ok, d)
	}
}

// Time in which the target was in service again is not saved.
func TestSavedWhileContested(t *testing.T) {
	s := calm()
	task := s.task("web", 0)
	fail(task)
	s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
	step := func(to time.Duration, state fleet.TargetState) {
		s.tick = noon.Add(to).Sub(s.now)
		s.row("web", 0).State = state
		s.read()
		s.follow()
	}
	step(10*time.Second, fleet.TargetDraining)
	step(20*time.Second, fleet.TargetInitial) // back in 9.8 … 19.9
	if d := s.detachments[0]; d.Serving != nil {
		t.Fatalf("initial, and in service: %+v", d)
	}
	step(25*time.Second, fleet.TargetHealthy) // in service in 19.8 … 24.9
	if b := s.detachments[0].Back; b == nil || !b.NotBefore.Equal(noon.Add(9800*time.Millisecond)) || !b.NotAfter.Equal(noon.Add(19900*time.Millisecond)) {
		t.Fatalf("%+v", b)
	}
	s.detachments[0] = s.detachments[0].Call(noon.Add(30*time.Second), noon.Add(30*time.Second), Accepted)
	if d := s.detachments[0]; d.Tries != 2 || d.Back != nil || d.Serving != nil || d.Banked != (Saved{19800 * time.Millisecond, 24900 * time.Millisecond}) {
		t.Fatalf("%+v", d)
	}
	step(40*time.Second, fleet.TargetDraining)
	step(50*time.Second, fleet.TargetInitial) // back, and taken out before it was in service
	s.detachments[0] = s.detachments[0].Call(noon.Add(52*time.Second), noon.Add(52*time.Second), Accepted)
	if d := s.detachments[0]; d.Tries != 3 || d.Banked != (Saved{41800 * time.Millisecond, 46900 * time.Millisecond}) {
		t.Fatalf("%+v", d)
	}
	step(60*time.Second, fleet.TargetDraining)
	task.LastStatus = fleet.Deactivating
	step(70*time.Second, fleet.TargetDraining) // ECS began in 59.8 … 69.9
	if got, _ := s.detachments[0].Saved(); got != (Saved{49600 * time.Millisecond, 64800 * time.Millisecond}) {
		t.Errorf("%+v", got)
	}

	ecs, back := Bounds{noon.Add(40 * time.Second), noon.Add(50 * time.Second)}, func(a, b int) *Bounds {
		return &Bounds{noon.Add(time.Duration(a) * time.Second), noon.Add(time.Duration(b) * time.Second)}
	}
	for _, c := range []struct {
		back *Bounds
		want Saved
	}{
		{nil, Saved{40 * time.Second, 50 * time.Second}},
		{back(10, 20), Saved{10 * time.Second, 20 * time.Second}},
		{back(10, 45), Saved{10 * time.Second, 50 * time.Second}},
		{back(45, 48), Saved{40 * time.Second, 50 * time.Second}},
	} {
		d := Detachment{Mode: Detaching, Called: noon, ECS: &ecs, Serving: c.back}
		if got, ok := d.Saved(); !ok || got != c.want {
			t.Errorf("back %+v: %+v, want %+v", c.back, got, c.want)
		}
	}
	if _, ok := (&Detachment{Mode: Detaching, ECS: &ecs}).Saved(); ok {
		t.Error("no call was made, and time was saved")
	}
}

// A reply right after the call may still have the target: nobody has put it back, and
// what was saved is not known until a reading proves the one or the other.
func TestBackByALateReply(t *testing.T) {
	for _, behind := range []time.Duration{0, 10 * time.Second} {
		s := calm()
		s.behind = behind
		s.group("web").Check.Protocol, s.service("web").LoadBalancers[0].Container = "TCP", "app" // which sees nothing
		fail(s.task("web", 0))
		s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
		called := s.detachments[0].Called
		read := func(after time.Duration) Detachment {
			s.now = called.Add(after)
			s.read()
			return s.follow()
		}
		d := read(behind + lag/2)
		if d.Back != nil || d.Serving == nil || !d.Serving.NotBefore.Equal(called) || !d.Serving.NotAfter.IsZero() {
			t.Fatalf("by a reading that may be from before the call: back %+v, serving %+v", d.Back, d.Serving)
		}
		d.ECS = &Bounds{called.Add(lag), called.Add(lag + time.Second)}
		if got, _ := d.Saved(); got != (Saved{0, lag + time.Second}) {
			t.Errorf("saved %+v, and it may never have been out", got)
		}
		d.ECS = nil
		if again := d.Call(called.Add(lag), called.Add(lag), Accepted); again.Banked != (Saved{0, lag}) {
			t.Errorf("banked %+v, and it may never have been out", again.Banked)
		}
		if d = read(behind + lag + time.Minute); d.Back == nil || !d.Back.NotBefore.Equal(called) || d.Serving == nil || d.Serving.NotAfter.IsZero() {
			t.Errorf("by a reading of after the call: back %+v, serving %+v", d.Back, d.Serving)
		}
		s.row("web", 0).State = fleet.TargetDraining
		if d = read(behind + lag + 2*time.Minute); d.Back != nil || !d.Away.Equal(s.group("web").Read.Earliest()) {
			t.Errorf("it never was away: %+v", d)
		}
	}
}

// A reading whose reply may be from before the call tells nothing that came after it.
func TestOlderRepliesProveNothing(t *testing.T) {
	s := calm()
	s.behind = 10 * time.Second
	fail(s.task("web", 0))
	s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
	s.row("web", 0).State = fleet.TargetInitial
	s.read()
	if d := s.follow(); d.Back != nil {
		t.Errorf("initial %s after the call, by a reply that may be %s old: %+v", s.now.Sub(d.Called), s.behind, d.Back)
	}
	s.now = s.detachments[0].Called.Add(s.behind)
	s.read()
	if d := s.follow(); d.Back == nil {
		t.Errorf("initial, by a reply of after the call: %+v", d)
	}
	if up := s.detachments[0].Up; !up.Equal(s.task("web", 0).Read.Earliest()) {
		t.Errorf("the task was up at %s by a reading of %s at the earliest", up, s.task("web", 0).Read.Earliest())
	}
}

// After the clock was set back what is read counts again, and no time is said to
// be saved.
func TestClockSetBackUnderADetachment(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	d := s.detachment("web", 0, Detaching)
	d.Decided, d.Called, d.Away, d.Attached = noon.Add(time.Hour), noon.Add(time.Hour), noon.Add(time.Hour), noon.Add(time.Hour)
	d.Back = &Bounds{noon.Add(time.Hour), noon.Add(time.Hour)}
	s.detachments = []Detachment{d}
	s.read()
	got := s.follow()
	if !got.Decided.Equal(d.Decided) || got.Called.After(s.now) || got.Away.After(s.now) || got.Attached.After(s.now) {
		t.Errorf("%+v", got)
	}
	s.row("web", 0).State = fleet.TargetInitial
	s.read()
	if got := s.follow(); got.Back == nil || got.Back.NotAfter.After(s.now) {
		t.Errorf("put back, and not seen: %+v", got)
	}
	s.task("web", 0).LastStatus = fleet.Deactivating
	s.read()
	got = s.follow()
	if saved, ok := got.Saved(); ok || got.ECS == nil {
		t.Errorf("saved %+v: %+v", saved, got)
	}
	early := s.detachment("web", 0, Detaching)
	early.catchUp(noon)
	if early.Rewound {
		t.Error("nothing lies in the future")
	}
}

// What AWS refuses is tried again at 2, 4, 8 … s, and then once a minute.
func TestRefusedCallsAreSpaced(t *testing.T) {
	d := Detachment{Mode: Detaching}
	if !d.retry(noon).IsZero() {
		t.Error("nothing was refused")
	}
	for n, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60, 60} {
		d = d.Attach(noon, Rejected)
		if got := d.retry(noon); !got.Equal(noon.Add(want * time.Second)) {
			t.Errorf("refused %d times: again at %v", n+1, got)
		}
	}
	if !d.retry(noon.Add(-1)).IsZero() {
		t.Error("a clock that was set back keeps it waiting")
	}
	if d = d.Call(noon, noon, NotAnswered); !d.retry(noon).IsZero() {
		t.Errorf("it was not refused: %+v", d)
	}
}

func TestDetachmentOfAVerdict(t *testing.T) {
	v := Verdict{Action: Detach, Target: fleet.TargetKey{Group: groupARN("web"), ID: "10.0.0.1", Port: 1}, Task: taskARN("web", 0), Service: web,
		Started: noon, Zone: "eu-central-1a", Mode: Detaching, At: noon.Add(time.Second), Read: noon}
	d := v.Detachment(prod, nil)
	want := Detachment{Target: v.Target, Task: v.Task, Started: noon, Service: web, Cluster: prod, Zone: v.Zone, Mode: Detaching,
		Decided: v.At, Up: v.Read, Seen: v.At, Progress: Out}
	if d != want {
		t.Errorf("%+v, want %+v", d, want)
	}
	if !d.due() {
		t.Error("no call was made, and none is due")
	}
	d = d.Call(noon.Add(2*time.Second), noon.Add(2*time.Second), Rejected)
	if !d.due() || d.Tries != 0 || !d.Called.IsZero() || d.Result != Rejected {
		t.Errorf("refused: %+v", d)
	}
	d = d.Calling(noon.Add(3 * time.Second).In(time.FixedZone("", 3600)))
	if d.Called.Location() != time.UTC {
		t.Errorf("it would not survive JSON as it is: %v", d.Called)
	}
	if d.due() || d.Tries != 1 || !d.Called.Equal(noon.Add(3*time.Second)) {
		t.Errorf("not answered: %+v", d)
	}
	again := d.Call(noon.Add(9*time.Second), noon.Add(9*time.Second), Rejected)
	if again.Rejected != 1 || !again.RejectedAt.Equal(noon.Add(9*time.Second)) {
		t.Errorf("refused once: %+v", again)
	}
	if again.Rejected, again.RejectedAt = 0, (time.Time{}); again != d {
		t.Errorf("a refused call changes what is known of the one before: %+v", again)
	}
	d = d.Attach(noon.Add(4*time.Second), Rejected)
	if d.Progress != Out || d.Rejected != 1 {
		t.Errorf("%+v", d)
	}
	d = d.Attach(noon.Add(4*time.Second), Accepted)
	if d.Progress != Attaching || d.Rejected != 0 {
		t.Errorf("%+v", d)
	}
	if again := d.Call(noon.Add(time.Minute), noon.Add(time.Minute), Accepted); again.Progress != Out || !again.Attached.IsZero() || again.Tries != 2 {
		t.Errorf("%+v", again)
	}
	if same := v.Detachment(prod, []Detachment{{}, d}); same != d {
		t.Errorf("it is there already: %+v", same)
	}
	for _, other := range []func(*Detachment){
		func(d *Detachment) { d.Progress = Closed }, func(d *Detachment) { d.Mode = Observing }, func(d *Detachment) { d.Task = "x" },
		func(d *Detachment) { d.Started = noon.Add(1) }, func(d *Detachment) { d.Target.Port++ },
	} {
		o := d
		other(&o)
		if got := v.Detachment(prod, []Detachment{o}); got != want {
			t.Errorf("another's is taken: %+v", got)
		}
	}
}

func TestDetachmentSurvivesJSON(t *testing.T) {
	s := recovering(time.Minute)
	d := s.follow()
	d.Back, d.ECS = ordered(noon, noon), ordered(noon, noon.Add(1))
	d.Banked = Saved{-1, 1}
	d = d.Attach(s.now, Accepted)
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back Detachment
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, d) {
		t.Errorf("%+v\nis not %+v", back, d)
	}
}

func TestFollowInOrder(t *testing.T) {
	s := calm()
	s.read()
	s.detachments = []Detachment{s.detachment("web", 1, Detaching), s.detachment("web", 0, Detaching), s.detachment("web", 0, Observing)}
	ds := NewLook(s.input()).Follow()
	if ds[0].Task != taskARN("web", 0) || ds[0].Mode != Detaching || ds[1].Mode != Observing || ds[2].Task != taskARN("web", 1) {
		t.Errorf("%+v", ds)
	}
}

// The window is over at its end, not after it.
func TestFollowEndsInTime(t *testing.T) {
	for more, want := range map[time.Duration]Outcome{0: Recovered, 1: ""} {
		s := recovering(2 * time.Minute)
		s.row("web", 0).State = fleet.TargetHealthy
		w := s.state.watch(taskARN("web", 0))
		s.limits.Recovery.Window = w.Read.Sub(w.Well) + more
		if d := s.follow(); d.Outcome != want {
			t.Errorf("%v too short: %+v", more, d)
		}
	}
}

// A reading from before the decision says nothing of after it.
func TestUpOnlyGrows(t *testing.T) {
	s := recovering(0)
	s.detachments[0].Up = s.now
	if d := s.follow(); !d.Up.Equal(s.now) {
		t.Errorf("%v, was %v", d.Up, s.now)
	}
}

// When ECS began does not move once it is known.
func TestVanishedWhileStopping(t *testing.T) {
	s := recovering(0)
	s.task("web", 0).LastStatus = fleet.Stopping
	s.read()
	began := s.follow().ECS
	s.tasks = s.tasks[1:]
	s.read()
	if d := s.follow(); began == nil || d.Outcome != Stopped || !reflect.DeepEqual(d.ECS, began) {
		t.Errorf("%+v, began %+v", d, began)
	}
}

// What AWS rejected does not count as out, but what is asked for again does, from
// before the call: nobody may learn what became of it.
func TestAskedForAgainCounts(t *testing.T) {
	s := calm()
	d := s.detachment("web", 0, Detaching)
	d.Called, d.Tries, d.Result = time.Time{}, 0, Rejected
	if d.Out() {
		t.Error("rejected, and out")
	}
	asked := d
	asked.Result = ""
	if unmade := asked.Unmade(); !asked.Out() || unmade.Out() || unmade.Result != NotMade {
		t.Errorf("asked for %+v, not made %+v", asked, unmade)
	}
	if called := asked.Call(noon, noon, Accepted); called.Unmade() != called {
		t.Error("a call that was made is undone")
	}
	v := Verdict{Action: Detach, Target: d.Target, Task: d.Task, Started: d.Started, Mode: Detaching}
	if again := v.Detachment(prod, []Detachment{d}); again.Result != "" || !again.Out() || !again.Decided.Equal(d.Decided) {
		t.Errorf("%+v", again)
	}
	v.Action = Attach
	if back := v.Detachment(prod, []Detachment{d}); back.Result != Rejected {
		t.Errorf("%+v", back)
	}
}

// What was read of a group before the call, after ECS itself began, or not at all,
// tells of nobody who put the target back.
func TestFollowReadsNothingFromWhatTellsNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scene)
		back   bool
	}{
		{"it is back", func(s *scene) {
			s.group("web").Read.Sent = s.now.Add(lag)
			s.group("web").Read.Received = s.now.Add(lag)
		}, true},
		{"read before the call", func(s *scene) { s.group("web").Read.Sent = noon }, false},
		{"ECS has begun", func(s *scene) { s.detachments[0].ECS = ordered(noon, noon) }, false},
		{"the group is not there", func(s *scene) { s.groups = s.groups[1:] }, false},
		{"not called", func(s *scene) { s.detachments = []Detachment{s.detachment("web", 0, Observing)} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := calm()
			s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
			s.read()
			c.change(s)
			d := s.follow()
			if (d.Back != nil) != c.back || (d.Serving != nil) != c.back {
				t.Errorf("back %v, serving %v", d.Back, d.Serving)
			}
		})
	}
}
