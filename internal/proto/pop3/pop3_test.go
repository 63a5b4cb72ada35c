package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want Command
	}{
		{"NOOP", Command{Verb: NOOP}},
		{"noop", Command{Verb: NOOP}},
		{"STAT ", Command{Verb: STAT}}, // Quirk: a space at the end
		{"LIST", Command{LIST, Message{}}},
		{"LIST ", Command{LIST, Message{}}},
		{"LIST 7", Command{LIST, Message{7}}},
		{"uidl 0012", Command{UIDL, Message{12}}},
		{"RETR 2147483647", Command{RETR, Message{MaxNumber}}},
		{"TOP 1 0", Command{TOP, Top{1, 0}}},
		{"TOP 3 10 ", Command{TOP, Top{3, 10}}},
		{"USER anna@example.org", Command{USER, User{"anna@example.org"}}},
		{"USER 名前@例え.jp", Command{USER, User{"名前@例え.jp"}}},
		{`USER "a b"@example.org`, Command{USER, User{`"a b"@example.org`}}},
		{"PASS secret", Command{PASS, Pass{"secret"}}},
		{"PASS  two words ", Command{PASS, Pass{" two words "}}},
		{"PASS pässword", Command{PASS, Pass{"pässword"}}},
		{"AUTH", Command{AUTH, Auth{}}},
		{"AUTH plain", Command{AUTH, Auth{Mechanism: "PLAIN"}}},
		{"AUTH SCRAM-SHA-256 biws", Command{AUTH, Auth{"SCRAM-SHA-256", []byte("biws")}}},
		{"AUTH PLAIN =", Command{AUTH, Auth{"PLAIN", []byte("=")}}},
		{"AUTH  PLAIN  AGEAYg==", Command{AUTH, Auth{"PLAIN", []byte("AGEAYg==")}}}, // Quirk: two spaces
		{"AUTH PLAIN  ", Command{AUTH, Auth{Mechanism: "PLAIN"}}},
		{"LANG", Command{LANG, Lang{}}},
		{"LANG *", Command{LANG, Lang{"*"}}},
		{"LANG de-DE", Command{LANG, Lang{"de-DE"}}},
		{"UTF8", Command{Verb: UTF8}},
	}
	for _, tt := range tests {
		got, err := Parse([]byte(tt.line))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("Parse(%q) = %#v, %v", tt.line, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const unknown = "unknown command"
	tests := []struct{ line, want string }{
		{"", unknown},
		{" NOOP", unknown},
		{"APOP mrose c4c9334bac560ecc979e58001b3e22fb", unknown},
		{"RETRX 1", unknown},
		{"RET", unknown},
		{"NOOP\x00", unknown},
		{"NOOP now", "NOOP: expected end of line"},
		{"STAT 1", "STAT: expected end of line"},
		{"RETR", "RETR: expected a message number"},
		{"RETR 0", "RETR: expected a message number"},
		{"RETR -1", "RETR: expected a message number"},
		{"RETR 2147483648", "RETR: expected a message number"},
		{"RETR 99999999999999999999999999", "RETR: expected a message number"},
		{"RETR  1", "RETR: expected a message number"},
		{"RETR 1 2", "RETR: expected end of line"},
		{"RETR 1x", "RETR: expected end of line"},
		{"TOP", "TOP: expected a message number and a number of lines"},
		{"TOP 1", "TOP: expected a number of lines"},
		{"TOP 1 -1", "TOP: expected a number of lines"},
		{"TOP 1 2 3", "TOP: expected end of line"},
		{"USER", "USER: expected a space and a user name in UTF-8"},
		{"USER ", "USER: expected a space and a user name in UTF-8"},
		{"USER \xff", "USER: expected a space and a user name in UTF-8"},
		{"USER a\x00b", "USER: expected a space and a user name in UTF-8"},
		{"PASS", "PASS: expected a space and a password in UTF-8"},
		{"PASS ", "PASS: expected a space and a password in UTF-8"},
		{"PASS a\xc3", "PASS: expected a space and a password in UTF-8"},
		{"AUTH PL/AIN", "AUTH: expected end of line"},
		{"AUTH PLAIN a b", "AUTH: expected end of line"},
		{"LANG a b", "LANG: expected end of line"},
		{"LANG " + strings.Repeat("a", MaxLanguage+1), "LANG: expected a shorter language range"},
		{"CAPA x", "CAPA: expected end of line"},
	}
	for _, tt := range tests {
		_, err := Parse([]byte(tt.line))
		var e *Error
		if !errors.As(err, &e) || err.Error() != tt.want || (e.Kind == UnknownCommand) != (tt.want == unknown) {
			t.Errorf("Parse(%q): %v, want %s", tt.line, err, tt.want)
		}
	}
}

// write is the other direction of Parse.
func write(c Command) string {
	switch a := c.Args.(type) {
	case User:
		return c.Verb.String() + " " + a.Name
	case Pass:
		return c.Verb.String() + " " + a.Password
	case Auth:
		return strings.TrimRight(c.Verb.String()+" "+a.Mechanism+" "+string(a.Initial), " ")
	case Message:
		if a.Number == 0 {
			return c.Verb.String()
		}
		return fmt.Sprint(c.Verb.String(), " ", a.Number)
	case Top:
		return fmt.Sprint(c.Verb.String(), " ", a.Number, " ", a.Lines)
	case Lang:
		return strings.TrimRight(c.Verb.String()+" "+a.Range, " ")
	}
	return c.Verb.String()
}

func FuzzParse(f *testing.F) {
	for v := range Verbs {
		for _, args := range []string{"", " ", " 1", " 1 2", " a", " 名前", " PLAIN dGVzdA==", " *"} {
			f.Add([]byte(v.String() + args))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := Parse(line)
		if err != nil {
			if reply := (Reply{Text: err.Error()}).String(); strings.Contains(reply, "?") {
				t.Errorf("the error quotes the command: %q", reply)
			}
			return
		}
		if c.Verb == Unknown {
			t.Fatalf("%q has no verb", line)
		}
		again, err := Parse([]byte(write(c)))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%q reads as %#v; written and read again it is %#v, %v", line, c, again, err)
		}
		if u, ok := c.Args.(User); ok && (!utf8.ValidString(u.Name) || u.Name == "") {
			t.Errorf("user name %q", u.Name)
		}
	})
}

// TestVerbs: each has a name of its own, by which it is found.
func TestVerbs(t *testing.T) {
	for v := Unknown + 1; v < Verbs; v++ {
		for _, name := range []string{v.String(), strings.ToLower(v.String())} {
			if name == "" || lookup([]byte(name)) != v {
				t.Errorf("verb %d is called %q, which is verb %d", v, name, lookup([]byte(name)))
			}
		}
	}
	if Unknown.String() != "" {
		t.Error("what is unknown has a name")
	}
}

func TestMatchLanguage(t *testing.T) {
	for r, want := range map[string]string{"*": "en", "en": "en", "EN": "en", "en-GB": "en", "en-Latn-US": "en",
		"de": "", "": "", "e": "", "-": "", "en-": "en"} {
		l, ok := MatchLanguage(r)
		if l.Tag != want || ok != (want != "") {
			t.Errorf("MatchLanguage(%q) = %q, %v", r, l.Tag, ok)
		}
	}
}

func TestReply(t *testing.T) {
	tests := []struct {
		r    Reply
		want string
	}{
		{Reply{}, "-ERR"},
		{OK(""), "+OK"},
		{OK("2 320"), "+OK 2 320"},
		{Reply{Code: InUse, Text: "locked"}, "-ERR [IN-USE] locked"},
		{Reply{Code: SysTemp}, "-ERR [SYS/TEMP]"},
		{Reply{Text: "[AUTH] not a code"}, "-ERR ?AUTH] not a code"},
		{Reply{Code: BadAuth, Text: "[x] a\r\n+OK"}, "-ERR [AUTH] [x] a??+OK"},
		{OK("é"), "+OK ??"},
	}
	for _, tt := range tests {
		if got := string(tt.r.Append([]byte("x"))); got != "x"+tt.want+"\r\n" {
			t.Errorf("%+v: %q, want %q", tt.r, got, tt.want)
		}
	}
	long := Reply{Code: SysTemp, Text: strings.Repeat("a", 1000)}.Append(nil)
	if len(long) != MaxReply || !bytes.HasSuffix(long, []byte("a\r\n")) {
		t.Errorf("a long reply has %d octets", len(long))
	}
}

// lineVectors are messages and what a client must get for them.
var lineVectors = []struct{ in, want string }{
	{"", ".\r\n"},
	{"a", "a\r\n.\r\n"},
	{"a\r\n", "a\r\n.\r\n"},
	{"a\n", "a\r\n.\r\n"},
	{"a\r", "a\r\n.\r\n"},
	{"\n", "\r\n.\r\n"},
	{".", "..\r\n.\r\n"},
	{".\r\n", "..\r\n.\r\n"},
	{"..\n.a\nb.\n", "...\r\n..a\r\nb.\r\n.\r\n"},
	{"a\r\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n"},
	{"a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"},
	{"a\r.b\r\n", "a\r.b\r\n.\r\n"},
	{"a\r\r\n", "a\r\r\n.\r\n"},
	{"\n\n\r\n.\n", "\r\n\r\n\r\n..\r\n.\r\n"},
	{"\x00\xff\r\n", "\x80\xff\r\n.\r\n"},
}

func lines(t *testing.T, pieces ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := NewLineWriter(&b)
	for _, p := range pieces {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", p, n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLineWriter(t *testing.T) {
	for _, tt := range lineVectors {
		if got := lines(t, tt.in); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.in, got, tt.want)
		}
		if got := lines(t, strings.Split(tt.in, "")...); got != tt.want {
			t.Errorf("%q in single octets became %q, want %q", tt.in, got, tt.want)
		}
	}
}

type broken struct{ after int }

func (b *broken) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestLineWriterErrorSticks(t *testing.T) {
	for after := range 4 {
		w := NewLineWriter(&broken{after})
		_, err1 := w.Write([]byte(".a\n.b\n"))
		if err := w.Close(); !errors.Is(err, io.ErrClosedPipe) || err1 == nil {
			t.Errorf("after %d writes: %v, then Close %v", after, err1, err)
		}
	}
}

func FuzzLineWriter(f *testing.F) {
	for i, tt := range lineVectors {
		f.Add([]byte(tt.in), i)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		if len(in) > 0 {
			cut = (cut%len(in) + len(in)) % len(in)
		} else {
			cut = 0
		}
		got := lines(t, string(in))
		if split := lines(t, string(in[:cut]), string(in[cut:])); split != got {
			t.Fatalf("%q cut at %d became %q, whole %q", in, cut, split, got)
		}
		if want := slowLines(in); got != want {
			t.Fatalf("%q became %q, want %q", in, got, want)
		}
	})
}

// slowLines is LineWriter in the words of RFC 1939 §3.
func slowLines(in []byte) string {
	text := strings.ReplaceAll(strings.ReplaceAll(string(in), "\r\n", "\n"), "\n", "\r\n")
	text = strings.ReplaceAll(text, "\x00", "\x80")
	if before, found := strings.CutSuffix(text, "\r"); found {
		text = before + "\r\n"
	}
	if text != "" && !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\r\n") {
		if strings.HasPrefix(line, ".") {
			b.WriteByte('.')
		}
		b.WriteString(line)
	}
	return b.String() + ".\r\n"
}

func TestTopCutter(t *testing.T) {
	const m = "A: b\r\nC: d\r\n\r\none\r\ntwo\r\nthree\r\n"
	tests := []struct {
		in    string
		lines int
		want  string
		done  bool
	}{
		{m, 0, "A: b\r\nC: d\r\n\r\n", true},
		{m, 1, "A: b\r\nC: d\r\n\r\none\r\n", true},
		{m, 3, m, true},
		{m, 4, m, false},
		{m, MaxNumber, m, false},
		{"A: b\n\nbody\nmore", 1, "A: b\n\nbody\n", true},
		{"\r\nbody\r\nmore", 0, "\r\n", true},
		{"\nbody\n", 1, "\nbody\n", true},
		{"A: b\r\n", 0, "A: b\r\n", false},
		{"A\r\n\r\r\nB\r\n\r\nbody\r\n", 0, "A\r\n\r\r\nB\r\n\r\n", true},
		{"A\r\n\r\n\r\n\r\nx\r\n", 1, "A\r\n\r\n\r\n", true},
		{"", 0, "", false},
	}
	for _, tt := range tests {
		n, done := NewTopCutter(tt.lines).Cut([]byte(tt.in))
		if tt.in[:n] != tt.want || done != tt.done {
			t.Errorf("%q, %d lines: %q, %v", tt.in, tt.lines, tt.in[:n], done)
		}
		cut, total := NewTopCutter(tt.lines), 0
		for i := range len(tt.in) {
			n, done = cut.Cut([]byte(tt.in[i : i+1]))
			total += n
		}
		if tt.in[:total] != tt.want || done != tt.done && tt.in != "" {
			t.Errorf("%q, %d lines, in single octets: %q, %v", tt.in, tt.lines, tt.in[:total], done)
		}
	}
}

func BenchmarkLineWriter(b *testing.B) {
	msg := bytes.Repeat([]byte(strings.Repeat("x", 70)+"\r\n"), 1000)
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		w := NewLineWriter(io.Discard)
		_, _ = w.Write(msg)
		_ = w.Close()
	}
}
