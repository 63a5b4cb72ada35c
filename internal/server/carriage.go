package server

import (
	"context"
	"sync"

	"yubin/internal/mail"
)

// carriage runs what carries mail to other hosts, and can pause it. The zero value
// does not run yet.
type carriage struct {
	mu      sync.Mutex
	stop    context.CancelFunc // of what runs; nil if nothing does
	stopped chan struct{}      // closed when it has
	paused  chan struct{}      // closed when it may go on; nil if it may
}

// run runs carry until ctx is done, again after each pause.
func (c *carriage) run(ctx context.Context, carry func(context.Context) error) error {
	for {
		running, cancel := context.WithCancel(ctx)
		wait := c.begin(cancel)
		if wait == nil {
			err := carry(running)
			wait = c.end()
			if err != nil || wait == nil {
				cancel()
				return err
			}
		}
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-wait:
		}
	}
}

// begin notes that it runs, unless it is paused: then it returns what to wait for.
func (c *carriage) begin(cancel context.CancelFunc) (wait chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused == nil {
		c.stop, c.stopped = cancel, make(chan struct{})
	}
	return c.paused
}

// end notes that it does not run; if it is paused, it returns what to wait for.
func (c *carriage) end() (wait chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.stopped)
	c.stop, c.stopped = nil, nil
	return c.paused
}

// pause has what is being carried come to its end, and begins nothing until resume.
func (c *carriage) pause(ctx context.Context) (resume func(), err error) {
	c.mu.Lock()
	if c.paused != nil {
		c.mu.Unlock()
		return nil, mail.Errorf(mail.Conflict, "the queue stands still already, for a move")
	}
	c.paused = make(chan struct{})
	stopped := c.stopped
	if c.stop != nil {
		c.stop()
	}
	c.mu.Unlock()
	resume = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.paused)
		c.paused = nil
	}
	if stopped == nil {
		return resume, nil
	}
	select {
	case <-stopped:
		return resume, nil
	case <-ctx.Done():
		resume()
		return nil, ctx.Err()
	}
}
