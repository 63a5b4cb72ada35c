package reports

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/world/sqldb"
)

// sendTLS makes and sends one report about TLS, if the domain wants it. The error is one of
// the database.
func (r *Reports) sendTLS(ctx context.Context, t taken) error {
	record, err := r.tlsRecord(ctx, t.domain)
	switch mail.KindOf(err) {
	case mail.NotFound:
		return r.drop(ctx, t)
	case mail.Invalid, mail.TooLarge:
		return r.giveUp(ctx, t, err.Error())
	}
	if err != nil {
		return r.wait(ctx, t, err)
	}
	l, signFor, err := r.tlsLetter(ctx, t)
	if err != nil {
		return err
	}
	to, posts, refused, err := r.tlsDestinations(ctx, record)
	if err != nil {
		return err
	}
	var took []string // who took it by HTTPS
	var away error    // why somebody is to be asked again
	for _, uri := range posts {
		err := r.post(ctx, uri, l.Packed)
		if err == nil {
			took = append(took, uri)
			continue
		}
		refused = append(refused, err.Error())
		if mail.KindOf(err) == mail.Unavailable {
			away = err
		}
	}
	if len(to) > 0 {
		for _, one := range to {
			l.To = append(l.To, one.Address)
		}
		err := r.mailTLS(ctx, t, l, signFor, to, outcome(strings.Join(append([]string{addresses(l.To)}, took...), ", "), refused))
		if err == nil || isTemporary(err) {
			return err
		}
		refused = append(refused, err.Error()) // Nobody of them can have it.
	}
	switch {
	case len(took) > 0:
		return r.finish(ctx, t, outcome(strings.Join(took, ", "), refused))
	case away != nil:
		return r.wait(ctx, t, away)
	}
	return r.giveUp(ctx, t, strings.Join(refused, "; "))
}

// tlsRecord asks who takes reports about a domain (RFC 8460 §3). The error is NotFound if
// nobody does, Invalid or TooLarge if the record cannot be used, else temporary.
func (r *Reports) tlsRecord(ctx context.Context, d mail.Domain) (tlsrpt.Record, error) {
	host, err := dns.NameOf(d)
	if err == nil {
		host, err = host.Under(tlsrpt.Label)
	}
	if err != nil {
		return tlsrpt.Record{}, mail.Errorf(mail.NotFound, "%s has no such name below it", d)
	}
	answer, err := r.o.Resolver.TXT(ctx, host)
	if f := dns.FailureOf(err); err != nil && f.Temporary() {
		return tlsrpt.Record{}, &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("the DNS does not say whether %s takes reports", d), Err: err}
	}
	return tlsrpt.ParseRecord(answer.Records)
}

// drop forgets a day of a domain that wants no report.
func (r *Reports) drop(ctx context.Context, t taken) error {
	return r.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		t.lock(tx)
		tx.Do(`DELETE FROM reports_seen WHERE kind = $1 AND day = $2 AND domain = $3`, t.kind, t.day, t.domain)
		tx.Do(`DELETE FROM reports_day WHERE kind = $1 AND day = $2 AND domain = $3`, t.kind, t.day, t.domain)
		return nil
	})
}

// tlsDestinations sorts who takes a report: those by mail, those by HTTPS, and why others do
// not. Of all together there are at most MaxDestinations.
func (r *Reports) tlsDestinations(ctx context.Context, record tlsrpt.Record) (to []intake.Recipient, posts, refused []string, err error) {
	seen := map[string]bool{}
	for _, uri := range record.URIs {
		a, byMail := mailto(uri)
		key := uri
		if byMail {
			key = a.Key().String()
		}
		if seen[key] || len(seen) == MaxDestinations {
			continue
		}
		seen[key] = true
		switch {
		case byMail:
			one, why, err := r.way(ctx, a)
			if err != nil {
				return nil, nil, nil, err
			}
			if why != nil {
				refused = append(refused, fmt.Sprintf("%s: %v", a, why))
				continue
			}
			to = append(to, one)
		case strings.HasPrefix(uri, "https:") && r.o.Poster != nil:
			posts = append(posts, uri)
		default:
			refused = append(refused, fmt.Sprintf("%.100q is nobody to whom reports are sent", uri))
		}
	}
	return to, posts, refused, nil
}

// post hands a report to a server (RFC 8460 §5.4). The error says why it has not got it,
// and is Unavailable if it may take it later.
func (r *Reports) post(ctx context.Context, uri string, packed []byte) error {
	status, err := r.o.Poster.Post(ctx, uri, tlsrpt.MediaGzip, packed)
	switch k := mail.KindOf(err); {
	case err != nil && (k == mail.Invalid || k == mail.Forbidden):
		return mail.Errorf(k, "%.100s: %v", uri, err)
	case err != nil:
		return mail.Errorf(mail.Unavailable, "%.100s cannot be reached", uri)
	case status >= 200 && status < 300:
		return nil
	case status >= 500 || status == 408 || status == 429: // RFC 9110 §15.5.9, RFC 6585 §4
		return mail.Errorf(mail.Unavailable, "%.100s answers %d", uri, status)
	}
	return mail.Errorf(mail.Forbidden, "%.100s answers %d", uri, status)
}

// mailTLS sends a report by mail.
func (r *Reports) mailTLS(ctx context.Context, t taken, l *tlsrpt.Letter, signFor mail.Domain, to []intake.Recipient, outcome string) error {
	m := r.o.Intake.Begin()
	defer m.Close()
	if err := l.Write(m); err != nil {
		return err
	}
	return r.deliver(ctx, t, m, l.MessageID(), signFor, to, outcome)
}

// tlsLetter is the mail that carries a report, to nobody yet, and for which domain it is
// signed: who reports is the domain of the contact, if that is ours (RFC 8460 §5.3).
func (r *Reports) tlsLetter(ctx context.Context, t taken) (l *tlsrpt.Letter, signFor mail.Domain, err error) {
	s := r.settings.Load()
	l = &tlsrpt.Letter{From: r.postmaster(), About: t.domain, Submitter: s.Contact.Domain, Host: r.o.Hostname, Date: r.o.Now()}
	signFor = r.o.Hostname
	local, err := r.o.Domains.IsLocal(ctx, s.Contact.Domain)
	if err != nil {
		return nil, "", err
	}
	if local && s.Contact.Domain != r.o.Hostname {
		l.From, signFor = s.Contact, s.Contact.Domain
	}
	// The same however often it is made.
	id := sha256.Sum256(fmt.Appendf(nil, "%s %s %d tls", r.o.Hostname, t.domain, t.day))
	l.Report = tlsrpt.Report{Organization: s.Organization, Contact: s.Contact.String(), ID: hex.EncodeToString(id[:12]),
		Begin: time.Unix(t.day*secondsOfDay, 0).UTC(), End: time.Unix((t.day+1)*secondsOfDay-1, 0).UTC()}
	if l.Report.Policies, err = r.tlsPolicies(ctx, t); err != nil {
		return nil, "", err
	}
	if t.leftOut > 0 {
		l.Note = fmt.Sprintf("%d more sessions went in too many ways to be listed.", t.leftOut)
	}
	l.Packed, err = l.Report.Pack(l.Submitter, l.About)
	return l, signFor, err
}

// tlsPolicies add up what was seen of a day, by policy.
func (r *Reports) tlsPolicies(ctx context.Context, t taken) ([]tlsrpt.PolicyResult, error) {
	var failed error
	at := map[string]int{} // of a policy, in its own words
	var list []tlsrpt.PolicyResult
	for text, sessions := range r.seen(ctx, t.dayKey, &failed) {
		var tuple tlsTuple
		if json.Unmarshal([]byte(text), &tuple) != nil || tuple.Policy.Domain == "" {
			continue // A damaged row is no reason to send nothing.
		}
		key := fmt.Sprintf("%q", tuple.Policy)
		i, known := at[key]
		if !known {
			i = len(list)
			at[key], list = i, append(list, tlsrpt.PolicyResult{Policy: tuple.Policy})
		}
		p := &list[i]
		if tuple.Failure == nil {
			p.Successful += sessions
			continue
		}
		p.Failed += sessions
		p.Failures = append(p.Failures, tlsrpt.Failures{Failure: *tuple.Failure, Sessions: sessions})
	}
	for _, p := range list {
		slices.SortStableFunc(p.Failures, func(a, b tlsrpt.Failures) int { return cmp.Compare(b.Sessions, a.Sessions) })
	}
	slices.SortStableFunc(list, func(a, b tlsrpt.PolicyResult) int {
		return cmp.Or(cmp.Compare(b.Successful+b.Failed, a.Successful+a.Failed), cmp.Compare(a.Domain, b.Domain))
	})
	return list, failed
}
