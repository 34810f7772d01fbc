package sim

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// epoch is an instant as ECS's JSON has it: seconds since 1970, to the
// millisecond.
type epoch time.Time

func (e epoch) IsZero() bool { return time.Time(e).IsZero() }

func (e epoch) MarshalJSON() ([]byte, error) {
	ms := time.Time(e).UnixMilli()
	b := strconv.AppendInt(nil, ms/1000, 10)
	return append(b, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10)), nil
}

type tagJSON struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func tagsJSON(tags map[string]string) []tagJSON {
	list := []tagJSON{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tagJSON{k, tags[k]})
	}
	return list
}

type pairJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type clusterJSON struct {
	ARN        string     `json:"clusterArn"`
	Name       string     `json:"clusterName"`
	Status     string     `json:"status"`
	Instances  int        `json:"registeredContainerInstancesCount"`
	Running    int        `json:"runningTasksCount"`
	Pending    int        `json:"pendingTasksCount"`
	Services   int        `json:"activeServicesCount"`
	Tags       []tagJSON  `json:"tags"`
	Settings   []pairJSON `json:"settings"`
	Statistics []pairJSON `json:"statistics"`
	Providers  []string   `json:"capacityProviders"`
	Strategy   []struct{} `json:"defaultCapacityProviderStrategy"`
}

func (c *cluster) json(tags bool) clusterJSON {
	j := clusterJSON{
		ARN: string(c.arn), Name: c.name, Status: "ACTIVE", Instances: len(c.instances),
		Services: len(c.services), Tags: []tagJSON{}, Settings: []pairJSON{}, Statistics: []pairJSON{},
		Providers: []string{}, Strategy: []struct{}{},
	}
	j.Running, j.Pending = count(c.tasks, func(*task) bool { return true })
	if tags {
		j.Tags = tagsJSON(c.tags)
	}
	return j
}

// count is how many of the tasks run, and how many are on their way to.
func count(tasks []*task, of func(*task) bool) (running, pending int) {
	for _, t := range tasks {
		switch {
		case t.desired != fleet.Running || !of(t):
		case t.status == fleet.Running:
			running++
		default:
			pending++
		}
	}
	return running, pending
}
