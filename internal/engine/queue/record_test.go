package queue

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"yubin/internal/mail"
)

// TestRecordKeepsAll of an attempt.
func TestRecordKeepsAll(t *testing.T) {
	a := mail.Attempt{At: time.UnixMilli(1_790_000_000_123).UTC(), Took: 7 * time.Millisecond, Host: "mx.example.net",
		Remote: netip.MustParseAddrPort("192.0.2.1:25"), TLS: "TLS 1.3 X", Verified: true, TLSTerms: "DANE", Phase: mail.PhaseAnswer,
		Code: 451, Enhanced: "4.7.1", Text: "later", Ours: true, DSN: true, DeliverBy: true, Outcome: mail.Deferred, AnswerLost: true}
	for i, v := 0, reflect.ValueOf(a); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not tried", v.Type().Field(i).Name)
		}
	}
	for _, final := range []bool{false, true} {
		got, gotFinal, err := parseRecord(formatRecord(a, final))
		if err != nil || gotFinal != final || !reflect.DeepEqual(got, a) {
			t.Errorf("%+v, %v, %v", got, gotFinal, err)
		}
	}
}
