// Package feedback finds out what people do with their mail, for who learns from it. It
// follows the memory of changes (store.Changes), so it does not matter by which client
// or protocol somebody moved a message, nor whether anybody was listening.
//
// # What is read out of changes
//
//	Junked         it came into the mailbox with the role junk from another, or got the
//	               keyword $Junk; a copy there counts too
//	NotJunk        it left that mailbox for another than Trash, got $NotJunk, or lost $Junk
//	taken back     a copy in Junk was expunged while the message stays where it was, or
//	               $NotJunk was taken away: what was learned is unlearned
//	Filed          it was moved from INBOX to a mailbox of the owner's own that is not
//	               called as one for junk or trash usually is, or to Archive
//	DeletedUnread  it was moved to Trash, or expunged from elsewhere, without \Seen
//	Answered       it has \Answered
//
// What was answered elsewhere than in Junk, or filed, was wanted, though nobody said so:
// unless it is called something, Lessons is told that it was kept.
//
// Nothing is a lesson that comes to be: what a judge put into Junk, what an import, a
// restore or APPEND brought. What is expunged stays learned. Of what was done between
// two looks the last counts, each at its place in the order of changes; keywords, of
// which changes say only that there was one, are taken as they are now.
//
// # States of an account
//
//	feedback_cursor   up to which change all was told; it may be behind by as many as
//	                  cursorLag changes of which nothing was to be told
//	feedback_mark     what is known of an email: how it was called last, its keywords
//	                  then, which deeds were told; gone with the email
//
// A look reads what changed since the cursor, tells Lessons, which can be told twice,
// then, in one transaction, Acquaintances with the marks and the cursor. So whatever a
// crash cuts short is done again with the same outcome, and lessons and acquaintances
// are exact. Two processes that look at an account at the same time: one of them finds
// that the cursor moved, and what it did was done already.
//
// When the memory of changes does not go back to the cursor, it goes on from now:
// what was missed is no lesson.
//
// Events are hints (Heard): accounts with them are looked at soon, those to which mail
// came and nothing else a few minutes later, and those that nobody told of once a day.
// One account is looked at at a time, for one batch of changes; then comes the next.
//
// It deliberately does not learn: it has no model, and does not read octets.
package feedback

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/engine/history"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Limits.
const (
	batchChanges = 2048            // of one look, and what is left of a commit
	cursorLag    = 256             // commits that a cursor may be behind
	maxDeeds     = 512             // Filed and DeletedUnread of one look: who does more tidies up, and teaches nothing by it
	MaxMarks     = 16 << 10        // of one account, about; the oldest emails' go
	MaxWaiting   = 64 << 10        // accounts that wait for a look; for more all are looked through
	gather       = time.Second / 4 // from a hint to the look
	laterEvery   = 5 * time.Minute // for accounts to which mail came and nothing else
	surveyEvery  = 24 * time.Hour
)

// Lessons learns from emails what is junk. Each call can be repeated: what is learned
// already stays as it is, and what was learned otherwise is unlearned before. Emails
// that cannot be read any more are left out.
type Lessons interface {
	Learn(ctx context.Context, account mail.AccountID, emails []mail.EmailID, junk bool) error
	Unlearn(ctx context.Context, account mail.AccountID, emails []mail.EmailID) error
	// LearnKept learns that emails are not junk from those of them that it takes for junk
	// rather than not; what it learned of others as junk it takes back.
	LearnKept(ctx context.Context, account mail.AccountID, emails []mail.EmailID) error
}

// Acquaintances remembers what was done with whose mail, in the transaction that makes
// it known.
type Acquaintances interface {
	Acted(tx *sqldb.Tx, account mail.AccountID, deeds []history.Deed)
}

// Options are what a Follower is made of.
type Options struct {
	DB            *sqldb.DB
	Store         *store.Store
	Lessons       Lessons
	Acquaintances Acquaintances
	Log           *slog.Logger
}

// Follower follows what changes. Safe for concurrent use.
type Follower struct {
	o     Options
	aside sqldb.Aside // accounts that cannot be read

	looking sync.Mutex // one look at a time
	ahead   map[mail.AccountID]ahead

	mu     sync.Mutex
	soon   queue
	later  map[mail.AccountID]bool
	missed bool          // more waited than there is room for
	poked  chan struct{} // soon has somebody
}

// Open prepares the tables. It starts nothing; see Run.
func Open(ctx context.Context, o Options) (*Follower, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.DB.Migrate(ctx, "feedback", schema()); err != nil {
		return nil, err
	}
	return &Follower{o: o, aside: sqldb.Aside{Log: o.Log}, ahead: make(map[mail.AccountID]ahead),
		later: make(map[mail.AccountID]bool), poked: make(chan struct{}, 1)}, nil
}

// queue is accounts in the order in which they came, each once.
type queue struct {
	list []mail.AccountID
	in   map[mail.AccountID]bool
}

func (q *queue) add(id mail.AccountID) {
	if !q.in[id] {
		if q.in == nil {
			q.in = make(map[mail.AccountID]bool)
		}
		q.in[id] = true
		q.list = append(q.list, id)
	}
}

func (q *queue) take() (id mail.AccountID, ok bool) {
	if len(q.list) == 0 {
		*q = queue{}
		return 0, false
	}
	id, q.list = q.list[0], q.list[1:]
	delete(q.in, id)
	return id, true
}

// Heard is told of events of the store. It is quick and waits for nothing.
func (f *Follower) Heard(e store.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case len(f.soon.list)+len(f.later) >= MaxWaiting:
		f.missed = true
	case e.Came:
		f.later[e.Account] = true
	default:
		f.hurry(e.Account)
	}
}

// hurry has an account looked at soon.
func (f *Follower) hurry(id mail.AccountID) {
	delete(f.later, id)
	f.soon.add(id)
	select {
	case f.poked <- struct{}{}:
	default:
	}
}

// Run looks at accounts until ctx ends: those first that changed while nobody did.
func (f *Follower) Run(ctx context.Context) {
	survey, later := time.NewTicker(surveyEvery), time.NewTicker(laterEvery)
	defer survey.Stop()
	defer later.Stop()
	due := true
	for {
		if due {
			if err := f.survey(ctx); err != nil && ctx.Err() == nil {
				f.o.Log.Warn("what people did with their mail is looked through later", obs.Err(err))
			}
		}
		f.work(ctx)
		select {
		case <-ctx.Done():
			return
		case <-survey.C:
			due = true
		case <-later.C:
			due = f.ripen()
		case <-f.poked:
			due = false
			select {
			case <-ctx.Done():
				return
			case <-time.After(gather): // More comes with it, as a rule.
			}
		}
	}
}

// ripen makes later soon, and says whether there is more than is known.
func (f *Follower) ripen() (missed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.later {
		f.hurry(id)
	}
	missed, f.missed = f.missed, false
	return missed
}

// work looks at all accounts that wait, each for one batch in its turn.
func (f *Follower) work(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		id, ok := f.soon.take()
		f.mu.Unlock()
		if !ok {
			return
		}
		more, err := f.look(ctx, id)
		f.mu.Lock()
		switch {
		case err != nil && ctx.Err() == nil:
			if !f.aside.Takes(err) {
				f.o.Log.Warn("what somebody did with his mail is looked at later", "account", int64(id), obs.Err(err))
				f.later[id] = true
			}
		case more:
			f.soon.add(id)
		}
		f.mu.Unlock()
	}
}

// Look looks at an account at once, until all was told.
func (f *Follower) Look(ctx context.Context, account mail.AccountID) error {
	for more := true; more; {
		var err error
		if more, err = f.look(ctx, account); err != nil {
			return err
		}
	}
	return nil
}

// LookAll looks at all accounts at once.
func (f *Follower) LookAll(ctx context.Context) error {
	if err := f.survey(ctx); err != nil {
		return err
	}
	f.work(ctx)
	return ctx.Err()
}

// surveyPage is how many accounts are compared at once.
const surveyPage = 1024

// survey finds accounts of which not all was told, and drops what is left of those that
// are gone.
func (f *Follower) survey(ctx context.Context) error {
	after := mail.AccountID(0)
	for {
		states, err := f.o.Store.AccountStates(ctx, after, surveyPage)
		if err != nil {
			return err
		}
		last := mail.AccountID(1<<63 - 1)
		if len(states) == surveyPage {
			last = states[len(states)-1].Account
		}
		cursors, err := f.cursors(ctx, after, last)
		if err != nil {
			return err
		}
		for _, s := range states {
			if cursors[s.Account].ModSeq < s.ModSeq {
				f.mu.Lock()
				f.hurry(s.Account)
				f.mu.Unlock()
			}
			delete(cursors, s.Account)
		}
		for id := range cursors { // Their accounts are gone.
			if err := f.forget(ctx, id); err != nil {
				return err
			}
		}
		if after = last; len(states) < surveyPage {
			return nil
		}
	}
}
