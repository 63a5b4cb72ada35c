package dsn

import (
	"strings"
	"testing"

	"yubin/internal/mail"
)

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

// What other servers have comes back from a report as it was.
func TestTypedForeignAddress(t *testing.T) {
	for _, s := range []string{"user..name@docomo.example", "local.@x.example", `"a b"@x.example`, "SRS1=" + strings.Repeat("x", 81) + "@x.example", "会議..@x.example"} {
		a, err := mail.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		typed, err := ParseTyped(Typed(a).String())
		if err != nil {
			t.Fatal(err)
		}
		if back, err := typed.Mailbox(); err != nil || back != a {
			t.Errorf("%q came back as %q, %v", a, back, err)
		}
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
