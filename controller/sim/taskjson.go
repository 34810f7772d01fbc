package sim

import (
	"cmp"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

type taskJSON struct {
	ARN              string           `json:"taskArn"`
	Cluster          string           `json:"clusterArn"`
	Definition       string           `json:"taskDefinitionArn"`
	Attachments      []attachmentJSON `json:"attachments"`
	Zone             string           `json:"availabilityZone"`
	Connectivity     string           `json:"connectivity,omitempty"`
	ConnectivityAt   epoch            `json:"connectivityAt,omitzero"`
	Instance         string           `json:"containerInstanceArn,omitempty"`
	Containers       []containerJSON  `json:"containers"`
	CPU              string           `json:"cpu"`
	Memory           string           `json:"memory"`
	Created          epoch            `json:"createdAt"`
	Desired          string           `json:"desiredStatus"`
	Exec             bool             `json:"enableExecuteCommand"`
	ExecutionStopped epoch            `json:"executionStoppedAt,omitzero"`
	Group            string           `json:"group"`
	Health           string           `json:"healthStatus"`
	Last             string           `json:"lastStatus"`
	LaunchType       string           `json:"launchType"`
	Platform         string           `json:"platformVersion,omitempty"`
	PullStarted      epoch            `json:"pullStartedAt,omitzero"`
	PullStopped      epoch            `json:"pullStoppedAt,omitzero"`
	Started          epoch            `json:"startedAt,omitzero"`
	StartedBy        string           `json:"startedBy,omitempty"`
	StopCode         string           `json:"stopCode,omitempty"`
	Stopped          epoch            `json:"stoppedAt,omitzero"`
	StoppedReason    string           `json:"stoppedReason,omitempty"`
	Stopping         epoch            `json:"stoppingAt,omitzero"`
	Tags             []tagJSON        `json:"tags"`
	Version          int64            `json:"version"`
}

type attachmentJSON struct {
	ID      string     `json:"id"`
	Type    string     `json:"type"`
	Status  string     `json:"status"`
	Details []pairJSON `json:"details"`
}

type containerJSON struct {
	ARN        string          `json:"containerArn"`
	Task       string          `json:"taskArn"`
	Name       string          `json:"name"`
	Image      string          `json:"image"`
	Runtime    string          `json:"runtimeId,omitempty"`
	Last       string          `json:"lastStatus"`
	Exit       *int            `json:"exitCode,omitempty"`
	Bindings   []bindingJSON   `json:"networkBindings"`
	Interfaces []interfaceJSON `json:"networkInterfaces"`
	Health     string          `json:"healthStatus"`
	CPU        string          `json:"cpu"`
}

type bindingJSON struct {
	IP        string `json:"bindIP"`
	Container int    `json:"containerPort"`
	Host      int    `json:"hostPort"`
	Protocol  string `json:"protocol"`
}

type interfaceJSON struct {
	Attachment string `json:"attachmentId"`
	IPv4       string `json:"privateIpv4Address,omitempty"`
	IPv6       string `json:"ipv6Address,omitempty"`
}

func (t *task) json() taskJSON {
	j := taskJSON{
		ARN: string(t.arn), Cluster: string(t.cluster.arn), Definition: string(t.def.arn()), Zone: t.zone,
		Attachments: []attachmentJSON{}, Containers: []containerJSON{}, CPU: "256", Memory: "512", Tags: tagsJSON(t.tags),
		ConnectivityAt: epoch(t.connected), Created: epoch(t.created), ExecutionStopped: epoch(t.executionStopped),
		PullStarted: epoch(t.pullStarted), PullStopped: epoch(t.pullStopped), Started: epoch(t.started),
		Stopped: epoch(t.stopped), Stopping: epoch(t.stoppingAt), StopCode: t.stopCode, StoppedReason: t.stoppedReason,
		Desired: string(t.desired), Last: string(t.status), Health: string(t.health), Version: t.version,
		LaunchType: t.def.launchType, Group: cmp.Or(t.group, "family:"+t.def.family), StartedBy: t.starter(),
	}
	if t.service != nil {
		j.Group = "service:" + t.service.spec.Name
	}
	if !t.connected.IsZero() {
		j.Connectivity = fleet.Connected
		if t.cut {
			j.Connectivity = fleet.Disconnected
		}
	}
	if t.instance != nil {
		j.Instance = string(t.instance.arn)
	} else {
		j.Platform = "1.4.0"
	}
	if t.eni != "" {
		j.Attachments = append(j.Attachments, t.attachmentJSON())
	}
	for _, c := range t.containers {
		j.Containers = append(j.Containers, t.containerJSON(c))
	}
	return j
}

func (t *task) attachmentJSON() attachmentJSON {
	a := attachmentJSON{ID: t.eni, Type: "ElasticNetworkInterface", Status: "ATTACHED"}
	switch t.status {
	case fleet.Provisioning:
		a.Status = "PRECREATED"
		a.Details = []pairJSON{{"subnetId", subnet(t.zone)}}
		return a
	case fleet.Stopped:
		a.Status = "DELETED"
	}
	a.Details = []pairJSON{
		{"subnetId", subnet(t.zone)},
		{"networkInterfaceId", t.interfaceID()},
		{"macAddress", t.mac()},
		{"privateDnsName", "ip-" + t.id[:8] + "." + RegionName + ".compute.internal"},
		{"privateIPv4Address", t.ipv4},
	}
	return a
}

func (t *task) interfaceID() string { return "eni-" + t.id[:17] }

func (t *task) mac() string {
	return "02:00:" + t.id[:2] + ":" + t.id[2:4] + ":" + t.id[4:6] + ":" + t.id[6:8]
}

func subnet(zone string) string { return "subnet-0000000000000000" + zone[len(zone)-1:] }

func (t *task) containerJSON(c *container) containerJSON {
	j := containerJSON{
		ARN:  ecsARN("container/" + t.cluster.name + "/" + t.id + "/" + c.spec.Name),
		Task: string(t.arn), Name: c.spec.Name, Image: t.def.image(c.spec),
		Last: string(fleet.Pending), Exit: c.exit, Health: string(c.reported), CPU: "0",
		Bindings: []bindingJSON{}, Interfaces: []interfaceJSON{},
	}
	switch {
	case c.exit != nil || t.status == fleet.Stopped:
		j.Last = string(fleet.Stopped)
	case !t.started.IsZero():
		j.Last = string(fleet.Running)
	}
	if !t.started.IsZero() {
		j.Runtime = t.id + "-" + c.spec.Name
	}
	if t.eni != "" {
		if t.status != fleet.Provisioning {
			j.Interfaces = append(j.Interfaces, interfaceJSON{t.eni, t.ipv4, t.ipv6})
		}
		return j
	}
	if t.started.IsZero() || t.def.network == fleet.NetworkHost && !t.region.params.HostBindings {
		return j
	}
	for _, port := range c.spec.Ports {
		j.Bindings = append(j.Bindings, bindingJSON{"0.0.0.0", port, c.ports[port], "tcp"})
		if six := c.six[port]; six > 0 {
			j.Bindings = append(j.Bindings, bindingJSON{"::", port, six, "tcp"})
		}
	}
	return j
}

type definitionJSON struct {
	ARN            string              `json:"taskDefinitionArn"`
	Family         string              `json:"family"`
	Revision       int                 `json:"revision"`
	Status         string              `json:"status"`
	NetworkMode    string              `json:"networkMode"`
	Containers     []containerSpecJSON `json:"containerDefinitions"`
	Volumes        []struct{}          `json:"volumes"`
	Compatible     []string            `json:"compatibilities"`
	Registered     epoch               `json:"registeredAt"`
	CPU            string              `json:"cpu"`
	Memory         string              `json:"memory"`
	RequiresLaunch []string            `json:"requiresCompatibilities"`
}

type containerSpecJSON struct {
	Name        string     `json:"name"`
	Image       string     `json:"image"`
	CPU         int        `json:"cpu"`
	Ports       []portJSON `json:"portMappings"`
	Essential   bool       `json:"essential"`
	Environment []pairJSON `json:"environment"`
	MountPoints []struct{} `json:"mountPoints"`
	StopTimeout *int       `json:"stopTimeout,omitempty"`
	Check       *checkJSON `json:"healthCheck,omitempty"`
}

type portJSON struct {
	Container int    `json:"containerPort"`
	Host      int    `json:"hostPort"`
	Protocol  string `json:"protocol"`
}

type checkJSON struct {
	Command     []string `json:"command"`
	Interval    int      `json:"interval"`
	Timeout     int      `json:"timeout"`
	Retries     int      `json:"retries"`
	StartPeriod *int     `json:"startPeriod,omitempty"`
}

func (d *definition) json() definitionJSON {
	j := definitionJSON{
		ARN: string(d.arn()), Family: d.family, Revision: d.revision, Status: "ACTIVE", NetworkMode: d.network,
		Volumes: []struct{}{}, Compatible: []string{fleet.EC2}, Registered: epoch(d.registered),
		CPU: "256", Memory: "512", RequiresLaunch: []string{d.launchType},
	}
	if d.launchType == fleet.Fargate {
		j.Compatible = append(j.Compatible, fleet.Fargate)
	}
	for _, spec := range d.containers {
		c := containerSpecJSON{
			Name: spec.Name, Image: d.image(spec), Essential: !spec.NotEssential,
			Ports: []portJSON{}, Environment: []pairJSON{}, MountPoints: []struct{}{},
		}
		for _, port := range spec.Ports {
			host := port
			if d.network == fleet.NetworkBridge {
				host = 0 // any free one
			}
			c.Ports = append(c.Ports, portJSON{port, host, "tcp"})
		}
		if spec.StopTimeout > 0 {
			c.StopTimeout = seconds(spec.StopTimeout)
		}
		if check := spec.Check; check != nil {
			c.Check = &checkJSON{
				Command: check.Command, Interval: *seconds(check.Interval), Timeout: *seconds(check.Timeout), Retries: check.Retries,
			}
			if check.StartPeriod > 0 {
				c.Check.StartPeriod = seconds(check.StartPeriod)
			}
		}
		j.Containers = append(j.Containers, c)
	}
	return j
}

func seconds(d time.Duration) *int {
	n := int(d / time.Second)
	return &n
}
