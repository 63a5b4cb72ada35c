package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"yubin/internal/mail"
)

// TestACME: what certificates are ordered with.
func TestACME(t *testing.T) {
	parse := func(text string) (Config, error) {
		return Parse("/etc/yubin/yubin.toml", []byte("hostname = \"mx.example.org\"\n[acme]\n"+text))
	}
	c, err := parse("agree_to_terms = true\n")
	c.ACME.line = 0
	if err != nil || !reflect.DeepEqual(c.ACME, ACME{On: true, Directory: letsEncrypt, Challenge: ChallengeTLS}) {
		t.Errorf("%+v, %v", c.ACME, err)
	}
	c, err = parse(`agree_to_terms = true
directory = "https://ca.example/dir"
email = "postmaster@example.org"
challenge = "dns-01"
names = ["IMAP.example.org", "*.mx.example.org"]
eab_key_id = "kid"
eab_key_file = "eab.key"
root = "root.pem"
[dns_update]
server = "192.0.2.53"
zones = ["example.org"]
key_file = "dns.key"
`)
	want := ACME{On: true, Directory: "https://ca.example/dir", Email: mail.Address{Local: "postmaster", Domain: "example.org"}, Challenge: ChallengeDNS,
		Names: []string{"imap.example.org", "*.mx.example.org"}, EABKeyID: "kid", EABKeyFile: "/etc/yubin/eab.key", Root: "/etc/yubin/root.pem"}
	c.ACME.line = 0
	if err != nil || !reflect.DeepEqual(c.ACME, want) {
		t.Errorf("%+v, %v", c.ACME, err)
	}
	if c, err := parse("agree_to_terms = true\nstaging = true\n"); err != nil || c.ACME.Directory != letsEncryptStaging {
		t.Errorf("%+v, %v", c.ACME, err)
	}
	for text, want := range map[string]string{
		"":                       "agree_to_terms is missing: read the terms of the authority, then write agree_to_terms = true",
		"agree_to_terms = false": "agree_to_terms is missing",
		"agree_to_terms = true\nstaging = true\ndirectory = \"https://ca.example/dir\"":                          "write one of the two",
		"agree_to_terms = true\ndirectory = \"http://ca.example/dir\"":                                           "directory must be the URL",
		"agree_to_terms = true\nnames = [\"*.example.org\"]":                                                     "which only challenge = \"dns-01\" can show",
		"agree_to_terms = true\nnames = [\"[192.0.2.1]\"]":                                                       "names must be names of hosts",
		"agree_to_terms = true\nchallenge = \"http-01\"\n[[listener]]\nprotocol = \"https\"\naddress = \":443\"": "needs a [[listener]] with protocol = \"http\"",
		"agree_to_terms = true\n[[listener]]\nprotocol = \"http\"\naddress = \":80\"":                            "or another with tls = \"implicit\"",
		"agree_to_terms = true\nchallenge = \"dns-01\"":                                                          "needs [dns_update]",
		"agree_to_terms = true\nchallenge = \"smtp-01\"":                                                         "challenge must be",
		"agree_to_terms = true\neab_key_id = \"kid\"":                                                            "eab_key_id and eab_key_file belong together",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestEAB: the key is read as authorities give it, from a file that others cannot read.
func TestEAB(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eab.key")
	a := ACME{EABKeyFile: path}
	for text, want := range map[string]string{"zWND-_M6\n": "zWND-_M6", " zWND+/M= ": "zWND-_M", "": "", "not base64!": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := a.EAB()
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.EAB(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
	c := Default()
	c.ACME = ACME{On: true, Root: path}
	if err := c.Verify("yubin.toml"); err == nil || !strings.Contains(err.Error(), "there is no certificate in "+path) {
		t.Errorf("%v", err)
	}
}
