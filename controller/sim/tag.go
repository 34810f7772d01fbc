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
		tags := &c.tags
		if id.Name != "" {
			s := c.serviceNames[id.Name]
			if s == nil {
				return fmt.Errorf("tag %s: no such service", id)
			}
			tags = &s.spec.Tags
			s.touch()
		}
		next := map[string]string{}
		maps.Copy(next, *tags) // the specs are the caller's
		next[key] = value
		if value == "" {
			delete(next, key)
		}
		*tags = next
		return nil
	})
}
