package journal

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// story makes the same calls for the same seed. It tells after each that was
// answered nil.
func story(t testing.TB, j *Journal, seed uint64, calls int, acknowledged func(m *model)) {
	w, m := newWorld(seed, 4), newModel(wide.Keep)
	for range calls {
		if w.r.IntN(3) == 0 {
			s, ds := w.detach()
			must(t, j.Record(s, ds...))
			m.record(s, ds)
		} else {
			p := w.pass(5 * time.Second)
			must(t, j.Commit(p))
			m.commit(p)
		}
		acknowledged(m)
	}
}

// moment is the file when a call had been answered, and what is to be in it.
type moment struct {
	image []byte
	holds string
}

func history(t testing.TB, seed uint64, calls int) []moment {
	t.Helper()
	dir := t.TempDir()
	j := open(t, dir, wide)
	var all []moment
	take := func(m *model) {
		image, err := os.ReadFile(filepath.Join(dir, fileName))
		must(t, err)
		all = append(all, moment{image: image, holds: m.text(t)})
	}
	take(newModel(wide.Keep))
	story(t, j, seed, calls, take)
	must(t, j.Close())
	return all
}

const (
	sectorSize = 512
	headers    = 2 // pages: bbolt's meta pages
)

// A call is killed at 1,000 points of its writing. bbolt makes the file as long
// as it must be, writes pages that nothing refers to yet, syncs, writes the
// header that refers to them, syncs. So a power cut in the pages leaves any part
// of them in any order under the old header, and one in the header any part of
// that. What was answered before is there, and what was being written is there
// whole or not at all.
func TestSafetyKilledAnywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	page := os.Getpagesize()
	histories := [][]moment{history(t, 1, 60), history(t, 2, 60), history(t, 3, 60)}
	dir := t.TempDir()
	for point := range 1000 {
		h := histories[r.IntN(len(histories))]
		n := 1 + r.IntN(len(h)-1)
		before, after := h[n-1], h[n]
		image := bytes.Clone(before.image)
		if len(after.image) > len(image) && r.IntN(4) > 0 {
			image = append(image, make([]byte, len(after.image)-len(image))...)
		}
		want := []string{before.holds}
		if point%3 > 0 { // in the pages
			tear(r, image[headers*page:], after.image[headers*page:])
		} else { // in the header
			image = bytes.Clone(after.image)
			copy(image, before.image[:headers*page])
			from := r.IntN(headers * page)
			length := r.IntN(headers*page - from)
			if r.IntN(2) == 0 {
				from, length = r.IntN(2)*page+r.IntN(80), r.IntN(80)
			}
			copy(image[from:from+length], after.image[from:])
			want = append(want, after.holds)
		}
		if got := afterCrash(t, dir, image, point%20 == 0); got != want[0] && got != want[len(want)-1] {
			t.Fatalf("point %d, call %d: %s", point, n, difference(got, want[0]))
		}
	}
}

// tear writes some of the sectors that changed, the last of them maybe in part.
func tear(r *rand.Rand, image, after []byte) {
	share := r.IntN(101)
	for from := 0; from < min(len(image), len(after)); from += sectorSize {
		to := min(from+sectorSize, len(image), len(after))
		if r.IntN(100) < share {
			if r.IntN(10) == 0 {
				to = from + r.IntN(to-from)
			}
			copy(image[from:to], after[from:to])
		}
	}
}

// afterCrash is what castoff finds in an image, and whether it can go on.
func afterCrash(t testing.TB, dir string, image []byte, goOn bool) string {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, fileName), image, 0o600))
	j := open(t, dir, wide)
	got := loaded(t, j)
	if goOn {
		w := newWorld(99, 4)
		p := w.pass(time.Hour)
		must(t, j.Commit(p))
		must(t, j.Close())
		j = open(t, dir, wide)
		c, err := j.Load()
		must(t, err)
		if !c.Tracker.At.Equal(w.now) {
			t.Fatalf("after the crash %s is written, and %s found", w.now, c.Tracker.At)
		}
	}
	must(t, j.Close())
	return got
}

// Killed while it makes its file, castoff makes it again.
func TestSafetyKilledInTheBeginning(t *testing.T) {
	image := history(t, 1, 1)[0].image
	for _, size := range []int{0, 1, 4096, len(image) - 1, len(image)} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, fileName+".new"), image[:size], 0o600))
		j := open(t, dir, wide)
		if c, err := j.Load(); err != nil || !c.Fresh {
			t.Errorf("%d bytes: fresh %t, %v", size, c.Fresh, err)
		}
		must(t, j.Close())
	}
}

// The process itself is killed, again and again, while it writes: what it had
// said to be written is there.
func TestSafetyProcessKilled(t *testing.T) {
	if dir := os.Getenv("CASTOFF_JOURNAL_VICTIM"); dir != "" {
		victim(t, dir)
		return
	}
	r := rand.New(rand.NewPCG(3, 4))
	for kill := range 15 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestSafetyProcessKilled$", "-test.v")
		cmd.Env = append(os.Environ(), "CASTOFF_JOURNAL_VICTIM="+dir, "CASTOFF_JOURNAL_SEED="+strconv.Itoa(kill))
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		said, enough := 0, 1+r.IntN(60)
		for lines.Scan() {
			if n, ok := strings.CutPrefix(lines.Text(), "written "); ok {
				said, err = strconv.Atoi(n)
				must(t, err)
			}
			if said == enough {
				must(t, cmd.Process.Kill())
			}
		}
		if err := cmd.Wait(); err == nil || said < enough {
			t.Fatalf("it was not killed after %d calls (%d): %v", enough, said, err)
		}
		var want []string
		story(t, Memory(wide), uint64(kill), said+1, func(m *model) { want = append(want, m.text(t)) })
		j := open(t, dir, wide)
		if got := loaded(t, j); got != want[said-1] && got != want[said] {
			t.Errorf("killed after %d calls: %s", said, difference(got, want[said-1]))
		}
		must(t, j.Close())
	}
}

// victim writes until it is killed.
func victim(t *testing.T, dir string) {
	seed, err := strconv.ParseUint(os.Getenv("CASTOFF_JOURNAL_SEED"), 10, 64)
	must(t, err)
	j := open(t, dir, wide)
	n := 0
	story(t, j, seed, 1_000_000, func(*model) {
		n++
		_, err := io.WriteString(os.Stdout, fmt.Sprintf("written %d\n", n))
		must(t, err)
	})
}
