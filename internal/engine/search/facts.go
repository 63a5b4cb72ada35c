package search

import (
	"bytes"
	"strings"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/message"
)

// day is a date as it is written, without zone, so that days compare as
// numbers; noDay is none.
type day int32

const noDay day = 0

// usualText is enough for the parts of most messages, in octets.
const usualText = 256

func dayOf(t time.Time) day {
	y, m, d := t.Date()
	return day(y*512 + int(m)*32 + d)
}

// part is a field of the envelope that can be searched.
type part uint8

const (
	partFrom part = iota
	partTo
	partCc
	partBcc
	partSubject
	partMessageID
	parts
)

// repeated is the bit of facts.there for a header that has a field more than
// once of which the envelope has the first: what is not in the facts may be there.
const repeated = 1 << 7

// single reports whether a message has one p, as the field has it. The parts
// that are addresses are written differently.
func (p part) single() bool { return p == partSubject || p == partMessageID }

func partOf(field string) (part, bool) {
	for i, name := range [...]string{"From", "To", "Cc", "Bcc", "Subject", "Message-ID"} {
		if strings.EqualFold(name, field) {
			return part(i), true
		}
	}
	return 0, false
}

// facts are what is searched of a message's row and envelope. As long as the
// message has its UID they do not change.
type facts struct {
	size     int64
	received day
	sent     day // or noDay; only if whole

	whole bool          // the envelope is in it
	there uint8         // a bit for each part that the message has, and repeated
	ends  [parts]uint32 // of the parts in text
	text  []byte        // the parts, folded, one after the other
}

// factsOf takes what the membership row says.
func factsOf(row *store.Row) facts {
	return facts{size: row.Size, received: dayOf(row.Received)}
}

// part returns the folded text of a part, and whether the message has it.
func (f *facts) part(p part) ([]byte, bool) {
	start := uint32(0)
	if p > 0 {
		start = f.ends[p-1]
	}
	return f.text[start:f.ends[p]], f.there&(1<<p) != 0
}

// describe adds what the envelope says.
func (f *facts) describe(form message.Form, fold *folder) {
	f.whole = true
	if form.Repeats() {
		f.there |= repeated
	}
	e := form.Envelope()
	f.text = make([]byte, 0, usualText)
	if sent, ok := message.ParseDate(e.Date.String()); ok {
		f.sent = dayOf(sent)
	}
	raw := fold.raw[:0]
	for p, list := range [...]message.FormAddresses{partFrom: e.From, partTo: e.To, partCc: e.Cc, partBcc: e.Bcc} {
		raw = appendAddresses(raw[:0], list)
		f.add(part(p), raw, !list.Empty(), fold)
	}
	raw = appendDecoded(raw[:0], e.Subject.Octets())
	f.add(partSubject, raw, e.Subject.Octets() != nil, fold)
	raw = appendDecoded(raw[:0], e.MessageID.Octets())
	f.add(partMessageID, raw, e.MessageID.Octets() != nil, fold)
	fold.raw = raw
}

// add adds the next part.
func (f *facts) add(p part, text []byte, there bool, fold *folder) {
	f.text = fold.append(f.text, text, true)
	f.ends[p] = uint32(len(f.text))
	if there {
		f.there |= 1 << p
	}
}

// appendAddresses appends a list as "Name <local@domain>, Group: <a@b>;".
func appendAddresses(dst []byte, list message.FormAddresses) []byte {
	comma := false
	for a, ok := list.Next(); ok; a, ok = list.Next() {
		group := a.Group()
		if comma && group != message.GroupEnd {
			dst = append(dst, ", "...)
		}
		comma = group != message.GroupStart
		switch group {
		case message.GroupStart:
			dst = append(appendDecoded(dst, a.Mailbox.Octets()), ": "...)
			continue
		case message.GroupEnd:
			dst = append(dst, ';')
			continue
		}
		if name := a.Name.Octets(); len(name) > 0 {
			dst = append(appendDecoded(dst, name), ' ')
		}
		dst = append(appendDecoded(append(dst, '<'), a.Mailbox.Octets()), '@')
		dst = append(appendDecoded(dst, a.Host.Octets()), '>')
	}
	return dst
}

// appendDecoded appends message.DecodeText of b.
func appendDecoded(dst, b []byte) []byte {
	if isASCII(b) && !bytes.Contains(b, []byte("=?")) {
		for _, c := range b {
			if c < ' ' || c == 0x7f {
				return append(dst, message.DecodeText(b)...)
			}
		}
		return append(dst, b...)
	}
	return append(dst, message.DecodeText(b)...)
}

// Addresses is a list of addresses as Envelope compares it, before it is folded.
func Addresses(list message.FormAddresses) string { return string(appendAddresses(nil, list)) }
