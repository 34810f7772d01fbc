//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Ports of a task. The first is nginx's, as in the reference workload; the last
// answers HTTP for a balancer that is to see the app.
const (
	frontPort  = 10080
	appPort    = 8080
	healthPort = 8081
)

// The app's own service: it says back what it was sent, beside its address. Its
// messages are protobuf's own strings, so that nothing has to be generated.
const (
	echoService = "castoff.lab.Echo"
	sayMethod   = "/" + echoService + "/Say"
	chatMethod  = "/" + echoService + "/Chat"
)

var chatDesc = grpc.StreamDesc{StreamName: "Chat", Handler: chat, ServerStreams: true, ClientStreams: true}

var echoDesc = grpc.ServiceDesc{
	ServiceName: echoService,
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Say", Handler: say}},
	Streams:     []grpc.StreamDesc{chatDesc},
}

// app is the gRPC app of one task. Commands come line by line:
//
//	slow DURATION   answer so much later
//	crash           close the listener and every connection; the process goes on
//	recover         be well
//
// Each is answered with a line. It has no command to hang: SIGSTOP does that.
type app struct {
	address string

	mu     sync.Mutex
	slow   time.Duration
	server *grpc.Server // nil: crashed
}

// runApp serves until ctx is done or no more commands can come: whoever gave them
// is gone then.
func runApp(ctx context.Context, address string, commands io.Reader, out io.Writer) error {
	a := &app{address: address}
	if err := a.serve(ctx); err != nil {
		return err
	}
	plain, err := a.serveHealth(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close() }()
	defer a.crash()
	fmt.Fprintln(out, "ok")
	over := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(commands)
		for lines.Scan() {
			if err := a.obey(ctx, lines.Text()); err != nil {
				fmt.Fprintln(out, err)
				continue
			}
			fmt.Fprintln(out, "ok")
		}
		over <- lines.Err()
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-over:
		return err
	}
}

func (a *app) obey(ctx context.Context, line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "slow":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.slow = d
		return nil
	case "crash":
		a.crash()
		return nil
	case "recover":
		a.mu.Lock()
		a.slow = 0
		crashed := a.server == nil
		a.mu.Unlock()
		if crashed {
			return a.serve(ctx)
		}
		return nil
	}
	return fmt.Errorf("no command %q", line)
}

// serve listens and answers from now on.
func (a *app) serve(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(a.address, strconv.Itoa(appPort)))
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if err := a.pause(ctx); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}))
	server.RegisterService(&echoDesc, a)
	healthpb.RegisterHealthServer(server, health.NewServer())
	a.mu.Lock()
	a.server = server
	a.mu.Unlock()
	go func() { _ = server.Serve(listener) }() // ends with Stop, which is no news
	return nil
}

// crash ends the server with all its connections.
func (a *app) crash() {
	a.mu.Lock()
	server := a.server
	a.server = nil
	a.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// pause is what a slow app does before it answers.
func (a *app) pause(ctx context.Context) error {
	a.mu.Lock()
	slow := a.slow
	a.mu.Unlock()
	if slow == 0 {
		return nil
	}
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serveHealth answers HTTP 200 for as long as the app is well.
func (a *app) serveHealth(ctx context.Context) (*http.Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(a.address, strconv.Itoa(healthPort)))
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		crashed := a.server == nil
		a.mu.Unlock()
		if a.pause(r.Context()) != nil || crashed {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go func() { _ = server.Serve(listener) }() // ends with Close, which is no news
	return server, nil
}

func (a *app) echo(text *wrapperspb.StringValue) *wrapperspb.StringValue {
	return wrapperspb.String(a.address + " " + text.GetValue())
}

//nolint:revive // the order of arguments is grpc.MethodDesc's
func say(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	in := &wrapperspb.StringValue{}
	if err := decode(in); err != nil {
		return nil, err
	}
	return intercept(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: sayMethod}, func(context.Context, any) (any, error) {
		return srv.(*app).echo(in), nil
	})
}

func chat(srv any, stream grpc.ServerStream) error {
	for {
		in := &wrapperspb.StringValue{}
		switch err := stream.RecvMsg(in); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := srv.(*app).pause(stream.Context()); err != nil {
			return err
		}
		if err := stream.SendMsg(srv.(*app).echo(in)); err != nil {
			return err
		}
	}
}
