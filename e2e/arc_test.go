package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"yubin/internal/testkit/dnstest"
)

// debianPython is the one that has Debian's modules.
const debianPython = "/usr/bin/python3"

// TestARCBesideDkimpy: what one seals the other verifies and extends, and both say the
// same of a message that was changed.
func TestARCBesideDkimpy(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	record := "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
	var zone, lines strings.Builder
	for _, domain := range []string{"one.test", "two.test", "three.test", "four.test"} {
		fmt.Fprintf(&zone, "k._domainkey.%s. TXT %q %q\n", domain, record[:200], record[200:])
		fmt.Fprintf(&lines, "k._domainkey.%s %s\n", domain, record)
	}
	server, err := dnstest.Listen(dnstest.NewZone(zone.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	resolver := server.Addr().String()
	private := write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	records := write(t, "records", []byte(lines.String()))

	const script = "testdata/arc.py"
	verified := func(message, ours, theirs string) {
		t.Helper()
		if got := run(t, message, binary, "arc", "verify", "-", "--resolver", resolver); !strings.HasPrefix(got, ours+" ") {
			t.Errorf("yubin says %s, want %s", got, ours)
		}
		if got := run(t, message, debianPython, script, "verify", records); !strings.HasPrefix(got, theirs+" ") {
			t.Errorf("dkimpy says %s, want %s", got, theirs)
		}
	}
	// results is what sealers tell on; the chain's status is part of it.
	results := func(domain, arc string) string {
		return "Authentication-Results: " + domain + "; arc=" + arc + ";\r\n spf=pass (it is; so) smtp.mailfrom=example.org;\r\n" +
			" dkim=fail reason=\"a (b); c\" header.d=example.org header.b=\"a/b+c=\"\r\n"
	}
	ours := func(message, domain string, more ...string) string {
		t.Helper()
		return run(t, message, binary, append([]string{"arc", "seal", "-", "--domain", domain, "--selector", "k", "--key", private,
			"--authserv-id", domain, "--resolver", resolver}, more...)...) + message
	}
	theirs := func(message, domain string) string {
		t.Helper()
		return run(t, message, debianPython, script, "seal", records, "k", domain, private) + message
	}

	message := "From: Alice <alice@example.org>\r\nTo: list@one.test\r\nDate: Tue, 3 Jan 2017 12:00:00 -0800\r\n" +
		"Message-ID: <1@example.org>\r\nSubject: Hello,\r\n  world\r\n\r\nA body  with \t space. \r\n.\r\n\r\n\r\n"
	message = ours(results("one.test", "none")+message, "one.test")
	verified(message, "pass", "pass")
	message = theirs(results("two.test", "pass")+message, "two.test")
	verified(message, "pass", "pass")
	message = ours(results("three.test", "pass")+"Received: by three.test\r\n"+message, "three.test", "--headers", "from:to:subject:date:message-id:mime-version")
	verified(message, "pass", "pass")
	message = theirs(results("four.test", "pass")+message, "four.test")
	verified(message, "pass", "pass")

	for old, changed := range map[string]string{"A body": "The body", "Subject: Hello": "Subject: [list] Hello", "i=2; two.test": "i=2; too.test"} {
		if !strings.Contains(message, old) {
			t.Fatalf("%q is not in the message", old)
		}
		verified(strings.Replace(message, old, changed, 1), "fail", "fail")
	}
}
