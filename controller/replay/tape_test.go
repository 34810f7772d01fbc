package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
			case tt.wrong == "" && (err != nil || len(tape.exact) != 1):
				t.Errorf("%v, %v", tape, err)
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("%v, want %q", err, tt.wrong)
			}
		})
	}
}
