package scenario

import (
	"math/rand/v2"
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// Unknown is something about AWS that is not published. Each world draws its own.
type Unknown struct {
	What string
	// Range is what it is drawn from.
	Range string
	// Sure says where that comes from: user, measured or reported by users; open,
	// nobody has shown it. The sources are in package sim.
	Sure string
	draw func(*rand.Rand, *sim.Params)
}

// Unknowns lists them in the order in which they are drawn.
func Unknowns() []Unknown {
	const s = time.Second
	return []Unknown{
		{"deregistration to the last new flow", "10–300 s: half of the worlds 100–140 s, a quarter each below and above", "user", func(rng *rand.Rand, p *sim.Params) {
			p.PropagationDeregister = []sim.Range{
				{Min: 100 * s, Max: 140 * s}, {Min: 100 * s, Max: 140 * s}, {Min: 10 * s, Max: 30 * s}, {Min: 180 * s, Max: 300 * s},
			}[rng.IntN(4)]
		}},
		{"unhealthy to the last new flow", "30–40 s", "user", func(_ *rand.Rand, p *sim.Params) {
			p.PropagationUnhealthy = sim.Range{Min: 30 * s, Max: 40 * s}
		}},
		{"registration to the first check", "60–180 s", "user", func(rng *rand.Rand, p *sim.Params) {
			p.RegistrationLag = sim.Range{Min: 60 * s, Max: 120 * s}
			if rng.IntN(2) == 0 {
				p.RegistrationLag = sim.Range{Min: 90 * s, Max: 180 * s}
			}
		}},
		{"checks that a new target must pass", "the healthy threshold, or one", "open", func(rng *rand.Rand, p *sim.Params) {
			p.InitialPasses = rng.IntN(2)
		}},
		{"a failed container check to ECS saying so, on Fargate", "0–20 s", "open", func(rng *rand.Rand, p *sim.Params) {
			p.HealthReportFargate = sim.Range{Max: upTo(rng, 20*s)}
		}},
		{"unhealthy to the replacement's start", "5.5–44 s", "user", func(_ *rand.Rand, p *sim.Params) {
			p.React = sim.Range{Min: 5500 * time.Millisecond, Median: 15 * s, Max: 34 * s} // and up to a tick of 10 s
		}},
		{"pulling the image", "5–60 s", "open", func(rng *rand.Rand, p *sim.Params) {
			p.Pull = sim.Exactly(5*s + upTo(rng, 55*s))
		}},
		{"replacement healthy to the end of the sick task", "10–26 s", "user", func(_ *rand.Rand, p *sim.Params) {
			p.StopDelay = sim.Range{Min: 10 * s, Max: 16 * s} // and up to a tick
		}},
		{"ECS registers a running task's target again", "after 0–120 s, in a quarter of the worlds never", "open", func(rng *rand.Rand, p *sim.Params) {
			p.NeverReregister = rng.IntN(4) == 0
			p.Reregister = sim.Range{Max: upTo(rng, 120*s)}
		}},
		{"ECS forgets a target's failed checks when it is deregistered", "yes or no", "open", func(rng *rand.Rand, p *sim.Params) {
			p.DetachCures = rng.IntN(2) == 0
		}},
		{"DEACTIVATING to ECS's own deregistration", "0–10 s", "open", func(rng *rand.Rand, p *sim.Params) {
			p.DeregisterDelay = sim.Range{Max: upTo(rng, 10*s)}
		}},
		{"ECS waits for the whole deregistration delay of a target that is out already", "yes or no", "open", func(rng *rand.Rand, p *sim.Params) {
			p.FullDrainWait = rng.IntN(2) == 0
		}},
		{"a task that exits drains first", "yes or no", "open", func(rng *rand.Rand, p *sim.Params) {
			p.ExitDeactivates = rng.IntN(2) == 0
		}},
		{"draining targets count in target_group_health", "yes or no", "open", func(rng *rand.Rand, p *sim.Params) {
			p.DrainingCounts = rng.IntN(2) == 0
		}},
		{"an address is used again", "at once, after 20 s, or after all others", "open", func(rng *rand.Rand, p *sim.Params) {
			p.ReuseAddresses = []time.Duration{time.Millisecond, 20 * s, 0}[rng.IntN(3)]
		}},
	}
}

// upTo is any duration up to a longest, in whole milliseconds.
func upTo(rng *rand.Rand, longest time.Duration) time.Duration {
	return time.Duration(rng.Int64N(longest.Milliseconds()+1)) * time.Millisecond
}

// drawParams draws the unknowns of a world.
func drawParams(rng *rand.Rand) sim.Params {
	p := sim.DefaultParams()
	for _, u := range Unknowns() {
		u.draw(rng, &p)
	}
	return p
}
