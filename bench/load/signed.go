package load

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
)

// Signed is a message of somebody whose domain vouches for it.
type Signed struct {
	From   string // also the reverse-path
	Octets []byte
}

// Senders are domains that sign: s0000.test and so on. A domain publishes SPF, by an include
// as those do that send by somebody else, a key of RSA-2048 and a policy of DMARC.
type Senders struct {
	keys []*dkim.PrivateKey // the domains share them
	n    int
}

const (
	senderKeys = 16
	providers  = 20
)

// NewSenders makes n of them.
func NewSenders(n int) (*Senders, error) {
	s := &Senders{n: n, keys: make([]*dkim.PrivateKey, min(n, senderKeys))}
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i := range s.keys {
		g.Go(func() error {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err == nil {
				s.keys[i], err = dkim.NewPrivateKey(key)
			}
			return err
		})
	}
	return s, g.Wait()
}

func senderDomain(i int) string { return fmt.Sprintf("s%04d.test", i) }

// Records are the zones, a record in each line.
func (s *Senders) Records() (lines []string) {
	for i := range providers {
		lines = append(lines, fmt.Sprintf(`spf.p%02d.test. 300 IN TXT "v=spf1 ip4:127.0.0.0/8 -all"`, i))
	}
	for i := range s.n {
		d, key := senderDomain(i), s.keys[i%len(s.keys)].Record()
		lines = append(lines,
			fmt.Sprintf(`%s. 300 IN TXT "v=spf1 include:spf.p%02d.test -all"`, d, i%providers),
			fmt.Sprintf(`%s. 300 IN A 127.0.0.1`, d),
			fmt.Sprintf(`_dmarc.%s. 300 IN TXT "v=DMARC1; p=reject"`, d),
			fmt.Sprintf(`s1._domainkey.%s. 300 IN TXT "%s" "%s"`, d, key[:200], key[200:]))
	}
	return lines
}

// Letters are a signed message of each, of about size octets.
func (s *Senders) Letters(size int, to string) ([]Signed, error) {
	out := make([]Signed, s.n)
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i := range out {
		g.Go(func() error {
			d := senderDomain(i)
			text := Prose(i, size-600, fmt.Sprintf("Ann Example <ann@%s>", d), to)
			field, err := dkim.Sign(bytes.NewReader(text), dkim.SignOptions{Keys: []dkim.SigningKey{{Domain: mail.Domain(d), Selector: "s1", Key: s.keys[i%len(s.keys)]}}})
			out[i] = Signed{"ann@" + d, append(field, text...)}
			return err
		})
	}
	return out, g.Wait()
}

// vocabulary is how many words Prose has; the first are frequent, as in a language.
const vocabulary = 8000

// Prose is the n-th message of many with words like those of a language: the same octets for
// the same n. Those with a negative n have other words.
func Prose(n, size int, from, to string) []byte {
	r := mathrand.New(mathrand.NewPCG(uint64(n), 2))
	often := mathrand.NewZipf(r, 1.1, 8, vocabulary)
	other := 0
	if n < 0 {
		other = vocabulary / 2
	}
	word := func() string { return spelled((int(often.Uint64()) + other) % (2 * vocabulary)) }
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s %s %s\r\nDate: Tue, 01 Dec 2026 %02d:%02d:00 +0000\r\nMessage-ID: <prose.%d@mx.test>\r\n",
		from, to, word(), word(), word(), n&7, n&31, n)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	for b.Len() < size {
		line := make([]string, 11)
		for i := range line {
			line[i] = word()
		}
		b.WriteString(strings.Join(line, " ") + "\r\n")
	}
	return b.Bytes()
}

// spelled is a word for a number: a syllable for each digit.
func spelled(n int) string {
	const consonants, vowels = "bdfgklmnprst", "aeiou"
	var b strings.Builder
	for n = n + 60; n > 0; n /= 60 {
		b.WriteByte(consonants[n%12])
		b.WriteByte(vowels[n/12%5])
	}
	return b.String()
}
