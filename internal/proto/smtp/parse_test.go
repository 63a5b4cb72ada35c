package smtp

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"yubin/internal/mail"
)

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestParse(t *testing.T) {
	alice := address(t, "alice@example.org")
	from := mail.ReversePath(alice)
	for line, want := range map[string]Command{
		"EHLO mx.example.org":                      Hello{EHLO, "mx.example.org"},
		"ehlo [192.0.2.1]":                         Hello{EHLO, "[192.0.2.1]"},
		"HELO  old ":                               Hello{HELO, "old"},
		"LHLO two words":                           Hello{LHLO, "two"},
		"EHLO bücher.example":                      Hello{EHLO, "bücher.example"},
		"MAIL FROM:<>":                             Mail{},
		"mail from: <alice@example.org>":           Mail{ReversePath: from},
		"MAIL FROM:<alice@EXAMPLE.org>  ":          Mail{ReversePath: from},
		"MAIL FROM:<@a.example:alice@example.org>": Mail{ReversePath: from},
		"MAIL FROM:<@[IPv6:2001:db8::1],@b.example:alice@example.org>": Mail{ReversePath: from},
		"MAIL FROM:<alice@example.org> SIZE=12 BODY=8bitmime":          Mail{ReversePath: from, Size: 12, Body: mail.Body8BitMIME, Given: ParamSize | ParamBody},
		"MAIL FROM:<> body=BINARYMIME SMTPUTF8 AUTH=<>":                Mail{Body: mail.BodyBinaryMIME, UTF8: true, Given: ParamBody | ParamUTF8 | ParamAuth},
		"MAIL FROM:<> AUTH=a+2Bb@example.org":                          Mail{Given: ParamAuth},
		"MAIL FROM:<> SIZE=99999999999999999999":                       Mail{Size: math.MaxInt64, Given: ParamSize},
		"MAIL FROM:<é@example.org> SMTPUTF8":                           Mail{ReversePath: mail.ReversePath(address(t, "é@example.org")), UTF8: true, Given: ParamUTF8, NonASCII: true},
		"RCPT TO:<alice@example.org>":                                  Rcpt{ForwardPath: alice},
		"RCPT TO:<a@bücher.example>":                                   Rcpt{ForwardPath: address(t, "a@bücher.example"), NonASCII: true},
		`RCPT TO:<"a > b\" c"@example.org>`:                            Rcpt{ForwardPath: mail.Address{Local: `a > b" c`, Domain: "example.org"}},
		"RCPT TO:<postMASTER>":                                         Rcpt{Postmaster: true},
		"RCPT TO:<x@[192.0.2.7]>":                                      Rcpt{ForwardPath: address(t, "x@[192.0.2.7]")},
		"DATA":                                                         Data{},
		"data \t":                                                      Data{},
		"BDAT 0 LAST":                                                  Bdat{0, true},
		"BDAT 86":                                                      Bdat{86, false},
		"RSET":                                                         Rset{},
		"NOOP":                                                         Noop{},
		"NOOP anything at all":                                         Noop{},
		"QUIT":                                                         Quit{},
		"STARTTLS":                                                     StartTLS{},
		"HELP":                                                         Help{},
		"HELP mail":                                                    Help{[]byte("mail")},
		"VRFY Fred Foobar":                                             Vrfy{[]byte("Fred Foobar")},
		"EXPN staff":                                                   Expn{[]byte("staff")},
		"AUTH plain":                                                   Auth{"PLAIN", nil},
		"AUTH SCRAM-SHA-256 biws":                                      Auth{"SCRAM-SHA-256", []byte("biws")},
		"AUTH PLAIN =":                                                 Auth{"PLAIN", []byte("=")},
		"AUTH  PLAIN  =":                                               Auth{"PLAIN", []byte("=")},
		"AUTH PLAIN  ":                                                 Auth{"PLAIN", nil},
	} {
		got, verb, err := Parse([]byte(line))
		if err != nil || !reflect.DeepEqual(got, want) || verb != want.Verb() {
			t.Errorf("%q is %#v %v, want %#v", line, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "500 5.5.2",
		" EHLO x":                          "500 5.5.2",
		"MAILFROM:<a@b>":                   "500 5.5.2",
		"XYZZY":                            "500 5.5.2",
		"\x16\x03\x01":                     "500 5.5.2",
		"EHLO":                             "501 5.5.4",
		"EHLO ":                            "501 5.5.4",
		"EHLO a\x00b":                      "501 5.5.4",
		"EHLO " + strings.Repeat("a", 256): "501 5.5.4",
		"EHLO \xff":                        "501 5.5.4",
		"MAIL":                             "501 5.5.4",
		"MAIL <a@b>":                       "501 5.5.4",
		"MAIL FROM:a@b.example":            "501 5.1.7",
		"MAIL FROM:":                       "501 5.1.7",
		"MAIL FROM:<a@b":                   "501 5.1.7",
		"MAIL FROM:<a>":                    "501 5.1.7",
		"MAIL FROM:<a@>":                   "501 5.1.7",
		"MAIL FROM:<a@b..c>":               "501 5.1.7",
		"MAIL FROM:<@a:>":                  "501 5.1.7",
		"MAIL FROM:<@:a@b>":                "501 5.1.7",
		"MAIL FROM:<@a,b:a@b>":             "501 5.1.7",
		"MAIL FROM:<a@b@c>":                "501 5.1.7",
		"MAIL FROM:<\xff@b>":               "501 5.1.7",
		"MAIL FROM:<a@b>X":                 "501 5.5.4",
		"MAIL FROM:<a@b> SIZE":             "501 5.5.4",
		"MAIL FROM:<a@b> SIZE=":            "501 5.5.4",
		"MAIL FROM:<a@b> SIZE=1x":          "501 5.5.4",
		"MAIL FROM:<a@b> SIZE=1 SIZE=1":    "501 5.5.4",
		"MAIL FROM:<a@b> BODY=9BIT":        "501 5.5.4",
		"MAIL FROM:<a@b> SMTPUTF8=yes":     "501 5.5.4",
		"MAIL FROM:<a@b> AUTH=x":           "501 5.5.4",
		"MAIL FROM:<a@b> AUTH=+zz":         "501 5.5.4",
		"MAIL FROM:<a@b> XYZZY=FULL":       "555 5.5.4",
		"MAIL FROM:<a@b> =":                "501 5.5.4",
		"RCPT TO:<>":                       "501 5.1.3",
		"RCPT TO:<a@-b>":                   "501 5.1.3",
		"RCPT TO:<a@[300.1.1.1]>":          "501 5.1.3",
		"RCPT TO:<a b@c>":                  "501 5.1.3",
		"RCPT TO:<a@b> RET=FULL":           "555 5.5.4",
		"MAIL FROM:<a@b> NOTIFY=NEVER":     "555 5.5.4",
		"RCPT TO:<" + strings.Repeat("a", 256) + "@b>": "501 5.1.3",
		"DATA now":                        "501 5.5.4",
		"QUIT x":                          "501 5.5.4",
		"STARTTLS x":                      "501 5.5.4",
		"BDAT":                            "501 5.5.4",
		"BDAT -1":                         "501 5.5.4",
		"BDAT 1 FIRST":                    "501 5.5.4",
		"BDAT 99999999999999999999":       "501 5.5.4",
		"VRFY":                            "501 5.5.4",
		"AUTH":                            "501 5.5.4",
		"AUTH PLAIN a b":                  "501 5.5.4",
		"AUTH PLAIN ":                     "",
		"AUTH " + strings.Repeat("A", 21): "501 5.5.4",
	} {
		_, _, err := Parse([]byte(line))
		if want == "" {
			if err != nil {
				t.Errorf("%q is refused: %v", line, err)
			}
			continue
		}
		e, ok := err.(*Error)
		if !ok || !strings.HasPrefix(e.Reply.String(), want+" ") {
			t.Errorf("%q gives %v, want %s", line, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{"EHLO a", "MAIL FROM:<@x,@[1.2.3.4]:a@b.example> SIZE=1 BODY=8BITMIME SMTPUTF8 AUTH=<>",
		`RCPT TO:<"a\"b"@c.example>`, "RCPT TO:<Postmaster>", "BDAT 10 LAST", "AUTH PLAIN =", "VRFY x y", "HELP q", "NOOP z",
		"MAIL FROM:<> RET=HDRS ENVID=a+2Bb BY=-3;NT MT-PRIORITY=-9 REQUIRETLS HOLDFOR=60",
		"MAIL FROM:<a@b> BY=+120;r HOLDUNTIL=2026-02-01T00:00:00.5Z RET=full MT-PRIORITY=0",
		"RCPT TO:<a@b> NOTIFY=success,Delay ORCPT=rfc822;A+2Bb@c", `RCPT TO:<a@b> ORCPT=utf-8;\x{90F5}@x NOTIFY=NEVER`,
		"RCPT TO:<a@b> ORCPT=UTF-8;郵便@例え.テスト"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		cmd, verb, err := Parse(line)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Reply.Code < 500 || e.Reply.Code > 599 {
				t.Fatalf("%q: the error %v is no permanent reply", line, err)
			}
			return
		}
		again, verb2, err := Parse(cmd.Append(nil))
		if err != nil || verb != verb2 {
			t.Fatalf("%q became %q, which is refused: %v", line, cmd.Append(nil), err)
		}
		// The spelling of a path need not be the one that came.
		if !reflect.DeepEqual(plain(cmd), plain(again)) {
			t.Fatalf("%q became %q: %#v, %#v", line, cmd.Append(nil), cmd, again)
		}
	})
}

func plain(c Command) Command {
	switch c := c.(type) {
	case Mail:
		c.NonASCII = false
		return c
	case Rcpt:
		c.NonASCII = false
		return c
	}
	return c
}

func BenchmarkParse(b *testing.B) {
	mailFrom := []byte("MAIL FROM:<sender@remote.example> SIZE=4096")
	rcptTo := []byte("RCPT TO:<alice@example.org>")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(mailFrom); err != nil {
			b.Fatal(err)
		}
		if _, _, err := Parse(rcptTo); err != nil {
			b.Fatal(err)
		}
	}
}
