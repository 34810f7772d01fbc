package timeline

import (
	"testing"
	"time"
)

func TestMeasured(t *testing.T) {
	for _, c := range []struct {
		shortest, longest time.Duration
		want              bool
	}{
		{0, 0, true},
		{0, time.Minute, true},
		{0, time.Minute + 1, false},
		{0, 200_011 * time.Second, false},
		{5 * time.Minute, 10 * time.Minute, true},
		{5 * time.Minute, 10*time.Minute + 1, false},
	} {
		if got := (Phase{Shortest: c.shortest, Longest: c.longest}).Measured(); got != c.want {
			t.Errorf("%v to %v: %v", c.shortest, c.longest, got)
		}
	}
}
