package srs

import (
	"strings"
	"time"

	"yubin/internal/mail"
)

// The forms.
const (
	srs0   = "SRS0"
	srs1   = "SRS1"
	tagLen = len("SRS0=")
)

// stampLen is how many characters a day has.
const stampLen = 2

// separators are what may follow the form where others write it.
const separators = "=+-"

// cutTag finds the form of a local part, and what follows, which begins with a
// separator.
func cutTag(local string) (form, rest string, ok bool) {
	if len(local) < tagLen || strings.IndexByte(separators, local[tagLen-1]) < 0 {
		return "", "", false
	}
	form, rest = strings.ToUpper(local[:tagLen-1]), local[tagLen-1:]
	return form, rest, form == srs0 || form == srs1
}

// rewritten reports whether another forwarder has rewritten a sender, and returns the
// first who did and what follows SRS0 there.
func rewritten(a mail.Address) (host mail.Domain, rest string, ok bool) {
	form, rest, ok := cutTag(a.Local)
	if !ok {
		return "", "", false
	}
	if form == srs0 {
		return a.Domain, rest, strings.Count(rest[1:], "=") >= 3 // Hash, day, domain, local part.
	}
	_, rest, _ = strings.Cut(rest[1:], "=")
	name, rest, _ := strings.Cut(rest, "=")
	host, err := mail.ParseDomain(name)
	return host, rest, err == nil && rest != "" && strings.IndexByte(separators, rest[0]) >= 0
}

// hashLen is how many characters there are for the hash, maxHash at most. It is the
// same in whatever case text is.
func hashLen(form, text string) int {
	fixed := len("SRS0===") + stampLen
	if form == srs1 {
		fixed = len("SRS1==") + stampLen
	}
	return min(maxHash, mail.MaxOwnLocalPart-fixed-wireLen("x"+mail.FoldLocal(text))+1)
}

// wireLen is how long a local part is where it is quoted if it must be.
func wireLen(local string) int {
	return len(mail.Address{Local: local, Domain: "x"}.String()) - len("@x")
}

// today is the number of the day in UTC.
func today(now time.Time) int {
	return int(now.Unix() / (24 * 60 * 60))
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // of base32

func stampOf(day int) string {
	return string([]byte{digits[day%cycle/len(digits)], digits[day%len(digits)]})
}

// dayOf is the latest day with a stamp that is not to come.
func dayOf(stamp string, today int) (int, bool) {
	if len(stamp) != stampLen {
		return 0, false
	}
	stamp = strings.ToUpper(stamp)
	high, low := strings.IndexByte(digits, stamp[0]), strings.IndexByte(digits, stamp[1])
	if high < 0 || low < 0 {
		return 0, false
	}
	latest := today + ahead
	age := ((latest-high*len(digits)-low)%cycle + cycle) % cycle
	return latest - age, true
}
