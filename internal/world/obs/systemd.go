package obs

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Notifier tells the service manager how the process fares (sd_notify(3)). The
// nil Notifier says nothing.
type Notifier struct {
	socket string
	now    func() time.Duration // of the monotonic clock, which systemd compares with its own
}

// NewNotifier returns a Notifier for the socket that the environment variable
// NOTIFY_SOCKET names: a path, or "@" and a name in the abstract name space. It
// is nil for "": nobody wants to know.
func NewNotifier(socket string) *Notifier {
	if socket == "" {
		return nil
	}
	return &Notifier{socket: socket, now: monotonic}
}

// Ready says that every listener is open, at start and after a reload.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Reloading says that a reload begins; Ready ends it.
func (n *Notifier) Reloading() error {
	if n == nil {
		return nil
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(n.now().Microseconds(), 10))
}

// Stopping says that the process drains and will end.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Alive answers the watchdog (WatchdogSec=).
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// Status sets the line that "systemctl status" shows.
func (n *Notifier) Status(text string) error {
	return n.send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

func (n *Notifier) send(lines ...string) error {
	if n == nil {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("cannot reach the service manager at NOTIFY_SOCKET: %w", err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
		return fmt.Errorf("cannot tell the service manager at NOTIFY_SOCKET: %w", err)
	}
	return nil
}
