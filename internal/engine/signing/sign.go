package signing

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/message"
	"yubin/internal/world/obs"
)

// What is remembered of signatures, so that an item that goes to several sites is
// read and signed once: of how many items, and for how long.
const (
	maxMade  = 256
	madeTime = 10 * time.Minute
)

// made is what an item was signed with, as it came.
type made struct {
	fields []byte
	at     time.Time
}

// Sign returns the DKIM-Signature fields that an item leaves with, whose content open
// opens as it is going to leave; none if it is not to be signed, or cannot be. Changed
// says that it is not as it was accepted: it was converted for its next hop. An error
// is temporary: the content, or the database, cannot be read.
//
// What goes on in the name of a domain of ours (spool.Item.SignFor) is sealed, too (RFC
// 8617): with what was found when it came, which stands in our Authentication-Results.
//
// Signed is mail of a principal, for the domain of an address in From that the
// principal may use, else for that of the reverse-path, unless that would vouch for an author
// who is somebody else, as in mail that is sent again (RFC 5322 §3.6.6); reports of this server, for
// the domain of its name or one above it; and what another engine has marked
// (spool.Item.SignFor), with the name of this host as those reports are.
func (s *Signing) Sign(ctx context.Context, it spool.Item, open mail.Opener, changed bool) ([]byte, error) {
	if it.SignFor == "" && it.Account == 0 && it.Report == spool.NoReport || s.policyNow().Off {
		return nil, nil
	}
	now := s.o.Now()
	s.mu.Lock()
	m, ok := s.made[it.ID]
	epoch := s.epoch
	s.mu.Unlock()
	if ok && !changed && now.Sub(m.at) < madeTime {
		return m.fields, nil
	}
	fields, err := s.sign(ctx, it, open, now)
	if err != nil || changed {
		return fields, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == epoch {
		if s.made == nil || len(s.made) >= maxMade {
			s.made = map[spool.ItemID]made{}
		}
		s.made[it.ID] = made{fields, now}
	}
	return fields, nil
}

// sign reads a content as far as it must and signs it.
func (s *Signing) sign(ctx context.Context, it spool.Item, open mail.Opener, now time.Time) ([]byte, error) {
	var signer *dkim.Signer
	var seal sealing
	var why error
	m := dkim.NewMessage(func(h *dkim.Header, body *dkim.Body) {
		var keys []dkim.SigningKey
		if keys, why = s.keysFor(ctx, it, h); why == nil && len(keys) > 0 {
			if signer, why = dkim.NewSharedSigner(dkim.SignOptions{Keys: keys, Time: now}); why == nil {
				signer.Begin(h, body)
			}
			if it.SignFor != "" && why == nil {
				why = seal.begin(string(s.o.Hostname), keys, now, h, body)
			}
		}
	})
	content, err := open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := content.Read(buf)
		_, _ = m.Write(buf[:n]) // It never fails.
		if m.Ended() && signer == nil || err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	m.Finish()
	if why != nil || signer == nil {
		return nil, why
	}
	fields, err := signer.Finish()
	if err != nil { // It has no From, or too long a header.
		s.o.Log.Info("a message leaves without a signature", "item", int64(it.ID), obs.Err(err))
		return nil, nil
	}
	sealed, err := seal.finish()
	if err != nil {
		s.o.Log.Info("a forwarded message leaves without a seal", "item", int64(it.ID), obs.Err(err))
	}
	return append(sealed, fields...), nil
}

// keysFor are the keys that sign an item with that header: those of the first of its
// domains that has any.
func (s *Signing) keysFor(ctx context.Context, it spool.Item, h *dkim.Header) ([]dkim.SigningKey, error) {
	domains, err := s.domainsOf(ctx, it, h)
	if err != nil {
		return nil, err
	}
	for _, d := range domains {
		found, err := s.signersFor(ctx, d)
		if err != nil {
			return nil, err
		}
		var keys []dkim.SigningKey
		for _, k := range found {
			keys = append(keys, dkim.SigningKey{Domain: d, Selector: mail.Domain(k.Selector), Key: k.private})
		}
		if len(keys) > 0 {
			return keys, nil
		}
	}
	return nil, nil
}

// domainsOf are the domains for which an item may be signed, the one first that says
// most.
func (s *Signing) domainsOf(ctx context.Context, it spool.Item, h *dkim.Header) ([]mail.Domain, error) {
	switch {
	case it.Report != spool.NoReport, it.SignFor == s.o.Hostname && it.SignFor != "":
		return above(s.o.Hostname, s.o.Reports), nil
	case it.SignFor != "":
		return []mail.Domain{it.SignFor}, nil
	}
	var list, others []mail.Domain // others is whom the principal may not use
	for _, f := range h.Fields {
		if f.Name != "from" {
			continue
		}
		authors, err := message.ParseOriginators(f.Value())
		if err != nil {
			return nil, nil // Whom it names is not certain.
		}
		for _, a := range authors {
			may, err := s.o.Directory.MayUse(ctx, mail.Principal{Account: it.Account}, a)
			if err != nil {
				return nil, err
			}
			if may {
				list = append(list, a.Domain)
			} else {
				others = append(others, a.Domain)
			}
		}
	}
	d := it.ReversePath.Domain
	if d != "" && !slices.ContainsFunc(others, func(o mail.Domain) bool { return within(o, d) || within(d, o) }) {
		list = append(list, d)
	}
	return list, nil
}

// within reports whether a is b, or below it.
func within(a, b mail.Domain) bool { return a == b || strings.HasSuffix(string(a), "."+string(b)) }

// above are a host's name and the domains above it, then another one.
func above(host, other mail.Domain) (list []mail.Domain) {
	for rest, more := string(host), true; more && strings.Contains(rest, "."); _, rest, more = strings.Cut(rest, ".") {
		list = append(list, mail.Domain(rest))
	}
	if other != "" {
		list = append(list, other)
	}
	return list
}
