package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/replay"
	"github.com/castoff-ecs/castoff/controller/scenario"
)

type replayCmd struct {
	Of     string   `arg:"" name:"file" help:"Directory of castoff run --record, or of a mode of castoff demo --record, or a case: NAME.json."`
	Config string   `help:"Configuration to play with, instead of the one that was in force. Names in it must be those of the record." placeholder:"FILE"`
	Speed  *float64 `help:"How many times faster than the clock it plays, such as 10; 0.5 is half as fast. Default: as fast as it goes." placeholder:"NUMBER"`
	JSON   bool     `name:"json" help:"Print timelines, verdicts, detachments and gaps as JSON, as the API gives them, and what is wrong."`
}

// rightFile is beside a record, and says what castoff must say.
const rightFile = "right.json"

func (c replayCmd) Help() string {
	return "Examples:\n\n" +
		"  castoff replay /var/lib/castoff/record\n" +
		"  castoff demo --record demo && castoff replay demo/detach\n" +
		"  castoff replay --json case.json\n\n" +
		"castoff runs as it is, in a time of its own: an hour takes seconds. Nothing is asked of AWS. A request gets the reply that was recorded for it: by its operation and parameters, each task or service of it by itself, as of then. " +
		"Where the record has none, castoff has a gap that says NotRecorded or NOT_RECORDED. A record begins without what castoff knew before, and without rules and pauses for single services: give them with --config.\n\n" +
		"Of a record, " + rightFile + " in its directory says what is right; of a case, the case.\n\n" +
		"Exit codes: 0 played, and right as far as anybody says; 1 castoff said something else than what is right, or it was interrupted; 2 wrong usage; 3 the record, the case or the configuration is unreadable or wrong.\n"
}

// show is one way to be played.
type show struct {
	began time.Time // by the clock of the play; zero: as it comes
	play  func(context.Context) (scenario.Screened, error)
}

// Run plays and prints what castoff said.
func (c replayCmd) Run(ctx context.Context, to streams) error {
	if c.Of == "" {
		return usageError("FILE must name a directory or a case")
	}
	speed := 0.0
	if c.Speed != nil {
		if speed = *c.Speed; !(speed > 0) {
			return usageError(fmt.Sprintf("--speed must be above 0 (got %g)", speed))
		}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	said, err := s.run(ctx, speed)
	if err != nil {
		return err
	}
	if c.JSON {
		text, err := json.MarshalIndent(said, "", "  ")
		if err != nil {
			return err
		}
		if _, err := to.out.Write(append(escaped(text), '\n')); err != nil {
			return err
		}
	} else if err := printReplay(to, said); err != nil {
		return err
	}
	switch n := len(said.Wrong); n {
	case 0:
		return nil
	case 1:
		return errors.New("castoff is wrong in 1 place")
	default:
		return fmt.Errorf("castoff is wrong in %d places", n)
	}
}

func (c replayCmd) open() (show, error) {
	info, err := os.Stat(c.Of)
	if err != nil {
		return show{}, replayError{err}
	}
	if !info.IsDir() {
		of, err := replay.ReadCase(c.Of)
		if err != nil {
			return show{}, replayError{err}
		}
		if c.Config != "" {
			return show{}, usageError("a case has its own configuration: it takes no --config")
		}
		return show{play: func(ctx context.Context) (scenario.Screened, error) { return scenario.PlayCase(ctx, of) }}, nil
	}
	tape, err := replay.ReadTape(c.Of)
	if err != nil {
		return show{}, replayError{err}
	}
	right, err := replay.ReadRight(filepath.Join(c.Of, rightFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return show{}, replayError{err}
	}
	var cfg config.Config
	none := config.NoState // nothing is kept of a play, whatever the run kept
	if c.Config != "" {
		cfg, err = readConfig(c.Config, stateFlag(&none))
	} else {
		cfg, err = config.Parse("the configuration in the record", []byte(tape.Configuration()), stateFlag(&none))
	}
	if err != nil {
		return show{}, err
	}
	if len(cfg.Clusters) == 0 {
		cfg.Clusters = tape.Clusters()
	}
	return show{began: tape.Began(), play: func(ctx context.Context) (scenario.Screened, error) {
		return scenario.PlayTape(ctx, tape, cfg, right)
	}}, nil
}

// replayError is a record or a case that cannot be played.
type replayError struct{ error }

func (e replayError) Error() string { return fmt.Sprintf("cannot play it: %v", e.error) }
func (e replayError) Unwrap() error { return e.error }

// beat is how often a play's time is held to the clock, and it is looked whether it is
// to end.
const beat = 100 * time.Millisecond

// run plays in a bubble of the testing package, whose clock moves on whenever nobody
// has anything left to do: so castoff, and the AWS SDK in it, run as they are. The
// zero testing.T is enough for that; it reports to nobody.
func (s show) run(ctx context.Context, speed float64) (said scenario.Screened, err error) {
	beats := s.beats(ctx, speed) // by the real clock: it is from outside of the bubble
	synctest.Test(new(testing.T), func(*testing.T) {
		inside, cancel := context.WithCancelCause(context.Background())
		var beating sync.WaitGroup
		defer beating.Wait()
		defer cancel(nil)
		if !s.began.IsZero() {
			rest(inside, time.Until(s.began))
		}
		beating.Go(func() {
			for rest(inside, beat) {
				if beats != nil {
					<-beats
				}
				if ctx.Err() != nil {
					cancel(errors.New("interrupted"))
				}
			}
		})
		said, err = s.play(inside)
	})
	return said, err
}

// rest waits; false when ctx is done.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// beats come in the time that a beat of the play is to take; nil when that is none.
func (s show) beats(ctx context.Context, speed float64) <-chan struct{} {
	if speed == 0 {
		return nil
	}
	beats := make(chan struct{})
	go func() {
		ticker := time.NewTicker(max(time.Duration(float64(beat)/speed), time.Microsecond))
		defer ticker.Stop()
		for ctx.Err() == nil {
			select {
			case <-ticker.C:
				select {
				case beats <- struct{}{}:
				case <-ctx.Done():
				}
			case <-ctx.Done():
			}
		}
		close(beats)
	}()
	return beats
}

// playedVerdict is as much of a verdict as is printed.
type playedVerdict struct {
	Cluster, Service, Task line
	explainedVerdict
}

// printReplay prints timelines as castoff timelines does, then verdicts.
func printReplay(to streams, said scenario.Screened) error {
	screen := newScreen(to.out)
	page := timelinePage{}
	var verdicts []playedVerdict
	var gaps []struct{ Kind, Class, Detail line }
	if err := errors.Join(json.Unmarshal(said.Timelines, &page.Timelines), json.Unmarshal(said.Verdicts, &verdicts), json.Unmarshal(said.Gaps, &gaps)); err != nil {
		return fmt.Errorf("castoff's own answer: %w", err)
	}
	if err := page.print(screen, said.At); err != nil {
		return err
	}
	if len(verdicts) > 0 {
		rows := [][]text{{{said: "SERVICE"}, {said: "TASK"}, {said: "TARGET"}, {said: "VERDICT"}, {said: "WHY"}}}
		for _, v := range verdicts {
			rows = append(rows, []text{
				{said: string(v.Cluster + "/" + v.Service)}, {said: cut(string(lastPart(v.Task)), 8)},
				{said: fmt.Sprintf("%s:%d in %s", v.Target.ID, v.Target.Port, v.Target.Group)},
				{said: string(v.Action + " " + v.Decision + " " + v.Guard)}, {said: string(v.Sentence)},
			})
		}
		fmt.Fprintln(screen.w)
		if err := screen.printTable(rows); err != nil {
			return err
		}
	}
	for _, g := range gaps {
		fmt.Fprintf(screen.w, "\ncannot see: %s, %s: %s\n", g.Kind, g.Class, g.Detail)
	}
	if said.Speed != 0 {
		fmt.Fprintf(screen.w, "\nThe region was simulated, %g times faster than the clock: multiply durations by %[1]g.\n", said.Speed)
	}
	switch said.Missed {
	case 0:
	case 1:
		fmt.Fprint(screen.w, "\nThe record lacks 1 reply: castoff could not write it in time, or not at all.\n")
	default:
		fmt.Fprintf(screen.w, "\nThe record lacks %d replies: castoff could not write them in time, or not at all.\n", said.Missed)
	}
	for _, wrong := range said.Wrong {
		if _, err := fmt.Fprintf(screen.w, "\nwrong: %s\n", printable(wrong)); err != nil {
			return err
		}
	}
	return nil
}
