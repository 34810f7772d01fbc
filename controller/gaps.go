package controller

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// gapLog writes a line when gaps open, change their class or close, and none while
// they last: one line for what one call could not read, which may be a hundred things.
type gapLog struct {
	log  *slog.Logger
	open map[gapKey]fleet.Gap
}

type gapKey struct {
	kind fleet.GapKind
	ref  string
}

func (l *gapLog) report(gaps []fleet.Gap) {
	now := make(map[gapKey]fleet.Gap, len(gaps))
	var opened, over []fleet.Gap
	for _, g := range gaps {
		key := gapKey{kind: g.Kind, ref: g.Ref}
		now[key] = g
		if was, ok := l.open[key]; !ok || was.Class != g.Class {
			opened = append(opened, g)
		}
	}
	for key, g := range l.open {
		if _, ok := now[key]; !ok && g.Class != fleet.Paced {
			over = append(over, g)
		}
	}
	slices.SortFunc(over, func(a, b fleet.Gap) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Ref, b.Ref))
	})
	l.open = now
	for _, g := range together(opened, causeOf) {
		level := slog.LevelWarn
		if g.Class == fleet.Paced {
			level = slog.LevelDebug // castoff's own doing, and over soon
		}
		l.log.Log(context.Background(), level, "cannot see", g.attrs("detail", g.Detail)...)
	}
	for _, g := range together(over, func(g fleet.Gap) cause { return cause{kind: g.Kind, class: g.Class} }) {
		l.log.Info("can see again", g.attrs("since", g.Since)...)
	}
}

// cause is what gaps have in common that one failure made.
type cause struct {
	kind  fleet.GapKind
	class fleet.Class
	why   string // the operation, and what AWS said of it
}

// causeOf takes the cause from a gap's detail, which is "OPERATION of THING: WHY".
func causeOf(g fleet.Gap) cause {
	attempted, why, _ := strings.Cut(g.Detail, ": ")
	operation, _, _ := strings.Cut(attempted, " ")
	return cause{g.Kind, g.Class, operation + ": " + why}
}

// likeGap is the first of gaps that are alike, and how many others there are.
type likeGap struct {
	fleet.Gap
	others int
}

func (g likeGap) attrs(more ...any) []any {
	attrs := append([]any{"kind", g.Kind, "ref", g.Ref, "class", g.Class}, more...)
	if g.others > 0 {
		attrs = append(attrs, "others", g.others)
	}
	return attrs
}

// together puts together the gaps of one cause, and those of more causes than anybody
// reads lines about.
func together(gaps []fleet.Gap, of func(fleet.Gap) cause) []likeGap {
	causes := make(map[cause]map[cause]bool)
	for _, g := range gaps {
		c := of(g)
		rough := cause{kind: c.kind, class: c.class}
		if causes[rough] == nil {
			causes[rough] = make(map[cause]bool)
		}
		causes[rough][c] = true
	}
	var out []likeGap
	at := make(map[cause]int)
	for _, g := range gaps {
		c := of(g)
		if rough := (cause{kind: c.kind, class: c.class}); len(causes[rough]) > manyAlike {
			c = rough
		}
		if i, ok := at[c]; ok {
			out[i].others++
			continue
		}
		at[c] = len(out)
		out = append(out, likeGap{Gap: g})
	}
	return out
}
