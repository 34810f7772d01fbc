package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/policy"
)

var update = flag.Bool("update", false, "rewrite the expected reports under testdata")

// ruleNames are the rules of every setting, then those of single settings.
func ruleNames() []string {
	names := []string{
		ruleSize, ruleEncoding, ruleSyntax, ruleOneDocument, ruleNoAnchors, ruleNoTags,
		ruleUnknownKey, ruleDuplicateKey, ruleType, ruleDuration, ruleDurationUnit, ruleInstant,
	}
	for _, r := range rules() {
		names = append(names, r.name)
	}
	return append(names, limitRules()...)
}

// limitRules are the rules of policy's limits, by their paths.
func limitRules() []string {
	names := []string{
		"limits.budget.service.least.order", "limits.budget.group.least.order",
		"limits.recovery.window.order", "fleet.budget.least.order",
	}
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		switch {
		case isSection(t):
			for _, k := range keysOf(t) {
				walk(t.Field(k.field).Type, join(path, k.name))
			}
		case t.Kind() != reflect.Bool:
			names = append(names, path+".range")
		}
	}
	walk(reflect.TypeFor[policy.Limits](), "limits")
	walk(reflect.TypeFor[policy.FleetLimits](), "fleet")
	return names
}

// badFile is the file that breaks a rule.
func badFile(t *testing.T, rule string) (name string, data []byte) {
	t.Helper()
	name = rule + ".yaml"
	if rule == ruleSize {
		return name, bytes.Repeat([]byte("# a comment\n"), maxSize/12+1)
	}
	data, err := os.ReadFile(filepath.Join("testdata", "rules", name))
	if err != nil {
		t.Fatalf("every rule has a file that breaks it: %v", err)
	}
	return name, data
}

func TestEveryRuleHasABadFileAndItsReport(t *testing.T) {
	names := ruleNames()
	for i, rule := range names {
		if slices.Contains(names[:i], rule) {
			t.Errorf("two rules are named %s", rule)
		}
		t.Run(rule, func(t *testing.T) {
			name, data := badFile(t, rule)
			problems := report(t, name, data, filepath.Join("testdata", "rules", rule+".report"))
			if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Rule == rule }) {
				t.Errorf("%s does not break its rule", name)
			}
		})
	}
	files, err := filepath.Glob("testdata/rules/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		rule := strings.TrimSuffix(filepath.Base(f), filepath.Ext(f))
		if !slices.Contains(names, rule) {
			t.Errorf("%s is named for no rule", f)
		}
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	data, err := os.ReadFile("testdata/everything-wrong.yaml")
	if err != nil {
		t.Fatal(err)
	}
	report(t, "everything-wrong.yaml", data, "testdata/everything-wrong.report")
}

// report parses a bad file and holds what is said of it against a golden file.
func report(t *testing.T, name string, data []byte, golden string) []Problem {
	t.Helper()
	c, err := Parse(name, data)
	bad, ok := err.(*ValidationError) //nolint:errorlint // The contract is this very type.
	if !ok {
		t.Fatalf("Parse: %v, want a *ValidationError", err)
	}
	if !reflect.DeepEqual(c, Config{}) {
		t.Errorf("Parse gave a Config beside the error")
	}
	got := bad.Error() + "\n"
	if strings.Contains(got, "hunter") {
		t.Errorf("the report tells the secret:\n%s", got)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("report of %s:\n%swant:\n%s", name, got, want)
	}
	return bad.Problems
}

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestExampleIsTheDefault(t *testing.T) {
	data, err := os.ReadFile("castoff.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("castoff.example.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("the example is not the default:\n%s", c)
	}
	// Without this an empty file would pass.
	r := newReader(new(Config))
	r.read(mustDocument(t, data))
	for _, path := range settings(reflect.TypeFor[Config]()) {
		if r.lines[path] == 0 && !strings.Contains(path, "[]") {
			t.Errorf("the example lacks %s", path)
		}
	}
}

func TestParseLeavesDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "---\n...\n", "{}", "~", "\ufeff", "%YAML 1.2\n---\n", "polling:\n  # interval: 1s\nclusters:\nregion: ~\n", "clusters: []"} {
		c, err := Parse("f", []byte(text))
		if err != nil || !reflect.DeepEqual(c, Default()) {
			t.Errorf("Parse(%q) = %v, %v, want the default", text, c, err)
		}
	}
}

func TestParseSets(t *testing.T) {
	tests := []struct {
		text string
		set  func(*Config)
	}{
		{"region: eu-central-1", func(c *Config) { c.Region = "eu-central-1" }},
		{"region: us-gov-west-1", func(c *Config) { c.Region = "us-gov-west-1" }},
		{"region: eusc-de-east-1", func(c *Config) { c.Region = "eusc-de-east-1" }},
		{"region: |-\n  eu-central-1", func(c *Config) { c.Region = "eu-central-1" }},
		{"? region\n: eu-central-1", func(c *Config) { c.Region = "eu-central-1" }},
		{"\ufeffregion: eu-central-1\r\n", func(c *Config) { c.Region = "eu-central-1" }},
		{"%YAML 1.2\n---\nregion: eu-central-1\n---\n", func(c *Config) { c.Region = "eu-central-1" }},
		{"clusters:\n- a\n- arn:aws-cn:ecs:cn-north-1:123456789012:cluster/b_2", func(c *Config) {
			c.Clusters = []string{"a", "arn:aws-cn:ecs:cn-north-1:123456789012:cluster/b_2"}
		}},
		{"aws: {assume_role: {arn: 'arn:aws:iam::123456789012:role/ops/castoff', external_id: '0123', session_name: me@example}}", func(c *Config) {
			c.AWS.AssumeRole = AssumeRole{ARN: "arn:aws:iam::123456789012:role/ops/castoff", ExternalID: "0123", SessionName: "me@example"}
		}},
		{"aws: {budgets: {elb_read: 12}}", func(c *Config) { c.AWS.Budgets.ELBRead = 12 }},
		{"aws: {budgets: {elb_read: 1.25}}", func(c *Config) { c.AWS.Budgets.ELBRead = 1.25 }},
		{"polling: {interval: 1m30s, calm_interval: 90s}", func(c *Config) {
			c.Polling.Interval, c.Polling.CalmInterval = 90*time.Second, 90*time.Second
		}},
		{"timelines: {keep: {count: 5}}", func(c *Config) { c.Timelines.Keep.Count = 5 }},
		{"web: {listen: :0}", func(c *Config) { c.Web.Listen = ":0" }},
		{"web: {listen: '[2001:db8::1]:80', config_file: web.yml}", func(c *Config) {
			c.Web = Web{Listen: "[2001:db8::1]:80", ConfigFile: "web.yml"}
		}},
		{"log: {level: debug, format: text}", func(c *Config) { c.Log = Log{Level: Debug, Format: Text} }},
	}
	for _, test := range tests {
		want := Default()
		test.set(&want)
		got, err := Parse("f", []byte(test.text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%q) = %v, %v, want %v", test.text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"clusters: [1, ~, a]", "f:1: clusters[0]: must be text: put it in quotes (got 1)\nf:1: clusters[1]: must not be empty"},
		{"clusters:\n- [a]", "f:2: clusters[0]: must be text (got a list)"},
		{"web: {listen: 'localhost:70000'}", `f:1: web.listen: must be host:port or :port, such as 127.0.0.1:9468 (got "localhost:70000")`},
		{"web: {listen: ':http'}", `f:1: web.listen: must be host:port or :port, such as 127.0.0.1:9468 (got ":http")`},
		{"region: EU (Frankfurt)", `f:1: region: must be the code of an AWS region, such as eu-central-1 (got "EU (Frankfurt)")`},
		{"region: " + strings.Repeat("é", 100), `f:1: region: must be the code of an AWS region, such as eu-central-1 (got "` + strings.Repeat("é", 80) + `…")`},
		{"timelines: {keep: {count: 18446744073709551615}}", "f:1: timelines.keep.count: must be a whole number (got 18446744073709551615)"},
		{"timelines: {keep: {count: 1.5}}", "f:1: timelines.keep.count: must be a whole number (got 1.5)"},
		{"polling: {interval: '5'}", `f:1: polling.interval: must be a duration, such as 30s, 5m or 168h (got "5")`},
		{"polling: {hot_interval: x, interval: 1s}", `f:1: polling.hot_interval: must be a duration, such as 30s, 5m or 168h (got "x")`},
		{"aws: {assume_role: {arn: 'arn:aws:iam::123456789012:role/a', external_id: " + strings.Repeat("x", 1225) + "}}",
			"f:1: aws.assume_role.external_id: must be 2 to 1224 letters, digits or any of _+=,.@:/-"},
		{"- region", "f:1: must be a mapping of settings (got a list)"},
		{"castoff", "f:1: must be a mapping of settings (got text)"},
	}
	for _, test := range tests {
		if _, err := Parse("f", []byte(test.text)); err == nil || err.Error() != test.want {
			t.Errorf("Parse(%q):\n%v\nwant:\n%s", test.text, err, test.want)
		}
	}
	longest := "aws: {assume_role: {arn: 'arn:aws:iam::123456789012:role/a', external_id: " + strings.Repeat("x", 1224) + "}}"
	if _, err := Parse("f", []byte(longest)); err != nil {
		t.Errorf("an external id of 1224 characters: %v", err)
	}
}

// One step within each limit is good, one step beyond is not.
func TestLimits(t *testing.T) {
	const week, year = 168 * time.Hour, 8760 * time.Hour
	durations := []struct {
		path        string
		least, most time.Duration
		field       func(*Config) *time.Duration
	}{
		{"polling.interval", time.Second, 5 * time.Minute, func(c *Config) *time.Duration { return &c.Polling.Interval }},
		{"polling.hot_interval", time.Second, 5 * time.Minute, func(c *Config) *time.Duration { return &c.Polling.HotInterval }},
		{"polling.calm_interval", time.Second, time.Hour, func(c *Config) *time.Duration { return &c.Polling.CalmInterval }},
		{"polling.discovery_interval", time.Second, 10 * time.Minute, func(c *Config) *time.Duration { return &c.Polling.DiscoveryInterval }},
		{"polling.inventory_interval", 10 * time.Second, time.Hour, func(c *Config) *time.Duration { return &c.Polling.InventoryInterval }},
		{"polling.deadline", time.Second, 5 * time.Minute, func(c *Config) *time.Duration { return &c.Polling.Deadline }},
		{"timelines.recovery_window", time.Second, 24 * time.Hour, func(c *Config) *time.Duration { return &c.Timelines.RecoveryWindow }},
		{"timelines.settle_window", time.Second, 24 * time.Hour, func(c *Config) *time.Duration { return &c.Timelines.SettleWindow }},
		{"timelines.lost_after", time.Minute, week, func(c *Config) *time.Duration { return &c.Timelines.LostAfter }},
		{"timelines.keep.age", time.Minute, year, func(c *Config) *time.Duration { return &c.Timelines.Keep.Age }},
	}
	for _, d := range durations {
		for v, bad := range map[time.Duration]bool{d.least - 1: true, d.least: false, d.most: false, d.most + 1: true} {
			c := Default()
			*d.field(&c) = v
			if got := breaks(c, d.path+".range"); got != bad {
				t.Errorf("%s of %s: out of range is %t, want %t", d.path, v, got, bad)
			}
		}
	}
	for v, bad := range map[float64]bool{0.09: true, 0.1: false, 1000: false, 1000.1: true, -1: true} {
		c := Default()
		b := &c.AWS.Budgets
		for name, field := range map[string]*float64{
			"cluster_resource_read": &b.ClusterResourceRead, "service_read": &b.ServiceRead,
			"task_definition_read": &b.TaskDefinitionRead, "cluster_read": &b.ClusterRead, "elb_read": &b.ELBRead, "elb_write": &b.ELBWrite,
		} {
			*field = v
			if got := breaks(c, "aws.budgets."+name+".range"); got != bad {
				t.Errorf("aws.budgets.%s of %v: out of range is %t, want %t", name, v, got, bad)
			}
		}
	}
	for v, bad := range map[int]bool{0: true, 1: false, 1_000_000: false, 1_000_001: true} {
		c := Default()
		c.Timelines.Keep.Count = v
		if got := breaks(c, "timelines.keep.count.range"); got != bad {
			t.Errorf("timelines.keep.count of %d: out of range is %t, want %t", v, got, bad)
		}
	}
}

func breaks(c Config, rule string) bool {
	return slices.ContainsFunc(broken(&c, newReader(&c)), func(p Problem) bool { return p.Rule == rule })
}

// SAFETY: the order of the intervals, by an oracle that knows nothing of rules.
func TestSafetyIntervalsAreInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(1, 300).Draw(t, "seconds")) * time.Second
		})
		hot, interval, calm := second.Draw(t, "hot"), second.Draw(t, "interval"), second.Draw(t, "calm")
		_, err := Parse("f", fmt.Appendf(nil, "polling: {interval: %s, hot_interval: %s, calm_interval: %s}", interval, hot, calm))
		if good := hot <= interval && interval <= calm; good != (err == nil) {
			t.Fatalf("hot %s, interval %s, calm %s: %v", hot, interval, calm, err)
		}
	})
}

// SAFETY: what String writes, Parse reads as the same configuration.
func TestSafetyStringIsReadAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string, least, most int) time.Duration {
			return time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Second
		}
		c := Default()
		c.Region = rapid.SampledFrom([]string{"", "eu-central-1", "us-gov-east-1"}).Draw(t, "region")
		c.Clusters = rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z0-9_-]{1,12}`), 0, 4, rapid.ID[string]).Draw(t, "clusters")
		if len(c.Clusters) == 0 {
			c.Clusters = nil
		}
		c.AWS.AssumeRole.SessionName = rapid.StringMatching(`[a-zA-Z0-9_+=,.@-]{2,64}`).Draw(t, "session")
		c.AWS.Budgets.ELBRead = rapid.Float64Range(0.1, 1000).Draw(t, "elb_read")
		c.Polling.HotInterval = seconds("hot", 1, 10)
		c.Polling.Interval = seconds("interval", 10, 50)
		c.Polling.CalmInterval = seconds("calm", 50, 3600)
		c.Timelines.LostAfter = seconds("lost", 60, 86400)
		c.Timelines.Keep.Count = rapid.IntRange(1, 1_000_000).Draw(t, "count")
		c.Web.ConfigFile = rapid.String().Draw(t, "config_file")
		c.Log.Level = rapid.SampledFrom([]Level{Debug, Info, Warn, Error}).Draw(t, "level")
		got, err := Parse("f", []byte(c.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, c)
		}
		if !reflect.DeepEqual(got, c) {
			t.Fatalf("read %#v, want %#v, from\n%s", got, c, c)
		}
	})
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c := Default()
	c.AWS.AssumeRole.ExternalID = "hunter2"
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("started", "config", c, "role", c.AWS.AssumeRole)
	slog.New(slog.NewTextHandler(&log, nil)).Info("started", "config", c, "id", c.AWS.AssumeRole.ExternalID)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		c.String(), fmt.Sprint(c), fmt.Sprintf("%+v %#v %v %q %x", c, c, c.AWS, c.AWS.AssumeRole.ExternalID, c.AWS.AssumeRole.ExternalID), fmt.Sprint(&c.AWS), log.String(), string(encoded),
	} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("the secret is told: %s", s)
		}
	}
	if !strings.Contains(c.String(), "external_id: <redacted>") {
		t.Errorf("that there is a secret is not told:\n%s", c)
	}
	if got := c.AWS.AssumeRole.ExternalID.Reveal(); got != "hunter2" {
		t.Errorf("Reveal() = %q", got)
	}
}

func TestValidateReportsWithoutAFile(t *testing.T) {
	c := Default()
	c.Polling.Interval = time.Second
	const want = "polling.hot_interval: must be at most polling.interval, which is 1s (got 2s)"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("Validate() = %v, want %s", err, want)
	}
}

func TestLongReportsAreCut(t *testing.T) {
	var b strings.Builder
	for i := range 120 {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	_, err := Parse("f", []byte(b.String()))
	if err == nil || strings.Count(err.Error(), "\n") != reportLimit || !strings.HasSuffix(err.Error(), "and 70 more") {
		t.Errorf("Parse: %v", err)
	}
}

func TestLevels(t *testing.T) {
	for level, want := range map[Level]slog.Level{Debug: slog.LevelDebug, Info: slog.LevelInfo, Warn: slog.LevelWarn, Error: slog.LevelError} {
		if got := level.Slog(); got != want {
			t.Errorf("%s is %s, want %s", level, got, want)
		}
	}
}
