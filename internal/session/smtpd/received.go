package smtpd

import (
	"crypto/tls"
	"net/netip"
	"time"

	"yubin/internal/mail"
)

// dateLayout is date-time of RFC 5322 §3.3.
const dateLayout = "Mon, 2 Jan 2006 15:04:05 -0700"

// traceLine is how long a line of a trace field gets, if it can be folded.
const traceLine = 78

// stamp is what a Received field says (RFC 5321 §4.4).
type stamp struct {
	hello  string
	remote netip.Addr // invalid on a local socket
	by     mail.Domain
	with   string
	tls    tlsInfo
	id     string
	to     mail.Address // zero if there are several recipients
	at     time.Time

	priority string // RFC 6710 §7; "" if the client gave none
}

// with is the protocol keyword of RFC 3848 and RFC 6531 §4.3.
func with(profile Profile, esmtp, utf8, tls, auth bool) string {
	name := "SMTP"
	switch {
	case profile == LMTP:
		name = "LMTP"
	case utf8 && esmtp:
	case esmtp:
		name = "ESMTP"
	default:
		return name // Without EHLO there is no extension to tell of.
	}
	if utf8 {
		name = "UTF8" + name
	}
	if tls {
		name += "S"
	}
	if auth {
		name += "A"
	}
	return name
}

// appendReceived appends a Received field. TLS is told twice: the version as a
// comment, the cipher suite in the clause of RFC 8314 §4.3.
func appendReceived(dst []byte, s stamp) []byte {
	f := folder{dst: append(dst, "Received:"...), width: len("Received:")}
	f.words("from", safeName(s.hello))
	if s.remote.IsValid() {
		f.words("(" + string(mail.LiteralDomain(s.remote)) + ")")
	}
	f.fold()
	f.words("by", string(s.by), "with", s.with)
	if s.tls.on {
		f.words("(" + s.tls.version() + ")")
	}
	f.words("id", s.id)
	if !s.to.IsZero() {
		f.fold()
		f.words("for", "<"+s.to.String()+">")
	}
	if s.priority != "" {
		f.words("PRIORITY", s.priority)
	}
	if s.tls.on {
		f.words("tls", tls.CipherSuiteName(s.tls.cipher))
	}
	f.dst = append(f.dst, ';')
	f.fold()
	f.words(s.at.Format(dateLayout))
	return append(f.dst, "\r\n"...)
}

// folder writes words with a space before each, or a line break where the line
// would get too long.
type folder struct {
	dst   []byte
	width int
}

func (f *folder) words(words ...string) {
	for _, w := range words {
		if f.width > 1 && f.width+1+len(w) > traceLine {
			f.fold()
		}
		if f.width > 1 {
			f.dst = append(f.dst, ' ')
			f.width++
		}
		f.dst = append(f.dst, w...)
		f.width += len(w)
	}
}

// fold goes on in another line.
func (f *folder) fold() {
	f.dst = append(f.dst, "\r\n\t"...)
	f.width = 1
}

// safeName is what of a client's name can stand in a Received field: octets
// that would end the word or begin a comment become "?".
func safeName(name string) string {
	out := []byte(name)
	for i, c := range out {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
		for _, other := range []byte("-._[]:") {
			ok = ok || c == other
		}
		if !ok {
			out[i] = '?'
		}
	}
	return string(out)
}
