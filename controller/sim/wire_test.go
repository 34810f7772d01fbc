package sim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// code is AWS's name for an error; empty for none, or for none of AWS's.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func many(n int, format string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

func TestRefusesAsAWSDoes(t *testing.T) {
	cluster := aws.String(clusterName)
	group := "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/none/0123456789abcdef"
	groupOf := func(w *world) *string { return aws.String(string(w.r.Tasks(greeter)[0].Targets[0].Group)) }
	for _, row := range []struct {
		name string
		call func(context.Context, *world) error
		code string
	}{
		{"unknown cluster", func(ctx context.Context, w *world) error {
			_, err := w.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: aws.String("none")})
			return err
		}, "ClusterNotFoundException"},
		{"default cluster that is not there", func(ctx context.Context, w *world) error {
			_, err := w.ecs.ListServices(ctx, &ecs.ListServicesInput{})
			return err
		}, "ClusterNotFoundException"},
		{"101 tasks", func(ctx context.Context, w *world) error {
			_, err := w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: cluster, Tasks: many(101, "t%d")})
			return err
		}, "InvalidParameterException"},
		{"no tasks", func(ctx context.Context, w *world) error {
			_, err := w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: cluster, Tasks: []string{}})
			return err
		}, "InvalidParameterException"},
		{"11 services", func(ctx context.Context, w *world) error {
			_, err := w.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: cluster, Services: many(11, "s%d")})
			return err
		}, "InvalidParameterException"},
		{"page of 101", func(ctx context.Context, w *world) error {
			_, err := w.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: cluster, MaxResults: aws.Int32(101)})
			return err
		}, "InvalidParameterException"},
		{"a token of nobody's", func(ctx context.Context, w *world) error {
			_, err := w.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: cluster, NextToken: aws.String("x")})
			return err
		}, "InvalidParameterException"},
		{"startedBy and another filter", func(ctx context.Context, w *world) error {
			_, err := w.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: cluster, StartedBy: aws.String("x"), ServiceName: aws.String("greeter")})
			return err
		}, "InvalidParameterException"},
		{"tasks of an unknown service", func(ctx context.Context, w *world) error {
			_, err := w.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: cluster, ServiceName: aws.String("none")})
			return err
		}, "ServiceNotFoundException"},
		{"unknown definition", func(ctx context.Context, w *world) error {
			_, err := w.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("none:1")})
			return err
		}, "ClientException"},
		{"task sets of a rolling service", func(ctx context.Context, w *world) error {
			_, err := w.ecs.DescribeTaskSets(ctx, &ecs.DescribeTaskSetsInput{Cluster: cluster, Service: aws.String("greeter")})
			return err
		}, "InvalidParameterException"},
		{"stop of an unknown task", func(ctx context.Context, w *world) error {
			_, err := w.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: cluster, Task: aws.String("none")})
			return err
		}, "InvalidParameterException"},
		{"an operation that ECS has and the region has not", func(ctx context.Context, w *world) error {
			_, err := w.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: aws.String("prod")})
			return err
		}, "UnknownOperationException"},
		{"unknown group", func(ctx context.Context, w *world) error {
			_, err := w.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group})
			return err
		}, "TargetGroupNotFound"},
		{"unknown group among groups", func(ctx context.Context, w *world) error {
			_, err := w.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{*groupOf(w), group}})
			return err
		}, "TargetGroupNotFound"},
		{"tags of 21", func(ctx context.Context, w *world) error {
			_, err := w.elb.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: many(21, "arn:%d")})
			return err
		}, "ValidationError"},
		{"page of 401", func(ctx context.Context, w *world) error {
			_, err := w.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{PageSize: aws.Int32(401)})
			return err
		}, "ValidationError"},
		{"a target that is no address", func(ctx context.Context, w *world) error {
			_, err := w.elb.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: groupOf(w), Targets: []elbtypes.TargetDescription{{Id: aws.String("i-1")}}})
			return err
		}, "ValidationError"},
		{"unknown ELB operation", func(ctx context.Context, w *world) error {
			_, err := w.elb.DescribeRules(ctx, &elb.DescribeRulesInput{})
			return err
		}, "InvalidAction"},
		{"absent target deregistered", func(ctx context.Context, w *world) error {
			_, err := w.elb.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: groupOf(w), Targets: []elbtypes.TargetDescription{{Id: aws.String("10.0.99.99"), Port: aws.Int32(1)}}})
			return err
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
				w.add(sim.ReferenceWorkload(clusterName, "greeter"))
				err := row.call(t.Context(), w)
				if got := code(err); got != row.code || (err == nil) != (row.code == "") {
					t.Errorf("%q, want %q: %v", got, row.code, err)
				}
			})
		})
	}
}

func TestListsArePaged(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		for i := range 23 {
			w.add(sim.ServiceSpec{Cluster: clusterName, Name: fmt.Sprintf("s%02d", i), Desired: 11, Groups: []sim.GroupSpec{{}}, Settled: true})
		}
		first, err := w.ecs.ListServices(t.Context(), &ecs.ListServicesInput{Cluster: aws.String(clusterName)})
		w.must(err)
		if len(first.ServiceArns) != 10 {
			t.Errorf("a page of services without maxResults has %d, want 10", len(first.ServiceArns))
		}
		seen, pages := map[string]bool{}, 0
		p := ecs.NewListTasksPaginator(w.ecs, &ecs.ListTasksInput{Cluster: aws.String(clusterName)})
		for ; p.HasMorePages(); pages++ {
			out, err := p.NextPage(t.Context())
			w.must(err)
			for _, arn := range out.TaskArns {
				seen[arn] = true
			}
		}
		if len(seen) != 253 || pages != 3 {
			t.Errorf("%d tasks on %d pages, want 253 on 3", len(seen), pages)
		}
		groups, pages := 0, 0
		gp := elb.NewDescribeTargetGroupsPaginator(w.elb, &elb.DescribeTargetGroupsInput{PageSize: aws.Int32(10)})
		for ; gp.HasMorePages(); pages++ {
			out, err := gp.NextPage(t.Context())
			w.must(err)
			groups += len(out.TargetGroups)
		}
		if groups != 23 || pages != 3 {
			t.Errorf("%d groups on %d pages, want 23 on 3", groups, pages)
		}
	})
}

// What castoff maps: every member that it reads, as the SDK decodes it.
func TestDescribes(t *testing.T) {
	inBubble(t, sim.Options{Seed: 3}, 0, func(t *testing.T, w *world) {
		ctx, cluster := t.Context(), aws.String(clusterName)
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Grace, spec.Tags = 30*time.Second, map[string]string{"castoff:mode": "observe"}
		spec.Groups[0].Tags = map[string]string{"zone": "b"}
		task := w.add(spec)[0]

		services, err := w.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{
			Cluster: cluster, Services: []string{"greeter", "gone"}, Include: []ecstypes.ServiceField{ecstypes.ServiceFieldTags},
		})
		w.must(err)
		s := services.Services[0]
		if *s.HealthCheckGracePeriodSeconds != 30 || *s.DeploymentConfiguration.MaximumPercent != 200 || len(s.Tags) != 1 ||
			s.RunningCount != 2 || s.Deployments[0].RolloutState != "COMPLETED" || *s.LoadBalancers[0].ContainerPort != 10080 {
			t.Errorf("service %+v", s)
		}
		if f := services.Failures; len(f) != 1 || *f[0].Reason != "MISSING" {
			t.Errorf("failures %+v", f)
		}
		d, err := w.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: s.TaskDefinition})
		w.must(err)
		nginx := d.TaskDefinition.ContainerDefinitions[0]
		if c := nginx.HealthCheck; *c.Interval != 5 || *c.Timeout != 3 || *c.Retries != 2 || *c.StartPeriod != 10 || !*nginx.Essential {
			t.Errorf("check %+v", c)
		}
		got := w.task(task.ARN)
		var ip string
		for _, kv := range got.Attachments[0].Details {
			if *kv.Name == "privateIPv4Address" {
				ip = *kv.Value
			}
		}
		if ip != task.Targets[0].ID || *got.Containers[0].NetworkInterfaces[0].PrivateIpv4Address != ip ||
			*got.Group != "service:greeter" || *got.StartedBy != *s.Deployments[0].Id || !got.StartedAt.Before(time.Now()) {
			t.Errorf("task %+v", got)
		}
		group := string(task.Targets[0].Group)
		groups, err := w.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{group}})
		w.must(err)
		g := groups.TargetGroups[0]
		if g.TargetType != "ip" || g.Protocol != "TCP" || *g.HealthCheckIntervalSeconds != 30 || *g.HealthCheckPort != "traffic-port" ||
			len(g.LoadBalancerArns) != 1 || g.IpAddressType != "ipv4" {
			t.Errorf("group %+v", g)
		}
		attributes, err := w.elb.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: &group})
		w.must(err)
		tags, err := w.elb.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{group}})
		w.must(err)
		if len(attributes.Attributes) != 13 || *tags.TagDescriptions[0].Tags[0].Value != "b" {
			t.Errorf("attributes %v, tags %v", attributes.Attributes, tags.TagDescriptions)
		}
		row := w.row(task.Targets[0])
		if row.TargetHealth.State != "healthy" || row.TargetHealth.Reason != "" || *row.Target.AvailabilityZone != task.Zone ||
			*row.HealthCheckPort != "10080" || row.AdministrativeOverride.State != "no_override" {
			t.Errorf("row %+v", row)
		}
		asked, err := w.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group, Targets: []elbtypes.TargetDescription{
			{Id: aws.String("10.0.99.99"), Port: aws.Int32(10080)}, {Id: &task.Targets[0].ID, Port: aws.Int32(10080), AvailabilityZone: aws.String("all")},
		}})
		w.must(err)
		for _, d := range asked.TargetHealthDescriptions {
			if d.TargetHealth.State != "unused" || d.TargetHealth.Reason != "Target.NotRegistered" {
				t.Errorf("absent target %v", d.TargetHealth)
			}
		}
		clusters, err := w.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{clusterName, "gone"}, Include: []ecstypes.ClusterField{"TAGS"}})
		w.must(err)
		if len(clusters.Clusters) != 1 || *clusters.Clusters[0].Tags[0].Value != "a" || len(clusters.Failures) != 1 {
			t.Errorf("clusters %+v", clusters)
		}
		if tags, err := w.ecs.ListTagsForResource(ctx, &ecs.ListTagsForResourceInput{ResourceArn: s.ServiceArn}); err != nil || *tags.Tags[0].Key != "castoff:mode" {
			t.Errorf("tags %v %v", tags, err)
		}
		if b, err := w.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{}); err != nil || b.LoadBalancers[0].Type != "network" {
			t.Errorf("balancers %v %v", b, err)
		}
		role, err := sts.NewFromConfig(config(sim.Doer{Region: w.r}, "http://sim.invalid")).AssumeRole(ctx, &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::123456789012:role/watcher"), RoleSessionName: aws.String("castoff"),
		})
		w.must(err)
		if !strings.HasSuffix(*role.AssumedRoleUser.Arn, "assumed-role/watcher/castoff") || !role.Credentials.Expiration.After(time.Now()) {
			t.Errorf("role %+v", role)
		}
	})
}

func TestFaults(t *testing.T) {
	for _, row := range []struct {
		effect sim.Effect
		want   func(error) bool
	}{
		{sim.Deny, func(err error) bool { return code(err) == "AccessDenied" }},
		{sim.Throttle, func(err error) bool { return code(err) == "Throttling" }},
		{sim.ServerError, func(err error) bool { return code(err) == "InternalFailure" }},
		{sim.Unavailable, func(err error) bool { return code(err) == "ServiceUnavailable" }},
		{sim.NotFound, func(err error) bool { return code(err) == "TargetGroupNotFound" }},
		{sim.Stall, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{sim.LoseRequest, func(err error) bool { return err != nil && code(err) == "" }},
		{sim.LoseReply, func(err error) bool { return err != nil && code(err) == "" }},
		{sim.Garbage, func(err error) bool { return err != nil && code(err) == "" }},
		{sim.Truncate, func(err error) bool { return err != nil && code(err) == "" }},
	} {
		t.Run(string(row.effect), func(t *testing.T) {
			inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.Groups = append(spec.Groups, sim.GroupSpec{Name: "other"})
				targets := w.add(spec)[0].Targets
				lift := w.r.Fault(sim.Fault{Service: sim.ELBv2, Operation: "DescribeTargetHealth", Resource: "targetgroup/other/", Effect: row.effect})
				read := func(i int) error {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					_, err := w.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(string(targets[i].Group))})
					return err
				}
				if err := read(1); !row.want(err) {
					t.Errorf("got %v", err)
				}
				if err := read(0); err != nil {
					t.Errorf("the other group: %v", err)
				}
				lift()
				if err := read(1); err != nil {
					t.Errorf("lifted: %v", err)
				}
			})
		})
	}
}

// A reply that was lost has had its effect; a request that was lost has not.
// Either is retried by the SDK, once here because of Count.
func TestLostReplyIsApplied(t *testing.T) {
	for effect, began := range map[sim.Effect]time.Duration{sim.LoseReply: 0, sim.LoseRequest: time.Second} {
		t.Run(string(effect), func(t *testing.T) {
			inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
				task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
				w.must(w.r.Hang(task.ARN))
				w.r.Fault(sim.Fault{Effect: effect, Count: 1})
				from := time.Now()
				w.must(w.deregister(task.Targets[0]))
				if target := w.truth().Targets[0]; target.Detach.Sub(from) != began || target.By != sim.ByAPI {
					t.Errorf("detached after %v by %s, want %v", target.Detach.Sub(from), target.By, began)
				}
			})
		})
	}
}

func (w *world) deregister(key fleet.TargetKey) error {
	_, err := w.elb.DeregisterTargets(w.t.Context(), &elb.DeregisterTargetsInput{
		TargetGroupArn: aws.String(string(key.Group)),
		Targets:        []elbtypes.TargetDescription{{Id: aws.String(key.ID), Port: aws.Int32(int32(key.Port))}},
	})
	return err
}

// Published limits: 40 Describe* at once, then 10 a second; ECS has buckets of
// its own.
func TestThrottling(t *testing.T) {
	inBubble(t, sim.Options{Throttle: true}, 0, func(t *testing.T, w *world) {
		once := func(o *elb.Options) { o.RetryMaxAttempts = 1 }
		granted := func(n int) (ok int) {
			for range n {
				_, err := w.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{}, once)
				if err == nil {
					ok++
				} else if code(err) != "Throttling" {
					t.Fatal(err)
				}
			}
			return ok
		}
		if got := granted(60); got != 40 {
			t.Errorf("%d at once, want 40", got)
		}
		time.Sleep(time.Second)
		if got := granted(60); got != 10 {
			t.Errorf("%d a second later, want 10", got)
		}
		if _, err := w.ecs.ListClusters(t.Context(), &ecs.ListClustersInput{}); err != nil {
			t.Errorf("another bucket: %v", err)
		}
	})
}

func TestNotARequest(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		for _, body := range []string{"", "%", "Action=DescribeTags", "Action=DescribeTags&Version=2012-06-01"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sim.invalid/", strings.NewReader(body))
			w.must(err)
			rep, err := sim.Doer{Region: w.r}.Do(req)
			w.must(err)
			if rep.StatusCode != http.StatusBadRequest {
				t.Errorf("%q: %s", body, rep.Status)
			}
		}
	})
}

// SAFETY: no request, whatever is in it, ends the region.
func FuzzRequests(f *testing.F) {
	for _, op := range []string{
		"ListClusters", "DescribeClusters", "ListServices", "DescribeServices", "ListTasks", "DescribeTasks", "DescribeTaskDefinition",
		"DescribeContainerInstances", "DescribeTaskSets", "ListTagsForResource", "StopTask", "ListContainerInstances",
		"DescribeServiceRevisions",
	} {
		f.Add(op, `{"cluster":"prod","tasks":["a"],"services":["greeter"],"service":"greeter","maxResults":1,"nextToken":"YWZ0ZXItMQ=="}`)
		f.Add(op, `{"cluster":null,"tasks":[null,""],"maxResults":-1,"nextToken":"%"}`)
	}
	for _, op := range []string{"DescribeTargetHealth", "RegisterTargets", "DescribeTargetGroups", "DescribeTags", "AssumeRole"} {
		f.Add("", "Version=2015-12-01&Action="+op+"&PageSize=1&Marker=9&Targets.member.1.Id=::1&Targets.member.1.Port=-1&Names.member.1=x")
	}
	r := sim.New(sim.Options{})
	if err := r.AddCluster(clusterName, sim.ClusterOptions{Instances: 1}); err != nil {
		f.Fatal(err)
	}
	if err := r.AddService(sim.ReferenceWorkload(clusterName, "greeter")); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, op, body string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sim.invalid/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if op != "" {
			req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+op)
		}
		rep, err := sim.Doer{Region: r}.Do(req)
		if err != nil || rep.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%v %v", rep, err)
		}
	})
}
