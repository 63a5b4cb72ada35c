package clamdc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"yubin/internal/engine/filter"
	"yubin/internal/world/netx"
)

// answering is a clamd that gives one answer after so many octets; -1 is all of them. It
// returns what it got.
func answering(c net.Conn, line string, after int) string {
	defer func() { _ = c.Close() }()
	var got strings.Builder
	if _, err := io.CopyN(&got, c, int64(len("zINSTREAM\x00"))); err != nil || got.String() != "zINSTREAM\x00" {
		return "no command: " + got.String()
	}
	got.Reset()
	for after < 0 || got.Len() < after {
		var n uint32
		if err := binary.Read(c, binary.BigEndian, &n); err != nil {
			return err.Error()
		}
		if n == 0 {
			break
		}
		if _, err := io.CopyN(&got, c, int64(n)); err != nil {
			return err.Error()
		}
	}
	if after >= 0 {
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
	_, _ = io.WriteString(c, line)
	return got.String()
}

func ask(t *testing.T, aside bool, octets, line string, after int) (filter.Outcome, string, error) {
	t.Helper()
	got := make(chan string, 1)
	f := New(Config{Aside: aside, Dial: func(context.Context) (*netx.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { got <- answering(theirs, line, after) }()
		return netx.NewOutgoing(ours), nil
	}})
	talk, a, err := f.Open(t.Context(), filter.Connection{}, filter.Sender{})
	if err != nil || a.Do != filter.Continue || !f.Watches() {
		t.Fatalf("%+v, %v", a, err)
	}
	o, err := talk.End(t.Context(), filter.Message{ReaderAt: strings.NewReader(octets), Size: int64(len(octets))})
	return o, <-got, err
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		line  string
		aside bool
		want  string // "" is fine
		err   bool
	}{
		{line: "stream: OK\x00"},
		{line: "stream: Eicar-Test FOUND\x00", want: "reject 554 5.7.1 the message is refused: it has the virus Eicar-Test"},
		{line: "stream: Eicar-Test FOUND\x00", aside: true, want: "aside it has the virus Eicar-Test"},
		{line: "stream: a\r\nb FOUND\x00", aside: true, want: "aside it has the virus a??b"},
		{line: "INSTREAM size limit exceeded. ERROR\x00", err: true},
		{line: "stream: OK", err: true},
		{line: "", err: true},
		{line: "stream: OK FOUND and more\x00", err: true},
		{line: strings.Repeat("x", 5000), err: true},
	} {
		for _, size := range []int{0, 1, piece - 1, piece, piece + 1, 3*piece + 5} {
			octets := strings.Repeat("x", size)
			o, got, err := ask(t, c.aside, octets, c.line, -1)
			said := ""
			if o.Do != filter.Continue {
				said = o.Do.String() + " " + "554 " + o.Reply.Enhanced.String() + " " + o.Reply.Text
			}
			if o.Quarantine != "" {
				said = "aside " + o.Quarantine
			}
			if said != c.want || (err != nil) != c.err || got != octets {
				t.Errorf("%q, %d octets: %s, %v; it got %d", c.line, size, said, err, len(got))
			}
		}
	}
}

// TestEarly: clamd may answer before it has all, and close.
func TestEarly(t *testing.T) {
	o, _, err := ask(t, false, strings.Repeat("x", 10*piece), "INSTREAM size limit exceeded. ERROR\x00", piece)
	if err == nil || o.Do != filter.Continue {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestNobody(t *testing.T) {
	gone := errors.New("gone")
	talk, _, _ := New(Config{Dial: func(context.Context) (*netx.Conn, error) { return nil, gone }}).Open(t.Context(), filter.Connection{}, filter.Sender{})
	if _, err := talk.End(t.Context(), filter.Message{ReaderAt: strings.NewReader("")}); !errors.Is(err, gone) {
		t.Error(err)
	}
}

// FuzzAnswer: no line brings it down.
func FuzzAnswer(f *testing.F) {
	f.Add("stream: OK")
	f.Add("stream: \xff FOUND")
	f.Fuzz(func(t *testing.T, line string) {
		o, err := (&talk{}).outcome(line)
		if err == nil && o.Do != filter.Reject && line != "stream: OK" {
			t.Fatalf("%q: %+v", line, o)
		}
		if strings.ContainsAny(o.Reply.Text, "\r\n") {
			t.Fatalf("%q", o.Reply.Text)
		}
	})
}
