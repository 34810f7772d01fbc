//go:build linux

package lab

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// held is an agent whose tasks a test starts itself.
type held struct {
	*agent
	launches chan sim.Launch
}

func (h *held) Start(l sim.Launch) { h.launches <- l }

// TestStoppedBeforeItAnswers: ECS stops tasks that have yet to answer, or even to
// start. That is not the lab's to complain of, and leaves nothing.
func TestStoppedBeforeItAnswers(t *testing.T) {
	t.Parallel()
	ps := newTestProcesses(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// An nginx that ends at once: its container goes on, and nobody answers.
	a := &agent{processes: ps, dir: ps.dir, tools: Tools{Nginx: "/bin/true"}, ctx: ctx, forgets: &atomic.Bool{}, tasks: map[fleet.TaskARN]*group{}}
	agent := &held{agent: a, launches: make(chan sim.Launch, 2)}
	params := shortened(sim.DefaultParams(), 30)
	a.region = sim.New(sim.Options{Seed: 1, Params: &params, Runtime: &sim.Runtime{Agent: agent, Nodes: &balancer{over: true}, Network: claimed(t).Prefix}})
	l := &Lab{Region: a.region, options: Options{Tasks: 2, Speed: 30}}
	if err := errors.Join(a.region.AddCluster(Service.Cluster, sim.ClusterOptions{}), a.region.AddService(l.service())); err != nil {
		t.Fatal(err)
	}
	for _, early := range []bool{false, true} {
		launch := <-agent.launches
		g := a.enter(launch)
		if early {
			a.Stop(launch.Task)
		}
		came := make(chan error, 1)
		go func() { came <- a.bringUp(g) }()
		<-g.launched
		if !early {
			a.Stop(launch.Task)
		}
		select {
		case err := <-came:
			if err != nil {
				t.Errorf("stopped before its start %t: %v", early, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("its answer is still waited for")
		}
		eventually(t, "its containers have ended", func() bool { return ps.count() == 0 })
		eventually(t, "the region knows of that", func() bool {
			tasks := a.region.Tasks(Service)
			i := slices.IndexFunc(tasks, func(t sim.TaskInfo) bool { return t.ARN == launch.Task })
			return tasks[i].Desired == fleet.Stopped
		})
	}
	if err := errors.Join(a.close(), errors.Join(a.wrong...)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ps.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}
