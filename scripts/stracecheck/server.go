package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// The calls that are looked at; those with ? are not on every machine. What is
// written to the WAL must not be cut short.
const (
	calls   = "read,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,?rename,renameat,renameat2,?mkdir,mkdirat"
	keep    = "1048576"
	pollGap = 20 * time.Millisecond
)

// server is a yubin under strace.
type server struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	exited chan error
	offset int
	trace  string
}

// start runs `yubin localserve` on a new folder below dir and waits for its
// last port.
func start(ctx context.Context, strace, yubin, dir string, flags []string) (*server, error) {
	s := &server{trace: filepath.Join(dir, "trace"), exited: make(chan error, 1)}
	var err error
	if s.offset, err = freeOffset(); err != nil {
		return nil, err
	}
	// With -D the tracer is the grandchild, and the child yubin itself.
	args := []string{"-D", "-f", "--seccomp-bpf", "-yy", "-s", keep, "-e", "trace=" + calls, "-e", "signal=none",
		"-o", s.trace, yubin, "localserve", "--data", filepath.Join(dir, "data"), "--listen-offset", fmt.Sprint(s.offset)}
	s.cmd = exec.CommandContext(ctx, strace, append(args, flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.exited <- s.cmd.Wait() }()
	return s, s.ready(ctx)
}

func (s *server) ready(ctx context.Context) error {
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", portLast+s.offset))
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-s.exited:
			return fmt.Errorf("yubin under strace ended: %v\n%s", err, s.out.String())
		case <-ctx.Done():
			return errors.New("yubin under strace did not start in time")
		case <-time.After(pollGap):
		}
	}
}

// stop ends yubin and waits until the trace is whole.
func (s *server) stop(ctx context.Context) ([]byte, error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	if err := <-s.exited; err != nil {
		return nil, fmt.Errorf("yubin ended: %w\n%s", err, s.out.String())
	}
	last := regexp.MustCompile(fmt.Sprintf(`(?m)^%d +\+\+\+ exited with 0 \+\+\+$`, s.cmd.Process.Pid))
	for {
		trace, err := os.ReadFile(s.trace)
		if err != nil || last.Match(trace) {
			return trace, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("strace did not end its trace in time")
		case <-time.After(pollGap):
		}
	}
}

// freeOffset finds an offset at which the ports of localserve are free. All are below
// those that the system gives to whoever connects somewhere (32768 and up).
func freeOffset() (int, error) {
	const lowest, step, steps = 9000, 1000, 20
	for i := range steps {
		if offset := lowest + (os.Getpid()+i)%steps*step; allFree(offset) {
			return offset, nil
		}
	}
	return 0, errors.New("no free ports")
}

func allFree(offset int) bool {
	for _, port := range []int{portMX, portSubmission, 2465, portLMTP, portIMAP, 2993, portPOP3, portLast, 2590, 2443, 2080} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+offset))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}
