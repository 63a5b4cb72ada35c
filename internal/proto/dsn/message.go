package dsn

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
)

// Options are what a Message needs beside its Report.
type Options struct {
	To        mail.ReversePath // of the original; never the null one
	From      mail.Address     // of the people who run this mail system: postmaster (RFC 3464 §2)
	Date      time.Time        // now, in the zone to show; all times are shown in its zone
	ID        string           // random, never used before: MinID to MaxID letters, digits, "-" and "_"
	Languages []Language       // of the text, in order, each once; none is English
	Original  io.Reader        // the original message, or with RetHeaders its header; nil if it cannot be had
	Body      mail.Body        // of the original, as its envelope said
	UTF8      bool             // the original came with SMTPUTF8
	Ret       mail.Ret         // what the sender asked for
	SevenBit  bool             // write a message for a way back without 8BITMIME and SMTPUTF8
	Copy      string           // the rule that made the original, which is a copy: To are the people who run this mail system
	Forward   bool             // the original was kept in the mailbox of To, and sent on from there
	Lost      bool             // the original is itself a report, whose reader cannot be reached: To are the people who run this mail system
}

// Message is a Report as a message, ready to be written once.
type Message struct {
	report   Report
	opts     Options
	original *original // nil if there is none
	global   bool      // the second part is message/global-delivery-status
}

// New makes a Message of r, and reads the header of the original. The error is
// of kind Invalid where r or o cannot be right; else the original could not be
// read. The original is returned whole if r and o.Ret allow it (see
// Report.Returns) and the way back can carry it: BINARYMIME is never returned
// whole, and with SevenBit only what is 7bit or, being message/global, may be
// encoded (RFC 6522 §3, RFC 6533 §4.5).
func New(r Report, o Options) (*Message, error) {
	if err := check(&r, &o); err != nil {
		return nil, err
	}
	if len(o.Languages) == 0 {
		o.Languages = []Language{English}
	}
	r.shareDiagnostics()
	m := &Message{report: r, opts: o, global: !o.SevenBit && r.needsGlobal()}
	if o.Original != nil {
		var err error
		if m.original, err = readOriginal(&o, r.Returns(o.Ret)); err != nil {
			return nil, fmt.Errorf("read the original: %w", err)
		}
		m.report.MessageID = m.original.about.MessageID
	}
	return m, nil
}

func check(r *Report, o *Options) error {
	switch {
	case o.To.IsNull():
		return mail.Errorf(mail.Invalid, "there is no report to the null reverse-path")
	case o.From.IsZero():
		return mail.Errorf(mail.Invalid, "a report needs a From address")
	case !validID(o.ID):
		return mail.Errorf(mail.Invalid, "the ID of a report must be %d to %d letters and digits", MinID, MaxID)
	case r.ReportingMTA == MTA{} || len(r.Recipients) == 0:
		return mail.Errorf(mail.Invalid, "a report needs a reporting MTA and a recipient")
	}
	for _, l := range o.Languages {
		if l >= languages {
			return mail.Errorf(mail.Invalid, "there is no language %d", l)
		}
	}
	for i := range r.Recipients {
		if p := &r.Recipients[i]; p.Final.Value == "" || p.Action == 0 || p.Action > Expanded || p.Status.IsZero() {
			return mail.Errorf(mail.Invalid, "recipient %d of a report lacks an address, an action or a status", i+1)
		}
	}
	return nil
}

// shareDiagnostics cuts the words of remotes so that all of them, which may
// stand in several encodings while a message is made, stay within MaxDiagnostics.
func (r *Report) shareDiagnostics() {
	most := max(MaxDiagnostics/len(r.Recipients), MaxDiagnosticLine/2)
	r.Recipients = slices.Clone(r.Recipients)
	for i := range r.Recipients {
		if d := &r.Recipients[i].Diagnostic; len(d.Text) > most {
			d.Text = strings.ToValidUTF8(d.Text[:most], "")
		}
	}
}

func validID(id string) bool {
	for i := range len(id) {
		if c := id[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return len(id) >= MinID && len(id) <= MaxID
}

// Envelope returns the envelope to send m with (RFC 3461 §6.1): from <>, and
// the extensions that m needs.
func (m *Message) Envelope() mail.Envelope {
	e := mail.Envelope{Recipients: []mail.Recipient{{Address: mail.Address(m.opts.To)}}, UTF8: m.needsUTF8()}
	if m.eightBit() {
		e.Body = mail.Body8BitMIME
	}
	return e
}

func (m *Message) needsUTF8() bool {
	return m.opts.From.NeedsUTF8() || mail.Address(m.opts.To).NeedsUTF8() || m.original != nil && m.original.needsUTF8()
}

// eightBit reports whether a part of m is in 8bit. Only message/global and the
// like, and the original, ever are.
func (m *Message) eightBit() bool {
	return m.global || m.original != nil && m.original.encoding == enc8Bit
}

// MessageID returns the message-id of m, without angle brackets.
func (m *Message) MessageID() string { return m.opts.ID + "@" + string(m.opts.From.Domain) }

// WriteTo writes m, once. The error is that of w or of the original, after
// which what was written is no whole message.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	if _, err := c.Write(m.appendText(m.appendDelimiter(m.appendHeader(nil)))); err != nil {
		return c.n, err
	}
	buf := m.appendStatus(m.appendDelimiter(nil))
	if m.original == nil {
		_, err := c.Write(m.appendEnd(buf))
		return c.n, err
	}
	buf = m.original.appendHeader(m.appendDelimiter(buf))
	if _, err := c.Write(buf); err != nil {
		return c.n, err
	}
	if err := m.original.copyTo(c); err != nil {
		return c.n, err
	}
	_, err := c.Write(m.appendEnd(nil))
	return c.n, err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// boundary starts with what neither base64 nor quoted-printable can have.
func (m *Message) boundary() string { return "=_" + m.opts.ID }

func (m *Message) appendDelimiter(dst []byte) []byte {
	return append(append(append(dst, "\r\n--"...), m.boundary()...), "\r\n"...)
}

func (m *Message) appendEnd(dst []byte) []byte {
	return append(append(append(dst, "\r\n--"...), m.boundary()...), "--\r\n"...)
}

// appendHeader appends the header of the whole. The From name is in the first
// language, as is the subject.
func (m *Message) appendHeader(dst []byte) []byte {
	o := &m.opts
	words := m.words(o.Languages[0])
	dst = appendField(dst, "From", encodeWords(words.system)+" <"+o.From.String()+">")
	dst = appendField(dst, "To", o.To.String())
	dst = appendField(dst, "Subject", encodeWords(m.subject(words)))
	dst = appendDate(dst, "Date", o.Date)
	dst = appendField(dst, "Message-ID", "<"+m.MessageID()+">")
	if id := m.report.MessageID; isMessageID(id) {
		dst = appendField(dst, "In-Reply-To", "<"+id+">")
		dst = appendField(dst, "References", "<"+id+">")
	}
	// RFC 3834 §5.2: no report, also not of a delay, is auto-generated.
	dst = appendField(dst, "Auto-Submitted", "auto-replied")
	dst = appendField(dst, "MIME-Version", "1.0")
	kind := "delivery-status"
	if m.global {
		kind = "global-delivery-status" // the subtype of the second part (RFC 6522 §3)
	}
	dst = appendField(dst, "Content-Type", "multipart/report; report-type="+kind+";\nboundary=\""+m.boundary()+`"`)
	if m.eightBit() {
		dst = appendField(dst, "Content-Transfer-Encoding", enc8Bit)
	}
	return append(dst, "\r\n"...)
}

// isMessageID reports whether id can stand in References: whatever the
// original says, it must not break our header.
func isMessageID(id string) bool {
	return id != "" && isPrintableASCII(id) && !strings.ContainsAny(id, " <>")
}

// appendStatus appends the second part.
func (m *Message) appendStatus(dst []byte) []byte {
	dst = appendField(dst, "Content-Description", "Delivery report")
	if m.global {
		dst = appendField(dst, "Content-Type", "message/global-delivery-status")
		dst = appendField(dst, "Content-Transfer-Encoding", enc8Bit)
	} else {
		dst = appendField(dst, "Content-Type", "message/delivery-status")
	}
	w := fieldWriter{dst: append(dst, "\r\n"...), global: m.global}
	report := m.report.in(m.opts.Date.Location())
	w.report(&report)
	return w.dst
}

// in returns r with its times in the zone of loc.
func (r *Report) in(loc *time.Location) Report {
	out := *r
	out.Arrival, out.DeliverBy = inZone(r.Arrival, loc), inZone(r.DeliverBy, loc)
	out.Recipients = slices.Clone(r.Recipients)
	for i := range out.Recipients {
		p := &out.Recipients[i]
		p.LastAttempt, p.WillRetryUntil = inZone(p.LastAttempt, loc), inZone(p.WillRetryUntil, loc)
	}
	return out
}

func inZone(t time.Time, loc *time.Location) time.Time {
	if t.IsZero() {
		return t
	}
	return t.In(loc)
}
