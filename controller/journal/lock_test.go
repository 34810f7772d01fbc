package journal

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Another process that has the journal open is named, at once, and is not
// disturbed.
func TestTwoProcesses(t *testing.T) {
	if dir := os.Getenv("CASTOFF_JOURNAL_HOLDER"); dir != "" {
		open(t, dir, Options{Version: "1.2.3"})
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the other end goes
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$")
	cmd.Env = append(os.Environ(), "CASTOFF_JOURNAL_HOLDER="+dir)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "held" {
		t.Fatalf("the other process says %q", lines.Text())
	}
	began := time.Now()
	_, err = Open(dir, wide)
	var held *HeldError
	if !errors.As(err, &held) || !strings.Contains(err.Error(), fmt.Sprintf("castoff 1.2.3, pid %d on ", cmd.Process.Pid)) {
		t.Errorf("%v, want a HeldError that names pid %d", err, cmd.Process.Pid)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("that took %s", took)
	}
	// Somebody thinks that the lock file is in the way.
	must(t, os.Remove(filepath.Join(dir, lockName)))
	if _, err := Open(dir, wide); !errors.As(err, &held) {
		t.Errorf("without the lock file: %v", err)
	}
	must(t, in.Close())
	must(t, cmd.Wait())
	j, err := Open(dir, wide)
	must(t, err)
	must(t, j.Close())
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if e.Name() != fileName && e.Name() != lockName {
			t.Errorf("%s is left over", e.Name())
		}
	}
}

// What comes of a directory that is none.
func TestNoDirectory(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for name, says := range map[string]string{"missing": "no such file or directory", "file": "is no directory"} {
		if _, err := Open(filepath.Join(dir, name), wide); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
}
