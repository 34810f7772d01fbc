package sim

import (
	"fmt"
	"maps"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Tag sets a tag of a service or, when id has no name, of a cluster; an empty
// value takes it away.
func (r *Region) Tag(id fleet.ServiceID, key, value string) error {
	return r.change(func() error {
		c := r.clusterNames[id.Cluster]
		if c == nil {
			return fmt.Errorf("tag %s: no such cluster", id)
		}
		if id.Name == "" {
			c.tags = tagged(c.tags, key, value)
			return nil
		}
		s := c.serviceNames[id.Name]
		if s == nil {
			return fmt.Errorf("tag %s: no such service", id)
		}
		s.spec.Tags = tagged(s.spec.Tags, key, value)
		s.given.Tags = s.spec.Tags // the next revision keeps it
		s.touch()
		return nil
	})
}

// tagged is a copy with a tag set or taken away: the specs are the caller's.
func tagged(tags map[string]string, key, value string) map[string]string {
	next := map[string]string{}
	maps.Copy(next, tags)
	next[key] = value
	if value == "" {
		delete(next, key)
	}
	return next
}
