package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/replay"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/metrics"
)

// caseConfig is what a case's own configuration is laid over: everything is read
// each second, and what takes minutes takes seconds.
const caseConfig = `{
	"polling": {"interval": "1s", "hot_interval": "1s", "calm_interval": "1s", "discovery_interval": "1s", "inventory_interval": "10s"},
	"timelines": {"recovery_window": "4s", "settle_window": "8s"},
	"limits": {"startup": "1s"}
}`

// lead is how long castoff watches a case before its first step: longer than it
// refuses to act after its start.
const lead = 5 * time.Second

// lookEvery is how often it is noted what castoff says.
const lookEvery = time.Second

// answerer is who answers castoff in AWS's place.
type answerer interface {
	Do(*http.Request) (*http.Response, error)
	Calls() []replay.Call
	Reads() map[string]int
}

// Screened is what castoff said in the end, as its API gives it, and what was wrong.
type Screened struct {
	Timelines   json.RawMessage `json:"timelines"`
	Verdicts    json.RawMessage `json:"verdicts"`
	Detachments json.RawMessage `json:"detachments"`
	Gaps        json.RawMessage `json:"gaps"`
	Wrong       []string        `json:"wrong"`
	Missed      int64           `json:"missed"`          // replies that the record lacks
	Speed       float64         `json:"speed,omitempty"` // by which all durations are too short; none: 1
	// Last is the last look at it.
	Last replay.Look `json:"-"`
	At   time.Time   `json:"-"`
}

// PlayCase runs castoff as it is on a case, by the clock: in a bubble that takes no
// time. It looks at what castoff says each second and after each step.
func PlayCase(ctx context.Context, c *replay.Case) (Screened, error) {
	cfg, err := configOf(c)
	if err != nil {
		return Screened{}, err
	}
	world := c.World(time.Now())
	p := &screening{zero: time.Now().Add(lead), from: world, judge: c.Right.Judge(), every: lookEvery}
	return p.run(ctx, cfg, "eu-central-1", 1, 1, func() error {
		if err := wait(ctx, time.Until(p.zero)); err != nil {
			return err
		}
		until := p.zero
		for i, step := range c.Steps {
			if err := world.Step(i, time.Now()); err != nil {
				return err
			}
			until = until.Add(step.For())
			if err := p.hold(ctx, until, i+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// PlayTape runs castoff as it is on a record, by the clock, which must be at the time
// of the record's beginning. It looks at what castoff says from time to time.
func PlayTape(ctx context.Context, t *replay.Tape, cfg config.Config, right replay.Right) (Screened, error) {
	p := &screening{zero: t.Began(), from: t, judge: right.Judge(), every: t.Ended().Sub(t.Began())}
	if len(right.Checks) > 0 {
		p.every = max(lookEvery, p.every/1000)
	}
	said, err := p.run(ctx, cfg, t.Region(), t.Seed(), t.Speed(), func() error {
		return p.hold(ctx, t.Ended().Add(time.Millisecond), 0) // and what castoff makes of the last reply, which takes no time here
	})
	if said.Missed = t.Missed(); t.Speed() != 1 {
		said.Speed = t.Speed()
	}
	return said, errors.Join(err, t.Err())
}

// run is a play from start to stop.
func (p *screening) run(ctx context.Context, cfg config.Config, region string, seed uint64, speed float64, play func() error) (Screened, error) {
	var err error
	if p.castoff, err = newPlayed(cfg, p.from, region, seed, speed, slog.New(&p.log)); err != nil {
		return Screened{}, err
	}
	p.castoff.Start()
	defer func() { _ = p.castoff.Stop(context.WithoutCancel(ctx)) }() // nothing is kept that could not be written
	if err := play(); err != nil {
		return Screened{}, err
	}
	return p.screened()
}

// configOf is the configuration of a case.
func configOf(c *replay.Case) (config.Config, error) {
	var over map[string]any
	if err := json.Unmarshal([]byte(caseConfig), &over); err != nil {
		return config.Config{}, err
	}
	over = lay(c.Config, over)
	over["mode"] = c.Mode
	text, err := json.Marshal(over) // JSON is YAML
	if err != nil {
		return config.Config{}, err
	}
	cfg, err := config.Parse("the configuration of "+c.Name, text, func(c *config.Config) { c.State = config.NoState })
	if err != nil {
		return config.Config{}, err
	}
	return cfg, nil
}

// lay puts some settings over others, section by section.
func lay(over, under map[string]any) map[string]any {
	out := maps.Clone(under)
	for name, value := range over {
		above, section := value.(map[string]any)
		below, both := under[name].(map[string]any)
		if section && both {
			out[name] = lay(above, below)
			continue
		}
		out[name] = value
	}
	return out
}

// newPlayed is castoff with nothing of its own: no address, no journal on disk.
func newPlayed(cfg config.Config, from answerer, region string, seed uint64, speed float64, log *slog.Logger) (*controller.Controller, error) {
	aws := awsapi.Simulated("http://aws.invalid", region)
	aws.HTTPClient = from
	m := metrics.New(nil, metrics.Options{})
	cfg.Web.Listen, cfg.State = "", config.NoState
	settings := Hurry(&cfg, speed)
	castoff, _, err := controller.Open(cfg, controller.Place{
		Options: controller.Options{Metrics: m, Exposition: http.NotFoundHandler(), Logger: log, Tracker: settings, Seed: seed},
		AWS:     awsapi.Options{Config: aws, Recorder: m.AWS, Second: Shorten(time.Second, speed)},
	})
	return castoff, err
}

// screening is one play, as far as it has come.
type screening struct {
	castoff *controller.Controller
	from    answerer
	zero    time.Time // what instants are counted from
	every   time.Duration
	log     lines
	judge   *replay.Judge
	last    replay.Look
}

// hold waits until an instant, looking from time to time and then; that is the end of
// a step, unless it is 0.
func (p *screening) hold(ctx context.Context, until time.Time, step int) error {
	for over := false; !over; {
		left := time.Until(until)
		over = left <= p.every
		if err := wait(ctx, min(left, p.every)); err != nil {
			return err
		}
		saying, err := p.saying()
		if err != nil {
			return err
		}
		p.last = replay.Look{At: time.Since(p.zero), Saying: saying}
		if over {
			p.last.Step = step
		}
		p.judge.Look(&p.last)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// saying asks castoff's API for everything.
func (p *screening) saying() (replay.Saying, error) {
	handler := status.New(status.Options{View: p.castoff.View, Metrics: http.NotFoundHandler()})
	var s replay.Saying
	for _, list := range []struct {
		path, member string
		into         *[]any
	}{
		{"timelines", "timelines", &s.Timelines}, {"verdicts", "verdicts", &s.Verdicts}, {"detachments", "detachments", &s.Detachments},
		{"services", "services", &s.Services}, {"tasks", "tasks", &s.Tasks},
	} {
		answer, err := p.ask(handler, "/api/v1/"+list.path+"?limit=1000")
		if err != nil {
			return s, err
		}
		*list.into, _ = answer[list.member].([]any)
	}
	var err error
	if s.Status, err = p.ask(handler, "/api/v1/status"); err != nil {
		return s, err
	}
	s.Gaps, _ = s.Status["gaps"].([]any)
	s.Calls, s.Reads = []any{}, map[string]any{}
	for _, c := range p.from.Calls() {
		targets := make([]any, len(c.Targets))
		for i, t := range c.Targets {
			targets[i] = t
		}
		s.Calls = append(s.Calls, map[string]any{
			"at": seconds(c.At.Sub(p.zero)), "op": c.Op, "group": c.Group, "targets": targets, "status": float64(c.Status),
		})
	}
	for op, n := range p.from.Reads() {
		s.Reads[op] = float64(n)
	}
	s.Log = p.log.all()
	return s, nil
}

func (p *screening) ask(handler http.Handler, path string) (map[string]any, error) {
	text, err := get(handler, path)
	if err != nil {
		return nil, err
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p.since(answer).(map[string]any), nil
}

// screened is what castoff says in the end.
func (p *screening) screened() (s Screened, err error) {
	s.Wrong, s.Last, s.At = append([]string{}, p.judge.Wrong()...), p.last, time.Now()
	handler := status.New(status.Options{View: p.castoff.View, Metrics: http.NotFoundHandler()})
	for _, list := range []struct {
		path, member string
		into         *json.RawMessage
	}{
		{"timelines?limit=1000", "timelines", &s.Timelines}, {"verdicts?limit=1000", "verdicts", &s.Verdicts},
		{"detachments?limit=1000", "detachments", &s.Detachments}, {"status", "gaps", &s.Gaps},
	} {
		text, err := get(handler, "/api/v1/"+list.path)
		if err != nil {
			return s, err
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			return s, fmt.Errorf("%s: %w", list.path, err)
		}
		*list.into = members[list.member]
	}
	return s, nil
}

// get asks castoff's API without a network.
func get(handler http.Handler, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://castoff.invalid"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	w := answered{header: http.Header{}, code: http.StatusOK}
	handler.ServeHTTP(&w, req)
	if w.code != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d: %.200s", path, w.code, &w.body)
	}
	return w.body.Bytes(), nil
}

// answered is an answer of castoff's own, which is asked without a network.
type answered struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) WriteHeader(code int)        { a.code = code }
func (a *answered) Write(b []byte) (int, error) { return a.body.Write(b) }

var instant = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// since turns instants into seconds since the first step.
func (p *screening) since(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			v[name] = p.since(v[name])
		}
	case []any:
		for i := range v {
			v[i] = p.since(v[i])
		}
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil && instant.MatchString(v) {
			return seconds(at.Sub(p.zero))
		}
	}
	return value
}

// seconds are a duration to the millisecond.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}

// lines are a log from WARN on.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	json slog.Handler
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.json == nil {
		l.json = slog.NewJSONHandler(&l.text, nil)
	}
	return l.json.Handle(ctx, r)
}

// WithAttrs and WithGroup leave out what castoff does not use.
func (l *lines) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *lines) WithGroup(string) slog.Handler      { return l }

func (l *lines) all() []any {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []any{}
	for line := range bytes.Lines(l.text.Bytes()) {
		var v map[string]any
		if json.Unmarshal(line, &v) == nil {
			delete(v, "time")
			found = append(found, v)
		}
	}
	return found
}
