package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How often the watch asks, and draws. castoff's own passes are 2 s apart while
// something fails.
const (
	watchAsks  = 2 * time.Second
	watchDraws = time.Second
)

// watchEnded is how many closed timelines the watch asks for at most: those of
// the last hours, below the open ones.
const watchEnded = 20

// The size that is drawn for when the terminal does not tell its own.
const watchColumns, watchRows = 80, 24

// watchFoot is the last line.
const watchFoot = "Ctrl-C ends; why a task is, or is not, taken out: castoff explain TASK"

// watch goes on showing timelines on a terminal.
type watch struct {
	cmd  timelinesCmd
	from *reader
	to   screen
}

// seen is what castoff answered.
type seen struct {
	open, ended []shownTimeline
	more        bool // open ones that were not asked for
	sight       sight
	at          time.Time // of the answer, by the clock here
}

// answered is the end of one asking.
type answered struct {
	seen seen
	err  error
}

// run asks and draws until ctx ends, which is no error: it is how a watch is
// left. A castoff that cannot be asked from the start ends it, too; one that goes
// later is said, and asked again.
func (w *watch) run(ctx context.Context) error {
	now, err := w.look(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // interrupted, not failed
	}
	if err != nil {
		return err
	}
	if err := w.enter(); err != nil {
		return err
	}
	err = w.draw(ctx, &now)
	// The terminal is given back whatever happened, and keeps what was last seen.
	return cmp.Or(w.leave(now), err)
}

// draw goes on until ctx ends or the terminal is gone.
func (w *watch) draw(ctx context.Context, shown *answered) error {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answered, 1) // the one that may be under way
	defer cancel()
	ticker := time.NewTicker(watchDraws)
	defer ticker.Stop()
	ask := time.NewTimer(watchAsks)
	defer ask.Stop()
	for {
		columns, rows, ok := w.to.size()
		if !ok {
			columns, rows = watchColumns, watchRows
		}
		frame := append(shown.frame(w, time.Now(), columns, rows-1), []text{{watchFoot, faint}})
		if err := w.show(frame[:min(len(frame), rows)], columns); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-ask.C:
			go func() {
				a, err := w.look(ctx)
				a.err = err
				answers <- a
			}()
		case a := <-answers:
			if a.err != nil {
				shown.err = a.err // what was seen last stays
			} else {
				*shown = a
			}
			ask.Reset(watchAsks)
		}
	}
}

// look asks for what is to be shown. Open timelines are asked for by themselves:
// one that has been open for long must not be lost behind a hundred closed ones.
func (w *watch) look(ctx context.Context) (answered, error) {
	var a answered
	query, err := w.cmd.query(time.Now())
	if err != nil {
		return a, err
	}
	states := []string{"open", "closed"}
	if w.cmd.State != "" {
		states = []string{w.cmd.State}
	}
	if w.cmd.Outcome != "" && w.cmd.State == "" {
		states = []string{"closed"}
	}
	for _, state := range states {
		page, err := w.page(ctx, query, state)
		if err != nil {
			return a, err
		}
		for _, t := range page.Timelines {
			if t.Closed == nil {
				a.seen.open = append(a.seen.open, t)
			} else {
				a.seen.ended = append(a.seen.ended, t)
			}
		}
		a.seen.more = a.seen.more || state == "open" && page.NextCursor != ""
	}
	// Those that matter now first; among them, those that have lasted longest.
	slices.SortStableFunc(a.seen.open, func(a, b shownTimeline) int {
		return cmp.Or(cmp.Compare(b.urgency(), a.urgency()), a.Opened.Compare(b.Opened))
	})
	a.seen.sight, err = w.from.sight(ctx)
	a.seen.at = time.Now()
	return a, err
}

func (t *shownTimeline) urgency() int {
	switch {
	case t.exposed():
		return 2
	case !t.settling():
		return 1
	default:
		return 0
	}
}

func (w *watch) page(ctx context.Context, query url.Values, state string) (p timelinePage, err error) {
	query.Set("state", state)
	if state == "closed" && w.cmd.Limit == nil {
		query.Set("limit", strconv.Itoa(watchEnded))
	}
	err = w.from.ask(ctx, "/api/v1/timelines", query, &p)
	return p, err
}

// frame is what is shown, at most so many rows.
func (a *answered) frame(w *watch, now time.Time, columns, rows int) [][]text {
	s := &a.seen
	// castoff's clock, for its instants: the one here may be off.
	there := s.sight.Now.Add(now.Sub(s.at))
	exposed := 0
	for i := range s.open {
		if s.open[i].exposed() {
			exposed++
		}
	}
	head := text{said: fmt.Sprintf("%d open", len(s.open))}
	if s.more {
		head.said += " and more"
	}
	if exposed > 0 {
		head = text{fmt.Sprintf("%s, %d EXPOSED", head.said, exposed), alarm}
	}
	lines := [][]text{{{there.UTC().Format("2006-01-02 15:04:05Z  "), strong}, head, {"  of castoff at " + printable(w.from.name()), faint}}}
	if a.err != nil {
		for said := range strings.Lines(a.err.Error()) {
			lines = append(lines, []text{{fmt.Sprintf("no news for %s: %s", compact(now.Sub(s.at).Seconds()), printable(strings.TrimSpace(said))), alarm}})
		}
	}
	for _, said := range s.sight.warnings() {
		lines = append(lines, []text{{said, alarm}})
	}
	lines = append(lines, s.fill(w, there, columns, max(1, rows-len(lines)))...)
	return lines[:min(len(lines), max(rows, 0))] // of a terminal with hardly any
}

// fill are the timelines, as many as there is room for: open ones drawn, then,
// where the drawings would not fit, a line each; then those that have ended.
func (s *seen) fill(w *watch, now time.Time, columns, rows int) [][]text {
	var lines [][]text
	if len(s.open) == 0 {
		lines = append(lines, nil, []text{{said: "No open timeline."}})
	}
	var rest [][]text
	for i := range s.open {
		drawn := append([][]text{nil}, s.open[i].waterfall(now, columns, w.to.blocks)...)
		// A line must be left for the others, all of them in one.
		left := rows - len(lines)
		if i < len(s.open)-1 {
			left -= 2
		}
		if len(rest) > 0 || len(drawn) > left {
			rest = append(rest, s.open[i].brief(now))
			continue
		}
		lines = append(lines, drawn...)
	}
	for i := range s.ended {
		rest = append(rest, s.ended[i].brief(now))
	}
	if len(rest) == 0 {
		return lines
	}
	lines = append(lines, nil)
	room := max(0, rows-len(lines))
	if len(rest) > room {
		hidden := len(rest) - max(0, room-1)
		rest = append(rest[:max(0, room-1)], []text{{said: fmt.Sprintf("  and %d more", hidden)}})
	}
	return append(lines, rest...)
}

// Codes of the terminal. Lines are not wrapped: a character that is wider than it
// counts must not push the rest down.
const (
	screenEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J" // the other screen, no cursor, no wrapping
	screenLeave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	screenHome  = "\x1b[H"
	lineClear   = "\x1b[K" // from the cursor on
	screenClear = "\x1b[J" // from the cursor on
)

func (w *watch) enter() error {
	_, err := io.WriteString(w.to.w, screenEnter)
	return err
}

// show writes a frame over the one before, in one go.
func (w *watch) show(lines [][]text, columns int) error {
	var b strings.Builder
	b.WriteString(screenHome)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		// First: behind a line that fills the screen it would take its last character.
		if i < len(lines)-1 {
			b.WriteString(lineClear)
		} else {
			b.WriteString(screenClear)
		}
		b.WriteString(w.to.paint(line, columns))
	}
	_, err := io.WriteString(w.to.w, b.String())
	return err
}

// leave gives the terminal back and writes what was seen last where it stays.
func (w *watch) leave(last answered) error {
	var b strings.Builder
	b.WriteString(screenLeave)
	columns, _, ok := w.to.size()
	if !ok {
		columns = watchColumns
	}
	for _, line := range last.frame(w, time.Now(), columns, 1000) {
		b.WriteString(w.to.paint(line, columns) + "\n")
	}
	_, err := io.WriteString(w.to.w, b.String())
	return err
}
