package courier

import (
	"io"

	"yubin/internal/mail"
)

// isLacking reports whether a host lacks something for the whole message.
func isLacking(a mail.Answer) bool { return a.Phase == mail.PhaseMail && a.Trouble == mail.Lacking }

// lighten looks, once, whether the message needs what its sender declared:
// many say BODY=8BITMIME or SMTPUTF8 of every message. A content that is all
// ASCII needs neither, and goes out as it is to hosts that offer neither. It
// reports whether anything changed.
//
// Binary messages stay binary: they may be labelled so inside (RFC 3030 §3).
func (r *run) lighten() bool {
	if r.looked || r.t.Body != mail.Body8BitMIME && !(r.t.UTF8 && r.t.Body == mail.Body7Bit) {
		return false
	}
	r.looked = true
	if !allASCII(r.t.Content) {
		return false
	}
	r.t.Body, r.t.UTF8 = mail.Body7Bit, false
	return true
}

// allASCII reads a content. One that cannot be read is not.
func allASCII(open mail.Opener) bool {
	content, err := open()
	if err != nil {
		return false
	}
	defer func() { _ = content.Close() }() // It was only read.
	buf := make([]byte, 32<<10)
	for {
		n, err := content.Read(buf)
		for _, b := range buf[:n] {
			if b >= 0x80 {
				return false
			}
		}
		if err != nil {
			return err == io.EOF
		}
	}
}
