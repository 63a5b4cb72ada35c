package dkim

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"slices"
)

// Digest is a hash of a body that somebody wants: canonicalized, and perhaps only its
// first octets (the tag "l").
type Digest struct {
	body  *canonBody
	limit int64 // octets; -1: all
	sum   [sha256.Size]byte
	done  bool
}

// Sum is the hash; ok is false if the body is shorter than the limit (RFC 6376
// §3.5, "l"). Valid after Message.Finish.
func (d *Digest) Sum() (sum [sha256.Size]byte, ok bool) { return d.sum, d.done }

// Length is how many octets the canonicalized body has. Valid after Message.Finish.
func (d *Digest) Length() int64 { return d.body.n }

// Unsigned is how many octets of the canonicalized body stand behind the limit. Valid
// after Message.Finish.
func (d *Digest) Unsigned() int64 {
	if d.limit < 0 {
		return 0
	}
	return max(0, d.body.n-d.limit)
}

// CheckBody says whether a body is what was signed: Verified, BodyShorter or BodyChanged.
// D is the digest that was wanted for Body and Length of s; the message is over.
func (s *Signature) CheckBody(d *Digest) Reason {
	sum, ok := d.Sum()
	switch {
	case !ok:
		return Reason{Cause: BodyShorter, Number: int(d.Length())}
	case !bytes.Equal(sum[:], s.bodyHash):
		return Reason{Cause: BodyChanged}
	}
	return Reason{}
}

// Body hashes the body of a message once for each canonicalization that is wanted,
// however many digests are. The zero value is ready.
type Body struct {
	bodies [2]*canonBody // by Canonicalization
}

// Digest wants the hash of the first limit octets of the body, all of them if limit
// is below zero. It has to be called before the body comes.
func (b *Body) Digest(c Canonicalization, limit int64) *Digest {
	if b.bodies[c] == nil {
		b.bodies[c] = &canonBody{relaxed: c == Relaxed, hash: sha256.New()}
	}
	body := b.bodies[c]
	for _, d := range body.digests {
		if d.limit == limit {
			return d
		}
	}
	d := &Digest{body: body, limit: max(limit, -1)}
	body.add(d)
	return d
}

func (b *Body) write(p []byte) {
	for _, body := range b.bodies {
		if body != nil && len(p) > 0 {
			body.write(p)
		}
	}
}

func (b *Body) finish() {
	for _, body := range b.bodies {
		if body != nil {
			body.finish()
		}
	}
}

// canonBody canonicalizes and hashes. It takes pieces of any size; what it can
// not yet tell (a CR, space, empty lines) it keeps as flags and numbers.
type canonBody struct {
	relaxed bool
	hash    hash.Hash
	digests []*Digest // those with a limit first, in its order
	reached int       // how many of them are done
	n       int64     // octets of the canonicalized body so far

	space   bool  // relaxed: there is space that counts unless the line ends
	spaceCR bool  // relaxed: the last octet was a CR
	cr      bool  // the last octet was a CR
	empty   int64 // line ends that count unless the body ends
	some    bool  // something else than empty lines was there

	small  [512]byte // short pieces on their way to the hash
	filled int
}

func (c *canonBody) add(d *Digest) {
	i := slices.IndexFunc(c.digests, func(o *Digest) bool { return o.limit < 0 || d.limit >= 0 && d.limit < o.limit })
	if i < 0 || d.limit < 0 {
		i = len(c.digests)
	}
	c.digests = slices.Insert(c.digests, i, d)
}

func (c *canonBody) write(p []byte) {
	if c.relaxed {
		c.reduce(p)
	} else {
		c.lines(p)
	}
}

// reduce takes space off the ends of lines and makes the rest of it single (RFC
// 6376 §3.4.4 a).
func (c *canonBody) reduce(p []byte) {
	if c.spaceCR {
		c.spaceCR = false
		if p[0] == '\n' {
			c.space = false
		}
		c.giveSpace()
		c.lines(crlf[:1])
	}
	// What of p needs a change is a tab, two spaces, or one before a CR. Each is
	// looked for again only when it has been passed, so p is passed over three times.
	tab, double, before := -1, -1, -1
	for pos := 0; pos < len(p); {
		if c.space {
			n := 0
			for pos+n < len(p) && (p[pos+n] == ' ' || p[pos+n] == '\t') {
				n++
			}
			if pos += n; pos == len(p) {
				return
			}
			if p[pos] == '\r' {
				if pos+1 == len(p) {
					c.spaceCR = true
					return
				}
				if p[pos+1] == '\n' {
					c.space = false
				}
			}
			c.giveSpace()
		}
		tab, double, before = next(p, pos, tab, tabs), next(p, pos, double, doubleSpace), next(p, pos, before, spaceBeforeCR)
		end := min(tab, double, before)
		if end == len(p) {
			if p[end-1] == ' ' {
				end--
			}
			c.lines(p[pos:end])
			c.space = end < len(p)
			return
		}
		if p[end] == '\t' && end > pos && p[end-1] == ' ' {
			end--
		}
		c.lines(p[pos:end])
		c.space, pos = true, end+1
	}
}

var (
	tabs          = []byte("\t")
	doubleSpace   = []byte("  ")
	spaceBeforeCR = []byte(" \r")
)

// next is where pattern comes next in p from pos on, len(p) if nowhere. Known is
// what it was before.
func next(p []byte, pos, known int, pattern []byte) int {
	if known >= pos {
		return known
	}
	if i := bytes.Index(p[pos:], pattern); i >= 0 {
		return pos + i
	}
	return len(p)
}

func (c *canonBody) giveSpace() {
	if c.space {
		c.space = false
		c.lines(spaceBeforeCR[:1])
	}
}

var crlf = []byte("\r\n")

// lines keeps the empty lines back that the body may end with (RFC 6376 §3.4.3).
func (c *canonBody) lines(p []byte) {
	if len(p) == 0 {
		return
	}
	if c.cr {
		if c.cr = false; p[0] == '\n' {
			c.empty++
			p = p[1:]
		} else {
			c.giveLines()
			c.out(crlf[:1])
		}
	}
	if len(p) > 0 && p[len(p)-1] == '\r' {
		c.cr, p = true, p[:len(p)-1]
	}
	end := len(p)
	for end >= 2 && p[end-1] == '\n' && p[end-2] == '\r' {
		end -= 2
	}
	if end > 0 {
		c.giveLines()
		c.out(p[:end])
	}
	c.empty += int64(len(p)-end) / 2
}

// manyLines are written at once, so that a million of them are no million writes.
var manyLines = bytes.Repeat(crlf, 128)

func (c *canonBody) giveLines() {
	c.some = true
	for c.empty > 0 {
		n := min(c.empty, int64(len(manyLines)/2))
		c.out(manyLines[:2*n])
		c.empty -= n
	}
}

// out takes octets of the canonicalized body.
func (c *canonBody) out(p []byte) {
	if len(p) < len(c.small)/2 {
		if len(p) > len(c.small)-c.filled {
			c.flush()
		}
		c.filled += copy(c.small[c.filled:], p)
		return
	}
	c.flush()
	c.sink(p)
}

func (c *canonBody) flush() {
	c.sink(c.small[:c.filled])
	c.filled = 0
}

// sink hashes, and notes the sum where a limit is.
func (c *canonBody) sink(p []byte) {
	for c.reached < len(c.digests) && c.digests[c.reached].limit >= 0 {
		d := c.digests[c.reached]
		rest := d.limit - c.n
		if rest > int64(len(p)) {
			break
		}
		c.hash.Write(p[:rest])
		c.n += rest
		p = p[rest:]
		c.hash.Sum(d.sum[:0])
		d.done = true
		c.reached++
	}
	if c.n += int64(len(p)); c.reached < len(c.digests) {
		c.hash.Write(p)
	}
}

func (c *canonBody) finish() {
	if c.spaceCR { // A CR alone is text.
		c.spaceCR = false
		c.giveSpace()
		c.lines(crlf[:1])
	}
	if c.cr {
		c.cr = false
		c.giveLines()
		c.out(crlf[:1])
	}
	if c.some || !c.relaxed {
		c.out(crlf)
	}
	c.flush()
	if n := len(c.digests); n > 0 && c.digests[n-1].limit < 0 {
		c.hash.Sum(c.digests[n-1].sum[:0])
		c.digests[n-1].done = true
	}
}
