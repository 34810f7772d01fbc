package status_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/status"
)

// BenchmarkAnswers makes each answer once for a View, as the first reader after
// a pass has it made: a fleet of 1,000 services with two tasks and a target group
// each, and 10,000 closed timelines. B/page is how long it is.
func BenchmarkAnswers(b *testing.B) {
	v := wide(time.Now())
	h := handlerOfLatest(func() *status.View {
		next := *v
		return &next
	})
	id, task := string(v.Closed[0].ID), v.Closed[0].Task.ID()
	for _, path := range []string{
		"/", "/timelines", "/timelines/" + id, "/services", "/castoff", "/api/v1/status", "/api/v1/services",
		"/api/v1/timelines", "/api/v1/timelines?limit=1000", "/api/v1/timelines/" + id, "/api/v1/tasks", "/api/v1/verdicts", "/api/v1/detachments",
		"/api/v1/explain?of=" + task, "/api/v1/services?service=service-0500",
	} {
		b.Run("path="+path, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				w := get(h, path)
				if size = w.Body.Len(); w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
			b.ReportMetric(float64(size), "B/page")
		})
	}
}

// wide is a large fleet with a long history, in which a bit of everything fails.
func wide(now time.Time) *status.View {
	v := busy(now)
	v.Closed = nil
	s := *v.Snapshot
	read := s.Tasks[0].Read
	for i := range 1000 {
		id := fleet.ServiceID{Cluster: "production", Name: fmt.Sprintf("service-%04d", i)}
		arn := groupARN(id.Name)
		g := &fleet.TargetGroup{ARN: arn, Read: read}
		s.Services = append(s.Services, &fleet.Service{
			ID: id, Status: "ACTIVE", Scheduling: fleet.Replica, Controller: fleet.ControllerECS, Desired: 2, Running: 2,
			LoadBalancers: []fleet.LoadBalancer{{Group: arn, Port: 80}}, Read: read,
		})
		for n := range 2 {
			key := fleet.NewTargetKey(arn, fmt.Sprintf("10.%d.%d.%d", n, i/250, i%250), 80)
			g.Targets = append(g.Targets, fleet.Target{Key: key, State: fleet.TargetHealthy})
			s.Tasks = append(s.Tasks, &fleet.Task{
				ARN: taskARN(fmt.Sprintf("%032x", 2*i+n)), Service: id, LastStatus: fleet.Running, Health: fleet.Healthy,
				Targets: []fleet.TargetKey{key}, Created: now.Add(-time.Hour), Read: read,
			})
		}
		s.TargetGroups = append(s.TargetGroups, g)
	}
	v.Snapshot = fleet.NewSnapshot(s)
	for i := range 10_000 {
		tl := hung(fmt.Sprintf("%032x", i+10_000), now.Add(-time.Duration(i+60)*time.Minute), time.Hour)
		tl.Service.Name = fmt.Sprintf("service-%04d", i%1000)
		v.Closed = append(v.Closed, tl)
	}
	return v
}
