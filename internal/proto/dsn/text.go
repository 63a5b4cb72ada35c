package dsn

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"strings"
)

// maxShownSubject is how much of the original's subject, in characters, the
// subject and the text of a report have.
const maxShownSubject = 120

// subject is the subject of m.
func (m *Message) subject(words *phrasebook) string {
	lead := m.report.Leading()
	if title := m.shownSubject(); title != "" {
		return fmt.Sprintf(words.subject[lead], title)
	}
	return words.untitled[lead]
}

// words are those for the reader of m.
func (m *Message) words(l Language) *phrasebook {
	switch {
	case m.opts.Lost:
		return &lostPhrases[l]
	case m.opts.Copy != "":
		return &copyPhrases[l]
	case m.opts.Forward:
		return &forwardPhrases[l]
	}
	return &phrases[l]
}

func (m *Message) shownSubject() string {
	if m.original == nil {
		return ""
	}
	title := []rune(cleanLine(m.original.about.Subject, maxLine))
	if len(title) > maxShownSubject {
		title = append(title[:maxShownSubject-1], '…')
	}
	return string(title)
}

// appendText appends the first part, in all languages one after the other.
func (m *Message) appendText(dst []byte) []byte {
	var text []byte
	var tags []string
	for i, l := range m.opts.Languages {
		if i > 0 {
			text = append(text, "\r\n"+strings.Repeat("-", textColumns)+"\r\n\r\n"...)
		}
		w := textWriter{dst: text, m: m, l: l, words: m.words(l)}
		w.write()
		text = w.dst
		tags = append(tags, l.String())
	}
	dst = appendField(dst, "Content-Description", "Notification")
	dst = appendField(dst, "Content-Type", "text/plain; charset=utf-8")
	dst = appendField(dst, "Content-Language", strings.Join(tags, ", "))
	return appendEncoded(dst, text)
}

// appendEncoded appends the rest of a part's header and the body text in what
// is 7bit: as it is, or in the shorter of two encodings.
func appendEncoded(dst, text []byte) []byte {
	if isASCII(text) {
		return append(append(dst, "\r\n"...), text...)
	}
	var qp, b64 bytes.Buffer
	q := quotedprintable.NewWriter(&qp)
	q.Write(text) // a Buffer takes all
	q.Close()
	b := base64.NewEncoder(base64.StdEncoding, &lineBreaker{w: &b64})
	b.Write(text)
	b.Close()
	name, body := encQP, qp.Bytes()
	if b64.Len() < qp.Len() {
		name, body = encBase64, b64.Bytes()
	}
	dst = appendField(dst, "Content-Transfer-Encoding", name)
	return append(append(dst, "\r\n"...), body...)
}

// textWriter writes the text for a person in one language: what happened to
// whom and why comes first, then what the message was, then who writes.
type textWriter struct {
	dst   []byte
	m     *Message
	l     Language
	words *phrasebook
}

func (w *textWriter) write() {
	for action := Failed; action <= Expanded; action++ {
		w.section(action)
	}
	switch {
	case w.words.hint == "":
	case w.m.opts.Copy != "":
		w.line("", fmt.Sprintf(w.words.hint, cleanLine(w.m.opts.Copy, MaxValue)))
		w.blank()
	default:
		w.line("", w.words.hint)
		w.blank()
	}
	w.about()
	mta := cleanLine(w.m.report.ReportingMTA.Name, MaxValue)
	w.line("", fmt.Sprintf(w.words.sign, mta, w.m.opts.From))
}

// section is about all recipients with the same action.
func (w *textWriter) section(action Action) {
	var group []*Recipient
	for i := range w.m.report.Recipients {
		if p := &w.m.report.Recipients[i]; p.Action == action {
			group = append(group, p)
		}
	}
	switch {
	case len(group) == 0:
		return
	case len(group) == 1:
		w.line("", w.words.one[action])
	default:
		w.line("", w.words.many[action])
	}
	for _, p := range group {
		w.recipient(p)
	}
	w.blank()
}

func (w *textWriter) recipient(p *Recipient) {
	w.blank()
	shown, final := cleanLine(p.Original.Value, MaxValue), cleanLine(p.Final.Value, MaxValue)
	if shown == "" {
		shown = final
	}
	w.verbatim("  ", shown)
	if shown != final {
		w.line("    ", fmt.Sprintf(w.words.forward, final))
	}
	w.outcome(p)
	if words := cleanLines(p.Diagnostic.Text); words != "" {
		w.quote(p, words)
	}
}

// outcome says why, and what the sender can do or expect.
func (w *textWriter) outcome(p *Recipient) {
	if p.Action != Failed && p.Action != Delayed {
		w.line("    ", w.words.note[p.Action])
		return
	}
	why, advice := Explain(p.Status, w.l)
	if p.Diagnostic.Type == "smtp" {
		why, advice = ExplainReply(p.Status, cleanLines(p.Diagnostic.Text), w.l)
	}
	w.line("    ", why+" ["+p.Status.String()+"]")
	switch {
	case p.Action == Failed:
		if p.Status.Class == Temporary {
			w.line("    ", w.words.gaveUp)
		}
		if o := w.m.opts; !o.Lost && o.Copy == "" && !o.Forward { // It is for senders.
			w.line("    ", advice)
		}
	case p.WillRetryUntil.IsZero():
		w.line("    ", w.words.keepOn)
	default:
		w.line("    ", fmt.Sprintf(w.words.until, inZone(p.WillRetryUntil, w.m.opts.Date.Location()).Format(w.words.date)))
	}
}

// quote gives the remote's own words, marked as such. A diagnostic that is no
// SMTP reply, as that of a connection that failed, is in our words.
func (w *textWriter) quote(p *Recipient, words string) {
	w.blank()
	if remote := cleanLine(p.RemoteMTA.Name, MaxValue); remote != "" && p.Diagnostic.Type == "smtp" {
		w.line("    ", fmt.Sprintf(w.words.said, remote))
	} else {
		w.line("    ", w.words.recorded)
	}
	for line := range strings.SplitSeq(words, "\n") {
		w.verbatim("    > ", line)
	}
}

// about says which message this is about, and what of it is attached.
func (w *textWriter) about() {
	m := w.m
	attached, date, id := 0, "", m.report.MessageID
	if m.original != nil {
		attached = 1
		if d := m.original.about.Date; !d.IsZero() {
			date = d.Format(w.words.date)
		}
		if m.original.whole {
			attached = 2
		}
	}
	if id != "" {
		id = "<" + id + ">"
	}
	w.facts(m.shownSubject(), date, id, string(m.report.EnvelopeID))
	w.line("", w.words.attached[attached])
	w.blank()
}

// facts lists those values that there are, each behind its label.
func (w *textWriter) facts(values ...string) {
	head := false
	for i, value := range values {
		if value = cleanLine(value, MaxValue); value == "" {
			continue
		}
		if !head {
			w.line("", w.words.about)
			w.blank()
			head = true
		}
		w.verbatim("  ", w.words.labels[i]+value)
	}
	w.blank()
}

// line writes text of ours, wrapped.
func (w *textWriter) line(indent, text string) { w.dst = appendWrapped(w.dst, indent, text) }

// verbatim writes what must stay on a line.
func (w *textWriter) verbatim(indent, text string) {
	w.dst = append(append(append(w.dst, indent...), text...), "\r\n"...)
}

// blank writes one empty line, unless the last one is.
func (w *textWriter) blank() {
	if len(w.dst) > 0 && !bytes.HasSuffix(w.dst, []byte("\r\n\r\n")) {
		w.dst = append(w.dst, "\r\n"...)
	}
}
