package message

import (
	"bytes"

	"yubin/internal/scan"
)

// headerEnd decides where a header ends; nothing else in the house does. It is
// shown the lines one by one:
//
//   - A header ends with the first empty line.
//   - A line that is neither a field nor folded is stray. Behind a field it belongs
//     to that field (RFC 7103 §7.2), if a field or the empty line follows; else
//     the body begins with it, as it does with the first delimiter of the
//     multipart whose header it is.
//   - What begins with a stray line has a header only if it looks like one: there
//     is an empty line, and before it a field that RFC 5322 or MIME knows. Else
//     all of it is body: somebody sent text without a header. The "From " lines
//     of mbox files are passed over.
//
// So the octets of a message have the same header and body whatever fields are
// put before them, if Header.Lead stands between.
type headerEnd struct {
	message bool // the header of a message, not of a part
	start   mark
	fields  bool // there is a field that counts
	leading leading
	stray   mark // the first stray line since the last field
	strays  bool // there is one

	typed    bool // there is a Content-Type
	typeAt   int  // where, in header.kept
	ended    bool // another field follows it
	read     bool // the boundary is what it says
	boundary []byte
}

// mark is a place in a message.
type mark struct {
	off   int64
	lines int64
	kept  int // octets of header.kept before it
}

// leading says with what a header begins.
type leading uint8

const (
	leadingField leading = iota
	leadingMbox          // a "From " line
	leadingStray
)

// before reports whether the header ends before line, which is not empty and
// stands at. Kept is the header so far.
func (e *headerEnd) before(line []byte, at mark, kept []byte) bool {
	colon := fieldColon(line)
	switch {
	case colon > 0 && (e.fields || e.leading != leadingStray || e.known(line[:colon])):
		e.fields, e.strays = true, false
		if e.ended = e.typed; !e.typed && nameIs(bytes.TrimRight(line[:colon], " \t"), "content-type") {
			e.typed, e.typeAt = true, at.kept
		}
	case !e.fields && e.leading != leadingStray && isMboxFrom(line):
		e.leading = leadingMbox
	case !e.fields:
		e.leading = leadingStray
		return at.off-e.start.off > MaxStray
	case e.strays:
		return at.off-e.stray.off > MaxStray
	case isWSP(line[0]):
	case bytes.HasPrefix(line, []byte("--")) && e.delimits(line[2:], kept):
		return true
	default:
		e.strays, e.stray = true, at
	}
	return false
}

// delimits reports whether b starts with the boundary that the header declares.
func (e *headerEnd) delimits(b, kept []byte) bool {
	if !e.typed {
		return false
	}
	if !e.read {
		e.read = e.ended // Until then the field may go on.
		e.boundary = nil
		for f := range Fields(kept[e.typeAt:]) {
			var p Part
			_, value, _ := bytes.Cut(f.Raw, []byte(":"))
			p.setType(unfold(foldedParams(value)))
			e.boundary = p.boundary()
			break
		}
	}
	return e.boundary != nil && bytes.HasPrefix(b, e.boundary)
}

// ownsBlank reports whether an empty line at off is the end of the header: it
// may be in the middle of text that has none.
func (e *headerEnd) ownsBlank(off int64) bool { return e.fields || off == e.start.off }

// cut returns where the header ends that has no empty line before end.
func (e *headerEnd) cut(end mark) mark {
	switch {
	case !e.fields || e.leading == leadingStray:
		e.fields = false
		return e.start
	case e.strays:
		return e.stray
	}
	return end
}

// lead is Header.Lead of a header that has an empty line or was cut.
func (e *headerEnd) lead(size int64) string {
	switch {
	case size == 0:
		return leadBody
	case e.fields && e.leading == leadingMbox:
		return leadMbox
	case e.fields && e.leading == leadingStray:
		return leadStray
	}
	return ""
}

// HeaderSize returns Header.Size of the message that starts with b, which goes up to
// the first empty line or is all of the message: for who needs no more than that. Of
// a header over MaxHeader it may be wrong.
func HeaderSize(b []byte) int {
	e := headerEnd{message: true}
	at := mark{}
	for at.kept < len(b) {
		line := b[at.kept:][:lineLen(b[at.kept:])]
		switch {
		case isBlank(line) && e.ownsBlank(at.off):
			return at.kept + len(line)
		case isBlank(line), e.before(line, at, b[:at.kept]):
			return e.cut(at).kept
		}
		at.kept += len(line)
		at.off += int64(len(line))
	}
	return e.cut(at).kept
}

// isMboxFrom reports whether line is what mbox files have before a message.
func isMboxFrom(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(line, []byte(">")), []byte("From "))
}

// known reports whether name is that of a field that hardly stands in a text.
func (e *headerEnd) known(name []byte) bool {
	var buf [32]byte
	low := lowerName(&buf, name)
	if bytes.HasPrefix(low, []byte("content-")) || !e.message {
		return len(low) > len("content-") && bytes.HasPrefix(low, []byte("content-"))
	}
	low = bytes.TrimPrefix(low, []byte("resent-"))
	switch string(low) {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references",
		"received", "return-path", "delivered-to", "mime-version", "dkim-signature":
		return true
	}
	return false
}

// The values of Header.Lead but "". The first makes fields before the message
// its header, and all of it the body. The others are the names of fields that take
// its first line, so that those behind it are read as fields everywhere.
const (
	leadBody  = "\r\n"
	leadMbox  = "X-Mailbox-Line: "
	leadStray = "X-Stray-Line: "
)

// PrefixSize returns how many octets of prefix, which are fields and a
// Header.Lead, are the fields.
func PrefixSize(prefix []byte) int {
	for _, lead := range [...]string{leadBody, leadMbox, leadStray} {
		if fields, ok := bytes.CutSuffix(prefix, []byte(lead)); ok && bytes.HasSuffix(fields, []byte("\n")) {
			return len(fields)
		}
	}
	return len(prefix)
}

// Header is what is known of the header of a message when its end is.
type Header struct {
	Size        int64    // octets, with the empty line after it; 0 if the message has none
	Lead        string   // what must stand between fields that are put before the message and the message
	Received    int      // how many fields
	DeliveredTo []string // the values, at most MaxDeliveredTo
	TLSRequired []string // the values of TLS-Required (RFC 8689 §3), at most two: there may be one
	MessageID   []byte   // the value of the first one, as in Envelope
}

// nameIs reports whether a field is called name, which is in lower case.
func nameIs(field []byte, name string) bool {
	if len(field) != len(name) {
		return false
	}
	for i, c := range field {
		if scan.Lower(c) != name[i] {
			return false
		}
	}
	return true
}

// count notes a field that tells of the way of the message.
func (h *Header) count(name, value []byte) {
	switch string(name) {
	case "received":
		h.Received++
	case "delivered-to":
		if len(h.DeliveredTo) < MaxDeliveredTo {
			h.DeliveredTo = append(h.DeliveredTo, limited(folded(value)))
		}
	case "tls-required":
		if len(h.TLSRequired) < 2 {
			h.TLSRequired = append(h.TLSRequired, limited(folded(value)))
		}
	}
}
