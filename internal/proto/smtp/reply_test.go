package smtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestReplyAppend(t *testing.T) {
	for _, test := range []struct {
		reply Reply
		want  string
	}{
		{Reply{250, code(2, 1, 0), "ok"}, "250 2.1.0 ok\r\n"},
		{Reply{Code: 334}, "334 \r\n"},
		{Reply{250, Enhanced{}, "a\nb\nc"}, "250-a\r\n250-b\r\n250 c\r\n"},
		{Reply{214, code(2, 0, 0), "a\nb"}, "214-2.0.0 a\r\n214 2.0.0 b\r\n"},
		{Reply{550, code(5, 1, 1), "evil\r250 é"}, "550 5.1.1 evil?250 ??\r\n"},
	} {
		if got := string(test.reply.Append(nil)); got != test.want {
			t.Errorf("%#v is %q, want %q", test.reply, got, test.want)
		}
	}
}

func TestLongRepliesAreBroken(t *testing.T) {
	text := strings.Repeat("x", 1200)
	out := Reply{550, code(5, 7, 1), text + "\nend"}.Append(nil)
	var p ReplyParser
	var got Reply
	for line := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte("\r\n")), []byte("\r\n")) {
		if len(line) > MaxReplyLine {
			t.Errorf("a line has %d octets", len(line))
		}
		got, _, _ = p.Line(line)
	}
	if joined := strings.ReplaceAll(got.Text, "\n", ""); joined != text+"end" {
		t.Errorf("the text came back as %q", joined)
	}
}

func TestChallengesStayWhole(t *testing.T) {
	out := Reply{Code: 334, Text: strings.Repeat("A", 4000)}.Append(nil)
	if len(out) != len("334 ")+4000+len("\r\n") {
		t.Errorf("a challenge of 4000 octets became %d octets", len(out))
	}
}

func parseLines(lines ...string) (reply Reply, err error) {
	var p ReplyParser
	for _, l := range lines {
		var done bool
		if reply, done, err = p.Line([]byte(l)); done || err != nil {
			return reply, err
		}
	}
	return reply, errors.New("incomplete")
}

func TestReplyParser(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  Reply
	}{
		{[]string{"250"}, Reply{Code: 250}},
		{[]string{"250 "}, Reply{Code: 250}},
		{[]string{"250 2.1.0 ok"}, Reply{250, code(2, 1, 0), "ok"}},
		{[]string{"250 2.1.0"}, Reply{250, code(2, 1, 0), ""}},
		{[]string{"550 2.1.0 not ours"}, Reply{550, Enhanced{}, "2.1.0 not ours"}},
		{[]string{"220 2.1 servers"}, Reply{220, Enhanced{}, "2.1 servers"}},
		{[]string{"250-mx", "250-SIZE 1", "250 HELP"}, Reply{250, Enhanced{}, "mx\nSIZE 1\nHELP"}},
		{[]string{"550-5.7.1 a", "550 5.7.1 b"}, Reply{550, code(5, 7, 1), "a\nb"}},
		{[]string{"550-5.7.1 a", "550 5.7.2 b"}, Reply{550, code(5, 7, 1), "a\n5.7.2 b"}},
		{[]string{"421 \xffbye"}, Reply{421, Enhanced{}, "\xffbye"}},
	} {
		if got, err := parseLines(test.lines...); err != nil || got != test.want {
			t.Errorf("%q is %#v %v, want %#v", test.lines, got, err, test.want)
		}
	}
	for _, lines := range [][]string{{""}, {"25"}, {"650 x"}, {"150 x"}, {"25x"}, {"250x"}, {"250-a", "550 b"}, {"hello"}} {
		if got, err := parseLines(lines...); err != ErrReply {
			t.Errorf("%q is %#v, want ErrReply", lines, got)
		}
	}
}

func TestReplyParserIsBounded(t *testing.T) {
	var p ReplyParser
	line := []byte("250-" + strings.Repeat("x", 500))
	for range MaxReplyLines {
		if _, _, err := p.Line(line); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.text) > MaxReplyText {
		t.Errorf("%d octets of text are kept", len(p.text))
	}
	if _, _, err := p.Line(line); err != ErrReplyTooLong {
		t.Errorf("line %d: %v", MaxReplyLines+1, err)
	}
}

func FuzzReplyParser(f *testing.F) {
	f.Add([]byte("250-2.1.0 a\n250 2.1.0 b\n"))
	f.Add([]byte("354\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var p ReplyParser
		for line := range bytes.SplitSeq(in, []byte("\n")) {
			reply, done, err := p.Line(line)
			if err != nil {
				return
			}
			if !done {
				continue
			}
			if len(reply.Text) > MaxReplyText {
				t.Fatalf("%d octets of text", len(reply.Text))
			}
			// What we write of it, our own parser reads.
			var again ReplyParser
			for out := range bytes.SplitSeq(bytes.TrimSuffix(reply.Append(nil), []byte("\r\n")), []byte("\r\n")) {
				got, last, err := again.Line(out)
				if err != nil || last && got.Code != reply.Code {
					t.Fatalf("%q: %v, %v", out, got, err)
				}
			}
		}
	})
}
