package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// instance is a container instance: an EC2 host with an agent.
type instance struct {
	arn      fleet.ContainerInstanceARN
	id       string // EC2 instance id
	zone     string
	phase    time.Time     // one of the agent's health reports
	ports    map[int]*task // host ports in use
	nextPort int
	since    time.Time
	seq      int // place in the order of joining, within the cluster
	place    int // the same within the region
	tags     map[string]string
}

// HostLost is the end of the container instance that a task was on.
const HostLost Cause = "host_lost"

// The host ports that Docker gives out in bridge mode.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html
const (
	firstPort = 32768
	lastPort  = 60999
)

// AddInstances joins container instances to a cluster, zone by zone, and returns
// their EC2 instance ids. A DAEMON service starts a task on each.
func (r *Region) AddInstances(clusterName string, n int) ([]string, error) {
	var ids []string
	err := r.change(func() error {
		c := r.clusterNames[clusterName]
		if c == nil {
			return fmt.Errorf("add instances to %q: no such cluster", clusterName)
		}
		for range n {
			ids = append(ids, r.addInstance(c).id)
		}
		c.staffDaemons()
		return nil
	})
	return ids, err
}

func (r *Region) addInstance(c *cluster) *instance {
	h := &instance{
		arn:   fleet.ContainerInstanceARN(ecsARN("container-instance/" + c.name + "/" + r.hex(32))),
		id:    "i-" + r.hex(17),
		zone:  zones[c.instanceSeq%len(zones)],
		phase: r.phase(r.params.HealthReportEC2),
		ports: map[int]*task{}, nextPort: firstPort, since: r.now,
	}
	c.instanceSeq++
	h.seq, h.place = c.instanceSeq, r.hostSeq
	r.hostSeq++
	c.instances = append(c.instances, h)
	r.hosts[h.id] = h
	return h
}

// LoseInstance terminates a container instance by its EC2 instance id. Its tasks
// are gone with it at once, without a word to their apps.
func (r *Region) LoseInstance(id string) error {
	return r.change(func() error {
		h := r.hosts[id]
		if h == nil {
			return fmt.Errorf("lose instance %s: there is none", id)
		}
		delete(r.hosts, id)
		for _, c := range r.clusters {
			if !slices.Contains(c.instances, h) {
				continue
			}
			c.instances = slices.DeleteFunc(c.instances, func(o *instance) bool { return o == h })
			c.staffDaemons()
			for _, t := range slices.Clone(c.tasks) {
				if t.instance == h && t.status != fleet.Stopped {
					t.lose("Host EC2 (instance " + id + ") terminated.")
				}
			}
		}
		return nil
	})
}

// lose ends a task whose host is gone. Which stopCode it gets is open: none.
func (t *task) lose(reason string) {
	if t.desired != fleet.Stopped {
		if t.alive {
			t.fail(HostLost)
		}
		t.leave("", reason)
	}
	t.stops++
	t.deregister()
	t.stamp()
	t.ended(killed)
}

// staffDaemons has each DAEMON service of the cluster run one task an instance.
func (c *cluster) staffDaemons() {
	for _, s := range c.services {
		if s.spec.Scheduling == fleet.Daemon && s.desired != len(c.instances) {
			s.desired = len(c.instances)
			s.touch()
			s.attend()
		}
	}
}

// roomFor picks the container instance, in a given zone or in any, that has the
// fewest tasks of the service; nil when none has room: in host mode a port can be
// had once. So a DAEMON, of which there are no more tasks than instances, has one
// on each.
func (c *cluster) roomFor(s *service, def *definition, zone string) *instance {
	load := map[*instance]int{}
	if s != nil {
		for _, t := range s.live {
			load[t.instance]++
		}
	}
	var best *instance
	for _, h := range c.instances {
		switch {
		case zone != "" && h.zone != zone || def.network == fleet.NetworkHost && !h.portsFree(def):
		case best == nil || load[h] < load[best]:
			best = h
		}
	}
	return best
}

func (h *instance) portsFree(def *definition) bool {
	for _, c := range def.containers {
		for _, port := range c.Ports {
			if h.ports[port] != nil {
				return false
			}
		}
	}
	return true
}

// freePort gives out host ports in turn.
func (h *instance) freePort() int {
	for {
		port := h.nextPort
		if h.nextPort++; h.nextPort > lastPort {
			h.nextPort = firstPort
		}
		if h.ports[port] == nil {
			return port
		}
	}
}
