package status_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

const region = "eu-central-1:123456789012"

func taskARN(id string) fleet.TaskARN {
	return fleet.TaskARN("arn:aws:ecs:" + region + ":task/production/" + id)
}

func groupARN(name string) fleet.TargetGroupARN {
	return fleet.TargetGroupARN("arn:aws:elasticloadbalancing:" + region + ":targetgroup/" + name + "/6d0ecf831eec9f09")
}

var check = &fleet.HealthCheck{
	Command:  []string{"CMD-SHELL", "grpc-health-probe -addr=localhost:10080 -rpc-timeout 2s"},
	Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 2, StartPeriod: 10 * time.Second,
}

// hung is the timeline of a hung task whose onset was at the given instant, as
// far as it is known so long after it.
func hung(id string, onset time.Time, known time.Duration) *timeline.Timeline {
	at := onset.Add
	seen := func(k timeline.Kind, d time.Duration, by timeline.Actor, evidence string) timeline.Milestone {
		return timeline.Milestone{
			Kind: k, Bounds: timeline.Bounds{NotBefore: at(d - 2*time.Second), NotAfter: at(d + 2*time.Second)},
			Source: timeline.Observed, By: by, Evidence: evidence,
		}
	}
	exact := func(k timeline.Kind, d time.Duration, evidence string) timeline.Milestone {
		return timeline.Milestone{Kind: k, Bounds: timeline.At(at(d)), Source: timeline.AWS, By: timeline.ByECS, Evidence: evidence}
	}
	all := []timeline.Milestone{
		{
			Kind: timeline.Onset, Bounds: timeline.Bounds{NotBefore: at(-5 * time.Second), NotAfter: at(5 * time.Second)},
			Source: timeline.Estimated, By: timeline.ByApp, Evidence: "2 retries of a check every 5 s with a timeout of 3 s, before unhealthy",
		},
		seen(timeline.Unhealthy, 16*time.Second, timeline.ByECS, "HEALTHY, then UNHEALTHY in the next read"),
		exact(timeline.ReplacementCreated, 36*time.Second, "createdAt of the replacement"),
		exact(timeline.ReplacementRunning, 58*time.Second, "startedAt of the replacement"),
		seen(timeline.ReplacementServing, 131*time.Second, timeline.ByELB, "initial, then healthy in the next read"),
		seen(timeline.Detach, 134*time.Second, timeline.ByECS, "healthy, then draining in the next read"),
		seen(timeline.Detached, 437*time.Second, timeline.ByELB, "draining, then no longer listed"),
		exact(timeline.Stopping, 438*time.Second, "stoppingAt"),
		exact(timeline.Stopped, 469*time.Second, "stoppedAt"),
	}
	key := fleet.NewTargetKey(groupARN("api-grpc"), "10.0.17.201", 10080)
	t := &timeline.Timeline{
		ID: timeline.ID(id + "-" + at(18*time.Second).UTC().Format("20060102T150405Z")), Task: taskARN(id),
		Service:    fleet.ServiceID{Cluster: "production", Name: "api"},
		Definition: fleet.TaskDefinitionARN("arn:aws:ecs:" + region + ":task-definition/api:42"),
		StartedBy:  "ecs-svc/1234567890123456789", Zone: "eu-central-1b", Trigger: timeline.ContainerCheck,
		Opened: at(18 * time.Second), Container: "nginx", Check: check,
		Targets: []timeline.Target{{Key: key}},
	}
	for _, m := range all {
		if m.NotAfter.After(at(known)) {
			continue
		}
		t.Milestones = append(t.Milestones, m)
		switch m.Kind {
		case timeline.Detach, timeline.Detached:
			t.Targets[0].Milestones = append(t.Targets[0].Milestones, m)
		case timeline.ReplacementCreated:
			t.Replacement = taskARN("0f9e8d7c6b5a49388271605f4e3d2c1b")
		case timeline.Stopped:
			t.Closed, t.Outcome = at(470*time.Second), timeline.Retired
			t.StopCode, t.StoppedReason = "ServiceSchedulerInitiated", "Task failed container health checks"
		}
	}
	return t
}

// sample is a View with a bit of everything at now: one task exposed, one
// failing that is no longer, closed timelines, gaps, a service without a
// balancer and one whose group was never read.
func sample(now time.Time) *status.View {
	read := fleet.Read{Sent: now.Add(-3 * time.Second), Received: now.Add(-2900 * time.Millisecond)}
	slow := fleet.Read{Sent: now.Add(-21 * time.Second), Received: now.Add(-20 * time.Second)}
	s := fleet.Snapshot{At: now.Add(-2 * time.Second), Clusters: []*fleet.Cluster{{Name: "production"}}}
	service := func(name string, desired int, groups ...string) *fleet.Service {
		svc := &fleet.Service{
			ID: fleet.ServiceID{Cluster: "production", Name: name}, Status: "ACTIVE", Scheduling: fleet.Replica,
			Controller: fleet.ControllerECS, Desired: desired, Running: desired,
		}
		for _, g := range groups {
			svc.LoadBalancers = append(svc.LoadBalancers, fleet.LoadBalancer{Group: groupARN(g), Port: 10080})
		}
		s.Services = append(s.Services, svc)
		return svc
	}
	task := func(svc *fleet.Service, id string, health fleet.HealthStatus, keys ...fleet.TargetKey) {
		s.Tasks = append(s.Tasks, &fleet.Task{
			ARN: taskARN(id), Service: svc.ID, LastStatus: fleet.Running, Health: health, Targets: keys, Read: read,
		})
	}
	api := service("api", 3, "api-grpc")
	g := &fleet.TargetGroup{ARN: groupARN("api-grpc"), Read: read}
	for i, id := range []string{"1f0c2a57b1c24d6f8e1f6b7a9d3c5e01", "2f0c2a57b1c24d6f8e1f6b7a9d3c5e02", "3f0c2a57b1c24d6f8e1f6b7a9d3c5e03"} {
		key := fleet.NewTargetKey(groupARN("api-grpc"), fmt.Sprintf("10.0.17.%d", 201+i), 10080)
		health, state := fleet.Healthy, fleet.TargetHealthy
		switch i {
		case 0:
			health = fleet.Unhealthy // exposed
		case 1:
			health, state = fleet.Unhealthy, fleet.TargetDraining
		}
		task(api, id, health, key)
		g.Targets = append(g.Targets, fleet.Target{Key: key, State: state})
	}
	task(service("worker", 1), "4f0c2a57b1c24d6f8e1f6b7a9d3c5e04", fleet.Unknown)
	task(service("web", 1, "web-http", "web-admin"), "5f0c2a57b1c24d6f8e1f6b7a9d3c5e05", fleet.Healthy)
	web := &fleet.TargetGroup{ARN: groupARN("web-http"), Read: slow, Targets: []fleet.Target{
		{Key: fleet.NewTargetKey(groupARN("web-http"), "2001:db8::17", 80), State: fleet.TargetHealthy},
	}}
	s.TargetGroups = []*fleet.TargetGroup{g, web, {ARN: groupARN("web-admin")}}
	s.Gaps = []fleet.Gap{{
		Kind: fleet.GapTargetHealth, Ref: string(groupARN("web-admin")), Class: fleet.Denied, Since: now.Add(-4 * time.Minute),
		Detail: "DescribeTargetHealth: AccessDenied: not authorized to perform elasticloadbalancing:DescribeTargetHealth",
	}}
	return &status.View{
		Version: "0.1.0", Started: now.Add(-26 * time.Hour), Snapshot: fleet.NewSnapshot(s),
		Open: []*timeline.Timeline{
			hung("1f0c2a57b1c24d6f8e1f6b7a9d3c5e01", now.Add(-80*time.Second), 80*time.Second),
			hung("2f0c2a57b1c24d6f8e1f6b7a9d3c5e02", now.Add(-5*time.Minute), 5*time.Minute),
		},
		Closed: []*timeline.Timeline{
			hung("7a0c2a57b1c24d6f8e1f6b7a9d3c5e07", now.Add(-2*time.Hour), time.Hour),
			hung("8a0c2a57b1c24d6f8e1f6b7a9d3c5e08", now.Add(-25*time.Hour), time.Hour),
		},
		Pass:     status.Pass{Number: 18720, At: now.Add(-2 * time.Second), Duration: 240 * time.Millisecond, Result: "partial"},
		LastFull: now.Add(-7 * time.Second), ReadyWithin: 30 * time.Second,
	}
}

func handler(v *status.View) http.Handler {
	return status.New(status.Options{
		View: func() *status.View { return v },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "castoff_build_info 1")
		}),
	})
}

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	return ask(h, http.MethodGet, target)
}

func ask(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}
