package e2e

import "testing"

// exim is how Exim is set up.
type exim struct {
	UID                   int
	Host, Domain, Address string
	Offer                 string // hosts that are offered STARTTLS: "*" or ""
	Demand                string // an option of the SMTP transport
}

// startExim runs Debian's Exim for exim.test, where friend, other and 郵便 have
// mailboxes.
func (n *corner) startExim(set func(*exim)) *peer {
	n.t.Helper()
	p := n.newPeer("exim", "mx.exim.test")
	user := readerUID // in whose name it delivers, too
	c := exim{UID: user, Host: p.host, Domain: p.domain(), Address: p.address(), Offer: "*"}
	if set != nil {
		set(&c)
	}
	p.file("etc/exim4/exim4.conf", fill(n.t, "exim.conf", c))
	p.folder("var/spool/exim4", user, 0o755)
	p.folder("var/log/exim4", user, 0o755)
	p.chown("etc/tls/key.pem", user)
	p.unpack()
	p.start("/opt/sbin/exim4", "-bdf", "-q1s")
	p.await(25)
	return p
}

// TestPeerExim sends all kinds of mail both ways.
func TestPeerExim(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	o, p := n.open("mx.first.test"), n.startExim(nil)
	t.Run("mail", func(t *testing.T) {
		exchange(t, o, p, abilities{utf8: true, orcpt: "first+2Bname", trace: []string{"esmtps  (TLS1.3)"},
			unknown: told{"Status": "5.", "Diagnostic-Code": "smtp; 550 nobody has that name here"},
			refused: told{"Status": "5.0.0", "Diagnostic-Code": "smtp; 550 5.1.1 there is no mailbox", "Remote-Mta": o.host}})
	})
	// Exim says L for pipelining and K for chunking; first we send, then it does.
	p.logged("exim4/mainlog", `P=(utf8)?esmtps L\. X=TLS1\.3\S+ CV=no K `, `X=TLS1\.3\S+ CV=no L K C="250 2\.0\.0`)
}
