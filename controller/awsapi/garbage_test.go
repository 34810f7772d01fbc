package awsapi

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// SAFETY: a reply that was cut off anywhere is no evidence that a row is gone.
func TestCutReplyLosesNoRow(t *testing.T) {
	for _, op := range []string{"DescribeTargetHealth", "DescribeTasks"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1, 2)
			o := observer(t, Options{Config: f.config(), Budgets: unlimited})
			o.Observe(t.Context(), nil)
			whole := ""
			recording := func(c fakeCall) *fakeReply {
				if c.op != op || whole != "" {
					return nil
				}
				var r *fakeReply
				f.fault = nil
				if op == "DescribeTasks" {
					r = f.ecs(op, []byte(`{"cluster":"c00","tasks":["`+strings.Join(c.refs, `","`)+`"]}`))
				} else {
					r = f.elb(map[string][]string{"Action": {op}, "TargetGroupArn": c.refs})
				}
				whole = r.body
				return r
			}
			f.fault = recording
			time.Sleep(time.Minute)
			o.Observe(t.Context(), nil)
			if whole == "" {
				t.Fatal("nothing recorded")
			}
			for cut := 0; cut < len(whole); cut += 1 + len(whole)/400 {
				f.fault = func(c fakeCall) *fakeReply {
					if c.op == op {
						return &fakeReply{status: 200, body: whole[:cut]}
					}
					return nil
				}
				time.Sleep(time.Minute)
				s := o.Observe(t.Context(), nil)
				if len(s.Tasks) != 2 || len(s.TargetGroups[0].Targets) != 2 {
					t.Fatalf("%s cut at %d of %d: %d tasks, %d rows, gaps %v", op, cut, len(whole), len(s.Tasks), len(s.TargetGroups[0].Targets), gapsOf(s))
				}
				for _, task := range s.Tasks {
					if task.Health != fleet.Healthy {
						t.Fatalf("%s cut at %d: %s is %s", op, cut, task.ARN.ID(), task.Health)
					}
				}
			}
		})
	}
}

// FuzzReplies feeds arbitrary replies to every operation: nothing panics, and
// what was known stays.
func FuzzReplies(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `[]`, `{}`, `{"tasks":[{}]}`, `{"tasks":[null]}`, `{"tasks":[{"taskArn":"","group":"service:"}]}`,
		`{"services":[{}],"failures":[{}]}`, `{"clusters":[{}],"failures":[{}]}`, `{"clusterArns":[""]}`, `{"taskArns":["",null,"x"]}`,
		`{"serviceArns":["","/","a/"]}`, `{"taskArns":["t"],"nextToken":"same"}`,
		`{"services":[{"serviceArn":"arn:aws:ecs:eu-central-1:123456789012:service/c00/s0000","desiredCount":-1,"healthCheckGracePeriodSeconds":-5,
			"loadBalancers":[{},{"targetGroupArn":"tg","containerPort":-1,"advancedConfiguration":{}}],"deployments":[{}],"taskSets":[{"loadBalancers":[{}]}]}]}`,
		`{"tasks":[{"taskArn":"arn:aws:ecs:eu-central-1:123456789012:task/c00/00000000000000000000000000000000","group":"service:s0000","version":9,
			"lastStatus":"DANCING","healthStatus":"SO_SO","attachments":[{"details":[{}, {"name":"privateIPv4Address","value":"not an address"}]}],
			"containers":[{},{"networkBindings":[{},{"hostPort":-1,"containerPort":-2}],"networkInterfaces":[{}],"exitCode":-9}]}]}`,
		`{"taskDefinition":{"containerDefinitions":[{},{"healthCheck":{"command":["CMD"],"interval":-3,"retries":-1}}]}}`,
		`{"containerInstances":[{}]}`,
		`<a/>`, `<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions><member/><member><Target/></member>` +
			`<member><Target><Id>x</Id><Port>-4</Port></Target><TargetHealth/></member></TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>`,
		`<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups><member/></TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>`,
		`<DescribeTagsResponse><DescribeTagsResult><TagDescriptions><member/></TagDescriptions></DescribeTagsResult></DescribeTagsResponse>`,
		`<DescribeTargetGroupAttributesResponse><DescribeTargetGroupAttributesResult><Attributes><member/><member>` +
			`<Key>deregistration_delay.timeout_seconds</Key><Value>-99999999999999999999</Value></member></Attributes></DescribeTargetGroupAttributesResult></DescribeTargetGroupAttributesResponse>`,
	} {
		f.Add(seed, uint8(0))
		f.Add(seed, uint8(1))
		f.Add(seed, uint8(2))
	}
	f.Fuzz(func(t *testing.T, body string, after uint8) {
		synctest.Test(t, func(t *testing.T) {
			fa := newFake(1, 1, 2)
			o := observer(t, Options{Config: fa.config()})
			for range after % 3 {
				o.Observe(t.Context(), nil)
				time.Sleep(time.Minute)
			}
			fa.fault = func(fakeCall) *fakeReply { return &fakeReply{status: 200, body: body} }
			before := len(o.clusters)
			for range 2 {
				s := o.Observe(t.Context(), []fleet.ServiceID{{Cluster: "c00", Name: "s0000"}})
				for _, g := range s.Gaps {
					if !strings.Contains(g.Detail, " ") || g.Class == "" || g.Since.IsZero() {
						t.Errorf("gap %+v", g)
					}
				}
				time.Sleep(time.Minute)
			}
			if len(o.clusters) < before {
				t.Errorf("%d clusters were %d", len(o.clusters), before)
			}
		})
	})
}

// passes are so many, five seconds apart; it returns what the last one saw.
func passes(t *testing.T, o *Observer, n int) (s *fleet.Snapshot) {
	for range n {
		s = o.Observe(t.Context(), nil)
		time.Sleep(5 * time.Second)
	}
	return s
}

// A reply that was cut off is asked for again when it would be due anyhow, a minute
// later, and not after five of them, as what AWS refuses is. Readings of tasks and of
// rows are due in each pass.
func TestCutReplyIsAskedForAgain(t *testing.T) {
	for _, op := range []string{
		"ListClusters", "DescribeClusters", "ListServices", "DescribeServices", "ListTasks", "DescribeTaskDefinition",
		"DescribeTargetGroups", "DescribeTargetGroupAttributes", "DescribeTags",
	} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 2, 2)
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				f.fault = func(c fakeCall) *fakeReply {
					if c.op == op {
						return &fakeReply{status: 200, body: `{"cut`}
					}
					return nil
				}
				s := passes(t, o, 4)
				if len(s.Gaps) == 0 {
					t.Fatalf("%s is not missed", op)
				}
				f.fault = nil
				s = passes(t, o, 15)
				if len(s.Gaps) > 0 {
					t.Errorf("%s is not asked for again: %v", op, gapsOf(s))
				}
			})
		})
	}
}

// A proxy that refuses is no reply that was cut off: it is asked no more often than AWS
// is that refuses.
func TestRefusalByAProxyIsNotAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 2)
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		calls := 0
		f.fault = func(c fakeCall) *fakeReply {
			if c.op != "DescribeServices" {
				return nil
			}
			calls++
			return &fakeReply{status: 407, body: "<html>who are you?</html>"}
		}
		passes(t, o, 60)
		if calls > 5 {
			t.Errorf("asked %d times in five minutes", calls)
		}
	})
}

// What spoils each reply that it is in hides nothing else: neither the services that
// are asked for with it, nor the pages before its own.
func TestWhatSpoilsRepliesHidesNothingElse(t *testing.T) {
	t.Run("in a batch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 5, 1)
			o := observer(t, Options{Config: f.config(), Budgets: unlimited})
			f.fault = func(c fakeCall) *fakeReply {
				if c.op == "DescribeServices" && slices.ContainsFunc(c.refs, func(ref string) bool { return strings.HasSuffix(ref, "s0003") }) {
					return &fakeReply{status: 200, body: `{"cut`}
				}
				return nil
			}
			s := passes(t, o, 4)
			if gaps := gapsOf(s); len(s.Services) != 4 || !slices.Equal(gaps, []string{"service invalid s0003"}) {
				t.Errorf("%d services, gaps %v", len(s.Services), gaps)
			}
			s = passes(t, o, 120)
			for _, svc := range s.Services {
				if age := svc.Read.Age(s.At); age > 2*time.Minute {
					t.Errorf("%s was read %s ago", svc.ID, age)
				}
			}
		})
	})
	t.Run("on a later page", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1, 150)
			o := observer(t, Options{Config: f.config(), Budgets: unlimited})
			first, later := 0, 0
			f.fault = func(c fakeCall) *fakeReply {
				switch {
				case c.op != "ListTasks" || c.desired == "STOPPED":
					return nil
				case c.token == "":
					first++
					return nil
				default:
					later++
					return &fakeReply{status: 200, body: `{"cut`}
				}
			}
			passes(t, o, 120)
			if first < 20 || later > 2*first {
				t.Errorf("the first page was asked for %d times in ten minutes, the one that is cut off %d times", first, later)
			}
		})
	})
}

// One that was cut off once is asked for again in the next pass.
func TestReplyCutOnceIsAskedForAtOnce(t *testing.T) {
	for _, op := range []string{"ListClusters", "DescribeClusters", "ListServices", "DescribeServices", "ListTasks", "DescribeTaskDefinition", "DescribeTargetGroups"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 2)
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				cut := false
				f.fault = func(c fakeCall) *fakeReply {
					if c.op != op || cut {
						return nil
					}
					cut = true
					return &fakeReply{status: 200, body: `{"cut`}
				}
				s := passes(t, o, 5)
				if len(s.Gaps) > 0 || !cut {
					t.Errorf("after five passes: %v", gapsOf(s))
				}
			})
		})
	}
}

// While each reply is cut off, what is read by itself is asked for at most twice as
// often as when all is well, and what is read in batches alone once a minute besides.
func TestCutRepliesCostLittle(t *testing.T) {
	count := func(cut bool) map[string]int {
		calls := map[string]int{}
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 20, 5)
			o := observer(t, Options{Config: f.config(), Budgets: unlimited})
			o.Observe(t.Context(), nil)
			f.fault = func(c fakeCall) *fakeReply {
				calls[c.op]++
				if cut {
					return &fakeReply{status: 200, body: `{"cut`}
				}
				return nil
			}
			for range 60 {
				time.Sleep(5 * time.Second)
				o.Observe(t.Context(), nil)
			}
		})
		return calls
	}
	well := count(false)
	for op, n := range count(true) {
		if most := 2*well[op] + 5*20; n > most {
			t.Errorf("%s: %d calls in five minutes, %d when all is well", op, n, well[op])
		}
	}
}
