package scenario

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/policy"
)

// Result is what came of a Study. It is plain data for JSON.
type Result struct {
	Runs int       `json:"runs"` // worlds for each way
	Seed uint64    `json:"seed"` // of the first
	Ways []Outcome `json:"ways"` // in the Study's order
	// Helps: castoff acting, or when that was not asked for what it would have
	// done, is worth having.
	Helps bool `json:"helps"`
	// Sentences say so and why, the weightiest first.
	Sentences []Sentence `json:"sentences"`
}

// Sentence is a conclusion for people, with a stable code.
type Sentence struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Outcome is what one way came to.
type Outcome struct {
	Way Way `json:"way"`
	// Exposure is how long the balancer called a target healthy whose task ECS
	// called UNHEALTHY: of the target for which that was longest in a world.
	Exposure Spread `json:"exposure_seconds"`
	// LastFlow is from the failure to the last new flow that reached a dead app.
	LastFlow Spread `json:"last_new_flow_seconds"`
	// Flows are new flows that reached a dead app.
	Flows Spread `json:"flows_to_dead_apps"`
	// Streams are seconds for which long-lived connections led to a dead app, of
	// all clients together. Zero without such clients.
	Streams Spread `json:"stream_seconds_to_dead_apps"`
	// Unended are the worlds in which that still went on when they were left.
	Unended int `json:"unended"`

	// Acted are the worlds in which castoff called DeregisterTargets or, when it
	// watched, would have; Called from UNHEALTHY to that, and Calls how many calls
	// there were at most: ECS may put a target back.
	Acted  int    `json:"acted"`
	Called Spread `json:"called_after_seconds"`
	Calls  int    `json:"calls_at_most"`

	// LeastHealthy is how few targets ever were healthy and answered, in any group
	// of any world; LeastServing how few the balancer called healthy.
	LeastHealthy int `json:"least_healthy"`
	LeastServing int `json:"least_called_healthy"`

	// Guards are those that held, the most frequent first.
	Guards []Held `json:"guards"`
}

// Spread is a quantity over all worlds.
type Spread struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	Max float64 `json:"max"`
}

// Held is how often a guard held while there was something to take out.
type Held struct {
	Guard  policy.Guard  `json:"guard"`
	Reason policy.Reason `json:"reason"`
	Runs   int           `json:"runs"` // worlds
	// Never are those in which castoff did not act at all, and in which this guard
	// held for longest.
	Never   int    `json:"never_let_go"`
	Seconds Spread `json:"seconds"` // for how long, in the worlds in which it held
	// Sentence is what it said the first time in one of them.
	Sentence string `json:"sentence"`
}

func (s *Study) result(sequels [][]sequel) Result {
	r := Result{Runs: s.Runs, Seed: s.Seed}
	for i, way := range s.Ways {
		r.Ways = append(r.Ways, s.outcome(way, sequels[i]))
	}
	s.conclude(&r, sequels)
	return r
}

func (s *Study) outcome(way Way, sequels []sequel) Outcome {
	seconds := func(of func(sequel) time.Duration) Spread {
		return spread(sequels, func(f sequel) (float64, bool) { return of(f).Seconds(), true })
	}
	o := Outcome{
		Way:      way,
		Exposure: seconds(func(f sequel) time.Duration { return f.exposed }),
		LastFlow: seconds(func(f sequel) time.Duration { return f.lastFlow }),
		Flows:    spread(sequels, func(f sequel) (float64, bool) { return f.flows, true }),
		Streams:  spread(sequels, func(f sequel) (float64, bool) { return f.streams, true }),
		Called:   spread(sequels, func(f sequel) (float64, bool) { return f.called.Seconds(), f.acted }),
		Guards:   held(sequels), LeastHealthy: s.Service.Desired, LeastServing: s.Service.Desired,
	}
	for _, f := range sequels {
		if !f.ended {
			o.Unended++
		}
		if f.acted {
			o.Acted++
		}
		o.Calls = max(o.Calls, f.calls)
		o.LeastHealthy, o.LeastServing = min(o.LeastHealthy, f.least), min(o.LeastServing, f.serving)
	}
	return o
}

// held sums up the guards of all worlds.
func held(sequels []sequel) []Held {
	all := []Held{}
	times := map[cause][]float64{}
	for _, f := range sequels {
		for i, h := range f.holdings {
			at := slices.IndexFunc(all, func(o Held) bool { return cause{o.Guard, o.Reason} == h.cause })
			if at < 0 {
				at = len(all)
				all = append(all, Held{Guard: h.guard, Reason: h.reason, Sentence: h.sentence})
			}
			all[at].Runs++
			if i == 0 && !f.acted {
				all[at].Never++
			}
			times[h.cause] = append(times[h.cause], h.time.Seconds())
		}
	}
	for i := range all {
		all[i].Seconds = spread(times[cause{all[i].Guard, all[i].Reason}], func(x float64) (float64, bool) { return x, true })
	}
	slices.SortFunc(all, func(a, b Held) int {
		return cmp.Or(cmp.Compare(b.Never, a.Never), cmp.Compare(b.Runs, a.Runs), strings.Compare(string(a.Guard), string(b.Guard)), strings.Compare(string(a.Reason), string(b.Reason)))
	})
	return all
}

// compareHoldings puts the longest first.
func compareHoldings(a, b holding) int {
	return cmp.Or(cmp.Compare(b.time, a.time), strings.Compare(string(a.guard), string(b.guard)), strings.Compare(string(a.reason), string(b.reason)))
}

// spread is over those that have the quantity; all zero when none has. Values are
// rounded to the millisecond.
func spread[T any](of []T, value func(T) (float64, bool)) Spread {
	var values []float64
	for _, x := range of {
		if v, ok := value(x); ok {
			values = append(values, math.Round(v*1000)/1000)
		}
	}
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	// The least value that so many per cent do not exceed.
	rank := func(percent int) float64 { return values[max(0, (len(values)*percent+99)/100-1)] }
	return Spread{P50: rank(50), P95: rank(95), Max: values[len(values)-1]}
}
