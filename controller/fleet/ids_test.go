package fleet

import "testing"

func TestTaskARN(t *testing.T) {
	for arn, want := range map[TaskARN][2]string{
		"arn:aws:ecs:eu-central-1:123456789012:task/prod/0123456789abcdef": {"prod", "0123456789abcdef"},
		"arn:aws:ecs:eu-central-1:123456789012:task/0123456789abcdef":      {"", "0123456789abcdef"},
	} {
		if got := [2]string{arn.Cluster(), arn.ID()}; got != want {
			t.Errorf("%s: %q, want %q", arn, got, want)
		}
	}
}
