package awsapi

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// What cannot be an instant is treated as not given: further on it would not
// even be written as JSON.
func TestImpossibleInstants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		f := newFake(1, 1, 1)
		task := f.clusters[0].tasks[0]
		for _, c := range []struct {
			name  string
			epoch float64
			want  bool
		}{
			{"now", epoch(now), true},
			{"a clock that is ahead", epoch(now.Add(23 * time.Hour)), true},
			{"the day after tomorrow", epoch(now.Add(48 * time.Hour)), false},
			{"years ago", epoch(now.AddDate(-15, 0, 0)), true},
			{"the epoch", 0, false},
			{"before it", -1e15, false},
			{"milliseconds for seconds", epoch(now) * 1000, false},
			{"beyond all years", 1e15, false},
			{"beyond all numbers", 1e300, false},
		} {
			task.extra = map[string]any{"createdAt": c.epoch, "stoppingAt": c.epoch, "startedAt": c.epoch}
			f.clusters[0].services[0].extra = map[string]any{"deployments": []any{map[string]any{"id": "ecs-svc/1", "createdAt": c.epoch, "updatedAt": c.epoch}}}
			s := observer(t, Options{Config: f.config(), Budgets: unlimited}).Observe(t.Context(), nil)
			if len(s.Tasks) != 1 {
				t.Fatalf("%s: gaps %v", c.name, gapsOf(s))
			}
			d := s.Services[0].Deployments[0]
			for i, got := range []time.Time{s.Tasks[0].Created, s.Tasks[0].StoppingAt, s.Tasks[0].Started, d.Created, d.Updated} {
				if got.IsZero() == c.want {
					t.Errorf("%s: instant %d is %s", c.name, i, got)
				}
			}
			if _, err := json.Marshal(s); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

// A row of which the reply tells no state is there, and in no state at all.
func TestTargetWithoutState(t *testing.T) {
	for _, health := range []string{"", "<TargetHealth/>", "<TargetHealth><State></State></TargetHealth>"} {
		f := newFake(1, 1, 1)
		f.fault = func(c fakeCall) *fakeReply {
			if c.op != "DescribeTargetHealth" {
				return nil
			}
			return &fakeReply{status: 200, body: `<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions><member>` +
				`<Target><Id>10.0.0.1</Id><Port>10080</Port></Target>` + health +
				`</member></TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>`}
		}
		s := observer(t, Options{Config: f.config(), Budgets: unlimited}).Observe(t.Context(), nil)
		row := s.Target(s.Tasks[0].Targets[0])
		if row == nil || row.State != fleet.TargetUnknown || row.Healthy() || row.Unhealthy() || row.Draining() || row.Unused() {
			t.Errorf("%q: row %+v", health, row)
		}
		if n := s.Tally()[0].Groups[0].States[fleet.TargetOther]; n != 1 {
			t.Errorf("%q: %d rows are in another state", health, n)
		}
	}
}
