package sim

import (
	"fmt"
	"strings"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// rebalance has a steady service whose zones differ by two tasks or more start
// one in the emptiest and, once that is healthy, stop one in the fullest. It
// returns how many tasks more than desired there are to be meanwhile.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html
func (s *service) rebalance(p pool) (more int) {
	if m := s.moving; m != nil {
		switch {
		case m.desired == fleet.Stopped || m.sick:
			s.moving = nil
		case m.served:
			s.moving = nil
			s.leaveFullest()
		default:
			return 1
		}
		return 0
	}
	if s.lopsided && !s.uneven() {
		s.lopsided = false
		s.tell("is AZ balanced with " + s.spread() + ".")
	}
	if !s.uneven() || len(s.live) != p.desired || len(s.live) >= p.ceiling || len(s.serving(s.live)) != p.desired {
		return 0
	}
	if !s.lopsided {
		s.lopsided = true
		s.tell("is not AZ balanced with " + s.spread() + ". AZ Rebalancing in progress.")
	}
	empty, _ := s.extremes()
	if s.moving = s.start(s.deployments[0], empty); s.moving == nil {
		return 0
	}
	return 1
}

// uneven reports that the service's zones are to be rebalanced.
func (s *service) uneven() bool {
	if !s.spec.Rebalance || !s.rolls() {
		return false
	}
	load := s.zoneLoad()
	empty, full := s.extremes()
	return load[full]-load[empty] > 1
}

func (s *service) zoneLoad() map[string]int {
	load := map[string]int{}
	for _, t := range s.live {
		load[t.zone]++
	}
	return load
}

// spread says how many tasks each zone has.
func (s *service) spread() string {
	var parts []string
	load := s.zoneLoad()
	for _, z := range s.zones() {
		parts = append(parts, fmt.Sprintf("%d tasks in %s", load[z], z))
	}
	last := len(parts) - 1
	if last > 0 {
		parts[last] = "and " + parts[last]
	}
	return strings.Join(parts, ", ")
}

// extremes are the zones with the fewest and with the most tasks, among those
// that the service can use.
func (s *service) extremes() (empty, full string) {
	load := s.zoneLoad()
	for _, z := range s.zones() {
		if empty == "" || load[z] < load[empty] {
			empty = z
		}
		if full == "" || load[z] > load[full] {
			full = z
		}
	}
	return empty, full
}

// zones are those that the service can use: its container instances', or its
// subnets'.
func (s *service) zones() []string {
	if s.spec.LaunchType != fleet.EC2 {
		return s.spec.subnets()
	}
	var usable []string
	for _, z := range zones {
		for _, h := range s.cluster.instances {
			if h.zone == z {
				usable = append(usable, z)
				break
			}
		}
	}
	return usable
}

// leaveFullest stops a task in the fullest zone, the oldest one.
func (s *service) leaveFullest() {
	_, full := s.extremes()
	for _, t := range s.live {
		if t.zone == full && !t.sick {
			t.surplus = true
			s.scaleIn(t, s.deployments[0])
			return
		}
	}
}
