package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxLine is how long a line may be without its line end (RFC 5321 §4.5.3.1.6).
const MaxLine = 998

// Why a message is not converted.
var (
	ErrSealed        = errors.New("message: it is signed or encrypted, and a conversion would break that")
	ErrUnconvertible = errors.New("message: it has octets where no transfer encoding is allowed")
)

// Conversion says how a message is written for a host that takes less than it
// holds (RFC 6152 §3): parts with what the host does not take are encoded in
// quoted-printable or base64, one by one; all else stays as it is.
type Conversion struct {
	Size  int64 // octets of the converted message
	edits []edit
}

// edit replaces the octets [from, to) of the message.
type edit struct {
	from, to int64
	text     []byte // with encode "": what stands there instead
	encode   string // "base64", "quoted-printable"; "mask", "surrogate"
	decode   string // the transfer encoding that they have
	end      bool   // nothing follows: the last line needs its end
}

// PlanConversion reads a message and says how to write it without lines over
// MaxLine, NUL, or CR and LF that stand alone, and with eight also without
// octets over 127. It is nil if nothing has to change. open is called several
// times. Errors: ErrSealed, ErrUnconvertible, and those of open and its reader.
func PlanConversion(open func() (io.ReadCloser, error), eight bool) (*Conversion, error) {
	var root *Part
	err := readWhole(open, func(r io.Reader) error {
		p := NewParser()
		_, err := io.Copy(p, r)
		root = p.Finish().Root
		return err
	})
	if err != nil {
		return nil, err
	}
	pl := &planner{eight: eight, headers: map[*Part]*zone{}, bodies: map[*Part]*zone{}, gaps: map[*Part][]*zone{}}
	pl.cut(root)
	if err := readWhole(open, pl.survey); err != nil {
		return nil, err
	}
	if _, err := pl.part(root, true, false); err != nil || len(pl.edits) == 0 {
		return nil, err
	}
	c := &Conversion{edits: inOrder(pl.edits)}
	err = readWhole(open, func(r io.Reader) (err error) {
		c.Size, err = io.Copy(io.Discard, c.Reader(r))
		return err
	})
	return c, err
}

func readWhole(open func() (io.ReadCloser, error), read func(io.Reader) error) error {
	content, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // It was only read.
	return read(content)
}

// zone is a stretch of the message: a header, the body of a leaf, or what
// stands between parts.
type zone struct {
	from, to int64
	isHeader bool
	header   []byte // of a header: its octets

	octets, high int64 // all, and those over 127
	longest      int64 // octets of the longest line
	nul, bare    bool  // it has NUL; it has CR or LF that stand alone
	utf8         bool  // what is over 127 is UTF-8
}

// planner looks at the zones of a message and decides what becomes of them.
type planner struct {
	eight   bool
	zones   []*zone // in their order
	headers map[*Part]*zone
	bodies  map[*Part]*zone   // of leaves
	gaps    map[*Part][]*zone // before each child, and after the last
	edits   []edit
}

// cut makes the zones of p and all in it.
func (pl *planner) cut(p *Part) {
	pl.headers[p] = pl.add(p.Offset, p.Body)
	pl.headers[p].isHeader = true
	if !descends(p) {
		pl.bodies[p] = pl.add(p.Body, p.End)
		return
	}
	at := p.Body
	for _, c := range p.Children {
		pl.gaps[p] = append(pl.gaps[p], pl.add(at, c.Offset))
		pl.cut(c)
		at = c.End
	}
	pl.gaps[p] = append(pl.gaps[p], pl.add(at, p.End))
}

// descends reports whether the parts of p are converted and not p as a whole:
// not if it has none that anybody would find, only text that fills it. A
// message/global may have a transfer encoding (RFC 6532 §3.5), and so the
// headers in it too.
func descends(p *Part) bool {
	if len(p.Children) == 0 || p.Type == "message" && p.Subtype == "global" {
		return false
	}
	first := p.Children[0]
	return first.Offset != first.Body || first.Body != p.Body || first.End != p.End
}

func (pl *planner) add(from, to int64) *zone {
	z := &zone{from: from, to: to, utf8: true}
	pl.zones = append(pl.zones, z)
	return z
}

// survey counts what is in each zone. Zones are ascending and leave nothing
// out, but for headers that are larger than a header may be.
func (pl *planner) survey(r io.Reader) error {
	buf := make([]byte, 32<<10)
	headers := int64(0)
	for _, z := range pl.zones {
		if z.isHeader {
			headers += z.to - z.from
		}
		if headers > MaxHeaders {
			return ErrUnconvertible
		}
		s := sighting{zone: z}
		for left := z.to - z.from; left > 0; {
			n, err := io.ReadFull(r, buf[:min(left, int64(len(buf)))])
			if s.look(buf[:n]); err != nil {
				return err
			}
			left -= int64(n)
		}
		s.finish()
	}
	return nil
}

// sighting goes through the octets of a zone.
type sighting struct {
	*zone
	line int64
	cr   bool   // the last octet was CR
	rest []byte // the start of a character that is not whole
}

func (s *sighting) look(b []byte) {
	s.octets += int64(len(b))
	if s.isHeader {
		s.header = append(s.header, b...)
	}
	high := s.high
	for _, c := range b {
		switch {
		case c == '\n':
			s.bare = s.bare || !s.cr
			s.longest = max(s.longest, s.line)
			s.line = 0
		case c == '\r':
			s.bare = s.bare || s.cr
		default:
			s.bare = s.bare || s.cr
			s.line++
			s.nul = s.nul || c == 0
			if c >= utf8.RuneSelf {
				s.high++
			}
		}
		s.cr = c == '\r'
	}
	if s.high > high || len(s.rest) > 0 {
		s.characters(b)
	}
}

// characters checks that what is over 127 is UTF-8.
func (s *sighting) characters(b []byte) {
	b = append(s.rest, b...)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 && !utf8.FullRune(b) {
			break
		}
		s.utf8 = s.utf8 && (r != utf8.RuneError || n > 1)
		b = b[n:]
	}
	s.rest = append([]byte(nil), b...)
}

func (s *sighting) finish() {
	s.longest = max(s.longest, s.line)
	s.bare = s.bare || s.cr
	s.utf8 = s.utf8 && len(s.rest) == 0
}

// takes reports whether the host takes the octets of z as they are.
func (pl *planner) takes(z *zone) bool {
	return z.longest <= MaxLine && !z.nul && !z.bare && (z.high == 0 || !pl.eight)
}

// part plans p: the top of a message or not, sealed in something signed or
// encrypted or not. It reports whether anything in it changes.
func (pl *planner) part(p *Part, top, sealed bool) (changes bool, err error) {
	head := pl.headers[p]
	if pl.eight && head.high > 0 {
		return false, ErrUnconvertible
	}
	sealed = sealed || head.from == 0 && isSigned(head.header)
	if descends(p) {
		within := sealed || p.IsMultipart() && (p.Subtype == "signed" || p.Subtype == "encrypted")
		changes, err = pl.children(p, within)
	} else {
		changes, err = pl.leaf(p, sealed)
	}
	if changes && err == nil && top {
		pl.declareMIME(p)
	}
	return changes, err
}

// isSigned reports whether a header holds a signature over the body: RFC 6376,
// RFC 8617.
func isSigned(header []byte) bool {
	for f := range Fields(header) {
		switch strings.ToLower(f.Name) {
		case "dkim-signature", "arc-message-signature", "domainkey-signature":
			return true
		}
	}
	return false
}

// children plans a part that has parts.
func (pl *planner) children(p *Part, sealed bool) (changes bool, err error) {
	for _, c := range p.Children {
		changed, err := pl.part(c, p.IsMessage(), sealed)
		if err != nil {
			return false, err
		}
		changes = changes || changed
	}
	for _, z := range pl.gaps[p] {
		if pl.eight && z.high > 0 {
			if sealed {
				return false, ErrSealed
			}
			pl.edits = append(pl.edits, edit{from: z.from, to: z.to, encode: "mask"})
			changes = true
		}
	}
	// A part that has parts is not encoded; it says the widest that is in it.
	switch {
	case !changes || p.Encoding == "":
	case pl.eight:
		pl.label(p, "7bit")
	case p.Encoding == "binary":
		pl.label(p, "8bit")
	}
	return changes, nil
}

// leaf plans a part that is encoded as a whole, if it has to be. What was
// encoded already, though not well, is encoded anew by octets; so is what has
// lines of its own.
func (pl *planner) leaf(p *Part, sealed bool) (bool, error) {
	z := pl.bodies[p]
	switch {
	case pl.takes(z) && (sealed || !pl.eight || p.Encoding != "8bit" && p.Encoding != "binary"):
		return false, nil
	case pl.takes(z):
		pl.label(p, "7bit") // It said more than it has.
		return true, nil
	case sealed:
		return false, ErrSealed
	case p.Type == "message" && p.Subtype != "global", p.IsMultipart():
		return false, ErrUnconvertible // RFC 2046 §5.2: 7bit, or as the parts are.
	}
	e := edit{from: p.Body, to: p.End, encode: "base64", end: pl.zones[len(pl.zones)-1] == z}
	switch p.Encoding {
	case "", "8bit", "binary":
		if p.Type == "text" && !z.nul && !z.bare && 6*z.high < z.octets { // The shorter of both.
			e.encode = "quoted-printable"
		}
	case "base64", "quoted-printable":
		e.decode = p.Encoding
	default:
		return false, ErrUnconvertible
	}
	pl.edits = append(pl.edits, e)
	pl.label(p, e.encode)
	return true, nil
}

// label makes the header of p say an encoding, where it said one before, or
// last.
func (pl *planner) label(p *Part, encoding string) {
	line := []byte("Content-Transfer-Encoding: " + encoding + "\r\n")
	header, at := pl.headers[p].header, 0
	for f := range Fields(header) {
		at += bytes.Index(header[at:], f.Raw)
		if strings.EqualFold(f.Name, "Content-Transfer-Encoding") {
			from := p.Offset + int64(at)
			pl.edits = append(pl.edits, edit{from: from, to: from + int64(len(f.Raw)), text: line})
			line = nil // A second one goes.
		}
		at += len(f.Raw)
	}
	if line != nil {
		pl.insert(p, line)
	}
}

// insert puts whole lines at the end of the header of p.
func (pl *planner) insert(p *Part, lines []byte) {
	at, header := p.Body, pl.headers[p].header
	switch {
	case bytes.HasSuffix(header, []byte("\n\r\n")), string(header) == "\r\n":
		at -= 2
	case bytes.HasSuffix(header, []byte("\n\n")), string(header) == "\n":
		at--
	default: // No empty line ends it.
		lines = append(lines, "\r\n"...)
	}
	pl.edits = append(pl.edits, edit{from: at, to: at, text: lines})
}

// declareMIME makes the header of a message say that it is MIME, without which
// no encoding counts (RFC 2045 §4), and what its text is (RFC 1428 §3).
func (pl *planner) declareMIME(root *Part) {
	var isMIME, typed bool
	for f := range Fields(pl.headers[root].header) {
		isMIME = isMIME || strings.EqualFold(f.Name, "MIME-Version")
		typed = typed || strings.EqualFold(f.Name, "Content-Type")
	}
	var lines []byte
	if !isMIME {
		lines = append(lines, "MIME-Version: 1.0\r\n"...)
	}
	if z := pl.bodies[root]; !typed && z != nil {
		charset := "us-ascii"
		switch {
		case z.high > 0 && z.utf8:
			charset = "utf-8"
		case z.high > 0:
			charset = "unknown-8bit"
		}
		lines = append(lines, "Content-Type: text/plain; charset="+charset+"\r\n"...)
	}
	if lines != nil {
		pl.insert(root, lines)
	}
}
