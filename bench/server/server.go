// Package server starts the mail servers that are measured, each in a scratch
// folder, on loopback ports of its own, with the same accounts: yubin, and from
// Debian's packages Postfix with Dovecot, OpenSMTPD and Exim. It touches nothing of
// the system: packages are unpacked, not installed, and overlaid on /usr in a
// mount namespace in which only the server runs.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What all servers have.
const (
	Domain   = "yubin.test"
	Password = "yubin-local"
	Host     = "127.0.0.1"
)

// Account names the i-th account, from 0.
func Account(i int) string { return fmt.Sprintf("load%04d@%s", i, Domain) }

// Server is one contestant.
type Server interface {
	Name() string
	Version() string
	Durable() string // what is on the disk when it says 250
	Start(ctx context.Context) error
	Stop() error
	Doors() Doors
	Roots() []int          // the processes that its trees begin with
	Waiting() (int, error) // messages it took that are not in their mailboxes or at their next hop
	Folder() string        // everything it keeps
}

// Doors are the ports of a server on Host; 0 is none.
type Doors struct {
	SMTP       int // mail for Domain; and onward, where Relay is 0
	Relay      int // plain, for mail onward
	RelayAuth  bool
	Submission int // TLS from the first octet, AUTH
	LMTP       int
	IMAP       int
	IMAPS      int
	POP3       int
}

// Onward is where relayed mail goes: each domain to a sink.
type Onward map[string]net.TCPAddr

const startLimit = 60 * time.Second

// awaitGreeting waits until something greets on the port.
func awaitGreeting(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := greeting(port)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing greets on port %d: %w", port, err)
		case <-tick.C:
		}
	}
}

// awaitOpen waits until somebody listens on the port, as long as the program has not ended.
func awaitOpen(ctx context.Context, port int, limit time.Duration, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(Host, strconv.Itoa(port)))
		if err == nil {
			return c.Close()
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on port %d: %w", port, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func greeting(port int) error {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(Host, strconv.Itoa(port)), time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}

// stop ends a process and waits until it is gone; children of init are polled.
func stop(pid int) error {
	if pid <= 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return ignoreGone(err)
	}
	limit := time.Now().Add(startLimit)
	for syscall.Kill(pid, 0) == nil {
		if time.Now().After(limit) {
			return fmt.Errorf("process %d does not end", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// pidFile reads the number of a process that keeps it in a file; 0 if none runs.
func pidFile(name string) int {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	if n > 0 && syscall.Kill(n, 0) != nil {
		return 0
	}
	return n
}

// output runs a program and returns what it printed; its error has the end of it.
func output(cmd *exec.Cmd) (string, error) {
	b, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, last(b, 2000))
	}
	return strings.TrimSpace(string(b)), nil
}

// daemon runs a program that leaves a daemon behind. Its output goes to a file:
// the daemon keeps what it inherits open, and a pipe would never end.
func daemon(cmd *exec.Cmd, log string) error {
	f, err := os.Create(log)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(log))
	}
	return nil
}

func last(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// tail is the end of a log, for an error.
func tail(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(f)
	return string(last(b, 2000))
}

// countFiles counts the entries of folders.
func countFiles(folders ...string) (int, error) {
	n := 0
	for _, name := range folders {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		names, err := f.Readdirnames(-1)
		_ = f.Close()
		if err != nil {
			return 0, err
		}
		n += len(names)
	}
	return n, nil
}
