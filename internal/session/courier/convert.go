package courier

import (
	"bytes"
	"io"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// convert makes of the message one that hosts without 8BITMIME or BINARYMIME
// take, once (RFC 6152 §3); a body that others signed or that is encrypted
// stays as it is, and is refused. It reports whether anything changed.
func (r *run) convert() bool {
	if r.converted || r.t.Body == mail.Body7Bit || r.t.UTF8 {
		return false
	}
	r.converted = true
	return r.apart(true)
}

// shorten encodes, once, parts with lines that are longer than a line may be:
// hosts break or refuse them (RFC 5321 §4.5.3.1.6). A signed message goes out as
// it is; many hosts take it.
func (r *run) shorten() {
	if r.shortened || r.t.Body == mail.BodyBinaryMIME {
		return
	}
	r.shortened = true
	if r.t.Size > message.MaxLine && !shortLines(r.t.Content) {
		r.apart(false)
	}
}

// apart has the parts encoded that need it, with eight those with octets over
// 127 too.
func (r *run) apart(eight bool) bool {
	open := r.t.Content
	c, err := message.PlanConversion(open, eight)
	if err == nil && eight {
		r.t.Body = mail.Body7Bit
	}
	if err != nil || c == nil {
		return err == nil && eight
	}
	r.t.Size = c.Size
	r.changed, r.signed = true, false
	r.t.Content = func() (io.ReadCloser, error) {
		content, err := open()
		if err != nil {
			return nil, err
		}
		return readCloser{c.Reader(content), content}, nil
	}
	return true
}

// readCloser is a content that is read changed.
type readCloser struct {
	io.Reader
	io.Closer
}

// shortLines reports whether a content has no line over message.MaxLine. One
// that cannot be read has none; who sends it finds out.
func shortLines(open mail.Opener) bool {
	line, short := 0, true
	all(open, func(b []byte, _ int64) bool {
		for short && len(b) > 0 {
			n := bytes.IndexByte(b, '\n') + 1
			if n > 0 {
				short = line+n <= message.MaxLine+2
				line, b = 0, b[n:]
				continue
			}
			line += len(b)
			short = line <= message.MaxLine+1 // With its CR.
			break
		}
		return short
	})
	return short
}
