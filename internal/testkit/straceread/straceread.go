// Package straceread reads what strace wrote: system calls with what they were
// on, what was written or read, and how they ended. It is for tests that look at
// the order of calls, or at the octets that reached a file.
//
// It knows the form of `strace -f -yy -o FILE`, with -s so large that no string
// is cut that matters.
package straceread

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLine is how long a line of a trace may be: four octets for each one of a
// string that is kept, and some.
const maxLine = 64 << 20

// keepArgs is how much of the arguments is kept as text.
const keepArgs = 512

// Call is one system call that succeeded or failed.
type Call struct {
	Begin, End int      // lines of the trace in which the call was entered and left
	Name       string   // "pwrite64"
	On         string   // what the first descriptor is, as -yy shows it: a path or "TCP:[...]"
	Args       string   // the arguments as text, if they are short
	Strings    []string // the strings among its arguments, unescaped
	Last       int64    // the last argument, if that is a number
	Result     int64
}

// Data are the octets that were read or written.
func (c Call) Data() string { return strings.Join(c.Strings, "") }

// Before reports whether c was over when d was entered. Strace sees a call
// enter before it does anything, and leave after it has done all.
func (c Call) Before(d Call) bool { return c.End < d.Begin }

// Parse reads a trace. The calls come in the order in which they ended.
func Parse(r io.Reader) ([]Call, error) {
	var all []Call
	err := Each(r, func(c Call) error {
		all = append(all, c)
		return nil
	})
	return all, err
}

// Each hands each call to fn when it ended. An error of fn ends it.
func Each(r io.Reader, fn func(Call) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	open := map[string]started{} // by thread
	for n := 1; in.Scan(); n++ {
		c, ok, err := line(open, in.Text(), n)
		if err != nil {
			return fmt.Errorf("line %d of the trace: %w", n, err)
		}
		if !ok {
			continue
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	return in.Err()
}

// started is a call that was entered.
type started struct {
	line int
	text string
}

// line reads one line; ok if a call ended in it.
func line(open map[string]started, text string, n int) (c Call, ok bool, err error) {
	thread, text, ok := strings.Cut(strings.TrimLeft(text, " "), " ")
	text = strings.TrimLeft(text, " ")
	if !ok || strings.HasPrefix(text, "---") || strings.HasPrefix(text, "+++") {
		return c, false, nil
	}
	begin := n
	if head, ok := strings.CutSuffix(text, "<unfinished ...>"); ok {
		open[thread] = started{n, head}
		return c, false, nil
	}
	if _, tail, ok := strings.Cut(text, " resumed>"); ok && strings.HasPrefix(text, "<... ") {
		begin, text = open[thread].line, open[thread].text+tail
		delete(open, thread)
	}
	c, err = parseCall(text)
	c.Begin, c.End = begin, n
	return c, true, err
}

// parseCall reads "name(arguments) = result ...".
func parseCall(text string) (c Call, err error) {
	name, rest, ok := strings.Cut(text, "(")
	at := strings.LastIndex(rest, " = ")
	if !ok || at < 0 {
		return c, fmt.Errorf("%.80q is no call", text)
	}
	c.Name = name
	result, _, _ := strings.Cut(rest[at+3:], " ")
	result, _, _ = strings.Cut(result, "<")
	if result == "?" { // The process ended in it.
		result = "-1"
	}
	if c.Result, err = strconv.ParseInt(result, 0, 64); err != nil {
		return c, fmt.Errorf("%.80q has no result", text)
	}
	args := strings.TrimRight(rest[:at], " )") // A call that was resumed has a space before its bracket.
	c.On = descriptor(args)
	if len(args) <= keepArgs {
		c.Args = strings.Clone(args)
	}
	if comma := strings.LastIndexByte(args, ' '); comma >= 0 {
		c.Last, _ = strconv.ParseInt(args[comma+1:], 0, 64) // Not of every call.
	}
	c.Strings, err = quoted(args)
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
