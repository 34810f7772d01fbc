package scenario

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// TestSnapshotIsWhatTheWireTells: what the region says of itself without the wire
// is, field by field, what castoff's own reader makes of the wire.
func TestSnapshotIsWhatTheWireTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		region := sim.New(sim.Options{Seed: 5})
		must(t, region.AddCluster("prod", sim.ClusterOptions{Tags: map[string]string{"team": "a"}}), region.AddCluster("edge", sim.ClusterOptions{Instances: 4}))
		specs := services()
		specs[0].Grace, specs[0].Tags = 40*time.Second, map[string]string{"castoff:mode": "detach"}
		for _, s := range specs {
			must(t, region.AddService(s))
		}
		for round := range 14 {
			for i, s := range specs {
				id := fleet.ServiceID{Cluster: s.Cluster, Name: s.Name}
				tasks := slices.DeleteFunc(region.Tasks(id), func(t sim.TaskInfo) bool { return t.Status != fleet.Running || !t.Answering })
				if (round+i)%4 == 0 && len(tasks) > 0 {
					must(t, []func(fleet.TaskARN) error{region.Hang, region.KillFront, region.Exit, region.Disconnect}[round%4](tasks[0].ARN))
				}
			}
			if round == 6 {
				must(t, region.Deploy(fleet.ServiceID{Cluster: specs[0].Cluster, Name: specs[0].Name}))
			}
			time.Sleep(time.Duration(7+11*round) * time.Second)
			compareSnapshots(t, region)
		}
	})
}

func compareSnapshots(t *testing.T, region *sim.Region) {
	t.Helper()
	cfg := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	cfg.HTTPClient = sim.Doer{Region: region}
	none := math.Inf(1)
	api, err := awsapi.New(awsapi.Options{Config: cfg, Budgets: awsapi.Budgets{
		ClusterRead: none, ClusterResourceRead: none, ServiceRead: none, TaskDefinitionRead: none, BalancerRead: none, Registration: none,
	}})
	must(t, err)
	var wire *fleet.Snapshot
	for range 3 { // lists, then what is in them, then what that names
		wire = api.Observe(t.Context(), nil)
	}
	if len(wire.Gaps) > 0 {
		t.Fatalf("gaps: %+v", wire.Gaps)
	}
	own := region.Snapshot(fleet.Read{Sent: time.Now(), Received: time.Now()})
	want, got := plainly(t, wire), plainly(t, own)
	for part, w := range want {
		for key, text := range w {
			if got[part][key] != text {
				t.Errorf("%s %s\nwire %s\nown  %s", part, key, text, got[part][key])
			}
		}
		for key, text := range got[part] {
			if _, ok := w[key]; !ok {
				t.Errorf("%s %s: not on the wire: %s", part, key, text)
			}
		}
	}
}

// plainly is a snapshot without the times of its readings, as text, by part and
// name. Tasks that are gone are left out, since a castoff that has just begun need
// not know them; definitions are those that the others have.
func plainly(t *testing.T, s *fleet.Snapshot) map[string]map[string]string {
	t.Helper()
	parts := map[string]map[string]string{"cluster": {}, "service": {}, "task": {}, "group": {}, "definition": {}, "owner": {}}
	put := func(part, key string, v any) {
		text, err := json.Marshal(v)
		must(t, err)
		parts[part][key] = string(text)
	}
	for _, c := range s.Clusters {
		v := *c
		v.Read = fleet.Read{}
		put("cluster", string(v.ARN), v)
	}
	for _, sv := range s.Services {
		v := *sv
		v.Read = fleet.Read{}
		put("service", v.ID.String(), v)
	}
	for _, task := range s.Tasks {
		if task.Gone() {
			continue
		}
		v := *task
		v.Read = fleet.Read{}
		put("task", string(v.ARN), v)
		put("definition", string(v.Definition), s.Definitions[v.Definition])
	}
	for _, g := range s.TargetGroups {
		v := *g
		v.Read, v.Inventory = fleet.Read{}, fleet.Read{}
		put("group", string(v.ARN), v)
		for _, row := range v.Targets {
			if owner := s.Owner(row.Key); owner != nil && !owner.Gone() {
				put("owner", string(v.ARN)+" "+row.Key.Address(), owner.ARN)
			}
		}
	}
	return parts
}
