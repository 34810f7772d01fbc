package sim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// driven is a region whose time is the test's, with one hung task of the
// reference workload, and what came of it after twenty minutes of looks at any
// instants.
func driven(t *testing.T, now func() time.Time, pass func(time.Duration)) []sim.Truth {
	t.Helper()
	id := fleet.ServiceID{Cluster: clusterName, Name: "reference"}
	r := sim.New(sim.Options{Seed: 3, Now: now})
	spec := sim.ReferenceWorkload(id.Cluster, id.Name)
	if err := r.AddCluster(id.Cluster, sim.ClusterOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := r.AddService(spec); err != nil {
		t.Fatal(err)
	}
	pass(30 * time.Second)
	hung := r.Tasks(id)[0]
	if err := r.Hang(hung.ARN); err != nil {
		t.Fatal(err)
	}
	pass(40 * time.Second)
	key := hung.Targets[0]
	if err := r.Deregister(key.Group, []fleet.TargetKey{key}); err != nil {
		t.Fatal(err)
	}
	pass(5 * time.Second)
	if err := r.Register(key.Group, []fleet.Target{{Key: key, Zone: hung.Zone}}); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		pass(30*time.Second + 1500*time.Microsecond)
		r.Snapshot(fleet.Read{})
	}
	return r.Truth()
}

// TestDrivenTimeIsTimeLikeAnyOther: a region that is told the time lives as one
// does in a bubble, and waits for nothing.
func TestDrivenTimeIsTimeLikeAnyOther(t *testing.T) {
	var inBubble []sim.Truth
	var began time.Time
	synctest.Test(t, func(t *testing.T) {
		began = time.Now()
		inBubble = driven(t, nil, func(d time.Duration) { time.Sleep(d.Truncate(time.Millisecond)) })
	})
	now := began.Add(999 * time.Microsecond) // that nobody waits for
	got := driven(t, func() time.Time { return now }, func(d time.Duration) { now = now.Add(d.Truncate(time.Millisecond)) })
	if len(got) != 1 || len(inBubble) != 1 {
		t.Fatalf("%d failures, %d in the bubble", len(got), len(inBubble))
	}
	g, b := got[0], inBubble[0]
	if g.Stopped.IsZero() || !g.Onset.Equal(b.Onset) || !g.Unhealthy.Equal(b.Unhealthy) || !g.Stopped.Equal(b.Stopped) || g.Targets[0] != b.Targets[0] {
		t.Errorf("driven %+v\nbubble %+v", g, b)
	}
}

func TestDirectWritesAnswerAsAWSDoes(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	r := sim.New(sim.Options{Now: func() time.Time { return now }})
	group, err := r.AddTargetGroup(fleet.TargetTypeIP, sim.GroupSpec{Name: "g", Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	target := fleet.Target{Key: fleet.NewTargetKey(group, "10.0.0.9", 80), Zone: "eu-central-1a"}
	for _, row := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"register", r.Register(group, []fleet.Target{target}), true},
		{"deregister", r.Deregister(group, []fleet.TargetKey{target.Key}), true},
		{"deregister what drains", r.Deregister(group, []fleet.TargetKey{target.Key}), true},
		{"no targets", r.Deregister(group, nil), false},
		{"no group", r.Deregister("arn:none", []fleet.TargetKey{target.Key}), false},
		{"no address", r.Register(group, []fleet.Target{{Key: fleet.TargetKey{Group: group, ID: "i-1", Port: 80}}}), false},
		{"no zone", r.Register(group, []fleet.Target{{Key: target.Key, Zone: "eu-central-1x"}}), false},
	} {
		if (row.err == nil) != row.ok {
			t.Errorf("%s: %v", row.name, row.err)
		}
	}
	if rows := r.Rows(group); len(rows) != 1 || rows[0].State != fleet.TargetDraining {
		t.Errorf("%+v", rows)
	}
}

// TestSubnets: tasks are where their service's subnets are, and nowhere else.
func TestSubnets(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	id := fleet.ServiceID{Cluster: clusterName, Name: "reference"}
	r := sim.New(sim.Options{Now: func() time.Time { return now }})
	spec := sim.ReferenceWorkload(id.Cluster, id.Name)
	spec.Desired, spec.Subnets = 4, []string{"eu-central-1c", "eu-central-1a"}
	if err := r.AddCluster(id.Cluster, sim.ClusterOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := r.AddService(spec); err != nil {
		t.Fatal(err)
	}
	in := map[string]int{}
	for _, task := range r.Tasks(id) {
		in[task.Zone]++
	}
	if len(in) != 2 || in["eu-central-1a"] != 2 || in["eu-central-1c"] != 2 {
		t.Errorf("%v", in)
	}
	for name, spoil := range map[string]func(*sim.ServiceSpec){
		"no such zone": func(s *sim.ServiceSpec) { s.Subnets = []string{"eu-central-1x"} },
		"on EC2":       func(s *sim.ServiceSpec) { s.LaunchType = fleet.EC2 },
	} {
		bad := spec
		bad.Name, bad.Groups = name, nil
		if spoil(&bad); r.AddService(bad) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
