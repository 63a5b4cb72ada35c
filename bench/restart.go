package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"yubin/internal/testkit/mailclient"
)

// restartCmd measures how long a start takes with many messages in the store.
type restartCmd struct {
	Messages int    `short:"n" default:"1000000" help:"Messages to fill the store with."`
	Offset   int    `default:"21000" help:"Added to localserve's ports."`
	Keep     string `help:"A folder to keep the filled store in; if it is there, it is not filled again." type:"path"`
}

// Run fills a store, then starts yubin on it after an orderly stop and after SIGKILL.
func (c *restartCmd) Run() error {
	dir, err := os.MkdirTemp("", "yubin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if c.Keep != "" {
		data = c.Keep
	}
	if err := c.fill(dir, data); err != nil {
		return err
	}
	for _, how := range []string{"an orderly stop", "SIGKILL"} {
		if err := c.measure(dir, data, how); err != nil {
			return err
		}
	}
	return nil
}

func (c *restartCmd) fill(dir, data string) error {
	if _, err := os.Stat(data); err == nil {
		return nil
	}
	y, err := startYubin(dir, data, c.Offset)
	if err != nil {
		return err
	}
	defer y.stop()
	fmt.Printf("filling %s with %d messages\n", data, c.Messages)
	d := delivery{target: c.target(y), Port: 2424 + c.Offset, Messages: c.Messages / 3, Conns: 64, Size: 1 << 10, Recipients: 3, lmtp: true}
	r, err := d.run("filling: lmtp")
	if err != nil {
		return err
	}
	fmt.Printf("filled with %d messages in %.0f s, %.0f a second\n", 3*r.Count, r.Elapsed.Seconds(), 3*r.perSecond())
	return nil
}

func (c *restartCmd) target(y *yubin) target {
	return target{Host: "127.0.0.1", Accounts: 3, Domain: "yubin.test", Password: "yubin-local", PID: y.cmd.Process.Pid}
}

// measure starts yubin twice: once to end it in the way said, once against the clock.
func (c *restartCmd) measure(dir, data, how string) error {
	y, err := startYubin(dir, data, c.Offset)
	if err != nil {
		return err
	}
	if how == "SIGKILL" {
		d := delivery{target: c.target(y), Port: 2424 + c.Offset, Messages: 1000, Conns: 8, Size: 1 << 10, Recipients: 3, lmtp: true}
		if _, err := d.run(""); err != nil {
			return err
		}
		_ = y.cmd.Process.Kill()
		_ = y.cmd.Wait()
	} else {
		y.stop()
	}
	begin := time.Now()
	if y, err = startYubin(dir, data, c.Offset); err != nil {
		return err
	}
	defer y.stop()
	accepting := time.Since(begin)
	exists, opened, err := c.open()
	if err != nil {
		return err
	}
	rss, _ := memory(y.cmd.Process.Pid)
	fmt.Printf("after %s: accepts connections in %s; SELECT of %s, the first, in %s; %d MiB\n",
		how, short(accepting), exists, short(opened), rss>>20)
	return nil
}

// open logs in and selects INBOX, and says how many messages it has.
func (c *restartCmd) open() (exists string, took time.Duration, err error) {
	m, err := mailclient.Dial("127.0.0.1", 2143+c.Offset, false)
	if err != nil {
		return "", 0, err
	}
	defer m.Close()
	if _, err := m.IMAP(false, nil, "LOGIN alice@yubin.test yubin-local"); err != nil {
		return "", 0, err
	}
	begin := time.Now()
	_, err = m.IMAP(false, func(r mailclient.Response) {
		if n, ok := strings.CutSuffix(r.Text, " EXISTS"); ok {
			exists = strings.TrimPrefix(n, "* ") + " messages"
		}
	}, "SELECT INBOX")
	return exists, time.Since(begin), err
}
