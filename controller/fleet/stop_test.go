package fleet_test

import (
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestStopCause(t *testing.T) {
	for _, tt := range []struct {
		code, reason string
		want         fleet.StopCause
	}{
		{"ServiceSchedulerInitiated", "Task failed container health checks", fleet.CauseContainerCheck},
		{"EssentialContainerExited", "Task failed container health checks", fleet.CauseContainerCheck},
		{"", "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:…)", fleet.CauseTargetCheck},
		{"EssentialContainerExited", "", fleet.CauseExit},
		{"", "Essential container in task exited", fleet.CauseExit},
		{"TaskFailedToStart", "CannotPullContainerError: no such image", fleet.CauseNeverStarted},
		{"", "ResourceInitializationError: unable to pull secrets", fleet.CauseNeverStarted},
		{"", "Task failed to start", fleet.CauseFailed},
		{"UserInitiated", "", fleet.CausePerson},
		{"", "Task stopped by user", fleet.CausePerson},
		{"UserInitiated", "Task failed ELB health checks", fleet.CauseTargetCheck},
		{"ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1)", fleet.CauseOther},
		{"SpotInterruption", "Your Spot Task was interrupted.", fleet.CauseOther},
		{"", "", fleet.CauseOther},
	} {
		task := fleet.Task{StopCode: tt.code, StoppedReason: tt.reason, DesiredStatus: fleet.Stopped}
		if got := task.StopCause(); got != tt.want {
			t.Errorf("%q, %q: %q, want %q", tt.code, tt.reason, got, tt.want)
		}
	}
}
