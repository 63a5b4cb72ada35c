package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/zone"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/proto/dsn"
	"yubin/internal/server/admin"
	"yubin/internal/session/imapc"
	"yubin/internal/session/smtpc"
	"yubin/internal/world/config"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// Bounds of a round.
const (
	roundWait  = 20 * time.Second // for a message that was taken to be in the mailbox
	roundLook  = 500 * time.Millisecond
	maxRounded = 1 << 20 // octets of a message that came back
)

// round is mail on its way: one message by submission, as a mail program sends it, and one
// by the MX, as another server does, both to the account that wrote them. It logs in with an
// app password that is made for it and ends with it.
type round struct {
	t        *selftest
	srv      *Server
	account  directory.Account
	password string
	names    zone.Names

	submitted, carried string // Message-IDs of what was taken; "" if it was not
}

// round sends mail round and says what became of it.
func (t *selftest) round(ctx context.Context, srv *Server, who directory.Account) (all []admin.Test) {
	unknown := func(err error) []admin.Test {
		return []admin.Test{{Check: "mail", State: admin.TestUnknown, Text: "no mail could be sent round: " + obs.Reason(err)}}
	}
	if who.Disabled {
		return []admin.Test{{Check: "mail", State: admin.TestUnknown, Text: fmt.Sprintf("the account %s is disabled", who.Address), Mend: "yubin account enable " + who.Address.String()}}
	}
	name := "selftest " + rand.Text()[:8]
	password, _, err := t.s.directory.AddAppPassword(ctx, who.Address, directory.NewAppPassword{Name: name, Scope: directory.Scope{
		Protocols: []directory.Protocol{directory.Submission, directory.IMAP}, Until: t.d.Now().Add(selftestPassing)}})
	if err != nil {
		return unknown(err)
	}
	defer func() {
		_ = t.s.directory.RemoveAppPassword(context.WithoutCancel(ctx), who.Address, name) // It ends by itself if this fails.
	}()
	r := &round{t: t, srv: srv, account: who, password: password}
	if r.names, err = (askers{t.s, t.d}).Ask(""); err != nil {
		return unknown(err)
	}
	all = append(all, r.submit(ctx), r.carry(ctx))
	return append(all, r.fetch(ctx)...)
}

// letter is a message of the account to itself.
func (r *round) letter(way string) (id string, octets []byte) {
	a, now := r.account.Address, r.t.d.Now()
	l := dsn.Letter{From: a, To: a, Host: r.t.s.known.Load().Hostname, Date: now, ID: "selftest." + rand.Text(), Subject: "yubin selftest: " + way,
		Paragraphs: []string{"This server tries itself out. The message is removed when it has come back."}}
	return "<" + l.ID + "@" + string(a.Domain) + ">", l.Append(nil)
}

// listener is the first open one of a kind, with TLS from the first octet if there is such.
func (r *round) listener(is func(config.Listener) bool) (l config.Listener, at netip.AddrPort, ok bool) {
	list, addrs := r.srv.opened()
	for i, one := range list {
		if is(one) && (!ok || l.TLS != config.TLSImplicit && one.TLS == config.TLSImplicit) {
			l, at, ok = one, addressOf(addrs[i]), true
		}
	}
	return l, at, ok
}

// submit sends as a mail program does.
func (r *round) submit(ctx context.Context) admin.Test {
	one := admin.Test{Check: "submission", State: admin.TestOK}
	l, at, ok := r.listener(func(l config.Listener) bool {
		return l.Protocol == config.SMTP && l.Profile == config.ProfileSubmission
	})
	if !ok {
		one.State, one.Text, one.Mend = admin.TestUnknown, "there is no listener for it", `a [[listener]] with profile = "submission"`
		return one
	}
	id, octets := r.letter("submission")
	fault := r.send(ctx, at, mail.Opening{Host: r.srv.hostname(), TLS: mail.TLSOpportunistic, ImplicitTLS: l.TLS == config.TLSImplicit,
		Auth: &mail.Credentials{User: r.account.Address.String(), Password: r.password}}, octets)
	if fault != "" {
		one.State, one.Text = admin.TestWrong, fmt.Sprintf("%s logged in at %s: %s", r.account.Address, at, fault)
		one.Mend = "yubin route explain " + r.account.Address.String() + "; journalctl -u yubin"
		return one
	}
	r.submitted, one.Text = id, fmt.Sprintf("a message of %s was taken at %s", r.account.Address, at)
	return one
}

// carry sends as another server does: to the MX of the domain, signed. Where the DNS leads
// nowhere the server is tried all the same.
func (r *round) carry(ctx context.Context) admin.Test {
	one := admin.Test{Check: "mx", State: admin.TestOK}
	places, host, why := r.places(ctx)
	if why != "" {
		one.State, one.Text, one.Mend = admin.TestWrong, why, "yubin dns check "+string(r.account.Address.Domain)+" says what to write"
		if r.t.s.known.Load().Open {
			one.State, one.Mend = admin.TestUnknown, "what is for trying out is in no DNS"
		}
	}
	_, _ = r.t.s.outgoing.signing.Records(ctx, r.account.Address.Domain) // What was published a moment ago counts; without it mail is unsigned, which is told.
	id, octets := r.letter("MX")
	fields, err := r.sign(ctx, octets)
	if err != nil {
		return admin.Test{Check: "mx", State: admin.TestUnknown, Text: "a message could not be signed: " + obs.Reason(err)}
	}
	octets = append(fields, octets...)
	var faults []string
	for _, at := range places {
		fault := r.send(ctx, at, mail.Opening{Host: string(host), TLS: mail.TLSOpportunistic}, octets)
		if fault == "" {
			if r.carried = id; why == "" {
				one.Text = fmt.Sprintf("a message was taken by %s (%s)", host, at)
			}
			return one
		}
		faults = append(faults, fmt.Sprintf("%s (%s): %s", host, at, fault))
	}
	if why == "" {
		one.State, one.Text = admin.TestWrong, strings.Join(faults, "; ")
		one.Mend = "others cannot bring mail so; does the server run there, and does a firewall stand before port 25?"
	}
	return one
}

// places are the addresses of the mail exchangers of the account's domain, the preferred one
// first; if there is none why says it, and they are our own listener.
func (r *round) places(ctx context.Context) (list []netip.AddrPort, host dns.Name, why string) {
	c, d := r.t.s.known.Load(), r.account.Address.Domain
	port := cmp.Or(c.DeliverPort, smtpPort)
	mx, err := r.names.MX(ctx, d)
	slices.SortFunc(mx.Records, func(a, b dns.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	switch {
	case err != nil:
		why = fmt.Sprintf("others do not know where mail for %s goes: the DNS has no MX (%s)", d, dns.FailureOf(err))
	case len(mx.Records) == 0 || mx.Records[0].Host.IsRoot():
		why = fmt.Sprintf("others bring no mail for %s: the DNS says that it takes none", d)
	}
	if why == "" {
		host = mx.Records[0].Host
		addrs, err := r.names.Addresses(ctx, host)
		for _, a := range addrs.Records {
			list = append(list, netip.AddrPortFrom(a, port))
		}
		if err != nil {
			why = fmt.Sprintf("others do not know where the MX of %s is: the DNS has no address of %s (%s)", d, host, dns.FailureOf(err))
		}
	}
	if len(list) == 0 {
		host = dns.Name(r.srv.hostname())
		if _, at, ok := r.listener(func(l config.Listener) bool { return l.Protocol == config.SMTP && l.Profile == config.ProfileMX }); ok {
			list = append(list, at)
		}
	}
	return list, host, why
}

// sign makes the signatures that mail of the account leaves with.
func (r *round) sign(ctx context.Context, octets []byte) ([]byte, error) {
	const notRemembered = true
	item := spool.Item{Account: r.account.ID, Outgoing: mail.Outgoing{ReversePath: mail.ReversePath(r.account.Address)}}
	return r.t.s.outgoing.signing.Sign(ctx, item, opener(octets), notRemembered)
}

func opener(octets []byte) mail.Opener {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(octets)), nil }
}

// send hands a message over; it returns why that failed.
func (r *round) send(ctx context.Context, at netip.AddrPort, o mail.Opening, octets []byte) string {
	conn, err := netx.Dialer{Timeout: knockTime}.Dial(ctx, at, netip.Addr{})
	if err != nil {
		return err.Error()
	}
	talk := smtpc.New(conn, smtpc.Config{Now: r.t.d.Now})
	defer talk.Quit(ctx)
	o.Name = r.t.s.known.Load().Hostname
	if fault, ok := talk.Open(ctx, o); !ok {
		return said(fault)
	}
	answers := talk.Send(ctx, mail.Transaction{
		Outgoing:   mail.Outgoing{ReversePath: mail.ReversePath(r.account.Address), Size: int64(len(octets))},
		Recipients: []mail.OutgoingRecipient{{Address: r.account.Address}},
		Content:    opener(octets),
	})
	if answers[0].Taken() {
		return ""
	}
	return said(answers[0])
}

// fetch reads both messages by IMAP, removes them, and verifies the signatures of the one
// that came by the MX.
func (r *round) fetch(ctx context.Context) (all []admin.Test) {
	one := admin.Test{Check: "imap", State: admin.TestOK}
	l, at, ok := r.listener(func(l config.Listener) bool { return l.Protocol == config.IMAP })
	if !ok {
		one.State, one.Text, one.Mend = admin.TestUnknown, "there is no listener for it", `a [[listener]] with protocol = "imap"`
		return []admin.Test{one}
	}
	fail := func(format string, values ...any) []admin.Test {
		one.State, one.Text = admin.TestWrong, fmt.Sprintf(format, values...)
		one.Mend = cmp.Or(one.Mend, "journalctl -u yubin")
		return append(all, one)
	}
	conn, err := netx.Dialer{Timeout: knockTime}.Dial(ctx, at, netip.Addr{})
	if err != nil {
		return fail("%s: %v", at, err)
	}
	security := map[config.TLSMode]imapc.Security{config.TLSImplicit: imapc.ImplicitTLS, config.TLSStart: imapc.StartTLS, config.TLSNone: imapc.Plain}[l.TLS]
	client, err := imapc.Open(ctx, conn, imapc.Config{Security: security, Now: r.t.d.Now,
		TLS: &tls.Config{ServerName: r.srv.hostname(), InsecureSkipVerify: true}}, // It is looked at elsewhere, and this is our own.
		imapc.Login{User: r.account.Address.String(), Password: r.password})
	if err != nil {
		return fail("%s logs in at %s: %s", r.account.Address, at, obs.Reason(err))
	}
	defer client.Close()
	var junk []string
	for _, sent := range []struct{ way, id string }{{"submission", r.submitted}, {"MX", r.carried}} {
		if sent.id == "" {
			continue
		}
		text, mailbox, err := r.take(ctx, client, sent.id)
		if err != nil {
			one.Mend = "yubin trace " + r.account.Address.String()
			return fail("the message that was taken by %s: %s", sent.way, obs.Reason(err))
		}
		if mailbox != string(mail.Inbox) {
			junk = append(junk, fmt.Sprintf("what came by %s was in %s", sent.way, mailbox))
		}
		if sent.id == r.carried {
			all = append(all, r.signature(ctx, text))
		}
	}
	switch {
	case len(junk) > 0:
		one.State, one.Text, one.Mend = admin.TestWarning, strings.Join(junk, ", ")+": this server takes its own mail for junk", "yubin trace "+r.account.Address.String()+" says why"
	case r.submitted == "" && r.carried == "":
		one.Text = fmt.Sprintf("%s logged in at %s; there was nothing to read", r.account.Address, at)
	default:
		one.Text = fmt.Sprintf("what was sent was read at %s, and removed", at)
	}
	return append(all, one)
}

// take waits for a message, reads and removes it.
func (r *round) take(ctx context.Context, c *imapc.Client, id string) (text []byte, mailbox string, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundWait)
	defer cancel()
	tick := time.NewTicker(roundLook)
	defer tick.Stop()
	for {
		for _, mailbox := range []string{string(mail.Inbox), "Junk"} {
			found, err := c.Find(ctx, mailbox, id)
			if mail.KindOf(err) == mail.NotFound && err != nil {
				continue
			}
			if err != nil {
				return nil, "", err
			}
			if len(found) > 0 {
				text, err := c.Take(ctx, found[0], maxRounded)
				return text, mailbox, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, "", mail.Errorf(mail.NotFound, "it is in no mailbox after %d seconds", int(roundWait.Seconds()))
		case <-tick.C:
		}
	}
}

// signature: what left carries a signature that the DNS proves.
func (r *round) signature(ctx context.Context, text []byte) admin.Test {
	d := r.account.Address.Domain
	one := admin.Test{Check: "dkim", About: string(d), State: admin.TestOK}
	v := dkim.New(dkim.Options{Now: r.t.d.Now()})
	_, _ = v.Write(text) // It never fails.
	verdicts := v.Finish(v.Lookup(ctx, r.names))
	if len(verdicts) == 0 {
		one.State, one.Text, one.Mend = admin.TestWrong, "mail leaves without a signature", "yubin dns check "+string(d)
		if keys, err := r.t.s.outgoing.signing.Domain(ctx, d); err == nil && keys.Unsigned != "" {
			one.Text += ": " + keys.Unsigned
		}
		return one
	}
	var good, bad []string
	for _, one := range verdicts {
		name := "a signature"
		if s := one.Signature; s != nil {
			name = fmt.Sprintf("s=%s", s.Selector)
		}
		if one.Result.String() == "pass" {
			good = append(good, name)
		} else {
			bad = append(bad, fmt.Sprintf("%s: %s (%s)", name, one.Result, one.Reason))
		}
	}
	if len(bad) > 0 {
		one.State, one.Text, one.Mend = admin.TestWrong, "others do not verify what is signed: "+strings.Join(bad, ", "), "yubin dns check "+string(d)+" says which record is wrong"
		return one
	}
	one.Text = "the DNS proves the signatures (" + strings.Join(good, ", ") + ")"
	return one
}
