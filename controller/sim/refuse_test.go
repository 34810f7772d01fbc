package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// raw sends a request that no SDK would.
func (w *world) raw(operation, body string) (status int, code, message string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://sim.invalid/", strings.NewReader(body))
	w.must(err)
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+operation)
	rep, err := sim.Doer{Region: w.r}.Do(req)
	w.must(err)
	b, err := io.ReadAll(rep.Body)
	w.must(err)
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	w.must(json.Unmarshal(b, &e))
	return rep.StatusCode, e.Type, e.Message
}

func TestRequestsThatNoSDKWouldSend(t *testing.T) {
	for _, row := range []struct {
		operation, body string
		code, message   string
	}{
		{"CreateUniverse", `{}`, "UnknownOperationException", ""},
		{"ListTasks", ``, "SerializationException", ""},
		{"ListTasks", `[]`, "SerializationException", ""},
		{"ListTasks", `{"cluster":7}`, "SerializationException", ""},
		{"ListTasks", `{"cluster":"prod","serviceArn":"x"}`, "SerializationException", `unknown member "serviceArn"`},
		{"ListTasks", `{"Cluster":"prod"}`, "SerializationException", `unknown member "Cluster"`},
		{"DescribeTasks", `{"cluster":"prod","tasks":["a"],"maxResults":1}`, "SerializationException", `unknown member "maxResults"`},
		{"ListTasks", `{"cluster":"prod","daemonName":"d","launchType":"EC2"}`, "", ""},
		{"ListTasks", `{"cluster":"prod","serviceName":null}`, "", ""},
		{"ListTasks", `{"cluster":"prod","launchType":"MOON"}`, "InvalidParameterException", "Invalid launchType: MOON."},
		{"ListTasks", `{"cluster":"prod","desiredStatus":"running"}`, "InvalidParameterException", "Invalid desiredStatus: running."},
		{"ListTasks", `{"cluster":"prod","maxResults":0}`, "InvalidParameterException", "maxResults must be between 1 and 100."},
		{"ListClusters", `{"maxResults":101}`, "InvalidParameterException", "maxResults must be between 1 and 100."},
		{"ListServices", `{"cluster":"prod","schedulingStrategy":"SOME"}`, "InvalidParameterException", "Invalid schedulingStrategy: SOME."},
		{"DescribeServices", `{"cluster":"prod","services":["greeter"],"include":["EVENTS"]}`, "InvalidParameterException", "Invalid include value: EVENTS."},
		{"DescribeServices", `{"cluster":"prod","services":[]}`, "InvalidParameterException", "Services cannot be empty."},
		{
			"DescribeTasks", `{"cluster":"prod","tasks":["arn:aws:ecs:eu-central-1:123456789012:task/edge/0123"]}`,
			"InvalidParameterException", "Invalid identifier: Identifier is for cluster edge. Your cluster is prod",
		},
		{
			"DescribeServices", `{"cluster":"prod","services":["arn:aws:ecs:eu-central-1:123456789012:service/edge/greeter"]}`,
			"InvalidParameterException", "Invalid identifier: Identifier is for cluster edge. Your cluster is prod",
		},
		{"DescribeTaskDefinition", `{}`, "ClientException", "TaskDefinition can not be blank."},
		{"DescribeTaskSets", `{"cluster":"prod"}`, "InvalidParameterException", "Service can not be blank."},
		{"DescribeServiceRevisions", `{"serviceRevisionArns":["x"]}`, "InvalidParameterException", "Invalid identifier: x"},
		{"DescribeServiceRevisions", `{}`, "InvalidParameterException", "Service revision ARNs cannot be empty."},
		{"DescribeContainerInstances", `{"cluster":"prod","containerInstances":[]}`, "InvalidParameterException", "Container instances cannot be empty."},
		{"ListContainerInstances", `{"cluster":"prod","filter":"attribute:x == y"}`, "InvalidParameterException", ""},
		{"StopTask", `{"cluster":"prod"}`, "InvalidParameterException", "Task can not be blank."},
		{"StopTask", `{"cluster":"prod","task":"none","signal":9}`, "SerializationException", `unknown member "signal"`},
	} {
		t.Run(row.operation+" "+row.body, func(t *testing.T) {
			inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
				w.add(sim.ReferenceWorkload(clusterName, "greeter"))
				status, code, message := w.raw(row.operation, row.body)
				if code != row.code || (code == "") != (status == http.StatusOK) || code != "" && status != http.StatusBadRequest ||
					row.message != "" && message != row.message {
					t.Errorf("%d %s: %s", status, code, message)
				}
			})
		})
	}
}

// Whether AWS minds members that it does not know is open.
func TestUnknownMembersIgnored(t *testing.T) {
	params := sim.DefaultParams()
	params.IgnoreUnknownMembers = true
	inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
		if status, _, _ := w.raw("ListTasks", `{"cluster":"prod","surprise":[1]}`); status != http.StatusOK {
			t.Error(status)
		}
	})
}

func TestListContainerInstances(t *testing.T) {
	inBubble(t, sim.Options{}, 7, func(t *testing.T, w *world) {
		seen := map[string]bool{}
		p := ecs.NewListContainerInstancesPaginator(w.ecs, &ecs.ListContainerInstancesInput{Cluster: aws.String(clusterName), MaxResults: aws.Int32(3)})
		pages := 0
		for ; p.HasMorePages(); pages++ {
			out, err := p.NextPage(t.Context())
			w.must(err)
			for _, arn := range out.ContainerInstanceArns {
				seen[arn] = true
			}
		}
		if len(seen) != 7 || pages != 3 {
			t.Errorf("%d instances on %d pages", len(seen), pages)
		}
		out, err := w.ecs.ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{Cluster: aws.String(clusterName), Status: "DRAINING"})
		w.must(err)
		if len(out.ContainerInstanceArns) != 0 {
			t.Errorf("draining: %v", out.ContainerInstanceArns)
		}
	})
}

// A service that goes away between two pages takes no other one with it.
func TestPagesSurviveADeletion(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		for _, name := range []string{"a", "greeter", "b", "c", "d"} {
			w.must(w.r.AddService(sim.ServiceSpec{Cluster: clusterName, Name: name}))
		}
		w.must(w.r.RemoveService(fleet.ServiceID{Cluster: clusterName, Name: "a"}))
		var names []string
		p := ecs.NewListServicesPaginator(w.ecs, &ecs.ListServicesInput{Cluster: aws.String(clusterName), MaxResults: aws.Int32(2)})
		for p.HasMorePages() {
			out, err := p.NextPage(t.Context())
			w.must(err)
			for _, arn := range out.ServiceArns {
				names = append(names, arn[strings.LastIndex(arn, "/")+1:])
			}
			if len(names) == 2 {
				w.must(w.r.RemoveService(greeter))
			}
		}
		if got := strings.Join(names, " "); got != "greeter b c d" {
			t.Error(got)
		}
	})
}

// Published limits of ECS: a burst, then so many a second, by bucket.
func TestThrottlingOfECS(t *testing.T) {
	for _, row := range []struct {
		burst, rate int
		call        func(context.Context, *world, func(*ecs.Options)) error
		neighbour   func(context.Context, *world, func(*ecs.Options)) error
	}{
		{100, 20, func(ctx context.Context, w *world, once func(*ecs.Options)) error {
			_, err := w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: aws.String(clusterName), Tasks: []string{"a"}}, once)
			return err
		}, func(ctx context.Context, w *world, once func(*ecs.Options)) error {
			_, err := w.ecs.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: aws.String(clusterName)}, once)
			return err
		}},
		{50, 20, func(ctx context.Context, w *world, once func(*ecs.Options)) error {
			_, err := w.ecs.DescribeServiceRevisions(ctx, &ecs.DescribeServiceRevisionsInput{
				ServiceRevisionArns: []string{"arn:aws:ecs:eu-central-1:123456789012:service-revision/prod/greeter/1"},
			}, once)
			return err
		}, nil},
		{50, 20, func(ctx context.Context, w *world, once func(*ecs.Options)) error {
			_, err := w.ecs.ListClusters(ctx, &ecs.ListClustersInput{}, once)
			return err
		}, nil},
	} {
		inBubble(t, sim.Options{Throttle: true}, 0, func(t *testing.T, w *world) {
			once := func(o *ecs.Options) { o.RetryMaxAttempts = 1 }
			granted := func() (ok int) {
				for range row.burst + 30 {
					err := row.call(t.Context(), w, once)
					if err == nil {
						ok++
					} else if code(err) != "ThrottlingException" {
						t.Fatal(err)
					}
				}
				return ok
			}
			if got := granted(); got != row.burst {
				t.Errorf("%d at once, want %d", got, row.burst)
			}
			if row.neighbour != nil && code(row.neighbour(t.Context(), w, once)) != "ThrottlingException" {
				t.Error("another operation of the bucket was not throttled")
			}
			time.Sleep(time.Second)
			if got := granted(); got != row.rate {
				t.Errorf("%d a second later, want %d", got, row.rate)
			}
		})
	}
}

// Delays: before the request is carried out, or before the reply goes out.
func TestDelays(t *testing.T) {
	for effect, began := range map[sim.Effect]time.Duration{sim.Delay: 3 * time.Second, sim.DelayReply: 0} {
		t.Run(string(effect), func(t *testing.T) {
			inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
				task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
				w.must(w.r.Hang(task.ARN))
				lift := w.r.Fault(sim.Fault{Effect: effect, Delay: sim.Exactly(3 * time.Second)})
				from := time.Now()
				w.must(w.deregister(task.Targets[0]))
				if took, at := time.Since(from), w.truth().Targets[0].Detach.Sub(from); took != 3*time.Second || at != began {
					t.Errorf("took %v, applied after %v", took, at)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := w.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: aws.String(clusterName), Task: aws.String(string(task.ARN))})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the client waited: %v", err)
				}
				lift()
				if stopped := *w.task(task.ARN).DesiredStatus == "STOPPED"; stopped != (effect == sim.DelayReply) {
					t.Errorf("carried out: %v", stopped)
				}
			})
		})
	}
}

// A fault plan: one that begins later, ends by itself, and hits only so often.
func TestFaultPlan(t *testing.T) {
	inBubble(t, sim.Options{Seed: 1}, 0, func(t *testing.T, w *world) {
		w.r.Fault(sim.Fault{Operation: "ListClusters", Effect: sim.Deny, After: 10 * time.Second, For: 20 * time.Second, Chance: 0.5})
		denied := func() (n int) {
			for range 200 {
				if _, err := w.ecs.ListClusters(t.Context(), &ecs.ListClustersInput{}); code(err) == "AccessDeniedException" {
					n++
				} else if err != nil {
					t.Fatal(err)
				}
			}
			return n
		}
		if n := denied(); n != 0 {
			t.Errorf("%d denied before it begins", n)
		}
		time.Sleep(10 * time.Second)
		n := denied()
		if n < 70 || n > 130 {
			t.Errorf("%d of 200 denied, want about half", n)
		}
		if got := w.r.Injected(); got[sim.Deny] != n || len(got) != 1 {
			t.Errorf("told of %v", got)
		}
		time.Sleep(20 * time.Second)
		if n := denied(); n != 0 {
			t.Errorf("%d denied after it ended", n)
		}
	})
}
