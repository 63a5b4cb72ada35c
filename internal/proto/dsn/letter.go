package dsn

import (
	"bytes"
	"time"

	"yubin/internal/mail"
)

// Letter is a message of the server to who looks after it, in English.
type Letter struct {
	From, To   mail.Address
	Host       mail.Domain
	Date       time.Time
	ID         string // of Message-ID, before the @
	Subject    string
	Paragraphs []string // each is wrapped; what has a line end in it keeps its lines
}

// Append appends the message to dst. Lines end in CRLF.
func (l Letter) Append(dst []byte) []byte {
	dst = appendField(dst, "From", encodeWords(phrases[English].system)+" <"+l.From.String()+">")
	dst = appendField(dst, "To", l.To.String())
	dst = appendField(dst, "Subject", encodeWords(l.Subject))
	dst = appendDate(dst, "Date", l.Date)
	dst = appendField(dst, "Message-ID", "<"+l.ID+"@"+string(l.From.Domain)+">")
	dst = appendField(dst, "Auto-Submitted", "auto-generated") // RFC 3834 §5.1: it answers nothing
	dst = appendField(dst, "MIME-Version", "1.0")
	dst = appendField(dst, "Content-Type", "text/plain; charset=utf-8")
	var text []byte
	for i, p := range l.Paragraphs {
		if i > 0 {
			text = append(text, "\r\n"...)
		}
		for line := range bytes.SplitSeq([]byte(p), []byte("\n")) {
			text = appendWrapped(text, "", string(line))
		}
	}
	if dst = appendEncoded(dst, text); !bytes.HasSuffix(dst, []byte("\r\n")) {
		dst = append(dst, "\r\n"...)
	}
	return dst
}
