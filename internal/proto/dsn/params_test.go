package dsn

import (
	"strings"
	"testing"
	"unicode/utf8"

	"yubin/internal/mail"
)

func TestNotify(t *testing.T) {
	for value, want := range map[string]mail.Notify{
		"NEVER": mail.NotifyNever, "success": mail.NotifySuccess, "FAILURE,Delay": mail.NotifyFailure | mail.NotifyDelay,
		"DELAY,FAILURE,SUCCESS": mail.NotifySuccess | mail.NotifyFailure | mail.NotifyDelay, "SUCCESS,SUCCESS": mail.NotifySuccess,
	} {
		got, err := ParseNotify(value)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v", value, got, err)
		}
		if back, err := ParseNotify(got.String()); err != nil || back != got {
			t.Errorf("%v reads back as %v, %v", got, back, err)
		}
	}
	for _, bad := range []string{"", "NEVER,DELAY", "DELAY,NEVER", "NEVER,NEVER", "SUCCESS,", ",DELAY", "SUCCESS, DELAY", "ALWAYS",
		"SUCCESS,FAILURE,DELAY,SUCCESS"} {
		if got, err := ParseNotify(bad); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%q is %v, %v", bad, got, err)
		}
	}
}

func TestActionAsked(t *testing.T) {
	for _, test := range []struct {
		notify mail.Notify
		asked  string
	}{
		{0, "failed delayed"},
		{mail.NotifyNever, ""},
		{mail.NotifyFailure, "failed"},
		{mail.NotifyDelay, "delayed"},
		{mail.NotifySuccess, "delivered relayed expanded"},
		{mail.NotifySuccess | mail.NotifyFailure, "failed delivered relayed expanded"},
	} {
		var got []string
		for a := Failed; a <= Expanded; a++ {
			if a.Asked(test.notify) {
				got = append(got, a.String())
			}
		}
		if strings.Join(got, " ") != test.asked {
			t.Errorf("%v asks for %q", test.notify, got)
		}
	}
}

func TestRet(t *testing.T) {
	for value, want := range map[string]mail.Ret{"FULL": mail.RetFull, "hdrs": mail.RetHeaders} {
		if got, err := ParseRet(value); err != nil || got != want || got.String() != strings.ToUpper(value) {
			t.Errorf("%q is %v, %v", value, got, err)
		}
	}
	if _, err := ParseRet("HEADERS"); mail.KindOf(err) != mail.Invalid {
		t.Errorf("HEADERS: %v", err)
	}
	failed, fine := report(Recipient{Action: Delivered}, Recipient{Action: Failed}), report(Recipient{Action: Delayed})
	for _, test := range []struct {
		r          *Report
		want, sent mail.Ret
	}{{&failed, 0, mail.RetFull}, {&failed, mail.RetHeaders, mail.RetHeaders}, {&fine, mail.RetFull, mail.RetHeaders}, {&failed, mail.RetFull, mail.RetFull}} {
		if got := test.r.Returns(test.want); got != test.sent {
			t.Errorf("%v: asked for %v, sent %v", test.r.Leading(), test.want, got)
		}
	}
}

func TestEnvelopeID(t *testing.T) {
	for value, want := range map[string]EnvelopeID{"QQ314159": "QQ314159", "a+20b+3Dc+2B": "a b=c+"} {
		got, err := ParseEnvelopeID(value)
		if err != nil || got != want || string(got.Append(nil)) != value {
			t.Errorf("%q is %q, %v", value, got, err)
		}
	}
	for _, bad := range []string{"", "a b", "a=b", "a+0Ab", "a+E9", "+", "+2", "+2b", strings.Repeat("a", MaxEnvelopeID+1)} {
		if got, err := ParseEnvelopeID(bad); err == nil || mail.KindOf(err) != mail.Invalid {
			t.Errorf("%q is %q, %v", bad, got, err)
		}
	}
}

// TestOriginalRecipient has the values of RFC 3461 §10 and the forms of RFC
// 6533 §3.
func TestOriginalRecipient(t *testing.T) {
	for _, test := range []struct {
		value string
		want  TypedAddress
		sent  string // without SMTPUTF8
	}{
		{"rfc822;Bob@Example.COM", TypedAddress{"rfc822", "Bob@Example.COM"}, "rfc822;Bob@Example.COM"},
		{"RFC822;George@Tax-ME.GOV", TypedAddress{"rfc822", "George@Tax-ME.GOV"}, "rfc822;George@Tax-ME.GOV"},
		{"rfc822;a+2Bb@x.example", TypedAddress{"rfc822", "a+b@x.example"}, "rfc822;a+2Bb@x.example"},
		{"x400;/S+3Dsmith/", TypedAddress{"x400", "/S=smith/"}, "x400;/S+3Dsmith/"},
		{"utf-8;郵便@例え.テスト", TypedAddress{"utf-8", "郵便@例え.テスト"},
			`utf-8;\x{90F5}\x{4FBF}@\x{4F8B}\x{3048}.\x{30C6}\x{30B9}\x{30C8}`},
		{`utf-8;\x{90F5}\x{4FBF}@x.example`, TypedAddress{"utf-8", "郵便@x.example"}, `utf-8;\x{90F5}\x{4FBF}@x.example`},
		{`UTF-8;a\x{2B}b\x{20}c\x{5C}\x{3d}@x.example`, TypedAddress{"utf-8", `a+b c\=@x.example`}, `utf-8;a\x{2B}b\x{20}c\x{5C}\x{3D}@x.example`},
		{`utf-8;\x{1F4EE}@x.example`, TypedAddress{"utf-8", "📮@x.example"}, `utf-8;\x{1F4EE}@x.example`},
	} {
		got, err := ParseOriginalRecipient(test.value)
		if err != nil || got != test.want || string(got.Append(nil, false)) != test.sent {
			t.Errorf("%q is %q, %v; sent as %q", test.value, got, err, got.Append(nil, false))
		}
		if back, err := ParseOriginalRecipient(string(got.Append(nil, true))); err != nil || back != got {
			t.Errorf("%q comes back as %q, %v", got, back, err)
		}
	}
	for _, bad := range []string{"", "rfc822", "rfc822;", ";a@b", "a b;c", "rfc822;a b", "rfc822;a+0D+0Ab", "rfc822;é@x", "rfc822;a+E9@x",
		"utf-8;a+2Bb", "utf-8;a=b", `utf-8;a\b`, `utf-8;\x{41}`, `utf-8;\x{0A}`, `utf-8;\x{D800}`, `utf-8;\x{110000}`, `utf-8;\x{}`,
		`utf-8;\x{90F5`, `utf-8;\x{090F5}`, `utf-8;\x{85}`, "utf-8;\xff", "rfc822;" + strings.Repeat("a", MaxOriginalRecipient)} {
		if got, err := ParseOriginalRecipient(bad); err == nil || mail.KindOf(err) != mail.Invalid {
			t.Errorf("%q is %q, %v", bad, got, err)
		}
	}
}

func TestTypedAddress(t *testing.T) {
	for _, s := range []string{"bob@example.com", `"a b"@example.com`, "郵便@例え.テスト"} {
		a := address(t, s)
		if back, err := Typed(a).Mailbox(); err != nil || back != a {
			t.Errorf("%q comes back as %q, %v", a, back, err)
		}
	}
	for _, bad := range []TypedAddress{{"x400", "a@b.example"}, {"rfc822", "a"}, {}} {
		if a, err := bad.Mailbox(); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%v is %v, %v", bad, a, err)
		}
	}
	if !Typed(mail.Address{}).IsZero() {
		t.Error("no address has no type")
	}
}

func TestParseTyped(t *testing.T) {
	for _, s := range []string{"rfc822;bob@example.com", "utf-8;郵便@x.example", "x400;/S=a; b/"} {
		if got, err := ParseTyped(s); err != nil || got.String() != s {
			t.Errorf("%q is %q, %v", s, got, err)
		}
	}
	for _, bad := range []string{"", "a@b", ";a", "a;", "a b;c"} {
		if got, err := ParseTyped(bad); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%q is %q, %v", bad, got, err)
		}
	}
	if (TypedAddress{}).String() != "" {
		t.Error("no address has no text")
	}
}

func TestAppendUnitextReplacesWhatItHasNoFormFor(t *testing.T) {
	for in, want := range map[string]string{"a\x00\n\u0085b": `a\x{FFFD}\x{FFFD}\x{FFFD}b`, "\xff": `\x{FFFD}`} {
		if got := string(AppendUnitext(nil, in, true)); got != want {
			t.Errorf("%q is %q", in, got)
		}
	}
}

func FuzzXtext(f *testing.F) {
	for _, s := range []string{"a+2Bb", "+", "=", `\`, "é", "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := string(AppendXtext(nil, s))
		if back, ok := ParseXtext(encoded); !ok || back != s {
			t.Errorf("%q is %q is %q", s, encoded, back)
		}
		if text, ok := ParseXtext(s); ok {
			if back, ok := ParseXtext(string(AppendXtext(nil, text))); !ok || back != text {
				t.Errorf("%q is %q, then %q", s, text, back)
			}
		}
	})
}

func FuzzUnitext(f *testing.F) {
	for _, s := range []string{`\x{90F5}@x`, "郵便@x", `\x{0A}`, "a+b=c\\ d", `\x{FFFD}`} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, ascii bool) {
		encoded := string(AppendUnitext(nil, s, ascii))
		back, ok := ParseUnitext(encoded)
		if !ok || ascii && !isPrintableASCII(encoded) || strings.Contains(encoded, " ") {
			t.Fatalf("%q is encoded as %q", s, encoded)
		}
		if utf8.ValidString(s) && !strings.ContainsFunc(s, isControl) && back != s {
			t.Errorf("%q is %q is %q", s, encoded, back)
		}
		if text, ok := ParseUnitext(s); ok {
			if again, ok := ParseUnitext(string(AppendUnitext(nil, text, ascii))); !ok || again != text {
				t.Errorf("%q is %q, then %q", s, text, again)
			}
		}
	})
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }
