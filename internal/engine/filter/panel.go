package filter

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// Options of a Panel.
type Options struct {
	Filters []Setting
	Begin   func() *intake.Message // starts a message: that of an intake, without taps
	Log     *slog.Logger
	Now     func() time.Time
	// Observe hears what came of each question: a Do, "down" or "skipped"; may be nil.
	Observe func(filter, result string, took time.Duration)
}

// Panel is all filters that are configured. Safe for concurrent use.
type Panel struct {
	o       Options
	filters []*member
}

// member is a filter with what is known of its health.
type member struct {
	Setting
	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // nobody asks before
}

// New returns a Panel. It starts nothing. The error is of kind mail.Invalid.
func New(o Options) (*Panel, error) {
	p := &Panel{o: o}
	for _, s := range o.Filters {
		if s.Name == "" || s.Filter == nil || s.Down != Accept && s.Down != Defer {
			return nil, mail.Errorf(mail.Invalid, "the filter %q cannot be used: it needs a name, somebody to ask, and accept or defer for when it is down", s.Name)
		}
		for _, m := range p.filters {
			if m.Name == s.Name {
				return nil, mail.Errorf(mail.Invalid, "two filters have the name %q", s.Name)
			}
		}
		s.Time = cmp.Or(s.Time, DefaultTime)
		p.filters = append(p.filters, &member{Setting: s})
	}
	return p, nil
}

// Empty reports whether nobody is asked.
func (p *Panel) Empty() bool { return p == nil || len(p.filters) == 0 }

// Case is one message on its way past the filters. One goroutine at a time uses it.
type Case struct {
	panel   *Panel
	id      string
	seats   []*seat // of the filters that are still asked, in order
	unknown []string
	last    Answer // of who wanted no more of the whole message
	ending  bool   // all was said: who answers now is well
}

// seat is a filter in a case.
type seat struct {
	*member
	talk Conversation
	done bool
}

// Open begins with a message. An answer that is not Continue is that to MAIL; Discard
// is Continue, and the message is thrown away at the end.
func (p *Panel) Open(ctx context.Context, c Connection, from Sender) (*Case, Answer) {
	k := &Case{panel: p, id: c.ID}
	if p == nil {
		return k, Answer{}
	}
	for _, m := range p.filters {
		s := &seat{member: m}
		a := k.ask(ctx, s, func(ctx context.Context) (a Answer, err error) {
			s.talk, a, err = m.Filter.Open(ctx, c, from)
			return a, err
		})
		if k.seats = append(k.seats, s); a.Do == Reject || a.Do == Defer {
			return k, a
		}
	}
	return k, Answer{}
}

// Rcpt tells of a recipient. An answer that is not Continue is that to RCPT.
func (k *Case) Rcpt(ctx context.Context, to Recipient) Answer {
	if k.last.Do >= Defer {
		return k.last
	}
	for _, s := range k.seats {
		if s.done {
			continue
		}
		a := k.ask(ctx, s, func(ctx context.Context) (Answer, error) { return s.talk.Rcpt(ctx, to) })
		if a.Do >= Defer {
			return a
		}
	}
	return Answer{}
}

// ask makes one step.
func (k *Case) ask(ctx context.Context, s *seat, step func(context.Context) (Answer, error)) Answer {
	if !k.panel.mayAsk(s.member) {
		return k.skip(s)
	}
	bounded, cancel := context.WithTimeout(ctx, s.Time)
	defer cancel()
	start := k.panel.o.Now()
	a, err := step(bounded)
	return k.settle(ctx, s, a, err, k.panel.o.Now().Sub(start))
}

// settle keeps account of a step. After Accept and Discard the filter is asked no
// more; to others both are Continue.
func (k *Case) settle(ctx context.Context, s *seat, a Answer, err error, took time.Duration) Answer {
	switch {
	case err != nil && ctx.Err() != nil: // The client is gone: that says nothing about the filter.
		s.leave()
		return Answer{}
	case err != nil:
		k.panel.observe(s.member, "down", took)
		k.panel.failed(s.member, err, k.id)
		return k.down(s)
	}
	k.panel.observe(s.member, a.Do.String(), took)
	if k.ending || a.Do != Continue {
		k.panel.answered(s.member)
	}
	switch a.Do {
	case Discard:
		k.last = a
		fallthrough
	case Accept:
		s.leave()
		return Answer{}
	}
	return a
}

// skip is down for a filter for which nobody waits.
func (k *Case) skip(s *seat) Answer {
	k.panel.observe(s.member, "skipped", 0)
	return k.down(s)
}

// down is what is done without a filter.
func (k *Case) down(s *seat) Answer {
	s.leave()
	if s.Down == Defer {
		k.last = Answer{Do: Defer, Reply: Reply{Code: 451, Enhanced: mail.Enhanced{Class: 4, Subject: 3, Detail: 0},
			Text: "a filter that has to see mail is not available; try again later"}}
		return k.last
	}
	k.unknown = append(k.unknown, "what the filter "+s.Name+" thinks: it does not answer")
	return Answer{}
}

// leave ends a conversation.
func (s *seat) leave() {
	s.done = true
	if s.talk != nil {
		s.talk.Close()
	}
	s.talk = nil
}

// Close ends the case. It can be called more than once.
func (k *Case) Close() {
	for _, s := range k.seats {
		s.leave()
	}
	k.seats = nil
}

// Result is what is to become of a message by its filters.
type Result struct {
	Answer            // Discard, Defer and Reject are of the whole message
	Filter     string // who said so
	Quarantine string // why it is to be kept aside: it goes into Junk
	// Message is the one with the changes, nil if there are none. The caller
	// closes it.
	Message *intake.Message
	Sender  *mail.ReversePath
	Add     []mail.Address
	Remove  []mail.Address
	Facts   []Fact
	Unknown []string
}

// End shows the message to all that are left, and closes the case.
func (k *Case) End(ctx context.Context, m *intake.Message) Result {
	defer k.Close()
	r := Result{}
	if k.last.Do >= Defer {
		r.Answer = k.last
		return r
	}
	if _, err := m.Finish(); err != nil { // It cannot be taken, whatever they say.
		return r
	}
	k.ending = true
	watched := k.watch(ctx, m)
	now := m
	for _, s := range k.seats {
		if s.done || s.Filter.Watches() || !k.wants(s, m) {
			continue
		}
		if changed := k.show(ctx, s, now, &r); changed != nil {
			if now != m {
				now.Close()
			}
			now, r.Message = changed, changed
		}
		if r.Do >= Defer {
			break
		}
	}
	watched(&r)
	if k.last.Do > r.Do {
		r.Answer = k.last
	}
	r.Unknown = k.unknown
	return r
}

// watch asks those who only look, side by side. What it returns waits for them, and
// adds what they say.
func (k *Case) watch(ctx context.Context, m *intake.Message) func(*Result) {
	type told struct {
		seat *seat
		o    Outcome
		err  error
		took time.Duration
	}
	var all []*told
	var group sync.WaitGroup
	for _, s := range k.seats {
		switch {
		case s.done || !s.Filter.Watches() || !k.wants(s, m):
		case !k.panel.mayAsk(s.member):
			k.skip(s)
		default:
			t := &told{seat: s}
			all = append(all, t)
			group.Go(func() {
				start := k.panel.o.Now()
				t.o, t.err = look(ctx, s, m)
				t.took = k.panel.o.Now().Sub(start)
			})
		}
	}
	return func(r *Result) {
		group.Wait()
		for _, t := range all {
			k.settle(ctx, t.seat, t.o.Answer, t.err, t.took)
			if t.err == nil {
				r.add(t.seat.Name, t.o)
			}
		}
	}
}

// look is the question to one who only looks.
func look(ctx context.Context, s *seat, m *intake.Message) (Outcome, error) {
	bounded, cancel := context.WithTimeout(ctx, s.Time)
	defer cancel()
	c, err := m.Content()
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = c.Close() }()
	o, err := s.talk.End(bounded, Message{ReaderAt: c, Size: c.Size(), HeaderSize: m.HeaderSize()})
	if err == nil {
		err = o.check()
	}
	return o, err
}

// wants reports whether a filter is to see so large a message. It says if not.
func (k *Case) wants(s *seat, m *intake.Message) bool {
	if s.Largest == 0 || m.Size() <= s.Largest {
		return true
	}
	k.unknown = append(k.unknown, "what the filter "+s.Name+" thinks: the message is larger than it is to see")
	return false
}

// show asks one who may change the message, and makes the changes. It returns the message with
// them, nil if there are none.
func (k *Case) show(ctx context.Context, s *seat, m *intake.Message, r *Result) (changed *intake.Message) {
	var o Outcome
	k.ask(ctx, s, func(ctx context.Context) (Answer, error) {
		c, err := m.Content()
		if err != nil {
			return Answer{}, err
		}
		defer func() { _ = c.Close() }()
		var body *intake.Message
		defer func() {
			if body != nil {
				body.Close()
			}
		}()
		look := Message{ReaderAt: c, Size: c.Size(), HeaderSize: m.HeaderSize(), NewBody: func() io.Writer {
			if body == nil {
				body = k.panel.o.Begin()
			}
			return body
		}}
		if o, err = s.talk.End(ctx, look); err == nil {
			err = o.check()
		}
		if err == nil && o.Do <= Accept && (len(o.Fields) > 0 || body != nil) {
			changed, err = rewrite(k.panel.o.Begin, look, o.Fields, body)
		}
		if err != nil {
			o = Outcome{}
		}
		return o.Answer, err
	})
	r.add(s.Name, o)
	return changed
}

// add takes what a filter says into the result.
func (r *Result) add(name string, o Outcome) {
	if o.Do > Accept && o.Do > r.Do {
		r.Answer, r.Filter = o.Answer, name
	}
	if r.Quarantine == "" {
		r.Quarantine = o.Quarantine
	}
	if o.Sender != nil {
		r.Sender = o.Sender
	}
	r.Add, r.Remove = append(r.Add, o.Add...), append(r.Remove, o.Remove...)
	r.Facts = append(r.Facts, o.Facts...)
}

func (p *Panel) observe(m *member, result string, took time.Duration) {
	if p.o.Observe != nil {
		p.o.Observe(m.Name, result, took)
	}
}

// mayAsk reports whether it makes sense to wait for a filter.
func (p *Panel) mayAsk(m *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failures < Failures || !p.o.Now().Before(m.until)
}

// failed counts a failure, and tells the log.
func (p *Panel) failed(m *member, err error, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failures++; m.failures >= Failures {
		m.until = p.o.Now().Add(Pause)
	}
	what := map[Do]string{Accept: "mail is taken without it", Defer: "mail has to wait for it"}[m.Down]
	p.o.Log.Warn("a filter does not answer: "+what, "filter", m.Name, obs.KeyItem, id, obs.Err(err), obs.KeyCount, m.failures)
}

func (p *Panel) answered(m *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failures >= Failures {
		p.o.Log.Info("a filter answers again", "filter", m.Name)
	}
	m.failures = 0
}
