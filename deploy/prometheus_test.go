package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/castoff-ecs/castoff/metrics"
)

// rule is a recording or an alerting rule.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T, file string) []rule {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var groups struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(data, &groups); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var all []rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", file)
	}
	return all
}

// names are the labels of each series that an expression may ask for: those of
// the catalogue, what Prometheus adds, and what the recording rules make.
type names map[string][]string

// scraped are the labels that Prometheus gives every series.
var scraped = []string{"job", "instance"}

func known(t *testing.T) names {
	t.Helper()
	all := names{"up": scraped}
	for _, m := range metrics.Catalogue() {
		labels := slices.Concat(m.Labels, scraped)
		if m.Type != metrics.Histogram {
			all[m.Name] = labels
			continue
		}
		all[m.Name] = labels // a native one
		all[m.Name+"_sum"], all[m.Name+"_count"], all[m.Name+"_bucket"] = labels, labels, append(slices.Clone(labels), "le")
	}
	for _, name := range []string{"process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds", "go_goroutines"} { // README says that they are there
		all[name] = scraped
	}
	for _, r := range rules(t, "prometheus/rules.yml") {
		all[r.Record] = recorded(t, r)
	}
	return all
}

// recorded are the labels of a recording rule: what its outer aggregation, or
// the one below a binary operation or a function, keeps.
func recorded(t *testing.T, r rule) []string {
	t.Helper()
	expr, err := parser.ParseExpr(r.Expr)
	if err != nil {
		t.Fatalf("%s: %v", r.Record, err)
	}
	var labels []string
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok && labels == nil {
			labels = slices.DeleteFunc(slices.Clone(a.Grouping), func(l string) bool { return l == "le" })
		}
		return nil
	})
	return labels
}

// mistakes are what is wrong with an expression: it does not parse, or it asks
// for a series or a label that nobody has.
func (k names) mistakes(text string) []string {
	expr, err := parser.ParseExpr(text)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	labels := func(n parser.Node) map[string]bool { // of all series below
		all := map[string]bool{}
		parser.Inspect(n, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok {
				for _, l := range k[s.Name] {
					all[l] = true
				}
			}
			return nil
		})
		return all
	}
	uses := func(n parser.Node, asked []string) {
		there := labels(n)
		for _, l := range asked {
			if !there[l] {
				found = append(found, fmt.Sprintf("%s has no label %s", n, l))
			}
		}
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			if _, ok := k[n.Name]; !ok {
				found = append(found, fmt.Sprintf("there is no series %q", n.Name))
				break
			}
			for _, m := range n.LabelMatchers {
				if m.Name != "__name__" {
					uses(n, []string{m.Name})
				}
			}
		case *parser.AggregateExpr:
			uses(n.Expr, n.Grouping)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				uses(n, n.VectorMatching.MatchingLabels)
				uses(n, n.VectorMatching.Include)
			}
		}
		return nil
	})
	return found
}

// TestRulesUseTheCatalogue: every expression of a rule asks for what there is.
func TestRulesUseTheCatalogue(t *testing.T) {
	k := known(t)
	for _, file := range []string{"prometheus/rules.yml", "prometheus/alerts.yml"} {
		for _, r := range rules(t, file) {
			for _, m := range k.mistakes(r.Expr) {
				t.Errorf("%s %s%s: %s", file, r.Record, r.Alert, m)
			}
		}
	}
}

// TestMistakes: what is wrong is found.
func TestMistakes(t *testing.T) {
	k := known(t)
	for _, text := range []string{
		"sum(castoff_exposed_targets", "castoff_exposed_target", `castoff_tasks{state="healthy"}`, "sum by (task) (castoff_tasks)",
		"castoff_phase_second", "castoff_passes_total / on (cluster) castoff_tasks{job=\"x\"} and castoff_exposed", "castoff:exposure:ratio_rate5m{target_group=\"x\"}",
		`up{service="x"}`, "histogram_quantile(0.5, sum by (le, service) (rate(castoff_pass_duration_seconds_bucket[5m])))",
	} {
		if len(k.mistakes(text)) == 0 {
			t.Errorf("%s: nothing found", text)
		}
	}
	for _, text := range []string{
		"sum by (cluster) (castoff_tasks{health=\"unhealthy\"})", "castoff:exposure:ratio_rate5m{service=\"x\"}",
		"histogram_quantile(0.5, sum by (le) (rate(castoff_pass_duration_seconds_bucket[5m])))",
	} {
		if found := k.mistakes(text); len(found) > 0 {
			t.Errorf("%s: %q", text, found)
		}
	}
}

const runbookURL = "https://github.com/castoff-ecs/castoff/blob/main/deploy/runbooks/"

// TestAlertsAreComplete: each alert says how bad it is and what it is about, has
// a page that starts from it and ends in commands, and a test that it fires and
// one that it does not. The labels that its texts name are there.
func TestAlertsAreComplete(t *testing.T) {
	k := known(t)
	fires, quiet := tested(t)
	pages := map[string]bool{}
	alerts := rules(t, "prometheus/alerts.yml")
	for _, a := range alerts {
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has severity %q", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || a.Annotations["runbook_url"] != runbookURL+a.Alert+".md" {
			t.Errorf("%s has annotations %v", a.Alert, a.Annotations)
		}
		if !fires[a.Alert] || !quiet[a.Alert] {
			t.Errorf("%s: tests.yml has it fire: %t, not fire: %t", a.Alert, fires[a.Alert], quiet[a.Alert])
		}
		page := a.Alert + ".md"
		pages[page] = true
		text, err := os.ReadFile("runbooks/" + page)
		if err != nil {
			t.Error(err)
			continue
		}
		if s := string(text); !strings.HasPrefix(s, "# "+a.Alert+"\n\n") || !strings.HasSuffix(s, "\n```\n") || !strings.Contains(s, "\n```console\n$ ") {
			t.Errorf("%s does not start from its alert and end in commands", page)
		}
		for _, text := range a.Annotations {
			for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
				if found := k.mistakes("sum by (" + m[1] + ") (" + a.Expr + ")"); len(found) > 0 && !strings.Contains(a.Expr, "by (") {
					t.Errorf("%s speaks of the label %s: %s", a.Alert, m[1], found)
				}
			}
		}
	}
	files, err := os.ReadDir("runbooks")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !pages[f.Name()] {
			t.Errorf("runbooks/%s is about no alert", f.Name())
		}
	}
}

// tested are the alerts that tests.yml has fire, and has not fire.
func tested(t *testing.T) (fires, quiet map[string]bool) {
	t.Helper()
	data, err := os.ReadFile("prometheus/tests.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet = map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			if len(a.Expected) > 0 {
				fires[a.Name] = true
			} else {
				quiet[a.Name] = true
			}
		}
	}
	return fires, quiet
}

// TestPagesNameWhatThereIs: metrics, other pages and files that the runbooks and
// README.md name exist.
func TestPagesNameWhatThereIs(t *testing.T) {
	k := known(t)
	pages, err := filepath.Glob("runbooks/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%v, %v", pages, err)
	}
	for _, page := range append(pages, "README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, m := range regexp.MustCompile("`(castoff_[a-z_]+)[`{]").FindAllStringSubmatch(text, -1) {
			if _, ok := k[m[1]]; !ok {
				t.Errorf("%s: there is no metric %s", page, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^):#]+)[#)]`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		for _, m := range regexp.MustCompile("`(deploy/[a-z/.-]+)`").FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^\$ castoff ([a-z]+)`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains([]string{"run", "check", "explain", "healthcheck", "version", "demo"}, m[1]) {
				t.Errorf("%s: there is no castoff %s", page, m[1])
			}
		}
	}
}
