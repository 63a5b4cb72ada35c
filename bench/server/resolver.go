package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Resolver is Debian's unbound, which knows what is in Records, localhost, and nothing else.
type Resolver struct {
	Packages Packages
	Dir      string
	Port     int
	Records  []string

	cmd *exec.Cmd
}

// Address is host:port.
func (r *Resolver) Address() string { return fmt.Sprintf("%s:%d", Host, r.Port) }

// Start writes the configuration and starts it.
func (r *Resolver) Start(ctx context.Context) error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n interface: %s\n port: %d\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: \"pid\"\n use-syslog: no\n logfile: \"log\"\n"+
		" module-config: \"iterator\"\n local-zone: \".\" static\n local-zone: \"test.\" static\n", Host, r.Port, r.Dir)
	for _, record := range r.Records {
		fmt.Fprintf(&b, " local-data: '%s'\n", record)
	}
	b.WriteString("remote-control:\n control-enable: no\n")
	conf := filepath.Join(r.Dir, "unbound.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o644); err != nil {
		return err
	}
	r.cmd = r.Packages.Command(ctx, "filters", "unbound", "-d", "-c", conf)
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		return err
	}
	ask := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, r.Address())
	}}
	name, _, _ := strings.Cut(r.Records[0], " ")
	limit := time.Now().Add(startLimit)
	for {
		if _, err := ask.LookupTXT(ctx, name); err == nil {
			return nil
		} else if time.Now().After(limit) {
			_ = r.Stop()
			return fmt.Errorf("unbound: %w\n%s", err, tail(filepath.Join(r.Dir, "log")))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Stop ends it.
func (r *Resolver) Stop() error {
	if r.cmd == nil {
		return nil
	}
	err := ignoreGone(r.cmd.Process.Signal(syscall.SIGTERM))
	_ = r.cmd.Wait() // How it ended does not matter.
	r.cmd = nil
	return err
}
