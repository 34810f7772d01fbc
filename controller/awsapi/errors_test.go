package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestClassify(t *testing.T) {
	reply := func(status int, body string) *fakeReply { return &fakeReply{status: status, body: body} }
	for _, c := range []struct {
		name  string
		reply *fakeReply
		want  fleet.Class
	}{
		{"throttled", ecsError("ThrottlingException"), fleet.Throttled},
		{"throttled, the other name", ecsError("Throttling"), fleet.Throttled},
		{"429", reply(429, `{}`), fleet.Throttled},
		{"denied", ecsError("AccessDeniedException"), fleet.Denied},
		{"unknown key", ecsError("UnrecognizedClientException"), fleet.Denied},
		{"expired", ecsError("ExpiredTokenException"), fleet.Denied},
		{"403 of a proxy", reply(403, `<html>no</html>`), fleet.Denied},
		{"no such cluster", ecsError("ClusterNotFoundException"), fleet.NotFound},
		{"server fault", reply(500, `{"__type":"ServerException","message":"m"}`), fleet.Transient},
		{"503 of a proxy", reply(503, `<html>busy</html>`), fleet.Transient},
		{"bad parameter", ecsError("InvalidParameterException"), fleet.Invalid},
		{"client exception", ecsError("ClientException"), fleet.Invalid},
		{"200 of a portal", reply(200, `<html>log in</html>`), fleet.Invalid},
		{"cut off", reply(200, `{"clusterArns": ["arn:aws:ecs:`), fleet.Invalid},
		{"connection refused", &fakeReply{err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, fleet.Transient},
		{"reset", &fakeReply{err: syscall.ECONNRESET}, fleet.Transient},
		{"unexpected end", &fakeReply{err: io.ErrUnexpectedEOF}, fleet.Transient},
		{"deadline", &fakeReply{err: context.DeadlineExceeded}, fleet.Transient},
		{"cancelled", &fakeReply{err: context.Canceled}, fleet.Transient},
		{"no such host", &fakeReply{err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, fleet.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(1, 1, 1)
			f.fault = func(fakeCall) *fakeReply { return c.reply }
			rec := newRecorder()
			s := observer(t, Options{Config: f.config(), Recorder: rec}).Observe(t.Context(), nil)
			if len(s.Gaps) != 1 || s.Gaps[0].Kind != fleet.GapClusters || s.Gaps[0].Class != c.want {
				t.Errorf("gaps %+v, want one of class %s", s.Gaps, c.want)
			}
			if d := s.Gaps[0].Detail; strings.ContainsAny(d, "\n\r") || !strings.HasPrefix(d, "ListClusters in eu-central-1: ") {
				t.Errorf("detail %q", d)
			}
			attempts := 1
			if c.name == "reset" {
				attempts = 2 // a closed connection is tried once more
			}
			if rec.requests["ecs ListClusters "+string(c.want)] != attempts {
				t.Errorf("counted %v", rec.requests)
			}
		})
	}
	t.Run("nil", func(t *testing.T) {
		if got := Classify(nil); got != "" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("wrapped", func(t *testing.T) {
		err := errors.Join(nil, fmt.Errorf("check: %w", gapf(fleet.NotFound, "gone")))
		if got := Classify(err); got != fleet.NotFound {
			t.Errorf("got %q", got)
		}
	})
}

func TestClassifyELB(t *testing.T) {
	for _, c := range []struct {
		reply *fakeReply
		want  fleet.Class
	}{
		{elbError(400, "Throttling"), fleet.Throttled},
		{elbError(400, "ThrottlingException"), fleet.Throttled},
		{elbError(403, "AccessDenied"), fleet.Denied},
		{elbError(403, "SignatureDoesNotMatch"), fleet.Denied},
		{elbError(400, "TargetGroupNotFound"), fleet.NotFound},
		{elbError(400, "ValidationError"), fleet.Invalid},
		{elbError(500, "InternalFailure"), fleet.Transient},
		{elbError(503, "HealthUnavailable"), fleet.Transient},
		{&fakeReply{status: 200, body: "<Descr"}, fleet.Invalid},
		{&fakeReply{status: 200, body: `{"json": true}`}, fleet.Invalid},
		{&fakeReply{status: 502, body: "Bad Gateway"}, fleet.Transient},
	} {
		f := newFake(1, 1, 1)
		f.fault = func(call fakeCall) *fakeReply {
			if call.op == "DescribeTargetHealth" {
				return c.reply
			}
			return nil
		}
		s := observer(t, Options{Config: f.config()}).Observe(t.Context(), nil)
		if len(s.Gaps) != 1 || s.Gaps[0].Kind != fleet.GapTargetHealth || s.Gaps[0].Class != c.want {
			t.Errorf("%.100s: gaps %+v, want class %s", c.reply.body, s.Gaps, c.want)
		}
	}
}

// One thing that cannot be read leaves one Gap, and everything else is read.
func TestOneFailureHidesNothingElse(t *testing.T) {
	t.Parallel()
	denied := func(match func(fakeCall) bool) func(fakeCall) *fakeReply {
		return func(c fakeCall) *fakeReply {
			if match(c) {
				if bucketOf[c.op] == BalancerReadBucket {
					return elbError(403, "AccessDenied")
				}
				return ecsError("AccessDeniedException")
			}
			return nil
		}
	}
	names := func(c fakeCall, part string) bool {
		return slices.ContainsFunc(c.refs, func(r string) bool { return strings.Contains(r, part) })
	}
	for _, c := range []struct {
		name  string
		match func(fakeCall) bool
		want  []string
	}{
		{"health of a group", func(c fakeCall) bool { return c.op == "DescribeTargetHealth" && names(c, "c00-s0001") }, []string{"target_health denied c00-s0001"}},
		{"attributes of a group", func(c fakeCall) bool { return c.op == "DescribeTargetGroupAttributes" && names(c, "c00-s0001") }, []string{"target_group_attributes denied c00-s0001"}},
		{"tags of a group", func(c fakeCall) bool { return c.op == "DescribeTags" && names(c, "c00-s0001") }, []string{"tags denied c00-s0001"}},
		{"a service", func(c fakeCall) bool { return c.op == "DescribeServices" && names(c, "c00/s0001") }, []string{"service denied c00/s0001"}},
		{"the services of a cluster", func(c fakeCall) bool { return c.op == "ListServices" && c.cluster == "c01" }, []string{"services denied c01"}},
		{"the tasks of a cluster", func(c fakeCall) bool { return c.op == "DescribeTasks" && c.cluster == "c01" }, []string{"tasks denied c01"}},
		{"the lists of a cluster", func(c fakeCall) bool { return c.op == "ListTasks" && c.cluster == "c01" }, []string{"task_list denied c01"}},
		{"a cluster", func(c fakeCall) bool { return c.op == "DescribeClusters" && names(c, "c01") }, []string{"cluster denied c01"}},
		{"a definition", func(c fakeCall) bool { return c.op == "DescribeTaskDefinition" && names(c, "s0002") }, []string{"task_definition denied s0002:1"}},
		{"all groups", func(c fakeCall) bool { return c.op == "DescribeTargetGroups" }, []string{"target_groups denied eu-central-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(2, 3, 2)
				f.fault = denied(c.match)
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				start := time.Now()
				for i := range 80 {
					s := o.Observe(t.Context(), nil)
					// Once tried alone, what is refused drags nothing else along.
					if i > 4 && len(s.Gaps) != len(c.want) {
						t.Errorf("pass %d: gaps %v", i, gapsOf(s))
					}
					time.Sleep(5 * time.Second)
				}
				s := o.Observe(t.Context(), nil)
				var got []string
				for _, g := range s.Gaps {
					ref := g.Ref
					if strings.Contains(ref, ":targetgroup/") {
						ref = fleet.TargetGroupARN(ref).Name()
					} else if strings.HasPrefix(ref, "arn:") {
						ref = lastSegment(ref)
					}
					got = append(got, fmt.Sprintf("%s %s %s", g.Kind, g.Class, ref))
					if !g.Since.Equal(start) {
						t.Errorf("gap since %s, want %s", g.Since, start)
					}
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("gaps %q, want %q", got, c.want)
				}
				f.fault = nil // allowed at last
				for range 140 {
					time.Sleep(5 * time.Second)
					s = o.Observe(t.Context(), nil)
				}
				if len(s.Gaps) != 0 || len(s.Tasks) != 12 || len(s.Services) != 6 || len(s.TargetGroups) != 6 || len(s.Clusters) != 2 {
					t.Errorf("afterwards: gaps %v", gapsOf(s))
				}
			})
		})
	}
}

// What is refused is asked for again, at leisure: the budget is for the rest.
func TestRefusalsAreNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 5, 1)
		f.fault = func(c fakeCall) *fakeReply {
			if (c.op == "DescribeTargetHealth" || c.op == "DescribeTags") && slices.Contains(c.refs, groupARN("c00-s0002")) {
				return elbError(403, "AccessDenied")
			}
			return nil
		}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		refused := make(map[string]int)
		for range 300 { // 10 minutes
			o.Observe(t.Context(), []fleet.ServiceID{{Cluster: "c00", Name: "s0002"}})
			time.Sleep(2 * time.Second)
		}
		for _, c := range f.taken() {
			if slices.Contains(c.refs, groupARN("c00-s0002")) {
				refused[c.op]++
			}
		}
		if n := refused["DescribeTargetHealth"]; n < 20 || n > 21 {
			t.Errorf("rows: asked %d times in 10 minutes", n)
		}
		if n := refused["DescribeTags"]; n < 4 || n > 7 {
			t.Errorf("tags: asked %d times in 10 minutes", n)
		}
	})
}

// SAFETY: whatever call fails, and however, nothing that was read disappears.
func TestFailuresEmptyNothing(t *testing.T) {
	t.Parallel()
	operations := make([]string, 0, len(bucketOf))
	for op, bucket := range bucketOf {
		if bucket != RegistrationBucket { // no pass makes any
			operations = append(operations, op)
		}
	}
	slices.Sort(operations)
	for _, op := range operations {
		for name, reply := range map[string]func(bool) *fakeReply{
			"denied": func(elb bool) *fakeReply {
				if elb {
					return elbError(403, "AccessDenied")
				}
				return ecsError("AccessDeniedException")
			},
			"throttled": func(elb bool) *fakeReply {
				if elb {
					return elbError(400, "Throttling")
				}
				return ecsError("ThrottlingException")
			},
			"cut":   func(bool) *fakeReply { return &fakeReply{err: syscall.ECONNRESET} },
			"empty": func(bool) *fakeReply { return &fakeReply{status: 200, body: ""} },
			"empty document": func(elb bool) *fakeReply {
				if elb {
					return &fakeReply{status: 200, body: "<a></a>"}
				}
				return &fakeReply{status: 200, body: "{}"}
			},
			"no list": func(elb bool) *fakeReply {
				if elb {
					return &fakeReply{status: 200, body: fmt.Sprintf("<%[1]sResponse><%[1]sResult></%[1]sResult></%[1]sResponse>", op)}
				}
				return &fakeReply{status: 200, body: `{"failures":[]}`}
			},
		} {
			t.Run(op+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(2, 2, 2)
					o := observer(t, Options{Config: f.config(), Budgets: unlimited})
					a := o.Observe(t.Context(), nil)
					f.fault = func(c fakeCall) *fakeReply {
						if c.op == op {
							return reply(bucketOf[op] == BalancerReadBucket)
						}
						return nil
					}
					var b *fleet.Snapshot
					for range 30 { // five minutes
						time.Sleep(10 * time.Second)
						b = o.Observe(t.Context(), []fleet.ServiceID{{Cluster: "c00", Name: "s0000"}})
					}
					if len(a.Tasks) != len(b.Tasks) || len(a.Services) != len(b.Services) || len(a.Clusters) != len(b.Clusters) || len(a.TargetGroups) != len(b.TargetGroups) {
						t.Errorf("was %d tasks, %d services, %d clusters, %d groups; is %d, %d, %d, %d",
							len(a.Tasks), len(a.Services), len(a.Clusters), len(a.TargetGroups), len(b.Tasks), len(b.Services), len(b.Clusters), len(b.TargetGroups))
					}
					for _, g := range b.TargetGroups {
						if len(g.Targets) != 2 {
							t.Errorf("%s has %d rows", g.Name, len(g.Targets))
						}
						if g.Tags["castoff:managed"] != "yes" {
							t.Errorf("%s has tags %v", g.Name, g.Tags)
						}
					}
					if n := tally(f.taken())[op]; n > 6 && len(b.Gaps) == 0 { // asked for in vain, and nobody is told
						t.Errorf("no gap after %d calls", n)
					}
				})
			})
		}
	}
}

// An outage ends nothing: all Gaps, the old values, and back again.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 2)
		o := observer(t, Options{Config: f.config()})
		a := o.Observe(t.Context(), nil)
		f.fault = func(fakeCall) *fakeReply { return &fakeReply{err: syscall.ECONNREFUSED} }
		var b *fleet.Snapshot
		for range 30 {
			time.Sleep(5 * time.Second)
			b = o.Observe(t.Context(), nil)
		}
		if !slices.Equal(a.Tasks, b.Tasks) || len(b.Gaps) == 0 {
			t.Errorf("in the outage: gaps %v", gapsOf(b))
		}
		for _, g := range b.Gaps {
			if g.Class != fleet.Transient {
				t.Errorf("gap %+v", g)
			}
		}
		f.fault = nil
		for range 4 {
			time.Sleep(5 * time.Second)
			b = o.Observe(t.Context(), nil)
		}
		if len(b.Gaps) != 0 {
			t.Errorf("20 s after the outage: gaps %v", gapsOf(b))
		}
	})
}

// A call that hangs takes half of what is left to the pass, not all of it.
func TestHangingCallLeavesTimeToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2, 1, 1)
		cfg := f.config()
		cfg.HTTPClient = hanging{f, "c00"}
		o := observer(t, Options{Config: cfg, Budgets: unlimited})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s := o.Observe(ctx, nil)
		if len(s.Tasks) != 1 || s.Tasks[0].Cluster.Name() != "c01" || len(s.TargetGroups) != 2 {
			t.Errorf("%d tasks, %d groups, gaps %v", len(s.Tasks), len(s.TargetGroups), gapsOf(s))
		}
		if !slices.Equal(gapsOf(s), []string{"tasks transient c00"}) {
			t.Errorf("gaps %v", gapsOf(s))
		}
	})
}

// The SDK's retries are for who waits for an answer: they are counted one by
// one, and pay for their tokens.
func TestRetriesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		rec := newRecorder()
		o := observer(t, Options{Config: f.retrying(3), Recorder: rec, Budgets: Budgets{ClusterResourceRead: 0.01}})
		a := o.Observe(t.Context(), nil)
		o.buckets[ClusterResourceReadBucket].limiter.SetBurst(2)
		time.Sleep(200 * time.Second) // full
		n := 0
		f.fault = func(c fakeCall) *fakeReply {
			if c.op == "DescribeTasks" {
				if n++; n < 3 {
					return ecsError("ThrottlingException")
				}
			}
			return nil
		}
		begun := time.Now()
		s := o.Refresh(t.Context(), []fleet.TaskARN{a.Tasks[0].ARN}, nil)
		if rec.requests["ecs DescribeTasks throttled"] != 2 || rec.requests["ecs DescribeTasks ok"] != 2 {
			t.Errorf("counted %v", rec.requests)
		}
		// The third attempt had to wait for its token: one in 100 s.
		if took := time.Since(begun); took < 90*time.Second || rec.waits[ClusterResourceReadBucket] < 90*time.Second {
			t.Errorf("took %s, waited %s", took, rec.waits[ClusterResourceReadBucket])
		}
		// The instants of a reading are those of the attempt that was answered:
		// the ones before it say nothing.
		if got := s.Tasks[0].Read; got.Sent.Sub(begun) < 90*time.Second || len(s.Gaps) != 0 {
			t.Errorf("read %v, gaps %v", got, gapsOf(s))
		}
	})
}

// SAFETY: a pass never stalls. One service throttles all, and the other is read
// as often as ever, whatever retries the SDK is set to.
func TestThrottledServiceDoesNotHoldUpTheOther(t *testing.T) {
	for _, throttled := range []string{"elbv2", "ecs"} {
		t.Run(throttled, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 20, 5)
				o := observer(t, Options{Config: f.retrying(5), HotInterval: 2 * time.Second})
				for range 10 {
					pass(t, o, 5*time.Second)
				}
				f.fault = func(c fakeCall) *fakeReply {
					switch {
					case throttled == "elbv2" && bucketOf[c.op] == BalancerReadBucket:
						return elbError(400, "Throttling")
					case throttled == "ecs" && bucketOf[c.op] != BalancerReadBucket:
						return ecsError("ThrottlingException")
					}
					return nil
				}
				f.taken()
				for range 60 {
					time.Sleep(5 * time.Second)
					begun := time.Now()
					s := o.Observe(t.Context(), []fleet.ServiceID{{Cluster: "c00", Name: "s0003"}})
					if took := time.Since(begun); took > 0 {
						t.Fatalf("a pass took %s", took)
					}
					for _, task := range s.Tasks {
						if throttled == "elbv2" && task.Read.Age(s.At) > 0 {
							t.Fatalf("a task is %s old", task.Read.Age(s.At))
						}
					}
					for _, g := range s.TargetGroups {
						if throttled == "ecs" && g.Read.Age(s.At) > 30*time.Second {
							t.Fatalf("a group is %s old", g.Read.Age(s.At))
						}
					}
				}
			})
		})
	}
}

// A connection that the server closed is worth one more try in the same pass,
// and only one, and only if there is a token.
func TestClosedConnectionIsTriedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		closed := 1
		f.fault = func(c fakeCall) *fakeReply {
			if closed > 0 && c.op == "DescribeTasks" {
				closed--
				return &fakeReply{err: syscall.ECONNRESET}
			}
			return nil
		}
		if s := pass(t, o, 0); len(s.Gaps) != 0 || len(s.Tasks) != 1 {
			t.Errorf("closed once: gaps %v", gapsOf(s))
		}
		closed = 2
		f.taken()
		if s := pass(t, o, 5*time.Second); !slices.Equal(gapsOf(s), []string{"tasks transient c00"}) || tally(f.taken())["DescribeTasks"] != 2 {
			t.Errorf("closed twice: gaps %v", gapsOf(s))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.fault = func(c fakeCall) *fakeReply {
			if c.op == "ListClusters" {
				return &fakeReply{err: syscall.ECONNRESET}
			}
			return nil
		}
		o := observer(t, Options{Config: f.config(), Budgets: Budgets{ClusterRead: 0.01}})
		o.buckets[ClusterReadBucket].limiter.SetBurst(1)
		begun := time.Now()
		s := pass(t, o, 0)
		if !slices.Equal(gapsOf(s), []string{"clusters transient eu-central-1"}) || time.Since(begun) != 0 || len(f.taken()) != 1 {
			t.Errorf("without a token: gaps %v after %s", gapsOf(s), time.Since(begun))
		}
	})
}

func TestPreflight(t *testing.T) {
	for _, c := range []struct {
		name     string
		clusters []string
		change   func(*fake, *aws.Config)
		class    fleet.Class
		says     []string
	}{
		{name: "all is well", class: ""},
		{name: "a configured cluster", clusters: []string{"c00"}, class: ""},
		{
			name: "no such cluster", clusters: []string{"c00", "prod", "staging"}, class: fleet.NotFound,
			says: []string{"no ECS cluster prod, staging in eu-central-1"},
		},
		{
			name: "no credentials", class: fleet.Denied,
			change: func(_ *fake, cfg *aws.Config) {
				cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{}, errors.New("no role found")
				})
			},
			says: []string{"no AWS credentials: no role found", "task role", "eu-central-1"},
		},
		{
			name: "two actions denied", class: fleet.Denied,
			change: func(f *fake, _ *aws.Config) {
				f.fault = func(c fakeCall) *fakeReply {
					switch c.op {
					case "ListTasks":
						return ecsError("AccessDeniedException")
					case "DescribeTargetGroups":
						return elbError(403, "AccessDenied")
					}
					return nil
				}
			},
			says: []string{"allow ecs:ListTasks in the IAM policy", "allow elasticloadbalancing:DescribeTargetGroups"},
		},
		{
			name: "unreachable", class: fleet.Transient,
			change: func(f *fake, _ *aws.Config) {
				f.fault = func(fakeCall) *fakeReply {
					return &fakeReply{err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}
				}
			},
			says: []string{"ecs:ListClusters in eu-central-1", "connection refused", "AWS_ENDPOINT_URL"},
		},
		{
			name: "not AWS at all", class: fleet.Invalid,
			change: func(f *fake, _ *aws.Config) {
				f.fault = func(fakeCall) *fakeReply { return &fakeReply{status: 200, body: "<html>log in</html>"} }
			},
			says: []string{"ecs:ListClusters", "AWS_ENDPOINT_URL"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(1, 1, 1)
			cfg := f.config()
			if c.change != nil {
				c.change(f, &cfg)
			}
			err := observer(t, Options{Config: cfg, Clusters: c.clusters}).Preflight(t.Context())
			if Classify(err) != c.class {
				t.Errorf("class %q of %v, want %q", Classify(err), err, c.class)
			}
			for _, s := range c.says {
				if err == nil || !strings.Contains(err.Error(), s) {
					t.Errorf("%v does not say %q", err, s)
				}
			}
			if err != nil && strings.Contains(err.Error(), "operation error") {
				t.Errorf("the SDK's nesting shows: %v", err)
			}
		})
	}
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := New(Options{
		Clusters: []string{"a", ""}, Interval: -1, Budgets: Budgets{BalancerRead: -2, Registration: -1},
	})
	for _, s := range []string{"no region", "clusters[1] is empty", "interval must be above 0 (got -1ns)", "balancer read must be above 0 calls a second (got -2)", "registration must be above 0 calls a second (got -1)"} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not say %q", err, s)
		}
	}
}

// A group without targets is no failure, however its reply writes "none"; a
// reply without the list, or with a target that has no name, is no reading.
func TestEmptyGroup(t *testing.T) {
	for list, empty := range map[string]bool{
		"<TargetHealthDescriptions/>": true, "<TargetHealthDescriptions></TargetHealthDescriptions>": true,
		"": false, "<TargetDescriptions/>": false,
		"<TargetHealthDescriptions><member/></TargetHealthDescriptions>":                                                            false,
		"<TargetHealthDescriptions><member><Target><Port>1</Port></Target></member></TargetHealthDescriptions>":                     false,
		"<TargetHealthDescriptions><member><TargetHealth><State>healthy</State></TargetHealth></member></TargetHealthDescriptions>": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1, 1)
			o := observer(t, Options{Config: f.config(), Budgets: unlimited})
			was := o.Observe(t.Context(), nil).TargetGroups[0]
			f.fault = func(c fakeCall) *fakeReply {
				if c.op != "DescribeTargetHealth" {
					return nil
				}
				return &fakeReply{status: 200, body: `<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">` +
					`<DescribeTargetHealthResult>` + list + `</DescribeTargetHealthResult></DescribeTargetHealthResponse>`}
			}
			s := pass(t, o, 30*time.Second)
			g := s.TargetGroups[0]
			if empty && (len(s.Gaps) != 0 || len(g.Targets) != 0 || g.Read == was.Read) {
				t.Errorf("%q: gaps %v, group %+v", list, gapsOf(s), g)
			}
			if !empty && (!slices.Equal(gapsOf(s), []string{"target_health invalid 0123456789abcdef"}) || g != was) {
				t.Errorf("%q: gaps %v, group %+v", list, gapsOf(s), g)
			}
		})
	}
}

// A service of which the lists are missing has not left its target groups, and
// a definition without containers is not kept.
func TestMissingListsOfServiceAndDefinition(t *testing.T) {
	for _, c := range []struct{ name, field, gap string }{
		{"status", "status", "service invalid s0000"},
		{"load balancers", "loadBalancers", "service invalid s0000"},
		{"deployments", "deployments", "service invalid s0000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				was := pass(t, o, 0).Services[0]
				f.clusters[0].services[0].extra = map[string]any{c.field: nil}
				for range 10 {
					s := pass(t, o, time.Minute)
					if s.Services[0] != was || len(s.TargetGroups) != 1 || !slices.Equal(gapsOf(s), []string{c.gap}) {
						t.Fatalf("was %+v, is %+v; gaps %v", was, s.Services[0], gapsOf(s))
					}
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.fault = func(c fakeCall) *fakeReply {
			if c.op == "DescribeTaskDefinition" {
				return &fakeReply{status: 200, body: `{"taskDefinition":{"networkMode":"awsvpc"}}`}
			}
			return nil
		}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		if s := pass(t, o, 0); len(s.Definitions) != 0 || !slices.Equal(gapsOf(s), []string{"task_definition invalid s0000:1"}) {
			t.Errorf("%d definitions, gaps %v", len(s.Definitions), gapsOf(s))
		}
		f.fault = nil
		if s := pass(t, o, time.Minute); len(s.Definitions) != 1 || len(s.Gaps) != 0 {
			t.Errorf("%d definitions, gaps %v", len(s.Definitions), gapsOf(s))
		}
	})
}

// A list that gives the same page for ever is a mistake, not a reason to hang.
func TestEndlessList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.fault = func(c fakeCall) *fakeReply {
			if c.op == "ListServices" {
				return &fakeReply{status: 200, body: `{"serviceArns":["` + ecsARN("service/c00/s0000") + `"],"nextToken":"again"}`}
			}
			return nil
		}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		s := o.Observe(t.Context(), nil)
		if n := tally(f.taken())["ListServices"]; n != 2 {
			t.Errorf("%d calls", n)
		}
		if !slices.Equal(gapsOf(s), []string{"services invalid c00"}) || len(s.Services) != 1 {
			t.Errorf("%d services, gaps %v", len(s.Services), gapsOf(s))
		}
	})
}

// A pass whose time is up makes no calls, spends no tokens, and invents no Gaps.
func TestPassWithoutTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 2)
		o := observer(t, Options{Config: f.config()})
		a := o.Observe(t.Context(), nil)
		f.taken()
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b := o.Observe(ctx, nil)
		if n := len(f.taken()); n != 0 || len(b.Gaps) != 0 || !slices.Equal(a.Tasks, b.Tasks) {
			t.Errorf("%d calls, gaps %v", n, gapsOf(b))
		}
		if c := o.Observe(t.Context(), nil); len(c.Gaps) != 0 || c.Tasks[0] == a.Tasks[0] {
			t.Errorf("the next pass did not read what was due: gaps %v", gapsOf(c))
		}
	})
}
