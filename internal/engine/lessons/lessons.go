// Package lessons keeps what was learned of junk: the models of engine/junk in the
// database, and with each message that something was learned from, what that was, so
// that it can be taken back.
//
// # What is kept
//
//	lesson_model   an account's model, 0 is the site's: its version, how many messages
//	               were learned as junk and as not, and when the last was
//	lesson_page    its weights, in pages; the site's, nearly all of which change with each
//	               message, are written once in pagesEvery versions
//	lesson_log     what was done to the site's model since then, message by message
//	lesson         what was learned from one message of an account: as what, when, and
//	               what it changed (engine/junk's). By its number for an email, by the
//	               hash of its octets for one that somebody trained with
//
// # What holds
//
//   - A message is learned once for an account, as junk or as not. Learning it again the
//     same way does nothing; the other way, and unlearning, first takes back exactly
//     what it changed. All three can be repeated.
//   - What was learned, its count and the pages that it changed, or
//     the log, are one commit. Models
//     are read and written by who has locked them, the site's first, and who finds
//     another version than the one in memory reads it anew: so several processes can
//     share them, and never overwrite each other.
//   - Who owns an account teaches the site MaxTaught messages a day, and beyond that their own model alone: one
//     person does not decide what is junk for all.
//   - An account keeps MaxLessons; the oldest go, and what they taught then stays.
//   - The site's model is always in memory, those of accounts as they are asked for,
//     MaxModels at most. They hear of changes by the version, when something is
//     learned or they are FreshFor old.
//   - All but what the site's model was taught goes with its account (Drop).
//
// It deliberately does not know why something is junk (engine/feedback), nor what in
// it says so (engine/junk, engine/extract).
package lessons

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/engine/extract"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// Limits.
const (
	MaxLessons = 4096            // of one account that can be taken back, about; the site's own too
	MaxTaught  = 100             // messages by which an account teaches the site in a day
	MaxModels  = 1024            // of accounts in memory
	FreshFor   = 5 * time.Minute // how long a model in memory is believed
	batch      = 32              // messages of one commit
	pagesEvery = 64              // versions of the site's model after which its pages are written
)

// Site is the account of the model of all.
const Site mail.AccountID = 0

// Store opens emails.
type Store interface {
	OpenEmail(ctx context.Context, account mail.AccountID, email mail.EmailID) (*store.Content, message.Form, error)
}

// Options are what a Book is made of.
type Options struct {
	DB      *sqldb.DB
	Store   Store
	Learner Learner
	Fresh   func() Learner // one that knows nothing, for Check; nil: what pages say is not checked
	Now     func() time.Time
	Log     *slog.Logger
}

// Book is all that was learned. Safe for concurrent use.
type Book struct {
	o       Options
	writing sync.Mutex // one learns at a time

	mu     sync.RWMutex // guards what follows: models are asked under its read half
	models models
}

// Open prepares the tables and reads the site's model. It starts nothing.
func Open(ctx context.Context, o Options) (*Book, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.DB.Migrate(ctx, "lessons", schema()); err != nil {
		return nil, err
	}
	b := &Book{o: o, models: newModels(o.Learner)}
	return b, b.refresh(ctx, Site)
}

// item is a message to be learned from.
type item struct {
	key      string
	learn    bool // else what was learned is taken back
	features Features
	junk     bool
	doubted  bool // only if the models take it for the other thing
	byOwner  bool // by who has the mail: MaxTaught a day teach the site
}

// emailKey is what a lesson of an email is found by, octetsKey that of others.
func emailKey(id mail.EmailID) string { return fmt.Sprint(int64(id)) }

func octetsKey(sum [sha256.Size]byte) string { return fmt.Sprintf("sha256:%x", sum) }

// Learn learns from emails of an account that they are junk, or that they are not.
// Emails that cannot be read any more are left out.
func (b *Book) Learn(ctx context.Context, account mail.AccountID, emails []mail.EmailID, junk bool) error {
	return b.learn(ctx, account, emails, item{learn: true, junk: junk, byOwner: true})
}

// LearnKept learns from emails that are not junk, though nobody said so, what it is
// wrong about: those that the models take for junk rather than not. What was learned of
// others as junk is taken back, as not junk stays. So mail that nobody calls anything, which
// is nearly all, does not outweigh the junk that somebody does.
func (b *Book) LearnKept(ctx context.Context, account mail.AccountID, emails []mail.EmailID) error {
	return b.learn(ctx, account, emails, item{learn: true, doubted: true, byOwner: true})
}

func (b *Book) learn(ctx context.Context, account mail.AccountID, emails []mail.EmailID, how item) error {
	var list []item
	for i, id := range emails {
		f, err := b.read(ctx, account, id)
		switch {
		case err != nil && (mail.KindOf(err) == mail.NotFound || mail.KindOf(err) == mail.Internal):
			b.o.Log.Warn("nothing is learned from an email", "account", int64(account), "email", int64(id), "err", err)
		case err != nil:
			return err
		default:
			how.key, how.features = emailKey(id), f
			list = append(list, how)
		}
		if len(list) == batch || i == len(emails)-1 {
			if err := b.apply(ctx, account, list); err != nil {
				return err
			}
			list = list[:0]
		}
	}
	return nil
}

// Unlearn takes back what was learned from emails.
func (b *Book) Unlearn(ctx context.Context, account mail.AccountID, emails []mail.EmailID) error {
	var list []item
	for i, id := range emails {
		list = append(list, item{key: emailKey(id)})
		if len(list) == batch || i == len(emails)-1 {
			if err := b.apply(ctx, account, list); err != nil {
				return err
			}
			list = list[:0]
		}
	}
	return nil
}

// read reads what an email says.
func (b *Book) read(ctx context.Context, account mail.AccountID, id mail.EmailID) (Features, error) {
	content, form, err := b.o.Store.OpenEmail(ctx, account, id)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return b.o.Learner.Features(extract.Read(content, form.Root())), nil
}

// Sample is a message that somebody shows, such as one of a folder of junk.
type Sample struct {
	features Features
	key      string
}

// MaxSample is how large a Sample may be, in octets.
const MaxSample = 64 << 20

// Read reads a Sample, with CRLF. TooLarge if it is.
func (b *Book) Read(octets []byte) (Sample, error) {
	if len(octets) > MaxSample {
		return Sample{}, mail.Errorf(mail.TooLarge, "it is too large")
	}
	parser := message.NewParser()
	if _, err := parser.Write(octets); err != nil {
		return Sample{}, err
	}
	content := extract.Read(readerAt(octets), parser.Finish().Root)
	return Sample{b.o.Learner.Features(content), octetsKey(sha256.Sum256(octets))}, nil
}

// readerAt is octets in memory.
type readerAt []byte

func (r readerAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off >= int64(len(r)) {
		return 0, io.EOF
	}
	if n = copy(p, r[off:]); n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Train learns from samples for an account, or for the site alone.
func (b *Book) Train(ctx context.Context, account mail.AccountID, samples []Sample, junk bool) error {
	return b.samples(ctx, account, samples, func(s Sample) item { return item{key: s.key, learn: true, features: s.features, junk: junk} })
}

// Untrain takes back what was learned from samples.
func (b *Book) Untrain(ctx context.Context, account mail.AccountID, samples []Sample) error {
	return b.samples(ctx, account, samples, func(s Sample) item { return item{key: s.key} })
}

func (b *Book) samples(ctx context.Context, account mail.AccountID, samples []Sample, of func(Sample) item) error {
	for len(samples) > 0 {
		n := min(batch, len(samples))
		list := make([]item, n)
		for i := range list {
			list[i] = of(samples[i])
		}
		if err := b.apply(ctx, account, list); err != nil {
			return err
		}
		samples = samples[n:]
	}
	return nil
}

// Scorer takes up what a message says. What it returns says what an account's model, with
// the site's, thinks of it: log-odds that it is junk, 0 if it does not know.
func (b *Book) Scorer(c *extract.Content) func(ctx context.Context, account mail.AccountID) (float64, error) {
	f := b.o.Learner.Features(c)
	return func(ctx context.Context, account mail.AccountID) (float64, error) { return b.score(ctx, account, f) }
}

// Test is what a Scorer says, of a Sample.
func (b *Book) Test(ctx context.Context, account mail.AccountID, s Sample) (float64, error) {
	return b.score(ctx, account, s.features)
}

func (b *Book) score(ctx context.Context, account mail.AccountID, f Features) (float64, error) {
	for _, id := range scopes(account) {
		b.mu.RLock()
		fresh := b.models.fresh(id, b.o.Now())
		b.mu.RUnlock()
		if !fresh {
			if err := b.refresh(ctx, id); err != nil {
				return 0, err
			}
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.models.Score(account, f), nil
}

// scopes are the models of an account, in the order in which they are locked.
func scopes(account mail.AccountID) []mail.AccountID {
	if account == Site {
		return []mail.AccountID{Site}
	}
	return []mail.AccountID{Site, account}
}

// Stats says how much was learned.
type Stats struct {
	Junk, Ham int64     // messages that are learned now
	Last      time.Time // when something was learned or taken back; zero for never
	Lessons   int64     // that can be taken back
	Octets    int64     // of the model, as it is kept
}

// Stats says how much an account's model was taught, or the site's.
func (b *Book) Stats(ctx context.Context, account mail.AccountID) (s Stats, err error) {
	err = b.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		m, err := readModel(tx, account)
		if err != nil {
			return err
		}
		s = Stats{Junk: m.junk, Ham: m.ham}
		if m.at != 0 {
			s.Last = time.Unix(m.at, 0).UTC()
		}
		if account == Site { // What was learned of anybody's mail, and what is not in its pages yet.
			return tx.QueryRow(`SELECT (SELECT count(*) FROM lesson),
				(SELECT coalesce(sum(length(octets)), 0) FROM lesson_page WHERE account = 0) + (SELECT coalesce(sum(length(octets)), 0) FROM lesson_log)`).
				Scan(&s.Lessons, &s.Octets)
		}
		return tx.QueryRow(`SELECT (SELECT count(*) FROM lesson WHERE account = $1),
			(SELECT coalesce(sum(length(octets)), 0) FROM lesson_page WHERE account = $1)`, int64(account)).Scan(&s.Lessons, &s.Octets)
	})
	return s, err
}

// Drop removes an account's model and its lessons, in the transaction that removes the
// account. What the site learned from it stays.
func (b *Book) Drop(tx *sqldb.Tx, account mail.AccountID) {
	for _, q := range []string{`DELETE FROM lesson_page WHERE account = $1`, `DELETE FROM lesson WHERE account = $1`,
		`DELETE FROM lesson_model WHERE account = $1`} {
		tx.Do(q, int64(account))
	}
	tx.OnCommit(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.models.forget(account)
	})
}

// Accounts lists accounts that have a model, after one, by their numbers.
func (b *Book) Accounts(ctx context.Context, after mail.AccountID, limit int) (list []mail.AccountID, err error) {
	err = b.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT account FROM lesson_model WHERE account > $1 ORDER BY account LIMIT $2`, int64(after), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id mail.AccountID
			if err := rows.Scan(&id); err != nil {
				return err
			}
			list = append(list, id)
		}
		return rows.Err()
	})
	return list, err
}
