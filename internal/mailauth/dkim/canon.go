package dkim

import (
	"bytes"
	"strings"

	"yubin/internal/scan"
)

// Canonicalization is what may happen to a header or a body on its way without
// breaking a signature (RFC 6376 §3.4).
type Canonicalization uint8

// The canonicalizations.
const (
	Simple Canonicalization = iota
	Relaxed
)

func (c Canonicalization) String() string { return [...]string{"simple", "relaxed"}[c] }

// parseCanonicalization reads the tag "c"; "" is the default.
func parseCanonicalization(s string) (header, body Canonicalization, ok bool) {
	one := func(s string) Canonicalization {
		if s == "relaxed" {
			return Relaxed
		}
		ok = ok && s == "simple"
		return Simple
	}
	ok = true
	h, b, both := strings.Cut(s, "/")
	if s == "" {
		return Simple, Simple, true
	}
	if header = one(h); both {
		body = one(b)
	}
	return header, body, ok
}

// AppendField writes a header field as it is hashed (RFC 6376 §3.4.1, §3.4.2), with
// CRLF behind it. Raw is a whole field as message.RawFields gives it.
func (c Canonicalization) AppendField(dst, raw []byte) []byte {
	if c == Relaxed {
		dst = appendRelaxed(dst, raw)
	} else {
		dst = append(dst, trimLineEnd(raw)...)
	}
	return append(dst, '\r', '\n')
}

// AppendUnsigned writes a field that holds a signature as it is hashed for that
// signature: without the value of its tag "b" and the space around it, and
// without CRLF behind it (RFC 6376 §3.7). Tags are those of its value.
func (c Canonicalization) AppendUnsigned(dst, raw []byte, tags Tags) []byte {
	raw = trimLineEnd(raw)
	if b, ok := tags.Get("b"); ok {
		value := bytes.IndexByte(raw, ':') + 1
		raw = append(append(make([]byte, 0, len(raw)), raw[:value+b.start]...), raw[value+b.end:]...)
	}
	if c == Relaxed {
		return appendRelaxed(dst, raw)
	}
	return append(dst, raw...)
}

func trimLineEnd(raw []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
}

// appendRelaxed writes a field relaxed, without CRLF behind it. Only line ends with
// space behind them are folding: a stray line (message.Fields) is not joined with
// the one before it.
func appendRelaxed(dst, raw []byte) []byte {
	raw = trimLineEnd(raw)
	colon := bytes.IndexByte(raw, ':')
	for _, c := range bytes.TrimRight(raw[:max(colon, 0)], " \t") {
		dst = append(dst, scan.Lower(c))
	}
	dst = append(dst, ':')
	empty, space := len(dst), false
	for b := raw[colon+1:]; len(b) > 0; {
		n := plainLen(b)
		if n > 0 {
			if space && len(dst) > empty {
				dst = append(dst, ' ')
			}
			dst, space, b = append(dst, b[:n]...), false, b[n:]
			continue
		}
		if n = spaceLen(b); n == 0 { // A line end that folds nothing.
			if space && len(dst) > empty {
				dst = append(dst, ' ')
			}
			dst, space, b = append(dst, b[0]), false, b[1:]
			continue
		}
		space, b = true, b[n:]
	}
	return dst
}

// plainLen is how many octets at the start of b are no space and end no line.
func plainLen(b []byte) int {
	for i, c := range b {
		if c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			return i
		}
	}
	return len(b)
}

// spaceLen is how long the space or the folding is that b begins with; 0 if it
// begins with neither.
func spaceLen(b []byte) int {
	n := 0
	switch {
	case b[0] == '\n':
		n = 1
	case b[0] == '\r' && len(b) > 1 && b[1] == '\n':
		n = 2
	case b[0] != '\r':
		return 1
	}
	if n == 0 || n < len(b) && b[n] != ' ' && b[n] != '\t' {
		return 0
	}
	return n
}
