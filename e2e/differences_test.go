package e2e

import (
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"regexp"
	"strconv"
	"strings"

	msg "yubin/internal/message"
)

// difference is what yubin and Dovecot answer differently about the same octets,
// and why. The forms are regular expressions; an empty one takes all.
type difference struct {
	how   string // appended, relayed, forwarded
	kinds string // of messages
	items string
	why   string                         // the RFC that decides it, and who is right
	but   func(ours, theirs string) bool // what is the same nevertheless; nil if nothing need be
}

// All that a header which ends elsewhere changes.
const allOfHeader = `BODY\[.*|part .*|envelope .*|SEARCH .*|POP3 TOP .*`

// differences have the first row that fits.
var differences = []difference{
	// Addresses.
	{"", "", `(envelope|part) (from|sender|reply-to|to|cc|bcc)`, "RFC 9051 §7.5.2: a NIL host is group syntax, and nothing says what stands for one that is missing: " +
		"yubin has an empty string, Dovecot words of its own",
		func(a, b string) bool {
			return a == strings.NewReplacer("MISSING_DOMAIN", "", "MISSING_MAILBOX", "").Replace(b)
		}},
	{"", "broken-addresses", `envelope cc`, "RFC 5322 §4.4: empty elements of a list are no addresses: yubin", func(a, b string) bool {
		return a == "NIL" && strings.Count(b, "(NIL NIL MISSING_MAILBOX MISSING_DOMAIN)") == strings.Count(b, "NIL NIL")
	}},
	{"", "broken-addresses", `envelope (from|sender|reply-to|to)`, "RFC 7103 §7.1: what is still an address in a broken list: yubin", nil},

	// Fields that stand twice.
	{"", "broken-(duplicate|returned)", `envelope (subject|message-id)`, "RFC 5322 §3.6 allows one; RFC 9051 §7.5.2 does not say which of two: yubin has the first, Dovecot the last", nil},
	{"appended", "broken-(duplicate|returned)", `SEARCH SUBJECT "(second|first)"`, "RFC 9051 §6.4.4: SUBJECT looks at the subject of the ENVELOPE: both, each at its own", nil},
	{"appended", "broken-duplicate", `SEARCH TEXT "quarterly"`, "RFC 9051 §6.4.4: TEXT finds what is in the body of the message, whatever types it claims: yubin", onlyOurs},

	// Types and parameters.
	{"", "", `part params`, `RFC 9051 §7.5.2: the parameters of the field; that text has a charset if none is named (RFC 2046 §4.1.2) readers know: yubin. Dovecot writes it`,
		func(a, b string) bool { return a == withoutDefault(b) }},
	{"", "broken-type", `part (type|params|lines)`, "RFC 2045 §5.2: a Content-Type that cannot be read counts as text/plain; charset=us-ascii: yubin", nil},
	{"", "broken-type", `part encoding`, "RFC 2045 §6.4: an encoding that is not known is not 7bit: yubin", nil},
	{"", "broken-type", `part disposition`, "RFC 2183 §2: a disposition has a type: yubin", nil},
	{"", "broken-type", `part octets|BODY\[n\]`, "RFC 9051 §9: a multipart has a part, and one without a boundary has none: yubin shows all of its body, Dovecot an empty text",
		func(a, b string) bool { return b == "" || b == "0" }},
	{"appended", "broken-type", `SEARCH (TEXT|BODY) .*`, "RFC 2045 §5.2: it is text and can be searched: yubin", onlyOurs},
	{"", "parameters", `part (params|disposition)`, "RFC 2045 §5.1 has no space in a value without quotes, which mailers write: yubin has all of it, Dovecot the first word",
		func(a, b string) bool {
			return strings.NewReplacer(" words.txt", "", " quotes", "").Replace(a) == withoutDefault(b)
		}},
	{"", "parameters", `part (params|disposition)`, "RFC 2231 §4.1: where one part of a value is encoded, the joined value is, and space and ' are no attribute-char (§7): yubin",
		func(a, b string) bool {
			return a == strings.NewReplacer("b c", "b%20c", "it's", "it%27s").Replace(withoutDefault(b))
		}},
	{"", "parameters", `part (params|disposition)`, "RFC 2231 §3: a value in sections is one value, if there are others of its name too: yubin",
		func(a, b string) bool {
			return a == strings.ReplaceAll(withoutDefault(b), "name*0*=", "name*=")
		}},
	{"", "parameters", `part disposition`, "RFC 2183 §2.8: a disposition that is not known is an attachment: yubin",
		func(a, b string) bool { return strings.TrimPrefix(a, "attachment") == b }},

	{"appended", "broken-two-encodings", `(?s)SEARCH TEXT .*`, "RFC 2045 §6 has one encoding: yubin reads the first, which BODYSTRUCTURE of both shows; Dovecot searches with the last", onlyOurs},

	// Lines and parts.
	{"", "", `part lines`, "RFC 2046 §5.1.1: the last line end is the delimiter's; RFC 9051 §7.5.2 counts lines, and what remains is one: yubin. Dovecot counts line ends",
		func(a, b string) bool { return number(a) == number(b)+1 }},
	{"", "nested", `BODY\[n\]`, "RFC 2046 §5.1.1: the line end before a delimiter belongs to the delimiter: yubin",
		func(a, b string) bool { return strings.TrimRight(a, "\r\n") == strings.TrimRight(b, "\r\n") }},
	{"", "broken-deep", `part .*|BODY\[n.*`, "No RFC says how deep: yubin reads 50 levels, Dovecot 100; and whether --n10 ends n1 (RFC 2046 §5.1.1 looks at the beginning " +
		"of the line: both may), of two boundaries that fit yubin takes the longer", nil},
	{"", "broken-(no-)?boundary", `part (lines|octets)|BODY\[n\]|SEARCH .*`, "RFC 9051 §9: a multipart has a part, and this one has none: yubin shows all of its body, Dovecot an empty text", nil},

	// Where the header ends.
	{"", "broken-no-empty-line", allOfHeader, "RFC 7103 §7.2: without an empty line or a further field the body begins at the stray line, RFC 2046 §5.1.1: and at a delimiter: yubin, and Postfix. " +
		"For Dovecot all is header up to an empty line", nil},
	{"appended", "broken-(headerless|not-a-header)", allOfHeader, "RFC 5322 §2.1: a header is made of fields, and text without fields has none: yubin, and Postfix. " +
		"For Dovecot all is header up to an empty line", nil},
	{"forwarded", "broken-(duplicate|stray-within|stray-first)", allOfHeader, "RFC 7103 §7.2 would have a stray line read as folded, as yubin does; Postfix puts an empty line before it. " +
		"yubin changes nothing that it forwards (RFC 5321 §3.6.3)", nil},

	// What Postfix does on the way.
	{"forwarded", "long-header", `BODY\[(HEADER|n.MIME)\]`, "RFC 5321 §4.5.3.1.6: Postfix folds lines over 1,000 octets",
		func(a, b string) bool { return a == strings.ReplaceAll(b, "x\r\n x", "xx") }},
	{"forwarded", "long-addresses", `BODY\[(HEADER|n.MIME)\]|envelope bcc`, "RFC 5322 §3.6.3: Postfix takes Bcc out of what passes through it; yubin only out of what its own users submit",
		func(a, b string) bool { return without(a, "Bcc") == b || b == "NIL" }},

	// What yubin does on the way.
	{"relayed|forwarded", "long-(lines|text)", `BODY\[(n|TEXT)\]`, "RFC 5321 §4.5.3.1.6: lines over 1,000 octets cannot be sent; yubin encodes them", func(a, b string) bool {
		return a == decodedText("quoted-printable", b) || a == decodedText("base64", b)
	}},
	{"relayed|forwarded", "long-(lines|text)", `BODY\[(HEADER|n.MIME)\]`, "and says so in the header", func(a, b string) bool {
		return without(a, "Content-Transfer-Encoding") == without(b, "Content-Transfer-Encoding")
	}},
	{"relayed|forwarded", "long-(lines|text)", `part (encoding|octets|lines)`, "RFC 9051 §7.5.2 counts what is encoded", nil},

	// Octets that are no lines.
	{"appended", "bare-lf|mixed-ends|utf-.*", `BODY\[.*`, "RFC 9051 §6.3.12: what was appended is what is fetched: yubin. Dovecot makes CRLF of what may be a line end, also in UTF-16, " +
		"where RFC 3516 §4.3 has octets as they are", func(a, b string) bool { return sameLines(a, b) }},
	{"appended", "bare-lf|mixed-ends|utf-.*", `RFC822.SIZE|part octets`, "and the size is that of what is fetched: both, each of its own", nil},
	{"appended", "nul", `part params`, "RFC 9051 §9: no NUL in a string, and no word what else: 0x80 as in RFC 3030's gateways is yubin's, Dovecot has U+FFFD",
		func(a, b string) bool { return strings.ReplaceAll(a, `\x80`, "\ufffd") == b }},
	{"appended", "nul|mixed-ends|no-last-line-end|utf-.*", "LIST", "RFC 1939 §11: the size is what RETR sends, with the line end that is added: yubin",
		func(a, b string) bool { return number(a)-number(b) == 1 || number(a)-number(b) == 2 }},
	{"appended", "nul|mixed-ends|no-last-line-end|utf-.*", "POP3 .*", "RFC 1939 has lines, and RFC 5321 §4.5.2 no NUL in them: yubin sends 0x80 as by IMAP and CR CR LF as it is, Dovecot NUL and CRLF", sameLines},

	// Headers beyond ASCII.
	{"appended", "utf8-header|eight-bit-header|parameters|nul|broken-(addresses|stray-first|stray-within)", `POP3 .*`, "RFC 6856 §2.1: a client that did not say UTF8 gets no octets beyond " +
		"ASCII in a header, but a surrogate (RFC 6858): yubin", surrogateOf},
	{"appended", "utf8-header|eight-bit-header|parameters|nul|broken-(addresses|stray-first|stray-within)", "LIST", "and the size is that of what is sent", nil},

	// Text in charsets.
	{"appended", "eight-bit-header", `(?s)SEARCH (SUBJECT|TEXT) .*`, "RFC 5322 has no octets beyond US-ASCII in a Subject, and RFC 7103 §7.7 has readers guess: yubin guesses the charset of the text", onlyOurs},
}

// surrogateOf reports whether ours is what stands for theirs in ASCII.
func surrogateOf(ours, theirs string) bool {
	s := msg.Parse([]byte(theirs)).Surrogate
	octets, err := io.ReadAll(s.Reader(strings.NewReader(theirs)))
	return err == nil && s.Changes() && sameLines(ours, string(octets))
}

// onlyOurs is what yubin finds and Dovecot does not.
func onlyOurs(ours, theirs string) bool { return ours == "true" && theirs == "false" }

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -10
	}
	return n
}

// withoutDefault takes the charset out of parameters that Dovecot puts there.
func withoutDefault(params string) string {
	return strings.TrimSpace(strings.Replace(" "+params, ` charset="us-ascii"`, "", 1))
}

var lineEnd = regexp.MustCompile("\r*\n|\r*$")

// sameLines reports whether a and b are the same but for line ends and NUL.
func sameLines(a, b string) bool {
	plain := func(s string) string {
		return strings.TrimRight(lineEnd.ReplaceAllString(strings.ReplaceAll(s, "\x00", "\x80"), "\n"), "\n")
	}
	return plain(a) == plain(b)
}

// decodedText decodes a content-transfer-encoding; "" if it cannot be.
func decodedText(encoding, s string) string {
	var r io.Reader = base64.NewDecoder(base64.StdEncoding, strings.NewReader(s))
	if encoding == "quoted-printable" {
		r = quotedprintable.NewReader(strings.NewReader(s))
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return ""
	}
	return string(b)
}
