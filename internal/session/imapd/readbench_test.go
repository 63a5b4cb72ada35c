package imapd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"yubin/internal/engine/search"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// benchRead is how many messages the mailbox of BenchmarkRead has.
const benchRead = 25_000

// fillBench imports messages of 4 KiB into INBOX.
func (h *house) fillBench(n int) {
	box, err := h.store.Mailbox(h.ctx, h.alice, mail.Inbox)
	h.must(err)
	for done := 0; done < n; {
		var list []store.Imported
		for ; len(list) < store.MaxImport && done < n; done++ {
			in := h.store.NewIncoming()
			_, err := in.Write(benchMessage(done))
			h.must(err)
			list = append(list, store.Imported{Incoming: in, Received: h.now()})
		}
		_, err := h.store.Import(h.ctx, box.ID, list, nil)
		h.must(err)
		for _, m := range list {
			m.Incoming.Close()
		}
	}
}

// benchMessage is a message of 4 KiB.
func benchMessage(n int) []byte {
	const size, line = 4096, "Lorem ipsum dolor sit amet, consectetur adipiscing elit sed.\r\n"
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Person %d <person%d@example.net>\r\nTo: Alice <alice@example.org>\r\nSubject: Minutes %d\r\n", n%50, n%50, n)
	fmt.Fprintf(&b, "Date: Mon, 2 Mar 2026 10:00:00 +0000\r\nMessage-ID: <%d@example.net>\r\n\r\n", n)
	for b.Len() < size-len(line) {
		b.WriteString(line)
	}
	b.WriteString(line[len(line)-(size-b.Len()):])
	return b.Bytes()
}

// plainClient is an IMAP client that looks at nothing but tags.
type plainClient struct {
	b *testing.B
	c net.Conn
	r *bufio.Reader
}

// run sends a command and reads until it ended well.
func (c *plainClient) run(cmd string) {
	if _, err := io.WriteString(c.c, "t "+cmd+"\r\n"); err != nil {
		c.b.Fatal(err)
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			c.b.Fatal(err)
		}
		if bytes.HasPrefix(line, []byte("t ")) {
			if !bytes.HasPrefix(line, []byte("t OK")) {
				c.b.Fatalf("%s: %s", cmd, line)
			}
			return
		}
		if _, err := c.r.Discard(literalSize(line)); err != nil {
			c.b.Fatal(err)
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

// plainClient logs in over TCP and selects INBOX.
func (h *house) plainClient(b *testing.B) *plainClient {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	h.must(err)
	s, err := l.Accept()
	h.must(err)
	go h.serve(s)
	p := &plainClient{b: b, c: c, r: bufio.NewReaderSize(c, 256<<10)}
	_, err = p.r.ReadString('\n')
	h.must(err)
	p.run("LOGIN alice@example.org secret")
	p.run("SELECT INBOX")
	return p
}

// BenchmarkRead reads a mailbox whole; SEARCH remembers nothing from before.
func BenchmarkRead(b *testing.B) {
	h := newHouse(b)
	h.fillBench(benchRead)
	c := h.plainClient(b)
	for _, cmd := range []string{"FETCH 1:* BODY.PEEK[]", "FETCH 1:* (ENVELOPE RFC822.SIZE INTERNALDATE)", "FETCH 1:* (UID BODY.PEEK[HEADER])", "SEARCH FROM person7@"} {
		b.Run(strings.ReplaceAll(cmd, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				h.srv.search = search.NewSource(h.srv.cfg.Messages, imap.DecodeEnvelope, search.DefaultMemory)
				c.run(cmd)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRead/1000, "µs/msg")
		})
	}
}
