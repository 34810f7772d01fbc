package policy

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestIdentity(t *testing.T) {
	with := func(change func(*fleet.Task)) func(*scene) { return func(s *scene) { change(s.task("web", 0)) } }
	rival := func(change func(*fleet.Task)) func(*scene) {
		return func(s *scene) {
			r := s.start("api", 20)
			r.Targets = append(r.Targets, s.task("web", 0).Targets...)
			change(r)
		}
	}
	testGuard(t, Identity, []guardCase{
		{"its own", nil, Allow, OK, "10.0.0.1:10080 belongs to task web-0000", 0},
		{"missing once", with(func(t *fleet.Task) { t.Missing = 1 }), Hold, Missing, "MISSING for the task once in a row", 0},
		{"wanted stopped", with(func(t *fleet.Task) { t.DesiredStatus = fleet.Stopped }), Refuse, Leaving, "RUNNING, desired STOPPED", 0},
		{"deactivating", with(func(t *fleet.Task) { t.LastStatus = fleet.Deactivating }), Refuse, Leaving, "", 0},
		{"activating", with(func(t *fleet.Task) { t.LastStatus = fleet.Activating }), Hold, NotRunning, "the task is ACTIVATING", 0},
		{"running, and nobody says since when", with(func(t *fleet.Task) { t.Started = time.Time{} }), Hold, NotRunning, "web-0000 RUNNING and does not say since when", 0},
		{"in an unknown state", with(func(t *fleet.Task) { t.LastStatus = "FLOATING" }), Hold, NotRunning, "", 0},
		{"a later task has the address", rival(func(r *fleet.Task) { r.Created = r.Created.Add(1) }), Refuse, NotOwner, "belongs to task api-0020", 0},
		{"an earlier task still claims it", rival(func(r *fleet.Task) { r.Created = r.Created.Add(-time.Minute) }), Hold, AddressShared, "two tasks", 0},
		{"QUIC", func(s *scene) { s.group("web").Protocol = "QUIC" }, Refuse, ServerID, "a target of a QUIC group", 0},
		{"TCP_QUIC", func(s *scene) { s.group("web").Protocol = "TCP_QUIC" }, Refuse, ServerID, "", 0},
		{"an earlier task had it", rival(func(r *fleet.Task) { r.LastStatus = fleet.Stopped }), Allow, OK, "", 0},
	})
}
