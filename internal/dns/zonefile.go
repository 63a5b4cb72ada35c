package dns

import (
	"strconv"
	"strings"
	"time"
)

// maxString is how many octets a string of a TXT record has (RFC 1035 §3.3).
const maxString = 255

// QuoteTXT writes the text of a TXT record as zone files have it (RFC 1035 §5.1): strings
// of at most 255 octets in quotes, which readers join (RFC 7208 §3.3). Octets that are not
// printable ASCII are \DDD.
func QuoteTXT(text string) string {
	var b strings.Builder
	for first := true; first || text != ""; first = false {
		if !first {
			b.WriteByte(' ')
		}
		part := text[:min(len(text), maxString)]
		text = text[len(part):]
		b.WriteByte('"')
		for _, c := range []byte(part) {
			switch {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < ' ' || c > '~':
				b.Write([]byte{'\\', '0' + c/100, '0' + c/10%10, '0' + c%10})
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	return b.String()
}

// ZoneRecord is a record as somebody writes it into a zone.
type ZoneRecord struct {
	Name Name
	Type Type
	TTL  time.Duration
	// Value is what it holds, as zone files have it, names in it with the dot at the
	// end; but of TXT it is the text itself.
	Value string
}

// Data is Value as a zone file has it.
func (r ZoneRecord) Data() string {
	if r.Type == TypeTXT {
		return QuoteTXT(r.Value)
	}
	return r.Value
}

// Line is the record as a line of a zone file, with its whole name.
func (r ZoneRecord) Line() string { return r.line(r.Name.FQDN()) }

// LineIn is Line for a file with that $ORIGIN: the name is relative to it, if it is there
// or below.
func (r ZoneRecord) LineIn(origin Name) string {
	switch {
	case r.Name == origin:
		return r.line("@")
	case !origin.IsRoot() && r.Name.Within(origin):
		return r.line(strings.TrimSuffix(string(r.Name), "."+string(origin)))
	}
	return r.Line()
}

func (r ZoneRecord) line(name string) string {
	return name + " " + strconv.FormatInt(int64(r.TTL/time.Second), 10) + " IN " + r.Type.String() + " " + r.Data()
}
