package smtpd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/heap"
)

// content is the message of a transaction on its way in. Once it has a fault
// nothing of it is kept, and the octets that still come are dropped.
type content struct {
	in      *intake.Message
	started time.Time
	size    int64           // octets that came
	head    *message.Parser // submission: reads the header
	buffer  []byte          // and this is the header, until it can be edited
	held    heap.Hold       // for head and buffer
	header  message.Header  // what is known of it, if the end of it is
	ended   bool
	lines   smtp.LineChecker
	fault   smtp.Reply  // Code is 0 without one
	cause   error       // of the fault, for the log
	author  mail.Domain // of the first address in From, of what was submitted
	givenID string      // the Message-ID that a message without one got from us
	foreign foreign
	onward  bool // it goes to others
	high    bool // it does, and has octets beyond ASCII: a tap tells
}

func (m *content) close() {
	if m.in != nil {
		m.in.Close()
	}
	m.in, m.buffer, m.head = nil, nil, nil
	m.held.Release()
}

// refuse keeps the first fault.
func (m *content) refuse(r smtp.Reply, cause error) {
	if m.fault.Code == 0 {
		m.fault, m.cause = r, cause
		m.close()
	}
}

func (m *content) write(p []byte) {
	if m.fault.Code != 0 || len(p) == 0 {
		return
	}
	if _, err := m.in.Write(p); err != nil {
		m.refuse(replyTo(err), err)
	}
}

// Tap looks for octets beyond ASCII.
func (m *content) Tap(p []byte) error {
	m.high = m.high || slices.ContainsFunc(p, func(c byte) bool { return c >= 0x80 })
	return nil
}

// data is DATA (RFC 5321 §4.1.1.4).
func (s *session) data(context.Context, smtp.Command) smtp.Reply {
	if s.tx.mail.Body == mail.BodyBinaryMIME {
		return status(503, 5, 5, 1, "BINARYMIME needs BDAT") // RFC 3030 §3
	}
	s.begin()
	s.next = readData
	return smtp.Reply{Code: 354, Text: "go ahead; end with <CRLF>.<CRLF>"}
}

// begin starts to receive the message.
func (s *session) begin() {
	if s.tx.filtered == nil { // Else they have heard of it.
		s.tx.id = s.srv.cfg.NewID()
	}
	m := &content{started: s.srv.cfg.Now(), onward: s.tx.spooled > 0}
	m.foreign = foreign{keepPaths: m.onward, claims: s.srv.cfg.Claims}
	if m.onward {
		m.in = s.srv.cfg.Intake.Begin(m)
	} else {
		m.in = s.srv.cfg.Intake.Begin()
	}
	s.tx.content = m
	m.in.CountFor(s.share)
	m.held.Of(s.share)
	if s.submits() {
		m.head = message.NewParser()
	}
}

// errFlood says that a client goes on and on with a message that is refused.
var errFlood = errors.New("smtpd: too much of a message that is refused")

// receive takes the next octets of the message. After an error the session
// can only be closed.
func (s *session) receive(ctx context.Context, p []byte) error {
	m, l := s.tx.content, &s.srv.limits
	if m.size += int64(len(p)); m.size > l.MessageSize {
		m.refuse(s.tooLarge(), nil)
	}
	if s.tx.judged != nil && m.fault.Code == 0 {
		s.tx.judged.Write(p)
		if err := m.held.Grow(s.tx.judged.Memory()); err != nil {
			m.refuse(replyTo(err), err)
		}
	}
	switch {
	case m.fault.Code != 0 && m.size > l.Dropped:
		return errFlood
	case s.srv.cfg.Now().Sub(m.started) > l.DataTotal:
		return context.DeadlineExceeded
	case m.ended || m.fault.Code != 0:
		m.write(p)
	default:
		s.receiveHeader(ctx, p)
	}
	return nil
}

// receiveHeader takes octets of which at least the first are of the header.
func (s *session) receiveHeader(ctx context.Context, p []byte) {
	m := s.tx.content
	if m.head == nil {
		m.foreign.cut(p, m.write, func() bool { return m.fault.Code == 0 && m.in.BetweenFields() })
		if m.fault.Code == 0 {
			s.checkHeader(m.in)
		}
		return
	}
	_, _ = m.head.Write(p) // It never fails.
	m.buffer = append(m.buffer, p...)
	if err := m.held.Grow(cap(m.buffer) + m.head.Memory()); err != nil {
		m.refuse(replyTo(err), err)
		return
	}
	if s.checkHeader(m.head); m.ended {
		s.submit(ctx)
	}
}

// headerReader knows where the header of a message ends, when it does.
type headerReader interface {
	Header() (h message.Header, known bool)
	HeaderSize() int64
	BetweenFields() bool // a field that came next would be of it, for sure
}

func (s *session) checkHeader(r headerReader) {
	m, l := s.tx.content, &s.srv.limits
	if r.HeaderSize() > int64(l.HeaderSize) {
		m.refuse(status(552, 5, 3, 4, fmt.Sprintf("the header is larger than %d octets", l.HeaderSize)), nil)
		return
	}
	if m.header, m.ended = r.Header(); m.header.Received >= l.Hops || len(m.header.DeliveredTo) > l.Hops {
		m.refuse(status(554, 5, 4, 6, "too many hops: this looks like a loop"), nil)
	}
}

// submit checks and edits the header of a submitted message (RFC 6409 §6, §8),
// and passes on what there is.
func (s *session) submit(ctx context.Context) {
	m := s.tx.content
	if m.fault.Code != 0 {
		return
	}
	header, body := s.completedHeader(m.buffer[:m.header.Size]), m.buffer[m.header.Size:]
	found := readSubmitted(header)
	if r, cause := s.checkOriginators(ctx, header, found); !r.Positive() {
		m.refuse(r, cause)
		return
	}
	add := s.additions(found)
	if add.id != "" {
		m.givenID = "<" + add.id + ">"
	}
	m.write(appendEdited(nil, header, m.header.Lead, add))
	m.write(body)
	m.buffer, m.head = nil, nil
	m.held.Release()
}

// additions are what the header lacks. A message without From gets the address
// of who sends it.
func (s *session) additions(found submitted) (add additions) {
	add.claims = s.srv.cfg.Claims
	if !found.date {
		add.date = s.srv.cfg.Now()
	}
	if !found.id {
		add.id = s.tx.id + "@" + string(s.srv.cfg.Hostname)
	}
	if len(found.from) == 0 {
		if add.from = mail.Address(s.client.ReversePath); add.from.IsZero() {
			add.from = s.client.Principal.Address
		}
	}
	return add
}

// checkOriginators says whether the principal may write as all whom From and
// Sender name. Each may stand once: which of two a reader shows, who knows. What
// is sent again (RFC 5322 §3.6.6: a client's "redirect") keeps its From, and is
// by whom the newest Resent block names.
func (s *session) checkOriginators(ctx context.Context, header []byte, found submitted) (smtp.Reply, error) {
	var strict smtp.LineChecker
	if strict.Check(header) != nil { // Only a BINARYMIME message can have them.
		return status(554, 5, 6, 0, "the header has a CR or LF that is not part of CRLF"), nil
	}
	switch {
	case len(found.from) > 1 || len(found.sender) > 1:
		return status(554, 5, 6, 0, "the message has two From or Sender fields"), nil
	case found.disguised:
		return status(554, 5, 6, 0, "a field name that looks like From or Sender has a character that is not allowed"), nil
	case len(found.resent.from) == 0: // A block that names nobody takes nobody's place.
		if r, err := s.checkFields(ctx, "", found.originators); !r.Positive() {
			return r, err
		}
	}
	return s.checkFields(ctx, "Resent-", found.resent)
}

// checkFields is checkOriginators for the fields From and Sender whose names
// begin with prefix.
func (s *session) checkFields(ctx context.Context, prefix string, o originators) (smtp.Reply, error) {
	for i, value := range append(o.from, o.sender...) {
		name := prefix + "From"
		if i >= len(o.from) {
			name = prefix + "Sender"
		}
		addresses, err := message.ParseOriginators(value)
		switch {
		case err != nil:
			return status(554, 5, 6, 0, "the field "+name+" cannot be taken: "+replyTo(err).Text), nil
		case i >= len(o.from) && len(addresses) > 1:
			return status(554, 5, 6, 0, "the field "+name+" cannot be taken: it may name one address only"), nil
		}
		for _, a := range addresses {
			if name == "From" && s.tx.content.author == "" {
				s.tx.content.author = a.Domain
			}
			r, err := s.checkSender(ctx, a)
			if r.Code == 550 {
				r = s.notAs(a, ", whom the field "+name+" names")
			}
			if !r.Positive() {
				return r, err
			}
		}
	}
	return smtp.Reply{Code: 250}, nil
}

// finish is told that the message is complete.
func (s *session) finish(ctx context.Context) {
	m := s.tx.content
	switch {
	case m.ended || m.fault.Code != 0:
	case m.head != nil:
		m.head.Finish()
		s.checkHeader(m.head)
		s.submit(ctx)
	default:
		if m.foreign.end(m.write); m.fault.Code != 0 {
			return
		}
		if _, err := m.in.Finish(); err != nil {
			m.refuse(replyTo(err), err)
			return
		}
		s.checkHeader(m.in)
	}
}
