package extract

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"yubin/internal/message"
)

// Kind is what octets are, whatever they are called.
type Kind string

// The kinds that are recognized.
const (
	Unknown    Kind = ""
	Executable Kind = "executable" // PE, ELF, Mach-O, Java class
	Command    Kind = "command"    // a script that starts with #!, @echo off and the like
	Shortcut   Kind = "shortcut"   // a Windows .lnk
	Zip        Kind = "zip"        // documents of today's offices too
	Rar        Kind = "rar"
	SevenZip   Kind = "7z"
	Gzip       Kind = "gzip"
	Bzip2      Kind = "bzip2"
	XZ         Kind = "xz"
	Tar        Kind = "tar"
	Cabinet    Kind = "cab"
	Disc       Kind = "iso"
	OLE        Kind = "ole" // documents of older offices, .msi, .msg
	PDF        Kind = "pdf"
	RTF        Kind = "rtf"
	Markup     Kind = "html" // HTML, SVG
	PNG        Kind = "png"
	JPEG       Kind = "jpeg"
	GIF        Kind = "gif"
	WebP       Kind = "webp"
	BMP        Kind = "bmp"
	TIFF       Kind = "tiff"
)

// magics are the octets that kinds begin with.
var magics = []struct {
	start string
	kind  Kind
}{
	{"MZ", Executable}, {"\x7fELF", Executable}, {"\xca\xfe\xba\xbe", Executable}, {"\xcf\xfa\xed\xfe", Executable}, {"\xce\xfa\xed\xfe", Executable},
	{"#!", Command}, {"@echo off", Command}, {"L\x00\x00\x00\x01\x14\x02\x00", Shortcut},
	{"PK\x03\x04", Zip}, {"PK\x05\x06", Zip}, {"Rar!\x1a\x07", Rar}, {"7z\xbc\xaf\x27\x1c", SevenZip}, {"\x1f\x8b", Gzip}, {"BZh", Bzip2},
	{"\xfd7zXZ\x00", XZ}, {"MSCF", Cabinet}, {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE}, {"%PDF", PDF}, {"{\\rtf", RTF},
	{"\x89PNG", PNG}, {"\xff\xd8\xff", JPEG}, {"GIF8", GIF}, {"II*\x00", TIFF}, {"MM\x00*", TIFF},
	{"<!doctype html", Markup}, {"<html", Markup}, {"<script", Markup}, {"<svg", Markup},
}

// kindOf recognizes octets by their start.
func kindOf(b []byte) Kind {
	for _, m := range magics {
		if len(b) >= len(m.start) && (m.start[0] == '<' || m.start[0] == '@') && bytes.EqualFold(b[:len(m.start)], []byte(m.start)) || bytes.HasPrefix(b, []byte(m.start)) {
			return m.kind
		}
	}
	switch {
	case len(b) > 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return WebP
	case len(b) > 14 && string(b[:2]) == "BM" && string(b[6:10]) == "\x00\x00\x00\x00":
		return BMP
	case len(b) > 262 && string(b[257:262]) == "ustar":
		return Tar
	}
	if text := bytes.TrimLeft(b, " \t\r\n\xef\xbb\xbf"); len(text) < len(b) && len(text) > 0 && text[0] == '<' {
		return kindOf(text)
	}
	return Unknown
}

// sniff looks at the octets of a part that is not text.
func (r *reader) sniff(p *message.Part, out *Part) {
	if r.sniffLeft < sniffStart+sniffEnd {
		r.c.Truncated = true
		return
	}
	start := r.octetsOf(p, r.at(p.Body, min(p.End, p.Body+2*sniffStart)), sniffStart)
	out.Kind = kindOf(start)
	var end []byte
	switch out.Kind {
	case Zip, Rar, SevenZip, OLE, PDF:
		if p.Size() > 2*sniffStart {
			end = r.octetsOf(p, afterLine(r.at(max(p.Body+2*sniffStart, p.End-sniffEnd), p.End)), sniffEnd)
		}
	}
	r.sniffLeft -= len(start) + len(end)
	switch out.Kind {
	case Zip:
		zipEntries(start, out)
		zipEntries(end, out)
		out.Macros = slices.ContainsFunc(out.Entries, func(n string) bool { return strings.HasSuffix(n, "vbaProject.bin") })
	case Rar:
		out.Encrypted = rarEncrypted(start)
	case SevenZip: // The method AES, in a list of contents that is not itself packed.
		out.Encrypted = bytes.Contains(end, []byte("\x06\xf1\x07\x01")) || bytes.Contains(start, []byte("\x06\xf1\x07\x01"))
	case OLE:
		out.Encrypted = hasWide(start, "EncryptedPackage") || hasWide(end, "EncryptedPackage")
		out.Macros = hasWide(start, "_VBA_PROJECT") || hasWide(end, "_VBA_PROJECT")
	case PDF:
		out.Encrypted = bytes.Contains(start, []byte("/Encrypt")) || bytes.Contains(end, []byte("/Encrypt"))
	}
}

// octetsOf decodes octets of a part, at most limit of them.
func (r *reader) octetsOf(p *message.Part, raw []byte, limit int) []byte {
	if p.Encoding == "" || p.Encoding == "binary" || p.Encoding == "7bit" || p.Encoding == "8bit" {
		return raw[:min(len(raw), limit)]
	}
	out, _ := io.ReadAll(io.LimitReader(message.NewDecoder(bytes.NewReader(raw), p.Encoding), int64(limit)))
	return out
}

// zipEntries reads the names of files in a piece of a zip archive: those of its files, and
// those of the list of them at its end.
func zipEntries(b []byte, out *Part) {
	for len(b) > 46 && len(out.Entries) < MaxEntries {
		i := bytes.Index(b, []byte("PK"))
		if i < 0 || len(b) < i+46 {
			return
		}
		b = b[i:]
		var flags uint16
		var size, at int
		switch string(b[2:4]) {
		case "\x03\x04":
			flags, size, at = binary.LittleEndian.Uint16(b[6:]), int(binary.LittleEndian.Uint16(b[26:])), 30
		case "\x01\x02":
			flags, size, at = binary.LittleEndian.Uint16(b[8:]), int(binary.LittleEndian.Uint16(b[28:])), 46
		default:
			b = b[2:]
			continue
		}
		out.Encrypted = out.Encrypted || flags&1 != 0
		if size > MaxName || len(b) < at+size {
			b = b[4:]
			continue
		}
		name := string(b[at : at+size])
		if !utf8.ValidString(name) {
			name = strings.ToValidUTF8(name, "\ufffd")
		}
		if name != "" && !slices.Contains(out.Entries, name) {
			out.Entries = append(out.Entries, name)
		}
		b = b[at+size:]
	}
}

// rarEncrypted reports whether the first headers of a rar archive, of either version, ask for
// a password.
func rarEncrypted(b []byte) bool {
	if bytes.HasPrefix(b, []byte("Rar!\x1a\x07\x01\x00")) { // 5: a header of type 4 tells of encryption.
		return len(b) > 13 && b[13] == 4
	}
	for at := 7; at+7 <= len(b); {
		kind, flags, size := b[at+2], binary.LittleEndian.Uint16(b[at+3:]), int(binary.LittleEndian.Uint16(b[at+5:]))
		switch {
		case kind == 0x73 && flags&0x80 != 0, kind == 0x74 && flags&0x04 != 0:
			return true
		case kind == 0x74 || size < 7:
			return false
		}
		at += size
	}
	return false
}

// hasWide reports whether b has s in UTF-16.
func hasWide(b []byte, s string) bool {
	wide := make([]byte, 0, 2*len(s))
	for i := range len(s) {
		wide = append(wide, s[i], 0)
	}
	return bytes.Contains(b, wide)
}
