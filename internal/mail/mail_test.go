package mail

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseAddress(t *testing.T) {
	for _, tc := range []struct{ in, local, domain, out string }{
		{"alice@yubin.test", "alice", "yubin.test", "alice@yubin.test"},
		{"Alice@YUBIN.Test", "Alice", "yubin.test", "Alice@yubin.test"},
		{"a.b+c=d@x.example", "a.b+c=d", "x.example", "a.b+c=d@x.example"},
		{`"a b"@x.example`, "a b", "x.example", `"a b"@x.example`},
		{`"a\"b\\"@x.example`, `a"b\`, "x.example", `"a\"b\\"@x.example`},
		{`"plain"@x.example`, "plain", "x.example", "plain@x.example"},
		{"postmaster@[192.0.2.1]", "postmaster", "[192.0.2.1]", "postmaster@[192.0.2.1]"},
		{"p@[ipv6:2001:DB8::1]", "p", "[IPv6:2001:db8::1]", "p@[IPv6:2001:db8::1]"},
		{"郵便@例え.テスト", "郵便", "xn--r8jz45g.xn--zckzah", "郵便@例え.テスト"},
		{"bob@例え.テスト", "bob", "xn--r8jz45g.xn--zckzah", "bob@xn--r8jz45g.xn--zckzah"},
		{"jose\u0301@x.example", "jos\u00e9", "x.example", "jos\u00e9@x.example"},
	} {
		a, err := ParseAddress(tc.in)
		if err != nil || a.Local != tc.local || string(a.Domain) != tc.domain || a.String() != tc.out {
			t.Errorf("ParseAddress(%q) = %q %q %q, %v", tc.in, a.Local, a.Domain, a, err)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, in := range []string{
		"", "alice", "@x.example", "alice@", "a b@x.example", `"a@x.example`, "a@-x.example", "a@x..example", "a@[300.1.1.1]", "a@[192.0.2.1",
		"a@[2001:db8::1]", "a@x.example more", "a\r\n@x.example", "\"a\r\"@x.example", "a\xff@x.example",
		"a\u0085@x.example", "\"a\u009b\"@x.example", "a\u009d@x.example", "a@x\u0085.example", "a\x7f@x.example",
		strings.Repeat("a", MaxLocalPart+1) + "@x.example",
		"a@" + strings.Repeat("a", MaxLabel+1) + ".example",
		"a@" + strings.Repeat("aaaaaaa.", 32) + "example",
	} {
		if a, err := ParseAddress(in); err == nil || KindOf(err) != Invalid {
			t.Errorf("ParseAddress(%q) = %q, %v; want an error of kind invalid", in, a, err)
		}
	}
}

// What other servers have is carried on as it is.
func TestForeignAddresses(t *testing.T) {
	for in, out := range map[string]string{
		"user..name@docomo.example": `"user..name"@docomo.example`,
		"local.@x.example":          `"local."@x.example`,
		".a@x.example":              `".a"@x.example`,
		"bounces+" + strings.Repeat("7", 65) + "@x.example":                                   "",
		"SRS1=0tt9=example.com==0yy=tt=example.org=" + strings.Repeat("a", 44) + "@x.example": "",
		strings.Repeat("a", MaxLocalPart) + "@x.example":                                      "",
		"a\u202eb@x.example": "",
	} {
		if out == "" {
			out = in
		}
		a, err := ParseAddress(in)
		if err != nil || a.String() != out {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", in, a, err, out)
		}
		if b, err := ParseAddress(a.String()); err != nil || b != a {
			t.Errorf("%q is read back as %q, %v", a, b, err)
		}
		if path, _, err := CutAddress(in + ">"); err != nil || path != a {
			t.Errorf("as a path %q is %q, %v", in, path, err)
		}
	}
}

func TestCheckOwn(t *testing.T) {
	for _, good := range []string{"alice", "Alice", "a.b", "a+b", "o'hara", "user_1-2", "郵便", "zoë", "пользователь", strings.Repeat("a", MaxOwnLocalPart)} {
		if err := (Address{good, "x.example"}).CheckOwn(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a b", "a..b", ".a", "a.", "a@b", `a"b`, "a\u0085", "a\u200b", "a\u200eb", "a\u202eb", "a\u2066b", "\ufeffa", "ａlice", "a\u00a0b",
		"a\u00adb", "<a>", strings.Repeat("a", MaxOwnLocalPart+1)} {
		if err := (Address{bad, "x.example"}).CheckOwn(); KindOf(err) != Invalid || err == nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAddressKeyFoldsLocalPart(t *testing.T) {
	a, _ := ParseAddress("ALICE@yubin.test")
	b, _ := ParseAddress("alice@Yubin.test")
	if a == b || a.Key() != b.Key() {
		t.Errorf("keys %v and %v of different spellings should be equal", a.Key(), b.Key())
	}
}

func TestDomain(t *testing.T) {
	d, err := ParseDomain("例え.テスト")
	if err != nil || d.Unicode() != "例え.テスト" || d.IsLiteral() {
		t.Errorf("got %q, %q, %v", d, d.Unicode(), err)
	}
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		want := netip.MustParseAddr(ip)
		if got := LiteralDomain(want).IP(); got != want {
			t.Errorf("literal of %v reads back as %v", want, got)
		}
	}
	if ip := Domain("x.example").IP(); ip.IsValid() {
		t.Errorf("a name has the IP %v", ip)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b.example", `"a \" b"@b.example`, "郵便@例え.テスト", "a@[IPv6:::1]", `""@x`, "a..b.@c.example", "a\u0085@b.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if b, err := ParseAddress(a.String()); err != nil || b != a {
			t.Errorf("%q is %#v, rendered %q, read back as %#v, %v", s, a, a, b, err)
		}
	})
}

func TestKeywords(t *testing.T) {
	k, err := ParseKeywords("$Junk", "b", "A", "$junk")
	if err != nil || k != "$Junk A b" {
		t.Fatalf("got %q, %v", k, err)
	}
	if !k.Has("B") || k.Has("c") {
		t.Error("Has should compare without case")
	}
	if k, _ = k.With("c"); k != "$Junk A b c" {
		t.Errorf("With gave %q", k)
	}
	if k = k.Without("a", "C", "nope"); k != "$Junk b" {
		t.Errorf("Without gave %q", k)
	}
	for _, bad := range []string{"", "a b", `\Seen`, "a(", "é", strings.Repeat("x", MaxKeyword+1)} {
		if _, err := ParseKeywords(bad); KindOf(err) != Invalid {
			t.Errorf("keyword %q: %v", bad, err)
		}
	}
	var many []string
	for i := range MaxKeywords + 1 {
		many = append(many, fmt.Sprint("k", i))
	}
	if _, err := ParseKeywords(many...); KindOf(err) != TooLarge {
		t.Errorf("too many keywords: %v", err)
	}
}

func TestFlags(t *testing.T) {
	all := Seen | Answered | Flagged | Deleted | Draft
	names := all.AppendNames(nil)
	if want := []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}; !slices.Equal(names, want) {
		t.Errorf("names %q", names)
	}
	var back Flags
	for _, n := range names {
		f, ok := ParseFlag(strings.ToUpper(n))
		if !ok {
			t.Errorf("%s is not read", n)
		}
		back |= f
	}
	if back != all {
		t.Errorf("read back as %b", back)
	}
	if _, ok := ParseFlag(`\Recent`); ok {
		t.Error(`\Recent is not a flag that is stored`)
	}
}

func TestParseMailboxName(t *testing.T) {
	for in, want := range map[string]MailboxName{
		"inbox": "INBOX", "Inbox/a": "INBOX/a", "a/Inbox": "a/Inbox", "a/": "a",
		"郵便/受信": "郵便/受信", "e\u0301": "\u00e9", "with space": "with space",
	} {
		if got, err := ParseMailboxName(in); err != nil || got != want {
			t.Errorf("ParseMailboxName(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "/", "/a", "a//b", "a\x00", "a\nb", "\xff", "a\u2028",
		strings.Repeat("a", MaxMailboxLabel+1), strings.Repeat("a/", MaxMailboxDepth) + "a",
		strings.Repeat("abcdefgh/", 120) + "a"} {
		if got, err := ParseMailboxName(in); KindOf(err) != Invalid {
			t.Errorf("ParseMailboxName(%q) = %q, %v", in, got, err)
		}
	}
	n := MailboxName("a/b/c")
	if n.Parent() != "a/b" || n.Label() != "c" || MailboxName("a").Parent() != "" || MailboxName("a").Label() != "a" {
		t.Errorf("levels of %q: %q and %q", n, n.Parent(), n.Label())
	}
}

func TestUIDSet(t *testing.T) {
	s := UIDs(5, 1, 2, 9, 3)
	s.AddRange(12, 10)
	if got := s.String(); got != "1:3,5,9:12" {
		t.Errorf("set is %s", got)
	}
	s.AddRange(4, 8)
	if got := s.String(); got != "1:12" || s.Len() != 12 {
		t.Errorf("filled set is %s of %d", got, s.Len())
	}
	top := UIDSet{{4294967294, 4294967295}}
	if got := slices.Collect(top.All()); len(got) != 2 || got[1] != 4294967295 {
		t.Errorf("the top of the range yields %v", got)
	}
}

func TestUIDSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := map[UID]bool{}
		var s UIDSet
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			first := rapid.Uint32Range(1, 60).Draw(t, "first")
			last := first + rapid.Uint32Range(0, 6).Draw(t, "more")
			s.AddRange(UID(first), UID(last))
			for u := first; u <= last; u++ {
				model[UID(u)] = true
			}
		}
		for u := UID(0); u < 70; u++ {
			if s.Contains(u) != model[u] {
				t.Fatalf("%s: %d in the set is %v", s, u, s.Contains(u))
			}
		}
		if s.Len() != len(model) || len(slices.Collect(s.All())) != len(model) {
			t.Fatalf("%s has %d, want %d", s, s.Len(), len(model))
		}
		for i := 1; i < len(s); i++ {
			if s[i].First <= s[i-1].Last+1 {
				t.Fatalf("%v touches its neighbour", s)
			}
		}
	})
}

func TestKindOf(t *testing.T) {
	err := fmt.Errorf("deliver: %w", Errorf(OverQuota, "mailbox is full: %w", io.ErrShortWrite))
	if KindOf(err) != OverQuota || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("kind %v of %v", KindOf(err), err)
	}
	if KindOf(io.EOF) != Internal || Unavailable.String() != "unavailable" {
		t.Error("an error of no kind is internal")
	}
}

func TestIDStrings(t *testing.T) {
	if got := fmt.Sprint(EmailID(7), ThreadID(8), MailboxID(9)); got != "E7 T8 M9" {
		t.Errorf("got %s", got)
	}
	if got := (BlobID{0xab}).String(); len(got) != 64 || got[:2] != "ab" {
		t.Errorf("blob is %s", got)
	}
	if !(ReversePath{}).IsNull() || (ReversePath{}).String() != "" {
		t.Error("the zero reverse-path is <>")
	}
}
