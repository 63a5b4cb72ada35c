package signing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
)

// ready is a site whose domains are ready to sign.
func ready(t testing.TB, domains ...mail.Domain) *site {
	s := newSite(t, Policy{}, domains...)
	s.pass()
	var all []Record
	for _, d := range domains {
		all = append(all, s.records(d)...)
	}
	s.zone(zoneOf(all))
	s.wait(passEvery)
	s.pass()
	return s
}

func opener(text string) mail.Opener {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

// TestWhatIsSigned: by whom a message is from, and for which domain it is signed.
func TestWhatIsSigned(t *testing.T) {
	s := ready(t, "a.example", "b.example", "example.org")
	s.may = func(p mail.Principal, a mail.Address) bool { return p.Account == 7 && strings.HasPrefix(a.Local, "my") }
	path := func(text string) mail.ReversePath {
		a, err := mail.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		return mail.ReversePath(a)
	}
	for i, c := range []struct {
		it   spool.Item
		from string // the fields
		want string // the domain; "" if it is not signed
	}{
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "From: my@b.example", "b.example"},
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "From: =?utf-8?q?x?= <my.x@B.Example>, other@a.example", "b.example"},
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "From: other@b.example", "a.example"},
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "From: my@elsewhere.example", "a.example"},
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@elsewhere.example")}}, "From: my@elsewhere.example", ""},
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "From: other@a.example\r\nResent-From: my@a.example", ""},
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "From: other@x.a.example", ""},
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "From: a@b, c <d@e> f", ""},
		{spool.Item{Account: 7}, "From: my@a.example", "a.example"},
		{spool.Item{Account: 7}, "Subject: none", ""},
		{spool.Item{Account: 7, Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "Subject: none", ""},
		{spool.Item{Outgoing: mail.Outgoing{ReversePath: path("my@a.example")}}, "From: my@a.example", ""}, // A stranger's, forwarded.
		{spool.Item{SignFor: "b.example", Outgoing: mail.Outgoing{ReversePath: path("x@c.example")}}, "From: x@c.example", "b.example"},
		{spool.Item{SignFor: "c.example"}, "From: my@a.example", ""},
		{spool.Item{Report: spool.WholeReport}, "From: postmaster@mail.example.org", "example.org"}, // Aligned with mail.example.org.
		{spool.Item{SignFor: "mail.example.org"}, "From: postmaster@mail.example.org", "example.org"},
	} {
		c.it.ID = spool.ItemID(i + 1)
		text := c.from + "\r\nTo: x@y.example\r\n\r\nHello\r\n"
		fields, err := s.Sign(t.Context(), c.it, opener(text), false)
		if err != nil {
			t.Fatal(err)
		}
		verdicts, err := dkim.Verify(t.Context(), s.dns, strings.NewReader(string(fields)+text), dkim.Options{Now: s.time()})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(len(verdicts))
		for _, v := range verdicts {
			got += fmt.Sprintf(" %s %s %s", v.Result, v.Signature.Domain, v.Signature.Algorithm)
		}
		want := "0"
		if c.want != "" {
			want = fmt.Sprintf("2 pass %s rsa-sha256 pass %s ed25519-sha256", c.want, c.want)
		}
		if got != want {
			t.Errorf("%d, %s: %s, not %s", i, c.from, got, want)
		}
		for line := range strings.Lines(string(fields)) {
			if len(line) > 79 || !strings.HasSuffix(line, "\r\n") {
				t.Errorf("a line of a signature: %q", line)
			}
		}
	}
}

// TestSignedOnce: an item that goes to several sites is read once, one that was
// converted is read again, and what cannot be read is put off.
func TestSignedOnce(t *testing.T) {
	s := ready(t, "a.example")
	reads := 0
	text := "From: my@a.example\r\n\r\nHello\r\n"
	open := func() (io.ReadCloser, error) { reads++; return opener(text)() }
	it := spool.Item{ID: 1, Account: 7}
	sign := func(changed bool) string {
		t.Helper()
		fields, err := s.Sign(t.Context(), it, open, changed)
		if err != nil || len(fields) == 0 {
			t.Fatal(len(fields), err)
		}
		return string(fields)
	}
	one := sign(false)
	if sign(false) != one || reads != 1 {
		t.Errorf("read %d times", reads)
	}
	text = "From: my@a.example\r\n\r\nhello\r\n"
	if sign(true) == one || reads != 2 {
		t.Errorf("a converted one: read %d times", reads)
	}
	if sign(false) != one {
		t.Error("the signature of the converted one is taken for that of the other")
	}
	s.wait(madeTime)
	s.now = s.now.Truncate(time.Second)
	if sign(false) == one {
		t.Error("a signature is remembered for ever")
	}
	if _, err := s.Rotate(t.Context(), "a.example"); err != nil {
		t.Fatal(err)
	}
	if n := reads; sign(false) == "" || reads != n+1 {
		t.Error("a signature outlives a change of the keys")
	}
	broken := errors.New("disk")
	it.ID++
	if _, err := s.Sign(t.Context(), it, func() (io.ReadCloser, error) { return nil, broken }, false); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	half := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(text), failing{broken})), nil
	}
	if _, err := s.Sign(t.Context(), it, half, false); !errors.Is(err, broken) {
		t.Errorf("half a message was signed: %v", err)
	}
	s.SetPolicy(Policy{Off: true})
	if fields, err := s.Sign(t.Context(), it, open, false); len(fields) > 0 || err != nil {
		t.Errorf("signed though that is switched off: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func BenchmarkSign(b *testing.B) {
	s := ready(b, "a.example")
	for _, size := range []int{4 << 10, 50 << 10} {
		text := "From: my@a.example\r\nTo: x@y.example\r\nSubject: x\r\nDate: Sat, 31 Jan 2026 12:00:00 +0000\r\nMessage-ID: <1@a.example>\r\n\r\n" +
			strings.Repeat(strings.Repeat("a", 70)+"\r\n", size/72)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if fields, err := s.Sign(context.Background(), spool.Item{ID: 1, Account: 7}, opener(text), true); err != nil || len(fields) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
