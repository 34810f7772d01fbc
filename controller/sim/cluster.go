package sim

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

var zones = [...]string{RegionName + "a", RegionName + "b", RegionName + "c"}

type cluster struct {
	arn          fleet.ClusterARN
	name         string
	tags         map[string]string
	services     []*service
	serviceNames map[string]*service
	tasks        []*task // in the order of creation, as long as they can be described
	taskIDs      map[string]*task
	ran          map[string][]*task // by RunTask, by its clientToken
	taskSeq      int
	serviceSeq   int
	instances    []*instance
	instanceSeq  int
}

// definition is a task definition revision.
type definition struct {
	family     string
	revision   int
	network    string
	launchType string
	containers []ContainerSpec
	registered time.Time
	settled    bool // it has been there for long
	fate       Fate // of tasks of it
	tags       map[string]string
}

func (d *definition) name() string { return d.family + ":" + strconv.Itoa(d.revision) }

func (d *definition) arn() fleet.TaskDefinitionARN {
	return fleet.TaskDefinitionARN(ecsARN("task-definition/" + d.name()))
}

// image is made up: one a container and revision.
func (d *definition) image(c ContainerSpec) string {
	return "example/" + c.Name + ":" + strconv.Itoa(d.revision)
}

func ecsARN(resource string) string {
	return "arn:aws:ecs:" + RegionName + ":" + AccountID + ":" + resource
}

// ClusterOptions are the settings of a cluster.
type ClusterOptions struct {
	Instances int // EC2 container instances
	Tags      map[string]string
}

// AddCluster makes a cluster. It fails when there is one of that name.
func (r *Region) AddCluster(name string, o ClusterOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	if name == "" || r.clusterNames[name] != nil {
		return fmt.Errorf("add cluster %q: the name is empty or taken", name)
	}
	c := &cluster{
		arn: fleet.ClusterARN(ecsARN("cluster/" + name)), name: name, tags: o.Tags,
		serviceNames: map[string]*service{}, taskIDs: map[string]*task{}, ran: map[string][]*task{},
	}
	for range o.Instances {
		r.addInstance(c)
	}
	r.clusters = append(r.clusters, c)
	r.clusterNames[name] = c
	return nil
}

// RemoveCluster makes a cluster vanish with all that is in it, as if it had
// been deleted; its target groups and their rows stay.
func (r *Region) RemoveCluster(name string) error {
	return r.change(func() error {
		c := r.clusterNames[name]
		if c == nil {
			return fmt.Errorf("remove cluster %q: there is none", name)
		}
		delete(r.clusterNames, name)
		for i := range r.clusters {
			if r.clusters[i] == c {
				r.clusters = append(r.clusters[:i:i], r.clusters[i+1:]...)
				break
			}
		}
		return nil
	})
}

// phase is a random instant within one period from now.
func (r *Region) phase(period time.Duration) time.Time {
	d := r.scale(period)
	return r.now.Add(time.Duration(r.rng.Float64() * float64(d)).Truncate(resolution))
}

// nextOf is the first instant after now of something that happens again and
// again, in step with phase.
func (r *Region) nextOf(phase time.Time, period time.Duration) time.Time {
	d := r.scale(period)
	if phase.After(r.now) {
		return phase
	}
	return r.now.Add(d - r.now.Sub(phase)%d)
}

// AddService makes a service, its task definition, its target groups and their
// load balancer. A settled service has its tasks at once; any other one starts
// them at the scheduler's next tick.
func (r *Region) AddService(spec ServiceSpec) error {
	given := spec
	spec, err := spec.withDefaults()
	if err == nil && r.runtime != nil {
		err = r.runtime.takes(spec)
	}
	if err != nil {
		return fmt.Errorf("add service %s/%s: %w", spec.Cluster, spec.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	c := r.clusterNames[spec.Cluster]
	switch {
	case c == nil:
		return fmt.Errorf("add service %s/%s: no such cluster", spec.Cluster, spec.Name)
	case c.serviceNames[spec.Name] != nil && c.serviceNames[spec.Name].status() != serviceInactive:
		return fmt.Errorf("add service %s/%s: the name is taken", spec.Cluster, spec.Name)
	case spec.LaunchType == fleet.EC2 && len(c.instances) == 0:
		return fmt.Errorf("add service %s/%s: the cluster has no container instances", spec.Cluster, spec.Name)
	}
	if spec.Scheduling == fleet.Daemon {
		spec.Desired = len(c.instances)
	}
	s := &service{
		region: r, cluster: c, spec: spec, given: given, desired: spec.Desired, created: r.now,
		arn: fleet.ServiceARN(ecsARN("service/" + c.name + "/" + spec.Name)),
	}
	c.serviceSeq++
	s.seq = c.serviceSeq
	s.phase = r.phase(r.params.Tick)
	if err := r.addGroups(s); err != nil {
		return fmt.Errorf("add service %s/%s: %w", spec.Cluster, spec.Name, err)
	}
	c.services = append(c.services, s)
	c.serviceNames[spec.Name] = s
	d := s.deploy(r.register(spec.Name, spec, Answers))
	if spec.Settled {
		for range s.desired {
			r.settledTask(s)
		}
		s.settleFlows()
		d.proven, d.stable, d.def.settled = true, true, true
		s.complete(d)
		s.calm = true
		s.tell(eventSteady)
		r.remember(time.Time{}) // it has been so for long
		return nil
	}
	s.attend()
	s.touch()
	r.remember(r.now)
	return nil
}

// RunTask starts a task that belongs to no service and never ends by itself.
func (r *Region) RunTask(clusterName, family string) (fleet.TaskARN, error) {
	var arn fleet.TaskARN
	err := r.change(func() error {
		c := r.clusterNames[clusterName]
		if c == nil {
			return fmt.Errorf("run task in %q: no such cluster", clusterName)
		}
		d := r.register(family, ServiceSpec{
			LaunchType: fleet.Fargate, NetworkMode: fleet.NetworkAWSVPC, Containers: []ContainerSpec{{Name: "job"}},
		}, Answers)
		t := r.newTask(c, nil, nil, d, "")
		t.provision(Answers)
		arn = t.arn
		return nil
	})
	return arn, err
}

// register makes the next revision of a family.
func (r *Region) register(family string, spec ServiceSpec, f Fate) *definition {
	r.revisions[family]++
	d := &definition{
		family: family, revision: r.revisions[family], network: spec.NetworkMode,
		launchType: cmp.Or(spec.LaunchType, fleet.Fargate), containers: spec.Containers, registered: r.now, fate: f,
	}
	r.definitions[d.name()] = d
	return d
}
