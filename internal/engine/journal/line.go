package journal

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// line is an Entry as it is written. Keys has the folded form of each address
// that is not in it already: what Find looks for stands in the line as it is.
type line struct {
	At          int64    `json:"t"` // milliseconds since 1970
	Kind        Kind     `json:"k"`
	Service     string   `json:"svc"`
	Session     string   `json:"s"`
	Transaction string   `json:"x"`
	Remote      string   `json:"ip"`
	Hello       string   `json:"helo"`
	TLS         string   `json:"tls"`
	User        string   `json:"user"`
	Sender      string   `json:"from"`
	Recipients  []string `json:"to"`
	Keys        []string `json:"key"`
	MessageID   string   `json:"mid"`
	Size        int64    `json:"size"`
	Took        int64    `json:"us"`
	Item        int64    `json:"item"`
	Filed       []int64  `json:"filed"` // account, mailbox, UID of each
	Copies      []string `json:"copy"`  // of each the rule that made it, "" for none; left out where there is none
	Code        int      `json:"code"`
	Enhanced    string   `json:"enh"`
	Text        string   `json:"text"`
	Verdict     string   `json:"verdict"`
}

// Octets is how many octets of a day file e takes.
func (e *Entry) Octets() int { return len(appendLine(nil, e)) }

// appendLine appends e and a newline. It writes what json.Marshal would, in a
// tenth of the time.
func appendLine(b []byte, e *Entry) []byte {
	b = append(b, `{"t":`...)
	b = strconv.AppendInt(b, e.At.UnixMilli(), 10)
	b = appendInt(b, "k", int64(e.Kind))
	b = appendText(b, "svc", e.Service)
	b = appendText(b, "s", e.Session)
	b = appendText(b, "x", e.Transaction)
	if e.Remote.IsValid() {
		b = append(b, `,"ip":"`...)
		b = e.Remote.AppendTo(b)
		b = append(b, '"')
	}
	b = appendText(b, "helo", e.Hello)
	b = appendText(b, "tls", e.TLS)
	b = appendText(b, "user", e.User)
	b = appendEnvelope(b, e)
	b = appendText(b, "mid", e.MessageID)
	b = appendInt(b, "size", e.Size)
	b = appendInt(b, "us", e.Took.Microseconds())
	b = appendInt(b, "item", int64(e.Item))
	b = appendFiled(b, e.Filed)
	b = appendInt(b, "code", int64(e.Code))
	b = appendText(b, "enh", e.Enhanced)
	b = appendText(b, "text", e.Text)
	if e.Verdict != "" {
		b = appendQuoted(appendKey(b, "verdict"), clip(e.Verdict, MaxVerdict))
	}
	return append(b, '}', '\n')
}

func appendInt(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), n, 10)
}

func appendText(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(appendKey(b, key), s)
}

func appendKey(b []byte, key string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendFiled(b []byte, filed []Filed) []byte {
	if len(filed) == 0 {
		return b
	}
	b = appendKey(b, "filed")
	open := byte('[')
	for _, f := range filed[:min(len(filed), MaxRecipients)] {
		for _, n := range [...]int64{int64(f.Account), int64(f.Mailbox), int64(f.UID)} {
			b = append(b, open)
			b = strconv.AppendInt(b, n, 10)
			open = ','
		}
	}
	b = append(b, ']')
	if !slices.ContainsFunc(filed, func(f Filed) bool { return f.Copy != "" }) {
		return b
	}
	b = appendKey(b, "copy")
	open = '['
	for _, f := range filed[:min(len(filed), MaxRecipients)] {
		b = appendString(append(b, open), f.Copy)
		open = ','
	}
	return append(b, ']')
}

// appendEnvelope writes sender and recipients, and the keys of those that are
// not their own.
func appendEnvelope(b []byte, e *Entry) []byte {
	sender := mail.Address(e.ReversePath)
	recipients := e.Recipients[:min(len(e.Recipients), MaxRecipients)]
	b = appendText(b, "from", sender.String())
	open := `,"to":[`
	for _, r := range recipients {
		b = appendString(append(b, open...), r.String())
		open = `,`
	}
	if len(recipients) > 0 {
		b = append(b, ']')
	}
	open = `,"key":[`
	folded := false
	for i := -1; i < len(recipients); i++ {
		a := sender
		if i >= 0 {
			a = recipients[i]
		}
		if k := a.Key(); k != a {
			b = appendString(append(b, open...), k.String())
			open, folded = `,`, true
		}
	}
	if folded {
		b = append(b, ']')
	}
	return b
}

// appendString writes s, cut to MaxText, as a JSON string (RFC 8259 §7).
func appendString(b []byte, s string) []byte { return appendQuoted(b, clip(s, MaxText)) }

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		b = appendEscape(b, s[i])
		from = i + 1
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	if c == '"' || c == '\\' {
		return append(b, '\\', c)
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// clip makes s valid UTF-8 of at most most octets.
func clip(s string, most int) string {
	if len(s) > most {
		n := most
		for n > most-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	if !utf8.ValidString(s) {
		s = clip(strings.ToValidUTF8(s, "\uFFFD"), most)
	}
	return s
}

// parseLine reads what appendLine wrote. ok is false for what is no entry.
func parseLine(text []byte) (e Entry, ok bool) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil || l.Kind < Accepted || l.Kind > Refused || len(l.Filed)%3 != 0 || len(l.Copies) != 0 && len(l.Copies) != len(l.Filed)/3 {
		return e, false
	}
	e = Entry{At: time.UnixMilli(l.At), Kind: l.Kind, Service: l.Service, Session: l.Session, Transaction: l.Transaction,
		Hello: l.Hello, TLS: l.TLS, User: l.User, MessageID: l.MessageID, Size: l.Size,
		Took: time.Duration(l.Took) * time.Microsecond, Item: spool.ItemID(l.Item), Code: l.Code, Enhanced: l.Enhanced, Text: l.Text,
		Verdict: l.Verdict}
	var err error
	if l.Remote != "" {
		if e.Remote, err = netip.ParseAddrPort(l.Remote); err != nil {
			return e, false
		}
	}
	for i := 0; i < len(l.Filed); i += 3 {
		f := Filed{Account: mail.AccountID(l.Filed[i]), Mailbox: mail.MailboxID(l.Filed[i+1]), UID: mail.UID(l.Filed[i+2])}
		if len(l.Copies) > 0 {
			f.Copy = l.Copies[i/3]
		}
		e.Filed = append(e.Filed, f)
	}
	return e, e.setEnvelope(l)
}

func (e *Entry) setEnvelope(l line) bool {
	if l.Sender != "" {
		a, err := mail.ParseAddress(l.Sender)
		if err != nil {
			return false
		}
		e.ReversePath = mail.ReversePath(a)
	}
	for _, s := range l.Recipients {
		a, err := mail.ParseAddress(s)
		if err != nil {
			return false
		}
		e.Recipients = append(e.Recipients, a)
	}
	return true
}
