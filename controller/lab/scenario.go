//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Scenario is what befalls a task.
type Scenario string

// The scenarios.
const (
	Hang      Scenario = "hang"       // SIGSTOP: the app takes connections and requests, and stays silent
	Crash     Scenario = "crash"      // the app's port refuses; its container goes on, and so does nginx
	Slow      Scenario = "slow"       // the app answers after three seconds: later than the probe waits
	NginxDead Scenario = "nginx-dead" // nginx is gone; its container goes on, and so does the app
	Flapping  Scenario = "flapping"   // the app hangs for ten seconds, answers for ten, and so on three times
	AllHang   Scenario = "all-hang"   // every task's app hangs at once
)

// Scenarios lists every scenario.
var Scenarios = []Scenario{Hang, Crash, Slow, NginxDead, Flapping, AllHang}

// slowness is more than the probe's -rpc-timeout and than the clients' patience.
const slowness = 3 * time.Second

// A flapping app hangs for so long, answers for as long, and does so often.
const (
	flapFor   = 10 * time.Second
	flapTimes = 3
)

// Befall has the scenario befall a task, or for [AllHang] all of them; the region
// is told afterwards, for its record of the truth. A scenario that goes on by
// itself does so until over is closed, or ctx is done.
func (l *Lab) Befall(ctx context.Context, s Scenario, task fleet.TaskARN) (over <-chan struct{}, err error) {
	g := l.agent.task(task)
	if g == nil || !g.up() {
		return nil, fmt.Errorf("%s of %s: it does not run", s, task)
	}
	done := make(chan struct{})
	if s == Flapping {
		go func() {
			defer close(done)
			l.flap(ctx, g)
		}()
		return done, l.hang(g)
	}
	close(done)
	switch s {
	case Hang:
		err = l.hang(g)
	case Crash:
		err = errors.Join(g.order("crash"), l.Region.Crash(task))
	case Slow:
		err = errors.Join(g.order("slow "+slowness.String()), l.Region.SlowDown(task, slowness))
	case NginxDead:
		err = errors.Join(g.killFront(), l.Region.KillFront(task))
	case AllHang:
		for _, t := range l.Region.Tasks(Service) {
			if other := l.agent.task(t.ARN); other != nil && other.up() { // else it has yet to start
				err = errors.Join(err, l.hang(other))
			}
		}
	default:
		err = fmt.Errorf("no scenario %q", s)
	}
	return done, err
}

func (l *Lab) hang(g *group) error {
	g.back.signal(syscall.SIGSTOP)
	return l.Region.Hang(g.Task)
}

// flap ends the first hang and goes on from there, as long as the task lives.
func (l *Lab) flap(ctx context.Context, g *group) {
	for i := range flapTimes {
		if !wait(ctx, flapFor) || l.awake(g) != nil || i+1 == flapTimes || !wait(ctx, flapFor) || l.hang(g) != nil {
			return
		}
	}
}

// awake ends a hang.
func (l *Lab) awake(g *group) error {
	g.back.signal(syscall.SIGCONT)
	return l.Region.Recover(g.Task)
}
