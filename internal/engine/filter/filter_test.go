package filter

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
)

const text = "Received: there\r\nSubject: one\r\n\ttwo\r\nX: a\r\nx: b\r\n\r\nbody\r\n"

func TestEdit(t *testing.T) {
	const end = "\r\nbody\r\n"
	header, _, _ := strings.Cut(text, end)
	for name, c := range map[string]struct {
		changes []Change
		want    string
	}{
		"none":          {nil, header},
		"add":           {[]Change{{AddField, 0, "Y", " c\n d\ne"}}, header + "Y: c\r\n d\r\n\te\r\n"},
		"first":         {[]Change{{InsertField, 0, "Y", " c"}}, "Y: c\r\n" + header},
		"second":        {[]Change{{InsertField, 1, "Y", " c"}}, "Received: there\r\nY: c\r\nSubject: one\r\n\ttwo\r\nX: a\r\nx: b\r\n"},
		"far":           {[]Change{{InsertField, 99, "Y", " c"}}, header + "Y: c\r\n"},
		"set":           {[]Change{{SetField, 1, "subject", " new"}}, "Received: there\r\nsubject: new\r\nX: a\r\nx: b\r\n"},
		"set second":    {[]Change{{SetField, 2, "X", " c"}}, "Received: there\r\nSubject: one\r\n\ttwo\r\nX: a\r\nX: c\r\n"},
		"set none":      {[]Change{{SetField, 3, "X", " c"}}, header + "X: c\r\n"},
		"delete":        {[]Change{{SetField, 1, "X", ""}, {SetField, 1, "X", ""}}, "Received: there\r\nSubject: one\r\n\ttwo\r\n"},
		"delete none":   {[]Change{{SetField, 1, "Z", ""}}, header},
		"empty":         {[]Change{{AddField, 0, "Y", ""}}, header + "Y:\r\n"},
		"no name":       {[]Change{{AddField, 0, "Y:", " c"}, {AddField, 0, "", " c"}, {AddField, 0, "Y\r\nZ", " c"}}, header},
		"end of header": {[]Change{{AddField, 0, "Y", " c\r\n\r\n\n \nevil: d\x00\n\n"}}, header + "Y: c\r\n\tevil: d\r\n"},
	} {
		if got := string(editHeader([]byte(header+"\r\n"), c.changes)); got != c.want+"\r\n" {
			t.Errorf("%s:\n%q, want\n%q", name, got, c.want)
		}
	}
	if got := string(editHeader([]byte("From x\nSubject: a"), []Change{{AddField, 0, "Y", " c"}})); got != "From x\nSubject: a\r\nY: c\r\n" {
		t.Errorf("%q", got)
	}
}

// FuzzEdit: whatever a filter asks for, it is one field more or less, and what was the
// end of the header is.
func FuzzEdit(f *testing.F) {
	f.Add(text, uint8(0), 0, "Y", " c\nd")
	f.Add("x\n\nb", uint8(1), 1, "Y", "")
	f.Add("X: y", uint8(2), 1, "X", "z\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string, kind uint8, index int, name, value string) {
		header := []byte(s)[:message.Parse([]byte(s)).Header.Size]
		got := editHeader(header, []Change{{ChangeKind(kind % 3), index, name, value}})
		if before, after := count(header), count(got); after < before-1 || after > before+1 {
			t.Fatalf("%q became %q", header, got)
		}
		if endsBlank(header) && !endsBlank(got) {
			t.Fatalf("%q became %q", header, got)
		}
	})
}

func count(header []byte) (n int) {
	for range message.Fields(header) {
		n++
	}
	return n
}

// said is what a filter of a test answers, by step.
type said struct {
	watches          bool
	open, rcpt       Answer
	end              Outcome
	body             string
	openErr, endErr  error
	saw              string // at the end
	opened, finished int
}

func (s *said) Watches() bool { return s.watches }

func (s *said) Open(context.Context, Connection, Sender) (Conversation, Answer, error) {
	s.opened++
	if s.openErr != nil {
		return nil, Answer{}, s.openErr
	}
	return s, s.open, nil
}

func (s *said) Rcpt(_ context.Context, to Recipient) (Answer, error) {
	if to.Address.Local == "bad" {
		return s.rcpt, nil
	}
	return Answer{}, nil
}

func (s *said) End(_ context.Context, m Message) (Outcome, error) {
	b, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size))
	if err != nil {
		return Outcome{}, err
	}
	s.saw = string(b)
	if s.body != "" {
		if _, err := io.WriteString(m.NewBody(), s.body); err != nil {
			return Outcome{}, err
		}
	}
	return s.end, s.endErr
}

func (s *said) Close() { s.finished++ }

// office is a panel over a store.
type office struct {
	*Panel
	t       *testing.T
	store   *store.Store
	log     bytes.Buffer
	now     time.Time
	results []string
}

func newOffice(t *testing.T, all ...Setting) *office {
	t.Helper()
	o := &office{t: t, now: time.Unix(1e9, 0)}
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"), rand.Reader)
	o.must(err)
	o.store, err = store.Open(t.Context(), store.Options{DB: dbtest.Open(t), Blobs: blobs})
	o.must(err)
	o.Panel, err = New(Options{Filters: all, Begin: o.begin, Now: func() time.Time { return o.now },
		Log:     slog.New(slog.NewTextHandler(&o.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return map[bool]slog.Attr{false: a}[a.Key == "time"] }})),
		Observe: func(f, r string, _ time.Duration) { o.results = append(o.results, f+" "+r) }})
	o.must(err)
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) begin() *intake.Message { return intake.NewMessage(o.store.NewIncoming()) }

func (o *office) message(s string) *intake.Message {
	m := o.begin()
	o.t.Cleanup(m.Close)
	_, err := io.WriteString(m, s)
	o.must(err)
	return m
}

func (o *office) read(m *intake.Message) string {
	o.t.Helper()
	if m == nil {
		return "as it was"
	}
	defer m.Close()
	c, err := m.Content()
	o.must(err)
	defer func() { _ = c.Close() }()
	var b strings.Builder
	_, err = c.WriteTo(&b)
	o.must(err)
	return b.String()
}

// whole has a message pass, for one good recipient.
func (o *office) whole(s string) (Result, string) {
	k, a := o.Open(o.t.Context(), Connection{ID: "q1"}, Sender{})
	defer k.Close()
	if a.Do != Continue {
		return Result{Answer: a}, ""
	}
	if a = k.Rcpt(o.t.Context(), Recipient{Address: mail.Address{Local: "good", Domain: "x.test"}}); a.Do != Continue {
		return Result{Answer: a}, ""
	}
	r := k.End(o.t.Context(), o.message(s))
	return r, o.read(r.Message)
}

// TestChain: each filter sees what those before made of the message, who only looks
// sees it as it came, and all that they say is in the result.
func TestChain(t *testing.T) {
	sender := mail.ReversePath{Local: "new", Domain: "x.test"}
	one := &said{end: Outcome{Answer: Answer{Do: Accept}, Fields: []Change{{InsertField, 0, "One", " 1"}}, Quarantine: "odd", Facts: []Fact{{"one", "1", 1}}}}
	two := &said{body: strings.Repeat("two\r\n", 30_000), end: Outcome{Sender: &sender, Add: []mail.Address{{Local: "a", Domain: "x.test"}}}}
	three := &said{end: Outcome{Fields: []Change{{SetField, 1, "X", ""}}, Remove: []mail.Address{{Local: "r", Domain: "x.test"}}}}
	looks := &said{watches: true, end: Outcome{Facts: []Fact{{"looks", "2", 2}}}}
	o := newOffice(t, Setting{Name: "looks", Filter: looks, Down: Accept}, Setting{Name: "one", Filter: one, Down: Accept},
		Setting{Name: "two", Filter: two, Down: Accept}, Setting{Name: "three", Filter: three, Down: Accept})
	r, octets := o.whole(text)
	if want := "One: 1\r\nReceived: there\r\nSubject: one\r\n\ttwo\r\nx: b\r\n\r\n" + two.body; octets != want {
		t.Errorf("%d octets, want %d: %.200q", len(octets), len(want), octets)
	}
	if looks.saw != text || two.saw != "One: 1\r\n"+text || !strings.HasSuffix(three.saw, two.body) {
		t.Errorf("they saw %.100q, %.100q, %.100q", looks.saw, two.saw, three.saw)
	}
	if r.Do != Continue || r.Quarantine != "odd" || *r.Sender != sender || len(r.Add) != 1 || len(r.Remove) != 1 || fmt.Sprint(r.Facts) != "[{one 1 1} {looks 2 2}]" || len(r.Unknown) != 0 {
		t.Errorf("%+v", r)
	}
	for _, s := range []*said{one, two, three, looks} {
		if s.finished != 1 {
			t.Errorf("closed %d times", s.finished)
		}
	}
}

func TestAnswers(t *testing.T) {
	no := Answer{Do: Reject, Reply: Reply{Code: 550, Text: "no"}}
	wait := Answer{Do: Defer, Reply: Reply{Code: 450, Text: "wait"}}
	drop := Answer{Do: Discard}
	for name, c := range map[string]struct {
		first, second *said
		want          Answer
		asked         int // how often the second was opened
	}{
		"refused at MAIL":      {&said{open: no}, &said{}, no, 0},
		"accepted at MAIL":     {&said{open: Answer{Do: Accept}, end: Outcome{Answer: no}}, &said{}, Answer{}, 1},
		"dropped at MAIL":      {&said{open: drop}, &said{}, drop, 1},
		"dropped and refused":  {&said{open: drop}, &said{end: Outcome{Answer: no}}, no, 1},
		"refused at the end":   {&said{end: Outcome{Answer: no}}, &said{end: Outcome{Answer: wait}}, no, 1},
		"refused after a wait": {&said{watches: true, end: Outcome{Answer: wait}}, &said{end: Outcome{Answer: no}}, no, 1},
		"delayed":              {&said{end: Outcome{Answer: wait}}, &said{end: Outcome{Answer: drop}}, wait, 1},
	} {
		o := newOffice(t, Setting{Name: "first", Filter: c.first, Down: Accept}, Setting{Name: "second", Filter: c.second, Down: Accept})
		if r, octets := o.whole(text); r.Answer != c.want || c.second.opened != c.asked || octets != "as it was" && octets != "" {
			t.Errorf("%s: %+v, the second was asked %d times, %q", name, r, c.second.opened, octets)
		}
	}
	// A recipient is refused alone.
	o := newOffice(t, Setting{Name: "one", Filter: &said{rcpt: no, end: Outcome{Quarantine: "seen"}}, Down: Accept})
	k, _ := o.Open(t.Context(), Connection{}, Sender{})
	if a := k.Rcpt(t.Context(), Recipient{Address: mail.Address{Local: "bad", Domain: "x.test"}}); a != no {
		t.Errorf("%+v", a)
	}
	if a := k.Rcpt(t.Context(), Recipient{Address: mail.Address{Local: "good", Domain: "x.test"}}); a.Do != Continue {
		t.Errorf("%+v", a)
	}
	if r := k.End(t.Context(), o.message(text)); r.Do != Continue || r.Quarantine != "seen" {
		t.Errorf("%+v", r)
	}
}

// TestDown: what a setting says is done without a filter, nobody waits for one
// that failed several times, and it is asked again.
func TestDown(t *testing.T) {
	gone := errors.New("connection refused")
	for _, down := range []Do{Accept, Defer} {
		for name, s := range map[string]*said{
			"open": {openErr: gone}, "end": {endErr: gone}, "watching": {watches: true, endErr: gone},
			"too much": {end: Outcome{Fields: make([]Change, MaxChanges+1)}},
		} {
			o := newOffice(t, Setting{Name: "av", Filter: s, Down: down})
			want := map[Do]string{Accept: "0 continue", Defer: "451 defer"}[down]
			for range Failures + 2 {
				if r, octets := o.whole(text); fmt.Sprint(r.Reply.Code, " ", r.Do) != want || down == Accept && (len(r.Unknown) != 1 || octets != "as it was") {
					t.Errorf("%s: %+v", name, r)
				}
			}
			if s.opened != Failures && name == "open" {
				t.Errorf("%s: opened %d times", name, s.opened)
			}
			if n := strings.Count(o.log.String(), "level=WARN"); n != Failures {
				t.Errorf("%s: %d warnings:\n%s", name, n, &o.log)
			}
			o.now = o.now.Add(Pause)
			s.openErr, s.endErr, s.end = nil, nil, Outcome{}
			if r, _ := o.whole(text); r.Do != Continue || len(r.Unknown) > 0 || !strings.Contains(o.log.String(), "answers again") {
				t.Errorf("%s: afterwards %+v\n%s", name, r, &o.log)
			}
		}
	}
}

// TestClientLeaves: a client that goes away says nothing about a filter.
func TestClientLeaves(t *testing.T) {
	s := &said{openErr: context.Canceled}
	o := newOffice(t, Setting{Name: "av", Filter: s, Down: Defer})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, a := o.Open(ctx, Connection{}, Sender{}); a.Do != Continue || o.log.Len() > 0 {
		t.Errorf("%+v, %s", a, &o.log)
	}
}

// TestLargest: what is too large for a filter is not shown to it, and the result says so.
func TestLargest(t *testing.T) {
	s := &said{watches: true}
	o := newOffice(t, Setting{Name: "av", Filter: s, Down: Defer, Largest: int64(len(text)) - 1})
	if r, _ := o.whole(text); r.Do != Continue || len(r.Unknown) != 1 || s.saw != "" {
		t.Errorf("%+v", r)
	}
}

func TestNew(t *testing.T) {
	for name, bad := range map[string][]Setting{
		"no name":   {{Filter: &said{}, Down: Accept}},
		"nobody":    {{Name: "x", Down: Accept}},
		"no answer": {{Name: "x", Filter: &said{}}},
		"twice":     {{Name: "x", Filter: &said{}, Down: Accept}, {Name: "x", Filter: &said{}, Down: Accept}},
	} {
		if _, err := New(Options{Filters: bad}); err == nil || mail.KindOf(err) != mail.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	var none *Panel
	k, a := none.Open(t.Context(), Connection{}, Sender{})
	if !none.Empty() || a.Do != Continue || k.Rcpt(t.Context(), Recipient{}).Do != Continue {
		t.Error("no panel is not a panel without filters")
	}
	k.Close()
}
