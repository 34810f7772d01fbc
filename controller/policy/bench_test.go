package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A pass over 10,000 tasks in 500 services, of which 10 fail.
func BenchmarkDecide(b *testing.B) {
	for _, failing := range []int{0, 10} {
		b.Run(fmt.Sprintf("tasks=10000/failing=%d", failing), func(b *testing.B) {
			s := calm()
			for i := range 499 {
				s.add(fmt.Sprintf("s%03d", i), 20)
			}
			for i := range failing {
				fail(s.task(fmt.Sprintf("s%03d", i), 0))
			}
			s.read()
			s.decide()
			s.read()
			in := s.input()
			b.ReportAllocs()
			for b.Loop() {
				decide(in)
			}
		})
	}
}

// A service whose tasks exit as soon as they start has so many failures within
// half an hour.
func BenchmarkUsage(b *testing.B) {
	s := calm()
	s.read()
	for i := range 10_000 {
		s.state.Failures = append(s.state.Failures, Failure{
			Service: web, Task: fleet.TaskARN(fmt.Sprintf("task-%05d", i)), StartedBy: "ecs-svc/1",
			Created: s.now.Add(-time.Minute), Seen: s.now.Add(-time.Minute),
		})
	}
	in := s.input()
	for b.Loop() {
		NewLook(in).Usage()
	}
}
