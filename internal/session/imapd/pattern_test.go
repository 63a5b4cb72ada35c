package imapd

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		reference, pattern string
		name               mail.MailboxName
		want               bool
	}{
		{"", "*", "a/b/c", true},
		{"", "%", "a", true},
		{"", "%", "a/b", false},
		{"", "%/%", "a/b", true},
		{"", "a*c", "a/b/c", true},
		{"", "a%c", "a/c", false},
		{"", "a%c", "ac", true},
		{"a/", "%", "a/b", true},
		{"a", "/b", "a/b", true},
		{"", "*%", "a/b", true},
		{"", "%*b", "a/b", true},
		{"", "", "a", false},
		{"", "inbox", "INBOX", true},
		{"", "Inbox/*", "INBOX/a", true},
		{"in", "box", "INBOX", true},
		{"", "inb*", "INBOX", false},
		{"", "inboxes", "INBOX", false},
		{"", "archive", "Archive", false},
		{"", "Cafe\u0301", "Café", true},
		{"", "a*b*c*d", "axbxcxd", true},
		{"", "a*b*c*d", "axbxcx", false},
	} {
		p, usable := newPattern(c.reference, c.pattern)
		if got := usable && p.match(c.name); got != c.want {
			t.Errorf("%q %q on %q: %v", c.reference, c.pattern, c.name, got)
		}
	}
}

// matchSlowly is what a pattern means, spelled out.
func matchSlowly(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	switch pattern[0] {
	case '*', '%':
		for i := 0; i <= len(name); i++ {
			if matchSlowly(pattern[1:], name[i:]) {
				return true
			}
			if i < len(name) && pattern[0] == '%' && name[i] == '/' {
				return false
			}
		}
		return false
	}
	return name != "" && name[0] == pattern[0] && matchSlowly(pattern[1:], name[1:])
}

func TestPatternsAgainstTheirMeaning(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(alphabet string, n int) string {
		b := make([]byte, r.IntN(n))
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
	matched := 0
	for range 20000 {
		text, name := word("ab/%*", 8), word("ab/", 8)
		p, usable := newPattern("", text)
		want := matchSlowly(text, name)
		if !usable {
			continue
		}
		if got := p.match(mail.MailboxName(name)); got != want {
			t.Fatalf("%q on %q: %v, want %v", text, name, got, want)
		}
		if want {
			matched++
		}
	}
	if matched < 100 {
		t.Errorf("only %d of the patterns matched: the test tells nothing", matched)
	}
}

// The longest names and the most patterns that one LIST can have are matched in
// no time, however many wildcards there are: with a matcher that tries each
// position of the pattern for each octet of the name this takes a minute.
func TestHostilePatterns(t *testing.T) {
	var ps patterns
	for i := range imap.MaxListPatterns {
		text := strings.Repeat("*a", mail.MaxMailboxName/2-i) + "b"
		p, usable := newPattern("", text)
		if !usable {
			t.Fatal("the pattern is within the limits")
		}
		ps = append(ps, p)
	}
	name := mail.MailboxName(strings.Repeat("a", mail.MaxMailboxName))
	start := time.Now()
	for range 200 {
		if ps.match(name) {
			t.Fatal("matches a name without b")
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("200 names took %v", took)
	}
	for _, text := range []string{strings.Repeat("a", maxPattern+1), strings.Repeat("a*", mail.MaxMailboxName+1)} {
		if _, usable := newPattern("", text); usable {
			t.Error("a pattern over the limit is used")
		}
	}
}

func TestLongPatterns(t *testing.T) {
	for n := 60; n < 200; n++ { // Around the words of states.
		text := strings.Repeat("a", n)
		for _, c := range []struct {
			pattern, name string
			want          bool
		}{
			{text, text, true}, {text, text + "a", false}, {text + "*", text + "/b", true}, {text + "%", text + "/b", false},
			{"%" + text, "b/" + text, false}, {"*" + text, "b/" + text, true}, {text + "b", text + "b", true}, {text + "b", text + "a", false},
		} {
			p, usable := newPattern("", c.pattern)
			if got := usable && p.match(mail.MailboxName(c.name)); got != c.want {
				t.Errorf("%q on %q: %v", c.pattern, c.name, got)
			}
		}
	}
}
