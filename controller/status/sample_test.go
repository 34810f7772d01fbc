package status_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
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
		Targets: []timeline.Target{{Key: key, Good: []timeline.Span{{}}}},
	}
	for _, m := range all {
		if m.NotAfter.After(at(known)) {
			continue
		}
		t.Milestones = append(t.Milestones, m)
		switch m.Kind {
		case timeline.Detach, timeline.Detached:
			t.Targets[0].Milestones = append(t.Targets[0].Milestones, m)
			if m.Kind == timeline.Detach {
				t.Targets[0].Good[0].To = m.Bounds
			}
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
	api.Breaker = fleet.CircuitBreaker{Enabled: true, Rollback: true, Resets: true, Type: fleet.ThresholdBoundedPercent, Value: 50}
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
	v := &status.View{
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
	act(v, now)
	return v
}

// act has castoff act on the service api of a sample: what is exposed is held
// by the floor, what drains was taken out a while ago; of the closed timelines
// one was cut short and one would have been.
func act(v *status.View, now time.Time) {
	api := v.Snapshot.Services[0].ID
	v.Modes = map[fleet.ServiceID]policy.Mode{api: policy.Detaching}
	decided := now.Add(-1900 * time.Millisecond)
	v.Verdicts = []policy.Verdict{
		held(v.Open[1], decided, policy.Finding{
			Guard: policy.NoGain, Decision: policy.Refuse, Reason: policy.AlreadyDraining, Sentence: "the target is draining already",
		}),
		held(v.Open[0], decided, policy.Finding{
			Guard: policy.Floor, Decision: policy.Hold, Reason: policy.BelowFloor, Sentence: "1 of 3 tasks would stay healthy, floor 2 (50 %)",
			Values: []policy.Value{{Name: "healthy_left", Got: 1, Limit: 2}},
		}, policy.Finding{
			Guard: policy.Rate, Decision: policy.Hold, Reason: policy.ServiceRate, Sentence: "the service may lose 1 tasks a minute, 1 at once: the next at a quarter past",
			Until: decided.Add(41 * time.Second), Values: []policy.Value{{Name: "tokens", Limit: 1}},
		}),
	}
	out := taken(v.Open[1], policy.Detaching)
	stopped := func(d policy.Detachment, t *timeline.Timeline, began time.Duration) policy.Detachment {
		d.ECS = &policy.Bounds{NotBefore: d.Called.Add(began), NotAfter: d.Called.Add(began + 2*time.Second)}
		if d.Mode != policy.Detaching {
			d.ECS = &policy.Bounds{NotBefore: d.Decided.Add(began), NotAfter: d.Decided.Add(began)}
		}
		d.Progress, d.Outcome, d.Ended = policy.Closed, policy.Stopped, t.Closed
		return d
	}
	v.Detachments = []policy.Detachment{
		out,
		stopped(taken(v.Closed[0], policy.Detaching), v.Closed[0], 114*time.Second),
		stopped(taken(v.Closed[1], policy.Observing), v.Closed[1], -3*time.Second),
	}
	v.Pauses = []policy.Pause{
		{Scope: policy.ScopeService, Service: fleet.ServiceID{Cluster: "production", Name: "web"}, From: policy.FromTag, Until: now.Add(time.Hour), Owner: "jane@example.com", Reason: "database upgrade", KeepOut: true},
		{Scope: policy.ScopeAll, From: policy.FromConfig, Until: now, Owner: "joe@example.com", Reason: "over"},
	}
	v.Receivers = []notify.Standing{
		{Name: "sre", Kind: notify.Slack, Sent: 41, LastSuccess: now.Add(-4 * time.Minute)},
		{
			Name: "gateway", Kind: notify.Webhook, Queued: 2, Sent: 7, Failed: 1, Dropped: 3, LastSuccess: now.Add(-time.Hour),
			LastFailure: now.Add(-time.Second), LastError: "answered 503 Service Unavailable: over capacity",
		},
	}
	v.Latches = []policy.Latch{{Service: fleet.ServiceID{Cluster: "production", Name: "worker"}, Since: now.Add(-4 * time.Minute), Until: now.Add(6 * time.Minute), Failing: 3, Of: 4}}
}

// held is a verdict in which all guards allow but those given, of which the
// first decides.
func held(t *timeline.Timeline, at time.Time, not ...policy.Finding) policy.Verdict {
	v := policy.Verdict{
		Action: policy.Detach, Target: t.Targets[0].Key, Task: t.Task, Service: t.Service, Started: t.Opened.Add(-time.Hour), Zone: t.Zone,
		Mode: policy.Detaching, At: at, Decision: policy.Allow, Reason: policy.OK, Sentence: "every guard allows taking it out",
	}
	for _, g := range policy.Guards {
		f := policy.Finding{Guard: g, Decision: policy.Allow, Reason: policy.OK, Sentence: "nothing against it"}
		if g == policy.Confirm {
			f.Sentence, f.Values = "seen failing in 3 readings in a row for 6s", []policy.Value{
				{Name: "reads", Got: 3, Limit: 2}, {Name: "failing", Got: 6.1234, Limit: 0, Unit: "seconds"},
			}
		}
		for _, n := range not {
			if n.Guard == g {
				f = n
			}
		}
		v.Findings = append(v.Findings, f)
	}
	if len(not) > 0 {
		f := not[0]
		v.Decision, v.Guard, v.Reason, v.Sentence, v.Until = f.Decision, f.Guard, f.Reason, f.Sentence, f.Until
	}
	return v
}

// taken is the detachment of a timeline's target two seconds after it was known.
func taken(t *timeline.Timeline, mode policy.Mode) policy.Detachment {
	d := policy.Detachment{
		Target: t.Targets[0].Key, Task: t.Task, Started: t.Opened.Add(-time.Hour), Service: t.Service, Zone: t.Zone, Mode: mode,
		Decided: t.Opened.Add(2 * time.Second), Progress: policy.Out,
	}
	if mode == policy.Detaching {
		d.Called, d.Result, d.Tries = d.Decided.Add(120*time.Millisecond), policy.Accepted, 1
	}
	return d
}

func handler(v *status.View) http.Handler {
	return handlerOfLatest(func() *status.View { return v })
}

func handlerOfLatest(view func() *status.View) http.Handler {
	return status.New(status.Options{
		View: view,
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
