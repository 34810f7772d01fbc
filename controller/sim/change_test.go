package sim_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

func (w *world) update(change func(*ecs.UpdateServiceInput)) (ecstypes.Service, error) {
	w.t.Helper()
	in := &ecs.UpdateServiceInput{Cluster: aws.String(clusterName), Service: aws.String("greeter")}
	change(in)
	out, err := w.ecs.UpdateService(w.t.Context(), in)
	if err != nil {
		return ecstypes.Service{}, err
	}
	return *out.Service, nil
}

// A service follows its desired count, a task definition that it had before, and the
// wish to have all tasks anew.
func TestUpdateService(t *testing.T) {
	inBubble(t, sim.Options{Seed: 3}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		if got, err := w.update(func(in *ecs.UpdateServiceInput) { in.DesiredCount = aws.Int32(4) }); err != nil || got.DesiredCount != 4 || len(got.Deployments) != 1 {
			t.Fatalf("%+v %v", got, err)
		}
		w.until(10*time.Minute, "four tasks", w.calm(greeter, 4))
		w.must(w.r.DeployRevision(greeter, sim.Revision{Fate: sim.NeverStarts}))
		first := w.service().Deployments[1]
		got, err := w.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = aws.String("greeter:1") })
		if err != nil || len(got.Deployments) != 3 || *got.Deployments[0].TaskDefinition != *first.TaskDefinition || *got.Deployments[0].Id == *first.Id {
			t.Fatalf("%+v %v", got.Deployments, err)
		}
		w.until(20*time.Minute, "one deployment", func() bool { return len(w.service().Deployments) == 1 && w.calm(greeter, 4)() })
		if s := w.service(); *s.TaskDefinition != *first.TaskDefinition || s.Deployments[0].RolloutState != "COMPLETED" {
			t.Errorf("%+v", s)
		}
		// The revision is as bad as before.
		if _, err := w.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = aws.String("greeter:2") }); err != nil {
			t.Fatal(err)
		}
		w.until(5*time.Minute, "a task that failed", func() bool { return w.service().Deployments[0].FailedTasks > 0 })
		before := len(w.r.Tasks(greeter))
		w.must(err)
		got, err = w.update(func(in *ecs.UpdateServiceInput) {
			in.TaskDefinition, in.ForceNewDeployment = aws.String("greeter:1"), true
		})
		w.must(err)
		if same, err := w.update(func(in *ecs.UpdateServiceInput) { in.TaskDefinition = aws.String("greeter:1") }); err != nil || *same.Deployments[0].Id != *got.Deployments[0].Id {
			t.Errorf("the task definition that it has is deployed again: %+v %v", same.Deployments, err)
		}
		w.until(20*time.Minute, "all anew", func() bool { return len(w.service().Deployments) == 1 })
		if fresh := len(w.r.Tasks(greeter)) - before; fresh < 4 {
			t.Errorf("%d new tasks, want 4 or more", fresh)
		}
	})
}

func TestChangesThatAWSRefuses(t *testing.T) {
	inBubble(t, sim.Options{}, 2, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		shifting := sim.ReferenceWorkload(clusterName, "shifting")
		shifting.Controller = fleet.ControllerCodeDeploy
		w.add(shifting)
		host := sim.ReferenceWorkload(clusterName, "host")
		host.LaunchType, host.NetworkMode, host.Scheduling = fleet.EC2, fleet.NetworkHost, fleet.Daemon
		w.add(host)
		w.add(sim.ServiceSpec{Cluster: clusterName, Name: "worker", Containers: []sim.ContainerSpec{{Name: "worker"}}, Settled: true})
		group := string(w.r.Tasks(greeter)[0].Targets[0].Group)
		update := func(change func(*ecs.UpdateServiceInput)) error {
			_, err := w.update(change)
			return err
		}
		run := func(in ecs.RunTaskInput) error {
			in.Cluster = aws.String(clusterName)
			_, err := w.ecs.RunTask(t.Context(), &in)
			return err
		}
		tag := func(arn, key string) error {
			_, err := w.ecs.TagResource(t.Context(), &ecs.TagResourceInput{ResourceArn: &arn, Tags: []ecstypes.Tag{{Key: &key, Value: aws.String("1")}}})
			return err
		}
		attribute := func(key, value string) error {
			_, err := w.elb.ModifyTargetGroupAttributes(t.Context(), &elb.ModifyTargetGroupAttributesInput{
				TargetGroupArn: &group, Attributes: []elbtypes.TargetGroupAttribute{{Key: &key, Value: &value}},
			})
			return err
		}
		type in = *ecs.UpdateServiceInput
		for name, row := range map[string]struct {
			err  error
			said string
		}{
			"no such service":           {update(func(i in) { i.Service = aws.String("none") }), "ServiceNotFoundException"},
			"a negative count":          {update(func(i in) { i.DesiredCount = aws.Int32(-1) }), "desired count -1 is negative"},
			"a DAEMON's count":          {update(func(i in) { i.Service, i.DesiredCount = aws.String("host"), aws.Int32(1) }), "a DAEMON service has a task on each"},
			"no such revision":          {update(func(i in) { i.TaskDefinition = aws.String("greeter:9") }), "TaskDefinition not found."},
			"a revision for hosts":      {update(func(i in) { i.TaskDefinition = aws.String("host") }), "launch type and network mode"},
			"one without the container": {update(func(i in) { i.TaskDefinition = aws.String("worker") }), `no container "nginx" has port 10080`},
			"CodeDeploy's":              {update(func(i in) { i.Service, i.ForceNewDeployment = aws.String("shifting"), true }), "CODE_DEPLOY deployment controller"},
			"what is not modelled":      {update(func(i in) { i.EnableExecuteCommand = aws.Bool(true) }), "does not model enableExecuteCommand"},
			"a task without a network":  {run(ecs.RunTaskInput{TaskDefinition: aws.String("greeter")}), "Network Configuration must be provided"},
			"too many tasks":            {run(ecs.RunTaskInput{TaskDefinition: aws.String("greeter"), Count: aws.Int32(11)}), "count should be greater than 0"},
			"no such thing to tag":      {tag(group, "team"), "could not be found"},
			"a tag of AWS's":            {tag("arn:aws:ecs:eu-central-1:123456789012:cluster/prod", "aws:team"), "cannot begin with aws:"},
			"an unknown attribute":      {attribute("color", "red"), `"color" cannot be "red"`},
			"a delay that cannot be":    {attribute("deregistration_delay.timeout_seconds", "4000"), "must be 0..3600"},
			"neither yes nor no":        {attribute("stickiness.enabled", "perhaps"), "ValidationError"},
		} {
			if row.err == nil || !strings.Contains(row.err.Error(), row.said) {
				t.Errorf("%s: %v, want %q", name, row.err, row.said)
			}
		}
		if got := w.service(); got.DesiredCount != 2 || len(got.Deployments) != 1 {
			t.Errorf("something was changed: %+v", got)
		}
	})
}

// A task of no service is listed by who started it, and runs once however often it
// is asked for by the same token.
func TestRunTask(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		in := &ecs.RunTaskInput{
			Cluster: aws.String(clusterName), TaskDefinition: aws.String("greeter"), Count: aws.Int32(2), StartedBy: aws.String("cron"), ClientToken: aws.String("once"),
			NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{Subnets: []string{"subnet-00000000000000000"}}},
			Tags:                 []ecstypes.Tag{{Key: aws.String("team"), Value: aws.String("b")}},
		}
		for range 2 {
			out, err := w.ecs.RunTask(t.Context(), in)
			if err != nil || len(out.Tasks) != 2 {
				t.Fatalf("%+v %v", out, err)
			}
		}
		time.Sleep(2 * time.Minute)
		list, err := w.ecs.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: in.Cluster, StartedBy: in.StartedBy})
		if err != nil || len(list.TaskArns) != 2 {
			t.Fatalf("%v %v", list, err)
		}
		for _, include := range [][]ecstypes.TaskField{nil, {ecstypes.TaskFieldTags}} {
			out, err := w.ecs.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: in.Cluster, Tasks: list.TaskArns, Include: include})
			w.must(err)
			if task := out.Tasks[0]; *task.LastStatus != "RUNNING" || *task.StartedBy != "cron" || *task.Group != "family:greeter" || len(task.Tags) != len(include) {
				t.Errorf("%+v", task)
			}
		}
	})
}

// The scheduler says what it does, in ECS's words, the newest first.
func TestServiceEvents(t *testing.T) {
	inBubble(t, sim.Options{Seed: 2}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		time.Sleep(time.Minute)
		w.must(w.r.Hang(task.ARN))
		w.until(15*time.Minute, "calm again", func() bool { return w.calm(greeter, 2)() && len(w.service().Events) > 8 })
		var said []string
		events := w.service().Events
		for i, e := range events {
			if i > 0 && e.CreatedAt.After(*events[i-1].CreatedAt) {
				t.Errorf("%s is after %s", *e.Message, *events[i-1].Message)
			}
			message := regexp.MustCompile(`[0-9a-f]{32}|ecs-svc/[0-9]+|arn:\S+/[0-9a-f]{16}`).ReplaceAllString(*e.Message, "ID")
			if said = append(said, message); strings.Count(*e.Message, task.ARN.ID()) > 1 {
				t.Error(*e.Message)
			}
		}
		const want = `(service greeter) has reached a steady state.
(service greeter) has begun draining connections on 1 tasks.
(service greeter) deregistered 1 targets in (target-group ID)
(service greeter) has stopped 1 running tasks: (task ID).
(service greeter) registered 1 targets in (target-group ID)
(service greeter) has started 1 tasks: (task ID).
(service greeter) (task ID) failed container health checks.
(service greeter) has reached a steady state.
(service greeter) (deployment ID) deployment completed.`
		if got := strings.Join(said, "\n"); got != want {
			t.Errorf("%s", got)
		}
	})
}

// No more than a hundred events are kept, and what is done to several tasks at once is
// one.
func TestManyServiceEvents(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		w.add(spec)
		w.must(w.r.Scale(greeter, 5))
		time.Sleep(15 * time.Second)
		if m := *w.service().Events[0].Message; !strings.HasPrefix(m, "(service greeter) has started 3 tasks: (task ") || strings.Count(m, "(task ") != 3 {
			t.Errorf("%s", m)
		}
		for i := range 60 {
			w.must(w.r.Scale(greeter, 5+i%2))
			time.Sleep(3 * time.Minute)
		}
		ids := map[string]bool{}
		for _, e := range w.service().Events {
			ids[*e.Id] = true
		}
		if len(ids) != 100 {
			t.Errorf("%d events", len(ids))
		}
	})
}

// Listeners lead to the groups, those of a blue/green pair to the live one.
func TestListeners(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Groups[0].Alternate, spec.TestListener = true, true
		blue := w.add(spec)[0].Targets[0].Group
		balancer := w.r.BalancerARN(blue)
		listeners := func() (all []elbtypes.Listener) {
			out, err := w.elb.DescribeListeners(t.Context(), &elb.DescribeListenersInput{LoadBalancerArn: &balancer})
			w.must(err)
			return out.Listeners
		}
		before := listeners()
		lb := w.service().LoadBalancers[0].AdvancedConfiguration
		if len(before) != 2 || *before[0].ListenerArn != *lb.ProductionListenerRule || *before[1].ListenerArn != *lb.TestListenerRule || *before[0].Port != 10080 || *before[1].Port != 10081 ||
			*before[0].DefaultActions[0].TargetGroupArn != string(blue) {
			t.Fatalf("%+v, of the service %+v", before, *lb)
		}
		w.must(w.r.Deploy(greeter))
		w.until(30*time.Minute, "shifted", func() bool { return *listeners()[0].DefaultActions[0].TargetGroupArn == *lb.AlternateTargetGroupArn })
		_, err := w.elb.DescribeListeners(t.Context(), &elb.DescribeListenersInput{ListenerArns: []string{*before[0].ListenerArn, "none"}})
		if code(err) != "ListenerNotFound" {
			t.Error(err)
		}
	})
}

// Tags go where they are put, and what the scheduler makes next has them.
func TestTags(t *testing.T) {
	inBubble(t, sim.Options{}, 1, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		s := w.service()
		hosts, err := w.ecs.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{Cluster: aws.String(clusterName)})
		w.must(err)
		tags := []ecstypes.Tag{{Key: aws.String("team"), Value: aws.String("b")}, {Key: aws.String("gone"), Value: aws.String("1")}}
		for _, arn := range []string{*s.ClusterArn, *s.ServiceArn, *s.TaskDefinition, string(task.ARN), hosts.ContainerInstanceArns[0]} {
			_, err := w.ecs.TagResource(t.Context(), &ecs.TagResourceInput{ResourceArn: &arn, Tags: tags})
			w.must(err)
			_, err = w.ecs.UntagResource(t.Context(), &ecs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"gone"}})
			w.must(err)
			out, err := w.ecs.ListTagsForResource(t.Context(), &ecs.ListTagsForResourceInput{ResourceArn: &arn})
			w.must(err)
			if len(out.Tags) != 1 || *out.Tags[0].Key+*out.Tags[0].Value != "teamb" {
				t.Errorf("%s: %+v", arn, out.Tags)
			}
		}
		w.must(w.r.Deploy(greeter))
		if s := w.r.Snapshot(fleet.Read{}).Service(greeter); s.Tags["team"] != "b" {
			t.Errorf("%+v", s.Tags)
		}
		group := string(task.Targets[0].Group)
		for _, arn := range []string{group, w.r.BalancerARN(task.Targets[0].Group)} {
			_, err := w.elb.AddTags(t.Context(), &elb.AddTagsInput{ResourceArns: []string{arn}, Tags: []elbtypes.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("b")}}})
			w.must(err)
			_, err = w.elb.RemoveTags(t.Context(), &elb.RemoveTagsInput{ResourceArns: []string{arn}, TagKeys: []string{"a"}})
			w.must(err)
			out, err := w.elb.DescribeTags(t.Context(), &elb.DescribeTagsInput{ResourceArns: []string{arn}})
			w.must(err)
			if got := out.TagDescriptions[0].Tags; len(got) != 1 || *got[0].Key != "b" {
				t.Errorf("%s: %+v", arn, got)
			}
		}
		many := make([]elbtypes.Tag, 0, 51)
		for i := range 50 {
			many = append(many, elbtypes.Tag{Key: aws.String(fmt.Sprint(i)), Value: aws.String("")})
		}
		if _, err := w.elb.AddTags(t.Context(), &elb.AddTagsInput{ResourceArns: []string{group}, Tags: many}); code(err) != "TooManyTags" {
			t.Error(err)
		}
	})
}

func TestListTaskDefinitions(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		w.add(sim.ReferenceWorkload(clusterName, "another"))
		for range 10 {
			w.must(w.r.Deploy(greeter))
		}
		in := &ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String("greeter"), Sort: ecstypes.SortOrderDesc, MaxResults: aws.Int32(6)}
		var got []string
		for {
			out, err := w.ecs.ListTaskDefinitions(t.Context(), in)
			w.must(err)
			for _, arn := range out.TaskDefinitionArns {
				got = append(got, arn[strings.LastIndexByte(arn, ':')+1:])
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if fmt.Sprint(got) != "[11 10 9 8 7 6 5 4 3 2 1]" {
			t.Error(got)
		}
		if out, err := w.ecs.ListTaskDefinitions(t.Context(), &ecs.ListTaskDefinitionsInput{Status: "INACTIVE"}); err != nil || len(out.TaskDefinitionArns) != 0 {
			t.Error(out, err)
		}
	})
}

// EC2 knows the interfaces of tasks, and the hosts.
func TestEC2(t *testing.T) {
	inBubble(t, sim.Options{}, 3, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Desired = 7
		task := w.task(w.add(spec)[0].ARN)
		details := map[string]string{}
		for _, d := range task.Attachments[0].Details {
			details[*d.Name] = *d.Value
		}
		eni, ip := details["networkInterfaceId"], details["privateIPv4Address"]
		ask := func(form string) string {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws.invalid/", strings.NewReader("Version=2016-11-15&Action="+form))
			w.must(err)
			rep, err := sim.Doer{Region: w.r}.Do(req)
			w.must(err)
			body, err := io.ReadAll(rep.Body)
			w.must(err)
			return string(body)
		}
		for form, want := range map[string]string{
			"DescribeNetworkInterfaces&NetworkInterfaceId.1=" + eni:                                 "<privateIpAddress>" + ip + "</privateIpAddress>",
			"DescribeNetworkInterfaces&Filter.1.Name=private-ip-address&Filter.1.Value.1=" + ip:     "<networkInterfaceId>" + eni + "</networkInterfaceId>",
			"DescribeNetworkInterfaces&NetworkInterfaceId.1=" + eni + "&NetworkInterfaceId.2=eni-0": "InvalidNetworkInterfaceID.NotFound",
			"DescribeNetworkInterfaces&Filter.1.Name=color&Filter.1.Value.1=red":                    "The filter &#39;color&#39; is invalid",
			"DescribeNetworkInterfaces&MaxResults=5":                                                "<nextToken>5</nextToken>",
			"DescribeNetworkInterfaces&MaxResults=5&NextToken=5":                                    "</item></networkInterfaceSet></DescribeNetworkInterfacesResponse>",
			"DescribeNetworkInterfaces&MaxResults=4":                                                "between 5 and 1000",
			"DescribeNetworkInterfaces&MaxResults=5&NetworkInterfaceId.1=" + eni:                    "InvalidParameterCombination",
			"DescribeNetworkInterfaces&Color=red":                                                   "UnknownParameter",
			"DescribeInstances&Filter.1.Name=availability-zone&Filter.1.Value.1=eu-central-1b":      "<privateIpAddress>10.0.0.2</privateIpAddress>",
			"DescribeInstances&InstanceId.1=i-0":                                                    "InvalidInstanceID.NotFound",
			"DescribeVpcs":                                                                          "InvalidAction",
		} {
			if got := ask(form); !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", form, want, got)
			}
		}
		if n := strings.Count(ask("DescribeNetworkInterfaces&MaxResults=5&NextToken=5"), "<item><networkInterfaceId>"); n != 2 {
			t.Errorf("%d interfaces on the second page", n)
		}
		w.r.Fault(sim.Fault{Service: sim.EC2, Effect: sim.Deny})
		if got := ask("DescribeInstances"); !strings.Contains(got, "UnauthorizedOperation") {
			t.Error(got)
		}
	})
}
