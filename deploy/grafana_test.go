package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// panel is as much of a dashboard's panel as is held to anything.
type panel struct {
	ID          int
	Title, Type string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ UID string }
	Targets     []struct{ Expr, LegendFormat string }
}

func dashboards(t *testing.T) map[string][]panel {
	t.Helper()
	files, err := filepath.Glob("grafana/*.json")
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	all := map[string][]panel{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Title  string
			Panels []panel
		}
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[d.Title] = d.Panels
	}
	return all
}

// asked is an expression with Grafana's variables filled in.
func asked(expr, rate, window string) string {
	return strings.NewReplacer("$__rate_interval", rate, "$__range", window, "$cluster", ".*", "$service", ".*").Replace(expr)
}

// TestDashboards: every panel asks for what there is, has a place of its own, and
// takes its data from the source that the reader chose.
func TestDashboards(t *testing.T) {
	k := known(t)
	for title, panels := range dashboards(t) {
		ids := map[int]bool{}
		var taken [24][200]string
		for _, p := range panels {
			if p.Title == "" || len(p.Targets) == 0 || ids[p.ID] || p.Datasource.UID != "${datasource}" {
				t.Errorf("%s: panel %d, %q: %d expressions, data from %s", title, p.ID, p.Title, len(p.Targets), p.Datasource.UID)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if x >= 24 || taken[x][y] != "" {
						t.Fatalf("%s: %q is where %q is, or outside", title, p.Title, taken[min(x, 23)][y])
					}
					taken[x][y] = p.Title
				}
			}
			for _, target := range p.Targets {
				for _, m := range k.mistakes(asked(target.Expr, "5m", "1d")) {
					t.Errorf("%s: %s: %s", title, p.Title, m)
				}
			}
		}
		if len(panels) < 10 {
			t.Errorf("%s has %d panels", title, len(panels))
		}
	}
}

// TestEveryMetricIsShown: what castoff measures is on a dashboard or in an alert.
func TestEveryMetricIsShown(t *testing.T) {
	var shown strings.Builder
	for _, panels := range dashboards(t) {
		for _, p := range panels {
			for _, target := range p.Targets {
				shown.WriteString(target.Expr + "\n")
			}
		}
	}
	for _, file := range []string{"prometheus/rules.yml", "prometheus/alerts.yml"} {
		for _, r := range rules(t, file) {
			shown.WriteString(r.Expr + "\n")
		}
	}
	for name := range known(t) {
		switch {
		case strings.HasSuffix(name, "_sum"), strings.HasSuffix(name, "_count"), !strings.HasPrefix(name, "castoff"):
		case strings.HasPrefix(name, "castoff_phase_error_seconds"), name == "castoff_saved_error_seconds_total", name == "castoff:exposed_targets:sum",
			name == "castoff_recording":
			// How exact the others are; and for those who ask by hand.
		case !strings.Contains(shown.String(), name):
			t.Errorf("nobody shows %s", name)
		}
	}
}
