package mbox

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// fromDate reads the date of a line "From sender Tue Nov 22 01:02:03 2026", with
// or without seconds, and with a zone before or behind the year. False if the
// line is not one that begins a message.
func fromDate(line []byte) (time.Time, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("From "))
	if !ok || len(line) > MaxFromLine {
		return time.Time{}, false
	}
	fields := strings.Fields(string(rest))
	for i := range fields { // The sender may be missing, or have blanks.
		if i+4 <= len(fields)-1 || i+4 == len(fields) {
			if at, ok := dateFields(fields[i:]); ok {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

// dateFields reads "Tue Nov 22 01:02:03 2026" and its variants; what follows is
// of no interest ("remote from ...").
func dateFields(f []string) (time.Time, bool) {
	if !isName(f[0], "sun mon tue wed thu fri sat") || len(f) < 5 {
		return time.Time{}, false
	}
	month, day, clock, rest := f[1], f[2], f[3], f[4:]
	if !isName(month, months) {
		month, day = day, month
	}
	zone := time.UTC
	if z, ok := parseZone(rest[0]); ok && len(rest) > 1 {
		zone, rest = z, rest[1:]
	} else if len(rest) > 1 {
		if z, ok := parseZone(rest[1]); ok {
			zone = z
		}
	}
	if !isName(month, months) || len(rest[0]) != 4 {
		return time.Time{}, false
	}
	for _, layout := range [...]string{"Jan 2 15:04:05 2006", "Jan 2 15:04 2006"} {
		if at, err := time.ParseInLocation(layout, strings.Join([]string{month, day, clock, rest[0]}, " "), zone); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

const months = "jan feb mar apr may jun jul aug sep oct nov dec"

func isName(s, names string) bool {
	return len(s) == 3 && strings.Contains(names, strings.ToLower(s))
}

// parseZone reads "+0100"; a name is UTC, as nobody knows which is meant.
func parseZone(s string) (*time.Location, bool) {
	if s != "" && (s[0] == '+' || s[0] == '-') && len(s) == 5 {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, false
		}
		return time.FixedZone("", (n/100*60+n%100)*60), true
	}
	if _, err := strconv.Atoi(s); err == nil {
		return nil, false
	}
	return time.UTC, len(s) >= 2 && len(s) <= 5 && strings.ToUpper(s) == s
}
