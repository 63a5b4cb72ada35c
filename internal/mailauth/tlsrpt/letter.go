package tlsrpt

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// The media types of a report (RFC 8460 §6.4, §6.5).
const (
	MediaJSON = "application/tlsrpt+json"
	MediaGzip = "application/tlsrpt+gzip"
)

// Letter is the mail that carries a report (RFC 8460 §5.3).
type Letter struct {
	From      mail.Address // of a domain that signs for it, or the report is not believed
	To        []mail.Address
	About     mail.Domain // whose sessions it tells of
	Submitter mail.Domain // who reports: the domain of the report's contact
	Host      mail.Domain // that reports, for the Message-ID
	Date      time.Time
	Report    Report
	Packed    []byte // its document, packed with gzip
	Note      string // a sentence for people, in ASCII; "" for none
}

// MessageID is the one of the letter, with its angles. That of a report that is sent
// again is the same.
func (l *Letter) MessageID() string { return "<" + l.Report.ID + "@" + string(l.Host) + ">" }

// Write writes the message: its lines are of ASCII, end with CRLF and are short. It asks
// that no TLS be insisted on (RFC 8689 §3): a report of what is broken must not wait for
// its repair (RFC 8460 §3). The error is that of w.
func (l *Letter) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	r := l.Report
	to := make([]string, len(l.To))
	for i, a := range l.To {
		to[i] = a.String()
	}
	boundary := "=_" + r.ID
	fmt.Fprintf(b, "From: TLS reports <%s>\r\nTo: %s\r\n", l.From, strings.Join(to, ",\r\n "))
	fmt.Fprintf(b, "Date: %s\r\nMessage-ID: %s\r\n", l.Date.Format("Mon, 2 Jan 2006 15:04:05 -0700"), l.MessageID())
	fmt.Fprintf(b, "Subject: Report Domain: %s\r\n Submitter: %s\r\n Report-ID: %s\r\n", l.About, l.Submitter, l.MessageID())
	fmt.Fprintf(b, "TLS-Report-Domain: %s\r\nTLS-Report-Submitter: %s\r\nTLS-Required: No\r\n", l.About, l.Submitter)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n")
	fmt.Fprintf(b, "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"%s\"\r\n\r\n", boundary)
	fmt.Fprintf(b, "--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n", boundary)
	fmt.Fprintf(b, "This is a report (RFC 8460) about TLS with the mail servers of\r\n%s\r\nfrom %s,\r\nabout sessions from %s\r\nto %s.\r\n",
		l.About, l.Submitter, r.Begin.UTC().Format(time.RFC1123), r.End.UTC().Format(time.RFC1123))
	fmt.Fprintf(b, "\r\nIt is sent because the record at %s of the domain asks for it.\r\n", Label)
	if l.Note != "" {
		b.WriteString(l.Note + "\r\n")
	}
	fmt.Fprintf(b, "--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n", boundary, MediaGzip)
	fmt.Fprintf(b, "Content-Disposition: attachment;\r\n filename=\"%s\"\r\n\r\n", r.Filename(l.Submitter, l.About))
	armour := message.NewBase64Lines(b)
	_, _ = armour.Write(l.Packed) // Errors stick to b.
	_ = armour.Close()
	fmt.Fprintf(b, "--%s--\r\n", boundary)
	return b.Flush()
}

// Attachments are the parts of a message that may hold a report about TLS, likely ones
// first, at most MaxParts; none if it is no mail with such a report.
func Attachments(root *message.Part) []*message.Part {
	isReport := root.Type == "multipart" && root.Subtype == "report" && strings.EqualFold(root.Param("report-type"), "tlsrpt")
	var likely, maybe []*message.Part
	var visit func(*message.Part)
	visit = func(p *message.Part) {
		for _, c := range p.Children {
			visit(c)
		}
		switch name := strings.ToLower(p.Filename()); {
		case len(p.Children) > 0:
		case p.Type == "application" && (p.Subtype == "tlsrpt+gzip" || p.Subtype == "tlsrpt+json"):
			likely = append(likely, p)
		case strings.HasSuffix(name, ".json"), strings.HasSuffix(name, ".json.gz"), isReport && p.Type == "application":
			maybe = append(maybe, p)
		}
	}
	visit(root)
	all := append(likely, maybe...)
	return all[:min(len(all), MaxParts)]
}
