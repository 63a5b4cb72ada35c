// Package srs rewrites the reverse-path of mail that is forwarded, so that it is one
// of ours, and finds the original when a report comes back: the Sender Rewriting
// Scheme (Meng Weng Wong and Shevek, 2003; no RFC has it).
//
//	SRS0=HASH=TT=example.org=alice@we.example    alice@example.org, forwarded here
//	SRS1=HASH=first.example=REST@we.example      SRS0REST@first.example, forwarded there and then here
//	SRS0=HASH=TT==HANDLE@we.example              whom the caller remembers as HANDLE
//
// TT is the day, and HASH says that we wrote it: an HMAC-SHA256 with a secret key over
// the whole address and the day, of 80 bits if there is room and of 40 at least.
// So nothing but an address that was issued here leads anywhere, for some days,
// and only to a sender of whom we forwarded mail. In SRS1 the day is the beginning of
// HASH, where others do not look; reports go to the first forwarder, who knows
// the sender.
//
// A local part has 64 octets at most (RFC 5321 §4.5.3.1.1). What does not fit is
// ErrTooLong, as no function of the sender alone is shorter than the sender: the
// caller can remember the sender by the name that Handle gives, which always fits.
//
// Servers may change the case of a local part on the way: an address leads back
// whatever its case, and to a local part whose case is that which came.
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"yubin/internal/mail"
)

// Limits and lengths.
const (
	MinKey        = 16                  // octets of a key
	DefaultExpiry = 21 * 24 * time.Hour // how long an address leads back
	MaxExpiry     = 500 * 24 * time.Hour

	maxHash   = 16 // characters of a hash, 5 bits each
	minHash   = 8
	handleLen = 16
	cycle     = 1 << 10 // days after which TT begins anew
	ahead     = 1       // days that the clock of another of our nodes may be ahead
)

// Why an address leads nowhere, or there is none. Text is for who sent to it.
var (
	ErrNotSRS  = mail.Errorf(mail.NotFound, "the address is not one of forwarded mail")
	ErrForged  = mail.Errorf(mail.Forbidden, "the address looks like one of forwarded mail, and was not issued here")
	ErrExpired = mail.Errorf(mail.NotFound, "the address was issued for reports about forwarded mail, and has expired")
	// ErrTooLong is that of Forward: the sender does not fit into a local part.
	ErrTooLong = mail.Errorf(mail.TooLarge, "the sender's address is too long to be rewritten")
)

// Rewriter rewrites with secret keys. It is for any number of goroutines.
type Rewriter struct {
	keys   [][]byte
	expiry int // in days
}

// New returns a Rewriter that issues addresses with the first of keys and knows
// those of all. They lead back for expiry, in whole days, 0 for DefaultExpiry. The
// error is of kind Invalid.
func New(keys [][]byte, expiry time.Duration) (*Rewriter, error) {
	if expiry == 0 {
		expiry = DefaultExpiry
	}
	switch {
	case len(keys) == 0:
		return nil, mail.Errorf(mail.Invalid, "rewriting senders needs a key")
	case expiry < 24*time.Hour || expiry > MaxExpiry:
		return nil, mail.Errorf(mail.Invalid, "rewritten senders are valid for 1 to %d days", MaxExpiry/(24*time.Hour))
	}
	for _, k := range keys {
		if len(k) < MinKey {
			return nil, mail.Errorf(mail.Invalid, "a key for rewriting senders has %d octets at least", MinKey)
		}
	}
	return &Rewriter{keys: keys, expiry: int(expiry / (24 * time.Hour))}, nil
}

// Forward returns the reverse-path at domain, one of ours, for mail of sender that
// is forwarded. The null reverse-path and senders at domain itself stay what they
// are. The error is ErrTooLong.
func (r *Rewriter) Forward(sender mail.ReversePath, domain mail.Domain, now time.Time) (mail.ReversePath, error) {
	if sender.IsNull() || sender.Domain == domain {
		return sender, nil
	}
	form, text := srs0, string(sender.Domain)+"="+sender.Local
	if host, rest, ok := rewritten(mail.Address(sender)); ok {
		form, text = srs1, string(host)+"="+rest
	}
	n := hashLen(form, text)
	if n < minHash {
		return mail.ReversePath{}, ErrTooLong
	}
	path := r.issue(form, text, domain, today(now), n)
	if wireLen(path.Local) > mail.MaxOwnLocalPart { // Letters that are shorter in the other case.
		return mail.ReversePath{}, ErrTooLong
	}
	return path, nil
}

// Handle returns a reverse-path at domain that stands for a sender whom the caller
// remembers by handle: the same sender has the same as long as the key is.
func (r *Rewriter) Handle(sender mail.ReversePath, domain mail.Domain, now time.Time) (path mail.ReversePath, handle string) {
	handle = r.sum(r.keys[0], "handle", domain, 0, sender.String())[:handleLen]
	text := "=" + handle
	return r.issue(srs0, text, domain, today(now), hashLen(srs0, text)), handle
}

// Origin is whom an address stands for.
type Origin struct {
	Sender mail.Address
	Handle string // if it is not empty it is all that is known
}

// Reverse returns whom an address stands for that Forward or Handle issued at its
// domain. The error is ErrNotSRS, ErrForged or ErrExpired.
func (r *Rewriter) Reverse(a mail.Address, now time.Time) (Origin, error) {
	form, rest, ok := cutTag(a.Local)
	if !ok || a.Local[tagLen-1] != '=' {
		return Origin{}, ErrNotSRS
	}
	hash, text, ok := strings.Cut(rest[1:], "=")
	var stamp string
	switch {
	case !ok:
		return Origin{}, ErrForged
	case form == srs0:
		stamp, text, ok = strings.Cut(text, "=")
	case len(hash) >= stampLen:
		stamp, hash = hash[:stampLen], hash[stampLen:]
	}
	issued, known := dayOf(stamp, today(now))
	if !ok || !known || !r.verify(form, text, a.Domain, issued, hash) {
		return Origin{}, ErrForged
	}
	if today(now)-issued > r.expiry {
		return Origin{}, ErrExpired
	}
	host, local, _ := strings.Cut(text, "=")
	if host == "" {
		return Origin{Handle: strings.ToUpper(local)}, nil
	}
	domain, err := mail.ParseDomain(host)
	if err != nil {
		return Origin{}, ErrForged
	}
	if form == srs1 {
		local = srs0 + local
	}
	return Origin{Sender: mail.Address{Local: local, Domain: domain}}, nil
}

// issue writes an address. Text is what follows the hash and the day.
func (r *Rewriter) issue(form, text string, domain mail.Domain, day, hashLen int) mail.ReversePath {
	hash := r.sum(r.keys[0], form, domain, day, text)[:hashLen]
	local := form + "=" + hash + "=" + stampOf(day) + "=" + text
	if form == srs1 {
		local = form + "=" + stampOf(day) + hash + "=" + text
	}
	return mail.ReversePath{Local: local, Domain: domain}
}

// verify reports whether one of the keys gives hash, which has to have the length
// that issue gives it. All keys are tried, in time that says nothing.
func (r *Rewriter) verify(form, text string, domain mail.Domain, day int, hash string) bool {
	n := hashLen(form, text)
	if n < minHash || len(hash) != n {
		return false
	}
	same := 0
	for _, k := range r.keys {
		same |= subtle.ConstantTimeCompare([]byte(strings.ToUpper(hash)), []byte(r.sum(k, form, domain, day, text)[:n]))
	}
	return same == 1
}

// sum is the whole hash, which no case of text changes.
func (r *Rewriter) sum(key []byte, form string, domain mail.Domain, day int, text string) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\x00%s\x00%d\x00%s", form, domain, day, mail.FoldLocal(text))
	return base32.StdEncoding.EncodeToString(mac.Sum(nil))
}
