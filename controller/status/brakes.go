package status

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// brakeRow is one thing that keeps castoff from acting.
type brakeRow struct {
	What  string // halted, paused, latched
	Which string // everything, a cluster, a service
	Why   string
	By    string
	Until string
}

func newBrakeRows(v *View, now time.Time) []brakeRow {
	var rows []brakeRow
	for _, h := range v.Halts {
		rows = append(rows, brakeRow{What: "halted", Which: "everything", Why: h.Detail, By: "castoff, " + h.Cause, Until: "it is mended"})
	}
	for _, p := range v.pauses(now) {
		row := brakeRow{What: "paused", Which: pauseWhere(&p), Why: p.Reason, By: p.Owner, Until: "further notice"}
		switch {
		case p.Problem != "":
			row.Why = "the tag cannot be read, and so holds: " + p.Problem
		case p.KeepOut:
			row.Why += "; nothing is put back either"
		}
		if !p.Until.IsZero() {
			row.Until = stampOf(p.Until, now).Text
		}
		if p.From != "" {
			row.By = join(row.By, "by "+string(p.From))
		}
		rows = append(rows, row)
	}
	for _, l := range v.Latches {
		rows = append(rows, brakeRow{
			What: "latched", Which: latchWhere(&l), By: "castoff, " + string(policy.Correlated), Until: stampOf(l.Until, now).Text,
			Why: latchWhy(&l),
		})
	}
	return rows
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

func pauseWhere(p *policy.Pause) string {
	switch p.Scope {
	case policy.ScopeCluster:
		return "cluster " + p.Service.Cluster
	case policy.ScopeService:
		return p.Service.String()
	default:
		return "everything"
	}
}

func latchWhere(l *policy.Latch) string {
	if l.Service == (fleet.ServiceID{}) {
		return "everything"
	}
	return l.Service.String()
}

func latchWhy(l *policy.Latch) string {
	if l.Service == (fleet.ServiceID{}) {
		return fmt.Sprintf("%d of %s had failing tasks at once: suspect what they have in common", l.Failing, count(l.Of, "service", "services"))
	}
	return fmt.Sprintf("%d of %s failed at once: suspect the check, or what they depend on", l.Failing, count(l.Of, "task", "tasks"))
}

// brakeSentences say in the banner what keeps castoff from acting, with the
// level that this is worth.
func brakeSentences(v *View, now time.Time) (sentences []string, level string) {
	level = "calm"
	if ls := v.Latches; len(ls) == 1 {
		level = "paused"
		where := "on " + latchWhere(&ls[0])
		if ls[0].Service == (fleet.ServiceID{}) {
			where = "at all"
		}
		sentences = append(sentences, fmt.Sprintf("Castoff does not act %s until %s UTC: too many failed at once.", where, stampOf(ls[0].Until, now).Text))
	} else if len(ls) > 1 {
		level = "paused"
		sentences = append(sentences, fmt.Sprintf("Castoff does not act in %d places: too many failed at once.", len(ls)))
	}
	if ps := v.pauses(now); len(ps) == 1 {
		level = "paused"
		sentences = append(sentences, pauseSentence(&ps[0], now))
	} else if len(ps) > 1 {
		level = "paused"
		sentences = append(sentences, fmt.Sprintf("Acting is paused in %d places.", len(ps)))
	}
	if len(v.Halts) > 0 {
		level = "halted"
		h := v.Halts[0]
		sentences = append([]string{fmt.Sprintf("Castoff has stopped acting (%s): %s.", h.Cause, h.Detail)}, sentences...)
	}
	return sentences, level
}

func pauseSentence(p *policy.Pause, now time.Time) string {
	said := "Acting is paused for " + pauseWhere(p)
	switch {
	case p.Problem != "":
		return said + " by a tag that cannot be read."
	case p.Until.IsZero():
		said += " until further notice"
	default:
		said += " until " + stampOf(p.Until, now).Text + " UTC"
	}
	if p.Owner != "" {
		said += " by " + p.Owner
	}
	return said + "."
}
