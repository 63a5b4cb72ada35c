package main

import (
	"fmt"
	"strings"
	"time"

	"yubin/internal/world/obs"
)

// count writes n with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// length writes a time for people: the largest unit and, below ten of it, the
// next.
func length(d time.Duration) string {
	if d < time.Second {
		return "0 s"
	}
	units := []struct {
		size      time.Duration
		one, many string
	}{{day, "day", "days"}, {time.Hour, "h", "h"}, {time.Minute, "min", "min"}, {time.Second, "s", "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		s := count(int(d/u.size), u.one, u.many)
		if rest := d % u.size; d < 10*u.size && i+1 < len(units) && rest >= units[i+1].size {
			next := units[i+1]
			s += " " + count(int(rest/next.size), next.one, next.many)
		}
		return s
	}
	return "0 s"
}

// seconds writes how long a conversation took.
func seconds(s float64) string {
	if s < 10 {
		return fmt.Sprintf("%.3g s", float64(int(s*1000+0.5))/1000)
	}
	return length(time.Duration(s * float64(time.Second)))
}

// moment is a time where the reader is, with its zone.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// within is how long after a beginning something was.
func within(from, to time.Time) string {
	if d := to.Sub(from); d >= time.Second {
		return "after " + length(d)
	}
	return "within a second"
}

// angle writes a path.
func angle(address string) string { return "<" + address + ">" }

// path writes a reverse-path in a list.
func path(sender *string) string {
	if sender == nil || *sender == "" {
		return "<>"
	}
	return *sender
}

// reply writes an SMTP reply in one line.
func reply(code int, enhanced, text string) string {
	s := ""
	if code != 0 {
		s = fmt.Sprint(code)
	}
	return strings.TrimSpace(s + " " + enhanced + " " + oneLine(text))
}

// oneLine parts the lines of a remote's words by slashes.
func oneLine(s string) string { return obs.Printable(strings.ReplaceAll(s, "\n", " / ")) }

// cut shortens s to a width.
func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

// maxNamed is how many addresses a line names.
const maxNamed = 5

// someOf writes a list of addresses, not all of a long one.
func someOf(addresses []string) string {
	if len(addresses) <= maxNamed {
		return strings.Join(addresses, ", ")
	}
	return strings.Join(addresses[:maxNamed], ", ") + fmt.Sprintf(" and %d more", len(addresses)-maxNamed)
}
