//go:build linux

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Habit is what a client does.
type Habit string

// The habits.
const (
	Short           Habit = "short"         // a new connection for each call
	Channel         Habit = "channel"       // calls on a connection that is kept
	ChannelAlive    Habit = "channel+ka"    // the same with keepalive
	ChannelRetries  Habit = "channel+re"    // the same with a retry policy
	ChannelTuned    Habit = "channel+ka+re" // the same with both
	Stream          Habit = "stream"        // one long-lived stream, a message a second, for as long as it lasts
	StreamTuned     Habit = "stream+ka"     // the same with keepalive
	StreamImpatient Habit = "stream+giveup" // the same, given up and opened anew after three silent seconds
)

// Habits lists every habit.
var Habits = []Habit{Short, Channel, ChannelAlive, ChannelRetries, ChannelTuned, Stream, StreamTuned, StreamImpatient}

// kept reports that its clients keep their connections.
func (h Habit) kept() bool { return h != Short }

// streams reports that its clients keep a stream open.
func (h Habit) streams() bool { return h == Stream || h == StreamTuned || h == StreamImpatient }

// patience is how long a client waits for an answer: a call's deadline, and after
// which a message on a stream counts as failed.
const patience = time.Second

// giveUp is how many silent seconds an impatient stream bears.
const giveUp = 3

// Call is a call, or a message on a stream and its answer.
type Call struct {
	Habit  Habit
	Client string // its address
	Target string // address of the task that it was sent to, as the balancer knows; empty: of none
	Began  time.Time
	Took   time.Duration
	Code   codes.Code // OK: answered
}

// clients are all that call the service.
type clients struct {
	balancer *balancer
	network  *network // each has an address of its own in it
	busy     sync.WaitGroup
	forgets  *atomic.Bool // see [Lab.Forget]

	mu    sync.Mutex
	calls []Call
}

// retries has gRPC try a call again that found nobody to answer it.
const retries = `{"methodConfig":[{"name":[{"service":"` + echoService + `"}],"retryPolicy":{"maxAttempts":4,` +
	`"initialBackoff":"0.05s","maxBackoff":"0.5s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]}`

// run has so many clients of each habit call until ctx is done; short ones open so
// many connections a second together.
func (cs *clients) run(ctx context.Context, load Load) {
	cs.busy.Go(func() { cs.short(ctx, load.Rate) })
	for kind, habit := range Habits {
		for i := range load.Kept {
			if !habit.kept() {
				continue
			}
			number := 2 + (kind-1)*load.Kept + i // 1 is the short ones'
			cs.busy.Go(func() {
				// Spread over the second.
				if !wait(ctx, time.Duration(i)*time.Second/time.Duration(load.Kept)) {
					return
				}
				if habit.streams() {
					cs.streams(ctx, habit, number)
				} else {
					cs.channel(ctx, habit, number)
				}
			})
		}
	}
}

// wait waits, and reports that there is more to be done.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// line is a client's way to the service: its channel, and the address and port of
// the channel's last connection.
type line struct {
	habit  Habit
	client netip.Addr
	conn   *grpc.ClientConn
	mu     sync.Mutex
	from   string
	n      int // connections
}

// dial makes a channel of the client with that number.
func (cs *clients) dial(habit Habit, number int) (*line, error) {
	l := &line{habit: habit, client: cs.network.address(byte(255-number>>8), byte(number))}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: l.client.AsSlice()}}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			l.mu.Lock()
			l.n++
			node := cs.balancer.resolve(l.n)
			l.mu.Unlock()
			conn, err := dialer.DialContext(ctx, "tcp", node)
			if err == nil {
				l.mu.Lock()
				cs.balancer.hungUp(l.from)
				l.from = conn.LocalAddr().String()
				l.mu.Unlock()
			}
			return conn, err
		}),
		// A client that waits longer and longer feels the failure for longer; that is
		// not what is to be measured. Nor is how busy the machine is: one that gives a
		// connection up too early is sent to another task than its twin in the other lab.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.2, MaxDelay: patience},
			MinConnectTimeout: patience,
		}),
	}
	if habit == ChannelRetries || habit == ChannelTuned {
		options = append(options, grpc.WithDefaultServiceConfig(retries))
	} else {
		options = append(options, grpc.WithDisableRetry())
	}
	if habit == ChannelAlive || habit == ChannelTuned || habit == StreamTuned {
		options = append(options, keptAlive)
	}
	var err error
	l.conn, err = grpc.NewClient("passthrough:///lab", options...)
	return l, err
}

// keptAlive asks as often as grpc-go lets a client ask.
var keptAlive = grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second, PermitWithoutStream: true})

// hangUp ends the line.
func (cs *clients) hangUp(l *line) {
	_ = l.conn.Close() // nothing to be lost
	l.mu.Lock()
	defer l.mu.Unlock()
	cs.balancer.hungUp(l.from)
}

// note keeps what came of a call that began then, beside where the line's
// connection goes, or went.
func (cs *clients) note(l *line, began time.Time, took time.Duration, code codes.Code) {
	l.mu.Lock()
	flow, _ := cs.balancer.flow(l.from)
	l.mu.Unlock()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if !cs.forgets.Load() {
		cs.calls = append(cs.calls, Call{Habit: l.habit, Client: l.client.String(), Target: flow.Target, Began: began, Took: took, Code: code})
	}
}

func (cs *clients) forget() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.calls = nil
}

func (cs *clients) all() []Call {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.Clone(cs.calls)
}

// short makes a call on a new connection so many times a second.
func (cs *clients) short(ctx context.Context, rate float64) {
	if rate <= 0 {
		return
	}
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			cs.busy.Go(func() {
				l, err := cs.dial(Short, 1)
				if err != nil {
					return
				}
				defer cs.hangUp(l)
				cs.call(ctx, l)
			})
		}
	}
}

// call makes one call.
func (cs *clients) call(ctx context.Context, l *line) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := l.conn.Invoke(limited, sayMethod, wrapperspb.String("x"), &wrapperspb.StringValue{})
	if ctx.Err() != nil {
		return // the lab is over
	}
	cs.note(l, began, time.Since(began), status.Code(err))
}

// channel makes a call a second on a connection that is kept.
func (cs *clients) channel(ctx context.Context, habit Habit, number int) {
	l, err := cs.dial(habit, number)
	if err != nil {
		return
	}
	defer cs.hangUp(l)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		cs.call(ctx, l)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// streams keeps one stream open: another one when it ends.
func (cs *clients) streams(ctx context.Context, habit Habit, number int) {
	for ctx.Err() == nil {
		l, err := cs.dial(habit, number)
		if err != nil {
			return
		}
		began := time.Now()
		if err := cs.stream(ctx, l); err != nil && ctx.Err() == nil {
			cs.note(l, began, 0, status.Code(err))
		}
		cs.hangUp(l)
		wait(ctx, 100*time.Millisecond)
	}
}

// stream sends a message a second. One that has no answer by the next is not
// answered in time; no other is sent meanwhile. It ends with the stream, or when
// an impatient client has had enough.
func (cs *clients) stream(ctx context.Context, l *line) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := l.conn.NewStream(ctx, &chatDesc, chatMethod)
	if err != nil {
		return err
	}
	answers, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			if err := s.RecvMsg(&wrapperspb.StringValue{}); err != nil {
				ended <- err
				return
			}
			select {
			case answers <- struct{}{}:
			case <-ctx.Done():
			}
		}
	}()
	ticker := time.NewTicker(patience)
	defer ticker.Stop()
	for owed, silent := false, 0; ; {
		began := time.Now()
		if !owed {
			if err := s.SendMsg(wrapperspb.String("x")); err != nil {
				return <-ended // says why
			}
			owed = true
		}
		code := codes.DeadlineExceeded
		var took time.Duration
		for waiting := true; waiting; {
			select {
			case <-answers:
				owed, silent, code, took = false, 0, codes.OK, time.Since(began)
			case err := <-ended:
				return err
			case <-ticker.C:
				waiting = false
			}
		}
		if code != codes.OK {
			took = time.Since(began)
			silent++
		}
		cs.note(l, began, took, code)
		if l.habit == StreamImpatient && silent == giveUp {
			return nil
		}
	}
}

// firstAnswer waits until whoever is at an address answers a call.
func firstAnswer(ctx context.Context, address string) error {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1, MaxDelay: 100 * time.Millisecond}}))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it has served
	for {
		got := &wrapperspb.StringValue{}
		err := conn.Invoke(ctx, sayMethod, wrapperspb.String("up"), got, grpc.WaitForReady(true))
		switch {
		case err == nil && strings.HasPrefix(address, strings.Fields(got.GetValue())[0]+":"):
			return nil
		case err == nil:
			return fmt.Errorf("%s is answered by %s", address, got.GetValue())
		case !wait(ctx, 20*time.Millisecond):
			return err
		}
	}
}
