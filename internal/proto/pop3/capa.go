package pop3

import "strings"

// Offer is what this connection may use now, of the things that are not always
// there.
type Offer struct {
	Passwords      bool     // USER and PASS
	Mechanisms     []string // of AUTH
	STLS           bool     // in the Authorization state, without TLS yet
	Implementation string   // name of the program, printable ASCII; "" to keep it to oneself
}

func (o Offer) user() string {
	if !o.Passwords {
		return ""
	}
	return "USER"
}

func (o Offer) sasl() string {
	if len(o.Mechanisms) == 0 {
		return ""
	}
	return "SASL " + strings.Join(o.Mechanisms, " ")
}

func (o Offer) stls() string {
	if !o.STLS {
		return ""
	}
	return "STLS"
}

// Capabilities lists the capabilities (RFC 2449 §5): those of the commands in
// the table, then those that tell how the server behaves. What is announced
// without TLS must stay true in both states; STLS is the exception (RFC 2595 §4).
func Capabilities(o Offer) []string {
	var lines []string
	for i := range verbs {
		if verbs[i].capa == nil {
			continue
		}
		if line := verbs[i].capa(o); line != "" {
			lines = append(lines, line)
		}
	}
	lines = append(lines, "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER")
	if o.Implementation != "" {
		lines = append(lines, "IMPLEMENTATION "+o.Implementation)
	}
	return lines
}

// Language is one in which replies can be worded.
type Language struct{ Tag, Name string }

// Languages lists what LANG offers (RFC 6856 §3). All texts are in English.
func Languages() []Language { return []Language{{Tag: "en", Name: "English"}} }

// MatchLanguage returns the language for a range as LANG gives it: "*" is the
// preferred one; else subtags are cut off the end until one fits (RFC 4647
// §3.4), so that en-GB gets en.
func MatchLanguage(r string) (Language, bool) {
	if r == "*" {
		return Languages()[0], true
	}
	for r != "" {
		for _, l := range Languages() {
			if strings.EqualFold(l.Tag, r) {
				return l, true
			}
		}
		r = r[:max(strings.LastIndexByte(r, '-'), 0)]
	}
	return Language{}, false
}
