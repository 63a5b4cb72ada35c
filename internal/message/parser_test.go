package message

import (
	"fmt"
	"strings"
	"testing"
)

// crlf makes LF line ends CRLF.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// tree renders the structure of b: types, and the bodies of leaves.
func tree(b string) string {
	var sb strings.Builder
	var walk func(p *Part)
	walk = func(p *Part) {
		fmt.Fprintf(&sb, "%s/%s", p.Type, p.Subtype)
		if len(p.Children) == 0 {
			fmt.Fprintf(&sb, "%q:%d", b[p.Body:p.End], p.Lines)
			return
		}
		sb.WriteByte('[')
		for i, c := range p.Children {
			if i > 0 {
				sb.WriteByte(' ')
			}
			walk(c)
		}
		sb.WriteByte(']')
	}
	walk(Parse([]byte(b)).Root)
	return sb.String()
}

const opaque = "Content-Type: multipart/mixed; boundary=b\n\n"

func TestStructure(t *testing.T) {
	for _, c := range []struct{ name, msg, want string }{
		{"empty", "", `text/plain"":0`},
		{"blank", "\n", `text/plain"":0`},
		{"header only", "Subject: x\n", `text/plain"":0`},
		{"header cut", "Subject: x", `text/plain"":0`},
		{"one line", "Subject: x\n\nhello\n", `text/plain"hello\r\n":1`},
		{"cut line", "Subject: x\n\nhello\nyou", `text/plain"hello\r\nyou":2`},
		{"no header", "hello there\nsecond: line\n", `text/plain"hello there\r\nsecond: line\r\n":2`},
		{"mbox line", "From a@b Mon Jan 1 00:00:00 2024\nSubject: x\n\nhi\n", `text/plain"hi\r\n":1`},
		{"type without slash", "Content-Type: text\n\nx", `text/plain"x":1`},
		{"unquoted odd boundary", "Content-Type: multipart/mixed; boundary=a/b=1\n\n--a/b=1\n\nx\n--a/b=1--\n", `multipart/mixed[text/plain"x":1]`},
		{"RFC 2046 §5.1.1", `From: Nathaniel Borenstein <nsb@bellcore.com>
To: Ned Freed <ned@innosoft.com>
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
`, `multipart/mixed[text/plain"This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.":2 ` +
			`text/plain"This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n":2]`},
		{"digest, RFC 2046 §5.1.5", `Content-Type: multipart/digest; boundary="---- next ----"

------ next ----

From: a
Subject: one

body one
------ next ----
Content-Type: text/plain

table of contents
------ next ------
`, `multipart/digest[message/rfc822[text/plain"body one":1] text/plain"table of contents":1]`},
		{"boundary is start of another", `Content-Type: multipart/mixed; boundary=foo

--foo
Content-Type: multipart/mixed; boundary=foobar

--foobar

in
--foobar--
--foo

out
--foo--
`, `multipart/mixed[multipart/mixed[text/plain"in":1] text/plain"out":1]`},
		{"inner is start of outer", `Content-Type: multipart/mixed; boundary=foobar

--foobar
Content-Type: multipart/mixed; boundary=foo

--foo

in
--foobar

out
--foobar--
`, `multipart/mixed[multipart/mixed[text/plain"in":1] text/plain"out":1]`},
		{"same boundary nested", `Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=b

--b

1
--b

2
--b--
--b

3
--b--
end
`, `multipart/mixed[multipart/alternative[text/plain"1":1 text/plain"2":1] text/plain"3":1]`},
		{"no end delimiters", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--a\n\ny\n",
			`multipart/mixed[multipart/mixed[text/plain"x":1] text/plain"y\r\n":1]`},
		{"delimiter after end delimiter", opaque + "--b\n\nx\n--b--\n--b\n\ny\n", `multipart/mixed[text/plain"x":1]`},
		{"space after boundary", opaque + "--b  \n\nx\n--b-- \t\n", `multipart/mixed[text/plain"x":1]`},
		{"no boundary parameter", "Content-Type: multipart/mixed\n\n--b\n\nx\n", `multipart/mixed[text/plain"--b\r\n\r\nx\r\n":3]`},
		{"boundary never seen", opaque + "x\n", `multipart/mixed[text/plain"x\r\n":1]`},
		{"no body at all", "Content-Type: multipart/mixed; boundary=b\n", `multipart/mixed[text/plain"":0]`},
		{"only an end delimiter", opaque + "--b--\n", `multipart/mixed[text/plain"--b--\r\n":1]`},
		{"empty parts", opaque + "--b\n--b\n\n--b\n\n\n--b--\n", `multipart/mixed[text/plain"":0 text/plain"":0 text/plain"":0]`},
		{"header-only part", opaque + "--b\nContent-Type: image/png\n--b--\n", `multipart/mixed[image/png"":0]`},
		{"part without a header", opaque + "--b\nhello you\nthere\n--b--\n", `multipart/mixed[text/plain"hello you\r\nthere":2]`},
		{"part without an empty line", opaque + "--b\nContent-Type: text/html\nhello you\nthere\n--b--\n", `multipart/mixed[text/html"hello you\r\nthere":2]`},
		{"stray line in header, RFC 7103 §7.2", "Subject: a\nabout the game\nX-Foo: b\nContent-Type: text/html\n\nhi\n", `text/html"hi\r\n":1`},
		{"delimiter instead of empty line", "Content-Type: multipart/mixed; boundary=b\n--b\n\nx\n--b--\n", `multipart/mixed[text/plain"x":1]`},
		{"boundary with a colon", "Content-Type: multipart/mixed; boundary=\"b:c\"\n\n--b:c\nA: b\n--b:c\n\nx\n--b:c--\n", `multipart/mixed[text/plain"":0 text/plain"x":1]`},
		{"embedded", opaque + "--b\nContent-Type: message/rfc822\n\nSubject: in\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n--b--\n",
			`multipart/mixed[message/rfc822[multipart/mixed[text/plain"x":1]]]`},
		{"embedded twice", "Content-Type: message/rfc822\n\nContent-Type: message/global\n\nSubject: x\n\nhi\n", `message/rfc822[message/global[text/plain"hi\r\n":1]]`},
		{"embedded, empty", opaque + "--b\nContent-Type: message/rfc822\n--b--\n", `multipart/mixed[message/rfc822[text/plain"":0]]`},
		{"embedded, header only", opaque + "--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n", `multipart/mixed[message/rfc822[text/plain"":0]]`},
		{"embedded, encoded", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAo=\n", `message/rfc822[text/plain"U3ViamVjdDogeAo=\r\n":1]`},
		{"other message types are leaves", "Content-Type: message/delivery-status\n\nA: b\n\nC: d\n", `message/delivery-status"A: b\r\n\r\nC: d\r\n":3`},
		{"NUL and bare CR", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n\x00a\rb\r\n--b--\n", "multipart/mixed[text/plain\"\\x00a\\rb\":1]"},
		{"8-bit boundary", "Content-Type: multipart/mixed; boundary=\"\xe9\xff\"\n\n--\xe9\xff\n\nx\n--\xe9\xff--\n", `multipart/mixed[text/plain"x":1]`},
		{"missing quote", "Content-Type: multipart/mixed; boundary=\"b\n\n--b\n\nx\n--b--\n", `multipart/mixed[text/plain"x":1]`},
		{"comments in type", "Content-Type: (a) multipart/mixed (b(c)); (d) boundary=b (e)\n\n--b\n\nx\n--b--\n", `multipart/mixed[text/plain"x":1]`},
	} {
		msg := strings.ReplaceAll(crlf(c.msg), "\r\r\n", "\r\n")
		if got := tree(msg); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		lf := strings.ReplaceAll(msg, "\r\n", "\n")
		if got, want := tree(lf), strings.ReplaceAll(c.want, `\r\n`, `\n`); got != want {
			t.Errorf("%s, with LF:\n got %s\nwant %s", c.name, got, want)
		}
	}
}

func TestMixedLineEnds(t *testing.T) {
	msg := "Content-Type: multipart/mixed; boundary=b\r\n\n--b\n\r\nx\r\n\n--b\r\n\ny\n--b--\r\n"
	if got, want := tree(msg), `multipart/mixed[text/plain"x\r\n":1 text/plain"y":1]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOffsets(t *testing.T) {
	msg := crlf("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\npre\n--b\nContent-ID: <1>\n\none\n--b--\nepi\n")
	m := Parse([]byte(msg))
	c := m.Root.Children[0]
	if got, want := msg[c.Offset:c.Body], "Content-ID: <1>\r\n\r\n"; got != want {
		t.Errorf("part header %q, want %q", got, want)
	}
	if m.Header.Size != int64(strings.Index(msg, "pre")) || m.Size != int64(len(msg)) || m.Root.End != m.Size {
		t.Errorf("header %d, size %d, end %d of %d", m.Header.Size, m.Size, m.Root.End, len(msg))
	}
	if got := m.Root.Lines; got != 7 {
		t.Errorf("lines of the multipart: %d, want 7", got)
	}
	m.Root.Shift(100)
	if r := m.Root; r.Offset != 0 || r.Body != m.Header.Size+100 || r.End != m.Size+100 {
		t.Errorf("shifted root %d %d %d", r.Offset, r.Body, r.End)
	}
	if got := msg[c.Body-100 : c.End-100]; got != "one" {
		t.Errorf("shifted part body %q", got)
	}
}

// TestFind numbers the parts of the example of RFC 9051 §6.4.5.1.
func TestFind(t *testing.T) {
	m := Parse([]byte(crlf(`Content-Type: multipart/mixed; boundary=b0

--b0

1
--b0
Content-Type: application/octet-stream

2
--b0
Content-Type: message/rfc822

Content-Type: multipart/mixed; boundary=b3

--b3

3.1
--b3
Content-Type: application/octet-stream

3.2
--b3--
--b0
Content-Type: multipart/mixed; boundary=b4

--b4
Content-Type: image/gif

4.1
--b4
Content-Type: message/rfc822

Content-Type: multipart/mixed; boundary=b42

--b42

4.2.1
--b42
Content-Type: multipart/alternative; boundary=b422

--b422

4.2.2.1
--b422
Content-Type: text/richtext

4.2.2.2
--b422--
--b42--
--b4--
--b0--
`)))
	for path, want := range map[string]string{
		"": "multipart/mixed", "1": "text/plain", "2": "application/octet-stream", "3": "message/rfc822", "3.1": "text/plain",
		"3.2": "application/octet-stream", "4": "multipart/mixed", "4.1": "image/gif", "4.2": "message/rfc822", "4.2.1": "text/plain",
		"4.2.2": "multipart/alternative", "4.2.2.1": "text/plain", "4.2.2.2": "text/richtext",
		"5": "", "0": "", "1.1": "", "3.3": "", "4.2.2.2.1": "", "-1": "",
	} {
		got := ""
		if p := m.Root.Find(intPath(path)); p != nil {
			got = p.Type + "/" + p.Subtype
		}
		if got != want {
			t.Errorf("Find(%s) = %q, want %q", path, got, want)
		}
	}
	single := Parse([]byte("Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nhi"))
	inner := single.Root.Children[0]
	for path, want := range map[string]*Part{"": single.Root, "1": single.Root, "1.1": inner, "2": nil, "1.2": nil, "1.1.1": nil} {
		if got := single.Root.Find(intPath(path)); got != want {
			t.Errorf("single part: Find(%s) = %v, want %v", path, got, want)
		}
	}
}

func intPath(s string) []int {
	var path []int
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' }) {
		var n int
		fmt.Sscanf(f, "%d", &n)
		path = append(path, n)
	}
	return path
}

func TestLimits(t *testing.T) {
	var deep strings.Builder
	for i := range 3 * MaxDepth {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d_\n\n--b%d_\n", i, i)
	}
	embedded := strings.Repeat("Content-Type: message/rfc822\n\n", 3*MaxDepth)
	wide := opaque + strings.Repeat("--b\n\nx\n", 3*MaxParts)
	headers := opaque + strings.Repeat("--b\nX: "+strings.Repeat("y", 8000)+"\n\n", 300)
	for name, msg := range map[string]string{"deep": deep.String(), "embedded": embedded, "wide": wide, "headers": headers} {
		m := Parse([]byte(msg))
		count, depth := measure(m.Root)
		if count > 2*MaxParts || depth > MaxDepth {
			t.Errorf("%s: %d parts, %d levels", name, count, depth)
		}
		if name == "wide" && count != MaxParts || name == "deep" && depth != MaxDepth {
			t.Errorf("%s: stops early with %d parts, %d levels", name, count, depth)
		}
		checkTiling(t, []byte(msg), m)
		if _, err := ParseForm(AppendForm(nil, m)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m := Parse([]byte(wide)); m.Root.Children[MaxParts-2].End != m.Size {
		t.Error("wide: the last part does not hold the rest")
	}
}

func measure(p *Part) (count, depth int) {
	count = 1
	for _, c := range p.Children {
		n, d := measure(c)
		count, depth = count+n, max(depth, d+1)
	}
	return count, depth
}

func TestHugeHeader(t *testing.T) {
	long := "Subject: first\nX-Long: " + strings.Repeat("z", 2*MaxHeader) + "\nTo: late@example.org\n\nbody\n"
	m := Parse([]byte(long))
	if m.Subject != "first" || len(m.Envelope.To) != 0 {
		t.Errorf("subject %q, to %v", m.Subject, m.Envelope.To)
	}
	if got := long[m.Root.Body:m.Root.End]; got != "body\n" {
		t.Errorf("body %q", got)
	}
	many := "To: " + strings.Repeat("a@b,", 3*MaxAddresses) + "\n\n"
	if n := len(Parse([]byte(many)).Envelope.To); n != MaxAddresses {
		t.Errorf("%d addresses, want %d", n, MaxAddresses)
	}
}

func TestFinishTwice(t *testing.T) {
	p := NewParser()
	p.Write([]byte("Subject: x\n\ny"))
	if a, b := p.Finish(), p.Finish(); a != b || a.Size != 13 {
		t.Errorf("%p %p size %d", a, b, a.Size)
	}
}

// A header whose lines come in pieces is held once: what it may have, and the room
// that it grew by.
func TestHeaderIsHeldOnce(t *testing.T) {
	line := func(size int) string { return "X-A: " + strings.Repeat("a", size-len("X-A: \r\n")) + "\r\n" }
	for name, header := range map[string]string{
		"one line":             line(248 << 10),
		"a line without end":   strings.TrimSpace(line(248 << 10)),
		"a line behind a line": line(248<<10) + strings.TrimSpace(line(248<<10)),
		"halves":               line(124<<10) + strings.TrimSpace(line(124<<10)),
	} {
		p, most := NewParser(), 0
		for rest := []byte(header); len(rest) > 0; {
			n := min(len(rest), 4<<10)
			p.Write(rest[:n])
			rest, most = rest[n:], max(most, p.Memory())
		}
		if most > MaxHeader*5/4 {
			t.Errorf("%s: %d octets are held", name, most)
		}
	}
}

// Where a line is cut decides nothing, not even where space without end stands
// before its colon and no room is left for it.
func TestLongLineStart(t *testing.T) {
	for _, spaces := range []int{0, 300, MaxLine - 2, MaxLine, 2 * MaxLine, 20 << 10} {
		msg := []byte("A: b\r\nX: " + strings.Repeat("x", MaxHeader-600) + "\r\nContent-Type" + strings.Repeat(" ", spaces) + ": text/html\r\n\r\nbody\r\n")
		for _, size := range []int{1 << 10, 1<<10 + 1, 100 << 10} {
			sameMessage(t, Parse(msg), parseIn(msg, func() int { return size }), fmt.Sprint(spaces, " spaces in chunks of ", size))
		}
	}
}
