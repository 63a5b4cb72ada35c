package store

import "bytes"

// lineEnds counts what the lines of a message lack to end in CRLF, as POP3 and
// SMTP want them (RFC 1939 §3). A CR alone ends no line.
type lineEnds struct {
	bare int64 // LF without CR before it
	last byte  // octet; 0 at the start
	some bool
}

func (l *lineEnds) count(p []byte) {
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

// lacking returns how many octets of CR and LF would have to be added.
func (l *lineEnds) lacking() int64 {
	switch {
	case !l.some || l.last == '\n':
		return l.bare
	case l.last == '\r':
		return l.bare + 1
	}
	return l.bare + 2
}
