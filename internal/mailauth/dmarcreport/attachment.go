package dmarcreport

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"io"
	"strings"

	"yubin/internal/message"
)

// Attachments are the parts of a message that may hold an aggregate report, likely
// ones first, at most MaxParts (RFC 9990 §3.5.2: no structure is required, types and
// names are what to go by).
func Attachments(root *message.Part) []*message.Part {
	var likely, maybe []*message.Part
	var visit func(*message.Part)
	visit = func(p *message.Part) {
		for _, c := range p.Children {
			visit(c)
		}
		switch name := strings.ToLower(p.Filename()); {
		case len(p.Children) > 0:
		case documentTypes[p.Type+"/"+p.Subtype]:
			likely = append(likely, p)
		case strings.HasSuffix(name, ".xml"), strings.HasSuffix(name, ".gz"), strings.HasSuffix(name, ".zip"):
			maybe = append(maybe, p)
		}
	}
	visit(root)
	all := append(likely, maybe...)
	return all[:min(len(all), MaxParts)]
}

// documentTypes are the media types of RFC 9990 and RFC 6713, and what is seen.
var documentTypes = map[string]bool{"application/gzip": true, "application/x-gzip": true, "application/zip": true,
	"application/x-zip": true, "application/x-zip-compressed": true, "text/xml": true, "application/xml": true}

// IsFailureReport reports whether a message is a report of a single failure, or of
// abuse (RFC 6591 §3.1, RFC 5965).
func IsFailureReport(root *message.Part) bool {
	return root.Type == "multipart" && root.Subtype == "report" && strings.EqualFold(root.Param("report-type"), "feedback-report")
}

// Unpack is the document in an attachment, which is decoded: what its first octets
// say, whatever its name does. Of an archive the first file counts. The error is of
// kind Invalid if it cannot be one. Reading gives the errors of what packed it.
// It bounds nothing: Parse does.
func Unpack(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 4<<10)
	switch head, _ := b.Peek(4); {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, invalid("the gzip file is damaged")
		}
		z.Multistream(false)
		return packed{z, "gzip"}, nil
	case string(head) == "PK\x03\x04":
		return unzip(b)
	case len(head) == 0:
		return nil, invalid("the attachment is empty")
	}
	return b, nil
}

// packed names what is damaged.
type packed struct {
	r    io.Reader
	kind string
}

func (p packed) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, invalid("the %s file is damaged", p.kind)
}

// unzip reads the first file of an archive as it comes (APPNOTE.TXT §4.3.7), so
// that what else is in the archive costs nothing. What is wrong with its octets the
// document shows.
func unzip(r io.Reader) (io.Reader, error) {
	var h [30]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, invalid("the zip file is cut short")
	}
	flags, method := binary.LittleEndian.Uint16(h[6:]), binary.LittleEndian.Uint16(h[8:])
	size := int64(binary.LittleEndian.Uint32(h[18:]))
	names := int64(binary.LittleEndian.Uint16(h[26:])) + int64(binary.LittleEndian.Uint16(h[28:]))
	if _, err := io.CopyN(io.Discard, r, names); err != nil {
		return nil, invalid("the zip file is cut short")
	}
	const (
		encrypted, sizeFollows = 1, 8
		stored, deflated       = 0, 8
	)
	switch {
	case flags&encrypted != 0:
		return nil, invalid("the zip file is encrypted")
	case method == deflated:
		return packed{flate.NewReader(r), "zip"}, nil
	case method == stored && flags&sizeFollows == 0:
		return io.LimitReader(r, size), nil
	}
	return nil, invalid("the zip file is packed in a way that reports are not")
}
