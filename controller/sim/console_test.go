package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// Each word does to the region what it says.
func TestConsole(t *testing.T) {
	status := func(n int) func(*world) any {
		return func(w *world) any { return w.r.Tasks(greeter)[n-1].Status }
	}
	answering := func(n int) func(*world) any {
		return func(w *world) any { return w.r.Tasks(greeter)[n-1].Answering }
	}
	state := func(w *world) any { return w.row(w.r.Tasks(greeter)[0].Targets[0]).TargetHealth.State }
	refused := func(w *world) any {
		return code(w.deregister(w.r.Tasks(greeter)[0].Targets[0]))
	}
	for _, row := range []struct {
		lines string // by ;
		wait  time.Duration
		what  func(*world) any
		want  string
	}{
		{"hang greeter/1", 0, answering(1), "false"},
		{"hang greeter/1", 0, answering(2), "true"},
		{"hang prod/greeter/all", 0, answering(2), "false"},
		{"crash greeter/2; recover greeter/2", 0, answering(2), "true"},
		{"kill-front greeter/1 greeter/2", 0, answering(2), "false"},
		{"exit greeter/1", 20 * time.Second, status(1), "DEPROVISIONING"},
		{"stop greeter/2", 20 * time.Second, status(2), "DEACTIVATING"},
		{"interrupt greeter/1", 20 * time.Second, status(1), "DEACTIVATING"},
		{"disconnect greeter/1", 0, func(w *world) any { return w.r.Tasks(greeter)[0].Connected }, "false"},
		{"disconnect greeter/1; reconnect greeter/1", 0, func(w *world) any { return w.r.Tasks(greeter)[0].Connected }, "true"},
		{"deregister greeter/1", 0, state, "draining"},
		{"deregister greeter/1; register greeter/1", 0, state, "initial"},
		{"scale prod/greeter 5", time.Minute, func(w *world) any { return len(w.r.Tasks(greeter)) }, "5"},
		{"deploy greeter never", 5 * time.Minute, func(w *world) any { return w.service().Deployments[0].FailedTasks > 0 }, "true"},
		{"deploy greeter", 0, func(w *world) any { return len(w.service().Deployments) }, "2"},
		{"next greeter hangs; scale greeter 3", 3 * time.Minute, answering(3), "false"},
		{"shift greeter eu-central-1b", 0, func(w *world) any { return w.row(w.r.Tasks(greeter)[0].Targets[0]).AdministrativeOverride.State }, "zonal_shift_delegated_to_dns"},
		{"shift greeter eu-central-1b; shift greeter", 0, func(w *world) any { return w.row(w.r.Tasks(greeter)[0].Targets[0]).AdministrativeOverride.State }, "no_override"},
		{"tag greeter castoff:pause until noon", 0, func(w *world) any { return w.r.Snapshot(fleet.Read{}).Service(greeter).Tags["castoff:pause"] }, "until noon"},
		{"delete greeter", 0, func(w *world) any { return *w.service().Status }, "DRAINING"},
		{"fault deny DeregisterTargets count=1", 0, refused, "AccessDenied"},
		{"fault deny DeregisterTargets resource=web", 0, refused, ""},
		{"fault deny DeregisterTargets for=1m", 2 * time.Minute, refused, ""},
		{"fault deny DeregisterTargets; fault deny RegisterTargets; lift deny", 0, refused, ""},
		{"fault deny DeregisterTargets; lift", 0, refused, ""},
		{"fault deny DeregisterTargets; fault deny RegisterTargets; lift deny RegisterTargets", 0, refused, "AccessDenied"},
		{"fault deny; fault deny; lift deny", 0, refused, ""},
		{"; # hang greeter/1", 0, answering(1), "true"},
	} {
		t.Run(row.lines, func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 1}, 0, func(t *testing.T, w *world) {
				w.add(sim.ReferenceWorkload(clusterName, "greeter"))
				c := sim.NewConsole(w.r)
				for line := range strings.SplitSeq(row.lines, ";") {
					said, err := c.Do(line)
					if said != "" {
						t.Errorf("%s", said)
					}
					w.must(err)
				}
				time.Sleep(row.wait)
				if got := fmt.Sprint(row.what(w)); got != row.want {
					t.Errorf("%s, want %s", got, row.want)
				}
			})
		})
	}
}

func TestConsoleMistakes(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		c := sim.NewConsole(w.r)
		for line, want := range map[string]string{
			"break greeter/1":           `no command "break"; help lists them`,
			"hang":                      "hang TASK…: that is how it is used",
			"hang greeter/3":            `no task "greeter/3"; tasks lists them`,
			"hang greeter":              `no task "greeter"`,
			"hang other/all":            `no task "other/all"`,
			"scale greeter":             "scale SERVICE N: that is how it is used",
			"scale greeter two":         `"two" is no number of tasks`,
			"scale greeter -1":          "desired count -1 is negative",
			"scale other 1":             `no service "other"; services lists them`,
			"deploy greeter badly":      `no fate "badly"`,
			"deploy greeter never ever": "deploy SERVICE [FATE]: that is how it is used",
			"next greeter":              "next SERVICE FATE…: that is how it is used",
			"shift greeter mars":        "its load balancer is not in mars",
			"tag greeter":               "tag SERVICE KEY [VALUE]: that is how it is used",
			"fault":                     "that is how it is used",
			"fault break":               `no effect "break": deny, throttle,`,
			"fault deny A B":            "that is how it is used",
			"fault deny count=many":     "count=many: ",
			"fault deny colour=red":     "that is how it is used",
			"lift deny":                 `no fault "deny" is set`,
			"tasks other":               `no service "other"`,
			"services now":              "that is how it is used",
		} {
			if said, err := c.Do(line); err == nil || !strings.Contains(err.Error(), want) || said != "" {
				t.Errorf("%s: %q, %v, want %s", line, said, err, want)
			}
		}
		if tasks := w.r.Tasks(greeter); !tasks[0].Answering || !tasks[1].Answering {
			t.Error("something was done")
		}
	})
}

// What it tells can be read, and names tasks as its words take them.
func TestConsoleTells(t *testing.T) {
	inBubble(t, sim.Options{Seed: 1}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		w.add(sim.ServiceSpec{Cluster: clusterName, Name: "worker", Settled: true})
		c := sim.NewConsole(w.r)
		w.must(w.r.StopTask(w.r.Tasks(greeter)[0].ARN, ""))
		time.Sleep(2 * time.Hour) // its first task is forgotten by now
		said, err := c.Do("tasks")
		w.must(err)
		var first []string
		for line := range strings.Lines(said) {
			first = append(first, strings.Fields(line)[0])
		}
		if got := strings.Join(first, " "); got != "TASK greeter/2 greeter/3 worker/1 worker/2" || !strings.Contains(said, "RUNNING  HEALTHY") || !strings.Contains(said, ":10080 healthy") {
			t.Errorf("%s", said)
		}
		for line, want := range map[string]string{
			"services": "greeter  2        2        0        greeter:1        COMPLETED\n",
			"help":     "kill-front TASK…",
		} {
			if said, err := c.Do(line); err != nil || !strings.Contains(said, want) {
				t.Errorf("%s: %q %v", line, said, err)
			}
		}
	})
}
