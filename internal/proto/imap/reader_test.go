package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

var errLine = errors.New("line too long")

// wire is a Source over a string.
type wire struct {
	in      *strings.Reader
	prompts int
}

func (w *wire) Read(p []byte) (int, error) { return w.in.Read(p) }

func (w *wire) ReadLine(limit int) ([]byte, error) {
	var line []byte
	for {
		c, err := w.in.ReadByte()
		if err != nil {
			return nil, err
		}
		if line = append(line, c); bytes.HasSuffix(line, []byte("\r\n")) {
			break
		}
	}
	if len(line)-2 > limit {
		return nil, errLine
	}
	return line[:len(line)-2], nil
}

func newWire(in string) (*wire, *Reader) {
	w := &wire{in: strings.NewReader(in)}
	return w, NewReader(w, func() error { w.prompts++; return nil })
}

func TestReadCommand(t *testing.T) {
	w, r := newWire("a LOGIN {3}\r\njoe {4+}\r\na\r\nb\r\nb SELECT x\r\nc LOGIN \"x {5+}\r\n12345 y\r\nd NOOP\r\n")
	cmd, err := r.ReadCommand(Mode{})
	if want := (&Login{"joe", "a\r\nb"}); err != nil || !reflect.DeepEqual(cmd.Args, want) {
		t.Errorf("got %+v, %v", cmd.Args, err)
	}
	if w.prompts != 1 {
		t.Errorf("%d prompts for one synchronizing literal", w.prompts)
	}
	if cmd, err = r.ReadCommand(Mode{}); err != nil || cmd.Verb != SELECT {
		t.Errorf("got %+v, %v", cmd, err)
	}
	if _, err = r.ReadCommand(Mode{}); kindOf(err) != BadSyntax {
		t.Errorf("a literal inside a quoted string: %v", err)
	}
	if cmd, err = r.ReadCommand(Mode{}); err != nil || cmd.Tag != "d" {
		t.Errorf("out of step: %+v, %v", cmd, err)
	}
	if _, err = r.ReadCommand(Mode{}); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func kindOf(err error) ErrorKind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 255
}

func TestReaderEndsInTheMidst(t *testing.T) {
	for _, in := range []string{"a LOGIN {3}\r\nx", "a LOGIN {3}\r\nxyz", "a LOGIN {999999+}\r\nx", "a APPEND x y {3+}\r\n"} {
		_, r := newWire(in)
		if _, err := r.ReadCommand(Mode{}); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestReaderStopsWhenProceedFails(t *testing.T) {
	w, _ := newWire("a LOGIN {3}\r\njoe x\r\n")
	fail := errors.New("gone")
	r := NewReader(w, func() error { return fail })
	if _, err := r.ReadCommand(Mode{}); err != fail {
		t.Errorf("got %v", err)
	}
}

// TestLiteralLimits: after each refusal the next command is read.
func TestLiteralLimits(t *testing.T) {
	many := "a SEARCH" + strings.Repeat(" {0+}\r\n", MaxLiterals+1) + "\r\n"
	over := fmt.Sprint(MaxLiteralSize + 1)
	for name, in := range map[string]string{
		"synchronizing":       "a LOGIN {" + over + "}\r\n",
		"huge, synchronizing": "a LOGIN {99999999999999999999999}\r\n",
		"not synchronizing":   "a LOGIN {" + over + "+}\r\n" + strings.Repeat("x", MaxLiteralSize+1) + " {2+}\r\nzz\r\n",
		"sum":                 "a LOGIN {10+}\r\n0123456789 {" + fmt.Sprint(MaxLiteralSize-9) + "}\r\n",
		"then synchronizing":  "a LOGIN {" + over + "+}\r\n" + strings.Repeat("x", MaxLiteralSize+1) + " {2}\r\n",
		"number":              many,
	} {
		w, r := newWire(in + "b NOOP\r\n")
		_, err := r.ReadCommand(Mode{})
		var e *Error
		if !errors.As(err, &e) || e.Kind != TooBig || e.Tag != "a" || e.Close {
			t.Errorf("%s: %+v", name, err)
		}
		if w.prompts != 0 {
			t.Errorf("%s: asked the client to proceed", name)
		}
		if cmd, err := r.ReadCommand(Mode{}); err != nil || cmd.Tag != "b" {
			t.Errorf("%s: out of step: %+v, %v", name, cmd, err)
		}
	}
}

// TestThousandKeys: a SEARCH may OR a thousand keys, each with texts of an ordinary
// length, quoted or in literals.
func TestThousandKeys(t *testing.T) {
	const n = 1000
	id := strings.Repeat("0123456789", 3) + "@example.org"
	for name, in := range map[string]string{
		"quoted":   strings.Repeat(`OR TEXT "`+id+`" `, n) + "SEEN",
		"headers":  strings.Repeat(`OR HEADER Message-ID <`+id[:24]+`> `, n) + "SEEN",
		"literals": strings.Repeat(fmt.Sprintf("OR SUBJECT {%d+}\r\n%s ", len(id), id), n) + "SEEN",
	} {
		_, r := newWire("a SEARCH " + in + "\r\n")
		cmd, err := r.ReadCommand(Mode{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if key := cmd.Args.(*Search).Key; key.Op != SearchOr || len(key.Keys) != n+1 {
			t.Errorf("%s: %d keys of %d", name, len(key.Keys), n+1)
		}
	}
}

func TestLiteralBeyondSkipping(t *testing.T) {
	for _, size := range []string{fmt.Sprint(MaxSkip + 1), "9223372036854775807", "99999999999999999999"} {
		_, r := newWire("a LOGIN {" + size + "+}\r\n")
		_, err := r.ReadCommand(Mode{})
		var e *Error
		if !errors.As(err, &e) || e.Kind != TooBig || !e.Close || e.Tag != "a" {
			t.Errorf("%s: %+v", size, err)
		}
	}
}

func TestLineLimit(t *testing.T) {
	_, r := newWire("a LOGIN " + strings.Repeat("x", MaxLine) + "\r\n")
	if _, err := r.ReadCommand(Mode{}); err != errLine {
		t.Errorf("one line: %v", err)
	}
	half := strings.Repeat("x", MaxLine/2)
	_, r = newWire("a LOGIN " + half + "{0+}\r\n" + half + "\r\n")
	if _, err := r.ReadCommand(Mode{}); err != errLine {
		t.Errorf("two lines: %v", err)
	}
}

func TestAppend(t *testing.T) {
	w, r := newWire("a APPEND {5}\r\nIN OX (\\Seen) {3+}\r\nabc\r\n" +
		"b APPEND x UTF8 (~{2+}\r\nde)\r\n" +
		"c APPEND x {1+}\r\nf (\\Seen) {4+}\r\nghij\r\n" +
		"d APPEND x UTF8 (~{1+}\r\nk\r\n" +
		"e NOOP\r\n")
	for _, want := range []struct {
		tag, octets string
		ok          bool
	}{{"a", "abc", true}, {"b", "de", true}, {"c", "f", false}, {"d", "k", false}} {
		cmd, err := r.ReadCommand(Mode{})
		if err != nil || cmd.Tag != want.tag {
			t.Fatalf("%s: %+v, %v", want.tag, cmd, err)
		}
		a := cmd.Args.(*Append)
		octets, err := io.ReadAll(io.LimitReader(w, a.Literal.Size))
		if err != nil || string(octets) != want.octets {
			t.Errorf("%s: octets %q, %v", want.tag, octets, err)
		}
		err = r.FinishAppend(a)
		if want.ok != (err == nil) || err != nil && kindOf(err) != BadSyntax {
			t.Errorf("%s: finish %v", want.tag, err)
		}
	}
	if w.prompts != 1 {
		t.Errorf("%d prompts for the mailbox literal", w.prompts)
	}
	if cmd, err := r.ReadCommand(Mode{}); err != nil || cmd.Tag != "e" {
		t.Errorf("out of step: %+v, %v", cmd, err)
	}
}

// TestAppendRefused: a message that nobody takes is dropped if it comes unasked.
func TestAppendRefused(t *testing.T) {
	_, r := newWire("a APPEND x {3+}\r\nabc {2+}\r\nde\r\nb APPEND x {3}\r\nc APPEND x (bad {3+}\r\nabc\r\nd APPEND x {99999999999+}\r\n")
	for _, tag := range []string{"a", "b"} {
		cmd, err := r.ReadCommand(Mode{})
		if err != nil || cmd.Tag != tag {
			t.Fatalf("%s: %+v, %v", tag, cmd, err)
		}
		if err := r.RefuseAppend(cmd.Args.(*Append)); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	if _, err := r.ReadCommand(Mode{}); kindOf(err) != BadSyntax || err.(*Error).Tag != "c" {
		t.Errorf("c: %v", err)
	}
	cmd, err := r.ReadCommand(Mode{})
	if err != nil || cmd.Tag != "d" {
		t.Fatalf("d: %+v, %v", cmd, err)
	}
	if err := r.RefuseAppend(cmd.Args.(*Append)); kindOf(err) != TooBig || !err.(*Error).Close {
		t.Errorf("too much to drop: %v", err)
	}
}

func TestReaderKeepsNothing(t *testing.T) {
	w, r := newWire("")
	line := strings.Repeat("a NOOP\r\n", 2)
	n := testing.AllocsPerRun(100, func() {
		w.in.Reset(line)
		if _, err := r.ReadCommand(Mode{}); err != nil {
			t.Fatal(err)
		}
	})
	if n > 6 {
		t.Errorf("%v allocations for NOOP", n)
	}
}

// TestReaderCountsCommands: a command for which there is no room is refused, what
// comes of it unasked is dropped, and the next one is read.
func TestReaderCountsCommands(t *testing.T) {
	w, r := newWire("a NOOP\r\nb LOGIN {3+}\r\nxyz {2000+}\r\n" + strings.Repeat("p", 2000) + "\r\n" +
		"c SEARCH SUBJECT {2000}\r\nd SEARCH SUBJECT " + strings.Repeat("q", 2000) + "\r\ne NOOP\r\n")
	var most, now int
	r.Count(func(octets int) bool {
		now = octets
		if octets <= 4000 {
			most = max(most, octets)
		}
		return octets <= 4000
	})
	for _, want := range []struct {
		tag  string
		fits bool
	}{{"a", true}, {"b", false}, {"c", false}, {"d", false}, {"e", true}} {
		cmd, err := r.ReadCommand(Mode{})
		var e *Error
		switch {
		case want.fits && (err != nil || cmd.Tag != want.tag):
			t.Errorf("%s: %+v, %v", want.tag, cmd, err)
		case !want.fits && (!errors.As(err, &e) || e.Kind != NoRoom || e.Tag != want.tag):
			t.Errorf("%s: %v", want.tag, err)
		}
	}
	if w.prompts != 0 || most == 0 || now == 0 {
		t.Errorf("%d prompts, %d octets counted at most", w.prompts, most)
	}
	if _, err := r.ReadCommand(Mode{}); err != io.EOF || now != 0 {
		t.Errorf("at the end: %v, %d octets are counted", err, now)
	}
}
