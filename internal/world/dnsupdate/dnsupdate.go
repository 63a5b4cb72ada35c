// Package dnsupdate writes into zones of name servers that take updates (RFC 2136), each
// message signed with a key that both sides have (TSIG, RFC 8945). It asks by TCP, so that
// nothing is cut, and takes only an answer with a signature, unless that answer says that
// the signature of the question was not understood.
//
// It keeps nothing, and starts nothing.
package dnsupdate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Limits.
const (
	MaxRecords = 500              // of one update, added and removed
	Timeout    = 15 * time.Second // of one, from the connection to the answer
	fudge      = 300              // seconds that the clocks of both sides may differ (RFC 8945 §10)
)

// Updater sends updates. The zero value is ready.
type Updater struct {
	Now  func() time.Time                                                     // nil means time.Now
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil means net.Dialer
}

// Update has the server that has zone remove records and add others, in one step: other
// records at the same names stay. Removing what is not there and adding what is there
// changes nothing. Errors: Invalid, TooLarge; Forbidden if the server does not take the
// key, or not for that zone; Unavailable if it cannot be reached or has trouble.
func (u Updater) Update(ctx context.Context, server netip.AddrPort, zone dns.Name, key Key, add, remove []dns.ZoneRecord) error {
	if len(add)+len(remove) == 0 {
		return nil
	}
	if len(add)+len(remove) > MaxRecords {
		return mail.Errorf(mail.TooLarge, "an update has at most %d records", MaxRecords)
	}
	m := new(wire.Msg).SetUpdate(zone.FQDN())
	out, err := records(zone, remove)
	if err != nil {
		return err
	}
	in, err := records(zone, add)
	if err != nil {
		return err
	}
	m.Remove(out) // The order counts (RFC 2136 §3.4.2).
	m.Insert(in)
	now := u.Now
	if now == nil {
		now = time.Now
	}
	m.SetTsig(key.Name.FQDN(), key.Algorithm, fudge, now().Unix())
	answer, err := u.exchange(ctx, server, m, key)
	if err != nil {
		return err
	}
	return meaning(answer, server, zone, key)
}

// records are those of the library.
func records(zone dns.Name, list []dns.ZoneRecord) (all []wire.RR, err error) {
	for _, r := range list {
		rr, err := wire.NewRR(r.Line())
		if err != nil || rr == nil {
			return nil, mail.Errorf(mail.Invalid, "the record of %s (%s) cannot be written into a zone", r.Name, r.Type)
		}
		if !r.Name.Within(zone) {
			return nil, mail.Errorf(mail.Invalid, "%s is not in the zone %s", r.Name, zone)
		}
		all = append(all, rr)
	}
	return all, nil
}

// exchange sends m, signed, and returns the answer to it.
func (u Updater) exchange(ctx context.Context, server netip.AddrPort, m *wire.Msg, key Key) (*wire.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	unavailable := func(err error) error {
		text := "does not answer"
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			text = "cannot be reached"
		}
		return &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("the name server %s %s", server, text), Err: err}
	}
	dial := u.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", server.String())
	if err != nil {
		return nil, unavailable(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	secrets := map[string]string{key.Name.FQDN(): key.Secret}
	c := &wire.Conn{Conn: conn, TsigSecret: secrets}
	if err := c.WriteMsg(m); err != nil {
		return nil, unavailable(err)
	}
	answer, err := c.ReadMsg()
	switch {
	case answer == nil:
		return nil, unavailable(err)
	case answer.Id != m.Id || !answer.Response || answer.Opcode != wire.OpcodeUpdate:
		return nil, mail.Errorf(mail.Unavailable, "what the name server %s says is no answer", server)
	case answer.Rcode == wire.RcodeNotAuth || answer.Rcode == wire.RcodeFormatError || answer.Rcode == wire.RcodeNotImplemented:
		return answer, nil // Who cannot read the signature makes none (RFC 8945 §5.3.2).
	case err != nil || answer.IsTsig() == nil:
		return nil, mail.Errorf(mail.Unavailable, "the answer of the name server %s is not signed with the key: whether it took the update is not known", server)
	}
	return answer, nil
}

// meaning is what an answer comes to (RFC 2136 §2.2, RFC 8945 §5.2).
func meaning(m *wire.Msg, server netip.AddrPort, zone dns.Name, key Key) error {
	forbidden := func(format string, values ...any) error {
		return mail.Errorf(mail.Forbidden, "the name server %s does not take the update of %s: %s", server, zone, fmt.Sprintf(format, values...))
	}
	if t := m.IsTsig(); t != nil {
		switch t.Error {
		case wire.RcodeBadKey:
			return forbidden("it does not know the key %s", key.Name)
		case wire.RcodeBadSig:
			return forbidden("it has another secret for the key %s", key.Name)
		case wire.RcodeBadTime:
			return forbidden("its clock and that of this machine differ by more than five minutes")
		}
	}
	switch m.Rcode {
	case wire.RcodeSuccess:
		return nil
	case wire.RcodeRefused:
		return forbidden("it does not let the key %s change it", key.Name)
	case wire.RcodeNotAuth, wire.RcodeNotZone:
		return forbidden("it is not the primary server of that zone")
	case wire.RcodeNotImplemented, wire.RcodeFormatError:
		return forbidden("it takes no updates (RFC 2136)")
	}
	return mail.Errorf(mail.Unavailable, "the name server %s has trouble with the update of %s (%s)", server, zone, wire.RcodeToString[m.Rcode])
}
