package imap

import (
	"io"
	"strconv"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// Fetched writes one FETCH response, item by item. End must be called.
type Fetched struct {
	e     *Encoder
	items int
}

// Fetch starts a FETCH response for the message with sequence number seq. No
// other response may be written before its End.
func (e *Encoder) Fetch(seq uint32) Fetched {
	e.b = append(e.b, "* "...)
	e.b = appendNumber(e.b, seq)
	e.b = append(e.b, " FETCH ("...)
	return Fetched{e: e}
}

// End ends the response and writes it.
func (f *Fetched) End() {
	f.e.b = append(f.e.b, ')')
	f.e.crlf()
}

// item starts an item: a space unless it is the first, and its name.
func (f *Fetched) item(name string) {
	if f.items > 0 {
		f.e.b = append(f.e.b, ' ')
	}
	f.items++
	f.e.b = append(f.e.b, name...)
}

// UID writes UID.
func (f *Fetched) UID(u mail.UID) {
	f.item("UID ")
	f.e.b = appendNumber(f.e.b, uint32(u))
}

// Flags writes FLAGS; recent adds \Recent.
func (f *Fetched) Flags(flags mail.Flags, keywords mail.Keywords, recent bool) {
	f.item("FLAGS (")
	b := f.e.b
	empty := len(b)
	for i, name := range systemFlags {
		if flags&(1<<i) != 0 {
			b = append(b, name...)
		}
	}
	if recent {
		b = append(b, `\Recent `...)
	}
	if keywords != "" {
		b = append(append(b, keywords...), ' ')
	}
	if len(b) > empty {
		b = b[:len(b)-1]
	}
	f.e.b = append(b, ')')
}

// systemFlags are the names of mail.Flags in the order of its bits.
var systemFlags = [...]string{`\Seen `, `\Answered `, `\Flagged `, `\Deleted `, `\Draft `}

// InternalDate writes INTERNALDATE.
func (f *Fetched) InternalDate(t time.Time) {
	f.item("INTERNALDATE ")
	f.e.b = AppendDateTime(f.e.b, t)
}

// Size writes RFC822.SIZE.
func (f *Fetched) Size(octets int64) {
	f.item("RFC822.SIZE ")
	f.e.b = strconv.AppendInt(f.e.b, octets, 10)
}

// Envelope writes ENVELOPE.
func (f *Fetched) Envelope(form message.Form) {
	f.item("ENVELOPE ")
	f.e.b = f.e.envelope(f.e.b, form.Envelope())
}

// BodyStructure writes BODYSTRUCTURE.
func (f *Fetched) BodyStructure(form message.Form) {
	f.item("BODYSTRUCTURE ")
	p := form.Part()
	f.e.b = f.e.body(f.e.b, &p, true)
}

// Body writes BODY without a section.
func (f *Fetched) Body(form message.Form) {
	f.item("BODY ")
	p := form.Part()
	f.e.b = f.e.body(f.e.b, &p, false)
}

// Literal announces size octets for a BODY[...], BINARY[...] or RFC822 item.
// The caller writes exactly so many to the writer it returns before anything
// else. For BINARY, hasNUL says that literal8 is needed (RFC 9051 §7.5.2); no
// other literal can have NUL, so there it is shown as message.WithoutNUL does.
func (f *Fetched) Literal(item FetchItem, size int64, hasNUL bool) io.Writer {
	f.name(item)
	if hasNUL && item.Kind == FetchBinary {
		f.e.b = append(f.e.b, '~')
	}
	f.e.b = strconv.AppendInt(append(f.e.b, '{'), size, 10)
	f.e.b = append(f.e.b, "}\r\n"...)
	if item.Kind == FetchBinary {
		return f.e
	}
	return message.WithoutNUL(f.e)
}

// Nil writes an item that does not exist, such as a part without its number.
func (f *Fetched) Nil(item FetchItem) {
	f.name(item)
	f.e.b = append(f.e.b, "NIL"...)
}

// BinarySize writes BINARY.SIZE.
func (f *Fetched) BinarySize(item FetchItem, octets int64) {
	f.name(item)
	f.e.b = strconv.AppendInt(f.e.b, octets, 10)
}

// name writes the name of item as a response has it, and a space.
func (f *Fetched) name(item FetchItem) {
	f.item("")
	f.e.b = append(item.appendResponseName(f.e.b), ' ')
}
