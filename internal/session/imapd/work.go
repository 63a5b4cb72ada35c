package imapd

import (
	"context"
	"errors"
	"sync"
	"time"

	"yubin/internal/engine/search"
	"yubin/internal/engine/turns"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
	"yubin/internal/world/netx"
)

// DefaultMaxWork is how long one command may keep a processor busy with what is
// dear, if Config does not say. Waiting, for a turn or for the client, does not
// count.
const DefaultMaxWork = 5 * time.Minute

// lookEvery is how often a command that works looks whether its client is there.
const lookEvery = 100 * time.Millisecond

// work is what one command does in turns of its account: SEARCH of texts, LIST
// of many names, BINARY of large parts; and HEADER.FIELDS, without turns. It ends when the client has left, or
// when its time is over. Its turns may be in several goroutines as long as the
// session's own waits for them.
type work struct {
	context.Context // of the session; Err looks at the client too
	s               *session
	begun           bool // a response has begun, so that nothing can be said

	mu     sync.Mutex
	spent  time.Duration
	looked time.Time
	asked  bool // something was sent to a client that sends no more
	err    error
}

func (s *session) newWork(ctx context.Context) *work {
	return &work{Context: ctx, s: s, looked: time.Now()}
}

// Err implements context.Context.
func (w *work) Err() error {
	if err := w.Context.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.err == nil && now.Sub(w.looked) >= lookEvery {
		w.looked = now
		w.look()
	}
	return w.err
}

// due reports whether Err would look at the client.
func (w *work) due() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.looked) >= lookEvery
}

// errLeft is a client that closed its connection.
var errLeft = errors.New("imapd: the client has left")

// look looks at the client. One that sends no more may still want the answer:
// something is sent to it, which shows whether it has left.
func (w *work) look() {
	switch w.s.conn.Peer() {
	case netx.Here:
		return
	case netx.Gone:
		w.err = ofConn(errLeft)
		return
	}
	if w.asked {
		return
	}
	w.asked = true
	if !w.begun {
		w.s.out.Status("", imap.OK, "", "still at work")
	}
	w.err = ofConn(w.s.conn.Flush())
}

// spend adds to the time that the command has worked.
func (w *work) spend(d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spent += d; w.err == nil && w.spent > w.s.srv.cfg.MaxWork {
		w.err = mail.Errorf(mail.RateLimited, "the command took over %v of work; please ask for less at a time", w.s.srv.cfg.MaxWork)
	}
	return w.err
}

// take waits for a turn.
func (w *work) take(context.Context) (search.Turn, error) {
	t, err := w.s.srv.turns.Take(w, w.s.principal.Account)
	if err != nil {
		return nil, err
	}
	return &workTurn{w: w, turn: t, since: time.Now()}, nil
}

// workTurn is a turn whose time is counted.
type workTurn struct {
	w     *work
	turn  *turns.Turn
	since time.Time
}

// Pass implements search.Turn. The turn is given back before something may be
// sent to the client.
func (t *workTurn) Pass(ctx context.Context) error {
	defer func() { t.since = time.Now() }()
	if err := t.w.spend(time.Since(t.since)); err != nil {
		return err
	}
	if !t.w.due() {
		return t.turn.Pass(ctx)
	}
	t.turn.End()
	if err := t.w.Err(); err != nil {
		return err
	}
	turn, err := t.w.s.srv.turns.Take(t.w, t.w.s.principal.Account)
	if err == nil {
		t.turn = turn
	}
	return err
}

// End implements search.Turn.
func (t *workTurn) End() {
	_ = t.w.spend(time.Since(t.since)) // The next turn, if there is one, says it.
	t.since = time.Now()
	t.turn.End()
}

// manyMatches is how often names and patterns are compared before a LIST takes
// a turn for it.
const manyMatches = 10_000

// listing returns what a LIST calls between names, and after them.
func (w *work) listing(n *names, cmd *imap.List) (pause func() error, end func(), err error) {
	if (len(n.boxes)+len(n.subscribed))*len(cmd.Patterns) < manyMatches {
		return w.Err, func() {}, nil
	}
	turn, err := w.take(w)
	if err != nil {
		return nil, nil, err
	}
	return func() error { return turn.Pass(w.Context) }, turn.End, nil
}
