package dkim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"yubin/internal/testkit/dnstest"
)

// vectorKey is the RSA key of RFC 8463 appendix A.1.
const vectorKey = `-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
`

// vectorSeed is the Ed25519 key of RFC 8463 appendix A.1.
const vectorSeed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="

func vectorKeys(t testing.TB) []SigningKey {
	t.Helper()
	r, err := ParsePrivateKey([]byte(vectorKey))
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := decodeBase64(vectorSeed)
	e, err := NewPrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	return []SigningKey{{"football.example.com", "test", r}, {"football.example.com", "brisbane", e}}
}

// TestRecords: what is to be published for the keys of RFC 8463 is what it publishes.
func TestRecords(t *testing.T) {
	zone := strings.NewReplacer("\"\n \"", "").Replace(vectorZone)
	for _, k := range vectorKeys(t) {
		if r := k.Key.Record(); !strings.Contains(zone, `"`+r+`"`) {
			t.Errorf("%s: %s", k.Selector, r)
		}
		if _, why := ParseKey(k.Key.Record()); why.Cause != Verified {
			t.Errorf("%s: %s", k.Selector, why)
		}
	}
}

// TestKeyForReports: a key for reports about TLS verifies those, and no other mail.
func TestKeyForReports(t *testing.T) {
	key := vectorKeys(t)[1]
	for field, want := range map[string]Cause{"TLS-Report-Domain": Verified, "X-Report-Domain": OtherKey} {
		text := "From: a@football.example.com\r\n" + field + ": example.org\r\n\r\nhello\r\n"
		signed, err := Sign(strings.NewReader(text), SignOptions{Keys: []SigningKey{key}})
		if err != nil {
			t.Fatal(err)
		}
		zone := dnstest.NewFake(fmt.Sprintf("brisbane._domainkey.football.example.com. TXT %q\n", key.Key.Record()+"; s=tlsrpt"))
		verdicts, err := Verify(t.Context(), zone, strings.NewReader(string(signed)+text), Options{})
		if err != nil || len(verdicts) != 1 || verdicts[0].Reason.Cause != want {
			t.Errorf("%s: %+v, %v", field, verdicts, err)
		}
	}
}

// TestSign: two signatures of one message verify, each field as it should be written.
func TestSign(t *testing.T) {
	at := time.Unix(1528637909, 0)
	signed, err := Sign(bytes.NewReader(crlfFile(t, "unsigned.eml")), SignOptions{Keys: vectorKeys(t), Time: at, Expires: at.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/signed.txt")
	if got := strings.ReplaceAll(string(signed), "\r\n", "\n"); err != nil || got != string(want) {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	for line := range strings.SplitSeq(string(signed), "\r\n") {
		if len(line) > maxColumn {
			t.Errorf("a line has %d octets: %s", len(line), line)
		}
	}
	message := append(signed, crlfFile(t, "unsigned.eml")...)
	verify := func(now time.Time, message []byte) string {
		verdicts, err := Verify(context.Background(), dnstest.NewFake(vectorZone), bytes.NewReader(message), Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return summary(verdicts)
	}
	passes := "pass football.example.com test @football.example.com rsa-sha256 1024\npass football.example.com brisbane @football.example.com ed25519-sha256 256"
	if got := verify(at, message); got != passes {
		t.Error(got)
	}
	// What may happen on the way.
	for old, now := range map[string]string{
		"Subject: Is dinner ready?\r\n": "SUBJECT:  Is\r\n dinner   ready? \r\n",
		"Joe.\r\n":                      "Joe. \t\r\n\r\n\r\n",
		"From: Joe":                     "List-Id: <x.example.org>\r\nReceived: x\r\nFrom: Joe",
	} {
		if got := verify(at, bytes.Replace(message, []byte(old), []byte(now), 1)); got != passes {
			t.Errorf("%q: %s", now, got)
		}
	}
	// What may not.
	header := "fail the header was changed after it was signed, or another key signed it"
	for _, c := range []struct{ old, now, want string }{
		{"Joe.\r\n", "Joe\r\n", "fail the body was changed after it was signed"},
		{"ready?", "ready!", header},
		{"From: Joe", "From: Eve <eve@example.net>\r\nFrom: Joe", header},
		{"From: Joe", "Cc: Eve <eve@example.net>\r\nFrom: Joe", header},
		{"From: Joe", "Content-Type: text/html\r\nFrom: Joe", header},
		{"To: Suzie", "X-To: Suzie", header},
		{" x=1528641509", " x=1628641509", header},
	} {
		if got := verify(at, bytes.ReplaceAll(message, []byte(c.old), []byte(c.now))); got != c.want+"\n"+c.want {
			t.Errorf("%q: %s", c.now, got)
		}
	}
	expired := "policy the signature has expired on 2018-06-10"
	if got := verify(at.Add(time.Hour+time.Second), message); got != expired+"\n"+expired {
		t.Error(got)
	}
}

// TestSignedNames: what is there is signed, and most of it once more.
func TestSignedNames(t *testing.T) {
	var h Header
	h.index([]byte("Received: x\r\nFrom: a@b\r\nFROM: b@c\r\nList-Unsubscribe: <https://x>\r\nResent-To: a\r\nX-Y: z\r\nDKIM-Signature: x\r\n"))
	const want = "From From From To Cc Subject Date Message-ID Reply-To In-Reply-To References MIME-Version Content-Type Content-Transfer-Encoding List-Unsubscribe List-Unsubscribe Resent-To"
	if got := strings.Join(SignedNames(&h), " "); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestNothingToSign(t *testing.T) {
	for _, message := range []string{"", "To: a@b\r\n\r\nFrom: x\r\n", "From: a@b\r\n" + strings.Repeat("X: y\r\n", MaxHeader/6)} {
		if fields, err := Sign(strings.NewReader(message), SignOptions{Keys: vectorKeys(t)}); err == nil {
			t.Errorf("%.20q is signed: %s", message, fields)
		}
	}
	if _, err := NewSigner(SignOptions{Keys: []SigningKey{{"[192.0.2.1]", "a", nil}}}); err == nil {
		t.Error("an address signs")
	}
}

func TestPrivateKeys(t *testing.T) {
	short := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte{0x30, 0}})
	for _, text := range []string{"", "text", string(short), strings.Replace(vectorKey, "RSA ", "EC ", 2)} {
		if _, err := ParsePrivateKey([]byte(text)); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}
