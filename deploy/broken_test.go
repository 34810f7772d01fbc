package deploy

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	with    = flag.String("with", "", "the program whose checks TestBrokenTools breaks: promtool, nginx or prettier")
	modules = flag.String("modules", "", "the directory node_modules that has prettier")
)

// broken is a mistake in one file of deploy/ that a check must catch.
type broken struct {
	what, file, find, replace string
	check                     string // a test of this package, or a command line, in the file's directory
	says                      string // what it must find
}

// caught breaks a copy of deploy/ and is what the check says of it, or fails.
func (b broken) caught(t *testing.T) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deploy")
	here, err := os.Getwd()
	must(t, err, os.CopyFS(dir, os.DirFS(here)))
	for _, beside := range []string{"README.md", "CHANGELOG.md", "controller", "metrics"} { // that deploy/ speaks of
		must(t, os.Symlink(filepath.Join(here, "..", beside), filepath.Join(dir, "..", beside)))
	}
	file := filepath.Join(dir, b.file)
	text, err := os.ReadFile(file)
	must(t, err)
	if *with == "" { // programs have just been content
		if out, err := b.run(dir); err != nil {
			t.Fatalf("%s is caught though nothing is broken: %v\n%s", b.check, err, out)
		}
	}
	if !strings.Contains(string(text), b.find) {
		t.Fatalf("%s has no %q", b.file, b.find)
	}
	must(t, os.WriteFile(file, []byte(strings.Replace(string(text), b.find, b.replace, 1)), 0o600))
	out, err := b.run(dir)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), b.says) {
		t.Fatalf("not caught by %s: %v, and it does not say %q:\n%s", b.check, err, b.says, out)
	}
	t.Logf("caught by %s", b.check)
}

func (b broken) run(dir string) ([]byte, error) {
	cmd := exec.Command(os.Args[0], "-test.run", "^"+b.check+"$")
	if words := strings.Fields(b.check); len(words) > 1 {
		if words[0] == "prettier" {
			words = append([]string{"node", filepath.Join(*modules, "prettier", "bin", "prettier.cjs")}, words[1:]...)
		}
		for i, w := range words {
			words[i] = strings.Replace(w, "DIR", filepath.Join(dir, filepath.Dir(b.file)), 1)
		}
		cmd = exec.Command(words[0], words[1:]...)
		dir = filepath.Join(dir, filepath.Dir(b.file))
	}
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

// TestBroken: a check that cannot fail is none. Each of this package's is given
// something broken. What breaks the templates is in check/broken.json, what breaks
// the Terraform module in check/terraform.sh, what breaks the image in
// TestImageBroken.
func TestBroken(t *testing.T) {
	const template, module, fleetBoard = "cloudformation/castoff.yaml", "terraform/main.tf", "grafana/fleet.json"
	for _, b := range []broken{
		{"a right left out", template, "                  - ecs:ListTasks\n", "", "TestTemplateRights", "policy observe"},
		{"a right too many", template, "ecs:ListTasks\n", "ecs:ListTasks\n                  - ecs:StopTask\n", "TestTemplateRights", "policy observe"},
		{"a right without its condition", "iam/detach.json", `"aws:ResourceTag/castoff:managed": "true"`, `"aws:ResourceTag/castoff:managed": "*"`, "TestTemplateRights", "policy detach"},
		{"rights to detach given to all", template, "          - MayDetach\n", "          - HasName\n", "TestTemplateRights", `given under "HasName"`},
		{"root as user", template, `User: "65532:65532"`, `User: "0:0"`, "TestTemplateContainer", "user 0:0"},
		{"two castoffs at once", template, "MaximumPercent: 100", "MaximumPercent: 200", "TestTemplateContainer", "maximum percent 200"},
		{"a service whose replacement may stand beside it", template, "      ServiceName: !Ref Name\n", "", "TestTemplateContainer", "name <nil>"},
		{"killed before it has stopped", template, "StopTimeout: 30", "StopTimeout: 5", "TestTemplateContainer", "stopTimeout 5 s"},
		{"no transit encryption", template, "TransitEncryption: ENABLED", "TransitEncryption: DISABLED", "TestTemplateState", "encrypted on the way DISABLED"},
		{"state of another user", template, `PosixUser: {Uid: "65532"`, `PosixUser: {Uid: "1000"`, "TestTemplateState", "uid 1000"},
		{"another health check of the workload", "cloudformation/reference-workload.yaml", "-rpc-timeout 2s", "-rpc-timeout 5s", "TestTemplateReference", "health check"},
		{"a parameter that there is not", "README.md", "Cluster=$CLUSTER", "Clusters=$CLUSTER", "TestReadmeParameters", "no parameter Clusters"},
		{"an update by a parameter that there is not", "README.md", "StateFileSystemId=fs-", "FileSystemId=fs-", "TestReadmeParameters", "no parameter FileSystemId"},
		{"another default", "terraform/variables.tf", `default     = "small"`, `default     = "large"`, "TestTerraformIsTheTemplate", "size:large"},
		{"a parameter left out", "terraform/variables.tf", `variable "discovery_name"`, `variable "dns_name"`, "TestTerraformIsTheTemplate", "dns_name:castoff"},
		{"a task that differs", module, "readonlyRootFilesystem = true", "readonlyRootFilesystem = false", "TestTerraformTask", "readonlyRootFilesystem = true"},
		{"nothing to roll back to", module, "skip_destroy             = true", "skip_destroy             = false", "TestTerraformTask", "skip_destroy = true"},
		{"state that differs", module, `transit_encryption = "ENABLED"`, `transit_encryption = "DISABLED"`, "TestTerraformTask", "transit_encryption"},
		{"a right that differs", "terraform/roles.tf", `"elasticfilesystem:ClientWrite"`, `"elasticfilesystem:ClientRootAccess"`, "TestTerraformRights", "ClientRootAccess"},
		{"a metric with a typo in a rule", "prometheus/rules.yml", "castoff_exposed_targets)", "castoff_exposed_target)", "TestRulesUseTheCatalogue", `no series "castoff_exposed_target"`},
		{"a label that a metric has not", "prometheus/alerts.yml", `castoff_acting_halted`, `castoff_acting_halted{state="open"}`, "TestRulesUseTheCatalogue", "no label state"},
		{"no expression", "prometheus/alerts.yml", "castoff_paused[10m]) > 0", "castoff_paused[10m]) >", "TestRulesUseTheCatalogue", "parse error"},
		{"an alert without a page", "prometheus/alerts.yml", "alert: CastoffTwice", "alert: CastoffThrice", "TestAlertsAreComplete", "CastoffThrice"},
		{"an alert that is never tested to fire", "prometheus/tests.yml", "alertname: CastoffThrottled", "alertname: CastoffThrottle", "TestAlertsAreComplete", "CastoffThrottled: tests.yml has it fire: false"},
		{"a page without commands", "runbooks/CastoffTwice.md", "```console\n$ ", "```console\n", "TestAlertsAreComplete", "end in commands"},
		{"a page about a metric that there is not", "runbooks/CastoffPassesFailing.md", "castoff_passes_total", "castoff_pass_total", "TestPagesNameWhatThereIs", "no metric castoff_pass_total"},
		{"a metric with a typo in a panel", fleetBoard, "castoff_timelines_open{", "castoff_timeline_open{", "TestDashboards", `no series "castoff_timeline_open"`},
		{"a label that a panel's metric has not", fleetBoard, "sum by (health) (castoff_tasks", "sum by (state) (castoff_tasks", "TestDashboards", "no label state"},
		{"a panel's expression that does not parse", fleetBoard, `sum by (outcome) (`, `sum by (outcome) `, "TestDashboards", "parse error"},
		{"two panels in one place", fleetBoard, "\"x\": 18,\n        \"y\": 0,", "\"x\": 12,\n        \"y\": 0,", "TestDashboards", "is where"},
		{"a budget that nobody shows", "grafana/castoff.json", "(castoff_aws_budget_calls_per_second)", "(castoff:aws_requests:rate5m)", "TestEveryMetricIsShown", "castoff_aws_budget_calls_per_second"},
		{"a metric that nobody shows", "grafana/castoff.json", "castoff_aws_pacing_wait_seconds_total", "castoff_aws_requests_total", "TestEveryMetricIsShown", "castoff_aws_pacing_wait_seconds_total"},
	} {
		t.Run(b.what, func(t *testing.T) {
			t.Parallel()
			b.caught(t)
		})
	}
}

// TestBrokenTools does the same to what other people's programs check. The
// Makefile runs it beside each of these checks.
func TestBrokenTools(t *testing.T) {
	if *with == "" {
		t.Skip("no -with: make deploy-check runs this")
	}
	const (
		check, test, config = "promtool check rules --lint=all --lint-fatal rules.yml alerts.yml", "promtool test rules tests.yml", "promtool check config prometheus.yml"
		alerts              = "prometheus/alerts.yml"
		nginx, conf         = "nginx -t -q -c DIR/nginx.conf", "cloudformation/reference-workload/nginx.conf"
		prettier            = "prettier --config ../check/prettier.json --check DIR/*.*"
	)
	ran := 0
	for _, b := range []broken{
		{"an expression that does not parse", alerts, "castoff_paused[10m]) > 0", "castoff_paused[10m]) >", check, "parse error"},
		{"a key that there is not", alerts, "for: 1d", "during: 1d", check, "during"},
		{"two rules of one name", "prometheus/rules.yml", "castoff:phase_seconds:p50_1d", "castoff:phase_seconds:p95_1d", check, "duplicate"},
		{"a scrape without a name", "prometheus/prometheus.yml", "job_name: castoff", "job: castoff", config, "job"},
		{"a rule file that there is not", "prometheus/prometheus.yml", "- rules.yml", "- rule.yml", config, "rule.yml"},
		{"another threshold", alerts, "_age_seconds) > 3600", "_age_seconds) > 5000", test, "CastoffDetachmentStuck"},
		{"a page for one hang of a small service", alerts, "[1h])) > 7 * 60", "[1h])) > 4 * 60", test, "CastoffExposureBudgetFast"},
		{"an hour of several targets in turn", alerts, "max by (cluster, service) (castoff_oldest_detachment_age_seconds) > 3600", `sum by (cluster, service) (castoff_detachments_open{mode="detach"}) > 0`, test, "CastoffDetachmentStuck"},
		{"a day that castoff's restart begins anew", alerts, "max_over_time(castoff_paused[10m])", "castoff_paused", test, "CastoffPausedTooLong"},
		{"blind before the first pass has ended", alerts, "unless on (job, instance) castoff_last_pass_timestamp_seconds", "and castoff_last_pass_timestamp_seconds", test, "CastoffPassesFailing"},
		{"a sum that a restart takes back", "prometheus/rules.yml", "(increase(castoff_saved_seconds_total[1d]))", "(castoff_saved_seconds_total)", test, "castoff:saved_seconds:increase1d"},
		{"a directive that there is not", conf, "grpc_pass ", "grpc_passes ", nginx, "unknown directive"},
		{"a brace too few", conf, "events {", "events", nginx, "nginx.conf"},
		{"YAML that is indented in another way", alerts, "        for: 1d", "        for:   1d", prettier, "alerts.yml"},
		{"JSON that is not formatted", "iam/detach.json", `"Effect": "Allow"`, `"Effect":"Allow"`, prettier, "detach.json"},
		{"a dashboard that is no JSON", "grafana/fleet.json", `"title"`, `title`, prettier, "fleet.json"},
	} {
		if !strings.HasPrefix(b.check, *with+" ") {
			continue
		}
		ran++
		t.Run(b.what, b.caught)
	}
	if ran == 0 {
		t.Errorf("nothing to break for %q", *with)
	}
}
