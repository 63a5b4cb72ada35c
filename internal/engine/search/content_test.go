package search

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"

	"yubin/internal/message"
)

// charsets are those that mail in the wild is written in, each with a text and
// a part of it in another case, or in another form of the same characters.
var charsets = []struct {
	name     string
	enc      encoding.Encoding
	text     string
	find     string
	notThere string
}{
	{"US-ASCII", unicode.UTF8, "The Post Office", "post OFFICE", "posts"},
	{"UTF-8", unicode.UTF8, "Grüße aus Köln, 郵便", "GRÜSSE AUS KÖLN", "KOLN"},
	{"UTF-16", unicode.UTF16(unicode.BigEndian, unicode.UseBOM), "郵便 Post", "便 pOST", "便P"},
	{"ISO-2022-JP", japanese.ISO2022JP, "郵便局からのお知らせ", "からの", "郵局"},
	{"Shift_JIS", japanese.ShiftJIS, "表示ソフト能力ABC", "ソフト能力abc", "ソフ能"},
	{"Shift_JIS", japanese.ShiftJIS, "ﾕｳﾋﾞﾝ", "ユウビン", "ユウピン"},
	{"EUC-JP", japanese.EUCJP, "日本語のメール", "本語の", "日語"},
	{"GB18030", simplifiedchinese.GB18030, "中文邮件测试㐂", "件测试㐂", "中邮"},
	{"GB2312", simplifiedchinese.GBK, "简体中文信件", "中文信", "简中"},
	{"GBK", simplifiedchinese.GBK, "繁體中文", "體中", "繁中"},
	{"Big5", traditionalchinese.Big5, "許功蓋的信", "功蓋", "許蓋"},
	{"EUC-KR", korean.EUCKR, "한국어 편지", "어 편", "한어"},
	{"KOI8-R", charmap.KOI8R, "Почтовое отделение", "ПОЧТОВОЕ ОТД", "почта"},
	{"KOI8-U", charmap.KOI8U, "Їжак і пошта", "їЖАК", "жак Ї"},
	{"ISO-8859-1", charmap.ISO8859_1, "Grüße aus Köln", "grÜSSE", "gruse"},
	{"ISO-8859-2", charmap.ISO8859_2, "Zażółć gęślą jaźń", "ZAŻÓŁĆ", "zazolc"},
	{"ISO-8859-3", charmap.ISO8859_3, "ĉiuĵaŭde", "ĈIUĴAŬDE", "ciu"},
	{"ISO-8859-4", charmap.ISO8859_4, "Žąsų pašto", "ŽĄSŲ", "zas"},
	{"ISO-8859-5", charmap.ISO8859_5, "Почта России", "ПОЧТА", "почты"},
	{"ISO-8859-6", charmap.ISO8859_6, "البريد", "بري", "برد"},
	{"ISO-8859-7", charmap.ISO8859_7, "Καλημέρα κόσμε", "ΚΑΛΗΜΈΡΑ", "καλος"},
	{"ISO-8859-8", charmap.ISO8859_8, "שלום עולם", "עולם", "שלם"},
	{"ISO-8859-9", charmap.ISO8859_9, "İstanbul'dan selam", "STANBUL'DAN SELAM", "stambul"},
	{"ISO-8859-10", charmap.ISO8859_10, "Þjóðin Ŋ", "þJÓÐIN ŋ", "thjodin"},
	{"ISO-8859-13", charmap.ISO8859_13, "Latviešu ķ", "LATVIEŠU Ķ", "latviesu"},
	{"ISO-8859-14", charmap.ISO8859_14, "Ŵy ẁ", "ŵY Ẁ", "wy"},
	{"ISO-8859-15", charmap.ISO8859_15, "Prix: 100 €, œuvre", "€, Œuvre", "$"},
	{"ISO-8859-16", charmap.ISO8859_16, "Scrisoare șț", "SCRISOARE ȘȚ", "st"},
	{"windows-1250", charmap.Windows1250, "Příliš žluťoučký kůň", "PŘÍLIŠ ŽLUŤ", "prilis"},
	{"windows-1251", charmap.Windows1251, "Съешь ещё этих булок", "ЕЩЁ ЭТИХ", "еще"},
	{"windows-1252", charmap.Windows1252, "“Smart quotes” – €", "“sMART", "\"smart"},
	{"windows-1253", charmap.Windows1253, "Ελληνικά γράμματα", "ΕΛΛΗΝΙΚΆ", "ελληνας"},
	{"windows-1254", charmap.Windows1254, "Çağrı ğ", "çAĞR", "cagr"},
	{"windows-1255", charmap.Windows1255, "דואר ישראל", "ישראל", "דאר"},
	{"windows-1256", charmap.Windows1256, "البريد العربي", "العربي", "عرب ي"},
	{"windows-1257", charmap.Windows1257, "Paštas ž", "PAŠTAS Ž", "pastas"},
	{"windows-1258", charmap.Windows1258, "Thư đ", "THƯ Đ", "thu d"},
}

func encoded(t *testing.T, enc encoding.Encoding, s string) []byte {
	t.Helper()
	b, err := enc.NewEncoder().Bytes([]byte(s))
	if err != nil {
		t.Fatalf("cannot write %q: %v", s, err)
	}
	return b
}

func transferred(b []byte, how string) string {
	switch how {
	case "base64":
		s := base64.StdEncoding.EncodeToString(b)
		var out strings.Builder
		for len(s) > 20 { // Lines that cut characters apart.
			out.WriteString(s[:20] + "\r\n")
			s = s[20:]
		}
		return out.String() + s + "\r\n"
	case "quoted-printable":
		var q bytes.Buffer
		w := quotedprintable.NewWriter(&q)
		_, _ = w.Write(b)
		_ = w.Close()
		return q.String() + "\r\n"
	}
	return string(b) + "\r\n"
}

// look runs one key over a message given as octets.
func look(msg string, c Criteria) bool {
	m := message.Parse([]byte(msg))
	o := &octets{content: strings.NewReader(msg), root: m.Root}
	p := Compile(c)
	if c.Op == Header {
		matcher := newMatcher(&p.headers)
		matcher.reset()
		o.matchFields(matcher)
		return matcher.found[0]
	}
	matcher := newMatcher(&p.texts)
	matcher.reset()
	o.match(context.Background().Err, matcher)
	return matcher.found[0]
}

func TestBodyCharsets(t *testing.T) {
	for _, c := range charsets {
		for _, how := range []string{"base64", "quoted-printable", "8bit"} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				msg := fmt.Sprintf("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=%s\r\n"+
					"Content-Transfer-Encoding: %s\r\n\r\n%s", c.name, how, transferred(encoded(t, c.enc, c.text), how))
				for _, op := range []Op{Body, Text} {
					if !look(msg, Criteria{Op: op, Text: c.find}) {
						t.Errorf("op %d: %q is not found in %q", op, c.find, c.text)
					}
					if look(msg, Criteria{Op: op, Text: c.notThere}) {
						t.Errorf("op %d: %q is found in %q", op, c.notThere, c.text)
					}
				}
			})
		}
	}
}

func TestHeaderCharsets(t *testing.T) {
	for _, c := range charsets {
		b := encoded(t, c.enc, c.text)
		words := []string{"=?" + c.name + "?B?" + base64.StdEncoding.EncodeToString(b) + "?=", "=?" + c.name + "?Q?" + qWord(b) + "?="}
		for _, word := range words {
			msg := "From: " + word + " <a@b.example>\r\nSubject: x\r\n\r\nbody\r\n"
			if !look(msg, Criteria{Op: Header, Field: "from", Text: c.find}) {
				t.Errorf("%s: %q is not found in %s", c.name, c.find, word)
			}
			if look(msg, Criteria{Op: Header, Field: "From", Text: c.notThere}) {
				t.Errorf("%s: %q is found in %s", c.name, c.notThere, word)
			}
			if !look(msg, Criteria{Op: Text, Text: c.find}) || look(msg, Criteria{Op: Body, Text: c.find}) {
				t.Errorf("%s: a header field belongs to Text and not to Body", c.name)
			}
		}
	}
}

func qWord(b []byte) string {
	var q strings.Builder
	for _, o := range b {
		fmt.Fprintf(&q, "=%02X", o)
	}
	return q.String()
}

const nested = "From: outer@x.example\r\nSubject: outer subject\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble words\r\n" +
	"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Description: mime words\r\n\r\n<b>hypertext</b>\r\n" +
	"--b\r\nContent-Type: image/png; name=holiday.png\r\nContent-Transfer-Encoding: base64\r\n\r\nc2VjcmV0IHBpeGVscw==\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?inner_s=C3=BCbject?=\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\naW5uZXIgYm9keQ==\r\n--b--\r\nepilogue words\r\n"

func TestWhatBelongsToWhat(t *testing.T) {
	for _, c := range []struct {
		find               string
		leaves, body, text bool
	}{
		{"outer subject", false, false, true},
		{"subject: outer", false, false, true},
		{"hypertext", true, true, true},
		{"mime words", false, false, true},
		{"holiday.png", false, false, true},
		{"secret pixels", false, false, false},
		{"c2VjcmV0", false, false, false},
		{"INNER SÜBJECT", false, true, true},
		{"inner body", true, true, true},
		{"aW5uZXI", false, false, false},
		{"preamble words", false, false, false},
		{"", true, true, true},
	} {
		if got := look(nested, Criteria{Op: Body, Text: c.find}); got != c.body {
			t.Errorf("BODY %q: %v", c.find, got)
		}
		if got := look(nested, Criteria{Op: Leaves, Text: c.find}); got != c.leaves {
			t.Errorf("BODY of IMAP4rev2 %q: %v", c.find, got)
		}
		if got := look(nested, Criteria{Op: Text, Text: c.find}); got != c.text {
			t.Errorf("TEXT %q: %v", c.find, got)
		}
	}
}

func TestHeaderFields(t *testing.T) {
	msg := "Received: one\r\nX-Empty:\r\nReceived: two\r\n folded here\r\n\r\nX-Body: no\r\n"
	for _, c := range []struct {
		field, text string
		want        bool
	}{
		{"received", "TWO folded", true},
		{"RECEIVED", "one", true},
		{"Received", "three", false},
		{"X-Empty", "", true},
		{"X-Empty", "x", false},
		{"X-Body", "", false},
	} {
		if got := look(msg, Criteria{Op: Header, Field: c.field, Text: c.text}); got != c.want {
			t.Errorf("HEADER %s %q: %v", c.field, c.text, got)
		}
	}
}

// A text is found wherever the pieces it is read in begin and end.
func TestAcrossPieces(t *testing.T) {
	needle := "Ünïcode Nadel"
	for _, at := range []int{chunk - 20, chunk - 7, chunk - 1, chunk, 3*chunk - 5} {
		msg := "Content-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("x", at) + "ünïcode nadel" + strings.Repeat("y", chunk)
		if !look(msg, Criteria{Op: Body, Text: needle}) {
			t.Errorf("not found at %d", at)
		}
	}
}

func FuzzFolderPieces(f *testing.F) {
	f.Add("Straße e\u0301 ﬁ ﾋﾞ İI ς", 3)
	f.Add(strings.Repeat("a\u0308", 400), 1)
	f.Add("\xff\xfe\x80abc\u0301", 2)
	f.Add("\x0f\xff\xf3\xf3\u0301", 1)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = max(1, min(n, 1<<10))
		whole := newFolder().foldString(s)
		pieces := newFolder()
		var got []byte
		for rest := s; rest != ""; {
			k := min(n, len(rest))
			got = pieces.append(got, []byte(rest[:k]), k == len(rest))
			rest = rest[k:]
		}
		if s != "" && len(s) < maxPending && string(got) != whole {
			t.Errorf("in pieces of %d: %q, whole: %q", n, got, whole)
		}
	})
}
