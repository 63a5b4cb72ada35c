package dsn

import (
	"bytes"
	"io"

	"yubin/internal/message"
)

// Parse reads a report that is the message b. False if b has no
// delivery-status part; what such a part does not say, or not in a way that
// can be read, is zero in the Report.
//
// Quirk: actions and statuses that are missing are made from each other and
// from the diagnostic; recipients without an empty line between them are
// parted where a field would stand twice.
func Parse(b []byte) (Report, bool) { return Read(message.Parse(b), bytes.NewReader(b)) }

// Read is Parse of the message m, whose octets are at octets. Octets that
// cannot be read count as not there.
func Read(m *message.Message, octets io.ReaderAt) (Report, bool) {
	parent, status := findStatus(m.Root)
	if status == nil {
		return Report{}, false
	}
	r := readFields(readPart(status, octets, MaxStatusPart))
	if parent != nil {
		r.MessageID = originalID(parent, octets)
	}
	return r, true
}

// findStatus finds the first delivery-status part, and what it is in. Parts of
// an embedded message are not looked at: a returned message may itself be a
// report.
func findStatus(p *message.Part) (parent, status *message.Part) {
	if isStatus(p) {
		return nil, p
	}
	if !p.IsMultipart() {
		return nil, nil
	}
	for _, c := range p.Children {
		if in, s := findStatus(c); s != nil {
			if in == nil {
				in = p
			}
			return in, s
		}
	}
	return nil, nil
}

func isStatus(p *message.Part) bool {
	return p.Type == "message" && (p.Subtype == "delivery-status" || p.Subtype == "global-delivery-status")
}

// readPart returns the decoded body of p, at most limit octets of it.
func readPart(p *message.Part, octets io.ReaderAt, limit int64) []byte {
	body := io.NewSectionReader(octets, p.Body, p.Size())
	b, _ := io.ReadAll(io.LimitReader(message.NewDecoder(body, p.Encoding), limit)) // as much as there is
	return b
}

// originalID returns the message-id of the returned message or header beside
// the status part. RFC 6533 §4.4: any of the types go together.
func originalID(report *message.Part, octets io.ReaderAt) string {
	for _, p := range report.Children {
		var header []byte
		switch p.Type + "/" + p.Subtype {
		case "message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers":
			header = readPart(p, octets, MaxHeader)
		}
		if id := message.Parse(header).MessageID; id != "" {
			return id
		}
	}
	return ""
}
