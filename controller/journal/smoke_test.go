package journal

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/timeline"
)

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{Version: "a", Keep: Keep{3, time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := j.Commit(Pass{Tracker: timeline.State{At: at}, Closed: []*timeline.Timeline{{ID: "x", Closed: at}}}); err != nil {
		t.Fatal(err)
	}
	c, err := j.Load()
	t.Logf("%+v %v", c, err)
	j.Close()
	j, err = Open(dir, Options{Version: "b", Keep: Keep{3, time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	c, err = j.Load()
	t.Logf("%+v %v", c, err)
}
