package smtp

import (
	"errors"
	"strconv"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// Enhanced is an enhanced status code (RFC 3463).
type Enhanced = mail.Enhanced

// code makes an Enhanced.
func code(class, subject, detail uint16) Enhanced {
	return Enhanced{Class: class, Subject: subject, Detail: detail}
}

// Reply is an answer of a server (RFC 5321 §4.2). Text may have several lines,
// parted by LF.
type Reply struct {
	Code     int
	Enhanced Enhanced
	Text     string
}

// Positive reports whether r is 2xx or 3xx.
func (r Reply) Positive() bool { return r.Code < 400 }

// Temporary reports whether r is 4xx.
func (r Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }

func (r Reply) String() string { return strings.TrimSuffix(string(r.Append(nil)), "\r\n") }

// Append appends all lines of r with their CRLFs. Octets of the text that are
// not printable ASCII become "?"; lines beyond MaxReplyLine are broken, but for
// 334, whose text is one challenge (RFC 4954 §4).
func (r Reply) Append(dst []byte) []byte {
	for text, more := r.Text, true; more; {
		var line string
		line, text, more = strings.Cut(text, "\n")
		if room := MaxReplyLine - len("250-5.999.999 "); len(line) > room && r.Code != 334 {
			if more {
				text = line[room:] + "\n" + text
			} else {
				text, more = line[room:], true
			}
			line = line[:room]
		}
		dst = r.appendLine(dst, line, more)
	}
	return dst
}

func (r Reply) appendLine(dst []byte, line string, more bool) []byte {
	dst = strconv.AppendUint(dst, uint64(r.Code), 10)
	if more {
		dst = append(dst, '-')
	} else {
		dst = append(dst, ' ')
	}
	if !r.Enhanced.IsZero() {
		dst = append(r.Enhanced.Append(dst), ' ')
	}
	for i := range len(line) {
		c := line[i]
		if c < ' ' || c > '~' {
			c = '?'
		}
		dst = append(dst, c)
	}
	return append(dst, '\r', '\n')
}

// Errors of ReplyParser: after them the other side speaks no SMTP.
var (
	ErrReply        = errors.New("smtp: a line is not a reply")
	ErrReplyTooLong = errors.New("smtp: a reply has too many lines")
)

// ReplyParser puts the lines of a server together. The zero value is ready,
// and again after each complete reply. It is tolerant: text may be missing, or
// have any octets, which are kept. It keeps at most MaxReplyText octets.
type ReplyParser struct {
	reply Reply
	text  []byte
	lines int
}

// Line takes the next line without its CRLF. Done says that it was the last
// one of reply.
func (p *ReplyParser) Line(line []byte) (reply Reply, done bool, err error) {
	code, rest, last, ok := cutReplyLine(line)
	switch {
	case !ok || p.lines > 0 && code != p.reply.Code:
		return Reply{}, false, ErrReply
	case p.lines == MaxReplyLines:
		return Reply{}, false, ErrReplyTooLong
	}
	enhanced, text := cutEnhanced(rest, code)
	if p.lines == 0 {
		p.reply.Code, p.reply.Enhanced = code, enhanced
	} else if enhanced != p.reply.Enhanced {
		text = rest // Another code is text: it must not get lost.
	}
	p.add(text)
	if !last {
		return Reply{}, false, nil
	}
	reply = p.reply
	reply.Text = string(p.text)
	*p = ReplyParser{text: p.text[:0]}
	return reply, true, nil
}

func (p *ReplyParser) add(text []byte) {
	if p.lines > 0 && len(p.text) < MaxReplyText {
		p.text = append(p.text, '\n')
	}
	p.lines++
	p.text = append(p.text, text[:min(len(text), MaxReplyText-len(p.text))]...)
}

// cutReplyLine reads Reply-code and what parts it from the text.
func cutReplyLine(line []byte) (code int, text []byte, last, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !scan.IsDigit(line[1]) || !scan.IsDigit(line[2]) {
		return 0, nil, false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, nil, true, true
	}
	return code, line[4:], line[3] == ' ', line[3] == ' ' || line[3] == '-'
}

// cutEnhanced reads an enhanced status code of the same class as code at the
// start of text (RFC 2034 §4).
func cutEnhanced(text []byte, code int) (Enhanced, []byte) {
	e, rest, ok := mail.CutEnhanced(string(text[:min(len(text), maxEnhanced+1)]))
	if !ok || int(e.Class) != code/100 || rest != "" && rest[0] != ' ' {
		return Enhanced{}, text
	}
	return e, text[min(len(e.String())+1, len(text)):]
}

// maxEnhanced is the length of "5.999.999".
const maxEnhanced = 9
