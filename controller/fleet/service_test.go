package fleet

import "testing"

// The examples of ECS's guide, its bounds, and the types that have none.
func TestCircuitBreakerThreshold(t *testing.T) {
	for _, c := range []struct {
		kind                 string
		value, desired, want int
	}{
		{ThresholdBoundedPercent, 50, 1, 3},
		{ThresholdBoundedPercent, 50, 25, 13},
		{ThresholdBoundedPercent, 50, 400, 200},
		{ThresholdBoundedPercent, 50, 800, 200},
		{ThresholdBoundedPercent, 10, 100, 10},
		{ThresholdUnboundedPercent, 50, 800, 400},
		{ThresholdUnboundedPercent, 50, 1, 1},
		{ThresholdCount, 7, 800, 7},
		{"PHASE_OF_THE_MOON", 50, 100, 0},
	} {
		if got := (CircuitBreaker{Type: c.kind, Value: c.value}).Threshold(c.desired); got != c.want {
			t.Errorf("%s %d of %d tasks: %d, want %d", c.kind, c.value, c.desired, got, c.want)
		}
	}
}
