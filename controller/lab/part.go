//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Part runs one of the lab's own processes until ctx is done, as SIGTERM has it,
// or it ends by itself. The lab starts them by [Options.Part]; nobody else has a
// use for them.
//
//	reaper             kills all that is left when the lab is gone, and has its folder
//	init COMMAND…      the first process of a container
//	app ADDRESS        the gRPC app
func Part(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "reaper":
		return reap(in, os.NewFile(3, "told")) // whatever signals come
	case len(args) >= 2 && args[0] == "init":
		return runInit(ctx, args[1:], out)
	case len(args) == 2 && args[0] == "app":
		return runApp(ctx, args[1], in, out)
	}
	return fmt.Errorf("no part of the lab is called %q", args)
}

// runInit runs a command and stays when that ends by itself, until it is told to
// end, as a supervisor does.
func runInit(ctx context.Context, command []string, out io.Writer) error {
	runtime.LockOSThread() // Pdeathsig is about this thread
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", command[0], err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // a container's end is that of its first process
	}()
	<-ctx.Done()
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-ended
	return nil
}
