// Package forward gives mail that is sent on a reverse-path of ours, and finds out whose
// it was when a report about it comes back.
//
// Mail for an alias goes on to others in the name of the alias' domain: with the
// sender's reverse-path the next host would find by SPF that this server may not send
// for it. The Sender Rewriting Scheme makes one of ours out of it (mailauth/srs), keyed
// and for some days, so that a report finds its way home and nothing else does.
//
// A forward that fails is told to the sender if he had logged in, or his domain had
// authenticated the reverse-path when the message came; else to the postmaster of the alias' domain, whose
// forward it was, and to nobody else: reports about forged mail must not go to whom it
// was forged on. Which of the two it is the address says itself, by the key that made it.
//
// # State
//
//	forward_key     the secrets, sealed (world/secrets); the newest makes addresses, all
//	                of them are known
//	forward_handle  senders who are proven and whose addresses are too long to be
//	                rewritten, by the name that stands for them, for as long as such
//	                an address leads back
//
// Where the secrets cannot be read mail goes on with the sender's own reverse-path, and
// the log says so: better a forward that some refuse than none.
package forward

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/srs"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// keySize is how many octets a secret has.
const keySize = 32

// purpose is that of what is sealed.
const purpose = "srs"

// Secrets seals and opens: *secrets.Keyring.
type Secrets interface {
	Seal(purpose, row string, secret []byte) ([]byte, error)
	Open(purpose, row string, sealed []byte) ([]byte, error)
}

// Domains knows which domains are ours.
type Domains interface {
	IsLocal(ctx context.Context, d mail.Domain) (bool, error)
}

// Options are what a Forwarder is made of.
type Options struct {
	DB      *sqldb.DB
	Secrets Secrets
	Domains Domains
	Random  io.Reader
	Now     func() time.Time
	Log     *slog.Logger
}

// Forwarder rewrites. Safe for concurrent use.
type Forwarder struct {
	o Options

	mu     sync.Mutex
	both   *rewriters // nil until they are needed
	warned bool
}

// rewriters are two, by whether the sender was proven.
type rewriters struct{ proven, strangers *srs.Rewriter }

// Open prepares the tables. The secret is made when it is needed first.
func Open(ctx context.Context, o Options) (*Forwarder, error) {
	if err := o.DB.Migrate(ctx, "forward", schema()); err != nil {
		return nil, err
	}
	return &Forwarder{o: o}, nil
}

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "forward", Steps: schema()} }

func schema() []string {
	return []string{`
	CREATE TABLE forward_key (
		id {id},
		sealed {blob} NOT NULL,
		made {int} NOT NULL -- seconds since 1970
	);
	CREATE TABLE forward_handle (
		handle {text} PRIMARY KEY,
		sender {text} NOT NULL,
		last {int} NOT NULL -- seconds since 1970: an address was made with it
	)`}
}

// ReversePath is that of mail of a sender which goes on in the name of a domain of ours.
// Null senders keep theirs, and senders of ours who are proven: who is not may be forged
// in the name of one of ours.
func (f *Forwarder) ReversePath(ctx context.Context, sender mail.ReversePath, proven bool, at mail.Domain) mail.ReversePath {
	if sender.IsNull() {
		return sender
	}
	ours, err := f.o.Domains.IsLocal(ctx, sender.Domain)
	if err != nil || ours && proven {
		return sender
	}
	both, err := f.rewriters(ctx, true)
	if err != nil {
		f.warn(err)
		return sender
	}
	now := f.o.Now()
	if !proven {
		path, err := both.strangers.Forward(sender, at, now)
		if err != nil || ours { // Reports go to the postmaster, whoever this stands for.
			path, _ = both.strangers.Handle(sender, at, now)
		}
		return path
	}
	path, err := both.proven.Forward(sender, at, now)
	if errors.Is(err, srs.ErrTooLong) {
		var handle string
		path, handle = both.proven.Handle(sender, at, now)
		err = f.remember(ctx, handle, sender, now)
	}
	if err != nil {
		f.warn(err)
		return sender
	}
	return path
}

// Looks reports whether an address may be one that ReversePath made.
func Looks(a mail.Address) bool {
	return len(a.Local) > 5 && (strings.EqualFold(a.Local[:4], "SRS0") || strings.EqualFold(a.Local[:4], "SRS1"))
}

// Return says whom mail to an address that ReversePath made is for. The error is of
// kind NotFound or Forbidden, with a text for who sent it, if it made no such address
// or that has expired.
func (f *Forwarder) Return(ctx context.Context, a mail.Address) (mail.Address, error) {
	both, err := f.rewriters(ctx, false)
	if err != nil {
		return mail.Address{}, mail.Errorf(mail.Unavailable, "where reports about forwarded mail go cannot be found out now")
	}
	if both == nil {
		return mail.Address{}, srs.ErrForged
	}
	now := f.o.Now()
	origin, err := both.proven.Reverse(a, now)
	if errors.Is(err, srs.ErrForged) {
		if _, err = both.strangers.Reverse(a, now); err == nil {
			return mail.Address{Local: "postmaster", Domain: a.Domain}, nil
		}
	}
	if err != nil {
		return mail.Address{}, err
	}
	if origin.Handle == "" {
		return origin.Sender, nil
	}
	return f.recall(ctx, origin.Handle)
}

func (f *Forwarder) warn(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.warned {
		f.warned = true
		f.o.Log.Error("forwarded mail goes on with its sender's own reverse-path, which others may refuse, until this is repaired and the server starts again", obs.Err(err))
	}
}

// rewriters are those of the secrets; nil if there are none and none is to be made.
func (f *Forwarder) rewriters(ctx context.Context, make bool) (*rewriters, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.both != nil {
		return f.both, nil
	}
	keys, err := f.keys(ctx, make)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	both := &rewriters{}
	for _, side := range []struct {
		name string
		into **srs.Rewriter
	}{{"proven", &both.proven}, {"strangers", &both.strangers}} {
		var own [][]byte
		for _, k := range keys {
			own = append(own, derive(k, side.name))
		}
		if *side.into, err = srs.New(own, srs.DefaultExpiry); err != nil {
			return nil, err
		}
	}
	f.both = both
	return both, nil
}

// derive is a key of its own for a use of another.
func derive(key []byte, use string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(use))
	return h.Sum(nil)
}
