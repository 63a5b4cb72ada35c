package dns

import (
	"strings"
	"testing"
	"time"
)

func TestQuoteTXT(t *testing.T) {
	a255 := strings.Repeat("a", 255)
	for text, want := range map[string]string{
		"":               `""`,
		"v=spf1 mx ~all": `"v=spf1 mx ~all"`,
		`a"b\c`:          `"a\"b\\c"`,
		"\x00\x7f\xe9;":  `"\000\127\233;"`,
		a255:             `"` + a255 + `"`,
		a255 + "b":       `"` + a255 + `" "b"`,
		a255 + a255:      `"` + a255 + `" "` + a255 + `"`,
	} {
		if got := QuoteTXT(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestZoneRecord(t *testing.T) {
	mx := ZoneRecord{Name: "example.org", Type: TypeMX, TTL: time.Hour, Value: "10 mail.example.org."}
	txt := ZoneRecord{Name: "_dmarc.example.org", Type: TypeTXT, TTL: 5 * time.Minute, Value: "v=DMARC1; p=none"}
	for _, c := range []struct{ got, want string }{
		{mx.Line(), "example.org. 3600 IN MX 10 mail.example.org."},
		{mx.LineIn("example.org"), "@ 3600 IN MX 10 mail.example.org."},
		{mx.LineIn("org"), "example 3600 IN MX 10 mail.example.org."},
		{mx.LineIn("ample.org"), "example.org. 3600 IN MX 10 mail.example.org."},
		{mx.LineIn(""), "example.org. 3600 IN MX 10 mail.example.org."},
		{txt.LineIn("example.org"), `_dmarc 300 IN TXT "v=DMARC1; p=none"`},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}
