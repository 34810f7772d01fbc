package awsapi

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// What AWS allows a name at most. Names become labels of metrics, keys and lines of
// the log, hundreds of times each: one of 100,000 characters would be in all of them.
// A reading that has a longer one, or one that cannot be printed, is none of AWS's.
//
// Sources: CreateCluster, CreateService and ContainerDefinition in ECS's API reference,
// CreateTargetGroup in ELBv2's.
const (
	mostName      = 255 // of a cluster, a service, a container
	mostGroupName = 32
	mostARN       = 1024 // more than two names and what is around them
	mostReason    = 1024 // of what ECS says of a stop: longer is cut off
)

// strangeText says what is wrong with a text that is kept; empty when nothing is.
func strangeText(what, text string, most int) string {
	switch {
	case len(text) > most:
		return fmt.Sprintf("the reply has a %s of %d characters, and AWS allows %d", what, len(text), most)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Sprintf("the reply has a %s that cannot be printed: %q", what, text)
	}
	return ""
}

// strangeName is the same for a name. No name has what parts an ARN: with one, a task
// would be of a service that there is not, and stay so, since no task changes its own.
func strangeName(what, name string, most int) string {
	if why := strangeText(what, name, most); why != "" || !strings.ContainsAny(name, ":/") {
		return why
	}
	return fmt.Sprintf("the reply has a %s that is none: %q", what, name)
}

// strangeARN is the same for an ARN that ends in a name, and for that name.
func strangeARN(what, arn string, most int) string {
	if why := strangeText("ARN of a "+what, arn, mostARN); why != "" {
		return why
	}
	// arn:aws:ecs:REGION:ACCOUNT:KIND/NAME. What is none would be asked for, for good.
	if strings.Count(arn, ":") != 5 {
		return fmt.Sprintf("the reply has an ARN of a %s that is none: %q", what, arn)
	}
	return strangeName(what+" name", arn[strings.LastIndexByte(arn, '/')+1:], most)
}

// strangeService says what of a service no metric should be given.
func strangeService(in *ecstypes.Service) string {
	for _, lbs := range append([][]ecstypes.LoadBalancer{in.LoadBalancers}, taskSetBalancers(in.TaskSets)...) {
		for _, lb := range appendLoadBalancers(nil, lbs) {
			if why := strangeGroup(lb.Group); why != "" {
				return why
			}
			if why := strangeName("container name", lb.Container, mostName); why != "" {
				return why
			}
		}
	}
	return ""
}

func taskSetBalancers(sets []ecstypes.TaskSet) (of [][]ecstypes.LoadBalancer) {
	for i := range sets {
		of = append(of, sets[i].LoadBalancers)
	}
	return of
}

// strangeGroup says what is wrong with the ARN of a target group.
func strangeGroup(arn fleet.TargetGroupARN) string {
	if why := strangeText("ARN of a target group", string(arn), mostARN); why != "" {
		return why
	}
	// What is read of a deployment once is kept: one that is none would be asked for, for good.
	if strings.Count(string(arn), "/") != 2 || strings.Count(string(arn), ":targetgroup/") != 1 {
		return fmt.Sprintf("the reply has an ARN of a target group that is none: %q", arn)
	}
	return strangeName("target group name", arn.Name(), mostGroupName)
}

// strangeTask says the same of a task.
func strangeTask(in *ecstypes.Task, service string) string {
	if why := strangeName("service name", service, mostName); why != "" {
		return why
	}
	for _, kept := range []string{
		value(in.TaskDefinitionArn), value(in.ContainerInstanceArn), value(in.StartedBy), value(in.AvailabilityZone), value(in.LastStatus),
		value(in.DesiredStatus), string(in.LaunchType), string(in.HealthStatus), string(in.Connectivity), string(in.StopCode),
	} {
		if why := strangeText("value", kept, mostARN); why != "" {
			return why
		}
	}
	for i := range in.Containers {
		if why := strangeName("container name", value(in.Containers[i].Name), mostName); why != "" {
			return why
		}
	}
	return ""
}

// lawful are the ARNs of a list that can be ones of AWS's, and what is wrong with the
// first that cannot.
func lawful(arns []string, what string) (good []string, why string) {
	strange := func(arn string) bool {
		w := strangeARN(what, arn, mostName)
		if why == "" {
			why = w
		}
		return w != ""
	}
	if !slices.ContainsFunc(arns, strange) {
		return arns, ""
	}
	return slices.DeleteFunc(slices.Clone(arns), strange), why
}

// cut is a text of AWS's as far as it is kept.
func cut(text string) string {
	if len(text) <= mostReason {
		return text
	}
	return strings.ToValidUTF8(text[:mostReason], "") + "…"
}
