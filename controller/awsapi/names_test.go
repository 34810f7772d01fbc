package awsapi

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A name that AWS does not allow gets nowhere: its reading is a gap, with the length,
// and what is beside it is read.
func TestSafetyNamesThatAWSDoesNotAllow(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, in := range []struct {
		name  string
		spoil func(f *fake)
		kind  fleet.GapKind
		why   string
	}{
		{"a service", func(f *fake) { f.clusters[0].services[1].name = long(100_000) }, fleet.GapServices, "a text longer"},
		{"a service, by little", func(f *fake) { f.clusters[0].services[1].name = long(256) }, fleet.GapServices, "service name of 256 characters, and AWS allows 255"},
		{"a line", func(f *fake) { f.clusters[0].services[1].name = "a\nb" }, fleet.GapServices, "cannot be printed"},
		{"a cluster", func(f *fake) { f.clusters[1].name = long(256) }, fleet.GapClusters, "cluster name of 256 characters"},
		{"a task", func(f *fake) { f.clusters[1].tasks[0].id = long(7000) }, fleet.GapTaskList, "ARN of a task of 7"},
		{"a task's service", func(f *fake) { f.clusters[1].tasks[0].extra = map[string]any{"group": "service:" + long(256)} }, fleet.GapTasks, "service name of 256 characters"},
		{"a task's service twice", func(f *fake) { f.clusters[1].tasks[0].extra = map[string]any{"group": "service:s0000service:s0000"} }, fleet.GapTasks, "service name that is none"},
		{"an ARN twice", func(f *fake) { f.clusters[1].services[1].name = "s0001" + ecsARN("service/c01/s0001") }, fleet.GapServices, "ARN of a service that is none"},
		{"a task's definition", func(f *fake) { f.clusters[1].tasks[0].extra = map[string]any{"taskDefinitionArn": long(2000)} }, fleet.GapTasks, "value of 2000 characters"},
		{"a group", func(f *fake) { f.clusters[1].services[1].groups = []string{long(33)} }, fleet.GapService, "target group name of 33 characters, and AWS allows 32"},
		{"a group that is none", func(f *fake) { f.clusters[1].services[1].groups = []string{"a/b"} }, fleet.GapService, "ARN of a target group that is none"},
		{"a target", func(f *fake) { f.groups[0].targets[0].id = long(2000) }, fleet.GapTargetHealth, "target id of 2000 characters"},
		{"a text", func(f *fake) { f.clusters[1].tasks[0].extra = map[string]any{"stoppedReason": long(70_000)} }, fleet.GapTasks, "a text longer"},
	} {
		t.Run(in.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(2, 2, 1)
				in.spoil(f)
				s := passes(t, observer(t, Options{Config: f.config(), Budgets: unlimited}), 30)
				g, ok := gapOf(s, in.kind)
				if !ok || g.Class != fleet.Invalid || !strings.Contains(g.Detail, in.why) {
					t.Errorf("gap %+v, of %d", g, len(s.Gaps))
				}
				said := fmt.Sprint(s.Services, s.Tasks, s.TargetGroups, s.Clusters)
				for _, g := range s.Gaps {
					said += fmt.Sprintf("%+v", g)
				}
				if len(said) > 30_000 || len(s.Services) < 1 || len(s.Tasks) < 2 {
					t.Errorf("%d characters, %d services, %d tasks", len(said), len(s.Services), len(s.Tasks))
				}
			})
		})
	}
}

// Of a text that is for people alone the beginning is kept.
func TestLongReasonIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.clusters[0].tasks[0].extra = map[string]any{"stoppedReason": strings.Repeat("ä", 5000)}
		s := passes(t, observer(t, Options{Config: f.config(), Budgets: unlimited}), 1)
		if got := s.Tasks[0].StoppedReason; len(got) > mostReason+3 || !strings.HasPrefix(got, "äää") {
			t.Errorf("%d characters of it", len(got))
		}
	})
}

// A list that never ends is none, whether its tokens are new ones or the same, and
// castoff follows no more tasks than there can be.
func TestSafetyListsWithoutEnd(t *testing.T) {
	for _, tokens := range []string{"new", "the same"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1, 2)
			o := observer(t, Options{Config: f.config(), Budgets: unlimited})
			passes(t, o, 2)
			n := 0
			f.fault = func(c fakeCall) *fakeReply {
				if c.op != "ListTasks" || c.desired == "STOPPED" {
					return nil
				}
				arns := make([]string, tasksAPage)
				for i := range arns {
					arns[i] = `"` + ecsARN(fmt.Sprintf("task/c00/%032x", 1000+n)) + `"`
					n++
				}
				token := "same"
				if tokens == "new" {
					token = fmt.Sprint(n)
				}
				return &fakeReply{status: 200, body: `{"taskArns":[` + strings.Join(arns, ",") + `],"nextToken":"` + token + `"}`}
			}
			time.Sleep(time.Minute)
			s := o.Observe(t.Context(), nil)
			if g, ok := gapOf(s, fleet.GapTaskList); !ok || g.Class != fleet.Invalid || !strings.Contains(g.Detail, "never ends") && !strings.Contains(g.Detail, "more than 50000 tasks") {
				t.Errorf("tokens %s: gap %+v", tokens, g)
			}
			passes(t, o, 2)
			if known := len(o.clusters[ecsARN("cluster/c00")].tasks); known > mostTasks {
				t.Errorf("tokens %s: %d tasks", tokens, known)
			}
		})
	}
}
