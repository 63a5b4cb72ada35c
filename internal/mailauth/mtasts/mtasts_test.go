package mtasts

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
)

// example is the policy of RFC 8461 §3.2.
const example = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n"

var parsed = Policy{Enforce, []string{"mail.example.com", "*.example.net", "backupmx.example.com"}, 604800 * time.Second}

func TestParse(t *testing.T) {
	for name, text := range map[string]string{
		"the RFC's":                          example,
		"lines with CRLF":                    strings.ReplaceAll(example, "\n", "\r\n"),
		"no end of the last line":            strings.TrimSuffix(example, "\n"),
		"spaces and tabs":                    strings.ReplaceAll(strings.ReplaceAll(example, ": ", ":\t  "), "\n", " \t\n"),
		"no space":                           strings.ReplaceAll(example, ": ", ":"),
		"the version last":                   strings.TrimPrefix(example, "version: STSv1\n") + "version: STSv1\n",
		"names of hosts in capitals":         strings.Replace(example, "mail.example", "MAIL.Example", 1),
		"a field of later times":             example + "x-later_field.1: whatever; it = säys\n",
		"the second of a field says nothing": example + "mode: none\nversion: STSv2\nmax_age: x\n",
		"empty lines":                        "\n" + example + "\r\n \n",
	} {
		if p, err := Parse([]byte(text)); err != nil || !reflect.DeepEqual(p, parsed) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	for text, want := range map[string]Policy{
		"version: STSv1\nmode: none\nmax_age: 86400\n":              {None, nil, 86400 * time.Second},
		"version: STSv1\nmode: testing\nmx: a.b\nmax_age: 0\n":      {Testing, []string{"a.b"}, 0},
		"version: STSv1\nmode: none\nmax_age: 9999999999\nmx: a.b":  {None, []string{"a.b"}, MaxAge},
		"version: STSv1\nmode: none\nmax_age: 31557600\nmx: *.a.b ": {None, []string{"*.a.b"}, MaxAge},
	} {
		if p, err := Parse([]byte(text)); err != nil || !reflect.DeepEqual(p, want) {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
	}
}

// TestParseRefuses what is no policy, and says where.
func TestParseRefuses(t *testing.T) {
	with := func(line string) string { return example + line + "\n" }
	without := func(line string) string { return strings.Replace(example, line+"\n", "", 1) }
	for text, says := range map[string]string{
		"":                         "the policy has no version",
		"<!DOCTYPE html>\n":        "line 1 of the policy: there is no colon in it",
		"<a href=\"x:y\">\n":       "line 1 of the policy: what stands before the colon is no name of a field",
		without("version: STSv1"):  "the policy has no version",
		without("mode: enforce"):   "the policy has no mode",
		without("max_age: 604800"): "the policy has no max_age",
		"version: STSv1\nmode: testing\nmax_age: 5\n":        "the policy names no host (mx)",
		strings.Replace(example, "STSv1", "STSv2", 1):        "line 1 of the policy: the version is not STSv1",
		strings.Replace(example, "version", "Version", 1):    "the policy has no version",
		strings.Replace(example, "enforce", "Enforce", 1):    "line 2 of the policy: the mode is none of",
		strings.Replace(example, "604800", "-1", 1):          "line 6 of the policy: max_age is no number",
		strings.Replace(example, "604800", "+1", 1):          "line 6 of the policy: max_age is no number",
		strings.Replace(example, "604800", "1 day", 1):       "line 6 of the policy: max_age is no number",
		strings.Replace(example, "604800", "00000000001", 1): "line 6 of the policy: max_age is no number",
		strings.Replace(example, "604800", "", 1):            "line 6 of the policy: max_age has no value",
		with("mx: *.*.example.net"):                          "line 7 of the policy: mx is no name",
		with("mx: mail*.example.net"):                        "line 7 of the policy: mx is no name",
		with("mx: *"):                                        "line 7 of the policy: mx is no name",
		with("mx: [192.0.2.1]"):                              "line 7 of the policy: mx is no name",
		with("mx: bücher.example"):                           "line 7 of the policy: mx is no name",
		with("mx: a b"):                                      "line 7 of the policy: mx is no name",
		with(" mx: a.b"):                                     "line 7 of the policy: what stands before the colon",
		with("x: a\x00b"):                                    "line 7 of the policy: x has a control character",
		with("x: a\rb"):                                      "line 7 of the policy: x has a control character",
		with("x: \xff"):                                      "the policy is not UTF-8",
		with(strings.Repeat("x", 33) + ": y"):                "line 7 of the policy: what stands before the colon",
	} {
		p, err := Parse([]byte(text))
		if err == nil || mail.KindOf(err) != mail.Invalid || !strings.HasPrefix(err.Error(), says) || !reflect.DeepEqual(p, Policy{}) {
			t.Errorf("%q: %+v, %v; want %s", text, p, err, says)
		}
	}
}

// TestParseIsBounded at each of its limits.
func TestParseIsBounded(t *testing.T) {
	hosts := func(n int) (lines string) {
		for i := range n {
			lines += fmt.Sprintf("mx: h%d.example\n", i)
		}
		return lines
	}
	few := "version: STSv1\nmode: none\nmax_age: 1\n"
	for name, c := range map[string]struct {
		text string
		fits bool
	}{
		"as many hosts as can be": {few + hosts(MaxPatterns), true},
		"one host more":           {few + hosts(MaxPatterns+1), false},
		"as many lines":           {few + strings.Repeat("x: y\n", MaxLines-3), true},
		"a line more":             {few + strings.Repeat("x: y\n", MaxLines-2), false},
		"as many octets":          {few + "x: " + strings.Repeat("y", MaxSize-len(few)-3), true},
		"an octet more":           {few + "x: " + strings.Repeat("y", MaxSize-len(few)-2), false},
	} {
		_, err := Parse([]byte(c.text))
		if (err == nil) != c.fits || !c.fits && mail.KindOf(err) != mail.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMatches: RFC 8461 §4.1.
func TestMatches(t *testing.T) {
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.example.COM": true, "mail.example.com.": true, "backupmx.example.com": true,
		"a.mail.example.com": false, "example.com": false, "ail.example.com": false,
		"mx.example.net": true, "Mx.Example.Net": true, "foo.bar.example.net": false, "example.net": false, ".example.net": false,
		"mx.example.net.evil.example": false, "*.example.net": true, "": false, ".": false, "[192.0.2.1]": false,
	} {
		if got := parsed.Matches(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
	if (Policy{Mode: Enforce}).Matches("") {
		t.Error("no pattern matches no host")
	}
}

func TestStringAndID(t *testing.T) {
	if want := strings.ReplaceAll(example, "\n", "\r\n"); parsed.String() != want {
		t.Errorf("%q", parsed)
	}
	ids := map[string]string{}
	for _, p := range []Policy{parsed, {Mode: None}, {Testing, parsed.MX, parsed.MaxAge}, {Enforce, parsed.MX[:1], parsed.MaxAge}, {Enforce, parsed.MX, time.Hour}} {
		id := p.ID()
		if before, twice := ids[id]; twice {
			t.Errorf("%q and %q have one id", before, p)
		}
		ids[id] = p.String()
		if got, err := ParseRecord([]string{Record(id)}); err != nil || got != id || id != p.ID() {
			t.Errorf("%q: %q, %v", id, got, err)
		}
	}
}

// TestParseRecord: RFC 8461 §3.1.
func TestParseRecord(t *testing.T) {
	const good = "v=STSv1; id=20160831085700Z;"
	for _, txts := range [][]string{
		{good},
		{"v=spf1 -all", good, "v=STSv1"},
		{"v=STSv1;id=20160831085700Z"},
		{"v=STSv1; \t id=20160831085700Z \t; "},
		{"v=STSv1; later_one.x=what/ever; id=20160831085700Z; id=second;"},
	} {
		if id, err := ParseRecord(txts); err != nil || id != "20160831085700Z" {
			t.Errorf("%q: %q, %v", txts, id, err)
		}
	}
	for text, kind := range map[string]mail.Kind{
		"":                                       mail.NotFound,
		"v=STSv2; id=1;":                         mail.NotFound,
		"v=STSv1":                                mail.NotFound,
		"v=STSv1 ; id=1":                         mail.NotFound,
		" v=STSv1; id=1":                         mail.NotFound,
		"V=STSv1; id=1":                          mail.NotFound,
		"id=1; v=STSv1;":                         mail.NotFound,
		good + "|" + good:                        mail.Invalid,
		"v=STSv1;":                               mail.Invalid,
		"v=STSv1; ;":                             mail.Invalid,
		"v=STSv1;; id=1":                         mail.Invalid,
		"v=STSv1; id=":                           mail.Invalid,
		"v=STSv1; id=a-b":                        mail.Invalid,
		"v=STSv1; id=a=b":                        mail.Invalid,
		"v=STSv1; id=1 2":                        mail.Invalid,
		"v=STSv1; ID=1":                          mail.Invalid,
		"v=STSv1; id=1; x":                       mail.Invalid,
		"v=STSv1; id=1; x=é":                     mail.Invalid,
		"v=STSv1; id=" + strings.Repeat("1", 33): mail.Invalid,
		good + "x=" + strings.Repeat("1", 4096):  mail.TooLarge,
		"v=STSv1; id=1;\r\nx=1":                  mail.Invalid,
		"v=STSv1; " + strings.Repeat("a=1;", 900): mail.Invalid,
	} {
		if id, err := ParseRecord(strings.Split(text, "|")); err == nil || mail.KindOf(err) != kind || id != "" {
			t.Errorf("%q: %q, %v", text, id, err)
		}
	}
}

func TestNames(t *testing.T) {
	record, err := RecordName("example.com")
	if err != nil || record != "_mta-sts.example.com" {
		t.Error(record, err)
	}
	host, err := HostName("example.com")
	if err != nil || host != "mta-sts.example.com" {
		t.Error(host, err)
	}
	long := mail.Domain(strings.Repeat("a.", 125) + "bc")
	for _, d := range []mail.Domain{"[192.0.2.1]", long} {
		if n, err := RecordName(d); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%s: %s, %v", d, n, err)
		}
		if n, err := HostName(d); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%s: %s, %v", d, n, err)
		}
	}
}

// FuzzParse: what is read is written in one form, which is read alike.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("version: STSv1\r\nmode: none\r\nmax_age: 99999999999\r\nmx: *.a\r\n"))
	f.Add([]byte("mx:*.\n\n:\r"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			if k := mail.KindOf(err); k != mail.Invalid && k != mail.TooLarge {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := Parse([]byte(p.String()))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q: %+v, then %+v, %v", text, p, again, err)
		}
		for _, pattern := range p.MX {
			if !p.Matches(strings.Replace(pattern, "*", "any", 1)) {
				t.Fatalf("%q matches nothing", pattern)
			}
		}
	})
}

// FuzzParseRecord: an id is always one that a record can have.
func FuzzParseRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=STSv1;id=1;id=2;x=y;")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseRecord([]string{text})
		if again, err2 := ParseRecord([]string{Record(id)}); err == nil && (err2 != nil || again != id) {
			t.Fatalf("%q: %q, then %q, %v", text, id, again, err2)
		}
	})
}
