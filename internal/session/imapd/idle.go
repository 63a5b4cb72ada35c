package imapd

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"yubin/internal/engine/store"
	"yubin/internal/proto/imap"
)

// maxPushers bounds the goroutines that tell idle sessions of changes. One is
// held up for as long as a client does not read; there are many so that a few
// such clients do not hold up the rest.
const maxPushers = 64

// maxIdleLine is the longest line in IDLE; DONE is all that is right.
const maxIdleLine = 64

// idle is IDLE (RFC 9051 §6.3.13). While the session's goroutine waits for the
// line that ends it, what changes is told by the pusher.
func (s *session) idle(ctx context.Context, _ *imap.Command) (status, error) {
	cancel, err := s.startIdling(ctx)
	if err != nil {
		return status{}, err
	}
	line, err := s.conn.ReadLine(maxIdleLine)
	s.stopIdling(cancel)
	if err != nil {
		return status{}, ofConn(err)
	}
	if !bytes.EqualFold(line, []byte("DONE")) {
		return bad("IDLE ends with DONE")
	}
	return ok("no longer idle")
}

// startIdling lets the pusher at the session. What changed before is told now;
// the pusher waits for mu meanwhile, so that nothing falls in between.
func (s *session) startIdling(ctx context.Context) (cancel func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel = func() {}
	if b := s.box; b != nil {
		id := b.id
		s.idling = ctx
		cancel = s.srv.cfg.Notifier.Subscribe(s.principal.Account, func(e store.Event) {
			if e.Mailbox == id {
				s.srv.push.wake(s)
			}
		})
	}
	if err = s.sync(ctx, true); err == nil {
		s.out.Continue("idling")
		s.resetEncoder()
		err = ofConn(s.conn.Flush())
	}
	if err != nil {
		s.idling = nil
		cancel()
	}
	return cancel, err
}

func (s *session) stopIdling(cancel func()) {
	cancel()
	s.mu.Lock()
	s.idling = nil
	s.mu.Unlock()
}

// pushChanges tells the client of an idle session what changed.
func (s *session) pushChanges() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idling == nil {
		return
	}
	err := s.sync(s.idling, true)
	var b *bye
	if errors.As(err, &b) {
		s.out.Status("", imap.BYE, b.code, b.text)
	}
	s.resetEncoder()
	if flushErr := s.conn.Flush(); err != nil && b != nil || flushErr != nil {
		s.idling = nil
		s.conn.Abort()
	}
}

// pusher runs pushChanges of the sessions that were woken, in goroutines that
// end when there is nothing to do.
type pusher struct {
	mu      sync.Mutex
	queue   []*session // each at most once
	workers int
}

// wake has the changes of s pushed soon. It does not block.
func (p *pusher) wake(s *session) {
	if !s.queued.CompareAndSwap(false, true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, s)
	if p.workers < maxPushers {
		p.workers++
		go p.work()
	}
}

func (p *pusher) work() {
	for s := p.next(); s != nil; s = p.next() {
		s.queued.Store(false) // A change from now on is a new one.
		s.pushChanges()
	}
}

// next takes a session off the queue; nil ends the worker.
func (p *pusher) next() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.workers--
		p.queue = nil
		return nil
	}
	s := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	return s
}
