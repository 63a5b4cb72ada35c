package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/config"
	"yubin/internal/world/sqldb"
)

// near is a server of near.example with the account alice that carries mail by
// the exchangers of zone to a port.
func near(t *testing.T, zone string, port uint16, change ...func(*config.Config)) (*Server, config.Config) {
	t.Helper()
	ns, err := dnstest.Listen(dnstest.NewZone(zone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	c := local(t)
	c.Hostname, c.Capture, c.DeliverPort = "mx.near.example", mail.Address{}, port
	c.DNS.Servers = []netip.AddrPort{ns.Addr()}
	for _, f := range change {
		f(&c)
	}
	s, stop := start(t, c)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	client := admin.InProcess(s.Admin())
	if _, err := client.AddDomain(t.Context(), "near.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddAccount(t.Context(), admin.NewAccount{Address: "alice@near.example", Password: "secret", AllowWeakPassword: true, Language: "ja"}); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// submit sends a message as alice.
func submit(t *testing.T, a net.Addr, to, subject string) {
	t.Helper()
	p := dial(t, a)
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00alice@near.example\x00secret")), "235 ")
	p.say("MAIL FROM:<alice@near.example>", "250 ")
	p.say("RCPT TO:<"+to+">", "250 ")
	p.say("DATA", "354 ")
	p.say("Subject: "+subject+"\r\n\r\nHello.\r\n.", "250 ")
	p.say("QUIT", "221 ")
}

// arrival waits for the next message in the INBOX of an account and returns it,
// whatever comes after it. It must be called before the message is sent; the
// function it returns waits.
func arrival(t *testing.T, s *Server, address string) func() string {
	t.Helper()
	a, err := mail.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	who, err := s.store.directory.Account(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	next := inboxOf(t, s, who.ID).UIDNext
	there := make(chan struct{}, 1)
	cancel := s.store.hub.Subscribe(who.ID, func(store.Event) {
		select {
		case there <- struct{}{}:
		default:
		}
	})
	return func() string {
		t.Helper()
		defer cancel()
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		select {
		case <-there:
		case <-ctx.Done():
			t.Fatal("nothing came for", address)
		}
		return messageOf(t, s, inboxOf(t, s, who.ID), next)
	}
}

func inboxOf(t *testing.T, s *Server, id mail.AccountID) store.Mailbox {
	t.Helper()
	inbox, err := s.store.mail.MailboxByRole(t.Context(), id, mail.RoleInbox)
	if err != nil {
		t.Fatal(err)
	}
	return inbox
}

func newest(t *testing.T, s *Server, id mail.AccountID) string {
	t.Helper()
	inbox := inboxOf(t, s, id)
	return messageOf(t, s, inbox, inbox.UIDNext-1)
}

func messageOf(t *testing.T, s *Server, box store.Mailbox, uid mail.UID) string {
	t.Helper()
	rows, _, err := s.store.mail.Rows(t.Context(), box.ID, []mail.UID{uid}, store.NeedContent)
	if err != nil || len(rows) != 1 {
		t.Fatal(len(rows), err)
	}
	defer rows[0].Content.Close()
	var b strings.Builder
	if _, err := rows[0].Content.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func portOf(a net.Addr) uint16 { return uint16(a.(*net.TCPAddr).Port) }

const farZone = `
far.example. 60 IN MX 10 mx.far.example.
mx.far.example. 60 IN A 127.0.0.1
null.example. 60 IN MX 0 .
`

// far is a server of far.example with the account carol.
func far(t *testing.T) (*Server, config.Config) {
	t.Helper()
	c := local(t)
	s, stop := start(t, c)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	client := admin.InProcess(s.Admin())
	if _, err := client.AddDomain(t.Context(), "far.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddAccount(t.Context(), admin.NewAccount{Address: "carol@far.example", Password: "secret", AllowWeakPassword: true}); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// TestCarried: from one server to another by the MX of its domain, and what
// comes back when nobody is there.
func TestCarried(t *testing.T) {
	far, farConfig := far(t)
	s, c := near(t, farZone, portOf(listenerOf(far, farConfig, "smtp")))
	out := listenerOf(s, c, "submission")

	there := arrival(t, far, "carol@far.example")
	submit(t, out, "carol@far.example", "carried")
	got := there()
	for _, want := range []string{"Subject: carried", "Return-Path: <alice@near.example>", "by mx.near.example with ESMTPA", "by localhost with ESMTPS"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}

	for to, status := range map[string]string{"nobody@far.example": "5.1.1", "x@null.example": "5.1.10", "x@nowhere.example": "5.1.2"} {
		back := arrival(t, s, "alice@near.example")
		submit(t, out, to, "lost")
		got := back()
		report, ok := dsn.Parse([]byte(got))
		if !ok || len(report.Recipients) != 1 || report.Recipients[0].Status.String() != status || !strings.Contains(got, "Content-Language: ja") {
			t.Errorf("%s: want %s, got\n%s", to, status, got)
		}
	}
	checkAll(t, s)
	checkAll(t, far)
}

// TestNoOpenRelay: a stranger's mail for elsewhere is refused.
func TestNoOpenRelay(t *testing.T) {
	s, c := near(t, farZone, 1)
	p := dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	p.say("EHLO stranger.example", "250 ")
	for _, to := range []string{"carol@far.example", "carol%far.example@elsewhere.example", "x@[127.0.0.1]"} {
		p.say("MAIL FROM:<alice@near.example>", "250 ")
		p.say("RCPT TO:<"+to+">", "550 5.7.1 ")
		p.say("RSET", "250 ")
	}
}

// TestCaptured: nothing leaves the machine, and its sender hears nothing.
func TestCaptured(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	defer stop()
	client := admin.InProcess(s.Admin())
	if _, err := client.AddAccount(t.Context(), admin.NewAccount{Address: c.Capture.String(), Password: "secret", AllowWeakPassword: true}); err != nil {
		t.Fatal(err)
	}
	there := arrival(t, s, c.Capture.String())
	p := dial(t, listenerOf(s, c, "submission"))
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00bob@yubin.test\x00secret")), "235 ")
	p.say("MAIL FROM:<bob@yubin.test>", "250 ")
	for i := range 3 {
		p.say(fmt.Sprintf("RCPT TO:<x%d@far.example>", i), "250 ")
	}
	p.say("DATA", "354 ")
	p.say("Subject: caught\r\n\r\nHello.\r\n.", "250 ")
	got := there()
	for _, want := range []string{"X-Original-To: x0@far.example", "X-Original-To: x2@far.example", "X-Captured-Site: mx:far.example", "Subject: caught"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	checkAll(t, s)
}

// TestRemembered: what came in and what was refused is in the metrics and in
// the journal.
func TestRemembered(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	send(t, listenerOf(s, c, "smtp"), "remembered")
	p := dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("MAIL FROM:<x@example.org>", "250 ")
	p.say("RCPT TO:<nobody@yubin.test>", "550 5.1.1 ")
	metrics := get(t, "http://"+s.web.Addr().String()+"/metrics")
	for _, want := range []string{`yubin_messages_accepted_total{service="smtp"} 1`, `yubin_refusals_total{reason="5.1",service="smtp"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	if got := get(t, "http://"+s.web.Addr().String()+"/v1/status"); !strings.Contains(got, "404") {
		t.Errorf("administration over TCP: %s", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	st, err := OpenStore(t.Context(), c.Data, deps())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	found, err := st.journal.Find(t.Context(), "x@example.org", time.Time{}, 10)
	if err != nil || len(found) != 2 || found[0].Code != 550 || len(found[1].Filed) != 1 {
		t.Errorf("journal: %+v, %v", found, err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.Status + "\n" + string(b)
}

func checkAll(t *testing.T, s *Server) {
	t.Helper()
	all := checked{s.store.mail, s.store}
	if err := all.CheckDeep(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
		t.Error(err)
	}
}

// TestHeldIsFiledOnce: that held mail is in the mailbox and that the queue has it no
// longer is one commit, so no crash can come between.
func TestHeldIsFiledOnce(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	defer stop()
	who, err := s.store.directory.Account(t.Context(), mail.Address{Local: "bob", Domain: "yubin.test"})
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan int64, 1)
	defer s.store.hub.Subscribe(who.ID, func(store.Event) { // After the commit that files, before anything else.
		var n int64
		err := s.store.db.Read(t.Context(), func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT count(*) FROM queue_delivery`).Scan(&n)
		})
		if err != nil {
			t.Error(err)
		}
		select {
		case left <- n:
		default:
		}
	})()
	p := dial(t, listenerOf(s, c, "submission"))
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00bob@yubin.test\x00secret")), "235 ")
	p.say("MAIL FROM:<bob@yubin.test> HOLDFOR=86400", "250 ")
	p.say("RCPT TO:<bob@yubin.test> NOTIFY=NEVER", "250 ")
	p.say("DATA", "354 ")
	p.say("Subject: later\r\n\r\nHello.\r\n.", "250 ")
	if _, err := s.store.outgoing.queue.Release(t.Context(), queue.Filter{}, "now", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-left:
		if n != 0 {
			t.Errorf("it is filed, and %d deliveries still wait: a crash now would file it twice", n)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
	}
	checkAll(t, s)
}

// TestHeldHere: mail for a mailbox of ours that its sender has held for a time
// (RFC 4865), and what an operator releases before.
func TestHeldHere(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	defer stop()
	client := admin.InProcess(s.Admin())
	if _, err := client.AddAlias(t.Context(), admin.Alias{Address: "team@yubin.test", Targets: []string{"bob@yubin.test", "x@far.example"}}); err != nil {
		t.Fatal(err)
	}
	p := dial(t, listenerOf(s, c, "submission"))
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00bob@yubin.test\x00secret")), "235 ")
	p.say("MAIL FROM:<bob@yubin.test> HOLDFOR=86400", "250 ")
	p.say("RCPT TO:<bob@yubin.test> NOTIFY=SUCCESS", "250 ")
	p.say("RCPT TO:<team@yubin.test> NOTIFY=NEVER", "250 ")
	p.say("DATA", "354 ")
	p.say("Subject: later\r\n\r\nHello.\r\n.", "250 ")
	counted, err := s.store.outgoing.queue.Count(t.Context(), queue.Filter{})
	if err != nil || counted.Waiting != 2 {
		t.Fatalf("waiting: %+v, %v", counted, err)
	}
	there := arrival(t, s, "bob@yubin.test")
	if _, err := s.store.outgoing.queue.Release(t.Context(), queue.Filter{}, "now", nil); err != nil {
		t.Fatal(err)
	}
	got := there()
	for _, want := range []string{"Subject: later", "Return-Path: <bob@yubin.test>", "Delivered-To: bob@yubin.test"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "Received:") != 1 {
		t.Errorf("Received fields of\n%s", got)
	}
	checkAll(t, s)
}
