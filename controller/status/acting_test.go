package status_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// The pages at night: why was it, or was it not, taken out.
func TestPagesSayWhy(t *testing.T) {
	attach := func(v *status.View) {
		a := held(v.Open[1], time.Now())
		a.Action, a.Decision, a.Reason, a.Sentence, a.Until = policy.Attach, policy.Hold, policy.Recovering, "healthy for 12s of 1m0s", time.Now().Add(48*time.Second)
		v.Verdicts = append(v.Verdicts, a)
	}
	would := func(v *status.View) {
		v.Verdicts[1] = held(v.Open[0], time.Now())
		v.Verdicts[1].Mode = policy.Observing
	}
	detachment := func(edit func(*policy.Detachment)) func(*status.View) {
		return func(v *status.View) { edit(&v.Detachments[0]) }
	}
	const open1, open2 = "/timelines/" + openID, "/timelines/2f0c2a57b1c24d6f8e1f6b7a9d3c5e02-19991231T235518Z"
	const closed1, closed2 = "/timelines/" + closedID, "/timelines/8a0c2a57b1c24d6f8e1f6b7a9d3c5e08-19991230T230018Z"
	for _, tt := range []struct {
		name string
		edit func(*status.View)
		path string
		want string
	}{
		{"exposed and held", nil, "/", "production/api | 1f0c2a57b1c24d6f8e1f6b7a9d3c5e01 | yes | hold 1 of 3 tasks would stay healthy, floor 2 (50 %) | 1 min 04 s"},
		{"allowed in observe mode", would, "/", "| yes | would detach every guard allows taking it out |"},
		{"allowed and done", func(v *status.View) { v.Verdicts[1] = held(v.Open[0], time.Now()) }, "/", "| yes | detach every guard allows taking it out |"},
		{"no verdict", func(v *status.View) { v.Verdicts = nil }, "/", "| yes | – | 1 min 04 s"},
		{"several targets", func(v *status.View) {
			second := v.Verdicts[1]
			second.Target = fleet.NewTargetKey(groupARN("api-http"), "2001:db8::1", 80)
			v.Verdicts = append(v.Verdicts, second)
		}, "/", "10.0.17.201:10080 in api-grpc hold 1 of 3 tasks would stay healthy, floor 2 (50 %)[2001:db8::1]:80 in api-http hold"},
		{"a verdict without a timeline", func(v *status.View) { v.Open = v.Open[1:] }, "/", "production/api | 1f0c2a57b1c24d6f8e1f6b7a9d3c5e01 | yes | hold 1 of 3 tasks would stay healthy, floor 2 (50 %) | – | – | – | no timeline"},
		{"taken out", nil, "/", "production/api | 2f0c2a57b1c24d6f8e1f6b7a9d3c5e02 | 10.0.17.201:10080 api-grpc | 4 min 40 s | 1999-12-31 23:55:20 | out | –"},
		{"on its way back", attach, "/", "| out | hold healthy for 12s of 1m0s until 00:00:48"},
		{"would be out", detachment(func(d *policy.Detachment) { d.Mode = policy.Observing }), "/", "| would be out observed only |"},
		{"told to go back", detachment(func(d *policy.Detachment) { *d = d.Attach(time.Now().Add(-5*time.Second), policy.Accepted) }), "/", "| told to go back 5 s ago |"},
		{"rejected", detachment(func(d *policy.Detachment) { d.Called, d.Result = time.Time{}, policy.Rejected }), "/", "| not out: AWS rejected the call |"},
		{"not called yet", detachment(func(d *policy.Detachment) { d.Called, d.Result = time.Time{}, "" }), "/", "| not called yet |"},
		{"put back", detachment(func(d *policy.Detachment) { d.Back = &policy.Bounds{}; d.Tries = 2 }), "/", "| put back by somebody, after 2 tries |"},
		{"not answered", detachment(func(d *policy.Detachment) { d.Result = policy.NotAnswered }), "/", "| called, and AWS has not answered |"},
		{"ECS has begun", detachment(func(d *policy.Detachment) { d.ECS = &policy.Bounds{} }), "/", "| out; ECS takes the task down |"},
		{"saved", nil, "/", "| retired | 16 s ± 7 s | 1 min 58 s ± 4 s | 7 min 33 s ± 2 s | 1 min 55 s ± 1 s\n"},
		{"would have been late", nil, "/", "| would be −3 s\n"},
		{"brakes", nil, "/", "paused | production/web | database upgrade; nothing is put back either | jane@example.com, by tag | 01:00:00\nlatched | production/worker | 3 of 4 tasks failed at once: suspect the check, or what they depend on | castoff, correlated | 00:06:00"},
		{"a brake that cannot be read", func(v *status.View) { v.Pauses = []policy.Pause{policy.ParsePause("x")} }, "/", `paused | everything | the tag cannot be read, and so holds: it does not begin with a key: "x" | by tag | further notice`},
		{"all services latched", func(v *status.View) { v.Latches = []policy.Latch{{Failing: 4, Of: 9, Until: time.Now()}} }, "/", "latched | everything | 4 of 9 services had failing tasks at once: suspect what they have in common | castoff, correlated | 00:00:00"},
		{"halted", func(v *status.View) { v.Halts = []policy.Halt{{Cause: "journal", Detail: "the disk is full"}} }, "/", "halted | everything | the disk is full | castoff, journal | it is mended"},
		{"modes", nil, "/services", "production/api detachREPLICA, ECSECS gives a deployment up after 3 failed tasks in a row, and rolls back | 1 healthy, 2 unhealthy of 3 wanted"},
		{"modes", nil, "/services", "production/web observeREPLICA, ECS | 1 healthy"},

		{"guard by guard", nil, open1, "floor | hold | below_floor | 1 of 3 tasks would stay healthy, floor 2 (50 %) | – | healthy left 1, limit 2"},
		{"guard by guard", nil, open1, "rate | hold | service_rate | the service may lose 1 tasks a minute, 1 at once: the next at a quarter past | 00:00:39 | tokens 0, limit 1"},
		{"values", nil, open1, "confirm | allow | ok | seen failing in 3 readings in a row for 6s | – | reads 3, limit 2failing 6.123 s, limit 0 s"},
		{"the banner has the verdict", nil, open1, "Why no more 1 of 3 tasks would stay healthy, floor 2 (50 %) (hold by floor)"},
		{"its mode", nil, open1, "mode detach, decided 1999-12-31 23:59:58"},
		{"an open detachment", nil, open2, "Taken out: 10.0.17.201:10080 api-grpc"},
		{"an open detachment", nil, open2, "Standing out\nDecided 1999-12-31 23:55:20.0 UTC\nCalled 1999-12-31 23:55:20.1 UTC, accepted\nSaved not known: ECS has not begun by itself\n"},
		{"nothing saved", detachment(func(d *policy.Detachment) { d.Called = time.Time{}; d.ECS = &policy.Bounds{} }), open2, "Saved nothing: no call has taken it out"},
		{"put back and taken out again", detachment(func(d *policy.Detachment) {
			d.Back, d.Tries = &policy.Bounds{NotBefore: time.Now().Add(-3 * time.Second), NotAfter: time.Now().Add(-time.Second)}, 2
		}), open2, "accepted, try 2\nPut back by somebody 1999-12-31 23:59:58.0 UTC, ± 1 s"},
		{"recovered", detachment(func(d *policy.Detachment) {
			*d = d.Attach(time.Now().Add(-time.Minute), policy.NotAnswered)
			d.Progress, d.Outcome, d.Ended = policy.Closed, policy.Recovered, time.Now()
		}), open2, "Standing ended: the task is healthy and its target back\nDecided 1999-12-31 23:55:20.0 UTC\nCalled 1999-12-31 23:55:20.1 UTC, accepted\n" +
			"Saved not known: ECS never began by itself\nTold to go back 1999-12-31 23:59:00.0 UTC, not answered\nEnded 00:00:00.0 UTC"},
		{"a closed detachment", nil, closed1, "ECS began by itself 1999-12-31 22:02:15.1 UTC, ± 1 s\nSaved 1 min 55 s ± 1 s\nEnded 1999-12-31 22:07:50.0 UTC"},
		{"a closed detachment", nil, closed1, "Retired, stopped for this failure.\n\nExposed For 1 min 58 s ± 4 s\nSaved Castoff's call came 1 min 55 s ± 1 s before ECS began by itself"},
		{"one that would have been", nil, closed2, "Castoff's call would have come 3 s after ECS began by itself"},
		{"one that would have been", nil, closed2, "Would have been taken out: 10.0.17.201:10080"},
		{"one that would have been", nil, closed2, "Saved −3 s: ECS was first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := sample(time.Now())
				if tt.edit != nil {
					tt.edit(v)
				}
				page := strings.ReplaceAll(get(handler(v), tt.path).Body.String(), "<dd", " <dd")
				if got := rows(page); !strings.Contains(got, tt.want) {
					t.Errorf("lacks %q in\n%s", tt.want, got)
				}
			})
		})
	}
}

// The page of a timeline says how the verdict came about, after it has ended too.
func TestTimelinePageHasTheFlowOfVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := sample(time.Now())
		closed := v.Closed[0]
		confirm := policy.Finding{Guard: policy.Confirm, Decision: policy.Hold, Reason: policy.Unconfirmed, Sentence: "seen failing once", Values: []policy.Value{{Name: "reads", Got: 1, Limit: 2}}}
		first, then := held(closed, closed.Opened, confirm), held(closed, closed.Opened.Add(2*time.Second))
		first.Findings = []policy.Finding{confirm}
		other := held(closed, closed.Opened.Add(-time.Hour)) // of an earlier failure of the task
		v.Flow = map[fleet.TaskARN][]policy.Verdict{closed.Task: {other, first, then}}
		page := rows(get(handler(v), "/timelines/"+closedID).Body.String())
		for _, want := range []string{
			"How the verdict changed 2",
			"| +18 s | hold seen failing once confirm | confirm: allow → hold | 1 at 1999-12-31 22:00:18.0confirm hold seen failing once reads 1, limit 2",
			"| +20 s | detach every guard allows taking it out | confirm: hold → allow | 16 ",
			"confirm allow seen failing in 3 readings in a row for 6s reads 3, limit 2",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("lacks %q in\n%s", want, page)
			}
		}
		if strings.Contains(page, "Since castoff started") {
			t.Error("says that it does not know what was before, of a timeline that is younger than castoff")
		}
		v.Started = closed.Opened.Add(time.Second)
		if page := rows(get(handler(v), "/timelines/"+closedID).Body.String()); !strings.Contains(page, "Since castoff started, at 1999-12-31 22:00:19 UTC") {
			t.Errorf("does not say that castoff was started meanwhile:\n%s", page)
		}
		if text := get(handler(v), "/timelines/"+closedID+"/text").Body.String(); !strings.Contains(text, "detach        ") || !strings.Contains(text, "confirm: hold → allow") {
			t.Errorf("text:\n%s", text)
		}
	})
}

// A task that failed twice has two timelines, and what castoff did about the
// first is no part of the second.
func TestRecordsBelongToTheirTimeline(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first := &timeline.Timeline{ID: "first", Task: taskARN("a"), Opened: now.Add(-time.Hour), Closed: now.Add(-30 * time.Minute), Outcome: timeline.Recovered}
	second := &timeline.Timeline{ID: "second", Task: taskARN("a"), Opened: now.Add(-time.Minute)}
	var ds []policy.Detachment
	for _, at := range []time.Time{first.Opened, first.Closed, second.Opened} {
		ds = append(ds, policy.Detachment{Task: taskARN("a"), Decided: at, Mode: policy.Detaching, Called: at, ECS: &policy.Bounds{NotBefore: at.Add(time.Second), NotAfter: at.Add(3 * time.Second)}})
	}
	ds[1].ECS = &policy.Bounds{NotBefore: ds[1].Called.Add(2 * time.Second), NotAfter: ds[1].Called.Add(2500 * time.Millisecond)}
	ds = append(ds, policy.Detachment{Task: taskARN("b"), Decided: first.Opened})
	// One that no call took out saved nothing, and says nothing of the other.
	ds = slices.Insert(ds, 0, policy.Detachment{Task: taskARN("a"), Decided: second.Opened, Mode: policy.Detaching})
	h := handler(&status.View{Open: []*timeline.Timeline{second}, Closed: []*timeline.Timeline{first}, Detachments: ds})
	for id, want := range map[string]string{
		// Of two targets the time saved is the lesser.
		"first":  `2 {"shortest_seconds":1,"longest_seconds":2.5,"error_seconds":1.5}`,
		"second": `2 {"shortest_seconds":1,"longest_seconds":3,"error_seconds":2}`,
	} {
		var tl struct {
			Detachments []json.RawMessage
			Saved       json.RawMessage
		}
		if err := json.Unmarshal(get(h, "/api/v1/timelines/"+id).Body.Bytes(), &tl); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %s", len(tl.Detachments), tl.Saved); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

// Saved time is rounded outwards, below 0 too.
func TestSavedTimeIsRoundedOutwards(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := policy.Detachment{Decided: at, Called: at, Mode: policy.Detaching, ECS: &policy.Bounds{NotBefore: at.Add(-1500 * time.Microsecond), NotAfter: at.Add(-200 * time.Microsecond)}}
	body := get(handler(&status.View{Detachments: []policy.Detachment{d}}), "/api/v1/detachments").Body.String()
	if want := `"saved":{"shortest_seconds":-0.002,"longest_seconds":0,"error_seconds":0.002}`; !strings.Contains(body, want) {
		t.Errorf("lacks %s in %s", want, body)
	}
}

func TestExplain(t *testing.T) {
	shared := func(v *status.View) { // the address had another task before
		old := *v.Snapshot
		task := *old.Tasks[0]
		task.ARN, task.LastStatus, task.Health = taskARN("1f0c000000000000000000000000dead"), fleet.Stopped, fleet.Unhealthy
		old.Tasks = append(slices.Clone(old.Tasks), &task)
		v.Snapshot = fleet.NewSnapshot(old)
	}
	for _, tt := range []struct {
		name, of string
		edit     func(*status.View)
		code     int
		want     string // task ids, or part of the error
	}{
		{"a whole id", "1f0c2a57b1c24d6f8e1f6b7a9d3c5e01", nil, 200, "1f0c2a57b1c24d6f8e1f6b7a9d3c5e01"},
		{"an ARN", string(taskARN("1f0c2a57b1c24d6f8e1f6b7a9d3c5e01")), nil, 200, "1f0c2a57b1c24d6f8e1f6b7a9d3c5e01"},
		{"an ARN is no prefix", string(taskARN("1f0c2a57b1c24d6f8e1f6b7a9d3c5e0")), nil, 404, "nothing is known of"},
		{"the start of an id", "5", nil, 200, "5f0c2a57b1c24d6f8e1f6b7a9d3c5e05"},
		{"with spaces around", "%205f0c%20", nil, 200, "5f0c2a57b1c24d6f8e1f6b7a9d3c5e05"},
		{"the start of two ids", "1f0c", shared, 409, `2 tasks have an id that begins with \"1f0c\": 1f0c2a57b1c24d6f8e1f6b7a9d3c5e01 of production/api, 1f0c000000000000000000000000dead of production/api`},
		{"an id that another begins with", "1f0c", func(v *status.View) {
			shared(v)
			v.Closed[0].Task = taskARN("1f0c")
		}, 200, "1f0c"},
		{"a closed timeline's task", "8a0c", nil, 200, "8a0c2a57b1c24d6f8e1f6b7a9d3c5e08"},
		{"an address: who has it first, then the latest", "10.0.17.201", shared, 200,
			"1f0c2a57b1c24d6f8e1f6b7a9d3c5e01 2f0c2a57b1c24d6f8e1f6b7a9d3c5e02 1f0c000000000000000000000000dead 7a0c2a57b1c24d6f8e1f6b7a9d3c5e07 8a0c2a57b1c24d6f8e1f6b7a9d3c5e08"},
		{"an address that nothing fails at", "10.0.17.203", nil, 200, "3f0c2a57b1c24d6f8e1f6b7a9d3c5e03"},
		{"IPv6", "2001:DB8:0::17", func(v *status.View) {
			s := *v.Snapshot
			s.Tasks[4].Targets = []fleet.TargetKey{s.TargetGroups[2].Targets[0].Key}
			v.Snapshot = fleet.NewSnapshot(s)
		}, 200, "5f0c2a57b1c24d6f8e1f6b7a9d3c5e05"},
		{"IPv6 in brackets, with a port", "[2001:db8::17]:80", nil, 200, ""},
		{"IPv6 in brackets", "[2001:db8::17]", nil, 200, ""},
		{"IPv6, another port", "[2001:db8::17]:81", nil, 404, "nothing is known of"},
		{"an instance", "i-0123", func(v *status.View) { v.Detachments[0].Target.ID = "i-0123" }, 200, "2f0c2a57b1c24d6f8e1f6b7a9d3c5e02"},
		{"an instance and its port", "i-0123:10080", func(v *status.View) { v.Detachments[0].Target.ID = "i-0123" }, 200, "2f0c2a57b1c24d6f8e1f6b7a9d3c5e02"},
		{"an instance and another port", "i-0123:1", func(v *status.View) { v.Detachments[0].Target.ID = "i-0123" }, 404, "nothing is known of"},
		{"an instance and no port", "i-0123:http", nil, 400, `\"http\" is not a port`},
		{"a name", "prod/api", nil, 400, "is no task"},
		{"before the first pass", "5", func(v *status.View) { v.Snapshot = nil }, 503, "no pass has ended yet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := sample(time.Now())
			if tt.edit != nil {
				tt.edit(v)
			}
			of := tt.of
			if !strings.Contains(of, "%") {
				of = url.QueryEscape(of)
			}
			w := get(handler(v), "/api/v1/explain?of="+of)
			if w.Code != tt.code {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w.Code != http.StatusOK {
				if !strings.Contains(w.Body.String(), tt.want) {
					t.Errorf("got %s, want %s", w.Body, tt.want)
				}
				return
			}
			var answer struct {
				Tasks   []struct{ Task fleet.TaskARN }
				Unowned []struct{ State string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, task := range answer.Tasks {
				ids = append(ids, task.Task.ID())
			}
			if got := strings.Join(ids, " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if (len(answer.Unowned) == 1) != (tt.want == "") {
				t.Errorf("targets that nobody has: %v", answer.Unowned)
			}
		})
	}
}

func TestExplainKnowsNothing(t *testing.T) {
	v := sample(time.Now())
	v.Snapshot.Gaps = nil
	if body := get(handler(v), "/api/v1/explain?of=192.0.2.1").Body.String(); !strings.Contains(body, "and has 4 timelines\"") {
		t.Errorf("without a gap it says %s", body)
	}
	for tasks, want := range map[int]string{10: "0 of production/api\"", 11: "and 1 more\""} {
		big(v, time.Now(), 0, 0)
		for i := range tasks {
			v.Closed = append(v.Closed, &timeline.Timeline{Task: taskARN(fmt.Sprintf("abc%x0", i)), Service: v.Open[0].Service})
		}
		if body := get(handler(v), "/api/v1/explain?of=abc").Body.String(); !strings.Contains(body, want) {
			t.Errorf("of %d tasks it says %s", tasks, body)
		}
	}
}

// The guard that decides is marked, and no other.
func TestDecidingGuardIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := get(handler(sample(time.Now())), "/timelines/"+openID).Body.String()
		if n := strings.Count(page, `class="decides"`); n != 1 || !strings.Contains(page, `<tr class="decides"><th scope="row" data-label="Guard"><code>floor</code>`) {
			t.Errorf("%d guards are marked", n)
		}
	})
}

// An address may have had many tasks: the answer stays readable.
func TestExplainIsBounded(t *testing.T) {
	now := time.Now()
	v := sample(now)
	big(v, now, 0, 100)
	body := get(handler(v), "/api/v1/explain?of=10.0.17.201").Body.String()
	if n := strings.Count(body, `"verdicts":[`); n != 20 || !strings.Contains(body, `"omitted":84`) {
		t.Errorf("%d tasks\n%.300s", n, body)
	}
}

// LIVENESS and SAFETY: whoever walks the pages of verdicts while every pass
// gives new ones sees each target that fails all along once; the same of
// detachments while new ones come and open ones end.
func TestActingPagesStayStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		v := &status.View{}
		h := handler(v)
		name := rapid.SampledFrom([]string{"", "a", "b", "\x00", "a|b"})
		serial := 0
		pass := func() {
			clock = clock.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "later")) * time.Second)
			for i := range v.Verdicts {
				v.Verdicts[i].At, v.Verdicts[i].Decision = clock, rapid.SampledFrom(policy.Decisions).Draw(t, "decision")
			}
			for range rapid.IntRange(0, 4).Draw(t, "new") {
				serial++
				key := fleet.TargetKey{Group: fleet.TargetGroupARN(name.Draw(t, "group")), ID: name.Draw(t, "id"), Port: serial}
				svc := fleet.ServiceID{Cluster: name.Draw(t, "cluster"), Name: name.Draw(t, "service")}
				v.Verdicts = append(v.Verdicts, policy.Verdict{Action: policy.Detach, Target: key, Service: svc, At: clock})
				v.Detachments = append(v.Detachments, policy.Detachment{Target: key, Service: svc, Decided: clock, Progress: policy.Out})
			}
			v.Verdicts = rapid.Permutation(v.Verdicts).Draw(t, "order")
			for i := range v.Detachments {
				if rapid.Bool().Draw(t, "ends") {
					v.Detachments[i].Progress = policy.Closed
				}
			}
			v.Detachments = rapid.Permutation(v.Detachments).Draw(t, "order")
		}
		for range rapid.IntRange(0, 4).Draw(t, "history") {
			pass()
		}
		for _, list := range []string{"verdicts", "detachments"} {
			old := serial
			seen := map[int]int{}
			cursor, limit := "", rapid.IntRange(1, 4).Draw(t, "limit")
			for range 1000 {
				w := get(h, fmt.Sprintf("/api/v1/%s?limit=%d&cursor=%s", list, limit, cursor))
				var page struct {
					Verdicts, Detachments []struct{ Target struct{ Port int } }
					Next                  *string `json:"next_cursor"`
				}
				if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
				items := slices.Concat(page.Verdicts, page.Detachments)
				if len(items) > limit {
					t.Fatalf("%d on a page of %d", len(items), limit)
				}
				for _, item := range items {
					seen[item.Target.Port]++
				}
				if page.Next == nil {
					break
				}
				cursor = *page.Next
				pass()
			}
			for n := 1; n <= old; n++ {
				if seen[n] != 1 {
					t.Fatalf("saw %d of the %s %d times", n, list, seen[n])
				}
			}
		}
	})
}
