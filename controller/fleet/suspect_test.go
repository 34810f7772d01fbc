package fleet

import (
	"slices"
	"testing"
)

func TestSuspects(t *testing.T) {
	check := &HealthCheck{Retries: 2}
	def := &TaskDefinition{Containers: []ContainerDefinition{
		{Name: "log", Check: check}, {Name: "app", Essential: true, Check: check}, {Name: "db", Essential: true, Check: check}, {Name: "bare", Essential: true},
	}}
	failing := func(names ...string) *Task {
		t := &Task{}
		for _, name := range []string{"ecs-service-connect-x", "aws-guardduty-agent-x", "daemon", "log", "bare", "app", "db"} {
			c := Container{Name: name, Health: Healthy}
			if slices.Contains(names, name) {
				c.Health = Unhealthy
			}
			t.Containers = append(t.Containers, c)
		}
		return t
	}
	for _, c := range []struct {
		name    string
		failing []string
		want    []string
		decides bool // of the first
	}{
		{"one that is essential", []string{"app"}, []string{"app"}, true},
		{"beside one that is not", []string{"log", "app", "aws-guardduty-agent-x"}, []string{"app"}, true},
		{"the proxy", []string{"ecs-service-connect-x"}, []string{"ecs-service-connect-x"}, false},
		{"what nobody knows", []string{"daemon", "log"}, []string{"daemon"}, false},
		{"the proxy, and one of the definition", []string{"ecs-service-connect-x", "db"}, []string{"db", "ecs-service-connect-x"}, true},
		{"one without a check", []string{"bare"}, []string{"bare"}, false},
		{"not essential", []string{"log"}, []string{"app", "db"}, false},
		{"GuardDuty's", []string{"aws-guardduty-agent-x"}, []string{"app", "db"}, false},
		{"none any more", nil, []string{"app", "db"}, false},
	} {
		var got []string
		suspects := failing(c.failing...).Suspects(def)
		for _, s := range suspects {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, c.want) || suspects[0].Decides() != c.decides {
			t.Errorf("%s: %v, want %v", c.name, suspects, c.want)
		}
	}
	if got := failing("log").Suspects(&TaskDefinition{Containers: def.Containers[:1]}); len(got) != 1 || got[0].Name != "log" || got[0].Decides() {
		t.Errorf("no essential one has a check: %+v", got)
	}
	if got := failing("app").Suspects(nil); got != nil {
		t.Errorf("by a definition that nobody read: %+v", got)
	}
}
