package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"yubin/internal/testkit/mailclient"
)

// allCmd runs every row against a yubin of its own.
type allCmd struct {
	Messages int `short:"n" default:"10000" help:"Messages of each delivery row."`
	Offset   int `default:"20000" help:"Added to localserve's ports."`
}

// Run builds and starts yubin, fills it, reads it and prints the table.
func (c *allCmd) Run() error {
	dir, err := os.MkdirTemp("", "yubin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	y, err := startYubin(dir, filepath.Join(dir, "data"), c.Offset)
	if err != nil {
		return err
	}
	defer y.stop()
	t := target{Host: "127.0.0.1", Accounts: 3, Domain: "yubin.test", Password: "yubin-local", PID: y.cmd.Process.Pid}
	rss, _ := memory(t.PID)
	fmt.Printf("%s/%s, %d cores, %s; yubin idle: %d MiB\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), rss>>20)
	printHeader(os.Stdout)
	for _, d := range c.deliveries(t) {
		r, err := d.run(d.name())
		if err != nil {
			return fmt.Errorf("%s: %w", r.Row, err)
		}
		r.print(os.Stdout)
	}
	return c.read(reading{target: t, Conns: 3})
}

func (d delivery) name() string {
	if d.lmtp {
		return "lmtp"
	}
	if d.Auth {
		return "submission"
	}
	return "smtp"
}

func (c *allCmd) deliveries(t target) []delivery {
	mx := delivery{target: t, Port: 2525 + c.Offset, Messages: c.Messages, Size: 4 << 10, Recipients: 1}
	one, ten, hundred := mx, mx, mx
	one.Conns, ten.Conns, hundred.Conns = 1, 10, 100
	one.Messages = c.Messages / 5
	medium, large, many, lmtp, submission := ten, ten, ten, ten, ten
	medium.Size = 50 << 10
	large.Size, large.Messages = 1<<20, c.Messages/50
	many.Recipients, many.Messages = 3, c.Messages/2
	lmtp.lmtp, lmtp.Port = true, 2424+c.Offset
	submission.TLS, submission.Auth, submission.Port = true, true, 2465+c.Offset
	return []delivery{one, ten, hundred, medium, large, many, lmtp, submission}
}

func (c *allCmd) read(r reading) error {
	r.Port = 2143 + c.Offset
	for _, op := range imapOps {
		row, err := r.imap(op)
		if err != nil {
			return err
		}
		row.print(os.Stdout)
	}
	r.Port = 2110 + c.Offset
	row, err := r.pop3()
	if err != nil {
		return err
	}
	row.print(os.Stdout)
	return nil
}

// yubin is a running server.
type yubin struct {
	cmd *exec.Cmd
	log *os.File
}

// startYubin starts a yubin on the folder data, building it in dir first if it
// is not there, and returns when it accepts connections.
func startYubin(dir, data string, offset int) (*yubin, error) {
	binary := filepath.Join(dir, "yubin")
	if _, err := os.Stat(binary); err != nil {
		build := exec.Command("go", "build", "-o", binary, "yubin/cmd/yubin")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	y := &yubin{cmd: exec.Command(binary, "localserve", "--data", data, "--listen-offset", fmt.Sprint(offset)), log: log}
	y.cmd.Stdout, y.cmd.Stderr = log, log
	if err := y.cmd.Start(); err != nil {
		return nil, err
	}
	if err := waitForGreeting(2525+offset, 30*time.Second); err != nil {
		y.stop()
		b, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("yubin did not start: %w\n%s", err, strings.TrimSpace(string(b)))
	}
	return y, nil
}

func (y *yubin) stop() {
	_ = y.cmd.Process.Signal(syscall.SIGTERM)
	_ = y.cmd.Wait()
	_ = y.log.Close()
}

// waitForGreeting waits until a server greets on the port.
func waitForGreeting(port int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := mailclient.Dial("127.0.0.1", port, false)
		if err == nil {
			_, err = c.Line()
			_ = c.Close()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
