package netx

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
)

var errShut = mail.Errorf(mail.Forbidden, "the account is disabled")

// TestRetireHearsNothingMore: a line and a message that have begun end at once; a
// farewell can be said.
func TestRetireHearsNothingMore(t *testing.T) {
	for name, read := range map[string]func(*Conn) error{
		"line": func(c *Conn) error { _, err := c.ReadLine(100); return err },
		"message": func(c *Conn) error {
			_, err := io.Copy(io.Discard, c)
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, client := pair(t, time.Hour, time.Hour)
			var ctx context.Context
			ctx, c.cancel = context.WithCancelCause(t.Context())
			_, _ = io.WriteString(client, "ha")
			done := make(chan error, 1)
			go func() { done <- read(c) }()
			synctest.Wait()
			began := time.Now()
			c.Retire(errShut)
			if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
			if why := ShownOut(ctx); why != errShut {
				t.Errorf("%s: shown out for %v", name, why)
			}
			_, _ = c.WriteString("bye\r\n")
			if err := c.Flush(); err != nil {
				t.Errorf("%s: the farewell: %v", name, err)
			}
		})
	}
}

// TestRetireBoundsWrites: who is being sent something has lastPages for it, however
// steadily it takes some.
func TestRetireBoundsWrites(t *testing.T) {
	for name, every := range map[string]time.Duration{"takes nothing": time.Hour, "takes some": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, client := pair(t, time.Hour, time.Minute)
				stop := make(chan struct{})
				defer close(stop)
				go func() {
					for buf := make([]byte, maxSend); ; {
						select {
						case <-time.After(every):
							_, _ = client.Read(buf)
						case <-stop:
							return
						}
					}
				}()
				done := make(chan error, 1)
				go func() {
					_, err := c.Write(make([]byte, 100*maxSend))
					done <- err
				}()
				synctest.Wait()
				began := time.Now()
				c.Retire(errShut)
				if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != lastPages {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}
