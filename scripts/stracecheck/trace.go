package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLine is how long a line of a trace may be: four octets for each one of a
// string that is kept, and some.
const maxLine = 5 << 20

// call is one system call that succeeded or failed.
type call struct {
	begin, end int      // lines of the trace in which the call was entered and left
	name       string   // "pwrite64"
	on         string   // what the descriptor is, as strace -yy shows it: a path or "TCP:[...]"
	strings    []string // the strings among its arguments, unescaped
	offset     int64    // the last argument, if that is a number
	result     int64
}

// data are the octets that were read or written.
func (c call) data() string { return strings.Join(c.strings, "") }

// before reports whether c was over when d was entered. Strace sees a call
// enter before it does anything, and leave after it has done all.
func (c call) before(d call) bool { return c.end < d.begin }

// parseTrace reads what strace -f -yy -o FILE wrote.
func parseTrace(r io.Reader) ([]call, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	open := map[string]started{} // by thread
	var all []call
	for n := 1; in.Scan(); n++ {
		thread, text, ok := strings.Cut(strings.TrimLeft(in.Text(), " "), " ")
		text = strings.TrimLeft(text, " ")
		if !ok || strings.HasPrefix(text, "---") || strings.HasPrefix(text, "+++") {
			continue
		}
		begin := n
		if head, ok := strings.CutSuffix(text, "<unfinished ...>"); ok {
			open[thread] = started{n, head}
			continue
		}
		if _, tail, ok := strings.Cut(text, " resumed>"); ok && strings.HasPrefix(text, "<... ") {
			begin, text = open[thread].line, open[thread].text+tail
		}
		c, err := parseCall(text)
		if err != nil {
			return nil, fmt.Errorf("line %d of the trace: %w", n, err)
		}
		c.begin, c.end = begin, n
		all = append(all, c)
	}
	return all, in.Err()
}

// started is a call that was entered.
type started struct {
	line int
	text string
}

// parseCall reads "name(arguments) = result ...".
func parseCall(text string) (c call, err error) {
	name, rest, ok := strings.Cut(text, "(")
	at := strings.LastIndex(rest, " = ")
	if !ok || at < 0 {
		return c, fmt.Errorf("%.80q is no call", text)
	}
	c.name = name
	result, _, _ := strings.Cut(rest[at+3:], " ")
	result, _, _ = strings.Cut(result, "<")
	if result == "?" { // The process ended in it.
		result = "-1"
	}
	if c.result, err = strconv.ParseInt(result, 0, 64); err != nil {
		return c, fmt.Errorf("%.80q has no result", text)
	}
	args := strings.TrimRight(rest[:at], " ")
	c.on = descriptor(args)
	if comma := strings.LastIndexByte(args, ' '); comma >= 0 {
		c.offset, _ = strconv.ParseInt(strings.TrimSuffix(args[comma+1:], ")"), 0, 64) // Not of every call.
	}
	c.strings, err = quoted(args)
	return c, err
}

// descriptor is what stands in brackets after a first argument that is a number.
func descriptor(args string) string {
	rest, ok := strings.CutPrefix(strings.TrimLeft(args, "0123456789"), "<")
	if !ok || rest == args {
		return ""
	}
	end := ">"
	if i := strings.IndexAny(rest, "[>\""); i >= 0 && rest[i] == '[' {
		end = "]>"
	}
	on, _, _ := strings.Cut(rest, end)
	return on + end[:len(end)-1]
}

// quoted are the strings in args.
func quoted(args string) (list []string, err error) {
	for {
		at := strings.IndexByte(args, '"')
		if at < 0 {
			return list, nil
		}
		s, n, ok := unescape(args[at+1:])
		if !ok {
			return list, fmt.Errorf("a string without end: %.80q", args)
		}
		list = append(list, s)
		args = args[at+1+n:]
	}
}

// unescape reads a string up to its closing quote, and says how long it was.
func unescape(s string) (text string, n int, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), i + 1, true
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case s[i+1] >= '0' && s[i+1] <= '7':
			v, digits := octal(s[i+1:])
			b.WriteByte(v)
			i += digits
		default:
			i++
			if at := strings.IndexByte("nrtvfab", s[i]); at >= 0 {
				b.WriteByte("\n\r\t\v\f\a\b"[at])
			} else {
				b.WriteByte(s[i])
			}
		}
	}
	return "", 0, false
}

func octal(s string) (v byte, digits int) {
	for digits < 3 && digits < len(s) && s[digits] >= '0' && s[digits] <= '7' {
		v = v<<3 | (s[digits] - '0')
		digits++
	}
	return v, digits
}
