package dsn

import (
	"strings"
	"time"

	"yubin/internal/mail"
)

// holdUntil begins the value of Future-Release-Request. Deviation: it stands also
// for a sender who said for how long, for that is when the message was released.
const holdUntil = "until;"

// fieldWriter writes the body of message/delivery-status or, if global, of
// message/global-delivery-status.
type fieldWriter struct {
	dst    []byte
	global bool
}

// needsGlobal reports whether r has an address that only RFC 6533 can write.
func (r *Report) needsGlobal() bool {
	for i := range r.Recipients {
		if r.Recipients[i].Original.NeedsUTF8() || r.Recipients[i].Final.NeedsUTF8() {
			return true
		}
	}
	return false
}

// report is per-message-fields and the groups of per-recipient-fields.
func (w *fieldWriter) report(r *Report) {
	w.text("Original-Envelope-Id", string(r.EnvelopeID))
	w.mta("Reporting-MTA", r.ReportingMTA)
	w.mta("DSN-Gateway", r.Gateway)
	w.mta("Received-From-MTA", r.ReceivedFrom)
	w.dst = appendDate(w.dst, "Arrival-Date", r.Arrival)
	w.dst = appendDate(w.dst, "Deliver-By-Date", r.DeliverBy)
	if !r.HeldUntil.IsZero() {
		w.text("Future-Release-Request", holdUntil+r.HeldUntil.UTC().Format(time.RFC3339))
	}
	for i := range r.Recipients {
		w.dst = append(w.dst, "\r\n"...)
		w.recipient(&r.Recipients[i])
	}
}

// recipient is per-recipient-fields, in the order of RFC 3464 §2.3.
func (w *fieldWriter) recipient(r *Recipient) {
	w.address("Original-Recipient", r.Original)
	w.address("Final-Recipient", r.Final)
	w.text("Action", r.Action.String())
	w.text("Status", r.Status.String())
	w.mta("Remote-MTA", r.RemoteMTA)
	w.typed("Diagnostic-Code", r.Diagnostic.Type, cleanLines(r.Diagnostic.Text))
	w.dst = appendDate(w.dst, "Last-Attempt-Date", r.LastAttempt)
	w.text("Final-Log-ID", r.FinalLogID)
	if r.Action == Delayed {
		w.dst = appendDate(w.dst, "Will-Retry-Until", r.WillRetryUntil)
	}
}

func (w *fieldWriter) text(name, value string) {
	if value = cleanLine(value, MaxValue); value != "" {
		w.dst = appendField(w.dst, name, w.charset(value))
	}
}

func (w *fieldWriter) mta(name string, m MTA) {
	if m.Type == "dns" { // no comment, which a space would start
		m.Name = strings.ReplaceAll(m.Name, " ", "")
	}
	w.typed(name, m.Type, cleanLine(m.Name, MaxValue))
}

// address writes t; of type utf-8 as utf-8-address where that can be read
// again, else encoded (RFC 6533 §3).
func (w *fieldWriter) address(name string, t TypedAddress) {
	value := cleanLine(t.Value, MaxValue)
	if t.Type == utf8Type && (!w.global || strings.Contains(value, `\`)) {
		value = string(mail.AppendUnitext(nil, value, !w.global))
	}
	w.typed(name, t.Type, value)
}

// typed writes a field of a type, ";" and a text; nothing without text.
func (w *fieldWriter) typed(name, kind, value string) {
	if value == "" {
		return
	}
	if !isAtom(kind) {
		kind = "unknown"
	}
	w.dst = appendField(w.dst, name, kind+"; "+w.charset(value))
}

func (w *fieldWriter) charset(value string) string {
	if w.global {
		return value
	}
	return toASCII(value)
}
