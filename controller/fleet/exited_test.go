package fleet

import "testing"

// The container that ended its task is named where it can only have been that one.
func TestExited(t *testing.T) {
	def := &TaskDefinition{Containers: []ContainerDefinition{{Name: "app", Essential: true}, {Name: "otel", Essential: true}, {Name: "init"}}}
	code := func(n int) *int { return &n }
	for _, test := range []struct {
		name            string
		app, otel, init Container
		want            string
	}{
		{"one failed, the other was told to end", Container{ExitCode: code(143)}, Container{ExitCode: code(1)}, Container{}, "otel"},
		{"one ended without an error", Container{ExitCode: code(0)}, Container{ExitCode: code(143)}, Container{}, "app"},
		{"one alone has ended so far", Container{}, Container{ExitCode: code(2)}, Container{}, "otel"},
		{"both ended on their own terms", Container{ExitCode: code(0)}, Container{ExitCode: code(1)}, Container{}, ""},
		{"one ran out of memory", Container{ExitCode: code(137), Reason: "OutOfMemoryError: Container killed due to memory usage"}, Container{ExitCode: code(143)}, Container{}, "app"},
		{"one may have run out of memory", Container{ExitCode: code(137)}, Container{ExitCode: code(0)}, Container{}, ""},
		{"one may have run out of memory, and is last", Container{ExitCode: code(1)}, Container{ExitCode: code(137)}, Container{}, ""},
		{"one that is not essential is not asked", Container{ExitCode: code(143)}, Container{ExitCode: code(1)}, Container{ExitCode: code(3)}, "otel"},
		{"nobody tells", Container{}, Container{}, Container{}, ""},
	} {
		test.app.Name, test.otel.Name, test.init.Name = "app", "otel", "init"
		task := Task{Containers: []Container{test.app, test.otel, test.init}}
		if got := task.Exited(def); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := (&Task{Containers: []Container{{Name: "app", ExitCode: code(1)}}}).Exited(nil); got != "" {
		t.Errorf("without a definition: %q", got)
	}
}
