package scenario

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/replay"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/metrics"
)

// record is half an hour of a task that hangs, recorded. It answers what castoff said
// of it.
func record(t *testing.T, dir string, mode policy.Mode, plain bool, size int64) (timelines, verdicts, detachments json.RawMessage) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		region := referenceRegion(t, 1, nil, 4)
		cfg := config.Default()
		cfg.Mode = mode
		r, err := replay.NewRecorder(replay.RecordOptions{
			Dir: dir, Bytes: size, Plain: plain, Client: sim.Doer{Region: region}, Logger: slog.New(slog.DiscardHandler),
			Version: "test", Region: sim.RegionName, Seed: 1, Configuration: cfg.String(),
		})
		must(t, err)
		r.Start()
		d := start(t, region, set{config: &cfg, client: r})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(27 * time.Minute)
		synctest.Wait()
		timelines, verdicts, detachments = answers(t, d)
		must(t, d.Stop(context.Background()), r.Close(context.Background()))
	})
	return timelines, verdicts, detachments
}

func answers(t *testing.T, d *daemon) (timelines, verdicts, detachments json.RawMessage) {
	t.Helper()
	handler := status.New(status.Options{View: d.View, Metrics: http.NotFoundHandler()})
	for path, into := range map[string]*json.RawMessage{"timelines": &timelines, "verdicts": &verdicts, "detachments": &detachments} {
		text, err := get(handler, "/api/v1/"+path)
		must(t, err)
		var members map[string]json.RawMessage
		must(t, json.Unmarshal(text, &members))
		*into = members[path]
	}
	return timelines, verdicts, detachments
}

func playTape(t *testing.T, dir string, right replay.Right) (said Screened) {
	t.Helper()
	tape, err := replay.ReadTape(dir)
	must(t, err)
	cfg, err := config.Parse("the record", []byte(tape.Configuration()), func(c *config.Config) { c.State = config.NoState })
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(tape.Began()))
		said, err = PlayTape(t.Context(), tape, cfg, right)
		must(t, err)
	})
	return said
}

// What was recorded is played the same, to the millisecond: what castoff says follows
// from what AWS answered and from nothing else.
func TestRecordIsPlayedTheSame(t *testing.T) {
	for _, mode := range []policy.Mode{policy.Observing, policy.Detaching} {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			timelines, verdicts, detachments := record(t, dir, mode, true, 64<<20)
			said := playTape(t, dir, replay.Right{})
			for _, part := range []struct {
				name      string
				was, said json.RawMessage
			}{{"timelines", timelines, said.Timelines}, {"verdicts", verdicts, said.Verdicts}, {"detachments", detachments, said.Detachments}} {
				if command.ReplaceAllString(string(part.was), "") != command.ReplaceAllString(string(part.said), "") {
					t.Errorf("%s:\n%s\nplayed:\n%s", part.name, part.was, part.said)
				}
			}
			if string(said.Gaps) != "[]" || len(timelines) < 100 {
				t.Errorf("gaps %s, timelines %s", said.Gaps, timelines)
			}
		})
	}
}

// So is what was recorded in a region that is faster than the clock, as the demo's is.
func TestHurriedRecordIsPlayedTheSame(t *testing.T) {
	const speed = 30
	for _, mode := range policy.Modes {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			var timelines, verdicts, detachments json.RawMessage
			synctest.Test(t, func(t *testing.T) {
				region := sim.New(sim.Options{Seed: 1, Speed: speed, Latency: 5 * time.Millisecond})
				spec := sim.ReferenceWorkload(reference.Cluster, reference.Name)
				spec.Desired = 6
				must(t, region.AddCluster(reference.Cluster, sim.ClusterOptions{}), region.AddService(spec))
				cfg := config.Default()
				cfg.Mode = mode
				r, err := replay.NewRecorder(replay.RecordOptions{
					Dir: dir, Bytes: 64 << 20, Plain: true, Client: sim.Doer{Region: region}, Logger: slog.New(slog.DiscardHandler),
					Version: "test", Region: sim.RegionName, Seed: 1, Speed: speed, Configuration: cfg.String(),
				})
				must(t, err)
				aws := awsapi.Simulated("http://aws.invalid", sim.RegionName)
				aws.HTTPClient = r
				m, settings := metrics.New(nil, metrics.Options{}), Hurry(&cfg, speed)
				cfg.Web.Listen, cfg.State = "", config.NoState
				castoff, _, err := controller.Open(cfg, controller.Place{
					Options: controller.Options{Metrics: m, Exposition: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler), Tracker: settings, Seed: 1},
					AWS:     awsapi.Options{Config: aws, Recorder: m.AWS, Second: Shorten(time.Second, speed)},
				})
				must(t, err)
				r.Start()
				castoff.Start()
				time.Sleep(3 * time.Minute / speed)
				must(t, region.Hang(region.Tasks(reference)[0].ARN))
				time.Sleep(27 * time.Minute / speed)
				synctest.Wait()
				timelines, verdicts, detachments = answers(t, &daemon{Controller: castoff})
				must(t, castoff.Stop(context.Background()), r.Close(context.Background()))
			})
			said := playTape(t, dir, replay.Right{})
			for _, part := range []struct {
				name      string
				was, said json.RawMessage
			}{{"timelines", timelines, said.Timelines}, {"verdicts", verdicts, said.Verdicts}, {"detachments", detachments, said.Detachments}} {
				if command.ReplaceAllString(string(part.was), "") != command.ReplaceAllString(string(part.said), "") {
					t.Errorf("%s:\n%s\nplayed:\n%s", part.name, part.was, part.said)
				}
			}
			if said.Speed != speed || string(said.Gaps) != "[]" || len(timelines) < 100 || !strings.Contains(string(timelines), "retired") {
				t.Errorf("speed %v, gaps %s, timelines %s", said.Speed, said.Gaps, timelines)
			}
		})
	}
}

// command is a health check's: not even a record that keeps names has it, since there may
// be a password in it.
var command = regexp.MustCompile(`"command":\[[^\]]*\]`)

// shape is what a timeline is without what was replaced.
type shape struct {
	Trigger, Outcome string
	Milestones       []struct {
		Kind, By, Source string
		NotBefore        *string `json:"not_before"`
		NotAfter         *string `json:"not_after"`
	}
	Phases  json.RawMessage
	Targets []struct {
		Port int
		Good json.RawMessage
	}
}

func shapes(t *testing.T, timelines json.RawMessage) string {
	t.Helper()
	var all []shape
	must(t, json.Unmarshal(timelines, &all))
	text, err := json.Marshal(all)
	must(t, err)
	return string(text)
}

// Whose fleet it was cannot be seen in a record, and the same is said of it.
func TestRecordNamesNobody(t *testing.T) {
	dir := t.TempDir()
	timelines, _, _ := record(t, dir, policy.Detaching, false, 64<<20)
	said := playTape(t, dir, replay.Right{})
	if was, is := shapes(t, timelines), shapes(t, said.Timelines); was != is {
		t.Errorf("%s\nplayed:\n%s", was, is)
	}
	if string(said.Gaps) != "[]" {
		t.Errorf("gaps %s", said.Gaps)
	}
	text := recorded(t, dir)
	for _, word := range []string{sim.AccountID, reference.Name, reference.Cluster, "nginx", "grpc", "10.0.", "simulated", "Signature"} {
		if i := bytes.Index(text, []byte(word)); i >= 0 {
			t.Errorf("the record has %q: …%s…", word, text[max(0, i-200):min(len(text), i+100)])
		}
	}
	if !bytes.Contains(text, []byte(`arn:aws:ecs:`+sim.RegionName)) {
		t.Error("nothing is left of the ARNs")
	}
}

// recorded is all that is in a record.
func recorded(t *testing.T, dir string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	var all []byte
	for _, name := range files {
		f, err := os.Open(name)
		must(t, err)
		z, err := gzip.NewReader(f)
		must(t, err)
		text, err := io.ReadAll(z)
		must(t, err, f.Close())
		all = append(all, text...)
	}
	return all
}

// Of a long run the last part is kept, within the limit, and can be played by itself.
func TestRecordRolls(t *testing.T) {
	dir := t.TempDir()
	const most = 48 << 10
	record(t, dir, policy.Detaching, false, most)
	files, err := os.ReadDir(dir)
	must(t, err)
	all := int64(0)
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		all += info.Size()
	}
	if all > most || all < most/2 || len(files) < 4 {
		t.Errorf("%d files of %d bytes, limit %d", len(files), all, most)
	}
	if strings.HasSuffix(files[0].Name(), "-000001.castoff.gz") {
		t.Errorf("nothing was removed: %s", files[0].Name())
	}
	tape, err := replay.ReadTape(dir)
	must(t, err)
	if lasts := tape.Ended().Sub(tape.Began()); lasts < 2*time.Minute || lasts > 29*time.Minute {
		t.Errorf("it is of %s", lasts)
	}
	said := playTape(t, dir, replay.Right{Checks: []replay.Check{
		// A task that stopped before is listed still, and nobody asked about it any more.
		{Say: "all but that is there", At: "always", Of: "gaps", Is: map[string]any{"none": map[string]any{"detail": map[string]any{"not": "DescribeTasks*NOT_RECORDED"}}}},
		{Say: "the service is seen", Of: "services", Is: map[string]any{"count": json.Number("1")}},
		{Say: "this is wrong", Of: "services", Is: []any{}},
	}})
	if len(said.Wrong) != 1 || !strings.HasPrefix(said.Wrong[0], "this is wrong") {
		t.Errorf("wrong: %q", said.Wrong)
	}
}
