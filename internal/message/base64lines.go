package message

import (
	"encoding/base64"
	"io"
)

// Base64Lines writes base64 in lines as mail has them (RFC 2045 §6.8).
type Base64Lines struct {
	lines   lineCutter
	encoder io.WriteCloser
}

// NewBase64Lines returns a Base64Lines that writes to w, lines that end with CRLF.
func NewBase64Lines(w io.Writer) *Base64Lines {
	b := &Base64Lines{lines: lineCutter{w: w}}
	b.encoder = base64.NewEncoder(base64.StdEncoding, &b.lines)
	return b
}

// Write encodes octets. The error is that of the writer below.
func (b *Base64Lines) Write(p []byte) (int, error) { return b.encoder.Write(p) }

// Close writes what is left, and ends the last line. It does not close the writer below.
func (b *Base64Lines) Close() error {
	if err := b.encoder.Close(); err != nil {
		return err
	}
	return b.lines.end()
}

// lineCutter ends a line after base64Line octets.
type lineCutter struct {
	w  io.Writer
	at int // in the line
}

func (l *lineCutter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), base64Line-l.at)
		if _, err := l.w.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
		if l.at += n; l.at == base64Line {
			if err := l.end(); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

func (l *lineCutter) end() error {
	if l.at == 0 {
		return nil
	}
	l.at = 0
	_, err := io.WriteString(l.w, "\r\n")
	return err
}
