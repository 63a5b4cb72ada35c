package dsn

import (
	"testing"

	"yubin/internal/mail"
)

func TestAttempted(t *testing.T) {
	for _, test := range []struct {
		attempt mail.Attempt
		status  string
		remote  MTA
		want    Diagnostic
	}{
		{mail.Attempt{Host: "mx.example.com", Code: 550, Enhanced: "5.1.1", Text: "no\nsuch user", Outcome: mail.Failed},
			"5.1.1", MTA{"dns", "mx.example.com"}, SMTP("550-5.1.1 no\r\n550 5.1.1 such user\r\n")},
		{mail.Attempt{Host: "mx.example.com", Code: 552, Text: "too much", Outcome: mail.Failed},
			"5.2.2", MTA{"dns", "mx.example.com"}, Diagnostic{"smtp", "552 too much"}},
		{mail.Attempt{Host: "mx.example.com", Code: 550, Text: "greylisted", Outcome: mail.Deferred},
			"4.0.0", MTA{"dns", "mx.example.com"}, Diagnostic{"smtp", "550 greylisted"}},
		{mail.Attempt{Host: "mx.example.com", Code: 250, Enhanced: "2.1.5", Outcome: mail.Delivered},
			"2.1.5", MTA{"dns", "mx.example.com"}, Diagnostic{"smtp", "250 2.1.5"}},
		{mail.Attempt{Host: "mx.example.com", Enhanced: "4.4.1", Text: "timed out", Ours: true, Outcome: mail.Deferred},
			"4.4.1", MTA{"dns", "mx.example.com"}, Diagnostic{"x-yubin", "timed out"}},
		{mail.Attempt{Enhanced: "5.1.10", Text: "null MX", Ours: true, Outcome: mail.Failed}, "5.1.10", MTA{}, Diagnostic{"x-yubin", "null MX"}},
		{mail.Attempt{Outcome: mail.Deferred}, "4.0.0", MTA{}, Diagnostic{}},
	} {
		test.attempt.At = at(9, 1)
		p := Recipient{RemoteMTA: DNS("old.example"), Diagnostic: SMTP("450 old")}
		p.Attempted(test.attempt)
		if p.Status.String() != test.status || p.RemoteMTA != test.remote || p.Diagnostic != test.want || p.LastAttempt != at(9, 1) {
			t.Errorf("%+v is %+v", test.attempt, p)
		}
	}
	if DNS("") != (MTA{}) {
		t.Error("no name is no MTA")
	}
}
