// Package lookalike finds names that are made to be taken for others: letters of
// several alphabets in one word, a word in one alphabet that reads like one in
// another, digits for letters, and display names that show an address which is not
// the sender's. It follows the ideas of Unicode Technical Standard 39 (restriction
// levels, §5.2; whole-script confusables, §4) with a small table of its own in the place
// of its 9,000 rows: lower-case letters that look like those of ASCII.
//
// It finds what is odd and weighs nothing: people write their names in their own
// alphabets, and a domain in one script alone is fine unless it could be read as ASCII.
// It has no clock and no log, asks nobody, and looks at no more than MaxName
// octets of a name and MaxText of a text.
package lookalike

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"yubin/internal/mail"
)

// Limits, in octets; what is longer is looked at up to there.
const (
	MaxName = 1 << 10
	MaxText = 64 << 10
)

// alphabets are the scripts that are told apart. All other letters count as one.
var alphabets = []struct {
	name  string
	table *unicode.RangeTable
	asian bool // goes with Latin and with the others of its kind
}{
	{"Latin", unicode.Latin, false},
	{"Cyrillic", unicode.Cyrillic, false},
	{"Greek", unicode.Greek, false},
	{"Armenian", unicode.Armenian, false},
	{"Cherokee", unicode.Cherokee, false},
	{"Coptic", unicode.Coptic, false},
	{"Georgian", unicode.Georgian, false},
	{"Han", unicode.Han, true},
	{"Hiragana", unicode.Hiragana, true},
	{"Katakana", unicode.Katakana, true},
	{"Hangul", unicode.Hangul, true},
	{"Bopomofo", unicode.Bopomofo, true},
}

const (
	latin = 0
	alike = 7 // alphabets before this have letters that look like those of others
	other = 31
)

// set is a set of alphabets by their numbers.
type set uint32

func alphabetOf(r rune) (int, bool) {
	if r < 0x80 {
		return latin, r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	if !unicode.IsLetter(r) {
		return 0, false
	}
	for i := range alphabets {
		if unicode.Is(alphabets[i].table, r) {
			return i, true
		}
	}
	return other, true
}

// of returns the alphabets of a word.
func of(word string) (s set) {
	for _, r := range word {
		if i, ok := alphabetOf(r); ok {
			s |= 1 << i
		}
	}
	return s
}

// mixed reports whether nobody writes a word so: letters of two alphabets that look
// alike. Latin goes with Asian scripts, and with those that nobody confuses with it.
func (s set) mixed() bool {
	n := 0
	for i := range alike {
		if s&(1<<i) != 0 {
			n++
		}
	}
	return n > 1
}

func (s set) String() string {
	var names []string
	for i, a := range alphabets {
		if s&(1<<i) != 0 {
			names = append(names, a.name)
		}
	}
	return strings.Join(names, " and ")
}

// Mixed returns the first word of a text that mixes alphabets which look alike, and
// says which; "" if there is none. Words with few letters are passed over: units
// and formulas are written so.
func Mixed(text string) (word, which string) {
	if isASCII(text) {
		return "", ""
	}
	for w := range strings.FieldsFuncSeq(cut(text, MaxText), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.Is(unicode.Mn, r) }) {
		if len(w) < shortest {
			continue
		}
		if s := of(w); s.mixed() {
			return w, s.String()
		}
	}
	return "", ""
}

// shortest is the least number of octets of a word that Mixed looks at.
const shortest = 5

// Domain says what is deceptive about a domain, or "": a label that mixes
// alphabets, or one that is all letters which look like ASCII, below a top-level
// domain in ASCII.
func Domain(d mail.Domain) string {
	if !strings.Contains(string(d), "xn--") {
		return ""
	}
	labels := strings.Split(d.Unicode(), ".")
	top := labels[len(labels)-1]
	for _, l := range labels {
		s := of(l)
		switch {
		case s.mixed():
			return fmt.Sprintf("%s has a name that mixes %s letters", d, s)
		case s&^(1<<latin) != 0 && s&(1<<latin) == 0 && isASCII(top) && isASCII(Skeleton(l)):
			return fmt.Sprintf("%s reads like %s and is in %s letters", d, Skeleton(l), s)
		}
	}
	return ""
}

// Skeleton is what a name looks like: lower-case, compatibility characters
// and accents taken off, letters of other alphabets as the ASCII ones they look like.
// Two names with one skeleton can be taken for each other.
func Skeleton(s string) string {
	s = strings.ToLower(norm.NFKD.String(cut(s, MaxName)))
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		if like, ok := likeASCII[r]; ok {
			return like
		}
		return r
	}, s)
}

// likeASCII are small letters that look like one of ASCII in the fonts of mail
// programs. Letters whose likeness needs good will (Cyrillic в, н, т) are not here.
var likeASCII = table(
	"аa", "еe", "оo", "рp", "сc", "уy", "хx", "ѕs", "іi", "јj", "һh", "ԁd", "ԛq", "ԝw", "ӏl", "ѵv", "ԍg", "ьb", "кk", "ɡg", // Cyrillic
	"αa", "οo", "ρp", "νv", "ιi", "κk", "υu", "τt", "χx", "γy", "ωw", "ηn", "ϳj", "ϲc", "ϱp", // Greek
	"օo", "ոn", "սu", "հh", "ցg", "զq", "ւl", "աw", // Armenian
	"ıi", "ȷj", "ɑa", "ɩi", "ʟl", "ɪi", "ʋu", "øo", "łl", "đd", "ħh", "ŧt", "ƅb", "ɗd", "ɓb", "ƙk", "ŋn", "ſs", "ßb", "ǝe", // Latin
)

func table(pairs ...string) map[rune]rune {
	m := make(map[rune]rune, len(pairs))
	for _, p := range pairs {
		r := []rune(p)
		m[r[0]] = r[1]
	}
	return m
}

// shapes turns what is drawn alike in ASCII into one of both.
var shapes = strings.NewReplacer("0", "o", "1", "l", "rn", "m", "vv", "w", "cl", "d", "5", "s", "i", "l", "-", "")

// Resembles returns which of some known domains d looks like without being one of
// them or below one; "" is none. Short names resemble too much: those of less than five
// octets are passed over.
func Resembles(d mail.Domain, known []mail.Domain) mail.Domain {
	if slices.ContainsFunc(known, func(k mail.Domain) bool { return d == k || strings.HasSuffix(string(d), "."+string(k)) }) {
		return ""
	}
	mine := shapes.Replace(Skeleton(d.Unicode()))
	for _, k := range known {
		if len(k) < shortestDomain || k.IsLiteral() {
			continue
		}
		theirs := shapes.Replace(Skeleton(k.Unicode()))
		if mine == theirs || strings.HasSuffix(mine, "."+theirs) || strings.HasPrefix(string(d), string(k)+".") || strings.HasPrefix(string(d), strings.ReplaceAll(string(k), ".", "-")+".") {
			return k
		}
	}
	return ""
}

const shortestDomain = 5

// Claimed returns the domain that a display name shows: that of the first address in
// it, "" if it shows none. A mere domain in a name is not one: many are called after
// theirs.
func Claimed(display string) mail.Domain {
	display = norm.NFKC.String(cut(display, MaxName))
	for at := 0; ; {
		i := strings.IndexAny(display[at:], "@")
		if i < 0 {
			return ""
		}
		at += i + 1
		rest := display[at:]
		end := strings.IndexFunc(rest, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' && r != '-' })
		if end < 0 {
			end = len(rest)
		}
		d, err := mail.ParseDomain(strings.Trim(rest[:end], ".-"))
		before, _ := lastRune(display[:at-1])
		if err == nil && strings.Contains(string(d), ".") && (unicode.IsLetter(before) || unicode.IsDigit(before)) {
			return d
		}
	}
}

func lastRune(s string) (r rune, ok bool) {
	for _, r = range s[max(0, len(s)-4):] {
		ok = true
	}
	return r, ok
}

func isASCII(s string) bool {
	for len(s) >= 8 {
		if (s[0]|s[1]|s[2]|s[3]|s[4]|s[5]|s[6]|s[7])&0x80 != 0 {
			return false
		}
		s = s[8:]
	}
	for i := range len(s) {
		if s[i]&0x80 != 0 {
			return false
		}
	}
	return true
}

// cut shortens s to n octets, and not within a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
