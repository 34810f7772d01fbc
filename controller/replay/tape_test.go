package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func packed(t *testing.T, texts ...io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, text := range texts {
		if _, err := io.Copy(z, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// What else lies in the directory, or was cut off, costs no more than itself.
func TestTapeOfWhatIsThere(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		text       func(whole []byte) []byte
		wrong      string
	}{
		{"nothing beside it", "x", func([]byte) []byte { return nil }, ""},
		{"a file of somebody's", "foreign.castoff.gz", func([]byte) []byte { return []byte("hi") }, ""},
		{"no disk for the next file", "99990101T000000.000Z-000002.castoff.gz", func([]byte) []byte { return nil }, ""},
		{"nor for its header", "99990101T000000.000Z-000002.castoff.gz", func(w []byte) []byte { return w[:15] }, ""},
		{"garbage", "99990101T000000.000Z-000002.castoff.gz", func([]byte) []byte { return bytes.Repeat([]byte("x"), 100) }, "invalid header"},
		{"another form", "99990101T000000.000Z-000002.castoff.gz", func([]byte) []byte { return packed(t, strings.NewReader("{\"record\":2}\n")) }, "form 1"},
		{"a bomb", "99990101T000000.000Z-000002.castoff.gz", func([]byte) []byte { return packed(t, io.LimitReader(zeros{}, 2*lineMost)) }, "a line of it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir()) // so that no path has a dash in it
			r := recorderOf(t, "d", `{"clusterArns": []}`, nil, io.Discard)
			call(t, r, "ListClusters", `{}`)
			if err := r.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			files, _ := filepath.Glob("d/*")
			whole, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(files[0], "d/99990101T000000.000Z-000001.castoff.gz"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join("d", tt.file), tt.text(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			tape, err := ReadTape("d")
			switch {
			case tt.wrong == "" && err != nil:
				t.Error(err)
			case tt.wrong == "":
				if tape.readUntil(tape.Ended()); len(tape.exact) != 1 || tape.Err() != nil {
					t.Errorf("%v, %v", tape.exact, tape.Err())
				}
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("%v, want %q", err, tt.wrong)
			}
		})
	}
}

// slow is an AWS whose replies take from no time to 40 seconds, and tell one from the next.
type slow struct {
	mu     sync.Mutex // of what follows
	random *rand.Rand
	calls  int
}

func (s *slow) Do(req *http.Request) (*http.Response, error) {
	q, err := readRequest(req)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.calls++
	draw, short := s.random.IntN(20), s.random.IntN(3000)
	calls := s.calls
	s.mu.Unlock()
	body := fmt.Sprintf(`{"taskArns": ["%d"]}`, calls/9) // some are the same as before
	if _, asked := q.asksFor(); asked != nil {
		var tasks []string
		for _, one := range asked {
			tasks = append(tasks, fmt.Sprintf(`{"taskArn": %q, "cpu": "%d"}`, one, calls/9))
		}
		body = fmt.Sprintf(`{"tasks": [%s], "failures": []}`, strings.Join(tasks, ","))
	}
	switch draw {
	case 0:
		time.Sleep(40 * time.Second)
	case 1, 2, 3:
		time.Sleep(time.Duration(short) * time.Millisecond)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// A tape that is read while it is played gives what one would that is all in memory, and
// holds no more than it needs.
func TestTapeIsReadAsItIsPlayed(t *testing.T) {
	const lasts = 2 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := recorderOf(t, dir, "", nil, io.Discard)
		r.o.Client = &slow{random: rand.New(rand.NewPCG(1, 2))}
		r.Start()
		began := time.Now()
		asks := func(at time.Duration) []string { // three tasks, that live for ten minutes each
			n := int(at / (200 * time.Second))
			return []string{fmt.Sprintf("t%d", n), fmt.Sprintf("t%d", n+1), fmt.Sprintf("t%d", n+2)}
		}
		for at := time.Duration(0); at < lasts; at += 5 * time.Second {
			time.Sleep(time.Until(began.Add(at)))
			var calls sync.WaitGroup
			calls.Go(func() { call(t, r, "DescribeTasks", `{"tasks": ["`+strings.Join(asks(at), `","`)+`"]}`) })
			synctest.Wait()
			calls.Go(func() { call(t, r, "ListTasks", `{}`) })
			synctest.Wait()
			calls.Go(func() { call(t, r, "ListTasks", fmt.Sprintf(`{"nextToken": "%d"}`, at)) })
			if at%(20*time.Second) == 0 {
				calls.Wait()
			}
		}
		time.Sleep(time.Minute)
		if err := r.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		read, err := ReadTape(dir)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := ReadTape(dir)
		if err != nil {
			t.Fatal(err)
		}
		whole.readUntil(whole.Ended())
		if read.lag < 35*time.Second || len(whole.exact) < 1000 {
			t.Fatalf("lag %s, %d requests", read.lag, len(whole.exact))
		}
		random := rand.New(rand.NewPCG(3, 4))
		for at := time.Duration(0); at < lasts; at += time.Duration(random.IntN(8000)) * time.Millisecond {
			now := began.Add(at)
			for _, q := range []request{
				{op: "ListTasks", text: "{}"},
				{op: "DescribeTasks", text: fmt.Sprintf(`{"tasks": [%q]}`, asks(at)[random.IntN(3)])},
				{op: "DescribeTasks", text: fmt.Sprintf(`{"tasks": ["t%d","none"]}`, random.IntN(5+int(at/(200*time.Second))))},
			} {
				got, at1, failed := read.answer(&q, now)
				want, at2, failure := whole.answer(&q, now)
				if len(want.body) == 0 || string(got.body) != string(want.body) || !at1.Equal(at2) || failed != failure {
					t.Fatalf("%s %s at %s: %s at %s %s, want %s at %s %s", q.op, q.text, at, got.body, at1, failed, want.body, at2, failure)
				}
			}
			held := 0
			for _, all := range read.exact {
				held += len(all)
			}
			for _, all := range read.items {
				held += len(all)
				for _, it := range all {
					if !it.cut && now.Sub(it.of.Received) > 4*time.Minute {
						t.Fatalf("at %s it holds the reply of %s", at, it.of.Received.Sub(began))
					}
				}
			}
			if most := 300; held > most || len(read.reels.bodies) > 20 {
				t.Fatalf("at %s it holds %d replies and %d that are referred to", at, held, len(read.reels.bodies))
			}
		}
		if err := read.Err(); err != nil {
			t.Error(err)
		}
	})
}

// A record says what it lacks, if nothing came after.
func TestTapeKnowsWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	r := recorderOf(t, dir, `{"clusterArns": []}`, nil, io.Discard)
	call(t, r, "ListClusters", `{}`)
	r.o.Client = answers{strings.Repeat("x", bodyMost)}
	call(t, r, "ListClusters", `{}`)
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	tape, err := ReadTape(dir)
	if err != nil || tape.Missed() != 1 {
		t.Errorf("%v, %v", tape, err)
	}
}

// Another castoff that records into the same directory removes old files too.
func TestRecordOfTwoInOneDirectory(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "20200101T000000.000Z-000001.castoff.gz")
	if err := os.Symlink(filepath.Join(dir, "nothing"), gone); err != nil { // listed, and not there
		t.Fatal(err)
	}
	r := recorderOf(t, dir, `{"clusterArns": []}`, nil, io.Discard)
	call(t, r, "ListClusters", `{}`)
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if tape, err := ReadTape(dir); err != nil {
		t.Errorf("%v, %v", tape, err)
	}
}

// How much later a recorded request may be than one of a play is of the region's time: in
// a hurried one there would else be several readings within it.
func TestAheadIsOfTheRegionsTime(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	before, after := &entry{Sent: now.Add(-60 * time.Millisecond)}, &entry{Sent: now.Add(60 * time.Millisecond)}
	for speed, want := range map[float64]*entry{0: after, 1: after, 30: before} {
		tape := Tape{header: header{Speed: speed}}
		if got, ok := latest([]*entry{before, after}, now, tape.ahead(), entryOf); !ok || got != want {
			t.Errorf("at speed %v the reply is that of %s", speed, got.Sent)
		}
	}
}
