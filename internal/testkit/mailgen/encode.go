package mailgen

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// charset is a phrase that its encoding can write.
type charset struct {
	name   string
	enc    encoding.Encoding
	phrase string
}

var charsets = [...]charset{
	{"ISO-2022-JP", japanese.ISO2022JP, "郵便局からのお知らせ"},
	{"Shift_JIS", japanese.ShiftJIS, "表示ソフト能力"}, // Second octets that are backslashes.
	{"EUC-JP", japanese.EUCJP, "日本語のメール"},
	{"GB18030", simplifiedchinese.GB18030, "中文邮件测试"},
	{"GB2312", simplifiedchinese.GBK, "简体中文信件"},
	{"Big5", traditionalchinese.Big5, "許功蓋的信"},
	{"EUC-KR", korean.EUCKR, "한국어 편지"},
	{"KOI8-R", charmap.KOI8R, "Почтовое отделение"},
	{"ISO-8859-1", charmap.ISO8859_1, "Grüße aus Köln"},
	{"ISO-8859-2", charmap.ISO8859_2, "Zażółć gęślą jaźń"},
	{"ISO-8859-5", charmap.ISO8859_5, "Почта России"},
	{"ISO-8859-7", charmap.ISO8859_7, "Καλημέρα κόσμε"},
	{"ISO-8859-8", charmap.ISO8859_8, "שלום עולם"},
	{"ISO-8859-9", charmap.ISO8859_9, "İstanbul'dan selam"},
	{"ISO-8859-15", charmap.ISO8859_15, "Prix: 100 €, œuvre"},
	{"windows-1250", charmap.Windows1250, "Příliš žluťoučký kůň"},
	{"windows-1251", charmap.Windows1251, "Съешь ещё этих булок"},
	{"windows-1252", charmap.Windows1252, "“Smart quotes” – €"},
	{"windows-1253", charmap.Windows1253, "Ελληνικά γράμματα"},
	{"windows-1255", charmap.Windows1255, "דואר ישראל"},
	{"windows-1256", charmap.Windows1256, "البريد العربي"},
	{"UTF-8", unicode.UTF8, "郵便 ✉ naïve Привет"},
}

// Charsets returns how many charsets the generator writes.
func Charsets() int { return len(charsets) }

func (c charset) encode(s string) []byte {
	b, err := c.enc.NewEncoder().Bytes([]byte(s))
	if err != nil {
		panic("mailgen: " + c.name + " cannot write its own phrase: " + err.Error())
	}
	return b
}

// word makes one encoded-word (RFC 2047); 'B' or 'Q'.
func (c charset) word(s string, how byte) string {
	b := c.encode(s)
	if how == 'B' {
		return "=?" + c.name + "?B?" + base64.StdEncoding.EncodeToString(b) + "?="
	}
	var q strings.Builder
	for _, o := range b {
		switch {
		case o == ' ':
			q.WriteByte('_')
		case o|0x20 >= 'a' && o|0x20 <= 'z' || o >= '0' && o <= '9':
			q.WriteByte(o)
		default:
			q.WriteString("=" + strings.ToUpper(hex2(o)))
		}
	}
	return "=?" + c.name + "?Q?" + q.String() + "?="
}

func hex2(o byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[o>>4], digits[o&15]})
}

// transfer writes b under a content-transfer-encoding.
func transfer(b []byte, how string) string {
	switch how {
	case "base64":
		return base64Lines(b, 76)
	case "quoted-printable":
		var q bytes.Buffer
		w := quotedprintable.NewWriter(&q)
		_, _ = w.Write(b)
		_ = w.Close()
		return q.String() + "\n"
	}
	return string(b)
}

func base64Lines(b []byte, width int) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for len(s) > width {
		out.WriteString(s[:width] + "\n")
		s = s[width:]
	}
	return out.String() + s + "\n"
}
