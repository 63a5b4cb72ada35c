package imap

import (
	"bytes"
	"testing"

	"yubin/internal/message"
	"yubin/internal/testkit/mailgen"
)

// What is decoded is written again the same.
func TestDecodeEnvelopeOfMail(t *testing.T) {
	g := mailgen.New(7, false)
	lists := 0
	for range 2000 {
		e := message.Parse(g.Next().Octets).Envelope
		raw := AppendEnvelope(nil, e)
		got, err := DecodeEnvelope(raw)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if again := AppendEnvelope(nil, got); !bytes.Equal(again, raw) {
			t.Fatalf("%q\nwas read as\n%q", raw, again)
		}
		if lists += len(e.To); len(got.To) != len(e.To) {
			t.Fatalf("%q: %d addresses in To, not %d", raw, len(got.To), len(e.To))
		}
	}
	if lists == 0 {
		t.Error("no message had an address in To")
	}
}

func TestDecodeEnvelopeGroups(t *testing.T) {
	e := message.Parse([]byte("To: The \"big\\\\\" team: a@b.example, =?utf-8?q?C?= <c@d.example>;, e@f.example\r\n" +
		"Subject: gr\xc3\xbc\xc3\x9fe \\ \"x\"\r\n\r\n")).Envelope
	got, err := DecodeEnvelope(AppendEnvelope(nil, e))
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Subject) != string(e.Subject) || len(got.To) != len(e.To) {
		t.Fatalf("got %q and %d addresses", got.Subject, len(got.To))
	}
	for i := range e.To {
		if got.To[i].Group != e.To[i].Group || string(got.To[i].Mailbox) != string(e.To[i].Mailbox) || string(got.To[i].Name) != string(e.To[i].Name) {
			t.Errorf("address %d: %q, want %q", i, got.To[i], e.To[i])
		}
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	f.Add([]byte(`(NIL "x\"y" ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL NIL {3}` + "\r\nabc)"))
	f.Add([]byte("({9999999999}\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := DecodeEnvelope(raw)
		if err != nil {
			return
		}
		text := AppendEnvelope(nil, e)
		again, err := DecodeEnvelope(text)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", raw, text, err)
		}
		if got := AppendEnvelope(nil, again); !bytes.Equal(got, text) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
