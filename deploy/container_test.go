package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// image is a container image as deploy/check/image.sh leaves it.
type image struct {
	rootfs string
	arch   string
	config struct {
		User         string
		Env          []string
		Entrypoint   []string
		Cmd          []string
		WorkingDir   string
		ExposedPorts map[string]struct{}
		Volumes      map[string]struct{}
		Labels       map[string]string
		Healthcheck  struct{ Test []string }
	}
}

func openImage(t *testing.T, dir string) image {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "inspect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var inspected struct{ Docker json.RawMessage }
	if err := json.Unmarshal(data, &inspected); err != nil {
		t.Fatal(err)
	}
	i := image{rootfs: filepath.Join(dir, "rootfs")}
	var docker struct {
		Architecture string
		Config       any
	}
	docker.Config = &i.config
	if err := json.Unmarshal(inspected.Docker, &docker); err != nil {
		t.Fatal(err)
	}
	i.arch = docker.Architecture
	return i
}

// file is what matters of a file of the image.
type file struct {
	mode fs.FileMode
	size int64
}

// files are all files and directories of the image by their names in it.
func (i image) files(t *testing.T) map[string]file {
	t.Helper()
	found := map[string]file{}
	err := filepath.WalkDir(i.rootfs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == i.rootfs {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := file{mode: info.Mode()}
		if !d.IsDir() {
			f.size = info.Size()
		}
		if name := strings.TrimPrefix(path, i.rootfs); name != "/proc" && name != "/dev" { // runc makes them, to mount there
			found[name] = f
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// container is how an image is to be run: what a task definition says of it.
type container struct {
	image
	args     []string // after the entry point
	user     string   // UID:GID; the image's when empty
	env      map[string]string
	state    string // directory of this machine, mounted at volume
	volume   string
	writable bool // the root file system
}

// ofTask is the image as the template's task definition runs it.
func ofTask(t *testing.T, i image) (c container, check []string) {
	t.Helper()
	d := at(template(t, "castoff.yaml"), "Resources", "TaskDefinition", "Properties", "ContainerDefinitions", 0)
	user, _ := at(d, "User").(string)
	volume, _ := at(d, "MountPoints", 0, "ContainerPath").(string)
	if at(d, "ReadonlyRootFilesystem") != true || at(d, "LinuxParameters", "Capabilities", "Drop", 0) != "ALL" {
		t.Fatalf("a root that can be written to, or capabilities: %v", d)
	}
	check = texts(at(d, "HealthCheck", "Command"))
	if len(check) < 2 || check[0] != "CMD" {
		t.Fatalf("health check %q", check)
	}
	return container{image: i, args: texts(at(d, "Command", 1)), user: user, volume: volume}, check[1:]
}

// spec is the container in the words of the OCI runtime specification: the
// given user, no capability, no way to get one, and this machine's network.
//
// Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md
func (c container) spec() any {
	env := append([]string{}, c.config.Env...)
	for name, value := range c.env {
		env = append(env, name+"="+value)
	}
	type mount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source"`
		Options     []string `json:"options,omitempty"`
	}
	mounts := []mount{{"/proc", "proc", "proc", []string{"ro"}}, {"/dev", "tmpfs", "tmpfs", []string{"nosuid", "noexec", "mode=755"}}}
	if c.state != "" {
		mounts = append(mounts, mount{c.volume, "bind", c.state, []string{"bind", "rw"}})
	}
	var uid, gid int
	_, _ = fmt.Sscanf(cmp.Or(c.user, c.config.User), "%d:%d", &uid, &gid) // root otherwise, and then the test sees that
	cwd := c.config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	return map[string]any{
		"ociVersion": "1.0.2",
		"process": map[string]any{
			"user": map[string]int{"uid": uid, "gid": gid},
			"args": append(append([]string{}, c.config.Entrypoint...), c.args...),
			"env":  env, "cwd": cwd, "noNewPrivileges": true,
			"capabilities": map[string][]string{"bounding": {}, "effective": {}, "permitted": {}},
		},
		"root":   map[string]any{"path": c.rootfs, "readonly": !c.writable},
		"mounts": mounts,
		"linux": map[string]any{"namespaces": []map[string]string{
			{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
		}},
	}
}

// nobody is the user that the image names; the test says so first.
const nobody = 65532

// running is a container that runs.
type running struct {
	id   string
	root string // of runc's own records
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
}

// run starts the container with runc.
func (c container) run(t *testing.T) *running {
	t.Helper()
	bundle := t.TempDir()
	data, err := json.Marshal(c.spec())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{id: "castoff-" + filepath.Base(filepath.Dir(bundle)) + filepath.Base(bundle), root: filepath.Join(bundle, "runc"), log: new(tail), done: make(chan struct{})}
	r.cmd = exec.Command("runc", "--root", r.root, "run", "--bundle", bundle, r.id)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait() // its exit code is read from ProcessState
		close(r.done)
	}()
	t.Cleanup(func() {
		_ = exec.Command("runc", "--root", r.root, "delete", "--force", r.id).Run() // it may have ended
		<-r.done
	})
	return r
}

// ended waits for the end and is the exit code.
func (r *running) ended(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("still running after %s:\n%s", within, r.log)
		return 0
	}
}

// exec runs a command in the container, as ECS does for a health check.
func (r *running) exec(t *testing.T, command ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "runc", append([]string{"--root", r.root, "exec", r.id}, command...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

// process is what the kernel says of the container's first process.
func (r *running) process(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("runc", "--root", r.root, "state", r.id).Output()
	var state struct{ Pid int }
	must(t, err, json.Unmarshal(out, &state))
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", state.Pid))
	must(t, err)
	return string(text)
}

// kill sends a signal to the container's first process.
func (r *running) kill(t *testing.T, signal string) {
	t.Helper()
	if out, err := exec.Command("runc", "--root", r.root, "kill", r.id, signal).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// tail is a log that is being written.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// eventually waits until something is so.
func eventually(t *testing.T, within time.Duration, so func() bool, otherwise func() string) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for !so() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", within, otherwise())
		case <-ticker.C:
		}
	}
}
