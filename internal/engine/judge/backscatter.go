package judge

import (
	"bytes"
	"io"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// Returned says whether a message that a report returns went out from here.
type Returned uint8

// The answers.
const (
	ReturnedNone    Returned = iota // it is no report, or returns nothing by which one could tell
	ReturnedOurs                    // the message passed this server
	ReturnedForeign                 // it passed others, and not this one
)

// maxReturned is how much of a returned header is read, in octets: the trace stands at
// its start.
const maxReturned = 32 << 10

// whoseReturned looks at what a report returns (RFC 3462 §2: a message or its
// header). All that goes out from here has a Received field that names us, and so what
// comes back has one. Where there is no Received field at all nobody can tell.
func whoseReturned(sender mail.ReversePath, root *message.Part, octets io.ReaderAt, hostname mail.Domain) Returned {
	if !sender.IsNull() || hostname == "" || root == nil || !root.IsMultipart() {
		return ReturnedNone
	}
	for _, p := range root.Children {
		end := p.End
		switch {
		case p.IsMessage() && len(p.Children) == 1:
			end = p.Children[0].Body
		case p.Type != "text" || p.Subtype != "rfc822-headers":
			continue
		}
		if p.Encoding == "base64" || p.Encoding == "quoted-printable" {
			continue
		}
		header := make([]byte, min(end-p.Body, maxReturned))
		if n, err := octets.ReadAt(header, p.Body); n < len(header) && err != nil {
			continue
		}
		return whose(header, hostname)
	}
	return ReturnedNone
}

// whose reads the trace of a header.
func whose(header []byte, hostname mail.Domain) Returned {
	answer := ReturnedNone
	for f := range message.Fields(header) {
		if !strings.EqualFold(f.Name, "received") {
			continue
		}
		answer = ReturnedForeign
		words := bytes.Fields(f.Value)
		for i, w := range words {
			if i > 0 && strings.EqualFold(string(words[i-1]), "by") && strings.EqualFold(strings.TrimSuffix(string(w), ";"), string(hostname)) {
				return ReturnedOurs
			}
		}
	}
	return answer
}
