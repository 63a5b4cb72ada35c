package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/acme"
	"yubin/internal/world/obs"
	"yubin/internal/world/secrets"
	"yubin/internal/world/sqldb"
)

// Renewing without a word of the authority: when this part of the lifetime is left, of one
// of a few days a half, so that there is time for a second try.
const (
	leftOver   = 3
	shortLife  = 10 * 24 * time.Hour
	leftShort  = 2
	lastChance = 6 // of a window that begins later than this part before the end nothing is believed
)

// renewal is when a certificate is to be renewed.
func (r row) renewal() time.Time {
	if !r.is() {
		return time.Time{}
	}
	lifetime := r.lifetime()
	left := lifetime / leftOver
	if lifetime < shortLife {
		left = lifetime / leftShort
	}
	at := r.ends.Add(-left)
	if r.renew.IsZero() {
		return at
	}
	// The authority knows better, but not that one is to be renewed at once that it has
	// just made, or never.
	at = r.renew
	if floor := r.issued.Add(min(24*time.Hour, lifetime/10)); at.Before(floor) {
		at = floor
	}
	if last := r.ends.Add(-lifetime / lastChance); at.After(last) {
		at = last
	}
	return at
}

// missing are names that a certificate should have and has not.
func (r row) missing() (list []string) {
	for _, name := range r.wanted {
		if !slices.Contains(r.names, name) {
			list = append(list, name)
		}
	}
	return list
}

// next is when something is to be ordered, and why; why is "" for never.
func (r row) next(keys []Key, s Settings) (at time.Time, why string) {
	if len(r.wanted) == 0 {
		return at, ""
	}
	switch {
	case r.asked:
		return r.issued, "somebody asked for it"
	case !r.is():
		at, why = r.retry, "there is none yet"
	case r.authority != s.Directory:
		at, why = r.issued, "another authority is configured"
	case len(r.missing()) > 0:
		at, why = r.issued.Add(growAgain), "it is not yet for "+strings.Join(r.missing(), ", ")
	default:
		at, why = r.renewal(), "it is time"
	}
	for _, k := range keys {
		if k.Next && k.From.Before(at) {
			at, why = k.From, "its next key was announced for long enough"
		}
	}
	if at.Before(r.retry) {
		at = r.retry
	}
	return at, why
}

// due reports whether a certificate is to be ordered now, and why.
func (c *Certificates) due(r row, keys []Key, s Settings) (why string, is bool) {
	at, why := r.next(keys, s)
	return why, why != "" && !c.now().Before(at)
}

// inOrder are the certificates as their turn comes: the host's, then those that have no
// certificate, then by their end.
func inOrder(list []row, s Settings) []row {
	host, _ := ascii(s.Hostname)
	rank := func(r row) time.Time {
		return r.ends
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b row) int {
		if a.name == host || b.name == host {
			return map[bool]int{true: -1, false: 1}[a.name == host]
		}
		return rank(a).Compare(rank(b))
	})
	return list
}

// order orders a certificate, and writes what became of that; cannot is why the authority
// cannot be asked. An error is one of the database's, or of another node's.
func (c *Certificates) order(ctx context.Context, a Authority, cannot error, s Settings, r row, why string, fence int64) error {
	c.o.Log.Info("a certificate is ordered", "certificate", r.name, "names", r.wanted, obs.KeyReason, why)
	var k Key
	var chain [][]byte
	err := cannot
	if err == nil {
		k, chain, err = c.issue(ctx, a, s, r, fence)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.o.Observe(r.name, err)
	if err != nil {
		return c.failed(ctx, r, err, fence)
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return c.failed(ctx, r, err, fence)
	}
	err = c.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, fence); err != nil {
			return err
		}
		if k.Next {
			tx.Do(`DELETE FROM certificate_key WHERE name = $1 AND next = 0`, r.name)
			tx.Do(`UPDATE certificate_key SET next = 0 WHERE id = $1`, k.id)
		}
		tx.Do(`UPDATE certificate SET chain = $2, key = $3, issued = $4, authority = $5,
			names = $6, begins = $7, ends = $8, issuer = $9, serial = $10, window_start = 0, window_end = 0, window_reason = '',
			window_again = 0, renew = 0, failures = 0, failed = 0, fault = '', retry = 0, asked = 0 WHERE name = $1`,
			r.name, slices.Concat(chain...), k.id, millis(c.now()), s.Directory, strings.Join(leaf.DNSNames, " "), millis(leaf.NotBefore),
			millis(leaf.NotAfter), leaf.Issuer.String(), fmt.Sprintf("%x", leaf.SerialNumber))
		return nil
	})
	if err != nil {
		return err
	}
	c.o.Log.Info("a certificate is there", "certificate", r.name, "names", leaf.DNSNames, "issuer", leaf.Issuer.String(), "not_after", leaf.NotAfter)
	return c.Refresh(ctx)
}

// issue has the authority make a certificate.
func (c *Certificates) issue(ctx context.Context, a Authority, s Settings, r row, fence int64) (k Key, chain [][]byte, err error) {
	account, err := c.account(ctx, a, s, fence)
	if err != nil {
		return k, nil, err
	}
	k, private, err := c.keyFor(ctx, r.name, fence)
	if err != nil {
		return k, nil, err
	}
	o := acme.Order{Names: r.wanted, Key: private, Kind: s.Kind}
	if r.is() && r.authority == s.Directory {
		if list, err := c.chain(ctx, r.name); err == nil { // Else it is one that follows nothing.
			o.Replaces = list[0]
		}
	}
	chain, err = a.Issue(ctx, account, o, solver{c, s, fence})
	if refused := (*acme.Refusal)(nil); errors.As(err, &refused) && refused.Type == "accountDoesNotExist" {
		// It was removed there: the next try makes another.
		err = errors.Join(err, c.change(ctx, func(tx *sqldb.Tx) error {
			tx.Do(`DELETE FROM certificate_account WHERE directory = $1`, s.Directory)
			return nil
		}))
	}
	return k, chain, err
}

// failed writes that an order failed, and when to try again: ever later, by chance a bit
// sooner or later, and not before the authority says.
func (c *Certificates) failed(ctx context.Context, r row, cause error, fence int64) error {
	now := c.now()
	wait := firstRetry << min(r.failures, 10)
	wait = min(wait, lastRetry)
	var refused *acme.Refusal
	if errors.As(cause, &refused) {
		if mail.KindOf(cause) == mail.RateLimited {
			wait = max(wait, limitedRetry)
		}
		wait = max(wait, refused.Again.Sub(now))
	}
	retry := c.within(now.Add(wait), now.Add(wait+wait/4)).Truncate(time.Millisecond)
	text := cause.Error()
	if len(text) > maxFault {
		text = strings.ToValidUTF8(text[:maxFault], "") + "…"
	}
	c.o.Log.Warn("a certificate was not made; it is tried again", "certificate", r.name, "failures", r.failures+1, "next", retry, obs.KeyReason, text)
	return c.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, fence); err != nil {
			return err
		}
		tx.Do(`UPDATE certificate SET failures = failures + 1, failed = $2, fault = $3, retry = $4, asked = 0 WHERE name = $1`,
			r.name, millis(now), text, millis(retry))
		return nil
	})
}

// account is ours with the authority; it is made if there is none.
func (c *Certificates) account(ctx context.Context, a Authority, s Settings, fence int64) (out acme.Account, err error) {
	var sealed []byte
	err = c.db.Read(ctx, func(tx *sqldb.Tx) error {
		out, sealed = acme.Account{}, nil
		err := tx.QueryRow(`SELECT url, private FROM certificate_account WHERE directory = $1`, s.Directory).Scan(&out.URL, &sealed)
		if err == sqldb.ErrNoRows {
			return nil
		}
		return err
	})
	if err != nil {
		return out, err
	}
	if sealed == nil {
		if out.Key, err = c.addAccount(ctx, s, fence); err != nil {
			return out, err
		}
	} else if out.Key, err = c.openAccount(s, sealed); err != nil || out.URL != "" {
		return out, err
	}
	var bound acme.Binding
	if c.o.Binding != nil {
		if bound, err = c.o.Binding(); err != nil {
			return out, err
		}
	}
	if out, err = a.Register(ctx, out.Key, s.Contact, bound); err != nil {
		return out, err
	}
	c.o.Log.Info("there is an account with the certificate authority", "directory", s.Directory, "account", out.URL)
	return out, c.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, fence); err != nil {
			return err
		}
		tx.Do(`UPDATE certificate_account SET url = $2, issuer = $3 WHERE directory = $1`, s.Directory, out.URL, out.Issuer)
		return nil
	})
}

func (c *Certificates) openAccount(s Settings, sealed []byte) (Signer, error) {
	text, err := c.o.Secrets.Open(accountPurpose, s.Directory, sealed)
	if err != nil {
		return nil, mail.Errorf(mail.Unavailable, "the key of the account with the authority cannot be opened: %s. Put the right secrets.key there, "+
			"or begin anew: yubin cert rotate-key --now", err)
	}
	return parseKey(text)
}

// addAccount makes the key of an account; it is durable before the authority hears of it.
func (c *Certificates) addAccount(ctx context.Context, s Settings, fence int64) (Signer, error) {
	private, pkcs8, _, err := c.newKey()
	if err != nil {
		return nil, err
	}
	sealed, err := c.o.Secrets.Seal(accountPurpose, s.Directory, pkcs8)
	if err != nil {
		return nil, err
	}
	return private, c.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, fence); err != nil {
			return err
		}
		tx.Do(`INSERT INTO certificate_account (directory, url, issuer, created, private) VALUES ($1, '', '', $2, $3)`, s.Directory, millis(c.now()), sealed)
		return nil
	})
}

// foreign reports whether something is sealed with a key that is not there.
func foreign(err error) bool {
	var f *secrets.ForeignKeyError
	return errors.As(err, &f)
}
