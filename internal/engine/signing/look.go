package signing

import (
	"context"
	"encoding/base64"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
)

// look is one record that is looked for.
type look struct {
	key  Key
	name string // in the DNS
	what answer
}

// answer is what the DNS said about a record.
type answer struct {
	found bool
	sure  bool   // the DNS says so for certain
	note  string // what is wrong, for people; "" if nothing is
}

// nameAt is where the record of a key is looked for at a domain, "" for the zone
// itself.
func (k Key) nameAt(domain mail.Domain) string {
	if domain == "" {
		return k.Selector + "." + string(k.Owner.Name)
	}
	return k.Selector + "._domainkey." + string(domain)
}

// ask looks for the record of a key at a name.
func ask(ctx context.Context, r Resolver, k Key, at string) answer {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	name, err := dns.ParseName(at)
	if err != nil {
		return answer{sure: true, note: "the name is too long for the DNS"}
	}
	got, err := r.TXT(ctx, name)
	if err != nil {
		failure := dns.FailureOf(err)
		return answer{sure: failure.NotFound(), note: failure.String()}
	}
	found, note := k.In(got.Records, at)
	return answer{found: found, sure: true, note: note}
}

// In reports whether the TXT records at a name have what Record says, so that others can
// use it; else note says what they have instead.
func (k Key) In(records []string, at string) (found bool, note string) {
	note = "the record is not one of DKIM"
	for _, text := range records {
		public, ok := publicOf(text)
		usable, why := dkim.ParseKey(text)
		switch {
		case !ok:
		case string(public) == string(k.Public) && k.State != Revoked && (usable == nil || usable.Testing):
			note = "the record has the key, but others cannot use it as it stands"
			if why.Detail = at; usable == nil {
				note += ": " + why.String()
			}
		case string(public) == string(k.Public) && k.State != Revoked, len(public) == 0 && k.State == Revoked:
			return true, ""
		case len(public) == 0:
			note = "the record says that the key is revoked"
		case k.State == Revoked:
			note = "the record has a key still"
		default:
			note = "the record has another key"
		}
	}
	return false, note
}

// publicOf is what stands in the tag "p" of a record.
func publicOf(record string) (public []byte, ok bool) {
	tags, err := dkim.ParseTags(record)
	if err != nil {
		return nil, false
	}
	p, ok := tags.Get("p")
	if !ok {
		return nil, false
	}
	public, err = base64.StdEncoding.DecodeString(dkim.Squeeze(p.Value))
	return public, err == nil
}

// noted is what is known of a record after an answer.
func (at sight) noted(a answer, now time.Time) sight {
	at.note = a.note
	if at.asked = now; !a.sure {
		return at
	}
	switch {
	case a.found:
		if at.seen.IsZero() {
			at.seen = now
		}
		at.missed = time.Time{}
	case at.missed.IsZero():
		at.missed = now
	case now.Sub(at.missed) >= patience:
		at.seen = time.Time{}
	}
	return at
}

// due says whether a record is to be looked for again.
func (k known) due(now time.Time) bool {
	every := lookOld
	switch {
	case k.State > Active:
		return false
	case k.seen.IsZero() && now.Sub(k.Created) < 24*time.Hour, !k.seen.IsZero() && !k.missed.IsZero():
		every = lookNew
	case k.seen.IsZero():
		every = 6 * lookNew
	}
	return now.Sub(k.asked) >= every
}
