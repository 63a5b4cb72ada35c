package milterc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
	"yubin/internal/proto/milter"
	"yubin/internal/world/netx"
)

// fake is a milter that says what a test tells it.
type fake struct {
	options string            // its answer to the negotiation, without the letter
	replies map[byte][]string // to commands, by their letters, in order; the last again and again
	heard   bytes.Buffer      // what it was told, a packet a line
	done    chan struct{}
}

const (
	everything = "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x00\x04\x00" // all actions, can skip
	spaces     = "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x10\x00\x00"
	silent     = "\x00\x00\x00\x06\x00\x00\x00\x00\x00\x0f\xf1\x80" // replies to nothing but the end
)

func (f *fake) serve(c net.Conn) {
	defer close(f.done)
	defer func() { _ = c.Close() }()
	for {
		var length [4]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		packet := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(c, packet); err != nil {
			return
		}
		fmt.Fprintf(&f.heard, "%s\n", strings.TrimSuffix(strings.Map(shown, string(packet)), "|"))
		replies := f.replies[packet[0]]
		switch packet[0] {
		case 'D', 'Q':
			continue
		case 'O':
			replies = []string{"O" + f.options}
		}
		for _, r := range replies {
			if r == "" {
				return
			}
			if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(r))), r...)); err != nil {
				return
			}
		}
		if len(replies) == 0 && (f.options != silent || packet[0] == 'E') {
			_, _ = io.WriteString(c, "\x00\x00\x00\x01c")
		}
	}
}

// shown is an octet of a packet as it stands in fake.heard.
func shown(r rune) rune {
	switch {
	case r == 0:
		return '|'
	case r < ' ' && r != '\n' || r > '~':
		return '.'
	}
	return r
}

// filter connects to f.
func (f *fake) filter() *Filter {
	f.done = make(chan struct{})
	return New(Config{Dial: func(context.Context) (*netx.Conn, error) {
		ours, theirs := net.Pipe()
		go f.serve(theirs)
		return netx.NewOutgoing(ours), nil
	}})
}

const text = "Subject: one\r\n two\r\nX:three\r\n\r\nbody\r\n"

// octets is a message that a test looks at; the new body is in body.
func octets(s string, body *bytes.Buffer) filter.Message {
	return filter.Message{ReaderAt: strings.NewReader(s), Size: int64(len(s)), HeaderSize: int64(strings.Index(s, "\r\n\r\n") + 4),
		NewBody: func() io.Writer { return body }}
}

var (
	connection = filter.Connection{Hostname: "mx.test", Client: netip.MustParseAddrPort("192.0.2.1:1025"), Name: "client.test", Hello: "hi.test", TLS: "TLSv1.3", Cipher: "AES", ID: "q1"}
	sender     = filter.Sender{ReversePath: mail.ReversePath{Local: "s", Domain: "a.test"}, Params: []string{"SIZE=9"}}
	recipient  = filter.Recipient{Address: mail.Address{Local: "r", Domain: "here.test"}}
)

// run has the whole conversation and tells how it ends.
func run(t *testing.T, f *fake, s string) (out filter.Outcome, body string, where string, err error) {
	t.Helper()
	talk, a, err := f.filter().Open(t.Context(), connection, sender)
	defer func() {
		if talk != nil {
			talk.Close()
		}
		<-f.done
	}()
	if out.Answer = a; err != nil || a.Do != filter.Continue {
		return out, "", "open", err
	}
	if out.Answer, err = talk.Rcpt(t.Context(), recipient); err != nil || out.Do != filter.Continue {
		return out, "", "rcpt", err
	}
	var b bytes.Buffer
	out, err = talk.End(t.Context(), octets(s, &b))
	return out, b.String(), "end", err
}

func TestConversation(t *testing.T) {
	for name, c := range map[string]struct{ options, want string }{
		"all": {everything, `O|||.||..|...
DCj|mx.test|_|client.test [192.0.2.1]|{client_addr}|192.0.2.1|{client_name}|client.test|{client_port}|1025|{daemon_name}|mx.test
Cclient.test|4..192.0.2.1
DH{tls_version}|TLSv1.3|{cipher}|AES
Hhi.test
DMi|q1|{mail_addr}|s@a.test|{mail_host}|a.test
M<s@a.test>|SIZE=9
DR{rcpt_addr}|r@here.test|{rcpt_host}|here.test
R<r@here.test>
DTi|q1
T
LSubject|one
 two
LX|three
N
Bbody.

DEi|q1
E
Q
`},
		"spaces": {spaces, "LSubject| one\n two\nLX|three\n"},
	} {
		f := &fake{options: c.options}
		out, _, where, err := run(t, f, text)
		if err != nil || where != "end" || !reflect.DeepEqual(out, filter.Outcome{}) {
			t.Errorf("%s: %s, %+v, %v", name, where, out, err)
		}
		if got := f.heard.String(); !strings.Contains(got, c.want) {
			t.Errorf("%s: it was told\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	reply := func(code int, class uint16, text string) filter.Reply {
		return filter.Reply{Code: code, Enhanced: mail.Enhanced{Class: class, Subject: 7, Detail: 1}, Text: text}
	}
	for command, where := range map[byte]string{'C': "open", 'H': "open", 'M': "open", 'R': "rcpt", 'T': "end", 'L': "end", 'N': "end", 'B': "end", 'E': "end"} {
		for said, want := range map[string]filter.Answer{
			"a":                   {Do: filter.Accept},
			"r":                   {Do: filter.Reject},
			"t":                   {Do: filter.Defer},
			"4":                   {Do: filter.Defer},
			"d":                   {Do: filter.Discard},
			"y550 5.7.1 no\x00":   {Do: filter.Reject, Reply: reply(550, 5, "no")},
			"y450 4.7.1 wait\x00": {Do: filter.Defer, Reply: reply(450, 4, "wait")},
		} {
			f := &fake{options: everything, replies: map[byte][]string{command: {"p", "p", said}}}
			out, _, got, err := run(t, f, text)
			if err != nil || got != where || !reflect.DeepEqual(out.Answer, want) {
				t.Errorf("%q to %c: at %s %+v, %v", said, command, got, out.Answer, err)
			}
		}
	}
}

// TestChanges: all that a filter may do at the end.
func TestChanges(t *testing.T) {
	f := &fake{options: everything, replies: map[byte][]string{'E': {"p", "hX-A\x00b\n c\x00", "i\x00\x00\x00\x00X-I\x00i\x00", "m\x00\x00\x00\x02Subject\x00\x00",
		"+<x@y.test>\x00", "2z@[192.0.2.9]\x00NOTIFY=NEVER\x00", "-<r@here.test>\x00", "e<>\x00", "bnew ", "bbody\r\n", "qwhy\x00", "c"}}}
	out, body, _, err := run(t, f, text)
	null := mail.ReversePath{}
	want := filter.Outcome{Quarantine: "why", Sender: &null,
		Fields: []filter.Change{{Kind: filter.AddField, Name: "X-A", Value: " b\n c"}, {Kind: filter.InsertField, Name: "X-I", Value: " i"},
			{Kind: filter.SetField, Index: 2, Name: "Subject"}},
		Add: []mail.Address{{Local: "x", Domain: "y.test"}, {Local: "z", Domain: "[192.0.2.9]"}}, Remove: []mail.Address{recipient.Address}}
	if err != nil || !reflect.DeepEqual(out, want) || body != "new body\r\n" {
		t.Errorf("%+v, %q, %v", out, body, err)
	}
}

// TestSkip: a filter that has seen enough of the body gets no more of it.
func TestSkip(t *testing.T) {
	f := &fake{options: everything, replies: map[byte][]string{'B': {"s"}}}
	if _, _, _, err := run(t, f, text+strings.Repeat("x", 3*milter.MaxChunk)); err != nil || strings.Count(f.heard.String(), "xxxxx") == 0 || f.heard.Len() > milter.MaxChunk+2000 {
		t.Errorf("%v, it was told %d octets", err, f.heard.Len())
	}
}

// TestSilent: nobody waits for a filter that does not reply.
func TestSilent(t *testing.T) {
	f := &fake{options: silent}
	out, _, _, err := run(t, f, text)
	if err != nil || out.Do != filter.Continue || !strings.Contains(f.heard.String(), "LX|three\n") {
		t.Errorf("%+v, %v, %q", out, err, f.heard.String())
	}
}

// TestNonsense: what no filter may say is an error, and nothing of it is done.
func TestNonsense(t *testing.T) {
	huge := strings.Repeat("x", 70_000)
	many := make([]string, filter.MaxChanges+2)
	for i := range many {
		many[i] = "hX\x00y\x00"
	}
	for name, f := range map[string]*fake{
		"version":      {options: "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
		"unoffered":    {options: "\x00\x00\x00\x06\x00\x00\x00\x00\x10\x00\x00\x00"},
		"short":        {options: "\x00"},
		"gone":         {options: everything, replies: map[byte][]string{'M': {""}}},
		"unknown":      {options: everything, replies: map[byte][]string{'M': {"Z"}}},
		"early change": {options: everything, replies: map[byte][]string{'M': {"hX\x00y\x00"}}},
		"unannounced":  {options: "\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00", replies: map[byte][]string{'E': {"hX\x00y\x00", "c"}}},
		"too many":     {options: everything, replies: map[byte][]string{'E': many}},
		"too much":     {options: everything, replies: map[byte][]string{'E': {"hX\x00" + huge + "\x00", "hX\x00" + huge + "\x00", "hX\x00" + huge + "\x00", "hX\x00" + huge + "\x00", "c"}}},
		"address":      {options: everything, replies: map[byte][]string{'E': {"+no address\x00", "c"}}},
		"large body":   {options: everything, replies: map[byte][]string{'E': slicesOf("b"+strings.Repeat("y", 500_000), 4)}},
	} {
		if out, _, _, err := run(t, f, text); err == nil {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

func slicesOf(s string, n int) []string { return strings.Split(strings.Repeat(s+"\n", n), "\n")[:n] }

// TestPatience: a filter that works on has time, one that is silent has not.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		f := New(Config{Dial: func(context.Context) (*netx.Conn, error) { return netx.NewOutgoing(ours), nil }})
		go func() {
			reply := func(s string) {
				_, _ = theirs.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...))
			}
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			reply("O" + everything)
			for range 5 {
				<-time.After(DefaultAnswer - time.Second)
				reply("p")
			}
		}()
		start := time.Now()
		_, _, err := f.Open(t.Context(), connection, sender)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 6*DefaultAnswer-5*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		_ = theirs.Close()
	})
}

// FuzzFilter: nothing that a filter says brings a conversation down.
func FuzzFilter(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0dO" + everything + "\x00\x00\x00\x01c"))
	f.Add([]byte("\x00\x00\x00\x0dO" + silent + "\x00\x00\x00\x07hX\x00y\x00\x00\x00\x00\x01c"))
	f.Add([]byte("\xff\xff\xff\xffO"))
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		go func() {
			_, _ = theirs.Write(said)
			_ = theirs.Close()
		}()
		flt := New(Config{Dial: func(context.Context) (*netx.Conn, error) { return netx.NewOutgoing(ours), nil }})
		talk, a, err := flt.Open(t.Context(), connection, sender)
		if err != nil {
			return
		}
		defer talk.Close()
		if a.Do == filter.Continue {
			if _, err := talk.Rcpt(t.Context(), recipient); err == nil {
				var b bytes.Buffer
				_, _ = talk.End(t.Context(), octets(text, &b))
			}
		}
	})
}
