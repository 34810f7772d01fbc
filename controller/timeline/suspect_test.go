package timeline

import (
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A sidecar that is not essential and fails for good has no part in the stop of its
// task, whatever its check.
func TestSidecarInRetrospect(t *testing.T) {
	w := newWorld(1)
	w.def.Containers = append([]fleet.ContainerDefinition{{Name: "metrics", Check: &fleet.HealthCheck{Interval: 5 * time.Minute, Timeout: time.Minute, Retries: 10}}}, w.def.Containers...)
	w.said = func(_ *life, _ time.Time, task *fleet.Task) {
		task.Containers = append([]fleet.Container{{Name: "metrics", Health: fleet.Unhealthy}}, task.Containers...)
		if task.Health = fleet.Healthy; task.Leaving() {
			task.Health = fleet.Unknown
		}
		task.Containers[1].Health = task.Health
	}
	l := w.add(hung("a"))
	w.add(fresh("b", 623))
	tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1400), poll))
	onset := bounds(t, tl, Onset)
	if tl.Container != "nginx" || tl.Check == nil || tl.Check.Retries != 2 || !strings.HasPrefix(onset.Evidence, "nginx's health check: 2 × ") {
		t.Error(describe(tl))
	}
	if known := bounds(t, tl, Unhealthy); !onset.Contains(l.onset) || onset.NotBefore.Before(known.NotBefore.Add(-40*time.Second)) {
		t.Error(describe(tl))
	}
}

// What ECS adds to a task no definition has, and it ends its task like any other.
func TestContainerThatECSAdded(t *testing.T) {
	const proxy = "ecs-service-connect-Ab12C"
	w := newWorld(1)
	w.said = func(_ *life, _ time.Time, task *fleet.Task) {
		task.Containers = append(task.Containers, fleet.Container{Name: proxy, Health: task.Health})
		if task.Failing() {
			task.Containers[0].Health = fleet.Healthy
		}
	}
	l := w.add(hung("a"))
	w.add(fresh("b", 623))
	tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1400), poll))
	onset := bounds(t, tl, Onset)
	if tl.Container != proxy || tl.Check != nil || !strings.Contains(onset.Evidence, "(Service Connect's proxy), of which ECS tells no settings") {
		t.Error(describe(tl))
	}
	known := bounds(t, tl, Unhealthy)
	if !onset.Contains(l.onset) || !onset.NotAfter.Equal(known.NotAfter) || onset.Width() > 3*time.Minute {
		t.Errorf("it may have been known at once, and is bounded: %s", describe(tl))
	}
}

// Of several that fail at once nobody can tell which was first.
func TestSeveralContainersFail(t *testing.T) {
	task := &fleet.Task{Created: sec(0), Containers: []fleet.Container{
		{Name: "ecs-service-connect-Ab12C", Health: fleet.Unhealthy}, {Name: "nginx", Health: fleet.Unhealthy}, {Name: "bare", Health: fleet.Unhealthy},
	}}
	def := &fleet.TaskDefinition{Containers: []fleet.ContainerDefinition{
		{Name: "nginx", Essential: true, Check: &fleet.HealthCheck{Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 2}},
		{Name: "bare", Essential: true},
	}}
	m, by, ok := containerOnset(task, def, Bounds{sec(600), sec(602)}, true, 20*time.Second)
	if !ok || by.Name != "nginx" {
		t.Fatalf("%+v %v", by, ok)
	}
	slowest := 3*(30+5) + 5 + 20
	if want := (Bounds{sec(float64(600 - slowest)), sec(602)}); m.Bounds != want {
		t.Errorf("%+v, want %+v", m.Bounds, want)
	}
	if !strings.Contains(m.Evidence, ", or bare's health check, which its task definition does not have: ") || !strings.Contains(m.Evidence, ", or ecs-service") {
		t.Error(m.Evidence)
	}
}

// A task may be known not to have started by AWS's name for the reason alone.
func TestNeverStarted(t *testing.T) {
	exit := 1
	for _, c := range []struct {
		code, reason string
		exit         *int
		started      bool
		want         string
	}{
		{"TaskFailedToStart", "", nil, false, "the task did not start: no container was started"},
		{"", "CannotPullContainerError: pull image manifest has been retried 5 time(s)", nil, false, "the task did not start: no container was started"},
		{"", "ResourceInitializationError: unable to pull secrets", nil, false, "the task did not start: no container was started"},
		{"", "TaskFailedToStart: EMPTY CAPACITY PROVIDER", nil, false, "the task did not start: no container was started"},
		{"EssentialContainerExited", "CannotStartContainerError: no such file", &exit, false, "the task did not start: not all of its containers did"},
		{"EssentialContainerExited", "Essential container in task exited", &exit, false, "an essential container ended by itself"},
		{"EssentialContainerExited", "OutOfMemoryError: container killed", &exit, true, "an essential container ended by itself"},
		{"ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1): Error", nil, false, ""},
		{"UserInitiated", "Task stopped by user", nil, false, ""},
	} {
		task := &fleet.Task{Created: sec(600), LastStatus: fleet.Stopped, StoppedAt: sec(620), StopCode: c.code, StoppedReason: c.reason,
			Containers: []fleet.Container{{Name: "app", ExitCode: c.exit}}, Read: fleet.Read{Sent: sec(621), Received: sec(622)}}
		if c.started {
			task.Started = sec(610)
		}
		got := ""
		if _, failed := cause(task); failed {
			got = exitOnset(fleet.Read{}, task, 0).Evidence
		}
		if got != c.want {
			t.Errorf("%s, %q: %q, want %q", c.code, c.reason, got, c.want)
		}
	}
}

// A row that nothing uses is there, and the balancer says why.
func TestUnusedRow(t *testing.T) {
	key := fleet.NewTargetKey("arn:g", "10.0.0.9", 80)
	g := &fleet.TargetGroup{Targets: []fleet.Target{{Key: key, State: fleet.TargetUnused, Reason: "Target.NotInUse"}}}
	if got := gone(g, key); got != "the row is unused, Target.NotInUse" {
		t.Error(got)
	}
	if got := gone(&fleet.TargetGroup{}, key); got != "the row is gone" {
		t.Error(got)
	}
}
