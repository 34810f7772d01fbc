package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/scenario"
)

const playedCase = "../../controller/scenario/testdata/replay/lost_instance_holds.json"

func replayed(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"replay"}, args...), streams{out: &o, err: &e})
	return code, o.String(), e.String()
}

// It says what castoff said, and ends as that is right or not.
func TestReplay(t *testing.T) {
	code, out, errs := replayed(t, playedCase)
	if code != exitOK || !strings.Contains(out, "shop/fg  cae8a623") || !strings.Contains(out, "draining already") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = replayed(t, "--json", "--speed", "1000", playedCase)
	var said struct {
		Timelines []struct{ Service string }
		Wrong     []string
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != exitOK || len(said.Timelines) != 1 || said.Timelines[0].Service != "fg" || said.Wrong == nil {
		t.Errorf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	text, err := os.ReadFile(playedCase)
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.json")
	if err := os.WriteFile(wrong, bytes.Replace(text, []byte(`"10.0.5.0:8080"]`), []byte(`"10.0.5.1:8080"]`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs = replayed(t, wrong); code != exitFailed || !strings.Contains(out, "wrong: ") || !strings.Contains(errs, "castoff is wrong in 1 place") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// What castoff run records, castoff replay plays: it sees the same fleet without a gap,
// whose names are gone.
func TestRunIsRecordedAndPlayed(t *testing.T) {
	t.Parallel()
	r, server := region(t)
	dir := t.TempDir()
	env := awsEnv(t, server.URL)
	env[configEnv] = quick + "mode: detach\nrecord: {dir: " + dir + "}\n"
	p := start(t, env, "run", "--state", t.TempDir())
	address, _ := p.log.line(t, "castoff is running")["listen"].(string)
	ready(t, p, "http://"+address, http.StatusOK)
	if _, metrics := get(t, "http://"+address+"/metrics"); !strings.Contains(metrics, "castoff_recording 1") {
		t.Error("it does not say that it records")
	}
	if err := r.Crash(r.Tasks(fleet.ServiceID{Cluster: "prod", Name: "grpc"})[0].ARN); err != nil {
		t.Fatal(err)
	}
	p.log.line(t, "timeline opened")
	p.signal(t, syscall.SIGTERM)
	if code, _ := p.ended(t, grace); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, p.log)
	}
	right := `{"checks": [
		{"say": "the service is there", "of": "services", "is": {"count": 1}},
		{"say": "so is its failure", "of": "timelines", "is": {"count": 1}},
		{"say": "nothing hides", "of": "gaps", "is": []}]}`
	if err := os.WriteFile(filepath.Join(dir, rightFile), []byte(right), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "castoff.yaml") // of a castoff that had --state
	if err := os.WriteFile(file, []byte(strings.Replace(quick, "clusters: [prod]", "mode: detach", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{dir}, {"--config", file, dir}} {
		if code, out, errs := replayed(t, args...); code != exitOK {
			t.Errorf("%q: exit code %d\n%s%s", args, code, out, errs)
		}
	}
}

func TestReplayOfNothing(t *testing.T) {
	empty, garbage := t.TempDir(), filepath.Join(t.TempDir(), "case.json")
	if err := os.WriteFile(garbage, []byte(`{"name": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{empty}, exitConfig, "no record"},
		{[]string{garbage}, exitConfig, "cannot play it"},
		{[]string{filepath.Join(empty, "none.json")}, exitConfig, "no such file"},
		{[]string{"--speed", "-1", playedCase}, exitUsage, "--speed"},
		{[]string{"--speed", "0", playedCase}, exitUsage, "above 0 (got 0)"},
		{[]string{"--config", "x.yaml", playedCase}, exitUsage, "--config"},
		{[]string{""}, exitUsage, "FILE"},
	} {
		if code, out, errs := replayed(t, test.args...); code != test.code || !strings.Contains(errs, test.says) {
			t.Errorf("%q: exit code %d\n%s%s", test.args, code, out, errs)
		}
	}
}

// What the record lacks is said, and not where it lacks nothing.
func TestReplaySaysWhatIsMissing(t *testing.T) {
	empty := json.RawMessage("[]")
	for missed, want := range map[int64]string{0: "", 1: "lacks 1 reply:", 3: "lacks 3 replies:"} {
		var out bytes.Buffer
		said := scenario.Screened{Timelines: empty, Verdicts: empty, Gaps: empty, Missed: missed}
		if err := printReplay(streams{out: &out}, said); err != nil || !strings.Contains(out.String(), want) || missed == 0 && strings.Contains(out.String(), "lacks") {
			t.Errorf("%d: %s, %v", missed, &out, err)
		}
	}
}
