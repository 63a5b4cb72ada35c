package pop3

import "strings"

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
