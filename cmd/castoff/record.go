package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/replay"
	"github.com/castoff-ecs/castoff/metrics"
)

// recorder is the record of a run; nothing when nobody asked for one.
type recorder struct {
	*replay.Recorder
	seed uint64 // of the loop's intervals; 0: any
	log  *slog.Logger
}

// recordPatience is how long the end of a record may take to be written.
const recordPatience = 3 * time.Second

// httpClient is what castoff asks AWS with.
type httpClient interface {
	Do(*http.Request) (*http.Response, error)
}

// newRecorder begins a record if one is asked for, in front of who asks AWS. What
// gets credentials is not behind it. A simulated region may be faster than the clock.
func newRecorder(cfg config.Config, client httpClient, region string, speed float64, m *metrics.Metrics, log *slog.Logger) (recorder, error) {
	r := recorder{log: log}
	if cfg.Record.Dir == "" {
		return r, nil
	}
	v, _ := build()
	r.seed = rand.Uint64() | 1 // not 0
	var err error
	r.Recorder, err = replay.NewRecorder(replay.RecordOptions{
		Dir: cfg.Record.Dir, Bytes: int64(cfg.Record.MaxMB) * 1_000_000, Plain: cfg.Record.KeepNames,
		Client: client, Logger: log, State: m.Recording, Version: v, Region: region, Speed: speed, Seed: r.seed,
		Configuration: cfg.Anonymous().String(), Clusters: cfg.Clusters,
	})
	if err != nil {
		return r, stateError{fmt.Errorf("cannot record in %s: %w; give another directory with --record", cfg.Record.Dir, err)}
	}
	log.Info("recording what AWS answers", "dir", cfg.Record.Dir, "max_mb", cfg.Record.MaxMB, "names_replaced", !cfg.Record.KeepNames)
	return r, nil
}

// start notes that castoff begins to watch.
func (r recorder) start() {
	if r.Recorder != nil {
		r.Start()
	}
}

func (r recorder) close() {
	if r.Recorder == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordPatience)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		r.log.Warn("the record is cut short", "error", err)
	}
}
