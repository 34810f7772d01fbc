package controller

import (
	"cmp"
	"maps"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// How much of the flow of verdicts is kept: some 10 MB where it is full.
const (
	flowTasks = 2000
	flowSteps = 40 // of a task: the first flowFirst, and the last
	flowFirst = 10
)

// flow remembers how the verdicts about each task's targets changed, for whoever
// asks afterwards why it took so long. A restart forgets it.
type flow struct {
	steps map[fleet.TaskARN][]policy.Verdict // never changed, but replaced
}

// note adds the verdicts that differ from the one before. Readers may keep what it
// answers.
func (f *flow) note(verdicts []policy.Verdict) map[fleet.TaskARN][]policy.Verdict {
	var news map[fleet.TaskARN][]policy.Verdict
	for i := range verdicts {
		v := &verdicts[i]
		steps := f.steps[v.Task]
		if added, ok := news[v.Task]; ok {
			steps = added
		}
		was := lastStep(steps, v)
		if was != nil && alike(was, v) {
			continue
		}
		if news == nil {
			news = make(map[fleet.TaskARN][]policy.Verdict)
		}
		steps = append(slices.Clip(steps), step(was, v))
		if len(steps) > flowSteps {
			steps = slices.Delete(slices.Clone(steps), flowFirst, flowFirst+1)
		}
		news[v.Task] = steps
	}
	if news == nil {
		return f.steps
	}
	next := maps.Clone(f.steps)
	if next == nil {
		next = make(map[fleet.TaskARN][]policy.Verdict, len(news))
	}
	maps.Copy(next, news)
	if len(next) > flowTasks {
		forget(next, verdicts)
	}
	f.steps = next
	return f.steps
}

// lastStep is the last about the same target and action; nil without one.
func lastStep(steps []policy.Verdict, v *policy.Verdict) *policy.Verdict {
	for i := range slices.Backward(steps) {
		if steps[i].Target == v.Target && steps[i].Action == v.Action && steps[i].Started.Equal(v.Started) {
			return &steps[i]
		}
	}
	return nil
}

// alike reports that every guard says the same, numbers aside.
func alike(was, is *policy.Verdict) bool {
	return was.Decision == is.Decision && was.Guard == is.Guard && was.Mode == is.Mode &&
		slices.EqualFunc(holding(was), holding(is), func(a, b policy.Finding) bool {
			return a.Guard == b.Guard && a.Decision == b.Decision && a.Reason == b.Reason
		})
}

// holding are the findings that do not allow.
func holding(v *policy.Verdict) []policy.Finding {
	var fs []policy.Finding
	for _, f := range v.Findings {
		if f.Decision != policy.Allow {
			fs = append(fs, f)
		}
	}
	return fs
}

// step is a verdict with the findings that say how it differs from the one
// before; an allow has all.
func step(was, is *policy.Verdict) policy.Verdict {
	v := *is
	if v.Decision == policy.Allow {
		return v
	}
	v.Findings = nil
	for _, f := range is.Findings {
		let := false
		if was != nil {
			before, ok := was.Finding(f.Guard)
			let = ok && before.Decision != policy.Allow
		}
		if f.Decision != policy.Allow || let {
			v.Findings = append(v.Findings, f)
		}
	}
	return v
}

// forget drops tasks until there are few enough: those that nothing is decided
// about any more, the longest ago first, and then those that came last.
func forget(steps map[fleet.TaskARN][]policy.Verdict, verdicts []policy.Verdict) {
	decided := make(map[fleet.TaskARN]bool, len(verdicts))
	for i := range verdicts {
		decided[verdicts[i].Task] = true
	}
	order := slices.SortedFunc(maps.Keys(steps), func(a, b fleet.TaskARN) int {
		if decided[a] != decided[b] {
			if decided[a] {
				return 1
			}
			return -1
		}
		at := func(t fleet.TaskARN) int64 { return steps[t][len(steps[t])-1].At.UnixNano() }
		if decided[a] { // who has waited longest has most to tell
			return cmp.Or(cmp.Compare(steps[b][0].At.UnixNano(), steps[a][0].At.UnixNano()), cmp.Compare(a, b))
		}
		return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a, b))
	})
	for _, task := range order[:len(steps)-flowTasks] {
		delete(steps, task)
	}
}
