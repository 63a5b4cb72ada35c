package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const ldapHead = "hostname = \"mail.example.org\"\n[tls]\nself_signed = true\n"

func TestLDAP(t *testing.T) {
	c, err := Parse("/etc/yubin/yubin.toml", []byte(ldapHead+`
[[ldap]]
domains = ["example.org", "Example.NET"]
servers = ["ldaps://one.example.org", "ldap://two.example.org:1389", "ldap://[2001:db8::1]"]
ca = "ldap-ca.pem"
bind_dn = "cn=yubin,dc=example,dc=org"
bind_password_file = "ldap.password"
base = "dc=example,dc=org"
filter = "(mail={address})"
address = "mail"
timeout = "3s"

[[ldap]]
domains = ["loop.example"]
servers = ["ldap://127.0.0.1", "ldap://localhost"]
starttls = false
user_dn = "uid={local},dc=loop"
`))
	if err != nil {
		t.Fatal(err)
	}
	l, o := c.LDAP[0], c.LDAP[1]
	if fmt.Sprint(l.Domains) != "[example.org example.net]" || l.CA != "/etc/yubin/ldap-ca.pem" || l.PasswordFile != "/etc/yubin/ldap.password" || l.Timeout != 3*time.Second ||
		l.Connections != 8 || l.GroupMember != "member" || l.Line != 5 {
		t.Errorf("%+v", l)
	}
	if got := fmt.Sprintf("%+v", l.Servers); got != "[{URL:ldaps://one.example.org Host:one.example.org Port:636 Implicit:true Plain:false} "+
		"{URL:ldap://two.example.org:1389 Host:two.example.org Port:1389 Implicit:false Plain:false} {URL:ldap://[2001:db8::1] Host:2001:db8::1 Port:389 Implicit:false Plain:false}]" {
		t.Error(got)
	}
	if !o.Servers[0].Plain || !o.Servers[1].Plain || o.UserDN != "uid={local},dc=loop" || o.Timeout != 5*time.Second {
		t.Errorf("%+v", o)
	}
}

func TestLDAPFaults(t *testing.T) {
	good := map[string]string{"domains": `["example.org"]`, "servers": `["ldaps://l.example.org"]`, "base": `"dc=x"`, "filter": `"(mail={address})"`}
	for change, want := range map[string]string{
		"domains=":                                   "domains is missing",
		`domains=["a b"]`:                            "domains must be domain names",
		"servers=":                                   "servers is missing",
		`servers=["l.example.org"]`:                  "servers must be URLs",
		`servers=["ldap://u:p@l.example.org"]`:       "servers must be URLs",
		`servers=["ldap://l.example.org/dc=x?mail"]`: "servers must be URLs",
		`servers=["ldap://l.example.org:99999"]`:     "servers must be URLs",
		"filter=":                                    "filter is missing",
		"base=":                                      "base is missing",
		`bind_dn="cn=x"`:                             "bind_dn and bind_password_file belong together",
		`address="a b"`:                              "address must be the name of an attribute",
		`timeout="1m"`:                               "timeout must be from 1s to 9s",
		`connections=0`:                              "connections must be from 1 to 100",
		`filer="x"`:                                  `did you mean "filter"?`,
		"starttls=false\nservers=[\"ldap://l.example.org\"]": "as everybody on the way can read them",
	} {
		keys := map[string]string{}
		for k, v := range good {
			keys[k] = v
		}
		for line := range strings.Lines(change) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			if keys[k] = v; v == "" {
				delete(keys, k)
			}
		}
		text := ldapHead + "[[ldap]]\n"
		for k, v := range keys {
			text += k + " = " + v + "\n"
		}
		if _, err := Parse("y.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", change, err, want)
		}
	}
	twice := ldapHead
	for range 2 {
		twice += "[[ldap]]\ndomains = [\"example.org\"]\nservers = [\"ldaps://l.example.org\"]\nbase = \"dc=x\"\nfilter = \"(mail={address})\"\n"
	}
	if _, err := Parse("y.toml", []byte(twice)); err == nil || !strings.Contains(err.Error(), "y.toml:10: domains names example.org, which another [[ldap]] above has") {
		t.Error(err)
	}
}

// The password is the first line of a file that only some can read.
func TestLDAPPassword(t *testing.T) {
	l := LDAP{PasswordFile: filepath.Join(t.TempDir(), "p")}
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string
		err  string
	}{
		{"pass word \nmore", 0o600, "pass word ", ""}, {"x\r\n", 0o640, "x", ""}, {"x", 0o644, "", "chmod 600 closes it"}, {"\nx", 0o600, "", "first line"},
		{strings.Repeat("x", maxPasswordFile+1), 0o600, "", "bind_password_file: "},
	} {
		if err := os.WriteFile(l.PasswordFile, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(l.PasswordFile, c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := l.Password()
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
	_ = os.Remove(l.PasswordFile)
	if _, err := l.Password(); err == nil {
		t.Error("a file that is not there has a password")
	}
}

// What LDAP means for SCRAM is told, unless it was said that it is meant.
func TestLDAPWarnsOfScram(t *testing.T) {
	c := Default()
	c.Hostname = "mail.example.org"
	c.LDAP = []LDAP{{Domains: nil}}
	c.LDAP[0].Domains = append(c.LDAP[0].Domains, "example.org")
	for scram, want := range map[Scram]string{"": "SCRAM is not offered: the passwords of example.org are in LDAP", ScramOn: "scram is on", ScramOff: ""} {
		c.TLS.Scram = scram
		got := fmt.Sprint(c.Warnings(time.Now()))
		if (want == "") == strings.Contains(got, "LDAP") || !strings.Contains(got, want) {
			t.Errorf("%q: %s", scram, got)
		}
	}
}
