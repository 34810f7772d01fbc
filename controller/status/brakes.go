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

// brakeBanners say what keeps castoff from acting, what weighs most first.
func brakeBanners(v *View, now time.Time) []*banner {
	var all []*banner
	for i, h := range v.Halts {
		if i == 0 {
			all = append(all, &banner{Level: "halted", Word: "Halted", Head: oneLine(fmt.Sprintf("castoff has stopped acting (%s): %s.", h.Cause, h.Detail))})
			continue
		}
		all[0].Rest = append(all[0].Rest, oneLine(fmt.Sprintf("And %s: %s.", h.Cause, h.Detail)))
	}
	if ps := v.pauses(now); len(ps) == 1 {
		all = append(all, &banner{Level: "paused", Word: "Paused", Head: oneLine(pauseSentence(&ps[0], now))})
	} else if len(ps) > 1 {
		all = append(all, &banner{Level: "paused", Word: "Paused", Head: fmt.Sprintf("castoff detaches nothing in %d places.", len(ps))})
	}
	if ls := v.Latches; len(ls) == 1 {
		where := "on " + latchWhere(&ls[0])
		if ls[0].Service == (fleet.ServiceID{}) {
			where = "at all"
		}
		all = append(all, &banner{
			Level: "latched", Word: "Latched", For: clockOf(ls[0].Since, now),
			Head: oneLine(fmt.Sprintf("castoff does not act %s until %s UTC: %s.", where, stampOf(ls[0].Until, now).Text, latchWhy(&ls[0]))),
		})
	} else if len(ls) > 1 {
		all = append(all, &banner{Level: "latched", Word: "Latched", Head: fmt.Sprintf("castoff does not act in %d places, because too many failed at once.", len(ls))})
	}
	return all
}

func pauseSentence(p *policy.Pause, now time.Time) string {
	said := "castoff detaches nothing"
	if p.Scope == policy.ScopeCluster || p.Scope == policy.ScopeService {
		said += " of " + pauseWhere(p)
	}
	switch {
	case p.Problem != "":
		return said + ", by a tag that cannot be read."
	case p.Until.IsZero():
		said += ", until further notice"
	default:
		said += " until " + stampOf(p.Until, now).Text + " UTC"
	}
	if p.Owner != "" {
		said += ", by " + p.Owner
	}
	if p.Reason != "" {
		said += ": " + p.Reason
	}
	return said + "."
}
