package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// study is of the reference workload with the defaults.
func study(runs int) Study {
	spec := sim.ReferenceWorkload("prod", "api")
	spec.Desired = 6
	spec.Groups[0].Traffic.Rate = 60
	spec.Groups[0].Check.Protocol, spec.Groups[0].Check.Interval, spec.Groups[0].Check.UnhealthyThreshold = "TCP", 30*time.Second, 2
	return Study{
		Service: spec, Failure: Hang, Failing: 1, Limits: policy.DefaultLimits(), Fleet: policy.DefaultFleetLimits(), Polling: config.Default().Polling,
		Ways: []Way{ECSAlone, Observing, Detaching}, Runs: runs, Seed: 1,
	}
}

func simulateIt(t *testing.T, s Study) Result {
	t.Helper()
	r, err := Simulate(t.Context(), s)
	must(t, err)
	return r
}

func (r *Result) way(w Way) Outcome {
	return r.Ways[slices.IndexFunc(r.Ways, func(o Outcome) bool { return o.Way == w })]
}

// TestSimulateWhereItHelps: the numbers that castoff was made for, and watching
// changes nothing.
func TestSimulateWhereItHelps(t *testing.T) {
	r := simulateIt(t, study(12))
	alone, watched, with := r.way(ECSAlone), r.way(Observing), r.way(Detaching)
	if !r.Helps || with.Acted != 12 || watched.Acted != 12 || alone.Acted != 0 {
		t.Errorf("helps %t; acted in %d, %d, %d", r.Helps, alone.Acted, watched.Acted, with.Acted)
	}
	if 20*with.Exposure.P50 > alone.Exposure.P50 || with.LastFlow.P50 >= alone.LastFlow.P50 || with.Flows.P50 >= alone.Flows.P50 {
		t.Errorf("alone %+v\nwith %+v", alone, with)
	}
	if watched.Exposure != alone.Exposure || watched.LastFlow != alone.LastFlow || math.Abs(watched.Flows.Max-alone.Flows.Max) > 0.01 || watched.Calls != 0 {
		t.Errorf("watching changed something: alone %+v\nwatched %+v", alone, watched)
	}
	if with.Called.Max > 2*config.Default().Polling.Interval.Seconds() || with.Calls < 2 || with.Calls > policy.DefaultLimits().Contested.Tries {
		t.Errorf("called after %+v, %d times at most", with.Called, with.Calls)
	}
	for _, o := range []Outcome{watched, with} {
		for _, h := range o.Guards {
			// What is put back is initial at first, and no reply that may be of before the call tells that it is back.
			if h.Guard != policy.Confirm && h.Guard != policy.Contested && h.Guard != policy.NoGain || h.Runs > 12 || h.Never > 0 || h.Sentence == "" {
				t.Errorf("%s: %+v", o.Way, h)
			}
		}
	}
	if alone.LeastHealthy != 5 || alone.LeastServing != 6 || with.LeastHealthy != 5 || with.LeastServing != 5 || alone.Unended+with.Unended > 0 {
		t.Errorf("least: alone %+v\nwith %+v", alone, with)
	}
}

func TestSafetySimulateIsTheSameToTheByte(t *testing.T) {
	var texts [2][]byte
	for i := range texts {
		var err error
		texts[i], err = json.Marshal(simulateIt(t, study(4)))
		must(t, err)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Errorf("%s\n%s", texts[0], texts[1])
	}
	other := study(4)
	other.Seed = 100
	text, err := json.Marshal(simulateIt(t, other))
	must(t, err)
	if bytes.Equal(bytes.Replace(text, []byte(`"seed":100`), []byte(`"seed":1`), 1), texts[0]) {
		t.Error("another seed, the same worlds")
	}
}

// TestSimulateSays: each sentence where it belongs.
func TestSimulateSays(t *testing.T) {
	for _, row := range []struct {
		name  string
		with  func(*Study)
		helps bool
		codes string
		text  string // in the first sentence
	}{
		{"the reference workload", func(*Study) {}, true, codeHelps, "Detaching helps in 6 of 6"},
		{"watching", func(s *Study) { s.Ways = s.Ways[:2] }, true, codeWouldHelp, "castoff would have taken the target out"},
		{"ECS alone", func(s *Study) { s.Ways = s.Ways[:1] }, false, "", ""},
		{"a single task", func(s *Study) { s.Service.Desired = 1 }, false, codeGuard, "guard floor (last_healthy)"},
		{"the last of a zone", func(s *Study) {
			s.Service.Desired, s.Polling.Interval = 3, 5*time.Second
			s.Service.Groups[0].DeregistrationDelay = 30 * time.Second
		}, false, codeGuard, "guard zone (last_in_zone)"},
		{"two of three, cross-zone", func(s *Study) {
			s.Service.Desired, s.Failing = 3, 2
			s.Service.Groups[0].Attributes = map[string]string{"load_balancing.cross_zone.enabled": "true"}
		}, false, codeLittle, "held up by guard floor (below_floor)"},
		{"the balancer sees the app", func(s *Study) { s.Service.Groups[0].Check.Protocol = "HTTP" }, false, codeBalancer, "the balancer's own check (HTTP every 30s, 2 failures) finds the failure by itself"},
		{"the balancer sees it first", func(s *Study) {
			s.Service.Groups[0].Check.Interval, s.Failure = 5*time.Second, Refuse
			s.Service.Containers[0].Check.Interval = 60 * time.Second
		}, false, codeBalancer, "found the failure, "},
		{"no check", func(s *Study) { s.Service.Containers[0].Check = nil }, false, codeNoCheck, "no essential container has a health check"},
		{"an exit", func(s *Study) { s.Failure = Exit }, false, codeNoExposure, "ECS took the task down at once"},
		{"streams", func(s *Study) { s.Service.Groups[0].Traffic.Streams = 60 }, true, codeStreams, "Detaching helps"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := study(6)
			row.with(&s)
			r := simulateIt(t, s)
			first := ""
			if len(r.Sentences) > 0 {
				first = r.Sentences[0].Text
			}
			found := row.codes == "" && first == "" || slices.ContainsFunc(r.Sentences, func(x Sentence) bool { return x.Code == row.codes })
			if r.Helps != row.helps || !found || !strings.Contains(first, row.text) {
				t.Errorf("helps %t, %+v", r.Helps, r.Sentences)
			}
		})
	}
}

// TestSimulateCountsStreams however castoff looks meanwhile.
func TestSimulateCountsStreams(t *testing.T) {
	s := study(4)
	s.Service.Groups[0].Traffic.Streams = 60
	r := simulateIt(t, s)
	alone, watched, with := r.way(ECSAlone).Streams, r.way(Observing).Streams, r.way(Detaching).Streams
	// Ten of sixty are the dead app's, for more than two minutes.
	if alone.P50 < 1200 || math.Abs(alone.P50-watched.P50) > 40 || with.P50 < 1200 {
		t.Errorf("alone %+v, watched %+v, with %+v", alone, watched, with)
	}
}

func TestSimulateRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Study){
		"no runs":          func(s *Study) { s.Runs = 0 },
		"no ways":          func(s *Study) { s.Ways = nil },
		"too many fail":    func(s *Study) { s.Failing = 7 },
		"no failure":       func(s *Study) { s.Failure = "boredom" },
		"no limits":        func(s *Study) { s.Limits = policy.Limits{} },
		"no interval":      func(s *Study) { s.Polling.Interval = 0 },
		"no such protocol": func(s *Study) { s.Service.Groups[0].Check.Protocol = "SMTP" },
	} {
		s := study(1)
		spoil(&s)
		if _, err := Simulate(t.Context(), s); err == nil || !strings.Contains(err.Error(), "simulate") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Simulate(ctx, study(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestUnknownsAreDrawn: each of them says what it is and moves a parameter, to
// more than one value where it has a range of its own.
func TestUnknownsAreDrawn(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, u := range Unknowns() {
		if u.What == "" || u.Range == "" || (u.Sure != "user" && u.Sure != "open") {
			t.Errorf("%+v", u)
		}
		var p sim.Params // zero, so that what is set shows
		seen := map[string]bool{}
		for range 64 {
			u.draw(rng, &p)
			text, err := json.Marshal(p)
			must(t, err)
			seen[string(text)] = true
		}
		if reflect.DeepEqual(p, sim.Params{}) && len(seen) < 2 || u.Sure == "open" && len(seen) < 2 {
			t.Errorf("%s: nothing is drawn", u.What)
		}
	}
	for range 200 {
		p := drawParams(rng)
		if d := p.PropagationDeregister; d.Min < 10*time.Second || d.Max > 300*time.Second {
			t.Errorf("%+v", d)
		}
		if p.Reregister.Max > 2*time.Minute || p.RegistrationLag.Min < time.Minute || p.RegistrationLag.Max > 3*time.Minute {
			t.Errorf("%+v %+v", p.Reregister, p.RegistrationLag)
		}
	}
}

// TestSpread against counting.
func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.IntRange(0, 40), 1, 120).Draw(t, "values")
		got := spread(values, func(v int) (float64, bool) { return float64(v), v > 0 })
		least := func(percent int) float64 { // that so many per cent do not exceed
			for limit := range 41 {
				n, all := 0, 0
				for _, v := range values {
					if v > 0 {
						all++
						if v <= limit {
							n++
						}
					}
				}
				if all > 0 && n*100 >= all*percent {
					return float64(limit)
				}
			}
			return 0
		}
		if want := (Spread{least(50), least(95), least(100)}); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}
