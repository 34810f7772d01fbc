package sim_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// Whatever was deployed, rolled back, scaled and broken, by whichever strategy, a
// good revision after that is in the end the only one, with all its tasks
// healthy. And meanwhile no pool of tasks is above its ceiling.
func TestLivenessDeploymentsEnd(t *testing.T) {
	for kind, change := range map[string]func(*sim.ServiceSpec){
		"rolling":     func(s *sim.ServiceSpec) { s.Breaker, s.Rollback = sim.BreakerOn, true },
		"no rollback": func(s *sim.ServiceSpec) { s.Breaker = sim.BreakerNeverResets },
		"stop-first":  func(s *sim.ServiceSpec) { s.MaximumPercent, s.MinimumHealthyPercent = 100, 50 },
		"rebalanced":  func(s *sim.ServiceSpec) { s.Rebalance = true },
		"blue/green":  func(s *sim.ServiceSpec) { s.Groups[0].Alternate, s.Breaker, s.Rollback = true, sim.BreakerOn, true },
		"CODE_DEPLOY": func(s *sim.ServiceSpec) { s.Groups[0].Alternate, s.Controller = true, fleet.ControllerCodeDeploy },
		"EXTERNAL":    func(s *sim.ServiceSpec) { s.Controller = fleet.ControllerExternal },
		"daemon": func(s *sim.ServiceSpec) {
			s.LaunchType, s.NetworkMode, s.Scheduling = fleet.EC2, fleet.NetworkBridge, fleet.Daemon
		},
	} {
		for seed := range uint64(*seeds) {
			t.Run(fmt.Sprint(kind, " ", seed), func(t *testing.T) {
				params := sim.DefaultParams()
				params.TrafficShift, params.RegistrationLag = time.Minute, sim.Range{Max: 30 * time.Second}
				inBubble(t, sim.Options{Seed: seed, Params: &params}, 4, func(t *testing.T, w *world) {
					spec := sim.ReferenceWorkload(clusterName, "greeter")
					spec.Desired = 4
					spec.Groups[0].Check = fleet.TargetCheck{Interval: 5 * time.Second, HealthyThreshold: 2}
					spec.Groups[0].DeregistrationDelay = 30 * time.Second
					change(&spec)
					w.add(spec)
					desired := w.upset(seed, spec)
					w.must(w.r.Deploy(greeter))
					newest := w.deploymentIDs()[0]
					w.until(6*time.Hour, "one good revision", func() bool {
						ids := w.deploymentIDs()
						return len(ids) == 1 && ids[0] == newest && w.calm(greeter, desired)()
					})
				})
			})
		}
	}
}

// upset does random things to the one service for two hours and returns the
// desired count that it leaves behind.
func (w *world) upset(seed uint64, spec sim.ServiceSpec) (desired int) {
	rng := rand.New(rand.NewPCG(seed, 3))
	desired = int(w.service().DesiredCount)
	scaled := time.Now()
	for end := time.Now().Add(2 * time.Hour); time.Now().Before(end); {
		tasks := slices.DeleteFunc(w.r.Tasks(greeter), func(t sim.TaskInfo) bool { return t.Status != fleet.Running })
		switch n := rng.IntN(6); {
		case n == 0:
			w.must(w.r.DeployRevision(greeter, sim.Revision{Fate: sim.Fate(rng.IntN(4))}))
		case n == 1:
			_ = w.r.RollBack(greeter) // there may be nothing to
		case n == 2 && spec.Scheduling != fleet.Daemon:
			// One task between 50 and 100 % can be neither stopped nor joined by
			// another: no deployment of it ends.
			desired, scaled = 2+rng.IntN(5), time.Now()
			w.must(w.r.Scale(greeter, desired))
		case n == 3 && len(tasks) > 0:
			w.must(w.r.Hang(tasks[rng.IntN(len(tasks))].ARN))
		case n == 4 && len(tasks) > 0:
			w.must(w.r.Exit(tasks[rng.IntN(len(tasks))].ARN))
		}
		for range 30 + rng.IntN(200) {
			time.Sleep(time.Second)
			if time.Since(scaled) > 20*time.Minute {
				w.checkCeilings(spec, desired)
			}
		}
	}
	return desired
}

// checkCeilings holds the numbers of tasks, some time after the last scaling.
func (w *world) checkCeilings(spec sim.ServiceSpec, desired int) {
	w.t.Helper()
	most := map[int]int{0: 200, 100: 100}[spec.MaximumPercent]
	if spec.Scheduling == fleet.Daemon {
		most = 100
	}
	pools := map[string]int{}
	for _, t := range w.r.Tasks(greeter) {
		if t.Desired != fleet.Running {
			continue
		}
		if spec.Controller == fleet.ControllerECS || spec.Controller == "" {
			if !spec.Groups[0].Alternate {
				t.Deployment = "all"
			}
		}
		pools[t.Deployment]++
	}
	for of, n := range pools {
		if n > desired*most/100 {
			w.t.Fatalf("%d tasks of %s, desired %d, at most %d %%", n, of, desired, most)
		}
	}
}

// deploymentIDs are the ids of the deployments or task sets, the newest first.
func (w *world) deploymentIDs() (ids []string) {
	s := w.service()
	for _, d := range s.Deployments {
		ids = append(ids, *d.Id)
	}
	for _, d := range s.TaskSets {
		ids = append(ids, *d.Id)
	}
	return ids
}
