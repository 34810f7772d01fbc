package timeline

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

var update = flag.Bool("update", false, "rewrite what timelines tell of the stories in testdata")

// story is what happened to the fleet of a world, and what was in the way of seeing it.
type story struct {
	name   string
	groups int
	build  func(w *world, c *camera)
	at     map[int]func(w *world, c *camera, tr *Tracker) // what comes at a second of it
}

// unread has what refs name not be read from one second to another.
func unread(c *camera, from, to float64, refs ...string) {
	now := func() time.Time {
		if c.last == nil {
			return epoch
		}
		return c.last.At
	}
	c.skip = func(ref string) bool {
		for _, r := range refs {
			if r == ref {
				return !now().Before(sec(from)) && now().Before(sec(to))
			}
		}
		return false
	}
}

func row(w *world, l *life) fleet.TargetKey {
	return fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080)
}

// ends has a hung task end by itself instead.
func ends(l *life) {
	l.unhealthy, l.deactivating = time.Time{}, time.Time{}
	l.onset, l.stopping, l.ended, l.stopped, l.draining, l.gone = sec(600), sec(601), sec(602), sec(603), sec(602), sec(902)
	l.stopCode, l.reason = "EssentialContainerExited", "Essential container in task exited"
}

var stories = []story{
	{"it hangs, is replaced and retired, in two groups", 2, func(w *world, _ *camera) {
		w.add(hung("a")).skew = 7 * time.Second
		w.add(fresh("b", 623)).skew = 9 * time.Second
	}, nil},
	{"stoppingAt is stamped on DEACTIVATING", 1, func(w *world, _ *camera) {
		w.stampOnDeactivating = true
		w.add(hung("a"))
		w.add(fresh("b", 623))
	}, nil},
	{"the balancer's check fails", 2, func(w *world, _ *camera) {
		l := w.add(hung("a"))
		l.unhealthy, l.lbUnhealthy, l.skew = time.Time{}, sec(604), 4*time.Second
		l.reason = "Task failed ELB health checks in (target-group web-0)"
		w.add(fresh("b", 650))
	}, nil},
	{"a container exits", 1, func(w *world, _ *camera) {
		l := w.add(hung("a"))
		ends(l)
		w.said = func(of *life, now time.Time, t *fleet.Task) {
			if of == l && came(l.stopped, now) {
				code := 137
				t.Containers[1].ExitCode = &code
			}
		}
		w.add(fresh("b", 610))
	}, nil},
	{"a container exits, and there is no balancer", 0, func(w *world, _ *camera) {
		ends(w.add(hung("a")))
		w.add(fresh("b", 610))
	}, nil},
	{"it does not start", 1, func(w *world, _ *camera) {
		w.add(settled("a"))
		w.add(&life{id: "b", created: sec(600), stopping: sec(620), stopped: sec(625), stopCode: "TaskFailedToStart",
			reason: "CannotPullContainerError: no such image"})
		w.add(fresh("c", 640))
	}, nil},
	{"it is well again, fails once more, and is well", 1, func(w *world, _ *camera) {
		l := w.add(settled("a"))
		l.onset, l.unhealthy, l.recovered = sec(590), sec(603), sec(640)
	}, map[int]func(*world, *camera, *Tracker){700: func(w *world, _ *camera, _ *Tracker) {
		w.tasks[0].unhealthy, w.tasks[0].recovered = sec(703), sec(780)
	}}},
	{"its target is well again", 2, func(w *world, _ *camera) {
		l := w.add(settled("a"))
		l.onset, l.lbUnhealthy, l.lbRecovered, l.skew = sec(590), sec(603), sec(640), 6*time.Second
	}, nil},
	{"somebody takes it out, and puts it back", 1, func(w *world, _ *camera) {
		w.add(hung("a")).draining = sec(612)
		w.add(fresh("b", 650))
	}, map[int]func(*world, *camera, *Tracker){
		630: func(w *world, _ *camera, _ *Tracker) { w.tasks[0].gone = sec(632) },
		650: func(w *world, _ *camera, _ *Tracker) {
			w.tasks[0].draining, w.tasks[0].gone, w.tasks[0].registered, w.tasks[0].serving = time.Time{}, time.Time{}, sec(650), sec(690)
		},
		700: func(w *world, _ *camera, _ *Tracker) { w.tasks[0].draining, w.tasks[0].gone = sec(705), sec(980) },
	}},
	{"it is put back and taken out again between two readings", 1, func(w *world, _ *camera) {
		l := w.add(hung("a"))
		l.draining, l.gone = sec(612), sec(632)
		w.add(fresh("b", 650))
	}, map[int]func(*world, *camera, *Tracker){651: func(w *world, _ *camera, _ *Tracker) { w.tasks[0].draining, w.tasks[0].gone = sec(653), sec(800) }}},
	{"its service is deleted meanwhile", 1, func(w *world, _ *camera) {
		w.add(hung("a"))
	}, map[int]func(*world, *camera, *Tracker){700: func(w *world, _ *camera, _ *Tracker) {
		svc := *w.service
		svc.Status = "INACTIVE"
		w.service = &svc
	}}},
	{"castoff takes it out", 2, func(w *world, _ *camera) {
		l := w.add(hung("a"))
		l.draining, l.gone, l.skew = sec(622), sec(922), 2*time.Second
		w.add(fresh("b", 623))
	}, map[int]func(*world, *camera, *Tracker){
		622: func(w *world, _ *camera, tr *Tracker) { tr.Calling(w.tasks[0].arn(), row(w, w.tasks[0]), sec(621)) },
		630: func(w *world, _ *camera, tr *Tracker) {
			tr.Called(w.tasks[0].arn(), row(w, w.tasks[0]), Bounds{NotBefore: sec(621), NotAfter: sec(625)})
		},
	}},
	{"castoff's call is refused, and somebody takes it out", 1, func(w *world, _ *camera) {
		l := w.add(hung("a"))
		l.draining, l.gone = sec(623), sec(922)
		w.add(fresh("b", 623))
	}, map[int]func(*world, *camera, *Tracker){
		622: func(w *world, _ *camera, tr *Tracker) { tr.Calling(w.tasks[0].arn(), row(w, w.tasks[0]), sec(621)) },
		630: func(w *world, _ *camera, tr *Tracker) { tr.NotCalled(w.tasks[0].arn(), row(w, w.tasks[0]), sec(621)) },
	}},
	{"a group cannot be read from its failure on", 2, func(w *world, c *camera) {
		w.add(hung("a"))
		w.add(fresh("b", 623))
		unread(c, 640, 3000, w.groups[1].Name)
	}, nil},
	{"a group cannot be read while it leaves", 1, func(w *world, c *camera) {
		w.add(hung("a"))
		w.add(fresh("b", 623))
		unread(c, 660, 760, w.groups[0].Name)
	}, nil},
	{"it cannot be read as it fails", 1, func(w *world, c *camera) {
		w.add(hung("a"))
		w.add(fresh("b", 623))
		unread(c, 595, 640, "a")
	}, nil},
	{"it cannot be read any more", 1, func(w *world, c *camera) {
		w.add(hung("a"))
		unread(c, 610, 9000, "a")
	}, nil},
	{"its address is the next one's", 1, func(w *world, _ *camera) {
		l := w.add(hung("a"))
		l.gone, l.stopping, l.stopped = sec(700), sec(701), sec(705)
		w.add(fresh("b", 710)).addr = l.addr
	}, nil},
	{"the replacement fails, too", 1, func(w *world, _ *camera) {
		w.add(hung("a"))
		bad := w.add(fresh("b", 623))
		bad.serving, bad.onset, bad.unhealthy = time.Time{}, sec(650), sec(660)
		bad.deactivating, bad.draining, bad.gone, bad.stopping, bad.stopped = sec(690), sec(690), sec(700), sec(701), sec(710)
		bad.reason = "Task failed container health checks"
		w.add(fresh("c", 720))
	}, nil},
	{"two fail at once", 1, func(w *world, _ *camera) {
		w.add(hung("a"))
		w.add(hung("b")).unhealthy = sec(611)
		w.add(fresh("c", 630))
		w.add(fresh("d", 640))
	}, nil},
	{"its host is lost", 1, func(w *world, _ *camera) {
		l := w.add(hung("a"))
		l.deactivating, l.draining, l.stopping, l.stopped, l.gone = sec(700), sec(700), sec(700), sec(700), sec(1000)
		l.reason = "Host EC2 (instance i-0123456789abcdef0) terminated."
	}, nil},
	{"a deployment ends it", 1, func(w *world, _ *camera) {
		w.add(hung("a")).reason = "Scaling activity initiated by (deployment ecs-svc/2)"
		w.add(fresh("b", 623)).startedBy = "ecs-svc/2"
	}, nil},
	{"its agent is cut off", 1, func(w *world, _ *camera) {
		l := w.add(hung("a"))
		l.cutOff, l.back = sec(540), sec(602)
		w.add(fresh("b", 623))
	}, nil},
	{"replies are up to ten seconds old", 1, func(w *world, c *camera) {
		w.add(hung("a"))
		w.add(fresh("b", 623))
		n := time.Duration(0)
		c.behind, c.age = 10*time.Second, func() time.Duration { n += 3 * time.Second; return n % (10 * time.Second) }
	}, nil},
	{"it is heard of when it has stopped", 1, func(w *world, c *camera) {
		l := w.add(hung("a"))
		w.add(fresh("b", 623))
		c.hide = func(of *life) bool { return of == l }
	}, map[int]func(*world, *camera, *Tracker){1020: func(_ *world, c *camera, _ *Tracker) { c.hide = nil }}},
	{"it boots slowly, in its grace period and beyond", 1, func(w *world, _ *camera) {
		w.service.Grace = 60 * time.Second
		w.add(settled("a"))
		l := w.add(fresh("b", 600))
		l.serving, l.lbUnhealthy, l.unhealthy = sec(800), sec(640), sec(650)
		l.lbRecovered, l.recovered = sec(800), sec(790)
	}, nil},
}

// What timelines tell of each story is in testdata/told.txt: as castoff reads every five
// seconds, and as one that reads every forty and is restarted now and then has it.
func TestTold(t *testing.T) {
	var b strings.Builder
	for _, st := range stories {
		for _, every := range []int{5, 40} {
			fmt.Fprintf(&b, "# %s; read every %d s\n", st.name, every)
			w := newWorld(st.groups)
			c := &camera{w: w}
			st.build(w, c)
			tr := NewTracker(DefaultSettings())
			exposed := time.Duration(0)
			for at := 500; at < 6000; at++ {
				if change := st.at[at]; change != nil {
					change(w, c, tr)
				}
				if every == 40 && at%350 == 0 {
					var err error
					if tr, err = c.restart(tr, sec(float64(at))); err != nil {
						t.Fatal(err)
					}
				}
				if at%every != 0 {
					continue
				}
				changes := tr.Track(c.shoot(sec(float64(at))))
				for _, e := range changes.Exposure {
					exposed += e.Duration
				}
				for _, tl := range changes.Opened {
					fmt.Fprintf(&b, "%d opened %s by %s\n", at, tl.ID, tl.Trigger)
				}
				for _, tl := range changes.Closed {
					fmt.Fprintf(&b, "%d closed %s", at, tell(t, tl))
				}
			}
			if exposed > 0 {
				fmt.Fprintf(&b, "exposed for %s\n", exposed)
			}
			if s := tr.State(); len(s.Failures)+len(s.Parted)+len(s.Dark) > 0 {
				fmt.Fprintf(&b, "in mind: %d failures, %d partings, %d cut off\n", len(s.Failures), len(s.Parted), len(s.Dark))
			}
		}
	}
	const path = "testdata/told.txt"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, told := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(got), len(told)) {
		if got[i] != told[i] {
			t.Fatalf("%s:%d: told\n%s\nwant\n%s\nrun with -update and read the difference", path, i+1, got[i], told[i])
		}
	}
	if len(got) != len(told) {
		t.Errorf("%d lines, want %d", len(got), len(told))
	}
}

// tell is all that a timeline says, in seconds of the story.
func tell(t *testing.T, tl *Timeline) string {
	t.Helper()
	at := func(i time.Time) string {
		if i.IsZero() {
			return "?"
		}
		return fmt.Sprint(i.Sub(epoch).Seconds())
	}
	span := func(b Bounds) string { return at(b.NotBefore) + "…" + at(b.NotAfter) }
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, replaced by %q after %d failed, %d flaps, unread %t\n", tl.Task.ID(), tl.Outcome, tl.Replacement.ID(), tl.ReplacementsFailed, tl.Flaps, tl.Unread)
	if tl.Container != "" || tl.StopCode != "" {
		fmt.Fprintf(&b, "  container %q, check %t, stopped: %s %q\n", tl.Container, tl.Check != nil, tl.StopCode, tl.StoppedReason)
	}
	milestones := func(ms []Milestone, indent string) {
		for _, m := range ms {
			fmt.Fprintf(&b, "%s%s %s %s by %s: %s\n", indent, m.Kind, span(m.Bounds), m.Source, m.By, m.Evidence)
		}
	}
	milestones(tl.Milestones, "  ")
	for _, target := range tl.Targets {
		fmt.Fprintf(&b, "  %s of %s, good", target.Key.Address(), target.Key.Group.Name())
		for _, good := range target.Good {
			fmt.Fprintf(&b, " %s to %s", span(good.From), span(good.To))
		}
		b.WriteString("\n")
		milestones(target.Milestones, "    ")
	}
	for _, p := range tl.Phases() {
		fmt.Fprintf(&b, "  %s took %s…%s\n", p.Name, p.Shortest, p.Longest)
	}
	return b.String()
}

// Neither of a timeline and its copy shows the other's changes.
func TestCloneSharesNothing(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(2400), poll))
	before, c := tell(t, tl), tl.Clone()
	if tell(t, c) != before {
		t.Error(tell(t, c))
	}
	c.Milestones[0].Evidence, c.Targets[0].Milestones[0].Evidence, c.Targets[0].Key.ID = "x", "x", "x"
	if tell(t, tl) != before {
		t.Error(tell(t, tl))
	}
}

func TestWellFormed(t *testing.T) {
	for id, want := range map[ID]bool{
		"1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-20260301T120000Z": true, "A-z-0-20260301T120000Z": true,
		"-20260301T120000Z": false, "20260301T120000Z": false, "": false, "a-20260301T120000": false, "a-20261301T120000Z": false,
		"a/b-20260301T120000Z": false, "a:b-20260301T120000Z": false, "a[b-20260301T120000Z": false, "a{b-20260301T120000Z": false,
		"a@b-20260301T120000Z": false, "a`b-20260301T120000Z": false, "aéb-20260301T120000Z": false, "a b-20260301T120000Z": false,
	} {
		if id.WellFormed() != want {
			t.Errorf("%q: %t", id, !want)
		}
	}
}

// An instant that AWS may have cut to a second is any of that second.
func TestUpTo(t *testing.T) {
	for at, want := range map[time.Time]time.Time{sec(3): sec(4), sec(3.5): sec(3.5), {}: {}} {
		if got := upTo(at); !got.Equal(want) {
			t.Errorf("%s is up to %s, want %s", at, got, want)
		}
	}
}
