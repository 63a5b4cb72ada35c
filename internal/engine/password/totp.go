package password

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// One-time passwords by the time (RFC 6238), as every app makes them: HMAC-SHA-1, six
// digits, a new one every 30 seconds.
const (
	TOTPDigits = 6
	TOTPPeriod = 30 * time.Second
	TOTPSecret = 20 // octets of a secret: as many as SHA-1 gives (RFC 4226 §4, R6)
)

// TOTPStep is the number of the 30 seconds that t is in (RFC 6238 §4.2).
func TOTPStep(t time.Time) int64 { return t.Unix() / int64(TOTPPeriod/time.Second) }

// TOTP is the code of a step.
func TOTP(secret []byte, step int64) string {
	m := hmac.New(sha1.New, secret)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := m.Sum(nil)
	at := sum[len(sum)-1] & 0xf // RFC 4226 §5.3
	number := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", TOTPDigits, number%1_000_000)
}

// TOTPText is a secret as people type it into an app: base32.
func TOTPText(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// TOTPLink is what an app reads out of a QR code: otpauth://totp/…
func TOTPLink(secret []byte, issuer, account string) string {
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account}
	u.RawQuery = url.Values{"secret": {TOTPText(secret)}, "issuer": {issuer}, "algorithm": {"SHA1"},
		"digits": {strconv.Itoa(TOTPDigits)}, "period": {strconv.Itoa(int(TOTPPeriod / time.Second))}}.Encode()
	return u.String()
}
