// Package store keeps mail: accounts' mailboxes, the messages in them, their
// flags and octets. It has never heard of a protocol.
//
// What it keeps true, and Check verifies:
//
//   - Every transaction that changes an account adds one to its ModSeq and
//     stamps what it changed with it (RFC 7162; JMAP state).
//   - UIDs are given in the transaction that makes them visible, ascending, and
//     never again (RFC 9051 §2.3.1.1). A name never sees the UIDVALIDITY it had
//     with other messages, nor a lower one; only a mailbox that never had a
//     message may adopt the numbering of where its messages come from.
//   - Counters change in the transaction that changes the rows they count.
//   - Keywords are kept once per mailbox, by number; a number gets another name
//     only when no message has it, and none that can be restored.
//   - Octets are kept once however many accounts have them, by SHA-256. A
//     message as seen is its prefix, which differs by recipient, then the octets.
//   - A thread holds emails of an account that share a message-id and the base
//     subject (RFC 8621 §3). An email never changes its thread.
//
// # States of a message
//
//	state        rows                                files            a crash leaves; who cleans up
//	incoming     none                                tmp/NAME         a file in tmp: blob.Open
//	finished     none                                NA/NAME, synced  an orphan: Run, after a grace
//	delivered    blob, content or file, email,       NA/NAME          all of it: this is the instant
//	             membership, tally, threadref                         of custody
//	expunged     membership gone; tombstone,         NA/NAME          all of it
//	             expunged; email and blob stay
//	copied       membership, email_index; copying while  -                all of it; Sweep takes
//	             the copy is not whole yet                                back what is not whole
//	restored     as delivered, with a new UID        NA/NAME          all of it
//	purged       email gone; blob and content gone   NA/NAME for a    an orphan: Run
//	             with the last email; tombstone      grace, then none
//	             gone; threadref with the last
//	             email of its thread, within a day
//
// In "delivered" all rows are of one commit; content above InlineMax is synced
// with its folder before. In "purged" the rows go first, the octets later.
// A mailbox that is deleted leaves at once; its messages follow in slices, as
// "doomed", and are then expunged. A copy adds a membership of the same email;
// the email is expunged with its last one. How a mailbox was called that is gone stands
// in "former" as long as what was in it can be restored. What lapses (Lapse) is
// expunged because of its age, not by its owner: its tombstones say \Seen, so that
// nobody is taken to have deleted it unread.
//
// # Slices
//
// What changes many messages does it in slices (sqldb.Slices), each a commit of
// its own with some thousand messages at most: SetFlags, Expunge and Move of any
// size hold the writer, and in memory, no more than that at once, and tell how
// far they came if they fail. Copy is all or nothing (RFC 9051 §6.4.7): each
// slice is seen when it is committed, and "copying" has its UIDs until the last
// one is. If a slice fails, those before it are expunged again, by Copy itself
// or, after a crash, by Sweep. UIDNEXT does not go back, and who meanwhile moved a
// copy elsewhere keeps it. A copy or move takes what was there when it began.
//
// # Views and events
//
// View is the numbering and flags of a mailbox: immutable, shared by all
// sessions, loaded once and then kept current by each commit before the caller
// that made it hears of it. A commit says which ModSeq of the mailbox it follows: a
// view that is not there yet reads the memory of changes, from its own ModSeq on. So
// it would for other processes' commits, of which Heard is to tell. Events are hints,
// published after that: one that is lost or comes twice costs latency, never truth.
//
// # Memory of changes
//
// Every commit that changes an account leaves a record of it: which emails came into
// which mailbox and left, which were flagged, which mailboxes came, changed and went,
// at which ModSeq. Changes lists them; a mailbox that is deleted is told at once, its
// emails as they follow. See changes.go.
//
// # Writers side by side
//
// On PostgreSQL transactions write side by side. What is an account's is changed by who
// has locked its row of tally, the first thing a ledger does; several accounts go in the
// order of their numbers. Sweeps lock the account too (lockAccount), whose number stands
// for it when it is gone. Octets are shared by all: one statement takes references, or
// makes the row, another gives them back, and who does either to many goes by their
// numbers; blobs come after accounts. Of an expunged email, a purge and a Restore, the
// one that deletes its row has it. Announcements of commits come in any order; see Views.
//
// What a transaction waits for is asked together: a delivery waits three times, however
// many accounts it goes to, long operations by bundles and slices.
//
// # Rows that cannot be read
//
// A row with a value that it cannot have, or a bundle that is damaged, is set aside:
// the log tells of it once, Check of each, and lists and sweeps go on with the others.
// A mailbox whose name mail.ParseMailboxName would not give, which nobody could ask for,
// is such a row, with all below it; a subscription too.
// A mailbox with such a bundle cannot be selected: to be shown what is left of it,
// clients would delete what they have of the rest. Deleted, it is not swept.
//
// # Quota
//
// What an account holds is the sum of the sizes of the messages in its
// mailboxes (RFC 9208 §5.1), a copy counted like any other, and their number.
// Whatever makes it more is weighed in its own transaction, in ledger.close, so
// that no way in is without it; what makes it less, or moves, never fails for it.
// Filings that say Ours are mail of this server itself and always find room.
// See quota.go.
//
// From an email its places, from a thread its emails and from an account its emails by
// when they came is one look into an index each: Places, ThreadEmails, Arrivals.
//
// It deliberately does not number messages for a session, search text or say
// what quota an account has.
package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/engine/turns"
	"yubin/internal/mail"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// Limits and sizes.
const (
	InlineMax     = 64 << 10  // octets of a message kept in the database; larger ones are files
	MaxPrefix     = 16 << 10  // octets of Filing.Prefix
	MaxFilings    = 1000      // of one Deliver
	MaxMailboxes  = 10000     // of one account
	MaxSubscribed = 20000     // names that one account is subscribed to
	MaxRetired    = 10000     // names that mailboxes of one account left, until they are folded into one
	MaxRows       = 512       // one call of Rows gives
	MaxRowOctets  = 1 << 20   // of caches and content one call of Rows gives, about
	maxSlice      = 8192      // messages that one transaction changes; it may end before, see sqldb.Slices
	maxUID        = 1<<32 - 1 // RFC 9051 §2.3.1.1
)

// Defaults of Options.
const (
	DefaultOrphanGrace = 24 * time.Hour
	DefaultViewMemory  = 256 << 20
	DefaultQuotaGrace  = 7 * 24 * time.Hour
)

// Options say what a Store is made of. Zero values mean the defaults.
type Options struct {
	DB      *sqldb.DB
	Blobs   *blob.Dir
	Publish func(Event) // must not block nor call the store; nil for none
	Now     func() time.Time
	Rand    io.Reader
	Log     *slog.Logger

	Holders []Holder // who else holds blobs, for Check

	Quotas Quotas // what accounts may hold; nil: whatever comes
	Warn   func() // an account is to be warned, see Warnings; must not block. Nil for none

	Retention   Retention     // how long what is gone is kept
	OrphanGrace time.Duration // how long a file without a row stays
	ViewMemory  int64         // octets that views may take
}

// Retention says how long the store keeps what nobody sees any more. Zero values mean
// the defaults.
type Retention struct {
	Expunged     time.Duration // how long an expunged message can be restored
	Changes      time.Duration // how long it is known what changed; what is later than the last that is forgotten
	ChangeOctets int64         // of an account's changes at most, about; the oldest are forgotten, however old
}

// DefaultRetention is what a Store keeps if it is told nothing else.
func DefaultRetention() Retention {
	return Retention{Expunged: 7 * 24 * time.Hour, Changes: 30 * 24 * time.Hour, ChangeOctets: 8 << 20}
}

// SetRetention changes what is kept from now on.
func (s *Store) SetRetention(r Retention) {
	d := DefaultRetention()
	s.retention.Store(&Retention{cmp.Or(r.Expunged, d.Expunged), cmp.Or(r.Changes, d.Changes), cmp.Or(r.ChangeOctets, d.ChangeOctets)})
}

// Retention is what is kept.
func (s *Store) Retention() Retention { return *s.retention.Load() }

// Store is the mail store. Safe for concurrent use.
type Store struct {
	db    *sqldb.DB
	blobs *blob.Dir
	opt   Options
	log   *slog.Logger
	aside sqldb.Aside // rows that cannot be read
	now   func() time.Time
	views *views

	renames *turns.Table // one of an account at a time: a second would only overtake the plan of the first

	announces func(announce func()) // of tests: has announcements come late, twice or never; nil makes them

	recents    recents
	copies     copies
	damages    damages
	usages     usages
	quotaGrace atomic.Int64 // a time.Duration
	retention  atomic.Pointer[Retention]

	arriving sync.Map // names of the files of messages on their way: no row may name them yet

	garbageMu sync.Mutex
	garbage   []dropped // files whose rows are gone, oldest first
}

// Open prepares the tables and returns the store. It keeps no goroutines; see Run.
func Open(ctx context.Context, o Options) (*Store, error) {
	o.setDefaults()
	s := &Store{db: o.DB, blobs: o.Blobs, opt: o, log: o.Log, now: o.Now, aside: sqldb.Aside{Log: o.Log}, views: newViews(o.ViewMemory),
		renames: turns.New(math.MaxInt, 1, 1)}
	s.SetQuotaGrace(DefaultQuotaGrace)
	s.SetRetention(o.Retention)
	if err := s.db.Migrate(ctx, "store", schema()); err != nil {
		return nil, err
	}
	return s, nil
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Publish == nil {
		o.Publish = func(Event) {}
	}
	if o.Warn == nil {
		o.Warn = func() {}
	}
	if o.OrphanGrace == 0 {
		o.OrphanGrace = DefaultOrphanGrace
	}
	if o.ViewMemory == 0 {
		o.ViewMemory = DefaultViewMemory
	}
}

// internal says that something is wrong with what we stored, and logs it.
func (s *Store) internal(format string, args ...any) error {
	err := mail.Errorf(mail.Internal, format, args...)
	s.log.Error("store is damaged", "err", err)
	return err
}
