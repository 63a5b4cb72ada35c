package dsn

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// Content transfer encodings.
const (
	enc7Bit   = "7bit"
	enc8Bit   = "8bit"
	encQP     = "quoted-printable"
	encBase64 = "base64"
)

// original is the third part: the message that the report is about, or its
// header.
type original struct {
	about    *message.Message // what its header says
	header   []byte           // with the empty line behind it, if it has one
	rest     *bufio.Reader    // what follows header
	whole    bool             // all is returned
	global   bool             // the type is one of RFC 6533
	encoding string
}

func readOriginal(o *Options, want mail.Ret) (*original, error) {
	p := &original{rest: bufio.NewReaderSize(o.Original, 32<<10), global: o.UTF8}
	complete, err := p.readHeader()
	if err != nil {
		return nil, err
	}
	p.about = message.Parse(p.header)
	p.whole = want == mail.RetFull && o.Body != mail.BodyBinaryMIME
	eight := o.Body != mail.Body7Bit || o.UTF8 || !isASCII(p.header)
	if p.whole && (!eight || !o.SevenBit || p.global) {
		p.encoding = wholeEncoding(eight, o.SevenBit)
		return p, nil
	}
	p.whole = false
	p.trimHeader(complete)
	p.global = p.global && !isASCII(p.header)
	p.encoding = p.headerEncoding(o.SevenBit)
	return p, nil
}

func wholeEncoding(eight, sevenBit bool) string {
	switch {
	case !eight:
		return enc7Bit
	case sevenBit:
		return encBase64
	}
	return enc8Bit
}

// headerEncoding is for a header alone, where it is known what is in it.
func (p *original) headerEncoding(sevenBit bool) string {
	switch ascii := isASCII(p.header); {
	case isUnfit(p.header), !ascii && (sevenBit || !p.global):
		return encQP
	case ascii:
		return enc7Bit
	}
	return enc8Bit
}

// readHeader reads until the end of the header is known, or as much as
// MaxHeader, and says whether it has all of the header.
func (p *original) readHeader() (complete bool, err error) {
	reader := message.NewParser()
	for len(p.header) < MaxHeader {
		piece, err := p.rest.ReadSlice('\n')
		p.header = append(p.header, piece...)
		_, _ = reader.Write(piece) // It never fails.
		if errors.Is(err, io.EOF) {
			reader.Finish()
		} else if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false, err
		}
		if h, known := reader.Header(); known {
			body := p.header[h.Size:]
			p.header = p.header[:h.Size:h.Size]
			if len(body) > 0 { // It began without an empty line.
				p.rest = bufio.NewReader(io.MultiReader(bytes.NewReader(body), p.rest))
			}
			return true, nil
		}
	}
	return false, nil
}

// trimHeader takes off the empty line, and the last line if it was cut.
func (p *original) trimHeader(complete bool) {
	if !complete {
		p.header = p.header[:min(len(p.header), MaxHeader)]
		p.header = p.header[:bytes.LastIndexByte(p.header, '\n')+1]
	}
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if bytes.HasSuffix(p.header, []byte(end)) {
			p.header = p.header[:len(p.header)-len(end)/2]
			break
		}
	}
}

// isUnfit reports whether b can only travel encoded, were it ASCII: it has a NUL
// or a line that is too long (RFC 2045 §2.7).
func isUnfit(b []byte) bool {
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if len(bytes.TrimSuffix(line, []byte("\r"))) > maxLine {
			return true
		}
	}
	return bytes.IndexByte(b, 0) >= 0
}

// needsUTF8 reports whether the part can only go where SMTPUTF8 is spoken.
func (p *original) needsUTF8() bool { return p.global && p.encoding == enc8Bit }

func (p *original) mediaType() string {
	switch {
	case p.whole && p.global:
		return "message/global"
	case p.whole:
		return "message/rfc822"
	case p.global:
		return "message/global-headers"
	}
	return "text/rfc822-headers"
}

// appendHeader appends the header of the part.
func (p *original) appendHeader(dst []byte) []byte {
	what := "Original message"
	if !p.whole {
		what = "Header of the original message"
	}
	dst = appendField(dst, "Content-Description", what)
	dst = appendField(dst, "Content-Type", p.mediaType())
	if p.encoding != enc7Bit {
		dst = appendField(dst, "Content-Transfer-Encoding", p.encoding)
	}
	return append(dst, "\r\n"...)
}

// copyTo writes the body of the part.
func (p *original) copyTo(w io.Writer) error {
	var enc io.WriteCloser
	switch p.encoding {
	case encQP:
		enc = quotedprintable.NewWriter(w)
	case encBase64:
		enc = base64.NewEncoder(base64.StdEncoding, &lineBreaker{w: w})
	default:
		enc = nopCloser{w}
	}
	_, err := enc.Write(p.header)
	if err == nil && p.whole {
		_, err = io.Copy(enc, p.rest)
	}
	return errors.Join(err, enc.Close())
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// lineBreaker breaks what is written into lines of 76 octets (RFC 2045 §6.8).
type lineBreaker struct {
	w   io.Writer
	col int
	buf []byte
}

func (l *lineBreaker) Write(p []byte) (int, error) {
	l.buf = l.buf[:0]
	for rest := p; len(rest) > 0; {
		if l.col == base64Line {
			l.buf = append(l.buf, "\r\n"...)
			l.col = 0
		}
		n := min(base64Line-l.col, len(rest))
		l.buf = append(l.buf, rest[:n]...)
		l.col += n
		rest = rest[n:]
	}
	if _, err := l.w.Write(l.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

const base64Line = 76
