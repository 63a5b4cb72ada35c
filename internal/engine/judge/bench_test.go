package judge_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"yubin/internal/engine/history"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/lessons"
	"yubin/internal/engine/preferences"
	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/testkit/dnstest"
)

// BenchmarkCase is all that a message of a stranger costs beyond being taken: SPF with an
// include, a signature of RSA-2048, DMARC, the rules, history, and the models of the site
// and of two accounts. The answers of the DNS are at hand.
func BenchmarkCase(b *testing.B) {
	for _, size := range []int{4 << 10, 50 << 10} {
		text, zone := signedLetter(b, size)
		for _, judged := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dKiB/judged=%v", size>>10, judged), func(b *testing.B) { benchmarkCase(b, text, zone, judged) })
		}
	}
}

func benchmarkCase(b *testing.B, text []byte, zone string, judged bool) {
	j := learned(b, text, zone)
	in := intake.New(intake.Options{})
	client := judge.Client{Remote: netip.MustParseAddr("192.0.2.1"), Hello: "mx.a.test"}
	from := mail.ReversePath{Local: "ann", Domain: "a.test"}
	to := []intake.Recipient{
		{Address: mail.Address{Local: "bea", Domain: "here.test"}, Route: route.Routed{Accounts: []mail.AccountID{1}}},
	}
	var none store.Store
	spent := processor(b)
	b.ReportAllocs()
	for b.Loop() {
		m := intake.NewMessage(none.NewIncoming())
		var e intake.Envelope
		end := func() {}
		if judged {
			c := j.Open(client, from)
			end = c.Close
			c.Write(text)
			e.Judge = c
		}
		if _, err := m.Write(text); err != nil {
			b.Fatal(err)
		}
		plan, err := in.Plan(b.Context(), m, e, to)
		if err != nil {
			b.Fatal(err)
		}
		if judged && !bytes.Contains(plan.Filings[0].Prefix, []byte("dkim=pass")) {
			b.Fatalf("%s", plan.Filings[0].Prefix)
		}
		m.Close()
		end()
	}
	b.ReportMetric(float64(spent())/float64(b.N), "cpu-ns/op")
}

// processor returns what tells how much processor time has gone by, in nanoseconds: the
// machine may be busy with other things.
func processor(b *testing.B) func() int64 {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := used()
	return func() int64 { return used() - start }
}

// learned is a judge that knows something.
func learned(b *testing.B, text []byte, zone string) *judge.Judge {
	db := dbtest.Open(b)
	h, err := history.Open(b.Context(), history.Options{DB: db})
	if err != nil {
		b.Fatal(err)
	}
	book, err := lessons.Open(b.Context(), lessons.Options{DB: db, Learner: lessons.NewJunk()})
	if err != nil {
		b.Fatal(err)
	}
	wants, err := preferences.Open(b.Context(), preferences.Options{DB: db, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	for i, junk := range []bool{true, false} {
		s, err := book.Read(bytes.ReplaceAll(text, []byte("ann"), fmt.Appendf(nil, "cat%d", i)))
		if err == nil {
			err = book.Train(b.Context(), 1, []lessons.Sample{s}, junk)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return judge.New(judge.Options{Hostname: "mx.here.test", Resolver: dnstest.NewFake(zone), Domains: ours{}, History: h, Classifier: book,
		Preferences: wants, Now: time.Now})
}

// signedLetter is a message with words, and the zone by which it is authenticated.
func signedLetter(b *testing.B, size int) (text []byte, zone string) {
	var t bytes.Buffer
	t.WriteString("From: Ann Example <ann@a.test>\r\nTo: Bea <bea@here.test>\r\nSubject: the minutes of the meeting\r\nMessage-ID: <1@a.test>\r\n" +
		"Date: Mon, 30 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	r := mathrand.New(mathrand.NewPCG(1, 1))
	for t.Len() < size {
		for range 10 {
			fmt.Fprintf(&t, "w%s ", []byte{'a' + byte(r.IntN(26)), 'a' + byte(r.IntN(26)), 'a' + byte(r.IntN(26))})
		}
		t.WriteString("\r\n")
	}
	generated, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	key, err := dkim.NewPrivateKey(generated)
	if err != nil {
		b.Fatal(err)
	}
	field, err := dkim.Sign(bytes.NewReader(t.Bytes()), dkim.SignOptions{Keys: []dkim.SigningKey{{Domain: "a.test", Selector: "s", Key: key}}})
	if err != nil {
		b.Fatal(err)
	}
	record := key.Record()
	zone = fmt.Sprintf("a.test. TXT \"v=spf1 include:spf.p.test -all\"\nspf.p.test. TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n"+
		"_dmarc.a.test. TXT \"v=DMARC1; p=reject\"\ns._domainkey.a.test. TXT \"%s\" \"%s\"\n1.2.0.192.in-addr.arpa. PTR mx.a.test.\nmx.a.test. A 192.0.2.1\n", record[:200], record[200:])
	return append(field, t.Bytes()...), zone
}
