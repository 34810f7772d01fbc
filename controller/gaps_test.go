package controller

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// What one failure hides is one line, however many things it hides; what fails for
// causes of its own has lines of its own, but no more than anybody reads.
func TestGapLog(t *testing.T) {
	var log bytes.Buffer
	l := gapLog{log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))}
	lines := func(gaps ...[]fleet.Gap) []string {
		log.Reset()
		l.report(slices.Concat(gaps...))
		return strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	}
	some := func(kind fleet.GapKind, class fleet.Class, n int, detail string) (gaps []fleet.Gap) {
		for i := range n {
			ref := fmt.Sprintf("x%02d", i)
			gaps = append(gaps, fleet.Gap{Kind: kind, Ref: ref, Class: class, Detail: strings.ReplaceAll(detail, "REF", ref), Since: noon.Add(time.Duration(i))})
		}
		return gaps
	}
	services := some(fleet.GapService, fleet.Transient, 40, "DescribeServices of REF: HTTP 503")
	groups := some(fleet.GapTargetHealth, fleet.Transient, 3, "DescribeTargetHealth of REF: no REF")
	many := some(fleet.GapTags, fleet.Denied, manyAlike+1, "DescribeTags of REF: no REF")
	for _, step := range []struct {
		name string
		got  []string
		want []string
	}{
		{"they open", lines(services, groups, many, some(fleet.GapTasks, fleet.Paced, 5, "not read yet")), []string{
			`level=WARN msg="cannot see" kind=service ref=x00 class=transient detail="DescribeServices of x00: HTTP 503" others=39`,
			`level=WARN msg="cannot see" kind=target_health ref=x00 class=transient detail="DescribeTargetHealth of x00: no x00"`,
			`level=WARN msg="cannot see" kind=target_health ref=x01 class=transient detail="DescribeTargetHealth of x01: no x01"`,
			`level=WARN msg="cannot see" kind=target_health ref=x02 class=transient detail="DescribeTargetHealth of x02: no x02"`,
			`level=WARN msg="cannot see" kind=tags ref=x00 class=denied detail="DescribeTags of x00: no x00" others=10`,
			`level=DEBUG msg="cannot see" kind=tasks ref=x00 class=paced detail="not read yet" others=4`,
		}},
		{"they last", lines(services, groups, many), []string{""}},
		{"one goes", lines(services[1:], groups, many), []string{
			`level=INFO msg="can see again" kind=service ref=x00 class=transient since=2026-01-01T12:00:00.000Z`,
		}},
		{"another class", lines(some(fleet.GapService, fleet.Denied, 2, "DescribeServices of REF: no"), services[2:], groups, many), []string{
			`level=WARN msg="cannot see" kind=service ref=x00 class=denied detail="DescribeServices of x00: no" others=1`,
		}},
		{"all go", lines(), []string{
			`level=INFO msg="can see again" kind=service ref=x00 class=denied since=2026-01-01T12:00:00.000Z others=1`,
			`level=INFO msg="can see again" kind=tags ref=x00 class=denied since=2026-01-01T12:00:00.000Z others=10`,
			`level=INFO msg="can see again" kind=target_health ref=x00 class=transient since=2026-01-01T12:00:00.000Z others=2`,
			`level=INFO msg="can see again" kind=service ref=x02 class=transient since=2026-01-01T12:00:00.000Z others=37`,
		}},
	} {
		if !slices.Equal(step.got, step.want) {
			t.Errorf("%s:\n%s\nwant\n%s", step.name, strings.Join(step.got, "\n"), strings.Join(step.want, "\n"))
		}
	}
}
