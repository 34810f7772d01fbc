package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

func mustParse(t interface{ Fatalf(string, ...any) }, text string) Config {
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return c
}

func TestParseSetsActing(t *testing.T) {
	limits := func(change func(*policy.Limits)) policy.Limits {
		l := policy.DefaultLimits()
		change(&l)
		return l
	}
	until := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	const who = ", owner: jane@example.com, reason: database upgrade"
	pause := func(p Pause) []Pause {
		p.Owner, p.Reason = "jane@example.com", "database upgrade"
		return []Pause{p}
	}
	tests := []struct {
		text string
		set  func(*Config)
	}{
		{"mode: detach\nstate: none", func(c *Config) { c.Mode, c.State = policy.Detaching, NoState }},
		{"mode: detach\nstate: ./none", func(c *Config) { c.Mode, c.State = policy.Detaching, "./none" }},
		{"state: /var/lib/castoff", func(c *Config) { c.State = "/var/lib/castoff" }},
		{"aws: {budgets: {elb_write: 4}}", func(c *Config) { c.AWS.Budgets.ELBWrite = 4 }},
		{"limits: {floor: {percent: 75}}", func(c *Config) { c.Limits.Floor.Percent = 75 }},
		{"limits: {during_deployment: true}", func(c *Config) { c.Limits.DuringDeployment = true }},
		{"limits: {rate: {per_minute: 0.5}}", func(c *Config) { c.Limits.Rate.PerMinute = 0.5 }},
		{"limits: {budget: {group: {least: 2}}}", func(c *Config) { c.Limits.Budget.Group.Least = 2 }},
		{"limits:\nservices: ~\nfleet: {}\npause: []", func(*Config) {}},
		{"fleet: {budget: {most: 7}, rate: {burst: 1}}", func(c *Config) { c.Fleet.Budget.Most, c.Fleet.Rate.Burst = 7, 1 }},
		{"services: [{match: prod/*}]", func(c *Config) { c.Services = []Service{{Match: Patterns{"prod/*"}, Limits: c.Limits}} }},
		{"services:\n- match: |-\n    prod/*", func(c *Config) { c.Services = []Service{{Match: Patterns{"prod/*"}, Limits: c.Limits}} }},
		{"services:\n- match: [prod/web-?, '*/api']\n  mode: detach\n  limits: {floor: {count: 3}}\nstate: none", func(c *Config) {
			c.State = NoState
			c.Services = []Service{{
				Match: Patterns{"prod/web-?", "*/api"}, Mode: policy.Detaching,
				Limits: limits(func(l *policy.Limits) { l.Floor.Count = 3 }),
			}}
		}},
		{"pause: [{scope: all, until: 2026-11-23T18:00:00Z" + who + "}]", func(c *Config) {
			c.Pause = pause(Pause{Scope: policy.ScopeAll, Until: until, Reattach: true})
		}},
		{"pause: [{scope: all, until: '2026-11-23T20:00:00+02:00', forever: false, reattach: ~" + who + "}]", func(c *Config) {
			c.Pause = pause(Pause{Scope: policy.ScopeAll, Until: until, Reattach: true})
		}},
		{"pause: [{scope: cluster, cluster: prod, forever: true, reattach: false" + who + "}]", func(c *Config) {
			c.Pause = pause(Pause{Scope: policy.ScopeCluster, Cluster: "prod", Forever: true})
		}},
		{"pause: [{scope: service, cluster: prod, service: web, until: 2001-01-01T00:00:00Z" + who + "}]", func(c *Config) {
			c.Pause = pause(Pause{Scope: policy.ScopeService, Cluster: "prod", Service: "web", Until: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), Reattach: true})
		}},
	}
	for _, test := range tests {
		want := Default()
		test.set(&want)
		if got := mustParse(t, test.text); !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%q):\n%v\nwant:\n%v", test.text, got, want)
		}
	}
}

func TestParseRefusesActing(t *testing.T) {
	const who = ", owner: jane@example.com, reason: database upgrade}]"
	tests := []struct{ text, want string }{
		{"limits: {percent: 50}", "f:1: limits.percent: is no setting; did you mean limits.correlated.percent or limits.floor.percent?"},
		{"floor: {percent: 50}", "f:1: floor: is no setting; did you mean limits.floor?"},
		{"detach: true", "f:1: detach: is no setting; there are: aws, clusters, fleet, limits, log, mode, notifications, pause, polling, record, region, services, state, timelines, web"},
		{"services: [{match: a/b}, {match: b/b, Mode: detach}]", "f:1: services[1].Mode: is no setting; did you mean services[1].mode?"},
		{"services: [{match: a/b, limits: {rate: {minute: 5}}}]", "f:1: services[0].limits.rate.minute: is no setting; there are: burst, per_minute"},
		{"services: [{match: */b}]", "f:1: services[0].match: must be written out: anchors, aliases and merge keys are not read, and text that begins with * or & needs quotes"},
		{"services: [{match: 5}]", `f:1: services[0].match: must be a pattern or a list of them, such as "prod/web-*" (got a number)`},
		{"services: [{match: [a/b, 5]}]", "f:1: services[0].match[1]: must be text: put it in quotes (got 5)"},
		{"services: {match: a/b}", "f:1: services: must be a list, such as [a, b] (got a mapping)"},
		{"pause: [{scope: all, until: 2026-11-23" + who, `f:1: pause[0].until: must be an instant, such as 2026-11-23T18:00:00Z (got "2026-11-23")`},
		{"pause: [{scope: all, until: 5" + who, "f:1: pause[0].until: must be an instant, such as 2026-11-23T18:00:00Z (got a number)"},
		// Midnight of these days is in a year that cannot be written.
		{"pause: [{scope: all, until: '0000-01-01T00:00:00+01:00'" + who, `f:1: pause[0].until: must be an instant, such as 2026-11-23T18:00:00Z (got "0000-01-01T00:00:00+01:00")`},
		{"pause: [{scope: all, until: '9999-12-31T23:59:59-01:00'" + who, `f:1: pause[0].until: must be an instant, such as 2026-11-23T18:00:00Z (got "9999-12-31T23:59:59-01:00")`},
		// A pause must not become one without end by how its end is written.
		{"pause: [{scope: all, until: '0001-01-01T00:00:00Z'" + who, "f:1: pause[0].until: must be there, such as 2026-11-23T18:00:00Z, or else forever: true"},
		{"pause: [5]", "f:1: pause[0]: must be a mapping of settings (got a number)"},
		// Inherited mistakes are told where they were made, others where they are.
		{"limits: {floor: {count: 0}}\nservices: [{match: a/b}, {match: b/b, mode: detach}]\nstate: none", "f:1: limits.floor.count: must be between 1 and 100000 (got 0)"},
		{"limits: {floor: {count: 0}}\nservices: [{match: a/b, limits: {floor: {count: 0}}}]",
			"f:1: limits.floor.count: must be between 1 and 100000 (got 0)\nf:2: services[0].limits.floor.count: must be between 1 and 100000 (got 0)"},
		{"limits: {recovery: {max: 1x}}\nservices: [{match: a/b, limits: {recovery: {window: 1h}}}]", `f:1: limits.recovery.max: must be a duration, such as 30s, 5m or 168h (got "1x")`},
		{"limits: {recovery: {max: 1x}}\nservices: [{match: a/b, limits: {recovery: {window: 1h, max: 2m}}}]",
			`f:1: limits.recovery.max: must be a duration, such as 30s, 5m or 168h (got "1x")` + "\n" +
				"f:2: services[0].limits.recovery.window: must be at most services[0].limits.recovery.max (2m) (got 1h)"},
		{"limits: {floor: {count: 0}}\nservices: [{match: a/b, limits: {floor: {count: x}}}]",
			"f:1: limits.floor.count: must be between 1 and 100000 (got 0)\nf:2: services[0].limits.floor.count: must be a whole number (got \"x\")"},
		{"limits: {recovery: {max: 30s}}", "f:1: limits.recovery.window: must be at most limits.recovery.max (30s) (got 1m, the default)"},
		{"limits: 5\nservices: [{match: a/b, limits: {floor: {count: 0}}}]",
			"f:1: limits: must be a mapping of settings (got a number)\nf:2: services[0].limits.floor.count: must be between 1 and 100000 (got 0)"},
		// Both halves of a mistake that is made twice.
		{"limits: {floor: {count: 0}}\nlimits: {floor: {count: 1}}", "f:1: limits.floor.count: must be between 1 and 100000 (got 0)\nf:2: limits: must be there once: it is on line 1 already"},
	}
	for _, test := range tests {
		if _, err := Parse("f", []byte(test.text)); err == nil || err.Error() != test.want {
			t.Errorf("Parse(%q):\n%v\nwant:\n%s", test.text, err, test.want)
		}
	}
}

// Without a file nobody knows which limits a rule inherited: what differs from
// the general ones is its own.
func TestValidateReportsLimitsWithoutAFile(t *testing.T) {
	c := Default()
	c.Limits.Mode = "" // Mode decides
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Limits.Floor.Count = 0
	bad := c.Limits
	bad.Recovery.Window = 2 * time.Hour
	c.Services = []Service{{Match: Patterns{"a/b"}, Limits: c.Limits}, {Match: Patterns{"a/c"}, Limits: bad}}
	c.Pause = []Pause{{Scope: policy.ScopeAll, Forever: true, Owner: "jane"}}
	const want = "limits.floor.count: must be between 1 and 100000 (got 0)\n" +
		"pause[0].reason: must be there: it says why to pause\n" +
		"services[1].limits.recovery.window: must be at most services[1].limits.recovery.max (30m) (got 2h)"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("Validate():\n%v\nwant:\n%s", err, want)
	}
}

// The lists of the example are shown in comments, which must be as good as the
// rest of it and show every key.
func TestExampleListsAreGood(t *testing.T) {
	data, err := os.ReadFile("castoff.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^(services|pause|notifications): \[\]$`).ReplaceAllString(string(data), "$1:")
	text = strings.Replace(text, `state: ""`, "state: /state", 1) // a rule that it shows detaches
	text = regexp.MustCompile(`(?m)^#(  \S|    )`).ReplaceAllString(text, "$1")
	c := mustParse(t, text)
	if len(c.Services) == 0 || len(c.Pause) == 0 || len(c.Notifications) == 0 {
		t.Errorf("%d services, %d pauses and %d receivers are shown", len(c.Services), len(c.Pause), len(c.Notifications))
	}
	r := newReader(new(Config))
	r.read(mustDocument(t, []byte(text)))
	shown := map[string]bool{}
	for path := range r.lines {
		shown[unnumbered(path)] = true
	}
	for _, path := range settings(reflect.TypeFor[Config]()) {
		if !shown[path] && !strings.HasPrefix(path, "services[].limits.") {
			t.Errorf("the example lacks %s", path)
		}
	}
}

// The keys of limits are the names of policy's fields. A field that is renamed
// there must not take its key with it unseen.
func TestKeysOfLimits(t *testing.T) {
	want := strings.Fields(`
		budget budget.group budget.group.least budget.group.most budget.group.percent
		budget.service budget.service.least budget.service.most budget.service.percent
		confirm confirm.for confirm.reads
		contested contested.spacing contested.tries
		correlated correlated.cooldown correlated.count correlated.percent
		during_deployment
		floor floor.count floor.percent
		futile futile.replacements futile.window
		rate rate.burst rate.per_minute
		recovery recovery.growth recovery.max recovery.window
		stale stale.inventory stale.targets stale.tasks
		startup`)
	for _, section := range []string{"limits.", "services[].limits."} {
		var got []string
		for _, path := range settings(reflect.TypeFor[Config]()) {
			if rest, ok := strings.CutPrefix(path, section); ok {
				got = append(got, rest)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s%s, want %s", section, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	c := mustParse(t, `
services:
- match: prod/web-legacy
- match: [prod/web-*, dev/?]
  mode: detach
  limits: {floor: {count: 4}}
- match: "*/batch"
  limits: {startup: 5m}
- match: prod/db
  mode: observe
limits: {floor: {percent: 80}}
mode: detach
state: none
`)
	tests := []struct {
		cluster, name string
		rule          string
		mode          policy.Mode
		count         int
		startup       time.Duration
	}{
		{"prod", "web-legacy", "services[0]", policy.Detaching, 1, time.Minute},
		{"prod", "web-", "services[1]", policy.Detaching, 4, time.Minute},
		{"prod", "web-a", "services[1]", policy.Detaching, 4, time.Minute},
		{"dev", "x", "services[1]", policy.Detaching, 4, time.Minute},
		{"dev", "xy", "default", policy.Detaching, 1, time.Minute},
		{"dev", "", "default", policy.Detaching, 1, time.Minute},
		{"prod", "batch", "services[2]", policy.Detaching, 1, 5 * time.Minute},
		{"prod", "db", "services[3]", policy.Observing, 1, time.Minute},
		{"prod", "web", "default", policy.Detaching, 1, time.Minute},
		{"Prod", "web-a", "default", policy.Detaching, 1, time.Minute},
		{"", "", "default", policy.Detaching, 1, time.Minute},
	}
	for _, test := range tests {
		id := fleet.ServiceID{Cluster: test.cluster, Name: test.name}
		want := policy.DefaultLimits()
		want.Mode, want.Floor, want.Startup = test.mode, policy.FloorLimits{Count: test.count, Percent: 80}, test.startup
		if got := c.LimitsOf(id); got != want {
			t.Errorf("LimitsOf(%s) = %+v, want %+v", id, got, want)
		}
		if got := c.RuleOf(id); got != test.rule {
			t.Errorf("RuleOf(%s) = %s, want %s", id, got, test.rule)
		}
	}
	// A flag that changes the mode reaches the rules that give none.
	c.Mode = policy.Observing
	if got := c.LimitsOf(fleet.ServiceID{Cluster: "prod", Name: "batch"}).Mode; got != policy.Observing {
		t.Errorf("mode %s", got)
	}
	if c.FleetLimits() != policy.DefaultFleetLimits() {
		t.Errorf("FleetLimits() = %+v", c.FleetLimits())
	}
}

func TestPauses(t *testing.T) {
	c := mustParse(t, `
pause:
- {scope: service, cluster: prod, service: web, until: 2026-11-23T18:00:00Z, owner: jane, reason: upgrade}
- {scope: cluster, cluster: dev, forever: true, owner: joe, reason: unused, reattach: false}
- {scope: all, until: 2001-01-01T00:00:00Z, owner: jane, reason: long over}
`)
	until := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	want := []policy.Pause{
		{Scope: policy.ScopeService, Service: fleet.ServiceID{Cluster: "prod", Name: "web"}, Until: until, Owner: "jane", Reason: "upgrade", From: policy.FromConfig},
		{Scope: policy.ScopeCluster, Service: fleet.ServiceID{Cluster: "dev"}, Owner: "joe", Reason: "unused", KeepOut: true, From: policy.FromConfig},
		{Scope: policy.ScopeAll, Until: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), Owner: "jane", Reason: "long over", From: policy.FromConfig},
	}
	if got := c.Pauses(); !reflect.DeepEqual(got, want) {
		t.Errorf("Pauses() = %+v, want %+v", got, want)
	}
	// Not a Config that Parse gives, but a brake all the same.
	c.Pause = []Pause{{Scope: policy.ScopeAll, Forever: true, Until: until}}
	if p := c.Pauses()[0]; !p.Active(until.Add(time.Hour)) {
		t.Error("a pause for ever has ended")
	}
}

// What castoff took out in a cluster that is not named any more is not forgotten,
// unless another of that name has taken its place.
func TestLeftBehind(t *testing.T) {
	const arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/"
	out := func(cluster string, change func(*policy.Detachment)) policy.Detachment {
		d := policy.Detachment{Cluster: fleet.ClusterARN(cluster), Mode: policy.Detaching, Progress: policy.Out}
		if change != nil {
			change(&d)
		}
		return d
	}
	past := []policy.Detachment{
		out(arn+"z", nil), out(arn+"a", nil), out(arn+"z", func(d *policy.Detachment) { d.Progress = policy.Attaching }),
		out(arn+"named", nil), out(arn+"named-by-arn", nil),
		out("arn:aws:ecs:eu-west-1:123456789012:cluster/named", nil), out("arn:aws:ecs:eu-central-1:210987654321:cluster/named-by-arn", nil),
		out(arn+"ended", func(d *policy.Detachment) { d.Progress = policy.Closed }),
		out(arn+"observed", func(d *policy.Detachment) { d.Mode = policy.Observing }),
		out("", nil),
	}
	left := mustParse(t, "clusters: [named, '"+arn+"named-by-arn']").LeftBehind(past)
	if want := []fleet.ClusterARN{arn + "a", arn + "z"}; !slices.Equal(left, want) {
		t.Errorf("%v, want %v", left, want)
	}
	if left := mustParse(t, "").LeftBehind(past); len(left) > 0 {
		t.Errorf("every cluster is watched, and %v are left behind", left)
	}
}

// override is one limit of a file, and what it does.
type override struct {
	yaml string
	set  func(*policy.Limits)
}

func drawOverrides(t *rapid.T, name string) []override {
	n := rapid.IntRange(1, 9).Draw(t, name)
	seconds := time.Duration(n) * time.Second
	all := []override{
		{fmt.Sprintf("confirm: {reads: %d}", n), func(l *policy.Limits) { l.Confirm.Reads = n }},
		{fmt.Sprintf("floor: {count: %d}", n), func(l *policy.Limits) { l.Floor.Count = n }},
		{fmt.Sprintf("budget: {service: {most: %d}}", n), func(l *policy.Limits) { l.Budget.Service.Most = n }},
		{fmt.Sprintf("rate: {per_minute: %d.5}", n), func(l *policy.Limits) { l.Rate.PerMinute = float64(n) + 0.5 }},
		{fmt.Sprintf("correlated: {percent: %d}", n), func(l *policy.Limits) { l.Correlated.Percent = float64(n) }},
		{fmt.Sprintf("startup: %ds", n), func(l *policy.Limits) { l.Startup = seconds }},
		{fmt.Sprintf("stale: {targets: %ds}", n+2), func(l *policy.Limits) { l.Stale.Targets = seconds + 2*time.Second }}, // more than polling.reply_age
		{fmt.Sprintf("during_deployment: %t", n%2 == 0), func(l *policy.Limits) { l.DuringDeployment = n%2 == 0 }},
		{fmt.Sprintf("recovery: {growth: %d}", n), func(l *policy.Limits) { l.Recovery.Growth = float64(n) }},
	}
	chosen := rapid.Permutation(all).Draw(t, name+" overrides")
	return chosen[:rapid.IntRange(0, len(chosen)).Draw(t, name+" count")]
}

// section writes overrides as a mapping on one line.
func section(overrides []override) string {
	var lines []string
	for _, o := range overrides {
		lines = append(lines, o.yaml)
	}
	return "{" + strings.Join(lines, ", ") + "}"
}

// SAFETY: the first rule that matches decides, over the general limits, wherever
// in the file they are. The oracle applies one setting after the other.
func TestSafetyFirstMatchDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		general := drawOverrides(t, "general")
		mode := rapid.SampledFrom(policy.Modes).Draw(t, "mode")
		var patterns []string
		var overrides [][]override
		var modes []policy.Mode
		var services strings.Builder
		services.WriteString("services:\n")
		for _, pattern := range rapid.SliceOfN(drawPattern, 0, 5).Draw(t, "patterns") {
			if slices.ContainsFunc(patterns, func(earlier string) bool { return covers(earlier, pattern) }) {
				continue
			}
			patterns = append(patterns, pattern)
			overrides = append(overrides, drawOverrides(t, "own"))
			modes = append(modes, rapid.SampledFrom(append([]policy.Mode{""}, policy.Modes...)).Draw(t, "own mode"))
			fmt.Fprintf(&services, "- {match: %q, limits: %s, mode: %s}\n", pattern, section(overrides[len(overrides)-1]), modes[len(modes)-1])
		}
		sections := []string{"limits: " + section(general) + "\n", "mode: " + string(mode) + "\n", "state: none\n", services.String()}
		c := mustParse(t, strings.Join(rapid.Permutation(sections).Draw(t, "sections"), ""))

		id := rapid.OneOf(drawID, rapid.Custom(func(t *rapid.T) fleet.ServiceID {
			return likely(t, rapid.SampledFrom(append(patterns, "a/b")).Draw(t, "pattern"))
		})).Draw(t, "id")
		want, rule := policy.DefaultLimits(), "default"
		want.Mode = mode
		for _, o := range general {
			o.set(&want)
		}
		for i := range patterns {
			if slowMatch(patterns[i], id.String()) {
				rule = fmt.Sprintf("services[%d]", i)
				for _, o := range overrides[i] {
					o.set(&want)
				}
				if modes[i] != "" {
					want.Mode = modes[i]
				}
				break
			}
		}
		if got := c.LimitsOf(id); got != want || c.RuleOf(id) != rule {
			t.Fatalf("%s has by %s\n%+v, want by %s\n%+v", id, c.RuleOf(id), got, rule, want)
		}
	})
}

// SAFETY: what String writes of acting, Parse reads as the same.
func TestSafetyStringOfActingIsReadAgain(t *testing.T) {
	text := rapid.StringMatching(`[ "'#:{}\\a-z\n]{0,6}[a-zé]`)
	rapid.Check(t, func(t *rapid.T) {
		c := Default()
		c.Mode = rapid.SampledFrom(policy.Modes).Draw(t, "mode")
		c.State = rapid.StringN(1, -1, -1).Draw(t, "state")
		c.Fleet.Budget.Least = rapid.IntRange(0, 50).Draw(t, "least")
		for _, o := range drawOverrides(t, "general") {
			o.set(&c.Limits)
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "services") {
			s := Service{Mode: rapid.SampledFrom([]policy.Mode{"", policy.Observing, policy.Detaching}).Draw(t, "mode"), Limits: c.Limits}
			for range rapid.IntRange(1, 3).Draw(t, "patterns") {
				s.Match = append(s.Match, fmt.Sprintf("c%d", i)+drawPattern.Draw(t, "pattern"))
			}
			for _, o := range drawOverrides(t, "own") {
				o.set(&s.Limits)
			}
			c.Services = append(c.Services, s)
		}
		for range rapid.IntRange(0, 3).Draw(t, "pauses") {
			p := Pause{Scope: rapid.SampledFrom(policy.Scopes).Draw(t, "scope"), Reattach: rapid.Bool().Draw(t, "reattach")}
			if p.Scope != policy.ScopeAll {
				p.Cluster = "prod"
			}
			if p.Scope == policy.ScopeService {
				p.Service = "web"
			}
			if p.Forever = rapid.Bool().Draw(t, "forever"); !p.Forever {
				p.Until = time.Unix(rapid.Int64Range(-62_135_596_799, 253_402_300_799).Draw(t, "until"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
			}
			p.Owner, p.Reason = text.Draw(t, "owner"), text.Draw(t, "reason")
			c.Pause = append(c.Pause, p)
		}
		if got := mustParse(t, c.String()); !reflect.DeepEqual(got, c) {
			t.Fatalf("read %+v, want %+v, from\n%s", got, c, c)
		}
	})
}

func TestStringShowsWhatRulesChange(t *testing.T) {
	c := mustParse(t, "limits: {floor: {count: 2}}\nservices:\n- match: prod/web\n  limits: {floor: {count: 3}, startup: 1m}\npause:\n- {scope: all, until: 2026-11-23T18:00:00Z, owner: jane, reason: upgrade}")
	const want = `services:
- match:
  - "prod/web"
  limits:
    floor:
      count: 3
`
	if text := c.String(); !strings.Contains(text, want) || !strings.Contains(text, "until: \"2026-11-23T18:00:00Z\"\n") {
		t.Errorf("String():\n%s", text)
	}
}
