//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestApp: it obeys, and its health is that of its calls.
func TestApp(t *testing.T) {
	t.Parallel()
	address := claimed(t).address(1, 1).String()
	in, commands := io.Pipe()
	replies, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- runApp(t.Context(), address, in, out) }()
	lines := bufio.NewScanner(replies)
	reply := func() string { lines.Scan(); return lines.Text() }
	if got := reply(); got != "ok" {
		t.Fatalf("it begins with %q", got)
	}
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(address, "8080"), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, test := range []struct {
		command string
		reply   string
		want    codes.Code
		http    bool
	}{
		{"", "", codes.OK, true},
		{"slow 1m", "ok", codes.DeadlineExceeded, false},
		{"recover", "ok", codes.OK, true},
		{"crash", "ok", codes.Unavailable, false},
		{"recover", "ok", codes.OK, true},
		{"dance", `no command "dance"`, codes.OK, true},
		{"slow down", `time: invalid duration "down"`, codes.OK, true},
	} {
		if test.command != "" {
			if _, err := io.WriteString(commands, test.command+"\n"); err != nil {
				t.Fatal(err)
			}
			if got := reply(); got != test.reply {
				t.Errorf("%s: %q, want %q", test.command, got, test.reply)
			}
		}
		within := 10 * time.Second
		if test.want == codes.DeadlineExceeded {
			within = 200 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		said := &wrapperspb.StringValue{}
		wait := grpc.WaitForReady(test.want == codes.OK) // a channel takes a while to find that somebody listens again
		err := conn.Invoke(ctx, sayMethod, wrapperspb.String("x"), said, wait)
		if status.Code(err) != test.want || err == nil && said.GetValue() != address+" x" {
			t.Errorf("%s: %q, %v, want %s", test.command, said.GetValue(), err, test.want)
		}
		if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, wait); status.Code(err) != test.want {
			t.Errorf("%s: its health is %v, want %s", test.command, err, test.want)
		}
		if got := answersHTTP(ctx, net.JoinHostPort(address, "8081")); got != test.http {
			t.Errorf("%s: by HTTP it is well: %t", test.command, got)
		}
		cancel()
	}
	if err := commands.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestPartRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"reaper", "more"}, {"init"}, {"app"}, {"app", "127.0.0.1", "more"}, {"king"}} {
		if err := Part(t.Context(), args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%v is a part of the lab", args)
		}
	}
	if err := Part(t.Context(), []string{"app", "no address"}, strings.NewReader(""), io.Discard); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
