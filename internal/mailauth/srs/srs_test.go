package srs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yubin/internal/mail"
)

const we = mail.Domain("we.example")

var (
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key = []byte("0123456789abcdef")
)

func rewriter(t testing.TB, keys ...[]byte) *Rewriter {
	r, err := New(keys, 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func path(t testing.TB, s string) mail.ReversePath {
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return mail.ReversePath(a)
}

func TestForwardAndReverse(t *testing.T) {
	r := rewriter(t, key)
	for _, c := range []struct{ sender, want, back string }{
		{"alice@example.org", "SRS0=TXQQSIPQN2I5TORB=BB=example.org=alice@we.example", ""},
		{"Alice.B@example.org", "", ""},
		{"a=b=c@example.org", "", ""},
		{`"a b"@example.org`, "", ""},
		{"alice@[192.0.2.1]", "", ""},
		{"用户@例え.jp", "", ""},
		{"straße@example.org", "", ""},
		{"srs0-team@example.org", "", ""},
		{"SRS1=x@example.org", "", ""},
		{`"SRS1=AAAA=no host=x"@example.org`, "", ""},
		{"SRS0=ABCD=K7=example.org=alice@first.example", "", ""},
		{"srs0+ABCD=K7=example.org=alice@first.example", "", "SRS0+ABCD=K7=example.org=alice@first.example"},
		{"SRS1=WXYZ=first.example==ABCD=K7=b.example=al@second.example", "", "SRS0=ABCD=K7=b.example=al@first.example"},
		{"SRS1=WXYZ=first.example=+ABCD=K7=b.example=al@second.example", "", "SRS0+ABCD=K7=b.example=al@first.example"},
	} {
		got, err := r.Forward(path(t, c.sender), we, now)
		if err != nil || got.Domain != we || wireLen(got.Local) > mail.MaxOwnLocalPart {
			t.Errorf("%s: %s, %v", c.sender, got, err)
			continue
		}
		if c.want != "" && got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.sender, got, c.want)
		}
		if c.back == "" {
			c.back = c.sender
		}
		back, err := r.Reverse(mail.Address(path(t, got.String())), now)
		if err != nil || back.Sender.String() != mail.Address(path(t, c.back)).String() || back.Handle != "" {
			t.Errorf("%s: %s leads to %+v, %v", c.sender, got, back, err)
		}
	}
	for _, sender := range []mail.ReversePath{{}, path(t, "alice@we.example"), path(t, "SRS0=ABCD=K7=example.org=alice@we.example")} {
		if got, err := r.Forward(sender, we, now); got != sender || err != nil {
			t.Errorf("%s becomes %s, %v", sender, got, err)
		}
	}
}

func TestHashIsAsLongAsThereIsRoom(t *testing.T) {
	r := rewriter(t, key)
	for n, want := range map[int]int{1: 16, 27: 16, 28: 15, 35: 8} {
		got, err := r.Forward(path(t, strings.Repeat("a", n)+"@example.org"), we, now)
		hash, _, _ := strings.Cut(got.Local[tagLen:], "=")
		if err != nil || len(hash) != want || len(got.Local) > 64 {
			t.Errorf("%d octets: %s has a hash of %d, %v; want %d", n, got, len(hash), err, want)
		}
	}
	if got, err := r.Forward(path(t, strings.Repeat("a", 36)+"@example.org"), we, now); !errors.Is(err, ErrTooLong) || mail.KindOf(err) != mail.TooLarge {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := r.Forward(path(t, `"`+strings.Repeat("a ", 17)+`"@example.org`), we, now); !errors.Is(err, ErrTooLong) {
		t.Errorf("quotes count: %s, %v", got, err)
	}
}

func TestHandle(t *testing.T) {
	r := rewriter(t, key)
	long := path(t, strings.Repeat("a", 60)+"@example.org")
	got, handle := r.Handle(long, we, now)
	if again, same := r.Handle(long, we, now.Add(time.Hour)); again != got || same != handle || len(handle) != handleLen || len(got.Local) > 64 {
		t.Errorf("%s, %s", got, again)
	}
	if _, other := r.Handle(path(t, "b@example.org"), we, now); other == handle {
		t.Error("two senders have one handle")
	}
	lower := mail.Address{Local: strings.ToLower(got.Local), Domain: we}
	if back, err := r.Reverse(lower, now); err != nil || back != (Origin{Handle: handle}) {
		t.Errorf("%+v, %v", back, err)
	}
	if back, err := r.Reverse(mail.Address{Local: got.Local[:len(got.Local)-1] + "8", Domain: we}, now); !errors.Is(err, ErrForged) {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestExpiry(t *testing.T) {
	r := rewriter(t, key)
	got, _ := r.Forward(path(t, "alice@example.org"), we, now)
	twice, _ := r.Forward(path(t, "SRS0=ABCD=K7=example.org=alice@first.example"), we, now)
	for _, a := range []mail.ReversePath{got, twice} {
		for days, want := range map[int]error{-1: nil, 0: nil, 21: nil, 22: ErrExpired, 1000: ErrExpired, 1022: ErrExpired, -2: ErrForged, 1024: ErrForged, 1030: ErrForged, 2048: ErrForged} {
			if back, err := r.Reverse(mail.Address(a), now.AddDate(0, 0, days)); !errors.Is(err, want) || (err == nil) != (back != Origin{}) {
				t.Errorf("%s after %d days: %+v, %v; want %v", a, days, back, err, want)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	second := []byte("fedcba9876543210")
	old, rotated := rewriter(t, key), rewriter(t, second, key)
	a, _ := old.Forward(path(t, "alice@example.org"), we, now)
	b, _ := rotated.Forward(path(t, "alice@example.org"), we, now)
	if _, err := rotated.Reverse(mail.Address(a), now); err != nil || a == b {
		t.Errorf("%s after the key was rotated: %v", a, err)
	}
	if _, err := old.Reverse(mail.Address(b), now); !errors.Is(err, ErrForged) {
		t.Errorf("another's key: %v", err)
	}
	for _, keys := range [][][]byte{nil, {key[:15]}, {key, nil}} {
		if r, err := New(keys, 0); err == nil {
			t.Errorf("%v, %v", r, err)
		}
	}
	for _, expiry := range []time.Duration{time.Hour, -1, MaxExpiry + 1} {
		if r, err := New([][]byte{key}, expiry); err == nil {
			t.Errorf("%v, %v", r, err)
		}
	}
}

func TestReverseRefuses(t *testing.T) {
	r := rewriter(t, key)
	good, _ := r.Forward(path(t, "alice@example.org"), we, now)
	for local, want := range map[string]error{
		"alice": ErrNotSRS, "srs": ErrNotSRS, "SRS0": ErrNotSRS, "SRS2=a=b=c=d": ErrNotSRS, "SRS0+a=b=c=d": ErrNotSRS, "": ErrNotSRS,
		"SRS0=": ErrForged, "SRS1=": ErrForged, "SRS0=a": ErrForged, "SRS0=a=b": ErrForged, "SRS0==AC==": ErrForged, "SRS1=A=": ErrForged,
		"SRS1=ACAAAAAAAA=":                                        ErrForged,
		"SRS0=" + good.Local[tagLen+1:]:                           ErrForged, // A shorter hash.
		good.Local + "x":                                          ErrForged,
		strings.Replace(good.Local, "=BB=", "=AB=", 1):            ErrForged,
		strings.Replace(good.Local, "=BB=", "=A1=", 1):            ErrForged,
		strings.Replace(good.Local, "example.org", "a.org", 1):    ErrForged,
		strings.Replace(good.Local, "SRS0", "SRS1", 1):            ErrForged,
		strings.Replace(good.Local, "=example.org=", "==", 1):     ErrForged,
		strings.Replace(good.Local, "=alice", "=alice=", 1):       ErrForged,
		"SRS0=" + strings.Repeat("A", 1000) + "=AC=example.org=a": ErrForged,
	} {
		if back, err := r.Reverse(mail.Address{Local: local, Domain: we}, now); !errors.Is(err, want) || back != (Origin{}) {
			t.Errorf("%q: %+v, %v; want %v", local, back, err, want)
		}
	}
	if _, err := r.Reverse(mail.Address{Local: good.Local, Domain: "us.example"}, now); !errors.Is(err, ErrForged) {
		t.Errorf("at another domain: %v", err)
	}
}

// What is issued leads back in any case and through any number of forwarders, and no
// other address does.
func TestChains(t *testing.T) {
	local := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9=.+_-]{1,12}`), rapid.StringMatching(`[a-z "(]{1,10}`), rapid.SampledFrom([]string{
		"ÄRGER", "İstanbul", "straße", "ǅ", "用户", "SRS0=", "SRS1=A=b=c", "srs0=A=B=c=d"}))
	host := rapid.SampledFrom([]mail.Domain{"a.example", "b.example", "xn--r8jz45g.jp", "[192.0.2.1]"})
	rapid.Check(t, func(t *rapid.T) {
		sender := mail.ReversePath{Local: local.Draw(t, "local"), Domain: host.Draw(t, "domain")}
		r := rewriterOf(rapid.SliceOfN(rapid.Byte(), MinKey, 32).Draw(t, "key"))
		forwarders := []mail.Domain{"x.example", "y.example", "z.example"}
		at := sender
		for _, d := range forwarders[:rapid.IntRange(1, 3).Draw(t, "forwarders")] {
			next, err := r.Forward(at, d, now)
			if errors.Is(err, ErrTooLong) {
				return
			}
			at = next
			if err != nil || wireLen(at.Local) > mail.MaxOwnLocalPart {
				t.Fatalf("%s, %v", at, err)
			}
		}
		for _, change := range []func(string) string{strings.Clone, strings.ToLower, strings.ToUpper} {
			a := mail.Address{Local: change(at.Local), Domain: at.Domain}
			if mail.FoldLocal(a.Local) != mail.FoldLocal(at.Local) {
				continue // Letters of Unicode that have no way back.
			}
			for range 3 {
				back, err := r.Reverse(a, now)
				if errors.Is(err, ErrNotSRS) {
					break
				}
				if err != nil {
					break // It is the sender's own, which looked like one of ours.
				}
				a = back.Sender
			}
			if first := rewrittenFirst(sender); mail.FoldLocal(a.Local) != mail.FoldLocal(first.Local) || a.Domain != first.Domain {
				t.Fatalf("%q leads to %q, not %q", at, a, first)
			}
		}
		i := rapid.IntRange(tagLen, len(at.Local)-1).Draw(t, "changed")
		changed := []byte(at.Local)
		changed[i] ^= rapid.ByteRange(1, 255).Draw(t, "by")
		if a := (mail.Address{Local: string(changed), Domain: at.Domain}); mail.FoldLocal(a.Local) != mail.FoldLocal(at.Local) {
			if back, err := r.Reverse(a, now); err == nil {
				t.Fatalf("%q leads to %+v", a, back)
			}
		}
	})
}

// rewrittenFirst is whom reports go to for a sender that looks rewritten already.
func rewrittenFirst(sender mail.ReversePath) mail.Address {
	if host, rest, ok := rewritten(mail.Address(sender)); ok {
		return mail.Address{Local: "SRS0" + rest, Domain: host}
	}
	return mail.Address(sender)
}

func rewriterOf(key []byte) *Rewriter {
	r, err := New([][]byte{key}, 0)
	if err != nil {
		panic(err)
	}
	return r
}

func FuzzSRS(f *testing.F) {
	f.Add("alice", "example.org")
	f.Add("SRS0=TXQQSIPQN2I5TORB=BB=example.org=alice", "first.example")
	f.Add("SRS1=AC=first.example==A=B=c=d", "[192.0.2.1]")
	r := rewriterOf(key)
	f.Fuzz(func(t *testing.T, local, domain string) {
		if _, err := r.Reverse(mail.Address{Local: local, Domain: we}, now); err == nil && !strings.Contains(local, "=") {
			t.Fatalf("%q leads back", local)
		}
		a, err := mail.ParseAddress(mail.Address{Local: local, Domain: mail.Domain(domain)}.String())
		if err != nil {
			return
		}
		if !strings.HasPrefix(a.Local, "SRS0=TXQQ") {
			if back, err := r.Reverse(mail.Address{Local: a.Local, Domain: we}, now); err == nil {
				t.Fatalf("%q was guessed: %+v", a.Local, back)
			}
		}
		at, err := r.Forward(mail.ReversePath(a), we, now)
		if err != nil || at.Local == a.Local {
			return
		}
		read, err := mail.ParseAddress(at.String())
		if err != nil {
			t.Fatalf("%q is no address: %v", at, err)
		}
		want := rewrittenFirst(mail.ReversePath(a))
		if back, err := r.Reverse(read, now); err != nil || back.Sender != want {
			t.Fatalf("%q leads to %+v, %v; not %+v", at, back, err, want)
		}
	})
}
