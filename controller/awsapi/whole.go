package awsapi

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// What a reply must have to be one is decided here. A member that AWS always sends
// and that a reply lacks must not be taken for a default: most defaults allow more
// than what was set. Such a reply is half filled; what was known stays, with its Read,
// and a Gap says what was lacking.

// attributesOf reads a list of attributes, each of which has a key and a value.
func attributesOf[T any](in []T, pair func(T) (key, val *string)) (map[string]string, error) {
	if len(in) == 0 {
		return nil, gapf(fleet.Invalid, "the reply has no attributes")
	}
	raw := make(map[string]string, len(in))
	for _, a := range in {
		key, val := pair(a)
		if value(key) == "" || val == nil {
			return nil, gapf(fleet.Invalid, "the reply has an attribute without a key or a value")
		}
		raw[*key] = *val
	}
	return raw, nil
}

// thresholdAttributes come together.
const thresholdAttributes = "target_group_health."

// halfAttributes says what a group's attributes lack that they had before, or that
// goes with what they have. The thresholds below which the balancer acts, and whether
// zones share, are defaults that allow more than most settings.
func halfAttributes(was, is map[string]string) error {
	for key := range was {
		if _, ok := is[key]; !ok && (key == crossZoneAttribute || strings.HasPrefix(key, thresholdAttributes)) {
			return gapf(fleet.Invalid, "the reply lacks the attribute %s, which was there before", key)
		}
	}
	some := false
	for key := range is {
		some = some || strings.HasPrefix(key, thresholdAttributes)
	}
	for _, key := range []string{
		crossZoneAttribute,
		thresholdAttributes + "dns_failover.minimum_healthy_targets.count",
		thresholdAttributes + "dns_failover.minimum_healthy_targets.percentage",
		thresholdAttributes + "unhealthy_state_routing.minimum_healthy_targets.count",
		thresholdAttributes + "unhealthy_state_routing.minimum_healthy_targets.percentage",
	} {
		if _, ok := is[key]; some && !ok {
			return gapf(fleet.Invalid, "the reply lacks the attribute %s", key)
		}
	}
	return nil
}

// members is a reply as it came: the SDK gives 0 for a number that a reply lacks, and
// nobody can tell that from one that is 0.
type members struct {
	text []byte
	read map[string][]map[string]json.RawMessage
}

type membersKey struct{}

// has reports that a reply says something of a member, null not being it.
type has func(member string) bool

// of finds a thing in one of the reply's lists by a member that names it.
func (m *members) of(list, by, name string) has {
	if m.read == nil {
		m.read = make(map[string][]map[string]json.RawMessage)
		var document map[string]json.RawMessage
		if json.Unmarshal(m.text, &document) == nil {
			var things []map[string]json.RawMessage
			if json.Unmarshal(document[list], &things) == nil {
				m.read[list] = things
			}
		}
		m.text = nil
	}
	return func(member string) bool {
		for _, thing := range m.read[list] {
			var said string
			if json.Unmarshal(thing[by], &said) == nil && said == name {
				is, ok := thing[member]
				return ok && string(is) != "null"
			}
		}
		return false
	}
}

// Lists that ECS writes of every service or cluster, empty ones too. Where one of them
// is there, a list of tags that is not there was lost. Who writes none of them, as some
// stand-ins for ECS, leaves empty lists out.
var (
	listsOfService = []string{"events", "placementConstraints", "placementStrategy", "serviceRegistries"}
	listsOfCluster = []string{"capacityProviders", "defaultCapacityProviderStrategy", "settings", "statistics"}
)

var errNoTags = gapf(fleet.Invalid, "the reply has no tags, which say what castoff may do: those that were known before still count")

// wholeTags are the tags of a service or cluster; false when the reply lacks them, or a
// part of them.
func wholeTags(was map[string]string, in []types.Tag, has has, lists []string) (map[string]string, bool) {
	if !has("tags") && (len(was) > 0 || slices.ContainsFunc(lists, has)) || keyless(in, ecsTag) {
		return nil, false
	}
	return tags(in, ecsTag), true
}

// keyless reports that a tag has no key, so that its value says nothing.
func keyless[T any](in []T, pair func(T) (key, val *string)) bool {
	return slices.ContainsFunc(in, func(t T) bool { key, _ := pair(t); return value(key) == "" })
}

// halfService says what a reading lacks that every service has, or that this
// one had before; empty when nothing. Without its lists a service would seem to
// have left its target groups, and its deployments to be over; without its numbers to
// need no targets, and to give its tasks no time.
func halfService(was *fleet.Service, in *types.Service, has has) string {
	must := []string{"status", "desiredCount", "runningCount"}
	if slices.ContainsFunc(listsOfService, has) {
		must = append(must, "schedulingStrategy", "deploymentConfiguration")
		if in.TaskSets == nil {
			must = append(must, "loadBalancers", "deployments")
		}
		if len(in.LoadBalancers) > 0 {
			must = append(must, "healthCheckGracePeriodSeconds")
		}
	}
	if was != nil {
		had := map[string]bool{
			"loadBalancers":                 len(was.LoadBalancers) > 0 && in.TaskSets == nil,
			"deployments":                   len(was.Deployments) > 0 && in.TaskSets == nil,
			"healthCheckGracePeriodSeconds": was.Grace > 0,
			"schedulingStrategy":            was.Scheduling != fleet.Replica,
			"deploymentController":          was.Controller != fleet.ControllerECS,
		}
		for _, member := range []string{"loadBalancers", "deployments", "healthCheckGracePeriodSeconds", "schedulingStrategy", "deploymentController"} {
			if had[member] {
				must = append(must, member)
			}
		}
	}
	for _, member := range must {
		if !has(member) {
			return "the reply has no " + member
		}
	}
	if slices.ContainsFunc(numbersOf(in), func(n int32) bool { return n < 0 }) {
		return "the reply has a number below 0, where AWS has none"
	}
	return ""
}

// numbersOf are those by which it is decided what a service can do without.
func numbersOf(in *types.Service) []int32 {
	n := []int32{in.DesiredCount, in.RunningCount, in.PendingCount, value(in.HealthCheckGracePeriodSeconds)}
	if d := in.DeploymentConfiguration; d != nil {
		n = append(n, value(d.MinimumHealthyPercent), value(d.MaximumPercent))
	}
	for i := range in.Deployments {
		d := &in.Deployments[i]
		n = append(n, d.DesiredCount, d.RunningCount, d.PendingCount, d.FailedTasks)
	}
	for i := range in.TaskSets {
		n = append(n, in.TaskSets[i].ComputedDesiredCount, in.TaskSets[i].RunningCount, in.TaskSets[i].PendingCount)
	}
	return n
}

// lostRollout is the state of a deployment that had one and of which a reply has none:
// without one it would seem done.
const lostRollout = "UNKNOWN"

// keepRollouts marks the deployments of which a reply has no longer any state.
func keepRollouts(was, is *fleet.Service) {
	for i := range is.Deployments {
		d := &is.Deployments[i]
		if d.Rollout == "" && slices.ContainsFunc(was.Deployments, func(w fleet.Deployment) bool { return w.ID == d.ID && w.Rollout != "" }) {
			d.Rollout = lostRollout
		}
	}
}

// halfContainer says what the definition of a container lacks, or has and cannot be:
// without its name, or its check's command, no failure would be its.
func halfContainer(in *types.ContainerDefinition) string {
	switch {
	case value(in.Name) == "":
		return "the reply has a container without a name"
	case in.HealthCheck != nil && len(in.HealthCheck.Command) == 0:
		return "the reply has a check without a command"
	}
	return strangeName("container name", value(in.Name), mostName)
}

// halfGroup says what a target group lacks: without its protocol it would seem to be
// one whose targets castoff can put back.
func halfGroup(in *elbtypes.TargetGroup) string {
	switch {
	case in.TargetType == "":
		return "the reply has no target type"
	case in.Protocol == "" && in.TargetType != elbtypes.TargetTypeEnumLambda:
		return "the reply has no protocol"
	}
	return ""
}

// halfRows says what rows lack that others of the same reply have: without the
// override a target would seem to get flows that a zonal shift keeps from it.
func halfRows(in []elbtypes.TargetHealthDescription) string {
	without := func(d elbtypes.TargetHealthDescription) bool {
		return d.AdministrativeOverride == nil || d.AdministrativeOverride.State == ""
	}
	if slices.ContainsFunc(in, without) && slices.ContainsFunc(in, func(d elbtypes.TargetHealthDescription) bool { return d.AdministrativeOverride != nil }) {
		return "the reply has the override of some targets only"
	}
	return ""
}
