package journal

import (
	"fmt"
	"testing"

	"github.com/castoff-ecs/castoff/controller/timeline"
)

// A disk that stays full fills no memory: of what waits to be written as much is kept as
// would be on the disk, the newest.
func TestBacklogIsBounded(t *testing.T) {
	var l backlog
	for i := range 25 {
		l.add(Pass{Closed: []*timeline.Timeline{{ID: timeline.ID(fmt.Sprint(i))}}}, Keep{Count: 10})
	}
	if len(l.closed) != 10 || l.closed[0].ID != "15" || l.closed[9].ID != "24" {
		t.Errorf("%d wait", len(l.closed))
	}
}
