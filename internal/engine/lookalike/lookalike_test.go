package lookalike

import (
	"strings"
	"testing"
	"unicode/utf8"

	"yubin/internal/mail"
)

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDomain(t *testing.T) {
	for in, want := range map[string]string{
		"paypal.example":    "",
		"münchen.example":   "",
		"пример.example":    "",
		"пример.рф":         "",
		"日本語カナ.example":     "",
		"abc日本語.example":    "",
		"한국abc.example":     "",
		"ελλάδα.example":    "",
		"раураӏ.example":    "reads like paypal and is in Cyrillic letters",
		"раураӏ.рф":         "",
		"pаypal.example":    "mixes Latin and Cyrillic letters",
		"gοοgle.example":    "mixes Latin and Greek letters",
		"www.аррӏе.example": "reads like apple and is in Cyrillic letters",
		"абвα.example":      "mixes Cyrillic and Greek letters",
	} {
		if got := Domain(domain(t, in)); (got == "") != (want == "") || !strings.HasSuffix(got, want) {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if got := Domain("xn--zzzzzzz.example"); got != "" {
		t.Errorf("no A-label: %q", got)
	}
}

func TestResembles(t *testing.T) {
	known := []mail.Domain{"paypal.example", "mailbox.example", "x.ex", "münchen.example"}
	known[3] = domain(t, "münchen.example")
	for in, want := range map[string]mail.Domain{
		"paypal.example":              "",
		"mail.paypal.example":         "",
		"paypa1.example":              "paypal.example",
		"payppal.example":             "",
		"pаypal.example":              "paypal.example",
		"www.paypaI.example":          "paypal.example",
		"rnailbox.example":            "mailbox.example",
		"mai1b0x.example":             "mailbox.example",
		"mail-box.example":            "mailbox.example",
		"paypal.example.evil.example": "paypal.example",
		"paypal-example.evil.example": "paypal.example",
		"munchen.example":             known[3],
		"y.ex":                        "",
		"[192.0.2.1]":                 "",
		"unrelated.example":           "",
		"evilpaypal.example":          "",
	} {
		if got := Resembles(domain(t, in), known); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestMixed(t *testing.T) {
	for in, want := range map[string]string{
		"Hello world":              "",
		"Привет, Microsoft Office": "",
		"5 µm, ΔT, αβγ-Test":       "",
		"Your ассount is loсked":   "ассount Latin and Cyrillic",
		"Windows和office版":          "",
		"naïve Ångström ﬁnal":      "",
		"Вitcoin":                  "Вitcoin Latin and Cyrillic",
	} {
		word, which := Mixed(in)
		if got := strings.TrimSpace(word + " " + which); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if w, _ := Mixed(strings.Repeat("x", MaxText) + " loсked"); w != "" {
		t.Errorf("looked behind the limit: %q", w)
	}
}

func TestClaimed(t *testing.T) {
	for in, want := range map[string]mail.Domain{
		"Ann Archer":                      "",
		"service@paypal.example":          "paypal.example",
		"PayPal (service@PayPal.example)": "paypal.example",
		"PayPal <service＠paypal.example>": "paypal.example",
		"meet @ the office.now":           "",
		"@handle ann@x":                   "",
		"a@b ann@x.example.":              "x.example",
		"Amazon.example":                  "",
	} {
		if got := Claimed(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// FuzzNames: no name brings it down, and a skeleton is its own.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"раураӏ.example", "xn--80aa0cbo65f.example", "a@b.c", "\xff\xfe@x", strings.Repeat("é", 600), "İ@ﬁ.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := mail.ParseDomain(s); err == nil {
			Domain(d)
			Resembles(d, []mail.Domain{"paypal.example", d})
		}
		Mixed(s)
		Claimed(s)
		if once := Skeleton(s); utf8.ValidString(s) && len(once) < MaxName && Skeleton(once) != once {
			t.Fatalf("%q: %q, then %q", s, once, Skeleton(once))
		}
	})
}
