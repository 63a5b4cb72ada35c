package message

import "bytes"

// LineEnds counts what the lines of a message lack to end in CRLF, as POP3 and
// SMTP want them (RFC 1939 §3). A CR alone ends no line.
type LineEnds struct {
	bare int64 // LF without CR before it
	last byte  // octet; 0 at the start
	some bool
}

// Count takes the next octets of the message.
func (l *LineEnds) Count(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.last, l.some = p[len(p)-1], true
			return
		}
		if i > 0 {
			l.last = p[i-1]
		}
		if l.last != '\r' {
			l.bare++
		}
		l.last, l.some = '\n', true
		p = p[i+1:]
	}
}

// Lacking returns how many octets of CR and LF would have to be added.
func (l *LineEnds) Lacking() int64 {
	switch {
	case !l.some || l.last == '\n':
		return l.bare
	case l.last == '\r':
		return l.bare + 1
	}
	return l.bare + 2
}
