package certificates

import (
	"context"
	"slices"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/acme"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// solver shows challenges: by rows that every node answers from, or in the DNS.
type solver struct {
	*Certificates
	s     Settings
	fence int64
}

// Present implements acme.Solver.
func (v solver) Present(ctx context.Context, ch acme.Challenge) error {
	if ch.Kind == acme.DNS01 {
		return v.publish(ctx, ch)
	}
	return v.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, v.fence); err != nil {
			return err
		}
		tx.Do(`INSERT INTO certificate_challenge (kind, name, token, answer, until) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (kind, token, name) DO UPDATE SET answer = excluded.answer, until = excluded.until`,
			string(ch.Kind), ch.Name, ch.Token, ch.KeyAuthorization, millis(v.now().Add(acme.IssueTime)))
		return nil
	})
}

// Withdraw implements acme.Solver.
func (v solver) Withdraw(ctx context.Context, ch acme.Challenge) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var err error
	if ch.Kind == acme.DNS01 {
		var n dns.Name
		if n, err = v.recordName(ctx, ch); err == nil && v.o.Zones != nil {
			err = v.o.Zones.Remove(ctx, n, ch.DNSText())
		}
	} else {
		err = v.change(ctx, func(tx *sqldb.Tx) error {
			tx.Do(`DELETE FROM certificate_challenge WHERE kind = $1 AND token = $2 AND name = $3`, string(ch.Kind), ch.Token, ch.Name)
			return nil
		})
	}
	if err != nil {
		v.o.Log.Warn("what was shown to the certificate authority could not be taken back", "name", ch.Name, obs.Err(err))
	}
}

// publish writes the record of a challenge, and returns when it is seen.
func (v solver) publish(ctx context.Context, ch acme.Challenge) error {
	if v.o.Zones == nil {
		return mail.Errorf(mail.Invalid, "dns-01 needs a zone that takes updates: configure [dns_update]")
	}
	n, err := v.recordName(ctx, ch)
	if err != nil {
		return err
	}
	if err := v.o.Zones.Put(ctx, n, ch.DNSText()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, seenTime)
	defer cancel()
	for {
		r, err := v.o.Resolver() // The last one remembers that it was not there.
		if err != nil {
			return err
		}
		if answer, err := r.TXT(ctx, n); err == nil && slices.Contains(answer.Records, ch.DNSText()) {
			return nil
		}
		t := time.NewTimer(seenEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return mail.Errorf(mail.Unavailable, "the record of %s was written, and is not seen after %s: do all servers of the zone follow?", n, seenTime)
		case <-t.C:
		}
	}
}

// recordName is where the record of a challenge is to be written: at the name of RFC 8555,
// or at the one that this is an alias of, for who leads it into another zone.
func (v solver) recordName(ctx context.Context, ch acme.Challenge) (n dns.Name, err error) {
	if n, err = dns.ParseName(ch.DNSName()); err != nil {
		return n, err
	}
	r, err := v.o.Resolver()
	if err != nil {
		return n, err
	}
	const links = 5
	for range links {
		answer, err := r.CNAME(ctx, n)
		if err != nil || len(answer.Records) == 0 {
			break
		}
		n = answer.Records[0]
	}
	return n, nil
}

// Answer is what http-01 answers to a token. NotFound.
func (c *Certificates) Answer(ctx context.Context, token string) (text string, err error) {
	if token == "" || len(token) > acme.MaxToken {
		return "", errNoChallenge
	}
	return c.answer(ctx, `SELECT answer FROM certificate_challenge WHERE kind = $1 AND token = $2 AND until >= $3`, acme.HTTP01, token)
}

// Handshake is what tls-alpn-01 shows for a name: the key authorization. NotFound.
func (c *Certificates) Handshake(ctx context.Context, name string) (text string, err error) {
	if name == "" || len(name) > maxName {
		return "", errNoChallenge
	}
	return c.answer(ctx, `SELECT answer FROM certificate_challenge WHERE kind = $1 AND name = $2 AND until >= $3`, acme.TLSALPN01, name)
}

// maxName is how long the name of a host is (RFC 1035 §2.3.4).
const maxName = 255

var errNoChallenge = mail.Errorf(mail.NotFound, "the authority asked for nothing like that")

func (c *Certificates) answer(ctx context.Context, query string, k acme.Kind, key string) (text string, err error) {
	err = c.db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(query, string(k), key, millis(c.now())).Scan(&text)
	})
	if err == sqldb.ErrNoRows {
		err = errNoChallenge
	}
	return text, err
}
