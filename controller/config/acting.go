package config

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// Service is what some services do differently.
type Service struct {
	Match Patterns `yaml:"match"`
	// Mode of the services that match. Empty: the configuration's.
	Mode policy.Mode `yaml:"mode"`
	// Limits of the services that match, all of them: in a file a rule names
	// only those that it changes, and has the others from the configuration's
	// own. Their Mode is not used.
	Limits policy.Limits `yaml:"limits"`
}

// Patterns name services, each pattern as CLUSTER/SERVICE by their short names.
// In them * is any run of characters and ? is any one, but neither is ever a
// slash.
type Patterns []string

// Match reports that one of the patterns names the service.
func (p Patterns) Match(id fleet.ServiceID) bool {
	return slices.ContainsFunc(p, func(pattern string) bool { return matches(pattern, id.String()) })
}

// matches reports that a pattern is about a service. A pattern that is none is
// about nothing.
func matches(pattern, service string) bool {
	ok, err := path.Match(pattern, service)
	return err == nil && ok
}

// covers reports that whatever the later pattern matches, the earlier one
// matches for certain. It may miss some.
//
// Matched as if it were a name, the later pattern's wildcards can only fall to
// those of the earlier one, since letters differ from them. Any name that the
// later one matches has in their place what the earlier one takes as well, but
// for one case: a single ? does not take all that a * stands for.
func covers(earlier, later string) bool {
	if earlier == later {
		return true
	}
	return matches(earlier, later) && !(strings.Contains(earlier, "?") && strings.Contains(later, "*"))
}

// Pause is an order not to detach.
type Pause struct {
	Scope   policy.Scope `yaml:"scope"`
	Cluster string       `yaml:"cluster"` // its short name, where the scope is a cluster or a service
	Service string       `yaml:"service"` // its name, where the scope is a service
	// Until is when it ends; one that is over has no effect. Forever says that it
	// does not end.
	Until   time.Time `yaml:"until"`
	Forever bool      `yaml:"forever"`
	Owner   string    `yaml:"owner"`  // whom to ask
	Reason  string    `yaml:"reason"` // why, in words
	// Reattach lets what castoff took out go back while the pause lasts. Default
	// true in a file: a brake must not strand a healthy task.
	Reattach bool `yaml:"reattach"`
}

// LimitsOf are the limits of a service, its mode with them: those of the first
// rule that matches, else the configuration's own. A service's castoff:mode tag
// may change the mode: see [policy.ModeOf].
func (c Config) LimitsOf(id fleet.ServiceID) policy.Limits {
	base := c.BaseLimits()
	i := c.ruleOf(id)
	if i < 0 {
		return base
	}
	limits := c.Services[i].Limits
	limits.Mode = cmp.Or(c.Services[i].Mode, base.Mode)
	return limits
}

// BaseLimits are the limits of a service that no rule matches.
func (c Config) BaseLimits() policy.Limits {
	limits := c.Limits
	limits.Mode = c.Mode
	return limits
}

// RuleOf names the rule that decides about a service by its path, such as
// services[2]. Where none matches it is "default".
func (c Config) RuleOf(id fleet.ServiceID) string {
	if i := c.ruleOf(id); i >= 0 {
		return servicePath(i)
	}
	return "default"
}

// ruleOf is the index of the first rule that matches; -1 when none does.
func (c Config) ruleOf(id fleet.ServiceID) int {
	return slices.IndexFunc(c.Services, func(s Service) bool { return s.Match.Match(id) })
}

// FleetLimits are the limits of all services together.
func (c Config) FleetLimits() policy.FleetLimits { return c.Fleet }

// LeftBehind are the clusters in which castoff has left targets out and that the
// configuration does not name any more, sorted. They must be watched until what is
// out is back or has stopped, or a healthy task would stay out for ever. One that
// has the short name of a configured cluster is none: that one has taken its place,
// and services are told apart by the short name.
func (c Config) LeftBehind(past []policy.Detachment) []fleet.ClusterARN {
	if len(c.Clusters) == 0 {
		return nil
	}
	var left []fleet.ClusterARN
	for i := range past {
		d := &past[i]
		named := slices.ContainsFunc(c.Clusters, func(id string) bool { return fleet.ClusterARN(id).Name() == d.Cluster.Name() })
		if !named && d.Cluster != "" && d.Open() && d.Mode == policy.Detaching {
			left = append(left, d.Cluster)
		}
	}
	slices.Sort(left)
	return slices.Compact(left)
}

// Pauses are the pauses of the configuration, those that are over included.
func (c Config) Pauses() []policy.Pause {
	var pauses []policy.Pause
	for _, p := range c.Pause {
		until := p.Until
		if p.Forever {
			until = time.Time{}
		}
		pauses = append(pauses, policy.Pause{
			Scope:   p.Scope,
			Service: fleet.ServiceID{Cluster: p.Cluster, Name: p.Service},
			Until:   until,
			Owner:   p.Owner,
			Reason:  p.Reason,
			KeepOut: !p.Reattach,
			From:    policy.FromConfig,
		})
	}
	return pauses
}

func servicePath(i int) string { return fmt.Sprintf("services[%d]", i) }
