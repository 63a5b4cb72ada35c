// Package ldappeer is a small LDAP server for tests: it has entries, lets in who has a
// password, finds what filters ask for, speaks TLS, and can be told to be hostile. It reads
// and writes BER by golang.org/x/crypto/cryptobyte, not by what it tests.
package ldappeer

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Entry is one of the directory.
type Entry struct {
	DN         string
	Password   string // "" for none: nobody is let in as it
	Attributes map[string][]string
}

// Server is a directory. What is set before Serve is read only; Do changes what is after.
type Server struct {
	TLS      *tls.Config // for StartTLS, or with Implicit from the first octet
	Implicit bool
	Closed   bool // nobody who is not let in may search

	// Odd answers in place of the server if it returns true: it is given the tag of the
	// operation, the number of the message, and where to write.
	Odd func(op byte, id int, w io.Writer) bool

	mu      sync.Mutex
	entries []Entry
	binds   []string // names that somebody tried to be let in as, with how it went
	finds   int
	conns   map[net.Conn]bool
}

// New makes a server with entries.
func New(entries ...Entry) *Server {
	return &Server{entries: entries, conns: map[net.Conn]bool{}}
}

// Parse reads entries: a line "DN | password | attribute=value; attribute=value" each.
func Parse(text string) (list []Entry, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, "|")
		if len(cells) != 3 {
			return nil, fmt.Errorf("%q is no entry: DN | password | attribute=value; …", line)
		}
		e := Entry{DN: strings.TrimSpace(cells[0]), Password: strings.TrimSpace(cells[1]), Attributes: map[string][]string{}}
		for pair := range strings.SplitSeq(cells[2], ";") {
			if name, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
				e.Attributes[name] = append(e.Attributes[name], value)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// Set replaces the entries.
func (s *Server) Set(entries ...Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = entries
}

// Binds are the names that somebody tried to be let in as, each with "yes" or "no".
func (s *Server) Binds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.binds...)
}

// Finds is how many searches there were.
func (s *Server) Finds() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finds
}

// Conns is how many connections there are.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Hang up on everybody who is connected.
func (s *Server) HangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Serve accepts until the listener is closed.
func (s *Server) Serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go s.Talk(c)
	}
}

// Talk has a conversation.
func (s *Server) Talk(raw net.Conn) {
	s.mu.Lock()
	s.conns[raw] = true
	s.mu.Unlock()
	defer func() {
		_ = raw.Close()
		s.mu.Lock()
		delete(s.conns, raw)
		s.mu.Unlock()
	}()
	c := raw
	if s.Implicit {
		c = tls.Server(raw, s.TLS)
	}
	in, as := bufio.NewReader(c), ""
	for {
		id, op, body, err := read(in)
		if err != nil || op == unbind {
			return
		}
		if s.Odd != nil && s.Odd(op, id, c) {
			continue
		}
		switch op {
		case bind:
			as = s.bind(c, id, body)
		case search:
			s.search(c, id, body, as)
		case extended:
			if s.TLS == nil || s.Implicit {
				Write(c, id, 0x78, Result(2, "no TLS here"))
				continue
			}
			Write(c, id, 0x78, Result(0, ""))
			c = tls.Server(raw, s.TLS)
			in = bufio.NewReader(c)
		default:
			return
		}
	}
}

// The operations of clients.
const (
	bind     = 0x60
	unbind   = 0x42
	search   = 0x63
	extended = 0x77
)

// read takes a message: our client writes the shortest lengths, as DER has them.
func read(in *bufio.Reader) (id int, op byte, body cryptobyte.String, err error) {
	head, err := in.Peek(2)
	if err != nil {
		return 0, 0, nil, err
	}
	size, header := int(head[1]), 2
	if size >= 0x80 {
		header += size - 0x80
		if head, err = in.Peek(header); err != nil {
			return 0, 0, nil, err
		}
		size = 0
		for _, o := range head[2:] {
			size = size<<8 | int(o)
		}
	}
	whole := make([]byte, header+size)
	if _, err := io.ReadFull(in, whole); err != nil {
		return 0, 0, nil, err
	}
	var message cryptobyte.String
	outer := cryptobyte.String(whole)
	if !outer.ReadASN1(&message, asn1.SEQUENCE) || !message.ReadASN1Integer(&id) {
		return 0, 0, nil, io.ErrUnexpectedEOF
	}
	var tag asn1.Tag
	if !message.ReadAnyASN1(&body, &tag) {
		return 0, 0, nil, io.ErrUnexpectedEOF
	}
	return id, byte(tag), body, nil
}

// Write writes a message.
func Write(w io.Writer, id int, op byte, content func(b *cryptobyte.Builder)) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(int64(id))
		b.AddASN1(asn1.Tag(op), content)
	})
	_, _ = w.Write(b.BytesOrPanic())
}

// Result is what ends an operation.
func Result(code int, text string) func(b *cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(code))
		b.AddASN1OctetString(nil)
		b.AddASN1OctetString([]byte(text))
	}
}

// Found is an entry as a search gives it, with the attributes wanted.
func Found(e Entry, wanted ...string) func(b *cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1OctetString([]byte(e.DN))
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, name := range wanted {
				values := e.values(name)
				if len(values) == 0 {
					continue
				}
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1OctetString([]byte(name))
					b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
						for _, v := range values {
							b.AddASN1OctetString([]byte(v))
						}
					})
				})
			}
		})
	}
}

func (e Entry) values(name string) (list []string) {
	for n, values := range e.Attributes {
		if strings.EqualFold(n, name) {
			list = append(list, values...)
		}
	}
	return list
}

// bind lets somebody in, or not; an empty password is nobody's, and lets in (RFC 4513
// §5.1.2), as servers do that were not told otherwise.
func (s *Server) bind(w io.Writer, id int, body cryptobyte.String) (as string) {
	var version int
	var name, password cryptobyte.String
	if !body.ReadASN1Integer(&version) || !body.ReadASN1(&name, asn1.OCTET_STRING) || !body.ReadASN1(&password, asn1.Tag(0x80)) {
		Write(w, id, 0x61, Result(2, "no bind"))
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code := 49
	if len(password) == 0 {
		code = 0
	}
	for _, e := range s.entries {
		if len(password) > 0 && strings.EqualFold(e.DN, string(name)) && e.Password == string(password) {
			code, as = 0, e.DN
		}
	}
	s.binds = append(s.binds, string(name)+map[bool]string{true: " yes", false: " no"}[code == 0])
	Write(w, id, 0x61, Result(code, ""))
	return as
}

func (s *Server) search(w io.Writer, id int, body cryptobyte.String, as string) {
	var base, filter, attributes cryptobyte.String
	var scope, deref, sizeLimit, timeLimit int
	var typesOnly bool
	var kind asn1.Tag
	if !body.ReadASN1(&base, asn1.OCTET_STRING) || !body.ReadASN1Enum(&scope) || !body.ReadASN1Enum(&deref) || !body.ReadASN1Integer(&sizeLimit) ||
		!body.ReadASN1Integer(&timeLimit) || !body.ReadASN1Boolean(&typesOnly) || !body.ReadAnyASN1(&filter, &kind) || !body.ReadASN1(&attributes, asn1.SEQUENCE) {
		Write(w, id, 0x65, Result(2, "no search"))
		return
	}
	var wanted []string
	for !attributes.Empty() {
		var a cryptobyte.String
		if !attributes.ReadASN1(&a, asn1.OCTET_STRING) {
			break
		}
		wanted = append(wanted, string(a))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finds++; s.Closed && as == "" {
		Write(w, id, 0x65, Result(50, "who are you?"))
		return
	}
	sent, there := 0, false
	for _, e := range s.entries {
		under := strings.EqualFold(e.DN, string(base)) || scope != 0 && strings.HasSuffix(strings.ToLower(e.DN), ","+strings.ToLower(string(base)))
		if there = there || under; !under || !e.fits(kind, filter) {
			continue
		}
		if sent++; sizeLimit > 0 && sent > sizeLimit {
			Write(w, id, 0x65, Result(4, ""))
			return
		}
		Write(w, id, 0x64, Found(e, wanted...))
	}
	if !there {
		Write(w, id, 0x65, Result(32, ""))
		return
	}
	Write(w, id, 0x65, Result(0, ""))
}

// fits reports whether an entry fits a filter.
func (e Entry) fits(kind asn1.Tag, f cryptobyte.String) bool {
	var name, value cryptobyte.String
	switch kind {
	case 0xa0, 0xa1, 0xa2: // and, or, not
		all, any := true, false
		for !f.Empty() {
			var in cryptobyte.String
			var tag asn1.Tag
			if !f.ReadAnyASN1(&in, &tag) {
				return false
			}
			fits := e.fits(tag, in)
			all, any = all && fits, any || fits
		}
		return kind == 0xa0 && all || kind == 0xa1 && any || kind == 0xa2 && !any
	case 0x87:
		return strings.EqualFold(string(f), "objectClass") || len(e.values(string(f))) > 0
	case 0xa3:
		if !f.ReadASN1(&name, asn1.OCTET_STRING) || !f.ReadASN1(&value, asn1.OCTET_STRING) {
			return false
		}
		for _, v := range e.values(string(name)) {
			if strings.EqualFold(v, string(value)) {
				return true
			}
		}
	}
	return false
}
