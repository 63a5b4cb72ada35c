package smtpsink

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// session is one conversation.
type session struct {
	h       *Host
	raw     net.Conn
	conn    net.Conn // raw, or TLS over it
	in      *bufio.Reader
	out     *bufio.Writer
	number  int
	secure  bool
	letter  *Letter
	content reading
	err     error // the conversation is over
}

// errOver ends a conversation as was told.
var errOver = errors.New("smtpsink: over")

// maxHeader is how much of a header is kept to look for the Message-ID.
const maxHeader = 4 << 10

func newSession(h *Host, conn net.Conn) *session {
	s := &session{h: h, raw: conn, number: int(h.sessions.Add(1))}
	s.over(conn)
	return s
}

func (s *session) over(conn net.Conn) {
	s.conn, s.in, s.out = conn, bufio.NewReader(conn), bufio.NewWriter(conn)
}

func (s *session) run() {
	s.at(Event{Moment: Greeting}, "220 sink ESMTP")
	for s.err == nil {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		s.command(strings.TrimRight(line, "\r\n"))
	}
}

// at does what is to be done at a moment, and returns the code that was said, 0
// for none.
func (s *session) at(e Event, usual string) int {
	e.Session = s.number
	if s.letter != nil {
		e.From, e.Letter = s.letter.From, s.letter
	}
	var say Say
	if s.h.Behave != nil {
		say = s.h.Behave(e)
	}
	if say.Text == "" && say.Then == GoOn {
		say.Text = usual
	}
	if say.Eat > 0 {
		_, s.err = io.CopyN(io.Discard, s.in, int64(say.Eat))
	}
	return s.say(say)
}

func (s *session) say(say Say) int {
	text := say.Text
	if !say.Raw && text != "" {
		text = strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"
	}
	for again := true; again && s.err == nil; again = say.Flood {
		s.write(text, say.Drip)
	}
	s.flush(say.Then != GoOn)
	code, _ := strconv.Atoi(text[:min(3, len(text))])
	if s.err != nil {
		return 0
	}
	s.end(say.Then)
	return code
}

func (s *session) write(text string, drip time.Duration) {
	if drip == 0 {
		_, s.err = s.out.WriteString(text)
		return
	}
	for _, b := range []byte(text) {
		<-time.After(drip)
		if _, s.err = s.conn.Write([]byte{b}); s.err != nil {
			return
		}
	}
}

// flush sends what was said, unless the client has more to say (RFC 2920).
func (s *session) flush(now bool) {
	if s.err == nil && (now || s.in.Buffered() == 0) {
		s.err = s.out.Flush()
	}
}

func (s *session) end(how Then) {
	switch how {
	case Hold:
		_, _ = io.Copy(io.Discard, s.in) // However it ends.
	case Reset:
		reset(s.raw)
	}
	if how != GoOn {
		s.err = errOver
	}
}

// reset breaks a connection as a host does that has lost it.
func reset(c net.Conn) {
	switch c := c.(type) {
	case *net.TCPConn:
		_ = c.SetLinger(0)
		_ = c.Close()
	case interface{ Reset() }:
		c.Reset()
	default:
		_ = c.Close()
	}
}

// good reports whether a code is positive.
func good(code int) bool { return code/100 == 2 || code/100 == 3 }

func (s *session) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "LHLO":
		s.at(Event{Moment: Hello, Line: line}, s.offers())
	case "HELO":
		s.at(Event{Moment: Hello, Line: line}, "250 sink")
	case "STARTTLS":
		s.startTLS(line)
	case "MAIL":
		s.mail(line, rest)
	case "RCPT":
		s.rcpt(line, rest)
	case "DATA":
		s.data(line)
	case "BDAT":
		s.chunk(line, rest)
	case "RSET":
		s.letter = nil
		s.at(Event{Moment: Other, Line: line}, "250 ok")
	case "NOOP":
		s.at(Event{Moment: Other, Line: line}, "250 ok")
	case "QUIT":
		s.at(Event{Moment: Other, Line: line}, "221 bye")
		s.flush(true)
		s.end(Close)
	default:
		s.at(Event{Moment: Other, Line: line}, "500 what?")
	}
}

func (s *session) offers() string {
	lines := append([]string{"sink"}, s.h.Offers...)
	if s.h.TLS != nil && !s.secure {
		lines = append(lines, "STARTTLS")
	}
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = "250" + sep + lines[i]
	}
	return strings.Join(lines, "\n")
}

func (s *session) startTLS(line string) {
	if !good(s.at(Event{Moment: StartTLS, Line: line}, "220 go")) || s.h.TLS == nil {
		return
	}
	s.flush(true)
	t := tls.Server(s.raw, s.h.TLS)
	if s.err == nil {
		s.err = t.Handshake()
	}
	s.over(t)
	s.secure = true
}

// path takes the address out of "FROM:<a@b> SIZE=1".
func path(rest string) (address, parameters string) {
	_, rest, _ = strings.Cut(rest, "<")
	address, parameters, _ = strings.Cut(rest, ">")
	return address, strings.TrimSpace(parameters)
}

func (s *session) mail(line, rest string) {
	from, offers := path(rest)
	s.letter = &Letter{From: from, Offers: offers}
	s.content = reading{keep: s.h.Keep}
	if !good(s.at(Event{Moment: Mail, Line: line}, "250 ok")) {
		s.letter = nil
	}
}

func (s *session) rcpt(line, rest string) {
	if s.letter == nil {
		s.say(Say{Text: "503 MAIL first"})
		return
	}
	to, _ := path(rest)
	if good(s.at(Event{Moment: Rcpt, Line: line, To: to}, "250 ok")) {
		s.letter.To = append(s.letter.To, to)
	}
}

func (s *session) data(line string) {
	if s.letter == nil || len(s.letter.To) == 0 {
		s.say(Say{Text: "503 RCPT first"})
		return
	}
	if s.at(Event{Moment: Data, Line: line}, "354 go") != 354 {
		return
	}
	s.flush(true)
	s.begin()
	for s.err == nil {
		var line []byte
		if line, s.err = s.in.ReadSlice('\n'); s.err != nil {
			return
		}
		if string(line) == ".\r\n" {
			s.complete()
			return
		}
		s.content.take(bytes.TrimPrefix(line, []byte(".")))
	}
}

// begin is the moment before the content.
func (s *session) begin() {
	if s.err == nil {
		s.at(Event{Moment: Content}, "")
	}
}

// chunk reads a chunk (RFC 3030 §2); one that is refused is read all the same.
func (s *session) chunk(line, rest string) {
	size, last, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || s.letter == nil || len(s.letter.To) == 0 {
		s.say(Say{Text: "503 RCPT first", Then: Close})
		return
	}
	refusal := Say{}
	if s.h.Behave != nil {
		refusal = s.h.Behave(Event{Moment: Data, Session: s.number, Line: line, From: s.letter.From, Letter: s.letter})
	}
	s.begin()
	if s.err != nil {
		return
	}
	b := make([]byte, n)
	if _, s.err = io.ReadFull(s.in, b); s.err != nil {
		return
	}
	s.content.take(b)
	switch {
	case refusal != (Say{}):
		s.say(refusal)
		s.letter = nil
	case strings.EqualFold(last, "LAST"):
		s.complete()
	default:
		s.say(Say{Text: "250 ok"})
	}
}

// complete answers to the whole message.
func (s *session) complete() {
	l := s.letter
	l.ID, l.Size, l.Sum, l.Octets = s.content.id(), s.content.size, s.content.sum, s.content.octets
	if s.h.Heard != nil {
		s.h.Heard(l)
	}
	code := 0
	for i, to := range l.To {
		if i == 0 || s.h.LMTP {
			code = s.at(Event{Moment: End, To: to}, "250 taken")
			s.flush(true)
		}
		if s.h.Answered == nil {
			continue
		}
		err := s.err
		if err == errOver && code != 0 {
			err = nil // It was said, and then the connection ended.
		}
		s.h.Answered(l, to, code, err)
	}
	s.letter = nil
}

// reading is what is known of a content so far.
type reading struct {
	header []byte
	inBody bool
	size   int
	sum    uint32
	keep   bool
	octets []byte
}

// take counts octets: lines, or a chunk.
func (r *reading) take(b []byte) {
	r.size += len(b)
	if r.keep {
		r.octets = append(r.octets, b...)
	}
	if !r.inBody {
		b = r.head(b)
	}
	r.sum = crc32.Update(r.sum, crc32.IEEETable, b)
}

// head keeps b as part of the header and returns what is the body's.
func (r *reading) head(b []byte) []byte {
	r.header = append(r.header, b...)
	if i := bytes.Index(r.header, []byte("\r\n\r\n")); i >= 0 {
		rest := r.header[i+4:]
		r.header, r.inBody = r.header[:i+2], true
		return rest
	}
	r.inBody = len(r.header) > maxHeader
	return nil
}

func (r *reading) id() string {
	for line := range strings.Lines(string(r.header)) {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Message-ID") {
			return strings.Trim(value, " <>\r\n")
		}
	}
	return ""
}
