package password

import (
	"net/url"
	"testing"
	"time"
)

// RFC 6238, appendix B, its rows of SHA-1: of eight digits the last six.
func TestTOTP(t *testing.T) {
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got := TOTP([]byte("12345678901234567890"), TOTPStep(time.Unix(at, 0))); got != want {
			t.Errorf("%d: %s, want %s", at, got, want)
		}
	}
}

func TestTOTPLink(t *testing.T) {
	link := TOTPLink([]byte("12345678901234567890"), "example.org", "a b@example.org")
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/example.org:a b@example.org" ||
		u.Query().Get("secret") != "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" || u.Query().Get("issuer") != "example.org" {
		t.Errorf("%s, %v", link, err)
	}
}
