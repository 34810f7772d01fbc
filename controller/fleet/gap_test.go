package fleet_test

import (
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A Gap reaches as far as its ref says, and no further than its scope.
func TestGapReachesAsFarAsItHides(t *testing.T) {
	const (
		cluster = fleet.ClusterARN("arn:aws:ecs:eu-central-1:123456789012:cluster/prod")
		service = "arn:aws:ecs:eu-central-1:123456789012:service/prod/api"
		web     = fleet.TaskDefinitionARN("arn:aws:ecs:eu-central-1:123456789012:task-definition/web:1")
	)
	api := fleet.ServiceID{Cluster: "prod", Name: "api"}
	other := fleet.ServiceID{Cluster: "prod", Name: "other"}
	task := &fleet.Task{ARN: "arn:aws:ecs:eu-central-1:123456789012:task/prod/1", Cluster: cluster, Service: api, Definition: web}
	only := func(s fleet.Scope) *fleet.Scope { return &s }
	for _, tt := range []struct {
		name                string
		gap                 fleet.Gap
		task, group, absent bool // hides the task, hides the group, may hide a task of the service that is not there
	}{
		{"clusters", fleet.Gap{Kind: fleet.GapClusters, Ref: "eu-central-1"}, false, false, true},
		{"cluster by ARN", fleet.Gap{Kind: fleet.GapCluster, Ref: string(cluster)}, true, false, true},
		{"tasks by the cluster's name", fleet.Gap{Kind: fleet.GapTasks, Ref: "prod"}, true, false, true},
		{"tasks of another cluster", fleet.Gap{Kind: fleet.GapTasks, Ref: "test"}, false, false, false},
		{"the service by ARN", fleet.Gap{Kind: fleet.GapService, Ref: service}, true, false, true},
		{"a service's list", fleet.Gap{Kind: fleet.GapTaskList, Ref: "prod/api"}, true, false, true},
		{"another service's list", fleet.Gap{Kind: fleet.GapTaskList, Ref: "prod/other"}, false, false, false},
		{"tasks of the service", fleet.Gap{Kind: fleet.GapTasks, Ref: string(cluster), Hides: only(fleet.Scope{Services: []fleet.ServiceID{api}})}, true, false, true},
		{"tasks of another service", fleet.Gap{Kind: fleet.GapTasks, Ref: string(cluster), Hides: only(fleet.Scope{Services: []fleet.ServiceID{other}})}, false, false, false},
		{"the task alone", fleet.Gap{Kind: fleet.GapTasks, Ref: string(cluster), Hides: only(fleet.Scope{Tasks: []fleet.TaskARN{task.ARN}})}, true, false, true},
		{"nothing of the cluster", fleet.Gap{Kind: fleet.GapContainerInstances, Ref: string(cluster), Hides: only(fleet.Scope{})}, false, false, false},
		{"the cluster's instances", fleet.Gap{Kind: fleet.GapContainerInstances, Ref: string(cluster)}, true, false, false},
		{"its definition", fleet.Gap{Kind: fleet.GapTaskDefinition, Ref: string(web)}, true, false, false},
		{"the list of groups", fleet.Gap{Kind: fleet.GapTargetGroups, Ref: "eu-central-1"}, false, true, false},
		{"groups that were never listed", fleet.Gap{Kind: fleet.GapTargetGroups, Hides: only(fleet.Scope{Groups: []fleet.TargetGroupARN{unread}})}, false, false, false},
		{"its group was never listed", fleet.Gap{Kind: fleet.GapTargetGroups, Hides: only(fleet.Scope{Groups: []fleet.TargetGroupARN{shared}})}, false, true, false},
		{"its rows", fleet.Gap{Kind: fleet.GapTargetHealth, Ref: string(shared)}, false, true, false},
		{"other rows", fleet.Gap{Kind: fleet.GapTargetHealth, Ref: string(unread)}, false, false, false},
		{"tags", fleet.Gap{Kind: fleet.GapTags, Ref: string(shared)}, false, false, false},
		{"a kind that nobody knows", fleet.Gap{Kind: "moon", Ref: "x"}, true, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.gap.HidesTask(task); got != tt.task {
				t.Errorf("hides the task: %t", got)
			}
			if got := tt.gap.HidesGroup(shared); got != tt.group {
				t.Errorf("hides the group: %t", got)
			}
			if got := tt.gap.MayHide(cluster, api, task.ARN); got != tt.absent {
				t.Errorf("may hide a task: %t", got)
			}
			// Of a service that nobody knows: whatever is of the cluster.
			unknown := tt.absent || tt.gap.Kind == fleet.GapTaskList && tt.gap.Ref == "prod/other" || tt.name == "tasks of another service"
			if got := tt.gap.MayHide("", fleet.ServiceID{Cluster: "prod"}, task.ARN); got != unknown {
				t.Errorf("may hide a task of an unknown service: %t, want %t", got, unknown)
			}
		})
	}
}
