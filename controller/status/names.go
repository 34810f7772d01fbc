package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// namesSaid is how many names an error has.
const namesSaid = 20

// known refuses names that nothing is known of: a name that was mistyped must not
// read as one that has no failures. Where castoff is partly blind there may be
// more than it knows, and nothing is refused.
func (v *View) known(cluster, service string) error {
	if cluster == "" && service == "" || v.Snapshot == nil || slices.ContainsFunc(v.gaps(), hides) {
		return nil
	}
	clusters, services := make(map[string]bool), make(map[string]bool)
	for id := range v.everyService() {
		if id.Name == "" {
			clusters[id.Cluster] = true
			continue
		}
		clusters[id.Cluster] = true
		if selects(cluster, id.Cluster) {
			services[id.Name] = true
		}
	}
	if cluster != "" && !clusters[cluster] {
		return unknownName("cluster", cluster, "", clusters)
	}
	if service != "" && !services[service] {
		in := ""
		if cluster != "" {
			in = " in cluster " + clip(cluster)
		}
		return unknownName("service", service, in, services)
	}
	return nil
}

// hides reports that there may be services behind a gap.
func hides(g fleet.Gap) bool {
	switch g.Kind {
	case fleet.GapClusters, fleet.GapCluster, fleet.GapServices, fleet.GapService:
		return true
	}
	return false
}

// everyService yields the services that anything is known of, now or from
// before, some more than once; a cluster is one without a name.
func (v *View) everyService() func(yield func(fleet.ServiceID) bool) {
	return func(yield func(fleet.ServiceID) bool) {
		for _, c := range v.Snapshot.Clusters {
			if !yield(fleet.ServiceID{Cluster: c.Name}) {
				return
			}
		}
		for _, s := range v.Snapshot.Services {
			if !yield(s.ID) {
				return
			}
		}
		for _, t := range slices.Concat(v.Open, v.Closed) {
			if !yield(t.Service) {
				return
			}
		}
		for i := range v.Detachments {
			if !yield(v.Detachments[i].Service) {
				return
			}
		}
	}
}

// unknownName names those that begin most like it first.
func unknownName(parameter, got, in string, known map[string]bool) error {
	alike := func(name string) int {
		n := 0
		for n < min(len(name), len(got)) && name[n] == got[n] {
			n++
		}
		return n
	}
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(alike(b)-alike(a), cmp.Compare(a, b)) })
	var said []string
	for _, name := range names[:min(len(names), namesSaid)] {
		said = append(said, clip(name))
	}
	if more := len(names) - len(said); more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	if len(said) == 0 {
		said = []string{"none"}
	}
	return fmt.Errorf("%s: castoff knows none of this name%s (got %q): known are %s", parameter, in, clip(got), strings.Join(said, ", "))
}
