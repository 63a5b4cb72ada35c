// Package mailgen makes mail as real programs write it: plain and nested, in
// the charsets of the world, and broken in the ways that archives are broken.
// The same seed gives the same mail. Every message of Next has CRLF lines and ends
// in one, so that it can travel by SMTP unchanged; those of NextExact do not.
package mailgen

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

// Message is one made message.
type Message struct {
	Kind   string // which writer made it: "thunderbird", "outlook", "broken-boundary"
	Octets []byte
	// Structure is the tree of media types, as "multipart/mixed(text/plain,image/png)",
	// or "" where the message is so broken that readers may differ.
	Structure string
	// Phrase stands, decoded, in the subject and in a text part; "" if in neither.
	Phrase string
	// Charset is the name the phrase was encoded under, "" for US-ASCII.
	Charset string
}

// Generator makes one message after another. It is not safe for concurrent use.
type Generator struct {
	rand  *rand.Rand
	n     int // messages of Next
	exact int // of NextExact
	at    time.Time
	refs  []string // message-ids of earlier mail, to answer
	large bool
}

// New returns a generator. With large set, about one message in 200 has an
// attachment of 1 to 4 MiB.
func New(seed uint64, large bool) *Generator {
	return &Generator{
		rand:  rand.New(rand.NewPCG(seed, 0x79756269)),
		at:    time.Date(1998, 3, 1, 8, 0, 0, 0, time.UTC),
		large: large,
	}
}

// Next makes a message. The first Kinds messages are one of each kind.
func (g *Generator) Next() Message {
	w := writers[g.n%len(writers)]
	if g.n >= len(writers) {
		w = writers[g.rand.IntN(len(writers))]
	}
	if g.large && g.rand.IntN(200) == 0 {
		w = writer{"large", (*Generator).largeAttachment}
	}
	g.n++
	m := g.make(w)
	m.Octets = crlf(m.Octets)
	return m
}

// NextExact makes a message that DATA cannot carry: with NUL, with line ends
// other than CRLF, or without the last one. ExactKinds of them are one of each kind.
func (g *Generator) NextExact() Message {
	g.exact++
	return g.make(exact[(g.exact-1)%len(exact)])
}

func (g *Generator) make(w writer) Message {
	g.at = g.at.Add(time.Duration(g.rand.IntN(90000)) * time.Second)
	m := w.write(g)
	m.Kind = w.kind
	return m
}

// Kinds returns how many kinds of message Next makes.
func Kinds() int { return len(writers) }

// ExactKinds returns how many kinds of message NextExact makes.
func ExactKinds() int { return len(exact) }

type writer struct {
	kind  string
	write func(*Generator) Message
}

// crlf turns every line end into CRLF and makes sure of the last one.
func crlf(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	if !bytes.HasSuffix(b, []byte("\n")) {
		b = append(b, '\n')
	}
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

var people = [...]string{"Alice Example <alice@yubin.test>", "bob@yubin.test (Bob Sample)", `"Carol, PhD" <carol@yubin.test>`,
	"=?UTF-8?Q?J=C3=B6rg_M=C3=BCller?= <joerg@example.org>", "=?ISO-2022-JP?B?GyRCOzNFRBsoQg==?= <yamada@example.jp>",
	"dave@example.com", "<eve@[192.0.2.7]>", `"Frank \"Q\" Quote" <frank@example.net>`, "root (Cron Daemon)"}

func (g *Generator) person() string { return people[g.rand.IntN(len(people))] }

var words = [...]string{"meeting", "invoice", "attached", "please", "tomorrow", "the", "a", "report", "and", "server", "is", "down",
	"again", "thanks", "regards", "see", "below", "quarterly", "numbers", "lunch?", "(sic)", "http://example.org/?a=b&c=d", "re:", "ok."}

// text makes n lines of words; now and then a line that protocols trip over.
func (g *Generator) text(n int) string {
	var b bytes.Buffer
	for range n {
		switch g.rand.IntN(25) {
		case 0:
			b.WriteString(".\n")
		case 1:
			b.WriteString("..leading dots\n")
		case 2:
			b.WriteString("From the beginning of a line\n")
		case 3:
			b.WriteString("--not a boundary\n")
		case 4:
			b.WriteString("trailing space \t \n")
		default:
			for i := range 4 + g.rand.IntN(9) {
				if i > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(words[g.rand.IntN(len(words))])
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// header makes the fields that every ordinary message has, then extra.
func (g *Generator) header(subject, extra string) string {
	id := fmt.Sprintf("<%d.%x@%s>", g.n, g.rand.Uint32(), [...]string{"yubin.test", "mail.example.org", "localhost", "WIN-7"}[g.rand.IntN(4)])
	var b bytes.Buffer
	for i := range g.rand.IntN(4) {
		fmt.Fprintf(&b, "Received: from relay%d.example.org (relay%d.example.org [192.0.2.%d])\n\tby mx.example.net (Postfix) with ESMTPS id %X\n\tfor <alice@yubin.test>; %s\n",
			i, i, i+1, g.rand.Uint64(), g.at.Format(time.RFC1123Z))
	}
	fmt.Fprintf(&b, "From: %s\nTo: %s\n", g.person(), g.person())
	if g.rand.IntN(3) == 0 {
		fmt.Fprintf(&b, "Cc: %s,\n %s\n", g.person(), g.person())
	}
	fmt.Fprintf(&b, "Subject: %s\nDate: %s\nMessage-ID: %s\n", subject, g.at.Format("Mon, 2 Jan 2006 15:04:05 -0700"), id)
	if len(g.refs) > 0 && g.rand.IntN(2) == 0 {
		parent := g.refs[g.rand.IntN(len(g.refs))]
		fmt.Fprintf(&b, "In-Reply-To: %s\nReferences: %s\n %s\n", parent, g.refs[0], parent)
	}
	if g.refs = append(g.refs, id); len(g.refs) > 50 {
		g.refs = g.refs[1:]
	}
	b.WriteString(extra)
	return b.String()
}

func (g *Generator) octets(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.rand.Uint32())
	}
	return b
}
