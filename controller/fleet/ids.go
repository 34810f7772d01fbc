package fleet

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
)

// Amazon Resource Names, one type each so that arguments cannot be swapped.
type (
	ClusterARN           string
	ServiceARN           string
	TaskARN              string
	TaskDefinitionARN    string
	ContainerInstanceARN string
	TargetGroupARN       string
)

// Name is the cluster's short name, the last segment of its ARN.
func (a ClusterARN) Name() string { return lastSegment(string(a)) }

// Name is the service's name, the last segment of its ARN, in both of its forms.
func (a ServiceARN) Name() string { return lastSegment(string(a)) }

// ID is the task's id, the last segment of its ARN. It holds for both ARN
// forms: with the cluster's name (…:task/CLUSTER/ID) and without (…:task/ID).
func (a TaskARN) ID() string { return lastSegment(string(a)) }

// Cluster is the cluster's name; empty in the older form, which has none.
func (a TaskARN) Cluster() string {
	if parts := strings.Split(string(a), "/"); len(parts) == 3 {
		return parts[1]
	}
	return ""
}

// FamilyRevision is "family:revision", the last segment of the ARN.
func (a TaskDefinitionARN) FamilyRevision() string { return lastSegment(string(a)) }

// Name is the target group's name: the middle part of
// …:targetgroup/NAME/ID.
func (a TargetGroupARN) Name() string {
	rest, ok := strings.CutSuffix(string(a), "/"+lastSegment(string(a)))
	if !ok {
		return string(a)
	}
	return lastSegment(rest)
}

func lastSegment(arn string) string {
	return arn[strings.LastIndexByte(arn, '/')+1:]
}

// ServiceID names a service within the region and account that castoff
// watches, by the short names that people and metric labels use. A service's
// ARN would not do: its older form does not tell the cluster.
type ServiceID struct {
	Cluster string
	Name    string
}

// String is "cluster/service".
func (id ServiceID) String() string { return id.Cluster + "/" + id.Name }

// Compare orders by cluster, then by name.
func (id ServiceID) Compare(other ServiceID) int {
	return cmp.Or(cmp.Compare(id.Cluster, other.Cluster), cmp.Compare(id.Name, other.Name))
}

// TargetKey identifies one row of a target group. The availability zone is no
// part of it: AWS fills it in, and asking with another one reads as absent.
//
// The same key can come to mean another task, because addresses are reused:
// ask [Snapshot.Owner] who has it now.
type TargetKey struct {
	Group TargetGroupARN
	ID    string // IP address in canonical form, EC2 instance id, or load balancer ARN
	Port  int
}

// NewTargetKey makes a key whose ID compares equal however the address was
// written: 2001:DB8::1 and 2001:db8:0::1 are one address.
func NewTargetKey(group TargetGroupARN, id string, port int) TargetKey {
	if addr, err := netip.ParseAddr(id); err == nil {
		id = addr.Unmap().String()
	}
	return TargetKey{Group: group, ID: id, Port: port}
}

// Address is "id:port", with an IPv6 address in brackets.
func (k TargetKey) Address() string {
	if strings.Contains(k.ID, ":") && !strings.HasPrefix(k.ID, "arn:") {
		return "[" + k.ID + "]:" + strconv.Itoa(k.Port)
	}
	return k.ID + ":" + strconv.Itoa(k.Port)
}

// Compare orders by group, id and port.
func (k TargetKey) Compare(other TargetKey) int {
	return cmp.Or(cmp.Compare(k.Group, other.Group), cmp.Compare(k.ID, other.ID), cmp.Compare(k.Port, other.Port))
}
