package awsapi

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A reply that says what the one before said is not taken apart, but read it
// is; one that says anything else, or after another reading, is.
func TestRepeatedReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 2)
		c := f.clusters[0]
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		arn := c.taskARN(c.tasks[1].id)
		of := func() *task { return o.clusters[ecsARN("cluster/c00")].byARN[arn] }
		pass(t, o, 0)
		first := of()
		if first == nil || first.said == nil {
			t.Fatal("the first reply is not kept")
		}
		said, read := first.said, first.value.Read
		pass(t, o, 5*time.Second)
		if of().said != said || of().value.Read == read {
			t.Errorf("a repeat was taken apart, or did not count as a reading: %v", of().value.Read)
		}
		c.tasks[1].version, c.tasks[1].health = 4, "UNHEALTHY"
		if s := pass(t, o, 5*time.Second); s.Task(arn).Health != fleet.Unhealthy || of().said == said {
			t.Errorf("a change was not seen: %s", s.Task(arn).Health)
		}
		// Read alone it gets better, and then an old copy says again that it is not.
		c.tasks[1].version, c.tasks[1].health = 5, "HEALTHY"
		better := o.Refresh(t.Context(), []fleet.TaskARN{arn}, nil).Task(arn)
		c.tasks[1].version, c.tasks[1].health = 4, "UNHEALTHY"
		if s := pass(t, o, 5*time.Second); s.Task(arn) != better {
			t.Error("an older reply was taken for a repeat of what is known")
		}
	})
}

// What a reply says and was not believed may have to be believed when it says
// so again.
func TestOddReplyIsNoRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 2)
		c := f.clusters[0]
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		arn := c.taskARN(c.tasks[0].id)
		tomorrow := time.Now().Add(yetToBe + 7*time.Second)
		c.tasks[0].extra = map[string]any{"connectivityAt": 1, "startedAt": tomorrow.Unix()}
		if s := pass(t, o, 0); !s.Task(arn).Started.IsZero() {
			t.Fatal("it cannot have started then")
		}
		pass(t, o, 5*time.Second)
		if s := pass(t, o, 5*time.Second); !s.Task(arn).Started.Equal(tomorrow) {
			t.Errorf("started %s, want %s", s.Task(arn).Started, tomorrow)
		}
	})
}

func TestMissingAgainIsNoRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 2)
		c := f.clusters[0]
		o := observer(t, Options{Config: f.config(), Budgets: unlimited, DiscoveryInterval: time.Hour})
		arn := c.taskARN(c.tasks[1].id)
		read := pass(t, o, 0).Task(arn).Read
		c.tasks = c.tasks[:1]
		for n := range 2 {
			if got := pass(t, o, 5*time.Second).Task(arn); got.Missing != n+1 || got.Read != read {
				t.Errorf("MISSING %d times, read at %s: want %d times, and no reading since %s", got.Missing, got.Read.Received, n+1, read.Received)
			}
		}
	})
}

// The request's id is no part of what ELBv2 says; a reply that ends before its
// end is none.
func TestContent(t *testing.T) {
	const reply = "<AskResponse><AskResult><a/></AskResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AskResponse>"
	for _, row := range []struct {
		name, body, text string
		whole            bool
	}{
		{"JSON", `{"tasks":[]}`, `{"tasks":[]}`, true},
		{"XML", reply, "<AskResponse><AskResult><a/></AskResult>", true},
		{"a line more", reply + "\n", "<AskResponse><AskResult><a/></AskResult>", true},
		{"cut in its id", reply[:len(reply)-50], "<AskResponse><AskResult><a/></AskResult>", false},
		{"cut before", reply[:20], reply[:20], false},
		{"no id", "<AskResponse></AskResponse>", "<AskResponse></AskResponse>", true},
		{"nothing", "", "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			text, _, whole := content([]byte(row.body), "Ask")
			if string(text) != row.text || whole != row.whole {
				t.Errorf("%q, whole %t", text, whole)
			}
		})
	}
}

// The port of a row that has none is its group's.
func TestRowsWithoutPortAreNoRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.groups[0].targets[0].port = 0
		o := observer(t, Options{Config: f.config(), Budgets: unlimited, CalmInterval: 5 * time.Second, InventoryInterval: 5 * time.Second})
		pass(t, o, 0)
		g := o.groups[fleet.TargetGroupARN(groupARN(f.groups[0].name))]
		if len(g.rows) != 1 || g.said != nil {
			t.Fatalf("rows %v, said %v", g.rows, g.said)
		}
	})
}
