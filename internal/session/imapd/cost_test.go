package imapd

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/linear"
)

// plainClient is an IMAP client that looks at nothing but tags.
type plainClient struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

// run sends a command and reads until it ended well.
func (c *plainClient) run(cmd string) {
	if _, err := io.WriteString(c.c, "t "+cmd+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if bytes.HasPrefix(line, []byte("t ")) {
			if !bytes.HasPrefix(line, []byte("t OK")) {
				c.t.Fatalf("%s: %s", cmd, line)
			}
			return
		}
		if _, err := c.r.Discard(literalSize(line)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// literalSize is how many octets of a literal follow a line.
func literalSize(line []byte) int {
	start := bytes.LastIndexByte(line, '{')
	if start < 0 || !bytes.HasSuffix(line, []byte("}\r\n")) {
		return 0
	}
	size, err := strconv.Atoi(string(line[start+1 : len(line)-3]))
	if err != nil {
		return 0
	}
	return size
}

// plainClient is alice's, logged in over TCP and with INBOX selected.
func (h *house) plainClient(t testing.TB) *plainClient {
	return h.plainClientOf(t, "alice@example.org")
}

func (h *house) plainClientOf(t testing.TB, user string) *plainClient {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	h.must(err)
	s, err := l.Accept()
	h.must(err)
	go h.serve(s)
	p := &plainClient{t: t, c: c, r: bufio.NewReaderSize(c, 256<<10)}
	_, err = p.r.ReadString('\n')
	h.must(err)
	p.run("LOGIN " + user + " secret")
	p.run("SELECT INBOX")
	return p
}

// large is a message whose part 2 has size octets in base64, and a field of
// each of some names.
func large(size, fields int) string {
	var b strings.Builder
	b.WriteString("Subject: large\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n")
	for i := range fields {
		fmt.Fprintf(&b, "X-%d: v\n", i)
	}
	b.WriteString("\n--b\n\ntext\n--b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n")
	octets := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("abc"), size/3))
	for len(octets) > 76 {
		b.WriteString(octets[:76] + "\n")
		octets = octets[76:]
	}
	b.WriteString(octets + "\n--b--\n")
	return b.String()
}

func times(n int, item func(i int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return "(" + strings.Join(items, " ") + ")"
}

func namesOf(item, names int) string {
	list := make([]string, names)
	for i := range list {
		list[i] = fmt.Sprintf("Y-%d", i)
	}
	return fmt.Sprintf("BODY.PEEK[HEADER.FIELDS (%s X-%d)]", strings.Join(list, " "), item)
}

// What is asked for many times in one command, or in many commands, is made
// ready once.
func TestFetchMakesReadyOnce(t *testing.T) {
	const size = 3 << 20
	h := newHouse(t)
	h.deliver(mail.Inbox, large(size, 2000), 0)
	c := h.plainClient(t)
	for _, cmd := range []struct{ name, many, few string }{
		{"sizes", "FETCH 1 " + times(256, func(int) string { return "BINARY.SIZE[2]" }), "FETCH 1 BINARY.SIZE[2]"},
		{"ends", "FETCH 1 " + times(48, func(i int) string { return fmt.Sprintf("BINARY.PEEK[2]<%d.100>", size-1000-i) }), "FETCH 1 BINARY.PEEK[2]<0.100>"},
		{"names", "FETCH 1 " + times(75, func(i int) string { return namesOf(i, 100) }), "FETCH 1 " + namesOf(0, 1)},
	} {
		t.Run(cmd.name, func(t *testing.T) {
			once := linear.Fastest(func() {
				h.srv.decoded = decodedBodies{}
				c.run(cmd.few)
			})
			often := linear.Fastest(func() {
				h.srv.decoded = decodedBodies{}
				c.run(cmd.many)
			})
			t.Logf("once %v, often %v", once, often)
			if often > 25*once+20*time.Millisecond {
				t.Errorf("often takes %v, once %v", often, once)
			}
		})
	}
}

// A large part fetched piece by piece is not decoded from its start for each.
func TestFetchInPieces(t *testing.T) {
	const size, piece = 3 << 20, 16 << 10
	h := newHouse(t)
	h.deliver(mail.Inbox, large(size, 0), 0)
	c := h.plainClient(t)
	once := linear.Fastest(func() { c.run(fmt.Sprintf("FETCH 1 BINARY.PEEK[2]<0.%d>", size)) })
	pieces := linear.Fastest(func() {
		for off := 0; off < size; off += piece {
			c.run(fmt.Sprintf("FETCH 1 BINARY.PEEK[2]<%d.%d>", off, piece))
		}
	})
	t.Logf("whole %v, in pieces %v", once, pieces)
	if pieces > 40*once {
		t.Errorf("in pieces it takes %v, whole %v", pieces, once)
	}
}

// A SEARCH nests a thousand deep and has a thousand alternatives, and finds what
// it should.
func TestDeepSearch(t *testing.T) {
	h := newHouse(t)
	h.deliver(mail.Inbox, simple("one"), 0)
	h.deliver(mail.Inbox, simple("two"), 0)
	c := h.plainClient(t)
	const n = 1100
	for _, search := range []struct{ keys, found string }{
		{strings.Repeat("OR BODY none ", n) + "SUBJECT two", "2"},
		{strings.Repeat("OR BODY none (UNSEEN ", n) + "SUBJECT two" + strings.Repeat(")", n), "2"},
		{strings.Repeat("NOT (UNSEEN ", n) + "SUBJECT one" + strings.Repeat(")", n), "1"}, // n is even
	} {
		_, err := io.WriteString(c.c, "d UID SEARCH "+search.keys+"\r\n")
		h.must(err)
		for _, want := range []string{"* SEARCH " + search.found, "d OK done"} {
			if line, err := c.r.ReadString('\n'); err != nil || line != want+"\r\n" {
				t.Fatalf("%.30s: %q, %v; want %q", search.keys, line, err, want)
			}
		}
	}
}
