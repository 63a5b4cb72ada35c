package message

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// maxCharset is the longest charset name that is looked up.
const maxCharset = 64

// KnownCharset reports whether NewCharsetReader knows the charset called name.
func KnownCharset(name string) bool {
	name = charsetName(name)
	return isUTF8(name) || isASCII(name) || newCharset(name) != nil
}

// HasASCIILines reports whether LF is the end of a line, and nothing else, in
// text in the charset called name: not so in UTF-16, UTF-32 and EBCDIC, and who
// knows in a charset that is not known.
func HasASCIILines(name string) bool {
	name = charsetName(name)
	if isUTF8(name) || isASCII(name) {
		return true
	}
	t := newCharset(name)
	if t == nil {
		return false
	}
	const lines = "a\r\nb\n"
	out, _, err := transform.Bytes(t, []byte(lines))
	return err == nil && string(out) == lines
}

// NewCharsetReader returns a reader of the text r in UTF-8. It never fails
// but as r does: what is not of the charset becomes U+FFFD. In us-ascii and in
// a charset that is not known, UTF-8 is taken as such and other octets above
// 127 as windows-1252 (RFC 7103 §7.6).
func NewCharsetReader(r io.Reader, charset string) io.Reader {
	return transform.NewReader(r, toUTF8(charsetName(charset)))
}

func toUTF8(name string) transform.Transformer {
	if isUTF8(name) {
		return unicode.UTF8BOM.NewDecoder()
	}
	if isASCII(name) {
		return guesser{}
	}
	if t := newCharset(name); t != nil {
		return lenient{t}
	}
	return guesser{}
}

// lenient makes U+FFFD of what a decoder fails at.
type lenient struct{ transform.Transformer }

// Transform implements transform.Transformer.
func (l lenient) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	nDst, nSrc, err = l.Transformer.Transform(dst, src, atEOF)
	if err == nil || err == transform.ErrShortDst || err == transform.ErrShortSrc && !atEOF {
		return nDst, nSrc, err
	}
	if len(dst)-nDst < utf8.UTFMax {
		return nDst, nSrc, transform.ErrShortDst
	}
	nDst += utf8.EncodeRune(dst[nDst:], utf8.RuneError)
	if err == transform.ErrShortSrc {
		return nDst, len(src), nil
	}
	return nDst, min(nSrc+1, len(src)), transform.ErrShortDst // come again for the rest
}

// decodeCharset returns b, which is all of a text, in UTF-8.
func decodeCharset(b []byte, charset string) string {
	name := charsetName(charset)
	if (name == "" || isUTF8(name) || isASCII(name)) && utf8.Valid(b) {
		return clean(string(b))
	}
	out, _, err := transform.Bytes(toUTF8(name), b)
	if err != nil {
		out, _, _ = transform.Bytes(guesser{}, b)
	}
	return clean(string(out))
}

// guess returns octets of no declared charset as UTF-8; fallback is tried if
// they are not that already. Quirk: Japanese mailers send ISO-2022-JP raw.
func guess(b []byte, fallback string) string {
	switch {
	case bytes.Contains(b, []byte("\x1b$")) || bytes.Contains(b, []byte("\x1b(")):
		return decodeCharset(b, "iso-2022-jp")
	case utf8.Valid(b):
		return string(b)
	}
	return decodeCharset(b, fallback)
}

func isUTF8(name string) bool { return name == "utf-8" }

func isASCII(name string) bool { return name == "us-ascii" }

// charsetName returns the name that is looked up for a name as mail has it.
func charsetName(s string) string {
	if len(s) > maxCharset {
		return ""
	}
	s, _, _ = strings.Cut(s, "*")
	s = strings.Trim(strings.ToLower(s), " \t\"'")
	if isUTF8(s) || isASCII(s) {
		return s
	}
	if a, ok := charsetAliases[s]; ok {
		return a
	}
	bare := strings.NewReplacer("-", "", "_", "", " ", "", "x", "").Replace(s)
	for prefix, family := range charsetFamilies {
		if n, ok := strings.CutPrefix(bare, prefix); ok && n != "" && strings.Trim(n, "0123456789") == "" {
			return family + n
		}
	}
	return s
}

// charsetFamilies are the ways in which numbered charsets are spelled, without
// hyphens, underscores and "x-". No prefix is the start of another.
var charsetFamilies = map[string]string{
	"iso8859": "iso-8859-",
	"windows": "windows-",
	"cp125":   "windows-125",
	"win125":  "windows-125",
	"ms125":   "windows-125",
	"ibm":     "ibm",
}

// charsetAliases are names of real mail that are in none of the registries, or
// mean something else there.
var charsetAliases = map[string]string{
	"utf8": "utf-8", "utf_8": "utf-8", "unicode-1-1-utf-8": "utf-8", "unicode-2-0-utf-8": "utf-8",
	"utf8mb4": "utf-8", "utf-8mb4": "utf-8", "x-utf-8": "utf-8", "cp65001": "utf-8", "utf-8;": "utf-8",
	"ascii": "us-ascii", "ansi_x3.4-1968": "us-ascii", "ansi_x3.4-1986": "us-ascii", "iso646-us": "us-ascii",
	"iso_646.irv:1991": "us-ascii", "iso-ir-6": "us-ascii", "us": "us-ascii", "646": "us-ascii", "csascii": "us-ascii",
	"usascii": "us-ascii", "us_ascii": "us-ascii", "ascii-us": "us-ascii", "x-us-ascii": "us-ascii", "cp367": "us-ascii",
	"ibm367": "us-ascii", "ansi": "windows-1252", "latin-1": "iso-8859-1", "latin1": "iso-8859-1", "8859-1": "iso-8859-1",
	"latin2": "iso-8859-2", "latin-2": "iso-8859-2", "latin9": "iso-8859-15", "latin-9": "iso-8859-15",
	"utf7": "utf-7", "unicode-1-1-utf-7": "utf-7", "x-unicode-1-1-utf-7": "utf-7", "unicode-2-0-utf-7": "utf-7",
	"csunicode11utf7": "utf-7", "x-utf-7": "utf-7",
	"utf16": "utf-16", "utf16be": "utf-16be", "utf16le": "utf-16le", "unicode": "utf-16", "ucs-2": "utf-16",
	"iso-10646-ucs-2": "utf-16", "utf32": "utf-32", "utf32be": "utf-32be", "utf32le": "utf-32le", "ucs-4": "utf-32",
	"cp932": "shift_jis", "ms932": "shift_jis", "x-ms-cp932": "shift_jis", "windows-932": "shift_jis", "shift-jis": "shift_jis",
	"shiftjis": "shift_jis", "x-sjis-jp": "shift_jis", "s-jis": "shift_jis", "mskanji": "shift_jis", "ibm943": "shift_jis",
	"eucjp": "euc-jp", "ujis": "euc-jp", "x-euc": "euc-jp", "eucjp-ms": "euc-jp", "cp51932": "euc-jp", "euc_jp": "euc-jp",
	"jis": "iso-2022-jp", "iso-2022-jp-1": "iso-2022-jp", "iso-2022-jp-2": "iso-2022-jp", "iso-2022-jp-3": "iso-2022-jp",
	"iso-2022-jp-ms": "iso-2022-jp", "cp50220": "iso-2022-jp", "cp50221": "iso-2022-jp", "cp50222": "iso-2022-jp",
	"iso2022jp": "iso-2022-jp", "iso_2022_jp": "iso-2022-jp", "x-iso-2022-jp": "iso-2022-jp",
	"cp936": "gbk", "ms936": "gbk", "windows-936": "gbk", "euc-cn": "gbk", "euccn": "gbk", "x-euc-cn": "gbk",
	"gb2312-80": "gbk", "gb_2312": "gbk", "gb-2312": "gbk", "x-gb2312": "gbk", "gb18030-2000": "gb18030", "gb-18030": "gb18030",
	"cp54936": "gb18030", "hz": "hz-gb-2312", "hz-gb2312": "hz-gb-2312", "x-hz-gb-2312": "hz-gb-2312",
	"cp950": "big5", "ms950": "big5", "windows-950": "big5", "big-5": "big5", "x-big5": "big5", "big5hkscs": "big5", "x-x-big5": "big5",
	"cp949": "euc-kr", "ms949": "euc-kr", "uhc": "euc-kr", "x-windows-949": "euc-kr", "euckr": "euc-kr", "ks_c_5601": "euc-kr",
	"ks-c-5601-1987": "euc-kr", "ksc5601": "euc-kr", "ksc5601-1987": "euc-kr", "ks_c-5601-1987": "euc-kr", "cp51949": "euc-kr",
	"iso2022kr": "iso-2022-kr", "csiso2022kr": "iso-2022-kr", "cp50225": "iso-2022-kr",
	"koi8r": "koi8-r", "koi8_r": "koi8-r", "koi-8": "koi8-r", "koi8u": "koi8-u", "cskoi8r": "koi8-r",
	"tis620": "tis-620", "cp874": "windows-874", "mac": "macintosh", "macroman": "macintosh", "x-macroman": "macintosh",
	"visual": "iso-8859-8", "logical": "iso-8859-8",
}

// newCharset returns a decoder of the charset called name, nil if it is not
// known here.
func newCharset(name string) transform.Transformer {
	switch name {
	case "":
		return nil
	case "utf-7":
		return new(utf7)
	case "utf-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder() // RFC 2781 §4.3
	case "utf-32":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM).NewDecoder()
	case "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM).NewDecoder()
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM).NewDecoder()
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312.NewDecoder()
	case "iso-2022-jp":
		return japanese.ISO2022JP.NewDecoder()
	case "iso-2022-kr":
		return transform.Chain(new(iso2022kr), korean.EUCKR.NewDecoder())
	}
	if e, err := htmlindex.Get(name); err == nil && e != encoding.Replacement {
		return e.NewDecoder()
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil && e != encoding.Replacement {
		return e.NewDecoder()
	}
	return nil
}

// guesser passes UTF-8 on and reads every other octet as windows-1252.
type guesser struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (guesser) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		c := src[nSrc]
		if c < utf8.RuneSelf {
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = c
			nDst++
			nSrc++
			continue
		}
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, n := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && n == 1 {
			r = charmap.Windows1252.DecodeByte(c)
		}
		if nDst+utf8.UTFMax > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += n
	}
	return nDst, nSrc, nil
}
