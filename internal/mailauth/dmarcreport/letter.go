package dmarcreport

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// Letter is the mail that carries a report.
type Letter struct {
	From     mail.Address // of a domain that signs for it, or the report is not believed
	To       []mail.Address
	Receiver mail.Domain // who reports: the host that received the mail reported of
	Date     time.Time
	Report   Report
	Note     string // a sentence for people, in ASCII; "" for none
}

// MessageID is the one of the letter, with its angles. That of a report that is sent
// again is the same.
func (l *Letter) MessageID() string {
	return "<" + l.Report.ID + "@" + string(l.Receiver) + ">"
}

// Write writes the message: its lines are of ASCII, end with CRLF and are short. The
// error is that of w.
func (l *Letter) Write(w io.Writer, records iter.Seq[Record]) error {
	b := bufio.NewWriter(w)
	r := l.Report
	to := make([]string, len(l.To))
	for i, a := range l.To {
		to[i] = a.String()
	}
	boundary, file := "=_"+r.ID, Filename(l.Receiver, r)
	fmt.Fprintf(b, "From: DMARC reports <%s>\r\nTo: %s\r\n", l.From, strings.Join(to, ",\r\n "))
	fmt.Fprintf(b, "Date: %s\r\nMessage-ID: %s\r\n", l.Date.Format("Mon, 2 Jan 2006 15:04:05 -0700"), l.MessageID())
	fmt.Fprintf(b, "Subject: Report Domain: %s\r\n Submitter: %s\r\n Report-ID: %s\r\n", r.Published.Domain, l.Receiver, r.ID)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n")
	fmt.Fprintf(b, "Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n", boundary)
	fmt.Fprintf(b, "--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n", boundary)
	fmt.Fprintf(b, "This is a DMARC aggregate report (RFC 9990) for the domain\r\n%s\r\nfrom %s,\r\nabout mail received from %s\r\nto %s.\r\n",
		r.Published.Domain, l.Receiver, r.Begin.UTC().Format(time.RFC1123), r.End.UTC().Format(time.RFC1123))
	b.WriteString("\r\nIt is sent because the DMARC record of the domain asks for it (rua).\r\n")
	if l.Note != "" {
		b.WriteString(l.Note + "\r\n")
	}
	fmt.Fprintf(b, "--%s\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n", boundary)
	fmt.Fprintf(b, "Content-Disposition: attachment;\r\n filename=\"%s\"\r\n\r\n", file)
	armour := message.NewBase64Lines(b)
	z := gzip.NewWriter(armour)
	z.Name = strings.TrimSuffix(file, ".gz")
	if err := Write(z, r, records); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := armour.Close(); err != nil {
		return err
	}
	fmt.Fprintf(b, "--%s--\r\n", boundary)
	return b.Flush()
}
