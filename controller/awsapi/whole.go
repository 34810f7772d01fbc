package awsapi

import (
	"strings"

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
