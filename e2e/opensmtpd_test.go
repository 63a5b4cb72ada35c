package e2e

import "testing"

// opensmtpd is how OpenSMTPD is set up.
type opensmtpd struct {
	Host, Domain, Address string
	Offer                 string // an option of the listener: "tls pki HOST" or ""
	Demand                string // options of the relay action
}

// startOpenSMTPD runs Debian's OpenSMTPD for opensmtpd.test, where friend and
// other have mailboxes.
func (n *corner) startOpenSMTPD(set func(*opensmtpd)) *peer {
	n.t.Helper()
	p := n.newPeer("opensmtpd", "mx.opensmtpd.test")
	c := opensmtpd{Host: p.host, Domain: p.domain(), Address: p.address(), Offer: "tls pki " + p.host}
	if set != nil {
		set(&c)
	}
	p.file("etc/smtpd.conf", fill(n.t, "smtpd.conf", c))
	p.folder("var/lib/opensmtpd/empty", 0, 0o755)
	p.folder("var/spool/smtpd", 0, 0o711)
	p.folder("etc/ssl/certs", 0, 0o755)
	p.file("etc/ssl/certs/ca-certificates.crt", read(n.t, n.authority()))
	p.unpack()
	p.binds = append(p.binds, [2]string{unpacked(n.t, p.name) + "/usr/libexec", "/usr/libexec"})
	p.start("/opt/sbin/smtpd", "-d", "-v")
	p.await(25)
	return p
}

// TestPeerOpenSMTPD sends all kinds of mail both ways. Debian's OpenSMTPD offers
// STARTTLS and then breaks the handshake off, since it cannot find its own key
// (OpenSSL 3); mail gets there all the same.
func TestPeerOpenSMTPD(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	o, p := n.open("mx.first.test"), n.startOpenSMTPD(nil)
	exchange(t, o, p, abilities{mixed: true, trace: []string{"with ESMTP"},
		unknown: told{"Status": "5.0.0", "Diagnostic-Code": "smtp; 550 Invalid recipient"}, refused: told{"Status": "5.0.0"}})
}
