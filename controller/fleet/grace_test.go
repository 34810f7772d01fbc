package fleet

import (
	"testing"
	"time"
)

func TestGrace(t *testing.T) {
	id := ServiceID{Cluster: "prod", Name: "web"}
	def := &TaskDefinition{ARN: "web:1", Containers: []ContainerDefinition{
		{Name: "log", Check: &HealthCheck{StartPeriod: time.Hour}},
		{Name: "app", Essential: true, Check: &HealthCheck{StartPeriod: 20 * time.Second}},
		{Name: "db", Essential: true, Check: &HealthCheck{StartPeriod: 40 * time.Second}},
	}}
	task := &Task{Service: id, Definition: def.ARN}
	s := NewSnapshot(Snapshot{Services: []*Service{{ID: id, Grace: 30 * time.Second}}, Definitions: map[TaskDefinitionARN]*TaskDefinition{def.ARN: def}})
	want := Grace{Service: 30 * time.Second, Container: 40 * time.Second, Of: "db", Known: true}
	if got := s.Grace(task); got != want || got.Checks() != 40*time.Second {
		t.Errorf("%+v", got)
	}
	if got := NewSnapshot(Snapshot{Definitions: s.Definitions}).Grace(task); got.Known || got.Checks() != 40*time.Second {
		t.Errorf("the service was not read: %+v", got)
	}
	if got := NewSnapshot(Snapshot{Services: s.Services}).Grace(task); got.Known || got.Checks() != 30*time.Second {
		t.Errorf("the definition was not read: %+v", got)
	}
}

func TestBooting(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const grace = 30 * time.Second
	for _, c := range []struct {
		name    string
		started time.Duration // ago
		status  TaskStatus
		grace   time.Duration
		want    bool
	}{
		{"just started", 0, Running, grace, true},
		{"not quite over", grace - 1, Running, grace, true},
		{"over", grace, Running, grace, false},
		{"without any", 0, Running, 0, false},
		{"started by a clock that is a little ahead", -skew, Running, grace, true},
		{"started by a clock that was set back", -skew - 1, Running, grace, false},
	} {
		task := &Task{LastStatus: c.status, Started: now.Add(-c.started)}
		if got := task.Booting(c.grace, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if task := (&Task{LastStatus: Activating}); !task.Booting(grace, now) || task.Booting(0, now) {
		t.Error("it has not started")
	}
	if (&Task{LastStatus: Running}).Booting(grace, now) {
		t.Error("it runs, and nobody says since when")
	}
}
