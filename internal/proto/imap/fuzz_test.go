package imap

import (
	"bytes"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"yubin/internal/message"
)

func seedCommands(f *testing.F, add func(string)) {
	text, err := os.ReadFile("testdata/rfc-commands.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		add(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "}|", "}\r\n"))
	}
	for _, c := range parsed {
		add("t " + c.in)
	}
	for _, s := range fetched {
		add("t FETCH 1,2:* " + s)
	}
	for _, s := range searched {
		add("t UID SEARCH " + s)
	}
	add("t COPY 1 &-&AOk-")
}

// FuzzParseCommand: no panic, an error is an *Error at a column of the command,
// and what was parsed survives being written and parsed again.
func FuzzParseCommand(f *testing.F) {
	seedCommands(f, func(s string) { f.Add([]byte(s), false); f.Add([]byte(s), true) })
	f.Fuzz(func(t *testing.T, b []byte, utf8Mode bool) {
		mode := Mode{UTF8: utf8Mode, Decode: latin1}
		cmd, err := ParseCommand(b, mode)
		if err != nil {
			if e := err.(*Error); e.Column < 0 || e.Column > len(b) {
				t.Fatalf("column %d of %d", e.Column, len(b))
			}
			return
		}
		again := rewritten(cmd, utf8Mode)
		if again == nil {
			return
		}
		back, err := ParseCommand(again, mode)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", b, again, err)
		}
		if s, ok := cmd.Args.(*Search); ok {
			s.Charset = ""
		}
		if !reflect.DeepEqual(cmd.Args, back.Args) {
			t.Fatalf("%q was written as %q\n%+v\n%+v", b, again, cmd.Args, back.Args)
		}
	})
}

// rewritten writes the command anew; nil for those that have no writer.
func rewritten(cmd Command, utf8Mode bool) []byte {
	b := []byte("t " + cmd.Verb.String() + " ")
	switch a := cmd.Args.(type) {
	case *Fetch:
		b = append(a.Set.Append(b), " ("...)
		for i, item := range a.Items {
			b = item.Append(append(b, " "[:b2i(i > 0)]...))
		}
		return append(b, ')')
	case *Search:
		if a.Return.Extended || strings.Contains(a.Key.String(), "\x00") {
			return nil
		}
		return a.Key.Append(b)
	case *Copy:
		return append(a.Set.Append(b), ` `+string(AppendString(nil, AppendMailbox(nil, a.Mailbox, utf8Mode)))...)
	case *Expunge:
		return a.Set.Append(b)
	}
	return nil
}

// FuzzReader: whatever comes in, commands end or the input does, and the reader
// never asks a client to proceed for more than a literal.
func FuzzReader(f *testing.F) {
	all := ""
	seedCommands(f, func(s string) { f.Add(s + "\r\n"); all += s + "\r\n" })
	f.Add(all)
	f.Add("a LOGIN {70000+}\r\nx {3}\r\nabc\r\nb NOOP\r\n")
	f.Add("a APPEND x {3+}\r\nabc {5+}\r\nb NOOP\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		w, r := newWire(in)
		for n := 0; ; n++ {
			if n > len(in) {
				t.Fatal("more commands than octets")
			}
			cmd, err := r.ReadCommand(Mode{})
			if a, ok := cmd.Args.(*Append); ok && err == nil {
				if n%2 == 0 {
					err = r.RefuseAppend(a)
				} else if _, err = io.CopyN(io.Discard, w, a.Literal.Size); err == nil {
					err = r.FinishAppend(a)
				}
			}
			if e, ok := err.(*Error); err != nil && (!ok || e.Close) {
				break
			}
		}
		if w.prompts > strings.Count(in, "{") {
			t.Fatalf("%d prompts", w.prompts)
		}
	})
}

// FuzzUTF7: what decodes encodes to itself, and any UTF-8 comes back.
func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"&U,BTFw-/&ZeVnLIqe-", "&-", "&2D3eAA-", "R&D", "Entwürfe", "&AA-"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if name, ok := decodeUTF7(b); ok {
			if back := appendUTF7(nil, name); !bytes.Equal(back, b) {
				t.Fatalf("%q decodes to %q, which encodes to %q", b, name, back)
			}
		}
		if !utf8.Valid(b) {
			return
		}
		encoded := appendUTF7(nil, string(b))
		if back, ok := decodeUTF7(encoded); !ok || back != string(b) {
			t.Fatalf("%q encodes to %q, which decodes to %q, %v", b, encoded, back, ok)
		}
	})
}

// FuzzStructure: any message is shown as the grammar has it, and BODY is
// BODYSTRUCTURE without extension data.
func FuzzStructure(f *testing.F) {
	f.Add([]byte("From: a@b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: \x80\r\n\r\nhi\r\n--x--\r\n"))
	f.Add([]byte("Content-Type: text/plain; name*=utf-8''%C3%A9\r\nContent-Disposition: attachment; filename=\"\\\"\"\r\n\r\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		envelope, structure, body := texts(t, message.Parse(b))
		want, err := basicOf(structure)
		if err != nil || !bytes.Equal(body, want) {
			t.Fatalf("got %q\nwant %q, %v", body, want, err)
		}
		var c basicCopier
		c.Reset(envelope)
		if c.value(); c.Failed() || !c.AtEnd() {
			t.Fatalf("envelope: %v", c.Err())
		}
	})
}
