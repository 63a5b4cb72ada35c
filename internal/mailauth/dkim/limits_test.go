package dkim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/testkit/linear"
)

// budget is how much processor time any message may cost. The race detector and
// a coverage build are no measure; linear.Fastest takes the best of some runs.
const budget = 50 * time.Millisecond

// TestHostileMessages: whatever a message is made of, it is judged within the budget.
func TestHostileMessages(t *testing.T) {
	keys := vectorKeys(t)
	signed := string(faultMessage(t, "", keys[0].Key))
	field, rest, _ := strings.Cut(signed, "From:")
	rest = "From:" + rest
	good := `good._domainkey.example.org. TXT "` + keys[0].Key.Record() + `"`
	r := dnstest.NewFake(good + "\n" + good)
	room := MaxHeader - len(signed) - 100
	tiny := "DKIM-Signature: v=1;\r\n"
	passes, more := "pass example.org good @example.org rsa-sha256 1024", " more signatures were not looked at; 10 are"
	for name, c := range map[string]struct {
		message string
		want    string // the last line of the summary
	}{
		"10,000 signatures": {strings.Repeat(tiny, 10000) + signed, "policy 9991" + more},
		"many that verify":  {strings.Repeat(field, room/len(field)) + rest, "policy " + strconv.Itoa(room/len(field)-MaxSignatures) + more},
		"a long header":     {strings.Repeat(field, 10000) + rest, "policy the header of the message is over 262144 octets"},
		"ten with all names": {strings.Repeat(strings.Replace(field, "h=from:subject:from", "h=from"+strings.Repeat(":x", MaxNames-1), 1), MaxSignatures) +
			strings.Repeat("x:\r\n", room/8) + rest, "fail the header was changed after it was signed, or another key signed it"},
		"many tags": {strings.Repeat(strings.Replace(field, "v=1;", "v=1"+strings.ReplaceAll(manyTags(MaxTags-10), "x", "z")+";", 1), MaxSignatures) + rest,
			"fail the header was changed after it was signed, or another key signed it"},
		"a list of semicolons":    {"DKIM-Signature: v=1" + strings.Repeat(";", room/2) + "\r\n" + rest, "neutral the signature is not well-formed: the list of tags is over 65536 octets"},
		"a list in base64":        {strings.Replace(field, " b=", " b="+strings.Repeat("A ", MaxList/2-500), 1) + rest, "fail the header was changed after it was signed, or another key signed it"},
		"many fields of one name": {field + strings.Repeat("From: a@example.org\r\n", room/21) + rest, "fail the header was changed after it was signed, or another key signed it"},
		"many names":              {field + manyFields(room) + rest, passes},
		"space in the header":     {field + "X:" + strings.Repeat(" \t", room/2) + "\r\n" + rest, passes},
		"folds":                   {field + "X: y" + strings.Repeat("\r\n ", room/3) + "\r\n" + rest, passes},
		"line ends in the header": {field + strings.Repeat("\n", room), "fail the body was changed after it was signed"},
		"space in the body":       {signed + strings.Repeat(" \t", 1<<19), passes},
		"double space":            {signed + strings.Repeat("a  ", 1<<18), "fail the body was changed after it was signed"},
		"empty lines":             {signed + strings.Repeat("\r\n", 1<<19), passes},
		"CRs":                     {signed + strings.Repeat("\r", 1<<20), "fail the body was changed after it was signed"},
		"lines with one space":    {signed + strings.Repeat(" \r\n", 1<<18), passes},
		"spaces before CRs":       {signed + strings.Repeat(" \r", 1<<18), "fail the body was changed after it was signed"},
		"nothing but space":       {strings.Repeat(" ", 1<<20), ""},
		"no line end":             {strings.Repeat("x", 1<<20), ""},
		"NULs":                    {strings.Repeat("\x00", 1<<20), ""},
	} {
		message := []byte(c.message)
		verify := func() []Verdict {
			verdicts, err := Verify(context.Background(), r, bytes.NewReader(message), Options{Now: faultNow})
			if err != nil {
				t.Fatal(err)
			}
			return verdicts
		}
		verdicts := verify()
		lines := strings.Split(summary(verdicts), "\n")
		if got := lines[len(lines)-1]; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if len(verdicts) > MaxSignatures+1 {
			t.Errorf("%s: %d verdicts", name, len(verdicts))
		}
		if took := linear.Fastest(func() { verify() }); took > budget {
			t.Errorf("%s takes %v of processor time", name, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}

// manyFields are fields with a name each.
func manyFields(size int) string {
	var s strings.Builder
	for i := 0; s.Len() < size-20; i++ {
		s.WriteString("X" + strconv.Itoa(i) + ":\r\n")
	}
	return s.String()
}

// TestNamesAreAskedOnce: however many signatures say where a key is.
func TestNamesAreAskedOnce(t *testing.T) {
	keys := vectorKeys(t)
	field := string(faultMessage(t, "", keys[0].Key))
	field = field[:strings.Index(field, "From:")]
	v := New(Options{})
	v.Write([]byte(strings.Repeat(field, 4) + strings.Replace(field, "s=good", "s=other", 1) + "From: a@example.org\r\n"))
	if v.Begun() || v.Names() != nil {
		t.Error("names before the header is there")
	}
	v.Write([]byte("\r\n"))
	if names := v.Names(); !v.Begun() || len(names) != 2 || names[0] != "good._domainkey.example.org" || names[1] != "other._domainkey.example.org" {
		t.Errorf("%v", names)
	}
	for _, verdict := range v.Finish(map[dns.Name]KeyResult{}) {
		if verdict.Reason.Cause != BodyChanged { // There is none.
			t.Errorf("%+v", verdict.Reason)
		}
	}
}

// TestSharedMessage: a Verifier, a Signer and another one read one message once.
func TestSharedMessage(t *testing.T) {
	keys := vectorKeys(t)
	v := NewShared(Options{})
	s, err := NewSharedSigner(SignOptions{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	var digest *Digest
	m := NewMessage(v.Begin, s.Begin, func(_ *Header, b *Body) { digest = b.Digest(Relaxed, -1) })
	m.Write(crlfFile(t, "rfc8463.eml"))
	m.Finish()
	if s.digest != digest || v.checks[0].digest != digest || v.checks[1].digest != digest {
		t.Error("the body was hashed more than once")
	}
	r := dnstest.NewFake(vectorZone)
	results := map[dns.Name]KeyResult{}
	for _, n := range v.Names() {
		results[n] = Lookup(context.Background(), r, n)
	}
	for _, verdict := range v.Finish(results) {
		if verdict.Result != Pass {
			t.Errorf("%s", verdict.Reason)
		}
	}
	if field, err := s.Finish(); err != nil || bytes.Count(field, []byte("DKIM-Signature:")) != 2 {
		t.Errorf("%s, %v", field, err)
	}
}

// TestHostileKeys: the largest keys that are tried, with the exponents that take most, and
// larger ones, for all signatures that are looked at.
func TestHostileKeys(t *testing.T) {
	slow := func(bits int) string {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits))
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Sub(n, big.NewInt(1)), E: MaxExponent - 1})
		if err != nil {
			t.Fatal(err)
		}
		return "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(der)
	}
	keys := vectorKeys(t)
	message := faultMessage(t, "", keys[0].Key)
	field, rest, _ := strings.Cut(string(message), "From:")
	field = field[:strings.LastIndex(field, " b=")]
	for bits, want := range map[int]string{
		MaxBits: "fail the header was changed after it was signed, or another key signed it",
		16384:   "policy the key at good._domainkey.example.org has 16384 bits; more than 4096 are not tried",
	} {
		message := []byte(strings.Repeat(field+" b="+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x55}, bits/8))+"\r\n", MaxSignatures) + "From:" + rest)
		r := answers{slow(bits), strings.Replace(slow(bits), "DKIM1;", "DKIM1; s=email;", 1), slow(bits)}
		verify := func() []Verdict {
			verdicts, err := Verify(context.Background(), r, bytes.NewReader(message), Options{Now: faultNow})
			if err != nil {
				t.Fatal(err)
			}
			return verdicts
		}
		if got := summary(verify()); got != strings.Repeat(want+"\n", MaxSignatures-1)+want {
			t.Errorf("%d bits: %s", bits, got)
		}
		took := linear.Fastest(func() { verify() })
		if t.Logf("%d bits: %v", bits, took); took > budget {
			t.Errorf("keys of %d bits take %v of processor time", bits, took)
		}
	}
}

// answers are the records at any name.
type answers []string

func (a answers) TXT(context.Context, dns.Name) (dns.Answer[string], error) {
	return dns.Answer[string]{Records: a}, nil
}
