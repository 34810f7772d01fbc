package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"github.com/castoff-ecs/castoff/controller/status"
)

// terminal is a castoff that runs on a pseudo-terminal, and what a person would
// see there: vt10x obeys what castoff writes.
type terminal struct {
	screen vt10x.Terminal
	tty    *os.File // the other side of castoff's
	cmd    *exec.Cmd
	news   chan struct{} // something was written
	done   chan struct{} // castoff has ended, and all it wrote is on the screen

	mu  sync.Mutex
	raw bytes.Buffer // all that was written
}

// onTerminal starts castoff on a terminal of so many columns and rows.
func onTerminal(t *testing.T, columns, rows int, env []string, args ...string) *terminal {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return onATerminal(t, exec.CommandContext(t.Context(), self, args...), columns, rows, env)
}

// onATerminal starts any program on one; castoff is castoff for it.
func onATerminal(t *testing.T, cmd *exec.Cmd, columns, rows int, env []string) *terminal {
	t.Helper()
	x := &terminal{
		screen: vt10x.New(vt10x.WithSize(columns, rows)), cmd: cmd,
		news: make(chan struct{}, 1), done: make(chan struct{}),
	}
	x.cmd.Env = append(os.Environ(), append([]string{asCastoff + "=1", "TERM=xterm-256color", "LC_ALL=C.UTF-8", "NO_COLOR="}, env...)...)
	var err error
	if x.tty, err = pty.StartWithSize(x.cmd, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	go func() {
		from := bufio.NewReader(io.TeeReader(x.tty, writer(func(p []byte) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.raw.Write(p)
		})))
		for x.screen.Parse(from) == nil {
			select {
			case x.news <- struct{}{}:
			default:
			}
		}
		_ = x.cmd.Wait() // its exit code is read from ProcessState
		close(x.done)
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill()
		<-x.done
		_ = x.tty.Close()
	})
	return x
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// lines are what is on the screen.
func (x *terminal) lines() []string {
	return strings.Split(strings.TrimSuffix(x.screen.String(), "\n"), "\n")
}

// sees waits until the screen is as it should be.
func (x *terminal) sees(t *testing.T, what string, is func(lines []string) bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for !is(x.lines()) {
		select {
		case <-x.news:
		case <-x.done:
			if is(x.lines()) {
				return
			}
			t.Fatalf("castoff ended before the screen had %s:\n%s", what, x.screen)
		case <-limit:
			t.Fatalf("the screen has not %s:\n%s", what, x.screen)
		}
	}
}

func (x *terminal) shows(t *testing.T, said string) {
	t.Helper()
	x.sees(t, said, func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), said) })
}

// types is what a person does, if they do.
func (x *terminal) types(t *testing.T, keys string, do bool) {
	t.Helper()
	if !do {
		return
	}
	if _, err := x.tty.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// resize makes the terminal another size, as a person who drags its edge.
func (x *terminal) resize(t *testing.T, columns, rows int) {
	t.Helper()
	x.screen.Resize(columns, rows)
	if err := pty.Setsize(x.tty, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
}

// ends waits for castoff's end and is its exit code.
func (x *terminal) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-x.done:
	case <-time.After(30 * time.Second):
		t.Fatal("castoff does not end")
	}
	return x.cmd.ProcessState.ExitCode()
}

// restored demands that the terminal is as it was before castoff came.
func (x *terminal) restored(t *testing.T) {
	t.Helper()
	if x.screen.Mode()&vt10x.ModeAltScreen != 0 {
		t.Error("the terminal still shows the other screen")
	}
	if !x.screen.CursorVisible() {
		t.Error("the cursor is still hidden")
	}
	if x.screen.Mode()&vt10x.ModeWrap == 0 {
		t.Error("lines are no longer wrapped")
	}
}

// red reports that something on the screen is drawn so.
func (x *terminal) red() bool {
	x.screen.Lock()
	defer x.screen.Unlock()
	columns, rows := x.screen.Size()
	for y := range rows {
		for i := range columns {
			if c := x.screen.Cell(i, y); c.Char > ' ' && (c.FG == vt10x.Red || c.FG == vt10x.LightRed) {
				return true
			}
		}
	}
	return false
}

// foot is the last line that has anything on it.
func foot(lines []string) string {
	for _, line := range slices.Backward(lines) {
		if line = strings.TrimRight(line, " \x00"); line != "" {
			return line
		}
	}
	return ""
}

// site is a castoff that can go and come back.
type site struct {
	view    atomic.Pointer[status.View]
	address string
	server  *httptest.Server
}

func newSite(t *testing.T) *site {
	s := &site{address: "127.0.0.1:0"}
	s.view.Store(failures())
	s.comes(t)
	t.Cleanup(func() { s.server.Close() })
	return s
}

func (s *site) comes(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.server = httptest.NewUnstartedServer(status.New(status.Options{View: s.view.Load, Metrics: http.NotFoundHandler()}))
	_ = s.server.Listener.Close()
	s.server.Listener = l
	s.server.Start()
}

func (s *site) goes() {
	s.server.CloseClientConnections()
	s.server.Close()
}

// TestWatchOnATerminal is a watch from its start to Ctrl-C: it draws, fits every
// size that the terminal gets, says that castoff is gone and goes on when it is
// back, follows what changes, and gives the terminal back.
func TestWatchOnATerminal(t *testing.T) {
	s := newSite(t)
	x := onTerminal(t, 110, 32, nil, "timelines", "--watch", "--server", "http://"+s.address)
	x.shows(t, "EXPOSED for")
	x.sees(t, "a head, bars and a foot", func(lines []string) bool {
		return strings.Contains(lines[0], "4 open, 2 EXPOSED") && strings.Contains(strings.Join(lines, "\n"), "█") && strings.Contains(strings.Join(lines, "\n"), "Ctrl-C ends")
	})
	if x.screen.Mode()&vt10x.ModeAltScreen == 0 || x.screen.CursorVisible() {
		t.Error("the watch does not draw on a screen of its own, without a cursor")
	}
	if !x.red() {
		t.Error("nothing is red, though clients are sent to dead tasks")
	}

	for _, size := range [][2]int{{44, 16}, {20, 5}, {11, 2}, {200, 60}, {80, 24}} {
		x.resize(t, size[0], size[1])
		x.sees(t, "a frame that fits", func(lines []string) bool {
			// Narrow frames are cut, never wrapped: what matters is at the top.
			return strings.HasPrefix(lines[0], time.Now().UTC().Format("2006-01-02")) && foot(lines) == strings.TrimRight(cut(watchFoot, size[0]), " ")
		})
	}

	s.goes()
	x.shows(t, "no news for ")
	x.shows(t, "EXPOSED") // what was seen last stays
	s.comes(t)
	x.sees(t, "news again", func(lines []string) bool { return !strings.Contains(strings.Join(lines, "\n"), "no news") })

	calm := failures()
	calm.Open = nil
	s.view.Store(calm)
	x.shows(t, "No open timeline.")
	s.view.Store(failures())
	x.shows(t, "EXPOSED for")

	x.types(t, "\x03", true) // Ctrl-C
	if code := x.ends(t); code != exitOK {
		t.Errorf("Ctrl-C ends the watch with %d", code)
	}
	x.restored(t)
	if left := x.screen.String(); !strings.Contains(left, "EXPOSED for") {
		t.Errorf("what was seen last does not stay on the terminal:\n%s", left)
	}
}

// A terminal that is given no colour, or has ASCII alone, gets the same words.
func TestWatchWithoutColour(t *testing.T) {
	s := newSite(t)
	x := onTerminal(t, 110, 32, []string{"NO_COLOR=1", "LC_ALL=C"}, "timelines", "--watch", "--server", "http://"+s.address)
	x.shows(t, "EXPOSED for")
	x.sees(t, "bars of ASCII", func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), "===") })
	if err := x.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := x.ends(t); code != exitOK {
		t.Errorf("SIGTERM ends the watch with %d", code)
	}
	x.restored(t)
	x.mu.Lock()
	defer x.mu.Unlock()
	if colour := regexp.MustCompile(`\x1b\[[0-9;]*m`).Find(x.raw.Bytes()); colour != nil {
		t.Errorf("a colour is sent all the same: %q", colour)
	}
	for _, b := range x.raw.Bytes() {
		if b >= 0x80 {
			t.Fatalf("what is no ASCII is sent all the same:\n%q", x.raw.Bytes())
		}
	}
}

// A watch that cannot begin leaves the terminal alone; and one whose terminal
// goes away ends.
func TestWatchOfNothing(t *testing.T) {
	s := newSite(t)
	s.goes()
	x := onTerminal(t, 80, 24, nil, "timelines", "--watch", "--server", "http://"+s.address)
	if code := x.ends(t); code != exitFailed {
		t.Errorf("without a castoff it ends with %d", code)
	}
	x.shows(t, "cannot ask castoff at http://"+s.address)
	x.mu.Lock()
	if bytes.Contains(x.raw.Bytes(), []byte("\x1b[?1049h")) {
		t.Error("the other screen is shown for nothing")
	}
	x.mu.Unlock()

	s.comes(t)
	x = onTerminal(t, 80, 24, nil, "timelines", "--watch", "--server", "http://"+s.address)
	x.shows(t, "EXPOSED for")
	_ = x.tty.Close() // the window is closed
	x.ends(t)
}

// Tables on a terminal are coloured, and only there.
func TestTablesOnATerminal(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		env    []string
		colour bool
	}{{nil, true}, {[]string{"NO_COLOR=1"}, false}, {[]string{"TERM=dumb"}, false}} {
		x := onTerminal(t, 140, 30, tt.env, "timelines", "--server", "http://"+s.address)
		if code := x.ends(t); code != exitOK {
			t.Errorf("%v: ends with %d", tt.env, code)
		}
		x.shows(t, "exposed") // in words, whatever the colour
		x.mu.Lock()
		if got := bytes.Contains(x.raw.Bytes(), []byte("\x1b[1;31m")); got != tt.colour {
			t.Errorf("%v: colour %v", tt.env, got)
		}
		x.mu.Unlock()
	}
}
