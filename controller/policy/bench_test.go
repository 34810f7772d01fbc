package policy

import (
	"fmt"
	"testing"
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
				Decide(in)
			}
		})
	}
}
