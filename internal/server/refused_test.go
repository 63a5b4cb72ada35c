package server

import (
	"encoding/base64"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/journal"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/server/admin"
	"yubin/internal/world/obs"
)

// TestOneRecipientsFailure: an account that is removed between RCPT and the end
// of the message, and a loop, are the failure of that recipient alone. The others
// have the message, and the sender is told.
func TestOneRecipientsFailure(t *testing.T) {
	s, c := near(t, "", 1)
	client := admin.InProcess(s.Admin())
	for _, name := range []string{"bob", "gone", "loop"} {
		if _, err := client.AddAccount(t.Context(), admin.NewAccount{Address: name + "@near.example", Password: "secret", AllowWeakPassword: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		to, header, status string
		before             func() error
	}{
		{"gone", "", "5.1.1", func() error { return client.RemoveAccount(t.Context(), "gone@near.example") }},
		{"loop", "Delivered-To: LOOP@near.example\r\n", "5.4.6", func() error { return nil }},
	} {
		p := dial(t, listenerOf(s, c, "submission"))
		p.say("", "220 ")
		p.say("EHLO client.test", "250 ")
		p.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00alice@near.example\x00secret")), "235 ")
		p.say("MAIL FROM:<alice@near.example>", "250 ")
		p.say("RCPT TO:<bob@near.example>", "250 ")
		p.say("RCPT TO:<"+tc.to+"@near.example>", "250 ")
		p.say("DATA", "354 ")
		if err := tc.before(); err != nil {
			t.Fatal(err)
		}
		report, mail := arrival(t, s, "alice@near.example"), arrival(t, s, "bob@near.example")
		p.say(tc.header+"Subject: lunch\r\n\r\nHello.\r\n.", "250 ")
		if got := mail(); !strings.Contains(got, "Subject: lunch") {
			t.Errorf("%s: bob has\n%s", tc.to, got)
		}
		text := report()
		r, ok := dsn.Parse([]byte(text))
		if !ok || len(r.Recipients) != 1 || r.Recipients[0].Final.Value != tc.to+"@near.example" || r.Recipients[0].Status.String() != tc.status {
			t.Errorf("%s: alice is told\n%s", tc.to, text)
		}
		p.say("QUIT", "221 ")
	}
	checkAll(t, s)
}

// TestPostmaster: RFC 5321 §4.5.1, in any case, with our name, a domain of ours,
// or without a domain.
func TestPostmaster(t *testing.T) {
	s, c := near(t, "", 1)
	p := dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	p.say("HELO client.test", "250 ")
	p.say("MAIL FROM:<a@far.example>", "250 ")
	for _, to := range []string{"postmaster", "PostMaster", "pOSTMASTER@mx.near.example", "Postmaster@NEAR.example"} {
		p.say("RCPT TO:<"+to+">", "250 ")
	}
	p.say("QUIT", "221 ")
}

// TestStrangersInTheJournal: what strangers have refused is remembered up to a
// bound, and all of it is counted.
func TestStrangersInTheJournal(t *testing.T) {
	st, err := MakeStore(t.Context(), t.TempDir(), deps())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	const refused = 10_000
	for i := range refused {
		st.record(journal.Entry{At: time.Now(), Kind: journal.Refused, Service: "mx", Code: 550, Enhanced: "5.1.1",
			Remote:     netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 1000),
			Recipients: []mail.Address{{Local: "x", Domain: "example.org"}}})
	}
	found, err := st.journal.Find(t.Context(), "x@example.org", time.Time{}, refused)
	if err != nil || len(found) != obs.PerNetwork {
		t.Errorf("%d are remembered, %v; want %d", len(found), err, obs.PerNetwork)
	}
	long := journal.Entry{At: time.Now(), Kind: journal.Refused, Service: "mx", Code: 550, Remote: netip.MustParseAddrPort("198.51.100.1:5")}
	for range 1000 {
		long.Recipients = append(long.Recipients, mail.Address{Local: "y", Domain: "example.org"})
	}
	for range 50 {
		st.record(long)
	}
	found, err = st.journal.Find(t.Context(), "y@example.org", time.Time{}, refused)
	if want := obs.NetworkOctets/long.Octets() + 1; err != nil || len(found) != want {
		t.Errorf("%d long ones are remembered, %v; want %d", len(found), err, want)
	}
	page := httptest.NewRecorder()
	st.metrics.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	if want := `yubin_refusals_total{reason="5.1",service="mx"} 10000`; !strings.Contains(page.Body.String(), want) {
		t.Errorf("the metrics do not say %s", want)
	}
}
