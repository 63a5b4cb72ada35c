package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"yubin/internal/message"
)

// FuzzTags: what is read is what stands in the list, each name once.
func FuzzTags(f *testing.F) {
	for _, s := range []string{"", "a=b", " v = 1 ; b = \r\n x y ;", "a=;b=;", "a=b;;c=d", "a=b; a=c", "=", "a_1=\xc3\xbc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		tags, err := ParseTags(list)
		if err != nil {
			return
		}
		if len(tags) == 0 || len(tags) > MaxTags {
			t.Fatalf("%d tags", len(tags))
		}
		var again strings.Builder
		seen := map[string]bool{}
		for _, tag := range tags {
			if seen[tag.Name] || strings.Trim(list[tag.start:tag.end], fws) != tag.Value || strings.Contains(tag.Value, ";") {
				t.Fatalf("%+v of %q", tag, list)
			}
			seen[tag.Name] = true
			again.WriteString(tag.Name + "=" + tag.Value + ";")
		}
		second, err := ParseTags(again.String())
		if err != nil || len(second) != len(tags) {
			t.Fatalf("%q is written as %q: %v", list, again.String(), err)
		}
		for i := range tags {
			if tags[i].Name != second[i].Name || tags[i].Value != second[i].Value {
				t.Fatalf("%+v and %+v", tags[i], second[i])
			}
		}
	})
}

// FuzzKey: there is a key or a reason, and a key can be asked about any signature.
func FuzzKey(f *testing.F) {
	for _, k := range vectorKeys(f) {
		f.Add(k.Key.Record())
	}
	f.Add("v=DKIM1; p=")
	f.Add("k=rsa; t=y:s; h=sha1:sha256; s=email; n=x; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKnoEfKOtuzvRgsAPNaQsLk4L1t4lfCaRQC/KDcqeTMD2nrKyBBBnWtvYPQHDK5lI0SXU+qpxjrBlRLH2HfIkn8CAwEAAQ==")
	f.Fuzz(func(t *testing.T, txt string) {
		k, why := ParseKey(txt)
		if (k == nil) != (why.Cause != Verified) {
			t.Fatalf("%v and %s", k, why)
		}
		if k == nil {
			return
		}
		if k.Bits < 256 || k.Bits > MaxBits || k.Suits(RSASHA256) == k.Suits(Ed25519SHA256) {
			t.Fatalf("%+v", k)
		}
		sum := sha256.Sum256([]byte(txt))
		for _, a := range []Algorithm{UnknownAlgorithm, RSASHA256, Ed25519SHA256, RSASHA1} {
			for _, n := range []int{0, 64, k.Bits / 8} {
				if k.Verify(a, sum[:], bytes.Repeat([]byte{0x5a}, n)) {
					t.Fatal("a signature of nothing")
				}
			}
		}
	})
}

// FuzzSignature: what is well-formed can be asked for and hashed.
func FuzzSignature(f *testing.F) {
	for name, raw := range message.RawFields(crlfFile(f, "rfc8463.eml")) {
		if bytes.EqualFold(name, []byte("dkim-signature")) {
			f.Add(raw)
		}
	}
	f.Add([]byte("DKIM-Signature: v=1; a=rsa-sha256; c=simple; d=b.c; i=x=20@a.b.c; l=7; q=dns/txt; s=a; t=1; x=2; h=from:To; bh=" + hashOf("") + "; b=AAAA\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if colon := bytes.IndexByte(raw, ':'); colon < 1 {
			return
		}
		for _, form := range []Form{DKIMSignature, ARCMessageSignature, ARCSeal} {
			s, why := ParseSignature(raw, form)
			if shows := why.String(); why.Cause != Verified && (shows == "" || strings.ContainsFunc(shows, func(r rune) bool { return r < ' ' || r > '~' })) {
				t.Fatalf("the reason %q", shows)
			}
			var h Header
			h.index(append(bytes.Clone(raw), "\r\nFrom: a@b\r\n"...))
			signed := s.AppendSigned(nil, &h, 0)
			if why.Cause == Verified && (s.Key.IsRoot() || len(s.value) == 0 || form != ARCSeal && len(s.Names) == 0) {
				t.Fatalf("%+v", s)
			}
			if value := s.Tags.Value("b"); why.Cause == Verified && len(value) > 100 && bytes.Contains(signed, []byte(value)) {
				t.Fatalf("the signature signs itself: %q", signed)
			}
		}
	})
}

// FuzzMessage: a message gives the same in one piece and in many, and one that passes
// has the field From.
func FuzzMessage(f *testing.F) {
	f.Add(crlfFile(f, "rfc6376.eml"), uint8(7))
	f.Add(crlfFile(f, "rfc8463.eml"), uint8(1))
	f.Add([]byte("From: a\r\n\r\n x \r\n\r\n"), uint8(2))
	var records answers
	keys := vectorKeys(f)
	for _, k := range keys {
		records = append(records, k.Key.Record())
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		whole, err := Verify(context.Background(), records, bytes.NewReader(text), Options{Now: faultNow})
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := Verify(context.Background(), records, &slowly{text, int(size)%16 + 1}, Options{Now: faultNow})
		if err != nil || summary(whole) != summary(pieces) {
			t.Fatalf("%s\nin pieces %v\n%s", summary(whole), err, summary(pieces))
		}
		var digests [2]*Digest
		m := NewMessage(func(_ *Header, b *Body) { digests = [2]*Digest{b.Digest(Simple, -1), b.Digest(Relaxed, -1)} })
		m.Write(text)
		m.Finish()
		if !m.header.TooLong {
			body := string(text[message.Parse(text).Header.Size:])
			for c, d := range digests {
				if sum, _ := d.Sum(); base64.StdEncoding.EncodeToString(sum[:]) != hashOf(canonicalBody(Canonicalization(c), body)) {
					t.Fatalf("the %s body %q is hashed otherwise", Canonicalization(c), body)
				}
			}
		}
		fields, err := Sign(bytes.NewReader(text), SignOptions{Keys: keys})
		if err != nil {
			return
		}
		verdicts, err := Verify(context.Background(), records, bytes.NewReader(append(append(fields, message.Parse(text).Header.Lead...), text...)), Options{})
		if err != nil || len(verdicts) < 2 || verdicts[0].Result != Pass || verdicts[1].Result != Pass {
			t.Fatalf("what we sign: %v\n%s", err, summary(verdicts))
		}
	})
}

// slowly is read in small pieces.
type slowly struct {
	rest []byte
	size int
}

func (s *slowly) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), s.size)], s.rest)
	if s.rest = s.rest[n:]; n == 0 {
		return bytes.NewReader(nil).Read(p)
	}
	return n, nil
}
