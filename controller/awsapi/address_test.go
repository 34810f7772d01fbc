package awsapi

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestTargetsOfATask(t *testing.T) {
	lb := func(group string, more map[string]any) map[string]any {
		m := map[string]any{"targetGroupArn": groupARN(group), "containerName": "nginx", "containerPort": 10080}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	instance := map[string]any{"launchType": "EC2", "containerInstanceArn": ecsARN("container-instance/c00/abc")}
	with := func(base map[string]any, k string, v any) map[string]any {
		out := map[string]any{k: v}
		for k, v := range base {
			out[k] = v
		}
		return out
	}
	bindings := func(b ...map[string]any) []any {
		return []any{map[string]any{"name": "app"}, map[string]any{"name": "nginx", "networkBindings": b}}
	}
	for _, c := range []struct {
		name    string
		kind    string // of the group g
		ipv6    bool
		mode    string
		service map[string]any
		task    map[string]any
		ip      string
		want    []string // group, then address
	}{
		{name: "awsvpc by the attachment", kind: "ip", ip: "10.0.1.7", want: []string{"g 10.0.1.7:10080"}},
		{
			name: "awsvpc by the container", kind: "ip", want: []string{"g 10.0.1.8:10080"},
			task: map[string]any{"containers": []any{map[string]any{"name": "nginx", "networkInterfaces": []any{map[string]any{"privateIpv4Address": "10.0.1.8"}}}}},
		},
		{
			name: "IPv6 group", kind: "ip", ipv6: true, ip: "10.0.1.7", want: []string{"g [2001:db8::7]:10080"},
			task: map[string]any{"containers": []any{map[string]any{"name": "nginx", "networkInterfaces": []any{
				map[string]any{"privateIpv4Address": "10.0.1.7", "ipv6Address": "2001:0DB8:0:0::7"}}}}},
		},
		{name: "IPv6 group, IPv4 task", kind: "ip", ipv6: true, ip: "10.0.1.7"},
		{
			name: "bridge", kind: "instance", want: []string{"g i-abc:32768"},
			task: with(instance, "containers", bindings(map[string]any{"containerPort": 9000, "hostPort": 32767}, map[string]any{"containerPort": 10080, "hostPort": 32768})),
		},
		{
			name: "bridge, TCP and UDP on one port", kind: "instance", want: []string{"g i-abc:32769"},
			task: with(instance, "containers", bindings(
				map[string]any{"containerPort": 10080, "hostPort": 32768, "protocol": "udp"}, map[string]any{"containerPort": 10080, "hostPort": 32769, "protocol": "tcp"})),
		},
		{
			name: "bridge, a port for IPv4 and one for IPv6", kind: "instance", want: []string{"g i-abc:49154", "g i-abc:49254"},
			task: with(instance, "containers", bindings(
				map[string]any{"bindIP": "0.0.0.0", "containerPort": 10080, "hostPort": 49154, "protocol": "tcp"},
				map[string]any{"bindIP": "::", "containerPort": 10080, "hostPort": 49254, "protocol": "tcp"},
				map[string]any{"containerPort": 10080, "hostPort": 49354, "protocol": "udp"})),
		},
		{name: "bridge before its ports are known", kind: "instance", mode: "bridge", task: instance},
		{name: "host without bindings", kind: "instance", mode: "host", task: instance, want: []string{"g i-abc:10080"}},
		{
			name: "blue/green: both groups", kind: "ip", ip: "10.0.1.7", want: []string{"alt 10.0.1.7:10080", "g 10.0.1.7:10080"},
			service: map[string]any{"loadBalancers": []any{lb("g", map[string]any{"advancedConfiguration": map[string]any{"alternateTargetGroupArn": groupARN("alt")}})}},
		},
		{
			name: "task sets: its own", kind: "ip", ip: "10.0.1.7", want: []string{"alt 10.0.1.7:10080"}, task: map[string]any{"startedBy": "ecs-svc/2"},
			service: map[string]any{
				"loadBalancers": []any{}, "deploymentController": map[string]any{"type": "EXTERNAL"}, "deployments": []any{},
				"taskSets": []any{
					map[string]any{"id": "ecs-svc/1", "status": "PRIMARY", "stabilityStatus": "STEADY_STATE", "loadBalancers": []any{lb("g", nil)}},
					map[string]any{"id": "ecs-svc/2", "status": "ACTIVE", "stabilityStatus": "STABILIZING", "loadBalancers": []any{lb("alt", nil)}},
				},
			},
		},
		{
			name: "two ports in one group", kind: "ip", ip: "10.0.1.7", want: []string{"g 10.0.1.7:9000", "g 10.0.1.7:10080"},
			service: map[string]any{"loadBalancers": []any{lb("g", nil), lb("g", map[string]any{"containerPort": 9000}), lb("g", nil)}},
		},
		{name: "no load balancer", kind: "ip", ip: "10.0.1.7", service: map[string]any{"loadBalancers": []any{}}},
		{name: "a Classic Load Balancer", kind: "ip", ip: "10.0.1.7", service: map[string]any{"loadBalancers": []any{map[string]any{"loadBalancerName": "old"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				cl := f.clusters[0]
				cl.services[0].groups, cl.services[0].extra = []string{"g"}, c.service
				cl.tasks[0].ip, cl.tasks[0].extra = c.ip, c.task
				f.groups = []*fakeGroup{{name: "g", kind: c.kind, ipv6: c.ipv6}, {name: "alt", kind: c.kind}}
				f.networkMode = c.mode
				s := observer(t, Options{Config: f.config()}).Observe(t.Context(), nil)
				if len(s.Gaps) != 0 {
					t.Errorf("gaps %v", gapsOf(s))
				}
				var got []string
				for _, k := range s.Tasks[0].Targets {
					got = append(got, k.Group.Name()+" "+k.Address())
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("targets %q, want %q", got, c.want)
				}
				if d := s.Services[0].Deployments; c.name == "task sets: its own" && (len(d) != 2 || d[1].Rollout != "STABILIZING" || s.Services[0].Controller != fleet.ControllerExternal) {
					t.Errorf("deployments %+v", d)
				}
			})
		})
	}
}

// A task with an address of each kind is named by the one that its group's rows have,
// and by none before anything tells: under the wrong one its row would seem to be gone.
func TestTargetWithTwoAddressesWhileGroupsAreUnread(t *testing.T) {
	for _, c := range []struct{ name, four, six, row, want string }{
		{"IPv6 group", "10.0.0.1", "2001:db8::1", "2001:db8::9", "2001:db8::1"},
		{"IPv4 group", "10.0.0.1", "2001:db8::1", "10.0.0.9", "10.0.0.1"},
		{"no rows yet", "10.0.0.1", "2001:db8::1", "", ""},
		{"IPv6 only", "", "2001:db8::1", "", "2001:db8::1"},
		{"IPv4 only", "10.0.0.1", "", "", "10.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				f.groups[0].targets = nil
				if c.row != "" {
					f.groups[0].targets = []fakeTarget{{id: c.row, port: 10080, state: "healthy"}}
				}
				details := []any{}
				for name, value := range map[string]string{"privateIPv4Address": c.four, "privateIPv6Address": c.six} {
					if value != "" {
						details = append(details, map[string]any{"name": name, "value": value})
					}
				}
				f.clusters[0].tasks[0].extra = map[string]any{"attachments": []any{map[string]any{"details": details}}}
				f.fault = func(c fakeCall) *fakeReply {
					if c.op == "DescribeTargetGroups" {
						return elbError(400, "Throttling")
					}
					return nil
				}
				o := observer(t, Options{Config: f.config()})
				var want []fleet.TargetKey
				if c.want != "" {
					want = []fleet.TargetKey{fleet.NewTargetKey(web(), c.want, 10080)}
				}
				pass(t, o, 0)
				if got := pass(t, o, 5*time.Second).Tasks[0].Targets; !slices.Equal(got, want) {
					t.Errorf("targets %v, want %v", got, want)
				}
				f.groups[0].targets = nil // the last one has gone: its kind is known for good
				if got := pass(t, o, 5*time.Second).Tasks[0].Targets; !slices.Equal(got, want) {
					t.Errorf("without rows: targets %v, want %v", got, want)
				}
			})
		})
	}
}

// What belongs to a task follows from its own deployment, and not from what the
// service names by now.
func TestTargetsFollowTheDeployment(t *testing.T) {
	lb := func(group string, port int) map[string]any {
		return map[string]any{"targetGroupArn": groupARN(group), "containerName": "nginx", "containerPort": port}
	}
	const first = "c00-s0000"
	for _, c := range []struct {
		name string
		lbs  []any // of the second deployment
		want []string
		next []string // of a task of it
	}{
		{"another group", []any{lb("second", 10080)}, []string{first + " 10.0.0.1:10080"}, []string{"second 10.0.0.2:10080"}},
		{"another port", []any{lb(first, 9000)}, []string{first + " 10.0.0.1:10080"}, []string{first + " 10.0.0.2:9000"}},
		{"one group more", []any{lb(first, 10080), lb("second", 9000)}, []string{first + " 10.0.0.1:10080"}, []string{first + " 10.0.0.2:10080", "second 10.0.0.2:9000"}},
		{"none any more", []any{}, []string{first + " 10.0.0.1:10080"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 2)
				cl := f.clusters[0]
				f.groups = append(f.groups, &fakeGroup{name: "second", kind: "ip"})
				later := cl.tasks[1]
				cl.tasks = cl.tasks[:1]
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				pass(t, o, 0)
				was := cl.describeServices([]string{ecsARN("service/c00/s0000")}).(map[string]any)["services"].([]any)[0].(map[string]any)["deployments"].([]any)[0].(map[string]any)
				was["status"] = "ACTIVE"
				cl.services[0].extra = map[string]any{"loadBalancers": c.lbs, "deployments": []any{
					map[string]any{"id": "ecs-svc/2", "status": "PRIMARY", "rolloutState": "IN_PROGRESS", "taskDefinition": ecsARN("task-definition/s0000:2")}, was,
				}}
				later.extra = map[string]any{"startedBy": "ecs-svc/2"}
				cl.tasks = append(cl.tasks, later)
				// The first deployment leaves the list while its task still drains.
				for _, deployments := range []int{2, 2, 1} {
					list := cl.services[0].extra["deployments"].([]any)
					cl.services[0].extra["deployments"] = list[:deployments]
					s := pass(t, o, 2*time.Minute)
					for i, want := range [][]string{c.want, c.next} {
						var got []string
						for _, k := range s.Tasks[i].Targets {
							got = append(got, k.Group.Name()+" "+k.Address())
						}
						if !slices.Equal(got, want) {
							t.Errorf("%d deployments: targets of task %d: %q, want %q", deployments, i, got, want)
						}
					}
					if len(s.Gaps) != 0 || s.TargetGroup(fleet.TargetGroupARN(groupARN(first))) == nil {
						t.Errorf("gaps %v, groups %d", gapsOf(s), len(s.TargetGroups))
					}
					if i := slices.IndexFunc(s.Services[0].LoadBalancers, func(lb fleet.LoadBalancer) bool { return lb.Group.Name() == first }); i < 0 {
						t.Errorf("the service has %v", s.Services[0].LoadBalancers)
					} else if former := s.Services[0].LoadBalancers[i].Former; former != (c.name == "another group" || c.name == "none any more") {
						t.Errorf("%s former: %t", first, former)
					}
				}
				if n := tally(f.taken())["DescribeServiceRevisions"]; n != 0 {
					t.Errorf("%d revisions asked for, although both deployments were seen as the primary one", n)
				}
				cl.tasks = cl.tasks[1:] // the last one in the old group
				for range 5 {
					pass(t, o, time.Minute)
				}
				s := pass(t, o, time.Minute)
				if gone := s.TargetGroup(fleet.TargetGroupARN(groupARN(first))) == nil; gone != (c.name == "another group" || c.name == "none any more") {
					t.Errorf("when its last task has gone: group dropped %t, service has %v", gone, s.Services[0].LoadBalancers)
				}
			})
		})
	}
}

// A task that was not read again gets a target in a group that comes to be known: a
// new value with the old Read.
func TestTargetsFollowTheInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.groups[0].kind = "instance"
		o := observer(t, Options{Config: f.config(), Interval: time.Hour, DiscoveryInterval: time.Hour})
		a := pass(t, o, 0).Tasks[0]
		f.groups[0].kind = "ip"
		b := pass(t, o, time.Minute).Tasks[0]
		if a == b || len(b.Targets) != 1 || len(a.Targets) != 0 || a.Read != b.Read {
			t.Errorf("targets %v read %v, were %v read %v", b.Targets, b.Read, a.Targets, a.Read)
		}
		if c := pass(t, o, time.Minute).Tasks[0]; c != b {
			t.Error("nothing changed, and the task is a new value")
		}
	})
}
