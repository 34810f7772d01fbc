package status_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// lanes are a page's lanes by name: their bars as "class x+width".
func lanes(page string) map[string]string {
	all := make(map[string]string)
	for _, li := range regexp.MustCompile(`(?s)<li( class="point")?><span class="lane"><bdi>(.*?)</bdi>(.*?)</li>`).FindAllStringSubmatch(page, -1) {
		var bars []string
		for _, r := range regexp.MustCompile(`<rect x="(.*?)%" width="(.*?)%" y="2" height="12" class="(.*?)"`).FindAllStringSubmatch(li[3], -1) {
			bars = append(bars, fmt.Sprintf("%s %s+%s", r[3], r[1], r[2]))
		}
		all[li[2]] = strings.Join(bars, ", ")
	}
	return all
}

// What took time is drawn to scale, and what is only bounded has soft edges.
func TestWaterfall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// 200 s from the lower bound of onset until now: half a per cent a second.
		v := &status.View{Open: []*timeline.Timeline{hung("a", time.Now().Add(-195*time.Second), 195*time.Second)}}
		got := lanes(get(handler(v), "/timelines/"+string(v.Open[0].ID)).Body.String())
		for lane, want := range map[string]string{
			"undetected":            "undetected soft 0.00+5.00, undetected 5.00+4.50, undetected soft 9.50+2.00",
			"exposed":               "exposure soft 9.50+2.00, exposure 11.50+57.00, exposure soft 68.50+2.00",
			"no replacement yet":    "wait soft 9.50+2.00, wait 11.50+9.00",
			"replacement starts":    "replacement 20.50+11.00",
			"replacement registers": "replacement 31.50+35.50, replacement soft 67.00+2.00",
			"drain":                 "drain soft 68.50+2.00, drain 70.50+29.50", // not over yet
			"unhealthy":             "point soft 9.50+2.00, point mark 10.50+0.40",
			"replacement created":   "point mark 20.50+0.40",
		} {
			if got[lane] != want {
				t.Errorf("%s: %s\nwant %s", lane, got[lane], want)
			}
		}
		if _, ok := got["containers stop"]; ok {
			t.Error("what has not begun is drawn")
		}
	})
}

// What is not known is not drawn.
func TestWaterfallDrawsNoExposureThatIsNotKnown(t *testing.T) {
	for name, edit := range map[string]func(*timeline.Timeline){
		"unread":     func(tl *timeline.Timeline) { tl.Unread = true },
		"no targets": func(tl *timeline.Timeline) { tl.Targets = nil },
		"lost":       func(tl *timeline.Timeline) { tl.Closed = time.Now(); tl.Targets[0].Good[0].To = timeline.Bounds{} },
	} {
		tl := hung("a", time.Now().Add(-100*time.Second), 100*time.Second)
		edit(tl)
		page := get(handler(&status.View{Open: []*timeline.Timeline{tl}}), "/timelines/"+string(tl.ID)).Body.String()
		if bars, ok := lanes(page)["exposed"]; ok {
			t.Errorf("%s: %s", name, bars)
		}
	}
}

// SAFETY: whatever the bounds, every bar is within its lane and can be seen, and
// the pages answer.
func TestSafetyBarsStayInTheirLanes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Now()
		bounds := rapid.Custom(func(t *rapid.T) timeline.Bounds {
			after := now.Add(-time.Duration(rapid.IntRange(-10, 1e6).Draw(t, "ago")) * time.Second)
			b := timeline.Bounds{NotAfter: after}
			if rapid.Bool().Draw(t, "bounded") {
				b.NotBefore = after.Add(-time.Duration(rapid.IntRange(0, 1000).Draw(t, "width")) * time.Second)
			}
			return b
		})
		tl := &timeline.Timeline{ID: "x", Trigger: timeline.ContainerCheck, Opened: bounds.Draw(t, "opened").NotAfter}
		for _, k := range timeline.Kinds {
			if rapid.Bool().Draw(t, string(k)) {
				tl.Milestones = append(tl.Milestones, timeline.Milestone{Kind: k, Bounds: bounds.Draw(t, "bounds")})
			}
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "targets") {
			target := timeline.Target{}
			target.Key.Port = i
			for range rapid.IntRange(0, 2).Draw(t, "good") {
				s := timeline.Span{From: bounds.Draw(t, "from")}
				if rapid.Bool().Draw(t, "over") {
					s.To = bounds.Draw(t, "to")
				}
				target.Good = append(target.Good, s)
			}
			tl.Targets = append(tl.Targets, target)
		}
		v := &status.View{Open: []*timeline.Timeline{tl}}
		if rapid.Bool().Draw(t, "closed") {
			tl.Closed = now
			v = &status.View{Closed: v.Open}
		}
		for _, path := range []string{"/", "/timelines?state=", "/timelines/x", "/timelines/x/text"} {
			w := get(handler(v), path)
			if w.Code != 200 {
				t.Fatalf("%s: %d", path, w.Code)
			}
			for _, r := range regexp.MustCompile(`<rect x="(.*?)%" width="(.*?)%"`).FindAllStringSubmatch(w.Body.String(), -1) {
				x, err := strconv.ParseFloat(r[1], 64)
				width, err2 := strconv.ParseFloat(r[2], 64)
				if err != nil || err2 != nil || x < 0 || width < 0.4 || x+width > 100.011 {
					t.Fatalf("%s: a bar from %s, %s wide", path, r[1], r[2])
				}
			}
		}
	})
}
