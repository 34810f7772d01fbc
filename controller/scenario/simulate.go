package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// Failure is how tasks fail in a simulation.
type Failure string

// The failures.
const (
	Hang   Failure = "hang"   // the app takes requests and stays silent; connections are accepted
	Crash  Failure = "crash"  // the app is dead behind a front that accepts connections
	Refuse Failure = "refuse" // connections are refused
	Exit   Failure = "exit"   // an essential container ends by itself
)

// Failures lists every failure.
var Failures = []Failure{Hang, Crash, Refuse, Exit}

// Way is who retires a failing task in a simulated world.
type Way string

// The ways.
const (
	ECSAlone  Way = "ecs_alone" // there is no castoff
	Observing Way = "observe"   // castoff watches, and says what it would have done
	Detaching Way = "detach"    // castoff acts
)

// Study is a question: what would castoff do for this service?
type Study struct {
	// Service is the service and its target groups, with the traffic of its
	// clients. It begins settled whatever it says.
	Service sim.ServiceSpec
	// Instances are the container instances of its cluster, for tasks on EC2.
	Instances int
	// Failure befalls so many tasks in each world, all at once.
	Failure Failure
	Failing int

	Limits  policy.Limits // their Mode does not matter
	Fleet   policy.FleetLimits
	Polling config.Polling

	// Ways are those that are tried, each in the same worlds.
	Ways []Way
	// Runs is the number of worlds. The first has the seed Seed, the next Seed+1.
	Runs int
	Seed uint64
}

// horizon is how long a world is watched after its failure. What has not come
// by then counts as coming then.
const horizon = 45 * time.Minute

func (s *Study) validate() error {
	var errs []error
	if s.Runs < 1 || len(s.Ways) == 0 {
		errs = append(errs, errors.New("simulate: no runs or no ways are asked for"))
	}
	if s.Failing < 1 || s.Failing > s.Service.Desired {
		errs = append(errs, fmt.Errorf("simulate: %d of %d tasks cannot fail", s.Failing, s.Service.Desired))
	}
	for _, p := range append(s.Limits.Validate(), s.Fleet.Validate()...) {
		errs = append(errs, fmt.Errorf("simulate: limits: %v", p))
	}
	if s.Polling.Interval < time.Second || s.Polling.HotInterval < time.Second {
		errs = append(errs, errors.New("simulate: an interval is shorter than a second"))
	}
	return errors.Join(errs...)
}

// Simulate runs all the worlds, as many at a time as there are processors, and
// says what came of them. The same Study gives the same Result, to the byte. The
// error is the context's, or that the Study makes no sense.
func Simulate(ctx context.Context, s Study) (Result, error) {
	if err := s.validate(); err != nil {
		return Result{}, err
	}
	sequels := make([][]sequel, len(s.Ways)) // by way, then by run
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for w, way := range s.Ways {
		sequels[w] = make([]sequel, s.Runs)
		for i := range s.Runs {
			group.Go(func() (err error) {
				if err := ctx.Err(); err != nil {
					return err
				}
				sequels[w][i], err = s.live(ctx, way, s.Seed+uint64(i))
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return Result{}, err
	}
	return s.result(sequels), nil
}
