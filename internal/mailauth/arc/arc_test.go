package arc

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/testkit/dnstest"
)

const header = "Received: by mx.example.org; Tue, 3 Jan 2017 12:22:54 -0800\n" +
	"Message-ID: <1@example.org>\nDate: Tue, 3 Jan 2017 12:00:00 -0800\n" +
	"From: Alice <alice@example.org>\nTo: list@lists.example\nSubject: Hello\n"

const body = "\nHello,  world.\n\n\n"

var keys = sync.OnceValue(func() map[string]*dkim.PrivateKey {
	made := map[string]*dkim.PrivateKey{}
	add := func(name string, key any, err error) {
		if err != nil {
			panic(err)
		}
		if made[name], err = dkim.NewPrivateKey(key); err != nil {
			panic(err)
		}
	}
	for _, name := range []string{"s1", "s2"} {
		key, err := rsa.GenerateKey(rand.Reader, 1024)
		add(name, key, err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	add("ed", key, err)
	return made
})

// zone has the keys of lists.example.
func zone() *dnstest.Fake {
	var b strings.Builder
	for name, key := range keys() {
		record := key.Record()
		fmt.Fprintf(&b, "%s._domainkey.lists.example. TXT %q %q\n", name, record[:30], record[30:])
	}
	b.WriteString("gone._domainkey.lists.example. TXT \"v=DKIM1; p=\"\n")
	return dnstest.NewFake(b.String())
}

// templates are the fields of a set before they are signed: BH and B stand for what
// is put in.
func templates(instance int) *fields {
	cv := "pass"
	if instance == 1 {
		cv = "none"
	}
	return &fields{
		[]byte(fmt.Sprintf("ARC-Authentication-Results: i=%d; lists.example;\n spf=pass smtp.mailfrom=example.org\n", instance)),
		[]byte(fmt.Sprintf("ARC-Message-Signature: i=%d; a=rsa-sha256; c=relaxed/relaxed;\n d=lists.example; s=s1; t=12345; h=from:to:subject:date;\n bh=BH; b=B\n", instance)),
		[]byte(fmt.Sprintf("ARC-Seal: i=%d; a=rsa-sha256; cv=%s; d=lists.example; s=s1;\n t=12345; b=B\n", instance, cv)),
	}
}

// edit is a replacement in a field of a set, or with set 0 in the whole message.
type edit struct {
	set      int
	field    int
	old, new string
}

// sealed is a message with sets made of templates, which are edited first. A seal is
// made of the sets below it as they are.
func sealed(t testing.TB, n int, edits ...edit) string {
	return sealedOver(t, crlf(header+body), n, edits...)
}

func sealedOver(t testing.TB, message string, n int, edits ...edit) string {
	var sets []*fields
	for i := 1; i <= n; i++ {
		set := templates(i)
		for _, e := range edits {
			if e.set == i {
				set[e.field] = replace(t, set[e.field], e.old, e.new)
			}
		}
		for kind := range set {
			set[kind] = []byte(crlf(string(set[kind])))
		}
		set[messageSignature] = sign(t, set[messageSignature], dkim.ARCMessageSignature, message, nil)
		var below []byte
		for _, s := range append(sets, set) {
			below = s.appendBefore(below)
			if s != set {
				below = dkim.Relaxed.AppendField(below, s[seal])
			}
		}
		set[seal] = sign(t, set[seal], dkim.ARCSeal, message, below)
		sets = append(sets, set)
		message = string(bytes.Join([][]byte{set[seal], set[messageSignature], set[results]}, nil)) + message
	}
	return message
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func replace(t testing.TB, in []byte, old, new string) []byte {
	t.Helper()
	if !bytes.Contains(in, []byte(old)) {
		t.Fatalf("%q is not in %q", old, in)
	}
	return bytes.Replace(in, []byte(old), []byte(new), 1)
}

// sign puts the hash of the body and the signature into a field, as its tags say.
func sign(t testing.TB, raw []byte, form dkim.Form, message string, below []byte) []byte {
	var c dkim.Canonicalization
	if _, rest, _ := strings.Cut(string(raw), "c="); strings.HasPrefix(rest, "relaxed/relaxed") || strings.HasPrefix(rest, "simple/relaxed") {
		c = dkim.Relaxed
	}
	var h *dkim.Header
	var digest *dkim.Digest
	m := dkim.NewMessage(func(header *dkim.Header, body *dkim.Body) { h, digest = header, body.Digest(c, -1) })
	_, _ = m.Write([]byte(message))
	m.Finish()
	sum, _ := digest.Sum()
	raw = bytes.Replace(raw, []byte("BH"), []byte(base64.StdEncoding.EncodeToString(sum[:])), 1)
	raw = bytes.Replace(raw, []byte("b=B"), []byte("b="), 1)
	s, _ := dkim.ParseSignature(raw, form)
	var signed [sha256.Size]byte
	if form == dkim.ARCSeal {
		signed = sha256.Sum256(dkim.Relaxed.AppendUnsigned(below, raw, s.Tags))
	} else {
		signed = sha256.Sum256(s.AppendSigned(nil, h, -1))
	}
	key := keys()[s.Tags.Value("s")]
	if key == nil {
		key = keys()["s2"]
	}
	b, err := key.Sign(signed[:])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, []byte(" b=")) + len(" b=")
	return append(append(bytes.Clone(raw[:at]), base64.StdEncoding.EncodeToString(b)...), raw[at:]...)
}

func verify(t testing.TB, r dkim.Resolver, message string) Verdict {
	t.Helper()
	v, err := Verify(t.Context(), r, strings.NewReader(message), Options{Now: time.Unix(20000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The structure and the signatures of RFC 8617 §5.2, and what RFC 6376 says of tags:
// the cases that ValiMail's suite names, and more.
func TestVerify(t *testing.T) {
	const aar, ams, as = results, messageSignature, seal
	for name, c := range map[string]struct {
		sets   int
		before []edit // of what is signed
		after  []edit // of the message: only the first old is replaced
		want   Result
		reason string
		oldest int
	}{
		"no sets":               {0, nil, nil, None, "nobody has sealed", 0},
		"one":                   {1, nil, nil, Pass, "all seals", 0},
		"two":                   {2, nil, nil, Pass, "all seals", 0},
		"five":                  {5, nil, nil, Pass, "all seals", 0},
		"fifty":                 {50, nil, nil, Pass, "all seals", 41},
		"ed25519":               {2, []edit{{1, as, "s=s1", "s=ed"}, {1, as, "a=rsa", "a=ed25519"}, {1, ams, "s=s1", "s=ed"}, {1, ams, "a=rsa", "a=ed25519"}}, nil, Pass, "", 0},
		"another selector":      {2, []edit{{2, as, "s=s1", "s=s2"}}, nil, Pass, "", 0},
		"body changed":          {1, nil, []edit{{0, 0, "Hello,", "Hallo,"}}, Fail, "message signature of set 1: the body was changed", 0},
		"body changed, two":     {2, nil, []edit{{0, 0, "Hello,", "Hallo,"}}, Fail, "message signature of set 2: the body", 0},
		"field changed":         {1, nil, []edit{{0, 0, "Subject: ", "Subject: Re: "}}, Fail, "message signature of set 1: the header", 0},
		"field not signed":      {1, nil, []edit{{0, 0, "Message-ID: <1", "Message-ID: <2"}}, Pass, "", 0},
		"field added":           {1, []edit{{1, ams, "h=from", "h=cc:from"}}, []edit{{0, 0, "To:", "Cc: a@b\r\nTo:"}}, Fail, "message signature", 0},
		"line ends at the end":  {1, nil, []edit{{0, 0, "world.\r\n", "world.  \r\n\r\n"}}, Pass, "", 0},
		"space in a field":      {1, nil, []edit{{0, 0, "Subject: Hello", "SUBJECT:\r\n   Hello "}}, Pass, "", 0},
		"older one broken":      {3, []edit{{1, ams, "h=from:", "h=from:x-a:"}}, []edit{{0, 0, "Message-ID:", "X-A: b\r\nMessage-ID:"}}, Pass, "", 2},
		"older one unreadable":  {3, []edit{{2, ams, "bh=BH", "bh=x"}}, nil, Pass, "", 3},
		"newest unreadable":     {2, []edit{{2, ams, "bh=BH", "bh=x"}}, nil, Fail, "ARC-Message-Signature of set 2: the signature is not well-formed", 0},
		"expired":               {1, []edit{{1, ams, "t=12345", "x=12346"}}, nil, Fail, "expired", 0},
		"not expired":           {1, []edit{{1, ams, "t=12345", "x=20001"}}, nil, Pass, "", 0},
		"expired, older":        {2, []edit{{1, ams, "t=12345", "x=12346"}}, nil, Pass, "", 2},
		"part of the body":      {1, []edit{{1, ams, "t=12345", "l=0"}, {1, ams, "bh=BH", "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}, nil, Pass, "", 0},
		"first says pass":       {1, []edit{{1, as, "cv=none", "cv=pass"}}, nil, Fail, `the seal of set 1 says cv="pass", not cv=none`, 0},
		"second says none":      {2, []edit{{2, as, "cv=pass", "cv=none"}}, nil, Fail, `the seal of set 2 says cv="none", not cv=pass`, 0},
		"last says fail":        {2, []edit{{2, as, "cv=pass", "cv=fail"}}, nil, Fail, "the sealer of set 2 found", 0},
		"one before says fail":  {3, []edit{{2, as, "cv=pass", "cv=fail"}}, nil, Fail, `the seal of set 2 says cv="fail"`, 0},
		"only one says fail":    {1, []edit{{1, as, "cv=none", "cv=fail"}}, nil, Fail, "the sealer of set 1 found", 0},
		"no cv":                 {1, []edit{{1, as, " cv=none;", ""}}, nil, Fail, `the seal of set 1 says cv=""`, 0},
		"empty cv":              {1, []edit{{1, as, "cv=none", "cv="}}, nil, Fail, `the seal of set 1 says cv=""`, 0},
		"other cv":              {1, []edit{{1, as, "cv=none", "cv=None"}}, nil, Fail, `says cv="None"`, 0},
		"seal names fields":     {1, []edit{{1, as, "cv=none", "cv=none; h=from"}}, nil, Fail, `the seal of set 1 has a tag "h"`, 0},
		"signs seals":           {1, []edit{{1, ams, "h=from", "h=from:Arc-Seal"}}, nil, Fail, "the message signature of set 1 signs ARC-Seal", 0},
		"signs results":         {1, []edit{{1, ams, "h=from", "h=from:authentication-results"}}, nil, Pass, "", 0},
		"version is nothing":    {1, []edit{{1, ams, "a=rsa", "v=2; a=rsa"}}, nil, Pass, "", 0},
		"unknown tags":          {1, []edit{{1, ams, "a=rsa", "q_1=; a=rsa"}, {1, as, "a=rsa", "zz=a=b; a=rsa"}}, nil, Pass, "", 0},
		"space everywhere":      {1, []edit{{1, ams, "; a=rsa", " ;\n\ta = rsa"}, {1, as, "; a=rsa", "\t;  a\n =  rsa"}, {1, aar, " i=1; ", "\n  i =  1\t; "}}, nil, Pass, "", 0},
		"semicolon at the end":  {1, []edit{{1, ams, "b=B", "b=B;"}, {1, as, "b=B", "b=B; "}}, nil, Pass, "", 0},
		"two semicolons":        {1, []edit{{1, as, "; a=rsa", ";; a=rsa"}}, nil, Fail, "a field ARC-Seal cannot be read: the signature is not well-formed", 0},
		"tag twice":             {1, []edit{{1, as, "; a=rsa", "; d=x; a=rsa"}}, nil, Fail, "a tag is there twice", 0},
		"tag of other case":     {1, []edit{{1, as, "; a=rsa", "; A=rsa"}}, nil, Fail, `no tag "a"`, 0},
		"value of other case":   {1, []edit{{1, as, "rsa-sha256", "RSA-SHA256"}}, nil, Fail, "the algorithm RSA-SHA256 is not known", 0},
		"no algorithm":          {1, []edit{{1, ams, " a=rsa-sha256;", ""}}, nil, Fail, `no tag "a"`, 0},
		"old algorithm":         {1, []edit{{1, as, "sha256", "sha1"}}, nil, Fail, "rsa-sha1", 0},
		"no signature":          {1, nil, []edit{{0, 0, " b=", " z="}}, Fail, `no tag "b"`, 0},
		"not base64":            {1, nil, []edit{{0, 0, " b=", " b=&"}}, Fail, "the tag b is not base64", 0},
		"seal changed":          {1, nil, []edit{{0, 0, "t=12345", "t=12346"}}, Fail, "seal of set 1: the header was changed", 0},
		"results changed":       {1, nil, []edit{{0, 0, "spf=pass", "spf=fail"}}, Fail, "seal of set 1", 0},
		"results of two":        {2, nil, []edit{{0, 0, "i=1; lists.example;\r\n spf=pass", "i=1; lists.example;\r\n spf=fail"}}, Fail, "seal of set 2", 0},
		"no domain":             {1, []edit{{1, as, " d=lists.example;", ""}}, nil, Fail, `no tag "d"`, 0},
		"other domain":          {1, []edit{{1, as, "d=lists.example", "d=a..b"}}, nil, Fail, "is no name for a key", 0},
		"no selector":           {1, []edit{{1, ams, " s=s1;", ""}}, nil, Fail, `no tag "s"`, 0},
		"time is no number":     {1, []edit{{1, as, "t=12345", "t=now"}}, nil, Fail, "the tag t is not a time", 0},
		"no time":               {1, []edit{{1, as, "t=12345; ", ""}, {1, ams, " t=12345;", ""}}, nil, Pass, "", 0},
		"no names":              {1, []edit{{1, ams, " h=from:to:subject:date;", ""}}, nil, Fail, `no tag "h"`, 0},
		"From is not signed":    {1, []edit{{1, ams, "h=from:", "h="}}, nil, Fail, "From is not signed", 0},
		"names twice":           {1, []edit{{1, ams, "h=from:", "h=From :\n FROM : x-none :"}}, nil, Pass, "", 0},
		"no body hash":          {1, []edit{{1, ams, " bh=BH;", ""}}, nil, Fail, `no tag "bh"`, 0},
		"simple":                {1, []edit{{1, ams, "c=relaxed/relaxed", "c=simple/simple"}}, nil, Pass, "", 0},
		"simple header":         {1, []edit{{1, ams, "c=relaxed/relaxed", "c=simple/relaxed"}}, nil, Pass, "", 0},
		"simple body":           {1, []edit{{1, ams, "c=relaxed/relaxed", "c=relaxed/simple"}}, nil, Pass, "", 0},
		"simple is not relaxed": {1, []edit{{1, ams, "c=relaxed/relaxed", "c=simple/simple"}}, []edit{{0, 0, "Subject: ", "Subject:  "}}, Fail, "", 0},
		"other canonical form":  {1, []edit{{1, ams, "c=relaxed/relaxed", "c=nowsp"}}, nil, Fail, "the canonicalization nowsp is not known", 0},
		"no key":                {1, []edit{{1, as, "s=s1", "s=none"}}, nil, Fail, "seal of set 1: there is no key at none._domainkey.lists.example", 0},
		"key revoked":           {1, []edit{{1, ams, "s=s1", "s=gone"}}, nil, Fail, "is revoked", 0},
		"another's key":         {2, []edit{{1, as, "s=s1", "s=s2"}}, []edit{{0, 0, "s=s2", "s=s1"}}, Fail, "seal of set 2", 0},
		"instance 0":            {1, []edit{{1, as, "i=1", "i=0"}}, nil, Fail, "a field ARC-Seal has no instance from 1 to 50", 0},
		"instance 51":           {1, []edit{{1, ams, "i=1", "i=51"}}, nil, Fail, "a field ARC-Message-Signature has no instance", 0},
		"instance of letters":   {1, []edit{{1, aar, "i=1", "i=a"}}, nil, Fail, "a field ARC-Authentication-Results has no instance", 0},
		"instance of zeros":     {1, []edit{{1, as, "i=1", "i=001"}}, nil, Fail, "a field ARC-Seal has no instance", 0},
		"instance of two":       {1, []edit{{1, as, "i=1", "i=01"}}, nil, Pass, "", 0},
		"no instance":           {1, []edit{{1, as, " i=1;", ""}}, nil, Fail, "a field ARC-Seal has no instance", 0},
		"results: no instance":  {1, []edit{{1, aar, " i=1;", ""}}, nil, Fail, "a field ARC-Authentication-Results has no instance", 0},
		"results: not first":    {1, []edit{{1, aar, " i=1; lists.example;", " lists.example; i=1;"}}, nil, Fail, "a field ARC-Authentication-Results has no instance", 0},
		"results: no semicolon": {1, []edit{{1, aar, "i=1;", "i=1"}}, nil, Fail, "a field ARC-Authentication-Results has no instance", 0},
		"results: of another":   {1, []edit{{1, aar, "i=1;", "i=2;"}}, nil, Fail, "set 1 has no ARC-Authentication-Results", 0},
		"results: unreadable":   {1, []edit{{1, aar, "spf=pass", "((("}}, nil, Pass, "", 0},
		"no results":            {1, nil, []edit{{0, 0, "ARC-Auth", "X-ARC-Auth"}}, Fail, "set 1 has no ARC-Authentication-Results", 0},
		"no message signature":  {1, nil, []edit{{0, 0, "ARC-Mess", "X-ARC-Mess"}}, Fail, "set 1 has no ARC-Message-Signature", 0},
		"no seal":               {1, nil, []edit{{0, 0, "ARC-Seal", "X-ARC-Seal"}}, Fail, "set 1 has no ARC-Seal", 0},
		"a seal is missing":     {2, nil, []edit{{0, 0, "ARC-Seal: i=1", "X-ARC-Seal: i=1"}}, Fail, "set 1 has no ARC-Seal", 0},
		"a gap":                 {2, []edit{{2, as, "i=2", "i=3"}, {2, ams, "i=2", "i=3"}, {2, aar, "i=2", "i=3"}}, nil, Fail, "set 2 has no ARC-Authentication-Results", 0},
		"twice the same":        {2, []edit{{2, as, "i=2", "i=1"}, {2, ams, "i=2", "i=1"}, {2, aar, "i=2", "i=1"}}, nil, Fail, "set 1 has two fields", 0},
		"a seal twice":          {1, nil, []edit{{0, 0, "ARC-Mess", "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=x.example; s=s; b=AAAA\r\nARC-Mess"}}, Fail, "set 1 has two fields ARC-Seal", 0},
		"names of other case":   {1, nil, []edit{{0, 0, "ARC-Seal", "arc-SEAL "}, {0, 0, "ARC-Mess", "arc-mess"}, {0, 0, "ARC-Auth", "ARC-AUTH"}}, Pass, "", 0},
		"others between":        {2, nil, []edit{{0, 0, "ARC-Seal: i=1", "Received: x\r\nARC-Seal: i=1"}, {0, 0, "ARC-Auth", "X-A: b\r\nARC-Auth"}}, Pass, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			message := sealed(t, c.sets, c.before...)
			for _, e := range c.after {
				message = string(replace(t, []byte(message), e.old, e.new))
			}
			v := verify(t, zone(), message)
			if v.Result != c.want || !strings.Contains(v.Reason.String(), c.reason) {
				t.Errorf("%s (%s), want %s (%s)\n%s", v.Result, v.Reason, c.want, c.reason, message)
			}
			if v.Result == Pass && (v.OldestPass != c.oldest || len(v.Sets) != c.sets) {
				t.Errorf("oldest pass %d of %d sets, want %d of %d", v.OldestPass, len(v.Sets), c.oldest, c.sets)
			}
		})
	}
}

// What the DNS does not say is a failure, which says so; nothing is asked twice.
func TestLookups(t *testing.T) {
	message := sealed(t, 3, edit{2, seal, "s=s1", "s=s2"}, edit{3, messageSignature, "s=s1", "s=ed"}, edit{3, messageSignature, "a=rsa", "a=ed25519"})
	fake := zone()
	if v := verify(t, fake, message); v.Result != Pass || len(fake.Lookups()) != 3 {
		t.Errorf("%s (%s) after %v", v.Result, v.Reason, fake.Lookups())
	}
	for name, want := range map[string]string{"s1": "seal of set 3", "s2": "seal of set 2", "ed": "message signature of set 3"} {
		fake.Fail(dns.Name(name+"._domainkey.lists.example"), 0, dns.Timeout)
		if v := verify(t, fake, message); v.Result != Fail || !v.Reason.Unanswered() || !strings.HasPrefix(v.Reason.String(), want) {
			t.Errorf("without %s: %s (%s), want %s", name, v.Result, v.Reason, want)
		}
		fake.Fail(dns.Name(name+"._domainkey.lists.example"), 0, dns.None)
	}
	v := New(Options{})
	_, _ = v.Write([]byte(message))
	if verdict := v.Finish(nil); verdict.Result != Fail || !verdict.Reason.Unanswered() {
		t.Errorf("without any key: %s (%s)", verdict.Result, verdict.Reason)
	}
	if v := verify(t, zone(), strings.Replace(message, "cv=pass", "cv=fail", 1)); v.Reason.Unanswered() {
		t.Error("nothing was asked, and it was not answered")
	}
}
