package dkim

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"yubin/internal/testkit/dnstest"
)

// crlfFile reads a message of testdata, where lines end in LF.
func crlfFile(t testing.TB, name string) []byte {
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

// vectorZone has the keys of the examples of RFC 6376 and RFC 8463.
const vectorZone = `
$ORIGIN example.com.
brisbane._domainkey TXT ( "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ"
 "KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
 "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v"
 "/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
 "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB" )
brisbane._domainkey.football TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
test._domainkey.football TXT ( "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
 "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
 "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
 "Ip3G+2kryOTIKT+l/K4w3QIDAQAB" )
`

// TestVectors verifies the examples of RFC 6376 appendix A and RFC 8463 appendix A.
func TestVectors(t *testing.T) {
	r := dnstest.NewFake(vectorZone)
	for name, want := range map[string]string{
		"rfc6376.eml": "pass example.com brisbane joe@football.example.com rsa-sha256 1024",
		"rfc8463.eml": "pass football.example.com brisbane @football.example.com ed25519-sha256 256\n" +
			"pass football.example.com test @football.example.com rsa-sha256 1024",
	} {
		verdicts, err := Verify(context.Background(), r, bytes.NewReader(crlfFile(t, name)), Options{Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if got := summary(verdicts); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// summary is a line for each verdict; the reason stands where it is no pass.
func summary(verdicts []Verdict) string {
	var lines []string
	for _, v := range verdicts {
		line := v.Result.String()
		if s := v.Signature; s != nil && v.Result == Pass {
			line += strings.Join([]string{"", string(s.Domain), string(s.Selector), s.Identity, s.Algorithm.String(), strconv.Itoa(v.Bits)}, " ")
		} else {
			line += " " + v.Reason.String()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
