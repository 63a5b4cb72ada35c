package dkim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/testkit/dnstest"
)

// faultNow is when the messages of TestFaults come.
var faultNow = time.Unix(1600000000, 0)

// faultZone has the keys that TestFaults asks for, %K for the public half of the one
// that signs.
const faultZone = `
$ORIGIN example.org.
good._domainkey TXT "v=DKIM1; p=%K"
old._domainkey TXT "p=%K"
full._domainkey TXT "v=DKIM1; h=sha1:sha256; k=rsa; n=a note; s=other:email; t=; p=%K;"
testing._domainkey TXT "v=DKIM1; t=y; p=%K"
strict._domainkey TXT "v=DKIM1; t=other:s; p=%K"
two._domainkey TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
two._domainkey TXT "v=DKIM1; p=%K"
beside._domainkey TXT "v=spf1 -all"
beside._domainkey TXT "v=DKIM1; p=%K"
alias._domainkey CNAME good._domainkey
revoked._domainkey TXT "v=DKIM1; p="
spf._domainkey TXT "v=spf1 -all"
later._domainkey TXT "k=rsa; v=DKIM1; p=%K"
version._domainkey TXT "v=DKIM1.0; p=%K"
twice._domainkey TXT "v=DKIM1; p=; p=%K"
base64._domainkey TXT "v=DKIM1; p=%K!"
der._domainkey TXT "v=DKIM1; p=AAAA"
kind._domainkey TXT "v=DKIM1; k=ec; p=%K"
hash._domainkey TXT "v=DKIM1; h=sha1; p=%K"
service._domainkey TXT "v=DKIM1; s=tlsrpt; p=%K"
edward._domainkey TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
edshort._domainkey TXT "v=DKIM1; k=ed25519; p=AAAA"
other._domainkey TXT "v=DKIM1; p=%O"
short._domainkey TXT "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKnoEfKOtuzvRgsAPNaQsLk4L1t4lfCaRQC/KDcqeTMD2nrKyBBBnWtvYPQHDK5lI0SXU+qpxjrBlRLH2HfIkn8CAwEAAQ=="
`

func TestFaults(t *testing.T) {
	keys := vectorKeys(t)
	zone := strings.NewReplacer("%K", strings.TrimPrefix(keys[0].Key.Record(), "v=DKIM1; k=rsa; p="),
		"%O", "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB").Replace(faultZone)
	r := dnstest.NewFake(zone)
	r.Fail("down._domainkey.example.org", dns.TypeTXT, dns.ServFail)
	const passes = "pass example.org "
	for _, c := range []struct {
		tags string // +name=value changes or adds a tag, -name takes one away
		want string
	}{
		{"", passes + "good @example.org rsa-sha256 1024"},
		{"+s=old", passes + "old @example.org rsa-sha256 1024"},
		{"+s=full", passes + "full @example.org rsa-sha256 1024"},
		{"+s=testing", passes + "testing @example.org rsa-sha256 1024"},
		{"+s=two", passes + "two @example.org rsa-sha256 1024"},
		{"+s=beside", passes + "beside @example.org rsa-sha256 1024"},
		{"+s=alias", passes + "alias @example.org rsa-sha256 1024"},
		{"+s=GOOD +d=Example.ORG", passes + "good @example.org rsa-sha256 1024"},
		{"+i=@a.Example.org", passes + "good @a.Example.org rsa-sha256 1024"},
		{"+i=b=3Do=3b=20b@example.org", "neutral the signature is not well-formed: the tag i is not dkim-quoted-printable"},
		{"+i=b=3Do=20b@example.org", passes + "good b=o b@example.org rsa-sha256 1024"},
		{"+i=\u00fc@example.org", passes + "good \u00fc@example.org rsa-sha256 1024"},
		{"+s=strict", passes + "strict @example.org rsa-sha256 1024"},
		{"+s=strict +i=x@example.org", passes + "strict x@example.org rsa-sha256 1024"},
		{"+q=x/y:dns/txt +zz=a/b=c", passes + "good @example.org rsa-sha256 1024"},
		{"+x=1600000000 +t=1599999999", passes + "good @example.org rsa-sha256 1024"},
		{"+h=from:from:x-none:Subject", passes + "good @example.org rsa-sha256 1024"},
		{"+l=0 +bh=" + hashOf(""), passes + "good @example.org rsa-sha256 1024"},
		{"+l=5 +bh=" + hashOf("Hello"), passes + "good @example.org rsa-sha256 1024"},
		{"+l=0000000000000000000000000000000000000000000000000000000000000000000000000015", passes + "good @example.org rsa-sha256 1024"},

		{"+l=16", "fail the body has 15 octets, fewer than were signed"},
		{"+l=99999999999999999999999999", "fail the body has 15 octets, fewer than were signed"},
		{"+l=5", "fail the body was changed after it was signed"},
		{"+s=other", "fail the header was changed after it was signed, or another key signed it"},
		{"+b=AAAA", "fail the header was changed after it was signed, or another key signed it"},
		{"+s=down +bh=" + hashOf("x"), "fail the body was changed after it was signed"},

		{"+s=down", "temperror the DNS cannot tell about down._domainkey.example.org now: the name server failed"},

		{"+s=none", "permerror there is no key at none._domainkey.example.org: no such domain"},
		{"+s=none +bh=" + hashOf("x"), "permerror there is no key at none._domainkey.example.org: no such domain"},
		{"+s=revoked", "permerror the key at revoked._domainkey.example.org is revoked"},
		{"+s=spf", "permerror the key at spf._domainkey.example.org cannot be used: its record is not valid"},
		{"+s=later", "permerror the key at later._domainkey.example.org cannot be used: its record is not valid"},
		{"+s=version", "permerror the key at version._domainkey.example.org cannot be used: its record is not valid"},
		{"+s=twice", "permerror the key at twice._domainkey.example.org cannot be used: its record is not valid"},
		{"+s=base64", "permerror the key at base64._domainkey.example.org cannot be used: its record is not valid"},
		{"+s=der", "permerror the key at der._domainkey.example.org cannot be used: its record is not valid"},
		{"+s=edshort", "permerror the key at edshort._domainkey.example.org cannot be used: its record is not valid"},
		{"+s=kind", "permerror the key at kind._domainkey.example.org is not for such signatures"},
		{"+s=hash", "permerror the key at hash._domainkey.example.org is not for such signatures"},
		{"+s=service", "permerror the key at service._domainkey.example.org is not for such signatures"},
		{"+s=edward", "permerror the key at edward._domainkey.example.org is not for such signatures"},
		{"+a=ed25519-sha256", "permerror the key at good._domainkey.example.org is not for such signatures"},
		{"+s=short", "permerror the key at short._domainkey.example.org has 512 bits; under 1024 prove nothing (RFC 8301)"},
		{"+s=strict +i=@a.example.org", "permerror the key at strict._domainkey.example.org is not for identities of subdomains"},
		{"+a=rsa-sha1", "permerror the signature is made with rsa-sha1, which proves nothing any more (RFC 8301)"},
		{"-h", "permerror the signature has no tag \"h\""},
		{"-v", "permerror the signature has no tag \"v\""},
		{"-d", "permerror the signature has no tag \"d\""},
		{"-bh", "permerror the signature has no tag \"bh\""},
		{"+h=Subject:X-From", "permerror the field From is not signed"},
		{"+d=org", "permerror org is no name for a key"},
		{"+d=[192.0.2.1]", "permerror [192.0.2.1] is no name for a key"},
		{"+d=a..org", "permerror a..org is no name for a key"},
		{"+s=a..b", "permerror a..b is no name for a key"},
		{"+s=", "permerror \"\" is no name for a key"},
		{"+d=" + strings.Repeat("a1234567.", 27) + "org", "permerror \"good._domainkey." + strings.Repeat("a1234567.", 12)[:maxShown-len("good._domainkey.")] + "...\" is no name for a key"},
		{"+i=@example.com", "permerror the identity @example.com is not in the domain that signed"},
		{"+i=@notexample.org", "permerror the identity @notexample.org is not in the domain that signed"},

		{"+x=1599999999", "policy the signature has expired on 2020-09-13"},
		{"+h=from" + strings.Repeat(":x", MaxNames), "policy more than 512 header fields are named as signed"},

		{"+v=2", "neutral the signature is of version 2, not 1"},
		{"+a=rsa-sha512", "neutral the algorithm rsa-sha512 is not known here"},
		{"+a=RSA-SHA256", "neutral the algorithm RSA-SHA256 is not known here"},
		{"+c=nowsp", "neutral the canonicalization nowsp is not known here"},
		{"+c=relaxed/", "neutral the canonicalization relaxed/ is not known here"},
		{"+q=http", "neutral the key is not in the DNS but is to be found by http"},
		{"+h=from::to", "neutral the signature is not well-formed: the tag h names something that is no header field"},
		{"+bh=AAAA", "neutral the signature is not well-formed: the tag bh is not the hash of a body"},
		{"+bh=", "neutral the signature is not well-formed: the tag bh is not the hash of a body"},
		{"+b=", "neutral the signature is not well-formed: the tag b is not base64"},
		{"+b=A", "neutral the signature is not well-formed: the tag b is not base64"},
		{"+t=1x", "neutral the signature is not well-formed: the tag t is not a time"},
		{"+x=1234567890123", "neutral the signature is not well-formed: the tag x is not a time"},
		{"+t=9 +x=9", "neutral the signature is not well-formed: it expires before it is made"},
		{"+l=-1", "neutral the signature is not well-formed: the tag l is not a number"},
		{"+l=" + strings.Repeat("1", 77), "neutral the signature is not well-formed: the tag l is not a number"},
		{"+i=example.org", "neutral the signature is not well-formed: the tag i is not an identity"},
		{"+i=a@", "neutral the signature is not well-formed: the tag i is not an identity"},
		{"+d=a;d=b", "neutral the signature is not well-formed: a tag is there twice"},
		{"+e=a;;f=b", "neutral the signature is not well-formed: tag 9 of the list has no name"},
		{"+e=a\x00", "neutral the signature is not well-formed: the list of tags has octets that no text has"},
		{"+e=a\xff", "neutral the signature is not well-formed: the list of tags has octets that no text has"},
		{"+e=a\r\nstray", "neutral the signature is not well-formed: the list of tags has octets that no text has"},
		{"+e=x" + manyTags(MaxTags), "neutral the signature is not well-formed: there are more than 64 tags"},
		{"+e=" + strings.Repeat("x", MaxList), "neutral the signature is not well-formed: the list of tags is over 65536 octets"},
	} {
		message := faultMessage(t, c.tags, keys[0].Key)
		verdicts, err := Verify(context.Background(), r, bytes.NewReader(message), Options{Now: faultNow})
		if err != nil {
			t.Fatal(err)
		}
		if got := summary(verdicts); got != c.want {
			t.Errorf("%.200q: %.300s\nwant %s", c.tags, got, c.want)
		}
	}
}

func manyTags(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(";x" + strings.Repeat("y", i) + "=")
	}
	return s.String()
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// faultMessage is a signed message, after changes to the tags that are signed.
func faultMessage(t *testing.T, changes string, key *PrivateKey) []byte {
	const header, body = "From: a@example.org\r\nSubject: x\r\n", "Hello  \r\nworld. \r\n\r\n"
	tags := Tags{{Name: "v", Value: "1"}, {Name: "a", Value: "rsa-sha256"}, {Name: "c", Value: "relaxed/relaxed"}, {Name: "d", Value: "example.org"},
		{Name: "s", Value: "good"}, {Name: "h", Value: "from:subject:from"}, {Name: "bh", Value: hashOf("Hello\r\nworld.\r\n")}}
	broken := ""
	for change := range strings.SplitSeq(changes, " ") {
		name, value, _ := strings.Cut(strings.TrimLeft(change, "+-"), "=")
		i := 0
		for i < len(tags) && tags[i].Name != name {
			i++
		}
		switch {
		case change == "":
		case name == "b":
			broken = "b=" + value
		case change[0] == '-':
			tags = append(tags[:i], tags[i+1:]...)
		case i == len(tags):
			tags = append(tags, Tag{Name: name, Value: value})
		default:
			tags[i].Value = value
		}
	}
	var h Header
	h.index([]byte(header))
	var names []string
	for name := range SplitColons(strings.ToLower(tags.Value("h"))) {
		names = append(names, name)
	}
	field, err := AppendSigned(nil, DKIMSignature, tags, key, h.AppendFields(nil, Relaxed, names))
	if err != nil {
		t.Fatal(err)
	}
	if broken != "" {
		field = append(field[:bytes.LastIndex(field, []byte(" b="))+1], broken+"\r\n"...)
	}
	return append(field, header+"\r\n"+body...)
}

// TestTestingAndLength: what else a verdict says.
func TestTestingAndLength(t *testing.T) {
	keys := vectorKeys(t)
	r := dnstest.NewFake("testing._domainkey.example.org. TXT \"" + strings.Replace(keys[0].Key.Record(), ";", "; t=y;", 1) + `"`)
	message := faultMessage(t, "+s=testing +l=5 +t=1500000000 +bh="+hashOf("Hello"), keys[0].Key)
	verdicts, err := Verify(context.Background(), r, bytes.NewReader(message), Options{})
	if err != nil || len(verdicts) != 1 {
		t.Fatal(verdicts, err)
	}
	v := verdicts[0]
	if v.Result != Pass || !v.Testing || v.Body != 15 || v.Unsigned != 10 || v.Signature.Length != 5 || v.Signature.Time.Unix() != 1500000000 || strings.Join(v.Signature.Names, " ") != "from subject from" {
		t.Errorf("%+v of %+v", v, v.Signature)
	}
}

// TestOwnFieldIsNotSigned: other signatures may be signed; the one that is verified is
// passed over, wherever it stands (RFC 6376 §3.7).
func TestOwnFieldIsNotSigned(t *testing.T) {
	keys := vectorKeys(t)
	first := crlfFile(t, "rfc8463.eml")
	names := []string{"From", "DKIM-Signature", "DKIM-Signature", "DKIM-Signature"}
	field, err := Sign(bytes.NewReader(first), SignOptions{Keys: keys[:1], Names: names})
	if err != nil {
		t.Fatal(err)
	}
	r := dnstest.NewFake(vectorZone)
	for place, message := range map[string][]byte{
		"first": append(bytes.Clone(field), first...),
		"last":  bytes.Replace(first, []byte("\r\nFrom:"), append([]byte("\r\n"), append(bytes.Clone(field), "From:"...)...), 1),
	} {
		verdicts, err := Verify(context.Background(), r, bytes.NewReader(message), Options{})
		if err != nil || len(verdicts) != 3 {
			t.Fatal(verdicts, err)
		}
		for i, v := range verdicts {
			if v.Result != Pass {
				t.Errorf("%s: signature %d: %s", place, i, v.Reason)
			}
		}
	}
}

func TestBest(t *testing.T) {
	if b := Best(nil); b.Result != None || b.Reason.String() != "the message is not signed" {
		t.Errorf("%+v", b)
	}
	a, b := Verdict{Result: Fail, Body: 1}, Verdict{Result: Fail, Body: 2}
	if got := Best([]Verdict{{Result: Policy}, a, b, {Result: PermError}}); got.Body != 1 {
		t.Errorf("%+v", got)
	}
	for r := None; r <= Pass; r++ {
		if got, ok := ParseResult(r.String()); !ok || got != r {
			t.Errorf("%s is read as %s", r, got)
		}
	}
}

// TestKeySizes: what is not of 1024 to 4096 bits, or what crypto/rsa would refuse, is
// refused when it is read.
func TestKeySizes(t *testing.T) {
	for _, c := range []struct {
		bits, exponent int
		even           uint
		want           Cause
	}{
		{1024, 3, 0, Verified}, {4096, 65537, 0, Verified}, {2048, MaxExponent - 1, 0, Verified},
		{1023, 65537, 0, ShortKey}, {8, 3, 0, ShortKey}, {4097, 65537, 0, LongKey}, {16384, 65537, 0, LongKey},
		{2048, 1, 0, BadKey}, {2048, MaxExponent + 1, 0, BadKey}, {2048, 1<<31 - 1, 0, BadKey}, {2048, 65536, 0, BadKey}, {2048, 65537, 1, BadKey},
	} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(c.bits-1))
		n.Add(n, big.NewInt(int64(1-c.even)))
		key := &rsa.PublicKey{N: n, E: c.exponent}
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, der := range [][]byte{spki, x509.MarshalPKCS1PublicKey(key)} {
			record := "p=" + base64.StdEncoding.EncodeToString(der)
			k, why := ParseKey(record)
			if why.Cause != c.want || k != nil && k.Bits != c.bits || (why.Cause == ShortKey || why.Cause == LongKey) && why.Number != c.bits {
				t.Errorf("%d bits, exponent %d: %s", c.bits, c.exponent, why)
			}
			if k, why := ParseKey(record + strings.Repeat(" ", MaxRecord)); k != nil || why.Cause != BadKey {
				t.Errorf("a record of %d octets: %s", len(record)+MaxRecord, why)
			}
		}
	}
}
