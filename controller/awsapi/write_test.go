package awsapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

const webGroup = "c00-s0000"

func web() fleet.TargetGroupARN { return fleet.TargetGroupARN(groupARN(webGroup)) }

func webTarget(last int) fleet.TargetKey {
	return fleet.NewTargetKey(web(), fmt.Sprintf("10.0.%d.%d", last/250, last%250+1), 10080)
}

// writes are the calls that change something.
func writes(calls []fakeCall) []fakeCall {
	return slices.DeleteFunc(calls, func(c fakeCall) bool { return bucketOf[c.op] != RegistrationBucket })
}

func TestWritesNameIDPortAndOnlyTheZoneThatIsNeeded(t *testing.T) {
	six := fleet.NewTargetKey(web(), "2001:DB8::0:1", 10080)
	instance := fleet.NewTargetKey(web(), "i-0123456789abcdef0", 32768)
	f := newFake(1, 1, 2)
	o := observer(t, Options{Config: f.config(), Budgets: unlimited})
	if err := o.Deregister(t.Context(), web(), []fleet.TargetKey{webTarget(1), six, webTarget(0), instance, webTarget(0)}); err != nil {
		t.Fatal(err)
	}
	err := o.Register(t.Context(), web(), []Registration{
		{Key: webTarget(0), Zone: "eu-central-1a"}, {Key: webTarget(1), Zone: "all"}, {Key: six}, {Key: instance, Zone: "eu-central-1b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	calls := writes(f.taken())
	if len(calls) != 2 || calls[0].op != "DeregisterTargets" || calls[1].op != "RegisterTargets" || calls[0].refs[0] != string(web()) {
		t.Fatalf("calls %+v", calls)
	}
	want := []fakeTarget{{"10.0.0.1", 10080, ""}, {"10.0.0.2", 10080, ""}, {"2001:db8::1", 10080, ""}, {"i-0123456789abcdef0", 32768, ""}}
	if !slices.Equal(calls[0].targets, want) {
		t.Errorf("taken out %v, want %v", calls[0].targets, want)
	}
	want[1].state = "all"
	if !slices.Equal(calls[1].targets, want) {
		t.Errorf("put back %v, want %v", calls[1].targets, want)
	}
}

// The call without a zone was lost once before AWS asked for one: it may have been
// carried out, whatever becomes of the call with it.
func TestLostCallIsNotForgottenWhereAWSAsksForAZone(t *testing.T) {
	f := newFake(1, 1, 1)
	n := 0
	f.fault = func(fakeCall) *fakeReply {
		switch n++; n {
		case 1:
			return &fakeReply{err: syscall.ECONNRESET}
		case 2:
			return &fakeReply{status: 400, body: `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>` +
				`<Message>You must specify an Availability Zone for the target '10.0.0.1'</Message></Error></ErrorResponse>`}
		default:
			return elbError(403, "AccessDenied")
		}
	}
	o := observer(t, Options{Config: f.retrying(3), Budgets: unlimited})
	err := o.Register(t.Context(), web(), []Registration{{Key: webTarget(0), Zone: "eu-central-1b"}})
	if n != 3 || Classify(err) != fleet.Denied || !Applied(err) {
		t.Errorf("%d requests: %v", n, err)
	}
}

// A target outside the VPC that is served from one zone cannot be told from one
// inside it, until AWS asks.
func TestRegisterGivesTheZoneThatAWSAsksFor(t *testing.T) {
	f := newFake(1, 1, 1)
	f.fault = func(c fakeCall) *fakeReply {
		if c.op == "RegisterTargets" && c.targets[0].state == "" {
			return &fakeReply{status: 400, body: `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>` +
				`<Message>You must specify an Availability Zone for the target '10.0.0.1'</Message></Error></ErrorResponse>`}
		}
		return nil
	}
	o := observer(t, Options{Config: f.config(), Budgets: unlimited})
	if err := o.Register(t.Context(), web(), []Registration{{Key: webTarget(0), Zone: "eu-central-1b"}}); err != nil {
		t.Error(err)
	}
	calls := writes(f.taken())
	if len(calls) != 2 || calls[1].targets[0].state != "eu-central-1b" {
		t.Errorf("calls %+v", calls)
	}
	err := o.Register(t.Context(), web(), []Registration{{Key: webTarget(0)}})
	if calls := writes(f.taken()); len(calls) != 1 || Classify(err) != fleet.Invalid || Applied(err) {
		t.Errorf("without a zone to give: %d calls, %v", len(calls), err)
	}
	// Refusals that ask for no zone.
	for code, message := range map[string]string{
		"InvalidTarget":   "The Availability Zone of the target is not enabled",
		"ValidationError": "The IP address '10.0.0.1' is not valid",
	} {
		f.fault = func(fakeCall) *fakeReply {
			return &fakeReply{status: 400, body: `<ErrorResponse><Error><Type>Sender</Type><Code>` + code + `</Code>` +
				`<Message>` + message + `</Message></Error></ErrorResponse>`}
		}
		err = o.Register(t.Context(), web(), []Registration{{Key: webTarget(0), Zone: "eu-central-1b"}})
		if calls := writes(f.taken()); len(calls) != 1 || Classify(err) != fleet.Invalid {
			t.Errorf("%s: %d calls, %v", message, len(calls), err)
		}
	}
}

func TestManyTargetsGoInChunks(t *testing.T) {
	f := newFake(1, 1, 450)
	o := observer(t, Options{Config: f.config(), Budgets: unlimited})
	var keys []fleet.TargetKey
	for i := range 450 {
		keys = append(keys, webTarget(i))
	}
	if err := o.Deregister(t.Context(), web(), keys); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, c := range writes(f.taken()) {
		sizes = append(sizes, len(c.targets))
	}
	if !slices.Equal(sizes, []int{200, 200, 50}) {
		t.Errorf("calls of %v", sizes)
	}
	for _, row := range f.groups[0].targets {
		if row.state != "draining" {
			t.Fatalf("%s is %s", row.id, row.state)
		}
	}
	// The second of three calls is refused: the first has been made, and the third
	// is not.
	n := 0
	f.fault = func(c fakeCall) *fakeReply {
		if n++; n == 2 {
			return elbError(400, "Throttling")
		}
		return nil
	}
	err := o.Deregister(t.Context(), web(), keys)
	if n != 2 || Classify(err) != fleet.Throttled || !Applied(err) || !strings.Contains(err.Error(), "; 200 of them had been done before") {
		t.Errorf("%d calls, %v", n, err)
	}
}

func TestNothingToDoIsNoCall(t *testing.T) {
	f := newFake(1, 1, 1)
	o := observer(t, Options{Config: f.config()})
	if err := errors.Join(o.Deregister(t.Context(), web(), nil), o.Register(t.Context(), web(), nil)); err != nil || len(f.taken()) != 0 {
		t.Errorf("%v", err)
	}
}

// SAFETY: no request leaves that lacks a port or is about another group.
func TestWritesThatMakeNoSenseAreRefused(t *testing.T) {
	f := newFake(1, 2, 1)
	o := observer(t, Options{Config: f.config()})
	other := fleet.TargetGroupARN(groupARN("c00-s0001"))
	for _, key := range []fleet.TargetKey{
		{Group: web(), ID: "10.0.0.1"}, {Group: web(), ID: "10.0.0.1", Port: 65536}, {Group: web(), Port: 80}, fleet.NewTargetKey(other, "10.0.0.1", 10080),
	} {
		down := o.Deregister(t.Context(), web(), []fleet.TargetKey{webTarget(0), key})
		up := o.Register(t.Context(), web(), []Registration{{Key: webTarget(0)}, {Key: key}})
		for _, err := range []error{down, up} {
			if Classify(err) != fleet.Invalid || Applied(err) {
				t.Errorf("%+v: %v", key, err)
			}
		}
	}
	if calls := f.taken(); len(calls) != 0 {
		t.Errorf("calls %+v", calls)
	}
	for _, port := range []int{1, 65535} {
		if err := o.Deregister(t.Context(), web(), []fleet.TargetKey{fleet.NewTargetKey(web(), "10.0.0.1", port)}); err != nil {
			t.Errorf("port %d: %v", port, err)
		}
	}
}

// What is known of the outcome follows from every attempt, not from the last.
func TestApplied(t *testing.T) {
	lost := &fakeReply{err: syscall.ECONNRESET}
	dial := &fakeReply{err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}
	garbage := &fakeReply{status: 200, body: "<html>log in</html>"}
	denied, throttled := elbError(403, "AccessDenied"), elbError(400, "Throttling")
	broken := elbError(500, "InternalFailure")
	for _, c := range []struct {
		name    string
		replies []*fakeReply // the last one again and again
		class   fleet.Class
		maybe   bool
		calls   int
	}{
		{"denied", []*fakeReply{denied}, fleet.Denied, false, 1},
		{"throttled", []*fakeReply{throttled}, fleet.Throttled, false, 3},
		{"no such group", []*fakeReply{elbError(400, "TargetGroupNotFound")}, fleet.NotFound, false, 1},
		{"no such target", []*fakeReply{elbError(400, "InvalidTarget")}, fleet.Invalid, false, 1},
		{"a proxy refuses", []*fakeReply{{status: 403, body: "<html>no</html>"}}, fleet.Denied, false, 1},
		{"no connection", []*fakeReply{dial}, fleet.Transient, false, 3},
		{"server error", []*fakeReply{broken}, fleet.Transient, true, 3},
		{"gateway timeout", []*fakeReply{{status: 504, body: "late"}}, fleet.Transient, true, 3},
		{"request timeout", []*fakeReply{elbError(408, "RequestTimeout")}, fleet.Transient, true, 3},
		{"lost", []*fakeReply{lost}, fleet.Transient, true, 3},
		{"sent elsewhere", []*fakeReply{{status: 307, body: "<html>log in</html>"}}, fleet.Invalid, true, 1},
		{"another document", []*fakeReply{garbage}, fleet.Invalid, true, 1},
		{"lost, then denied", []*fakeReply{lost, denied}, fleet.Denied, true, 2},
		{"server error, then throttled", []*fakeReply{broken, throttled}, fleet.Throttled, true, 3},
		{"throttled, then denied", []*fakeReply{throttled, denied}, fleet.Denied, false, 2},
		{"lost, then done", []*fakeReply{lost, nil}, "", true, 2},
	} {
		for op, do := range map[string]func(context.Context, *Observer) error{
			"DeregisterTargets": func(ctx context.Context, o *Observer) error {
				return o.Deregister(ctx, web(), []fleet.TargetKey{webTarget(0)})
			},
			"RegisterTargets": func(ctx context.Context, o *Observer) error {
				return o.Register(ctx, web(), []Registration{{Key: webTarget(0)}})
			},
		} {
			t.Run(c.name+" "+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, rec, n := newFake(1, 1, 1), newRecorder(), 0
					f.fault = func(fakeCall) *fakeReply {
						n++
						return c.replies[min(n, len(c.replies))-1]
					}
					err := do(t.Context(), observer(t, Options{Config: f.retrying(3), Recorder: rec}))
					if Classify(err) != c.class || Applied(err) != c.maybe || n != c.calls {
						t.Errorf("%d calls, class %q, applied %v: %v", n, Classify(err), Applied(err), err)
					}
					counted := 0
					for what, times := range rec.requests {
						if strings.HasPrefix(what, "elbv2 "+op+" ") {
							counted += times
						}
					}
					if counted != c.calls {
						t.Errorf("counted %v", rec.requests)
					}
					if err == nil {
						return
					}
					if text := err.Error(); !strings.HasPrefix(text, op+" of 10.0.0.1:10080 in target group "+webGroup+": ") ||
						strings.Contains(text, "operation error") || strings.Contains(text, "all the same") != c.maybe {
						t.Errorf("text %q", text)
					}
				})
			})
		}
	}
}

// With a policy for observing only, the error is all that an operator gets.
func TestDeniedWriteSaysWhatToDo(t *testing.T) {
	f := newFake(1, 1, 1)
	f.fault = func(fakeCall) *fakeReply { return elbError(403, "AccessDenied") }
	o := observer(t, Options{Config: f.config()})
	err := o.Deregister(t.Context(), web(), []fleet.TargetKey{webTarget(0)})
	for _, s := range []string{"AccessDenied: it says so; ", "elasticloadbalancing:DeregisterTargets", "deploy/iam/detach.json", "castoff:managed=true"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	cfg := f.config()
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no role found")
	})
	f.taken()
	err = observer(t, Options{Config: cfg}).Deregister(t.Context(), web(), []fleet.TargetKey{webTarget(0)})
	if Classify(err) != fleet.Denied || Applied(err) || len(f.taken()) != 0 || !strings.Contains(err.Error(), "no role found") {
		t.Errorf("without credentials: %v", err)
	}
}

// What a write rests on is good until an instant, and no request leaves after it.
func TestNoRequestLeavesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		a := Actor{observer(t, Options{Config: f.config()})}
		key := []fleet.TargetKey{webTarget(0)}
		err := a.Deregister(t.Context(), time.Now().Add(-1), web(), key)
		var call *fleet.CallError
		if !errors.As(err, &call) || call.Class != fleet.Paced || call.MayHaveHappened || len(f.taken()) != 0 {
			t.Errorf("%v, sent %v", err, f.taken())
		}
		if err := a.Deregister(t.Context(), time.Now(), web(), key); err != nil || len(f.taken()) != 1 {
			t.Errorf("in time: %v, sent %v", err, f.taken())
		}
	})
}

// Nor does one whose credentials came too late.
func TestNoRequestLeavesWithLateCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		cfg := f.config()
		cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			time.Sleep(3 * time.Second)
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
		})
		err := Actor{observer(t, Options{Config: cfg})}.Deregister(t.Context(), time.Now().Add(2*time.Second), web(), []fleet.TargetKey{webTarget(0)})
		var call *fleet.CallError
		if !errors.As(err, &call) || call.Class != fleet.Paced || call.MayHaveHappened || len(f.taken()) != 0 {
			t.Errorf("%v, sent %v", err, f.taken())
		}
	})
}

// Nor does one that the SDK makes again, whether it waits out its backoff or for a token:
// a write whose reason may have gone is over at once, and what failed first is its error.
func TestNoRequestIsMadeAgainTooLate(t *testing.T) {
	for name, budget := range map[string]float64{"after its backoff": 10, "without a token in time": 0.1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				f.fault = func(fakeCall) *fakeReply { return elbError(http.StatusServiceUnavailable, "ServiceUnavailable") }
				a := Actor{observer(t, Options{Config: f.retrying(10), Budgets: Budgets{Registration: budget}})}
				for budget < 1 && a.buckets[RegistrationBucket].limiter.Tokens() >= 2 {
					a.buckets[RegistrationBucket].take()
				}
				begun := time.Now()
				err := a.Deregister(t.Context(), begun.Add(250*time.Millisecond), web(), []fleet.TargetKey{webTarget(0)})
				var call *fleet.CallError
				if !errors.As(err, &call) || call.Class != fleet.Transient || !call.MayHaveHappened {
					t.Errorf("%v", err)
				}
				want := map[bool]int{true: 3, false: 1}[budget > 1] // a backoff is of 100 ms
				if n := len(f.taken()); n != want || time.Since(begun) > 300*time.Millisecond {
					t.Errorf("%d requests in %s, want %d", n, time.Since(begun), want)
				}
			})
		})
	}
}

// A write that would get its token too late takes none: else, with a small budget,
// each try would take the token that the next one waits for, for ever.
func TestWriteThatComesTooLateTakesNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		a := Actor{observer(t, Options{Config: f.config(), Budgets: Budgets{Registration: 0.1}})}
		key := []fleet.TargetKey{webTarget(0)}
		try := func() error { return a.Deregister(t.Context(), time.Now().Add(2*time.Second), web(), key) }
		for try() == nil { // the burst
		}
		begun := time.Now()
		for try() != nil {
			time.Sleep(2 * time.Second)
			if time.Since(begun) > time.Minute {
				t.Fatal("it was never made")
			}
		}
		if took := time.Since(begun); took > 12*time.Second {
			t.Errorf("the next one was made after %s, and a token comes every 10s", took)
		}
	})
}

// A write waits for its own tokens, no longer than it may, and without one
// nothing is sent.
func TestWritesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rec := newFake(1, 1, 1), newRecorder()
		o := observer(t, Options{Config: f.config(), Recorder: rec})
		begun := time.Now()
		for range 10 {
			if err := o.Deregister(t.Context(), web(), []fleet.TargetKey{webTarget(0)}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 4*time.Second || rec.waits[RegistrationBucket] != took { // 6, and 1 a second
			t.Errorf("took %s, waited %s", took, rec.waits[RegistrationBucket])
		}
		if len(rec.waits) != 1 {
			t.Errorf("waits %v", rec.waits)
		}
		f.taken()
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		begun = time.Now()
		err := o.Deregister(ctx, web(), []fleet.TargetKey{webTarget(0)})
		if Classify(err) != fleet.Paced || Applied(err) || len(f.taken()) != 0 || time.Since(begun) > 900*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		cancel()
		if err := o.Deregister(ctx, web(), []fleet.TargetKey{webTarget(0)}); Classify(err) != fleet.Transient || Applied(err) || len(f.taken()) != 0 {
			t.Errorf("cancelled: %v", err)
		}
		// A token that was not used is still there.
		time.Sleep(time.Second)
		if err := o.Deregister(t.Context(), web(), []fleet.TargetKey{webTarget(0)}); err != nil || time.Since(begun) != time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

// silent takes every request and answers none.
type silent struct{}

func (silent) Do(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// A write has all the time of its context, to the instant, and no more.
func TestWriteKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := newFake(1, 1, 1).retrying(3)
		cfg.HTTPClient = silent{}
		o := observer(t, Options{Config: cfg})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		err := o.Deregister(ctx, web(), []fleet.TargetKey{webTarget(0)})
		if took := time.Since(begun); took != 3*time.Second || Classify(err) != fleet.Transient || !Applied(err) {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// Writes run beside passes, second looks and each other, in the pace of their own
// bucket. The race detector is the judge.
func TestWritesRunBesideReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 4, 2)
		o := observer(t, Options{Config: f.config(), Budgets: Budgets{Registration: 2}})
		pass(t, o, 0)
		f.taken()
		begun := time.Now()
		var writing sync.WaitGroup
		for i := range 4 {
			writing.Go(func() {
				group := fleet.TargetGroupARN(groupARN(fmt.Sprintf("c00-s%04d", i)))
				for range 10 {
					if err := o.Deregister(t.Context(), group, []fleet.TargetKey{fleet.NewTargetKey(group, "10.0.0.1", 10080)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 30 {
			s := pass(t, o, 500*time.Millisecond)
			o.Refresh(t.Context(), []fleet.TaskARN{s.Tasks[0].ARN}, []fleet.TargetGroupARN{web()})
		}
		writing.Wait()
		if n, took := len(writes(f.taken())), time.Since(begun); n != 40 || took < 12*time.Second {
			t.Errorf("%d writes in %s, at 2 a second", n, took)
		}
	})
}

// What castoff has changed is read in the next pass, ahead of what is due.
func TestChangedGroupIsReadInTheNextPass(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply *fakeReply
		want  bool
	}{
		{"done", nil, true},
		{"lost", &fakeReply{err: syscall.ECONNRESET}, true},
		{"denied", elbError(403, "AccessDenied"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 100, 1)
				o := observer(t, Options{Config: f.config()})
				for range 60 { // all groups have been read, and the budget is used up
					pass(t, o, 2*time.Second)
				}
				f.fault = func(call fakeCall) *fakeReply {
					if call.op == "DeregisterTargets" {
						return c.reply
					}
					return nil
				}
				group := fleet.TargetGroupARN(groupARN("c00-s0050"))
				_ = o.Deregister(t.Context(), group, []fleet.TargetKey{fleet.NewTargetKey(group, "10.0.0.51", 10080)})
				f.taken()
				age := func(s *fleet.Snapshot) time.Duration { return s.TargetGroup(group).Read.Age(s.At) }
				if s := pass(t, o, time.Second); (age(s) == 0) != c.want {
					t.Errorf("the group is %s old", age(s))
				}
				if s := pass(t, o, time.Second); age(s) == 0 {
					t.Error("it is read again and again")
				}
			})
		})
	}
}
