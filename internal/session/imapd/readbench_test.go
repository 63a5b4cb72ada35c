package imapd

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"yubin/internal/engine/search"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/mailgen"
)

// benchRead is how many messages the mailbox of BenchmarkRead has.
const benchRead = 25_000

// fillBench imports messages into INBOX.
func (h *house) fillBench(n int, octets func(int) []byte) {
	box, err := h.store.Mailbox(h.ctx, h.alice, mail.Inbox)
	h.must(err)
	for done := 0; done < n; {
		var list []store.Imported
		for ; len(list) < store.MaxImport && done < n; done++ {
			in := h.store.NewIncoming()
			_, err := in.Write(octets(done))
			h.must(err)
			list = append(list, store.Imported{Incoming: in, Received: h.now()})
		}
		_, err := h.store.DeliverNumbered(h.ctx, box.ID, list, nil)
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

// BenchmarkRead reads a mailbox whole; SEARCH remembers nothing from before.
func BenchmarkRead(b *testing.B) {
	h := newHouse(b)
	h.fillBench(benchRead, benchMessage)
	c := h.plainClient(b)
	for _, cmd := range []string{"FETCH 1:* BODY.PEEK[]", "FETCH 1:* (ENVELOPE RFC822.SIZE INTERNALDATE)", "FETCH 1:* (UID BODY.PEEK[HEADER])", "SEARCH FROM person7@"} {
		b.Run(strings.ReplaceAll(cmd, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				h.srv.search = search.NewSource(h.srv.cfg.Messages, search.DefaultMemory)
				c.run(cmd)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRead/1000, "µs/msg")
		})
	}
}

// BenchmarkShow is ENVELOPE and BODYSTRUCTURE of 10,000 messages: of text alone,
// and as programs write them.
func BenchmarkShow(b *testing.B) {
	const n = 10_000
	g := mailgen.New(3, false)
	for kind, octets := range map[string]func(int) []byte{
		"text":  benchMessage,
		"mixed": func(int) []byte { return g.Next().Octets },
	} {
		h := newHouse(b)
		h.fillBench(n, octets)
		c := h.plainClient(b)
		for _, cmd := range []string{"FETCH 1:* ENVELOPE", "FETCH 1:* BODYSTRUCTURE", "FETCH 1:* BODY", "FETCH 1:* (FLAGS UID)", "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (DATE)])"} {
			b.Run(kind+"/"+strings.ReplaceAll(cmd, " ", "_"), func(b *testing.B) {
				c.run(cmd)
				before := cpuTime()
				for b.Loop() {
					c.run(cmd)
				}
				b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N)/n, "cpu-ns/msg")
			})
		}
	}
}

// cpuTime is what this process has used of processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
