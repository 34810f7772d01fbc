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
		{name: "bridge before its ports are known", kind: "instance", mode: "bridge", task: instance},
		{name: "host without bindings", kind: "instance", mode: "host", task: instance, want: []string{"g i-abc:10080"}},
		{
			name: "blue/green: both groups", kind: "ip", ip: "10.0.1.7", want: []string{"alt 10.0.1.7:10080", "g 10.0.1.7:10080"},
			service: map[string]any{"loadBalancers": []any{lb("g", map[string]any{"advancedConfiguration": map[string]any{"alternateTargetGroupArn": groupARN("alt")}})}},
		},
		{
			name: "task sets", kind: "ip", ip: "10.0.1.7", want: []string{"alt 10.0.1.7:10080", "g 10.0.1.7:10080"},
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
				if d := s.Services[0].Deployments; c.name == "task sets" && (len(d) != 2 || d[1].Rollout != "STABILIZING" || s.Services[0].Controller != fleet.ControllerExternal) {
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

// Targets follow the inventory although the task was not read again: a new
// value with the old Read.
func TestTargetsFollowTheInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.groups = append(f.groups, &fakeGroup{name: "second", kind: "ip"})
		o := observer(t, Options{Config: f.config(), Interval: time.Hour, DiscoveryInterval: time.Hour})
		a := pass(t, o, 0).Tasks[0]
		f.clusters[0].services[0].groups = append(f.clusters[0].services[0].groups, "second")
		b := pass(t, o, time.Minute).Tasks[0]
		if a == b || len(b.Targets) != 2 || len(a.Targets) != 1 || a.Read != b.Read {
			t.Errorf("targets %v read %v, were %v read %v", b.Targets, b.Read, a.Targets, a.Read)
		}
		if c := pass(t, o, time.Minute).Tasks[0]; c != b {
			t.Error("nothing changed, and the task is a new value")
		}
		f.clusters[0].services[0].extra = map[string]any{"loadBalancers": []any{
			map[string]any{"targetGroupArn": groupARN("second"), "containerName": "nginx", "containerPort": 9000},
		}}
		if d := pass(t, o, time.Minute).Tasks[0]; len(d.Targets) != 1 || d.Targets[0].Port != 9000 || d.Read != a.Read {
			t.Errorf("after a change of the port: targets %v", d.Targets)
		}
	})
}
