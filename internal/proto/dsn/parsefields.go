package dsn

import (
	"bytes"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// fieldReader gathers the fields of a delivery-status part.
type fieldReader struct {
	report Report
	now    *Recipient // being read; nil between groups
	full   bool       // MaxRecipients are there, the rest is left out
}

// readFields reads the body of a delivery-status part.
func readFields(b []byte) Report {
	var f fieldReader
	for len(b) > 0 && !f.full {
		var group []byte
		group, b = cutGroup(b)
		for field := range message.Fields(group) {
			f.field(field)
		}
		f.end()
	}
	return f.report
}

// cutGroup returns the lines before the first empty one, and what follows it.
func cutGroup(b []byte) (group, rest []byte) {
	for at := 0; at < len(b); {
		n := bytes.IndexByte(b[at:], '\n') + 1
		if n == 0 {
			break
		}
		if len(bytes.TrimSpace(b[at:at+n])) == 0 {
			return b[:at], b[at+n:]
		}
		at += n
	}
	return b, nil
}

// field takes a field: one of the message until the first of a recipient.
func (f *fieldReader) field(field message.Field) {
	name := strings.ToLower(field.Name)
	value := text(field.Value)
	switch name {
	case "reporting-mta":
		setMTA(&f.report.ReportingMTA, value)
	case "dsn-gateway":
		setMTA(&f.report.Gateway, value)
	case "received-from-mta":
		setMTA(&f.report.ReceivedFrom, value)
	case "original-envelope-id":
		if f.report.EnvelopeID == "" {
			f.report.EnvelopeID = EnvelopeID(value)
		}
	case "arrival-date":
		setDate(&f.report.Arrival, value)
	case "deliver-by-date":
		setDate(&f.report.DeliverBy, value)
	case "future-release-request":
		setHeldUntil(&f.report.HeldUntil, value)
	default:
		f.recipientField(name, value, field)
	}
}

func (f *fieldReader) recipientField(name, value string, field message.Field) {
	switch name {
	case "original-recipient":
		p := f.recipient(func(p *Recipient) bool { return !p.Original.IsZero() || !p.Final.IsZero() })
		p.Original = addressOf(value)
	case "final-recipient":
		p := f.recipient(func(p *Recipient) bool { return !p.Final.IsZero() })
		p.Final = addressOf(value)
	case "action":
		p := f.recipient(func(p *Recipient) bool { return p.Action != 0 })
		p.Action, _ = ParseAction(firstWord(value))
	case "status":
		p := f.recipient(func(p *Recipient) bool { return !p.Status.IsZero() })
		p.Status, _ = mail.ParseEnhanced(firstWord(value))
	case "remote-mta":
		setMTA(&f.recipient(nil).RemoteMTA, value)
	case "diagnostic-code":
		f.recipient(nil).Diagnostic = diagnosticOf(field.Raw)
	case "last-attempt-date":
		setDate(&f.recipient(nil).LastAttempt, value)
	case "final-log-id":
		f.recipient(nil).FinalLogID = value
	case "will-retry-until":
		setDate(&f.recipient(nil).WillRetryUntil, value)
	}
}

// recipient returns the recipient being read; a new one if there is none, or
// if it has already what is to be set.
func (f *fieldReader) recipient(has func(*Recipient) bool) *Recipient {
	if f.now != nil && has != nil && has(f.now) {
		f.end()
	}
	if f.now == nil {
		f.now = new(Recipient)
	}
	return f.now
}

// end takes the recipient being read into the report, if it says anything of
// a delivery.
func (f *fieldReader) end() {
	p := f.now
	f.now = nil
	if p == nil || p.Final.IsZero() && p.Original.IsZero() {
		return
	}
	if f.full = len(f.report.Recipients) == MaxRecipients; f.full {
		return
	}
	p.complete()
	f.report.Recipients = append(f.report.Recipients, *p)
}

// complete makes up for what a report must say and this one does not.
func (p *Recipient) complete() {
	if p.Final.IsZero() {
		p.Final = p.Original
	}
	if p.Status.IsZero() {
		p.Status = StatusOf(p.Diagnostic.Text)
	}
	if p.Action == 0 {
		p.Action = map[uint16]Action{Success: Delivered, Temporary: Delayed, Permanent: Failed}[p.Status.Class]
	}
	if p.Status.IsZero() && p.Action != 0 {
		p.Status = Status{Class: [...]uint16{Failed: Permanent, Delayed: Temporary, Delivered: Success, Relayed: Success,
			Expanded: Success}[p.Action]}
	}
}

// text is the value of a field: raw UTF-8, or other octets by the likeliest
// charset.
func text(value []byte) string {
	if isASCII(value) {
		return cleanLine(string(value), MaxValue)
	}
	return cleanLine(message.DecodeText(value), MaxValue)
}

// cutType parts value at the semicolon behind its type; kind is missing if it
// has none.
func cutType(value, missing string) (kind, rest string) {
	kind, rest, found := strings.Cut(value, ";")
	switch kind = strings.TrimSpace(kind); {
	case found && kind == "":
		return missing, strings.TrimSpace(rest)
	case !found || !isAtom(kind):
		return missing, strings.TrimSpace(value)
	}
	return strings.ToLower(kind), strings.TrimSpace(rest)
}

// setMTA reads an MTA, whose comment, mostly a network address, is left out.
func setMTA(m *MTA, value string) {
	kind, name := cutType(value, "dns")
	if kind == "dns" {
		name = firstWord(name)
	}
	if name != "" && m.Name == "" {
		*m = MTA{kind, name}
	}
}

// addressOf reads an address. Quirk: some put it in angle brackets.
func addressOf(value string) TypedAddress {
	kind, address := cutType(value, rfc822Type)
	if n := len(address); n > 2 && address[0] == '<' && address[n-1] == '>' {
		address = address[1 : n-1]
	}
	if kind == utf8Type {
		if decoded, ok := mail.ParseUnitext(address); ok {
			address = decoded
		}
	}
	if address == "" {
		return TypedAddress{}
	}
	return TypedAddress{kind, address}
}

// diagnosticOf reads a Diagnostic-Code field, whose lines are those of the
// reply where they start with the code of the first, and else folded.
func diagnosticOf(field []byte) Diagnostic {
	_, raw, _ := bytes.Cut(field, []byte(":"))
	raw = raw[:min(len(raw), 2*MaxDiagnostic)]
	var out strings.Builder
	for line := range bytes.Lines(raw) {
		s := string(bytes.TrimRight(line, " \t\r\n"))
		trimmed := strings.TrimLeft(s, " \t")
		switch {
		case out.Len() == 0:
			out.WriteString(trimmed)
		case continuesReply(out.String(), trimmed):
			out.WriteString("\n" + trimmed)
		case strings.HasPrefix(s, " "):
			out.WriteString(s)
		default:
			out.WriteString(" " + trimmed)
		}
	}
	kind, words := cutType(out.String(), "smtp")
	if !isASCII(words) {
		words = decodeLines(words)
	}
	if words = cleanLines(unescape(words)); words == "" {
		return Diagnostic{}
	}
	return Diagnostic{kind, words}
}

// continuesReply reports whether line has the reply code of the diagnostic so far.
func continuesReply(value, line string) bool {
	code, ok := replyCode(line)
	_, words := cutType(value, "smtp")
	first, isReply := replyCode(words)
	return ok && isReply && code == first
}

func decodeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = message.DecodeText([]byte(lines[i]))
	}
	return strings.Join(lines, "\n")
}

// unescape undoes toASCII.
func unescape(s string) string {
	var out strings.Builder
	for {
		i := strings.Index(s, `\x{`)
		if i < 0 {
			out.WriteString(s)
			return out.String()
		}
		r, n := mail.CutEmbedded(s[i:])
		if n == 0 || r < 0x80 {
			r, n = '\\', 1
		}
		out.WriteString(s[:i])
		out.WriteRune(r)
		s = s[i+n:]
	}
}

// setHeldUntil reads the form with a date; that with a number of seconds says
// nothing without the time of submission.
func setHeldUntil(t *time.Time, value string) {
	date, ok := strings.CutPrefix(value, holdUntil)
	if at, err := time.Parse(time.RFC3339, date); ok && err == nil && t.IsZero() {
		*t = at
	}
}

func setDate(t *time.Time, value string) {
	if d, ok := message.ParseDate(value); ok && t.IsZero() {
		*t = d
	}
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}
