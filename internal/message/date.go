package message

import (
	"strings"
	"time"

	"yubin/internal/scan"
)

// maxDate is how much of a date is looked at.
const maxDate = 256

// ParseDate reads a date-time (RFC 5322 §3.3, obsolete forms §4.3) and what
// mailers write instead: dates with hyphens, asctime, ISO 8601, full names,
// no seconds, AM and PM, zones with a colon, no zone. The location is the zone
// given; one that is unknown or missing is UTC. False if there is no day,
// month, year and time in it, or no such day.
func ParseDate(s string) (time.Time, bool) {
	d := dateReader{day: -1, month: -1, year: -1, hour: -1}
	s = s[:min(len(s), maxDate)]
	if strings.ContainsAny(s, "(:") {
		s = plainDate(s)
	}
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == ',' }) {
		if d.word(word); d.bad {
			return time.Time{}, false
		}
	}
	return d.time()
}

// plainDate takes comments out, and space around colons (obsolete, §4.3).
func plainDate(s string) string {
	if strings.Contains(s, "(") {
		b, _ := cutComments([]byte(s))
		s = string(b)
	}
	for strings.Contains(s, " :") || strings.Contains(s, ": ") {
		s = strings.ReplaceAll(strings.ReplaceAll(s, " :", ":"), ": ", ":")
	}
	return s
}

// dateReader gathers the pieces of a date; -1 is not seen yet.
type dateReader struct {
	year, month, day  int
	hour, minute, sec int
	zone              int // seconds east of UTC
	zoned, pm, am     bool
	bad               bool
}

// word takes the next word, by its form rather than its place.
func (d *dateReader) word(w string) {
	w = strings.Trim(w, `"'`)
	switch {
	case w == "":
	case d.hour >= 0 && (w[0] == '+' || w[0] == '-'):
		d.setZone(w)
	case scan.IsDigit(w[0]) && strings.Contains(w, ":"):
		d.isoOrTime(w)
	case scan.IsDigit(w[0]) && strings.Contains(w, "-"):
		d.hyphened(w)
	case scan.IsDigit(w[0]) && strings.Count(w, ".") == 2 && d.hour < 0 && d.day >= 0:
		d.clock(strings.ReplaceAll(w, ".", ":"))
	case scan.IsDigit(w[0]):
		d.number(strings.TrimRight(w, ".stndrh")) // "2nd", "2."
	case d.month < 0 && monthOf(w) > 0:
		d.month = monthOf(w)
	case d.hour >= 0:
		d.name(w)
	}
}

// number takes the day or the year.
func (d *dateReader) number(w string) {
	n, ok := scan.Uint([]byte(w))
	switch {
	case !ok || n > 9999:
		d.bad = true
	case d.day < 0 && len(w) <= 2:
		d.day = int(n)
	case d.year < 0:
		d.year = fullYear(int(n), len(w))
	}
}

// fullYear is the year that digits digits mean (RFC 5322 §4.3).
func fullYear(n, digits int) int {
	switch {
	case digits <= 2 && n < 50:
		return n + 2000
	case digits <= 3:
		return n + 1900
	}
	return n
}

// hyphened takes 2-Jan-2006 and 2006-01-02.
func (d *dateReader) hyphened(w string) {
	a, rest, _ := strings.Cut(w, "-")
	b, c, ok := strings.Cut(rest, "-")
	if d.month = monthOf(b); d.month == 0 {
		n, isNumber := scan.Uint([]byte(b))
		ok = ok && isNumber && len(a) == 4 && n <= 12
		d.month = int(n)
	}
	if len(a) == 4 {
		a, c = c, a
	}
	if d.bad = d.bad || !ok; !d.bad {
		d.day, d.year = -1, -1
		d.number(a)
		d.number(c)
	}
}

// isoOrTime takes 15:04, 15:04:05, both with a zone right behind, and all of
// that after a date and a T.
func (d *dateReader) isoOrTime(w string) {
	if date, clock, ok := strings.Cut(w, "T"); ok && strings.Contains(date, "-") {
		d.hyphened(date)
		w = clock
	}
	w, fraction, _ := strings.Cut(w, ".")
	if i := strings.IndexFunc(w, func(r rune) bool { return r != ':' && (r < '0' || r > '9') }); i >= 0 {
		w, fraction = w[:i], w[i:]
	}
	d.clock(w)
	if zone := strings.TrimLeft(fraction, "0123456789"); zone != "" {
		d.name(zone)
	}
}

func (d *dateReader) clock(w string) {
	var n [3]uint64
	i := 0
	for field := range strings.SplitSeq(w, ":") {
		ok := i < len(n)
		if ok {
			n[i], ok = scan.Uint([]byte(field))
		}
		if i++; !ok {
			d.bad = true
			return
		}
	}
	if n[0] > 23 || n[1] > 59 || n[2] > 60 || d.hour >= 0 {
		d.bad = true
		return
	}
	d.hour, d.minute, d.sec = int(n[0]), int(n[1]), int(n[2])
}

// name takes what comes after the time: a zone, AM or PM.
func (d *dateReader) name(w string) {
	switch {
	case strings.EqualFold(w, "am"):
		d.am = true
	case strings.EqualFold(w, "pm"):
		d.pm = true
	case w[0] == '+' || w[0] == '-':
		d.setZone(w)
	default:
		name, offset := w, ""
		if i := strings.IndexAny(w, "+-"); i > 0 {
			name, offset = w[:i], w[i:] // "GMT+0200"
		}
		if hours, ok := zoneHours(strings.ToUpper(name)); ok && !d.zoned {
			d.zone, d.zoned = hours*3600, offset == ""
		}
		if offset != "" {
			d.setZone(offset)
		}
	}
}

// setZone takes +hhmm, +hh:mm, +hh. The first zone counts.
func (d *dateReader) setZone(w string) {
	if d.zoned {
		return
	}
	d.zoned = true
	digits := strings.Replace(w[1:], ":", "", 1)
	n, ok := scan.Uint([]byte(digits))
	if len(digits) <= 2 {
		n *= 100
	}
	if !ok || n > 2400 || n%100 > 59 {
		return
	}
	if d.zone = int(n/100*3600 + n%100*60); w[0] == '-' {
		d.zone = -d.zone
	}
}

// zoneHours knows the names of RFC 5322 §4.3, and of the others those that
// mean one thing only.
func zoneHours(name string) (int, bool) {
	switch name {
	case "UT", "GMT", "UTC", "Z", "WET":
		return 0, true
	case "EDT":
		return -4, true
	case "EST", "CDT":
		return -5, true
	case "CST", "MDT":
		return -6, true
	case "MST", "PDT":
		return -7, true
	case "PST":
		return -8, true
	case "CET", "MET", "MEZ", "WEST":
		return 1, true
	case "CEST", "MEST", "MESZ", "EET":
		return 2, true
	case "EEST", "MSK":
		return 3, true
	case "JST", "KST":
		return 9, true
	}
	return 0, false
}

// monthOf returns the month, 1 to 12, that w names in English; 0 if none.
func monthOf(w string) int {
	const months = "janfebmaraprmayjunjulaugsepoctnovdec"
	if len(w) < 3 || len(w) > len("september") {
		return 0
	}
	if i := strings.Index(months, strings.ToLower(w[:3])); i >= 0 && i%3 == 0 {
		return i/3 + 1
	}
	return 0
}

func (d *dateReader) time() (time.Time, bool) {
	if d.bad || d.day < 1 || d.month < 1 || d.month > 12 || d.year < 1900 || d.hour < 0 {
		return time.Time{}, false
	}
	if d.pm && d.hour < 12 {
		d.hour += 12
	} else if d.am && d.hour == 12 {
		d.hour = 0
	}
	loc := time.UTC
	if d.zone != 0 {
		loc = time.FixedZone("", d.zone)
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, d.sec, 0, loc)
	if noon := time.Date(d.year, time.Month(d.month), d.day, 12, 0, 0, 0, loc); noon.Day() != d.day {
		return time.Time{}, false // no such day
	}
	return t, true
}
