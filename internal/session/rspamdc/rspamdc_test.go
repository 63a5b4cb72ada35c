package rspamdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
)

// service answers what a test says, and notes the question.
type service struct {
	answer string
	err    error
	asked  string
}

func (s *service) Post(_ context.Context, path string, fields map[string][]string, body io.Reader, size int64) ([]byte, error) {
	octets, err := io.ReadAll(body)
	s.asked = fmt.Sprintf("%s %v %d %s", path, fields, size, octets)
	if s.err != nil {
		err = s.err
	}
	return []byte(s.answer), err
}

func TestQuestion(t *testing.T) {
	s := &service{answer: `{"score": 3.6, "required_score": 15, "action": "no action", "symbols": {"B": {"score": -1}, "A": {"score": 1}, "C": {"score": 3.6}, "NULL": {"score": 0}}}`}
	f := New(Config{Service: s, Password: "secret"})
	talk, _, err := f.Open(t.Context(), filter.Connection{Hostname: "mx.test", Client: netip.MustParseAddrPort("[::ffff:192.0.2.1]:25"), Hello: "hi\r\nX: y", ID: "q1"},
		filter.Sender{ReversePath: mail.ReversePath{Local: "s", Domain: "a.test"}})
	if err != nil || !f.Watches() {
		t.Fatal(err)
	}
	defer talk.Close()
	for _, to := range []string{"r", "q"} {
		if a, err := talk.Rcpt(t.Context(), filter.Recipient{Address: mail.Address{Local: to, Domain: "here.test"}}); err != nil || a.Do != filter.Continue {
			t.Error(a, err)
		}
	}
	o, err := talk.End(t.Context(), filter.Message{ReaderAt: strings.NewReader("octets"), Size: 6})
	if err != nil || o.Do != filter.Continue || len(o.Facts) != 1 || o.Facts[0] != (filter.Fact{Name: "rspamd", Text: "rspamd gives it 3.6 points of 15.0: C +3.6, A +1.0, B -1.0", Weight: 3}) {
		t.Errorf("%+v, %v", o, err)
	}
	if want := "/checkv2 map[From:[s@a.test] Helo:[hi??X: y] IP:[192.0.2.1] MTA-Name:[mx.test] Password:[secret] Queue-Id:[q1] Rcpt:[r@here.test q@here.test]] 6 octets"; s.asked != want {
		t.Errorf("asked %s", s.asked)
	}
	s.err = errors.New("gone")
	if _, err := talk.End(t.Context(), filter.Message{ReaderAt: strings.NewReader("octets"), Size: 6}); err == nil {
		t.Error("no error")
	}
}

func TestAnswers(t *testing.T) {
	for answer, want := range map[string]string{
		`{"score": 900, "required_score": 15}`:                    "+8 rspamd gives it 900.0 points of 15.0",
		`{"score": -50, "required_score": 15}`:                    "-4 rspamd gives it -50.0 points of 15.0",
		`{"is_skipped": true, "score": 0}`:                        "+0 rspamd has not looked at it",
		`{"score": 1, "symbols": {"X\r\n": {"score": 1}}}`:        "+0.8 rspamd gives it 1.0 points of 0.0: X?? +1.0",
		`{"is_skipped": true, "score": 15, "required_score": 15}`: "+8 rspamd gives it 15.0 points of 15.0",
		`{"error": "no"}`:  "",
		`{}`:               "",
		`[]`:               "",
		``:                 "",
		`{"score": 1e999}`: "",
		`{"score": "1"}`:   "",
	} {
		f, err := read([]byte(answer), 1)
		got := ""
		if err == nil {
			got = fmt.Sprintf("%+g %s", f.Weight, f.Text)
		} else if mail.KindOf(err) != mail.Unavailable {
			t.Errorf("%s: %v", answer, err)
		}
		if got != want {
			t.Errorf("%s: %s, %v", answer, got, err)
		}
	}
	if f, err := read([]byte(`{"score": 3}`), 2); err != nil || f.Weight != 5 {
		t.Errorf("%+v, %v", f, err)
	}
}

// FuzzAnswer: no answer brings it down, and what it weighs is bounded.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"score": 3.6, "required_score": 15, "symbols": {"B": {"score": -1}}}`))
	f.Add([]byte(`{"score": 1e300, "symbols": null}`))
	f.Fuzz(func(t *testing.T, octets []byte) {
		fact, err := read(octets, 1)
		if err == nil && (fact.Weight > MaxWeight || fact.Weight < MinWeight || strings.ContainsAny(fact.Text, "\r\n")) {
			t.Fatalf("%+v", fact)
		}
	})
}
