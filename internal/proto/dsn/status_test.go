package dsn

import (
	"strings"
	"testing"

	"yubin/internal/mail"
)

func TestStatusOf(t *testing.T) {
	for reply, want := range map[string]string{
		"550 5.1.1 no such user":            "5.1.1",
		"550-5.1.1 no\n550 5.2.2 such user": "5.1.1",
		"550 5.7.1: refused":                "5.7.1",
		"452 4.2.2":                         "4.2.2",
		"452":                               "4.3.1",
		"550 user unknown":                  "5.0.0",
		"550 4.1.1 of the wrong class":      "5.0.0",
		"550 5.1.1x":                        "5.0.0",
		"450 try later":                     "4.0.0",
		"421 closing":                       "4.4.2",
		"552 too much":                      "5.2.2",
		"556 no mail here":                  "5.1.10",
		"250 ok":                            "2.0.0",
		"250 2.1.5 ok":                      "2.1.5",
		"354 go on":                         "",
		"connection timed out":              "",
		"55":                                "",
		"5501 x":                            "",
		"150 x":                             "",
	} {
		if got := StatusOf(reply).String(); got != want {
			t.Errorf("%q is %q, want %q", reply, got, want)
		}
	}
}

func TestDefaultStatusHasTheClassOfItsCode(t *testing.T) {
	for code := range 1000 {
		s := DefaultStatus(code)
		if class := code / 100; s.IsZero() != (class != 2 && class != 4 && class != 5) || !s.IsZero() && int(s.Class) != class {
			t.Errorf("%d is %v", code, s)
		}
	}
}

// TestReasonsCoverTheRegistry lists the codes of RFC 3463 appendix A and of
// the RFCs that the package comment names.
func TestReasonsCoverTheRegistry(t *testing.T) {
	details := []int{0, 10, 4, 6, 7, 6, 10, 30} // the last of each subject
	seen := map[Status]bool{}
	for _, r := range reasons {
		s := Status{Subject: r.subject, Detail: r.detail}
		if seen[s] {
			t.Errorf("%v stands twice", s)
		}
		seen[s] = true
		for l, why := range r.why {
			if why == "" || Language(l) == English && !isASCII(why) || Language(l) == Japanese && !strings.HasSuffix(why, "。") {
				t.Errorf("%v in %v: %q", s, Language(l), why)
			}
		}
	}
	for subject, last := range details[1:] {
		for detail := range last + 1 {
			if s := (Status{Subject: uint16(subject + 1), Detail: uint16(detail)}); !seen[s] {
				t.Errorf("%v is not explained", s)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		status Status
		lang   Language
		why    string
	}{
		{Status{Class: 5, Subject: 2, Detail: 2}, English, "The recipient's mailbox is full."},
		{Status{Class: 4, Subject: 2, Detail: 2}, Japanese, "相手の方のメールボックスがいっぱいです。"},
		{Status{Class: 5, Subject: 1, Detail: 250}, English, "There is a problem with the address."},
		{Status{Class: 5, Subject: 0, Detail: 0}, English, "The message was refused."},
		{Status{Class: 5, Subject: 99, Detail: 1}, English, "The message was refused."},
		{Status{Class: 4, Subject: 0, Detail: 0}, English, "For the time being, the message cannot be delivered."},
	} {
		if why, advice := Explain(test.status, test.lang); why != test.why || advice == "" {
			t.Errorf("%v: %q, %q", test.status, why, advice)
		}
	}
	for a, texts := range advices {
		for l, text := range texts {
			if (text == "") != (advice(a) == noAdvice) {
				t.Errorf("advice %d in %v is %q", a, Language(l), text)
			}
		}
	}
}

func TestParseLanguage(t *testing.T) {
	for tag, want := range map[string]Language{"en": English, "ja": Japanese, "JA-jp": Japanese, "en-GB": English} {
		if l, err := ParseLanguage(tag); err != nil || l != want {
			t.Errorf("%q is %v, %v", tag, l, err)
		}
	}
	if _, err := ParseLanguage("fr"); err == nil {
		t.Error("there is no French")
	}
}

func FuzzStatus(f *testing.F) {
	for _, s := range []string{"550 5.1.1 x", "5.1.1", "421", "452-4.2.2 a\n452 b", "250"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := mail.ParseEnhanced(s); ok && got.String() != s {
			t.Errorf("%q is read as %v", s, got)
		}
		if got := StatusOf(s); !got.IsZero() {
			if back, ok := mail.ParseEnhanced(got.String()); !ok || back != got || s[0] != byte('0'+got.Class) {
				t.Errorf("%q has %v", s, got)
			}
		}
	})
}
