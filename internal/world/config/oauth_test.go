package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"yubin/internal/mail"
)

const withoutOAuth = "hostname = \"mx.example.org\"\n[tls]\nself_signed = true\n[oauth]\n"

func TestOAuth(t *testing.T) {
	c, err := Parse("/etc/yubin/yubin.toml", []byte(withoutOAuth+`issuer = "https://id.example.org/realms/mail"
audience = ["mail"]
domains = ["example.org", "bücher.example"]
`))
	want := OAuth{On: true, Issuer: "https://id.example.org/realms/mail", Audience: []string{"mail"}, Claim: "email",
		Domains: []mail.Domain{"example.org", "xn--bcher-kva.example"}}
	if err != nil || !reflect.DeepEqual(c.OAuth, want) {
		t.Errorf("%+v, %v", c.OAuth, err)
	}
	c, err = Parse("/etc/yubin/yubin.toml", []byte(withoutOAuth+`issuer = "https://id.example.org:8443/"
introspection = true
client_id = "yubin"
client_secret_file = "oauth.secret"
scope = "mail"
account_claim = "preferred_username"
domains = ["example.org"]
make_accounts = true
root = "id.pem"
`))
	want = OAuth{On: true, Issuer: "https://id.example.org:8443/", Introspect: true, ClientID: "yubin", SecretFile: "/etc/yubin/oauth.secret", Scope: "mail",
		Claim: "preferred_username", Domains: []mail.Domain{"example.org"}, MakeAccounts: true, Root: "/etc/yubin/id.pem"}
	if err != nil || !reflect.DeepEqual(c.OAuth, want) {
		t.Errorf("%+v, %v", c.OAuth, err)
	}
	other := c
	other.OAuth.Scope = ""
	if got := Changed(c, other); !reflect.DeepEqual(got, []string{"oauth"}) {
		t.Errorf("changed: %q", got)
	}
}

func TestOAuthFaults(t *testing.T) {
	const good = "issuer = \"https://id.example.org\"\naudience = [\"mail\"]\ndomains = [\"example.org\"]\n"
	for text, want := range map[string]string{
		"": "issuer is missing",
		"audience = [\"x\"]\ndomains = [\"a.example\"]":               "issuer is missing",
		strings.Replace(good, "https", "http", 1):                     `issuer must be the URL of the provider as it calls itself, like "https://id.example.org/realms/mail", not "http://id.example.org"`,
		strings.Replace(good, "org\"", "org/?a=b\"", 1):               "issuer must be the URL of the provider",
		strings.Replace(good, "audience = [\"mail\"]", "", 1):         "audience is missing: without it a token that the provider gave for something else would open mailboxes",
		strings.Replace(good, "[\"mail\"]", "[\"\"]", 1):              "audience must be names of 1 to 200 octets",
		strings.Replace(good, "[\"example.org\"]", "[]", 1):           "domains must name the domains whose accounts the provider speaks for",
		strings.Replace(good, "example.org\"]", "example..org\"]", 1): `domains must be domain names, not "example..org"`,
		good + "introspection = true":                                 "introspection, client_id and client_secret_file belong together",
		good + "client_id = \"x\"":                                    "introspection, client_id and client_secret_file belong together",
		good + "scope = \"a b\"":                                      "scope must be one scope, without spaces",
		good + "account_claim = \"" + strings.Repeat("x", 201) + "\"": "account_claim has over 200 octets",
		good + "claim = \"x\"":                                        `unknown key "claim"`,
		"issuer = \"https://id.example.org\"\ndomains = [\"example.org\"]\nintrospection = true\nclient_id = \"x\"\nclient_secret_file = \"y\"": "audience or scope is missing",
	} {
		if _, err := Parse("yubin.toml", []byte(withoutOAuth+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}

func TestOAuthFiles(t *testing.T) {
	at := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if s, err := (OAuth{SecretFile: at("s", "a secret \n", 0o640)}).Secret(); err != nil || s != "a secret " {
		t.Errorf("%q, %v", s, err)
	}
	for path, want := range map[string]string{
		at("open", "x", 0o644):     "others can read or change it (mode 0644); chmod 600 closes it",
		at("empty", "\n", 0o600):   "has no secret: it is one line",
		at("two", "a\nb\n", 0o600): "has no secret: it is one line",
		"/nowhere":                 "no such file",
	} {
		if _, err := (OAuth{SecretFile: path}).Secret(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if pool, err := (OAuth{}).Roots(); pool != nil || err != nil {
		t.Error(pool, err)
	}
	if _, err := (OAuth{Root: at("root", "no certificate", 0o600)}).Roots(); err == nil || !strings.Contains(err.Error(), "it must be PEM") {
		t.Error(err)
	}
	c := Default()
	c.Data = t.TempDir()
	c.OAuth = OAuth{SecretFile: "/nowhere", Root: "/nowhere"}
	if err := c.Verify("yubin.toml"); err == nil || strings.Count(err.Error(), "no such file") != 2 || !strings.Contains(err.Error(), "oauth.client_secret_file: ") {
		t.Error(err)
	}
}
