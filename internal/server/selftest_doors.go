package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/session/smtpc"
	"yubin/internal/world/certs"
	"yubin/internal/world/config"
	"yubin/internal/world/netx"
)

// knockTime bounds one connection to a listener.
const knockTime = 8 * time.Second

// knocked is what a listener showed at an address.
type knocked struct {
	at      netip.AddrPort
	fault   string
	silent  bool // nobody answered: it may be that this machine does not reach its own address
	chain   []*x509.Certificate
	version uint16 // of TLS; 0 without
}

// doors: each listener answers where others come to it, and shows a certificate that they
// believe.
func (t *selftest) doors(ctx context.Context, srv *Server, reached []netip.Addr) (all []admin.Test) {
	list, at := srv.opened()
	found := make([][]knocked, len(list))
	var g sync.WaitGroup
	for i, l := range list {
		for _, a := range placesOf(at[i], reached) {
			found[i] = append(found[i], knocked{at: a})
		}
		for k := range found[i] {
			g.Go(func() { t.knock(ctx, l, &found[i][k]) })
		}
	}
	g.Wait()
	doubts := map[string][]string{} // what is said of a certificate, and where it was seen
	var order []string
	var end time.Time // of the first that ends
	for i, l := range list {
		all = append(all, doorTest(l, at[i], found[i]))
		for _, k := range found[i] {
			if len(k.chain) == 0 {
				continue
			}
			if end.IsZero() || k.chain[0].NotAfter.Before(end) {
				end = k.chain[0].NotAfter
			}
			if doubt := certs.Doubt(k.chain, srv.hostname(), t.roots, t.d.Now()); doubt != "" {
				if doubts[doubt] == nil {
					order = append(order, doubt)
				}
				doubts[doubt] = append(doubts[doubt], k.at.String())
			}
		}
	}
	for _, doubt := range order {
		all = append(all, t.doubted(srv.hostname(), doubt, doubts[doubt]))
	}
	if len(order) == 0 && !end.IsZero() {
		all = append(all, admin.Test{Check: "certificate", About: srv.hostname(), State: admin.TestOK, Text: "others believe it, until " + end.UTC().Format(time.DateOnly)})
	}
	return all
}

// placesOf are where others come to a listener: at the addresses of this server, or if that
// is for few, at its own.
func placesOf(at netip.AddrPort, reached []netip.Addr) (list []netip.AddrPort) {
	if !at.Addr().IsUnspecified() || len(reached) == 0 {
		return []netip.AddrPort{addressOf(at)}
	}
	for _, a := range reached {
		if a.Is4() || at.Addr().Is6() {
			list = append(list, netip.AddrPortFrom(a, at.Port()))
		}
	}
	return list
}

// doorTest is what became of a listener.
func doorTest(l config.Listener, at netip.AddrPort, found []knocked) admin.Test {
	one := admin.Test{Check: "port", About: fmt.Sprintf("%d %s", at.Port(), l.Service()), State: admin.TestOK}
	var good, bad []string
	silent := true
	for _, k := range found {
		switch {
		case k.fault != "":
			bad = append(bad, fmt.Sprintf("%s: %s", k.at.Addr(), k.fault))
			silent = silent && k.silent
		case k.version != 0:
			good = append(good, fmt.Sprintf("%s: %s", k.at.Addr(), tls.VersionName(k.version)))
		default:
			good = append(good, k.at.Addr().String()+": it answers")
		}
	}
	switch {
	case len(bad) == 0:
		one.Text = strings.Join(good, ", ")
	case silent:
		one.State, one.Text = admin.TestUnknown, strings.Join(bad, ", ")
		one.Mend = "a machine behind a router may not reach its own address: try it from elsewhere"
	default:
		one.State, one.Text = admin.TestWrong, strings.Join(bad, ", ")
		one.Mend = "a firewall may stand before it; journalctl -u yubin tells of the listener"
	}
	return one
}

// doubted is what is said of a certificate that others do not believe.
func (t *selftest) doubted(host, doubt string, where []string) admin.Test {
	one := admin.Test{Check: "certificate", About: host, State: admin.TestWrong, Text: fmt.Sprintf("who looks at it does not believe it: %s (%s)", doubt, strings.Join(where, ", "))}
	switch c := t.s.known.Load(); {
	case c.ACME.On:
		one.Mend = "yubin cert show " + host + " says how far it is; yubin cert renew tries again"
	case c.TLS.SelfSigned:
		one.State = admin.TestWarning
		one.Mend = "it is as configured ([tls] self_signed); [acme] has one made that others believe: docs/certificates.md"
	default:
		one.Mend = "put another one at the files of [[certificate]]"
	}
	return one
}

// knock begins a conversation as others do.
func (t *selftest) knock(ctx context.Context, l config.Listener, k *knocked) {
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	conn, err := netx.Dialer{}.Dial(ctx, k.at, netip.Addr{})
	if err != nil {
		k.fault, k.silent = err.Error(), !errors.Is(err, syscall.ECONNREFUSED)
		return
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	conn.Bound(end)
	host := string(t.s.known.Load().Hostname)
	switch {
	case l.Protocol == config.SMTP:
		k.fault = t.helo(ctx, conn, l, host)
	case l.TLS == config.TLSImplicit:
		err = conn.HandshakeClient(ctx, &tls.Config{ServerName: host, InsecureSkipVerify: true}) // It is looked at afterwards.
	case l.Protocol == config.IMAP:
		err = askTLS(ctx, conn, l.TLS, host, "* OK", "y1 STARTTLS\r\n", "y1 OK")
	case l.Protocol == config.POP3:
		err = askTLS(ctx, conn, l.TLS, host, "+OK", "STLS\r\n", "+OK")
	}
	if err != nil {
		k.fault = "no TLS: " + err.Error()
	}
	if st, on := conn.TLS(); on {
		k.chain, k.version = st.PeerCertificates, st.Version
	} else if k.fault == "" && l.TLS != config.TLSNone {
		k.fault = "it does not speak TLS"
	}
}

// helo greets as mail servers and clients do; it returns why there is no conversation.
func (t *selftest) helo(ctx context.Context, conn *netx.Conn, l config.Listener, host string) string {
	talk := smtpc.New(conn, smtpc.Config{Now: t.d.Now})
	fault, ok := talk.Open(ctx, mail.Opening{Name: t.s.known.Load().Hostname, Host: host, TLS: mail.TLSOpportunistic,
		LMTP: l.Profile == config.ProfileLMTP, ImplicitTLS: l.TLS == config.TLSImplicit})
	if ok {
		return ""
	}
	return said(fault)
}

// said is an answer for people.
func said(a mail.Answer) string {
	return strings.TrimSpace(strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", codeText(a.Code), a.Enhanced, a.Text)), " "))
}

func codeText(code int) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprint(code)
}

// maxGreeting bounds a line of a listener of ours.
const maxGreeting = 8 << 10

// askTLS reads a greeting and starts TLS, in the words of a protocol.
func askTLS(ctx context.Context, conn *netx.Conn, mode config.TLSMode, host, greeting, ask, yes string) error {
	line, err := conn.ReadLine(maxGreeting)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(line), greeting) {
		return fmt.Errorf("it greets with %.80q", line)
	}
	if mode != config.TLSStart {
		return nil
	}
	if _, err := conn.WriteString(ask); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	if line, err = conn.ReadLine(maxGreeting); err != nil {
		return err
	}
	if !strings.HasPrefix(string(line), yes) {
		return fmt.Errorf("it says %.80q", line)
	}
	return conn.HandshakeClient(ctx, &tls.Config{ServerName: host, InsecureSkipVerify: true})
}
