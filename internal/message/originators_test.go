package message

import (
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"yubin/internal/mail"
)

func addresses(all []mail.Address) string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// What clients write, and what the grammar has.
func TestOriginatorsTaken(t *testing.T) {
	for value, want := range map[string]string{
		" alice@a.example\r\n":                     "alice@a.example",
		"Alice <alice@a.example>":                  "alice@a.example",
		" \"A, B\" <alice@a.example>, b@b.example": "alice@a.example b@b.example",
		"A\r\n <alice@a.example>\r\n":              "alice@a.example",
		// Thunderbird, Outlook, Apple Mail, mutt
		"=?UTF-8?Q?Andr=C3=A9_=E4=BC=9A?= <a@a.example>":              "a@a.example",
		"=?utf-8?B?5Lya6K2w?=\r\n =?utf-8?B?5Lya6K2w?= <a@a.example>": "a@a.example",
		"\"alice@a.example\" <alice@a.example>":                       "alice@a.example",
		"\"'alice@a.example'\" <alice@a.example>":                     "alice@a.example",
		"John Q. Public <john.q.public@example.com>":                  "john.q.public@example.com",
		"\"O'Hara, Scarlett (Sales)\" <s@a.example>":                  "s@a.example",
		"Zoë 会議 <zoë@a.example>":                                      "zoë@a.example",
		"=?iso-2022-jp?B?GyRCMnE1RBsoQg==?= <a@a.example>":            "a@a.example",
		"a@a.example (Alice A.)":                                      "a@a.example",
		"\"a b\"@a.example":                                           "\"a b\"@a.example",
		"Bob via list@x <a@a.example>":                                "", // needs quotes
		"\"Bob via list@x\" <a@a.example>":                            "a@a.example",
		"a@[192.0.2.1]":                                               "a@[192.0.2.1]",
		"a@xn--mnchen-3ya.example, a@münchen.example":                 "a@xn--mnchen-3ya.example a@xn--mnchen-3ya.example",
		"A@A.EXAMPLE": "A@a.example",
		`Pete(A nice \) chap) <pete(his account)@silly.test(his host)>`:                            "pete@silly.test",
		`"Joe Q. Public" <john.q.public@example.com>, Mary Smith <mary@x.test>, Who? <one@y.test>`: "john.q.public@example.com mary@x.test one@y.test",
		`"Giant; \"Big\" Box" <sysservices@example.net>`:                                           "sysservices@example.net",
		"user+tag/department=shipping@a.example":                                                   "user+tag/department=shipping@a.example",
	} {
		all, err := ParseOriginators([]byte(value))
		if got := addresses(all); got != want || (err == nil) != (want != "") {
			t.Errorf("%q names %q (%v), want %q", value, got, err, want)
		}
	}
}

// Each of these is read as another address by some reader, or as none. Most are
// from "Composition Kills" (USENIX Security 2020), "Mailsploit" (2017), and
// what passed here once.
func TestOriginatorsRefused(t *testing.T) {
	const ceo, alice = "ceo@bank.example", "<alice@a.example>"
	for name, values := range map[string][]string{
		"nothing":       {"", " ", "\r\n", "\t", "()", "(comment)", ","},
		"no address":    {"nobody", "nobody <>", "<>", "a@", "@a.example", "<@a.example>", "alice " + ceo, "a@b@c.example", "a@ b c"},
		"leftovers":     {alice + " <" + ceo + ">", alice + ceo, alice + " " + ceo, ceo + " " + alice, alice + ">", alice + "\" " + ceo, alice + "@bank.example", alice + ";", alice + ":"},
		"empty members": {alice + ",", "," + alice, alice + ",," + alice, alice + ", ," + alice},
		"brackets":      {"<<alice@a.example>>", "<alice@a.example", "alice@a.example>", "<" + ceo + "," + alice, "<" + ceo + "<alice@a.example>>", "< <" + ceo + "> alice@a.example>"},
		"groups":        {"x: " + ceo + ";", "x:;", "x: alice@a.example, " + ceo + ";", "a@a.example: " + ceo + ";", ":;"},
		"routes":        {"<@bank.example:alice@a.example>", "<@" + "a.example,@b.example:" + ceo + ">", "<ceo@bank.example:alice@a.example>"},
		"encoded-words": {
			"=?utf-8?q?x,ceo@bank.example,y?= " + alice,
			"=?utf-8?q?x=2Cceo=40bank.example=2Cy?= " + alice,
			"=?utf-8?b?PGNlb0BiYW5rLmV4YW1wbGU+?= " + alice,
			"=?utf-8?q?=3Cceo=40bank?= =?utf-8?q?=2Eexample=3E?= " + alice,
			"\"=?utf-8?q?=3Cceo=40bank.example=3E?=\" " + alice,
			"=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQA=?= " + alice, // NUL
			"=?utf-8?q?ceo=40bank.example=0A?= " + alice,
			"=?utf-8?q?ceo=40bank.example=C2=85?= " + alice,
			"=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQ==?=@a.example",
			"<=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQ==?=@a.example>",
			"alice@=?utf-8?q?bank.example?=",
			"=?utf-7?q?+ADw-ceo+AEA-bank.example+AD4-?= " + alice,
			"=?x-own?q?hello?= " + alice,
			"=?utf-8?q?=3Cceo=40bank.example=3E " + alice + ", b?= " + alice,
			"\"=?utf-8?q?\" " + alice + ", \"?=\" " + alice,
			"=?utf-8?q?" + strings.Repeat("=41", 400) + "?= " + alice,
			"\xef\xbc\x9cceo\xef\xbc\xa0bank.example\xef\xbc\x9e " + alice, // full-width
		},
		"quoted strings": {
			`"x, ceo@bank.example, y" ` + alice, `"<ceo@bank.example>" ` + alice, `"a\" <ceo@bank.example>, \"b" ` + alice, `"ceo@bank.example\"" ` + alice,
			`"ceo@bank.example` + alice, `"unclosed`, `"\`, `"ceo@bank.example,"@a.example`, `"alice+<ceo@bank.example>"@a.example`, `"\"@bank.example;"` + alice,
			`"ceo@bank.example"@a.example`,
		},
		"comments": {
			"(<ceo@bank.example>) " + alice, "alice@a.example (x, ceo@bank.example)", "alice(@bank.example)@a.example", "alice@(bank.example)a.example",
			"alice@a.example(", "(" + alice, "(a(b" + alice + ")", strings.Repeat("(", 9) + strings.Repeat(")", 9) + alice, "<alice@a.example(<ceo@bank.example>)>",
			"(=?utf-8?q?=3Cceo=40bank.example=3E?=) " + alice,
		},
		"dots and space": {"alice. b@a.example", "alice @a .example", ".alice@a.example", "alice.@a.example", "a..b@a.example", "alice@a..example", "alice@a.example.", "alice@.a.example", "<ali ce@a.example>"},
		"octets": {
			"\x00ceo@bank.example\x00 " + alice, "A\x00 " + alice, "A\r " + alice, "A\n " + alice, "A\nB: " + alice, "A\r\nB: " + alice, "A\r\n \r\n " + alice, "A\r\n\r\n " + alice,
			"A\x7f " + alice, "A\x1b[2K " + alice, "M\xfcller " + alice, "A\u0085" + alice, "A\u009b " + alice, "ali\u0090ce@a.example",
		},
		"domains": {"alice@a\u3002example", "alice@\uff41.example", "alice@a.exam_ple/x", "alice@[192.0.2.1", "alice@[x]", "alice@-a.example", "alice@a.example%00.bank.example"},
		"lengths": {strings.Repeat("alice@a.example, ", MaxOriginators) + ceo, strings.Repeat("a", 256) + "@a.example", strings.Repeat("alice@a.example,", 6000) + ceo},
	} {
		for _, value := range values {
			if all, err := ParseOriginators([]byte(value)); err == nil || mail.KindOf(err) != mail.Invalid {
				t.Errorf("%s: %.80q is taken as %.80v (%v)", name, value, all, err)
			}
		}
	}
	fifty := strings.TrimSuffix(strings.Repeat("alice@a.example, ", MaxOriginators), ", ")
	if all, err := ParseOriginators([]byte(fifty)); err != nil || len(all) != MaxOriginators {
		t.Errorf("%d addresses: %d, %v", MaxOriginators, len(all), err)
	}
}

// Whatever is taken is read as the same addresses by the reader that never fails,
// and by one that is not ours, if it takes it.
func FuzzParseOriginators(f *testing.F) {
	for _, s := range []string{"a@b.example", "A <a@b.example>, \"x\" <c@d.example>", "=?utf-8?q?x?= <a@b.example>", "(c) a (c) @ b.example (c)",
		"\"a b\"@c.example", "a@[192.0.2.1]", "A\r\n B. <a@b.example>", "x: a@b.example;", "\u4f1a <\u4f1a@b.example>", "<@r:a@b.example>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		strict, err := ParseOriginators(value)
		if err != nil {
			if mail.KindOf(err) != mail.Invalid || err.Error() == "" {
				t.Fatalf("%q: %v", value, err)
			}
			return
		}
		var lenient []mail.Address
		for _, a := range ParseAddressList(value) {
			d, err := mail.ParseDomain(string(a.Host))
			if err != nil {
				t.Fatalf("%q: read as %q", value, a.Host)
			}
			lenient = append(lenient, mail.Address{Local: string(a.Mailbox), Domain: d})
		}
		if fmt.Sprint(lenient) != fmt.Sprint(strict) {
			t.Fatalf("%q: strictly %q, else %q", value, strict, lenient)
		}
		others, err := netmail.ParseAddressList(strings.TrimSpace(string(value)))
		if err != nil {
			return
		}
		for i, o := range others {
			at := strings.LastIndexByte(o.Address, '@')
			d, err := mail.ParseDomain(o.Address[at+1:])
			if len(others) != len(strict) || err != nil || strings.TrimSuffix(strings.TrimPrefix(o.Address[:at], `"`), `"`) != strings.TrimSuffix(strings.TrimPrefix(strict[i].Local, `"`), `"`) || d != strict[i].Domain {
				t.Fatalf("%q: strictly %q, net/mail %v", value, strict, o.Address)
			}
		}
		if !slices.ContainsFunc(strict, func(a mail.Address) bool { return a.Local != "" && a.Domain != "" }) {
			t.Fatalf("%q: %q", value, strict)
		}
	})
}
