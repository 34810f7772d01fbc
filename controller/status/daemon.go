package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// gapsShown is how many gaps a page has.
const gapsShown = 200

// daemonPage is castoff itself: what it does, what it may not, what it cannot.
type daemonPage struct {
	Head   head
	Ready  *banner
	Facts  []fact
	Passes []passRow
	// Receivers are those who are told what happens.
	Receivers []receiverRow
	// Classes are the gaps by kind and class, GapCount of them in all.
	Classes       []gapClass
	Gaps          []gapRow
	GapCount      int
	Configuration string
	Calls         *callsSection
}

// MoreGaps is how many gaps are not shown.
func (p *daemonPage) MoreGaps() int { return p.GapCount - len(p.Gaps) }

type passRow struct {
	Number int
	Ended  stamp
	Took   string
	Result string
	Bars   []bar
}

type receiverRow struct {
	Name                          string
	Kind                          notify.Kind
	Sent, Failed, Dropped, Queued int
	Success, Failure              stamp  // the last; no text: there was none
	Error                         string // of the last failure
}

type gapClass struct {
	Kind  fleet.GapKind
	Class fleet.Class
	Count int
	Since stamp // of the oldest
}

func newDaemonPage(v *View, now time.Time) *daemonPage {
	p := &daemonPage{
		Head: newHead(v, "castoff itself", "/castoff", now), Facts: daemonFacts(v, now),
		Ready:    &banner{Level: "calm", Word: "Ready", Head: "what castoff shows is up to date."},
		GapCount: len(v.gaps()), Configuration: v.Configuration, Calls: newCallsSection(v),
	}
	if ready, why := v.ready(now); !ready {
		p.Ready = &banner{Level: "blind", Word: "Not ready", Head: oneLine(why + ".")}
	}
	for _, b := range brakeBanners(v, now) {
		if b.Level == "halted" {
			b.Rest = append(b.Rest, p.Ready.Text())
			p.Ready = b
		}
	}
	var longest time.Duration
	for _, pass := range v.Passes {
		longest = max(longest, pass.Duration)
	}
	for _, pass := range v.Passes {
		row := passRow{Number: pass.Number, Ended: stampOf(pass.At, now), Took: tookWords(pass.Duration), Result: pass.Result}
		if longest > 0 {
			width := max(least, 100*float64(pass.Duration)/float64(longest))
			row.Bars = []bar{{X: "0%", Width: percent(width), Class: "pass " + pass.Result}}
		}
		p.Passes = append(p.Passes, row)
	}
	for _, r := range v.Receivers {
		row := receiverRow{Name: r.Name, Kind: r.Kind, Sent: r.Sent, Failed: r.Failed, Dropped: r.Dropped, Queued: r.Queued, Error: oneLine(r.LastError)}
		if !r.LastSuccess.IsZero() {
			row.Success = stampOf(r.LastSuccess, now)
		}
		if !r.LastFailure.IsZero() {
			row.Failure = stampOf(r.LastFailure, now)
		}
		p.Receivers = append(p.Receivers, row)
	}
	p.Classes = gapClasses(v.gaps(), now)
	for _, g := range v.gaps()[:min(p.GapCount, gapsShown)] {
		p.Gaps = append(p.Gaps, newGapRow(&g, now))
	}
	return p
}

// tookWords is in milliseconds where tenths of a second would say nothing.
func tookWords(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	}
	return span(d)
}

// gapClasses counts gaps, the most first.
func gapClasses(gaps []fleet.Gap, now time.Time) []gapClass {
	type key struct {
		kind  fleet.GapKind
		class fleet.Class
	}
	counts, since := make(map[key]int), make(map[key]time.Time)
	for i := range gaps {
		g := &gaps[i]
		k := key{g.Kind, g.Class}
		counts[k]++
		if was, ok := since[k]; !ok || g.Since.Before(was) {
			since[k] = g.Since
		}
	}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b key) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.kind, b.kind), cmp.Compare(a.class, b.class))
	})
	classes := make([]gapClass, len(keys))
	for i, k := range keys {
		classes[i] = gapClass{Kind: k.kind, Class: k.class, Count: counts[k], Since: stampOf(since[k], now)}
	}
	return classes
}

func daemonFacts(v *View, now time.Time) []fact {
	facts := []fact{
		{"Version", v.Version},
		{"Started", at(v.Started, now) + ", " + wholeAgo(v.Started, now) + " ago"},
		{"Last pass", passWords(v.Pass, now)},
	}
	full := "none yet"
	if !v.LastFull.IsZero() {
		full = wholeAgo(v.LastFull, now) + " ago, limit " + span(v.ReadyWithin)
	}
	facts = append(facts, fact{"Last full pass", full})
	if s := v.Snapshot; s != nil {
		modes := make(map[policy.Mode]int)
		for _, svc := range s.Services {
			modes[v.mode(svc.ID)]++
		}
		facts = append(facts,
			fact{"Watches", fmt.Sprintf("%s, %s, %s", count(len(s.Clusters), "cluster", "clusters"), count(len(s.Services), "service", "services"), count(len(s.TargetGroups), "target group", "target groups"))},
			fact{"Modes", fmt.Sprintf("%s in mode detach, %d in mode observe", count(modes[policy.Detaching], "service", "services"), modes[policy.Observing])})
	}
	for _, u := range v.Usage {
		if u.Service == (fleet.ServiceID{}) {
			facts = append(facts, fact{"Limit of the fleet", useWords(u)})
		}
	}
	state := "in memory: a restart forgets timelines and detachments"
	if v.State != "" {
		state = "in " + v.State
	}
	for _, h := range v.Halts {
		if h.Cause == "journal" {
			state += "; it cannot be written: " + h.Detail
		}
	}
	return append(facts,
		fact{"Journal", state},
		fact{"Timelines", fmt.Sprintf("%d open, %d closed are kept", len(v.Open), len(v.Closed))},
	)
}
