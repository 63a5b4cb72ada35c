package load

import (
	"fmt"
	"strings"
	"time"

	"yubin/internal/testkit/mailclient"
)

// IMAP logs in.
func IMAP(port int, secure bool, user, password string) (*mailclient.Conn, error) {
	c, err := mailclient.Dial("127.0.0.1", port, secure)
	if err != nil {
		return nil, err
	}
	// Without the greeting of its own the first command's answers begin with it.
	if _, err := c.IMAP(false, nil, "LOGIN %q %q", user, password); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Count asks STATUS how many messages a mailbox has.
func Count(c *mailclient.Conn, mailbox string) (n int, err error) {
	_, err = c.IMAP(false, func(r mailclient.Response) {
		if _, after, ok := strings.Cut(r.Text, "(MESSAGES "); ok {
			_, _ = fmt.Sscanf(after, "%d", &n)
		}
	}, "STATUS %q (MESSAGES)", mailbox)
	return n, err
}

// Watch is an INBOX whose messages are waited for.
type Watch struct {
	conn *mailclient.Conn
	last int
}

// NewWatch logs in and counts.
func NewWatch(port int, user, password string) (*Watch, error) {
	c, err := IMAP(port, false, user, password)
	if err != nil {
		return nil, err
	}
	w := &Watch{conn: c}
	w.last, err = Count(c, "INBOX")
	return w, err
}

// Close logs out.
func (w *Watch) Close() error { return w.conn.Close() }

// Messages is the last count.
func (w *Watch) Messages() int { return w.last }

// Until polls until the INBOX has n messages.
func (w *Watch) Until(n int, limit time.Time) error {
	for w.last < n {
		if time.Now().After(limit) {
			return fmt.Errorf("of %d messages %d are there", n, w.last)
		}
		var err error
		if w.last, err = Count(w.conn, "INBOX"); err != nil {
			return err
		}
		if w.last < n {
			time.Sleep(2 * time.Millisecond)
		}
	}
	return nil
}
