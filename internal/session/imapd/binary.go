package imapd

import (
	"bytes"
	"context"
	"io"
	"sort"
	"sync"

	"yubin/internal/engine/search"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/proto/imap"
)

// What BINARY keeps so that a part need not be decoded twice.
const (
	maxDecoded    = 64 << 10  // octets of a part that is kept whole while its message is written
	keptBodies    = 8         // parts of a message of which it knows what they are
	placeEvery    = 128 << 10 // octets between the places where decoding a longer one can begin
	maxRemembered = 16 << 10  // such places that a server remembers in each half of its memory, of some 60 octets
)

// decodable reports whether BINARY can be answered for it, and finds out what the
// body is; the fetcher notes why not. An error ends the command.
func (m *fetchedMessage) decodable(it imap.FetchItem) (bool, error) {
	part, bare := m.bodyOf(it)
	switch {
	case part == nil:
		return true, nil
	case !bare && m.f.s.rev2 && (part.IsMultipart() || part.IsMessage()): // RFC 3516 has no such rule.
		m.f.notLeaf = true
		return false, nil
	case !message.KnownEncoding(part.Encoding):
		m.f.unknownCTE = true
		return false, nil
	}
	_, err := m.measure(part)
	if err == nil {
		return true, nil
	}
	if ended := m.f.work.Err(); ended != nil {
		return false, ended
	}
	m.f.s.logFailure("FETCH BINARY", err)
	m.f.unreadable = true
	return false, nil
}

// bodyOf returns the part that BINARY of it is of, nil if there is none. The
// message as it is, bare, has no transfer encoding of its own.
func (m *fetchedMessage) bodyOf(it imap.FetchItem) (part *message.Part, bare bool) {
	part, off, end := locate(m.root, it.Section, m.row.Size)
	if part != nil && len(it.Section.Path) == 0 {
		return &message.Part{Offset: off, Body: off, End: end}, true
	}
	return part, false
}

// binary writes BINARY[...] and BINARY.SIZE[...] (RFC 9051 §6.4.5, RFC 3516).
func (m *fetchedMessage) binary(it imap.FetchItem) error {
	part, _ := m.bodyOf(it)
	switch {
	case part == nil && it.Kind == imap.FetchBinarySize:
		m.w.BinarySize(it, 0)
		return nil
	case part == nil:
		m.w.Nil(it)
		return nil
	}
	return m.decoded(it, part)
}

// decodedBody is what BINARY must know of a body before it can be written.
type decodedBody struct {
	off    int64 // of the body in the message
	size   int64
	hasNUL bool
	kept   []byte          // all of it, if it is no longer than maxDecoded
	places []message.Place // else where decoding can begin
}

// decoded writes the decoded body of part.
func (m *fetchedMessage) decoded(it imap.FetchItem, part *message.Part) error {
	b, err := m.measure(part)
	if err != nil {
		m.f.s.logFailure("FETCH BINARY", err)
		return errBroken
	}
	if it.Kind == imap.FetchBinarySize {
		m.w.BinarySize(it, b.size)
		return nil
	}
	off, end := cut(it.Partial, 0, b.size)
	if b.size <= maxDecoded {
		return m.stream(it, bytes.NewReader(b.kept[off:end]), end-off, b.hasNUL)
	}
	from := b.before(off)
	d := m.decoder(part, from)
	if _, err := io.CopyN(io.Discard, d, off-from.Decoded); err != nil {
		return errBroken
	}
	return m.stream(it, d, end-off, b.hasNUL)
}

// before returns the last place that is not after off.
func (b *decodedBody) before(off int64) message.Place {
	i := sort.Search(len(b.places), func(i int) bool { return b.places[i].Decoded > off })
	if i == 0 {
		return message.Place{}
	}
	return b.places[i-1]
}

// measure decodes the body of part for its size, unless that was done already:
// for this message, or, if it is large, for any other command not long ago.
func (m *fetchedMessage) measure(part *message.Part) (*decodedBody, error) {
	for _, b := range m.bodies {
		if b.off == part.Body {
			return b, nil
		}
	}
	key := bodyKey{m.f.s.box.id, m.row.UID, part.Body}
	b := m.f.s.srv.decoded.get(key)
	if b == nil {
		var err error
		if b, err = m.decodeOnce(part); err != nil {
			return nil, err
		}
		m.f.s.srv.decoded.put(key, b)
	}
	for n := len(m.bodies); n >= keptBodies; n-- {
		m.bodies = m.bodies[1:]
	}
	m.bodies = append(m.bodies, b)
	return b, nil
}

func (m *fetchedMessage) decodeOnce(part *message.Part) (*decodedBody, error) {
	all := &survivor{}
	d := m.decoder(part, message.Place{})
	d.Note(placeEvery)
	var to io.Writer = all
	if part.End-part.Body > maxDecoded {
		turn, err := m.f.work.take(m.f.work)
		if err != nil {
			return nil, err
		}
		defer turn.End()
		to = &inTurn{all, turn, m.f.work.Context}
	}
	if _, err := io.Copy(to, d); err != nil {
		return nil, err
	}
	b := &decodedBody{off: part.Body, size: all.size, hasNUL: all.hasNUL, kept: all.kept}
	if b.size > maxDecoded {
		b.kept, b.places = nil, d.Places()
	}
	return b, nil
}

// decoder reads the body of part without its transfer encoding, from a place on.
// Lines of text end in CRLF (RFC 9051 §7.5.2), whatever a sender put into base64;
// text whose lines are of other octets is as it is.
func (m *fetchedMessage) decoder(part *message.Part, from message.Place) *message.Decoder {
	raw := io.NewSectionReader(m.row.Content, part.Body+from.Raw, part.End-part.Body-from.Raw)
	d := message.NewDecoder(raw, part.Encoding)
	if part.Type == "text" && message.HasASCIILines(part.Charset()) {
		d.SetLines()
	}
	d.Resume(from)
	return d
}

// inTurn lets others go first between writes.
type inTurn struct {
	io.Writer
	turn search.Turn
	ctx  context.Context
}

func (w *inTurn) Write(p []byte) (int, error) {
	if err := w.turn.Pass(w.ctx); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

// survivor counts octets, notes NUL, and keeps what is short.
type survivor struct {
	kept   []byte
	size   int64
	hasNUL bool
}

func (s *survivor) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	s.hasNUL = s.hasNUL || bytes.IndexByte(p, 0) >= 0
	if s.size <= maxDecoded {
		s.kept = append(s.kept, p...)
	} else {
		s.kept = nil
	}
	return len(p), nil
}

// bodyKey names a body: none ever changes, nor is a UID given twice.
type bodyKey struct {
	mailbox mail.MailboxID
	uid     mail.UID
	off     int64
}

// decodedBodies remembers what large bodies are when they are decoded, for the
// next command that asks; most clients fetch a large part piece by piece. What
// was not asked for since maxRemembered were added is forgotten.
type decodedBodies struct {
	mu         sync.Mutex
	young, old map[bodyKey]*decodedBody
	places     int // of young
}

func (d *decodedBodies) get(key bodyKey) *decodedBody {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.young[key]
	if b == nil {
		if b = d.old[key]; b != nil {
			d.add(key, b)
		}
	}
	return b
}

// put remembers b, unless decoding it again is cheap.
func (d *decodedBodies) put(key bodyKey, b *decodedBody) {
	if b.size <= maxDecoded {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(key, b)
}

func (d *decodedBodies) add(key bodyKey, b *decodedBody) {
	n := len(b.places) + 1
	if d.young == nil || d.places+n > maxRemembered {
		d.old, d.young, d.places = d.young, make(map[bodyKey]*decodedBody), 0
	}
	d.young[key] = b
	d.places += n
}
