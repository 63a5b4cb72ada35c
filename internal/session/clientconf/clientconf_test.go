package clientconf

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/smallstep/pkcs7"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
)

var update = flag.Bool("update", false, "write what is answered into testdata")

const host = "mail.example.org"

// domains are those of the server; "down.example" cannot be looked up.
type domains struct{}

func (domains) IsLocal(_ context.Context, d mail.Domain) (bool, error) {
	if d == "down.example" {
		return false, errors.New("sql: the database is down")
	}
	return d == "example.org" || d == "xn--bcher-kva.example", nil
}

func all() []clients.Service {
	return []clients.Service{
		{Protocol: clients.IMAP, Host: host, Port: 993, Security: clients.TLS},
		{Protocol: clients.IMAP, Host: host, Port: 143, Security: clients.StartTLS},
		{Protocol: clients.POP3, Host: host, Port: 995, Security: clients.TLS},
		{Protocol: clients.Submission, Host: host, Port: 465, Security: clients.TLS},
		{Protocol: clients.Submission, Host: host, Port: 587, Security: clients.StartTLS},
	}
}

// startTLS has no port with TLS from the first octet.
func startTLS() []clients.Service {
	return []clients.Service{
		{Protocol: clients.IMAP, Host: host, Port: 143, Security: clients.StartTLS},
		{Protocol: clients.Submission, Host: host, Port: 587, Security: clients.StartTLS},
	}
}

// certified makes a certificate with the authority that it is from.
func certified(t *testing.T) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	now := time.Now()
	make := func(serial int64, name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
		if parent == nil {
			parent, by = c, key
		} else {
			c.DNSNames = []string{name}
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		c, err = x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	ca, caKey := make(1, "the tests' authority", nil, nil)
	leaf, key := make(2, host, ca, caKey)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.Raw}, PrivateKey: key, Leaf: leaf}, pool
}

func handlers(t *testing.T, services func() []clients.Service) (*Handlers, *x509.CertPool) {
	t.Helper()
	cert, pool := certified(t)
	return New(Config{
		Settings: clients.New(domains{}, services), Hostname: host,
		Certificate: func() (*tls.Certificate, error) { return cert, nil },
		Now:         func() time.Time { return time.Date(2026, 12, 1, 13, 2, 3, 0, time.UTC) },
	}), pool
}

// ask asks as a client does; the handler is bounded as the listener bounds it.
func ask(do http.HandlerFunc, method, url, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	w := httptest.NewRecorder()
	r.Body = http.MaxBytesReader(w, r.Body, MaxAutodiscover)
	do(w, r)
	return w
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// node is an element of any document.
type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
	Text     string     `xml:",chardata"`
}

func parse(t *testing.T, text string) node {
	t.Helper()
	var n node
	if err := xml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n node) child(name string) (found []node) {
	for _, c := range n.Children {
		if c.XMLName.Local == name {
			found = append(found, c)
		}
	}
	return found
}

func (n node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// TestAutoconfig: at both names, with and without an address, the same file.
func TestAutoconfig(t *testing.T) {
	h, _ := handlers(t, all)
	var texts []string
	for _, url := range []string{
		"https://autoconfig.example.org/mail/config-v1.1.xml?emailaddress=alice%40example.org",
		"https://autoconfig.example.org/mail/config-v1.1.xml",
		"https://AUTOCONFIG.example.org.:443/mail/config-v1.1.xml",
		"https://example.org/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=nobody%40example.org",
		"https://mail.example.org/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=alice%40example.org",
	} {
		w := ask(h.Autoconfig, "GET", url, "")
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/xml; charset=utf-8" {
			t.Errorf("%s: %d, %s", url, w.Code, w.Header().Get("Content-Type"))
		}
		texts = append(texts, w.Body.String())
	}
	if len(slices.Compact(texts)) != 1 {
		t.Errorf("the answers differ:\n%s", strings.Join(texts, "\n"))
	}
	golden(t, "autoconfig.xml", texts[0])
	w := ask(h.Autoconfig, "GET", "https://autoconfig.xn--bcher-kva.example/mail/config-v1.1.xml", "")
	golden(t, "autoconfig-idna.xml", w.Body.String())
	h, _ = handlers(t, startTLS)
	w = ask(h.Autoconfig, "GET", "https://autoconfig.example.org/mail/config-v1.1.xml", "")
	golden(t, "autoconfig-starttls.xml", w.Body.String())
}

// TestAutoconfigFormat holds the files to Mozilla's definition of config-v1.1: which
// elements there are, which must be there, and which values they have.
func TestAutoconfigFormat(t *testing.T) {
	files, _ := filepath.Glob("testdata/autoconfig*.xml")
	if len(files) < 3 {
		t.Fatalf("files are %q", files)
	}
	server := map[string]string{
		"hostname": `[a-z0-9.-]+`, "port": `[1-9][0-9]*`, "socketType": `plain|SSL|STARTTLS`, "username": `%EMAILADDRESS%|%EMAILLOCALPART%`,
		"authentication": `password-cleartext|password-encrypted|NTLM|GSSAPI|client-IP-address|TLS-client-cert|OAuth2|none`,
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root := parse(t, string(text))
		if root.XMLName.Local != "clientConfig" || root.attr("version") != "1.1" || len(root.Children) != 1 || root.XMLName.Space != "" {
			t.Fatalf("%s: root is %v", file, root.XMLName)
		}
		provider := root.Children[0]
		if provider.XMLName.Local != "emailProvider" || provider.attr("id") == "" {
			t.Errorf("%s: %v has id %q", file, provider.XMLName, provider.attr("id"))
		}
		for _, must := range []string{"domain", "displayName", "displayShortName", "incomingServer", "outgoingServer"} {
			if len(provider.child(must)) == 0 {
				t.Errorf("%s: there is no %s", file, must)
			}
		}
		for _, c := range provider.Children {
			switch c.XMLName.Local {
			case "domain", "displayName", "displayShortName":
			case "documentation":
				if !strings.HasPrefix(c.attr("url"), "https://") || c.child("descr")[0].attr("lang") != "en" {
					t.Errorf("%s: documentation %v", file, c)
				}
			case "incomingServer", "outgoingServer":
				kinds := map[string]string{"incomingServer": "imap|pop3", "outgoingServer": "smtp"}
				if !regexp.MustCompile("^("+kinds[c.XMLName.Local]+")$").MatchString(c.attr("type")) || len(c.Children) != len(server) {
					t.Errorf("%s: a server of type %q with %d elements", file, c.attr("type"), len(c.Children))
				}
				for name, pattern := range server {
					if found := c.child(name); len(found) != 1 || !regexp.MustCompile("^("+pattern+")$").MatchString(found[0].Text) {
						t.Errorf("%s: %s is %v", file, name, found)
					}
				}
			default:
				t.Errorf("%s: there is no element %s", file, c.XMLName.Local)
			}
		}
	}
}

// TestAutoconfigOfOthers: what is asked for that is not here, or makes no sense.
func TestAutoconfigOfOthers(t *testing.T) {
	h, _ := handlers(t, all)
	for url, want := range map[string]int{
		"https://autoconfig.example.org/?emailaddress=alice%40example.net": 404,
		"https://autoconfig.example.org/?emailaddress=alice":               400,
		"https://autoconfig.example.org/?emailaddress=%00%1b%5b2J":         400,
		"https://autoconfig.example.org/?emailaddress=a%40%5b192.0.2.1%5d": 400,
		"https://autoconfig.example.org/?emailaddress=a%40down.example":    503,
		"https://mail.example.org/.well-known/autoconfig/mail/c.xml":       400,
		"https://autoconfig.example.net/mail/config-v1.1.xml":              400,
		"https://mail.example.org/?emailaddress=alice%40example.org":       200,
		"https://mail.example.org/?emailaddress=%20alice%40example.org%20": 200,
		"https://mail.example.org/?emailaddress=a%40B%C3%BCcher.example":   200,
	} {
		w := ask(h.Autoconfig, "GET", url, "")
		if w.Code != want || strings.Contains(w.Body.String(), "sql") {
			t.Errorf("%s: %d %q, want %d", url, w.Code, w.Body, want)
		}
	}
}

func request(address, schema string) string {
	return `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>` + address + `</EMailAddress>
    <AcceptableResponseSchema>` + schema + `</AcceptableResponseSchema>
  </Request>
</Autodiscover>`
}

const outlook2006a = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

func TestAutodiscover(t *testing.T) {
	h, _ := handlers(t, all)
	post := func(do http.HandlerFunc, text string) string {
		w := ask(do, "POST", "https://autodiscover.example.org/autodiscover/autodiscover.xml", text)
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/xml; charset=utf-8" {
			t.Errorf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		return w.Body.String()
	}
	alice := post(h.Autodiscover, request("alice@example.org", outlook2006a))
	golden(t, "autodiscover.xml", alice)
	if nobody := post(h.Autodiscover, request("nobody@example.org", outlook2006a)); strings.ReplaceAll(nobody, "nobody@", "alice@") != alice {
		t.Errorf("what is said of somebody else differs: %s", nobody)
	}
	golden(t, "autodiscover-escaped.xml", post(h.Autodiscover, request(`&quot;&lt;a&gt;&amp;b&quot;@example.org`, outlook2006a)))
	golden(t, "autodiscover-mobile.xml", post(h.Autodiscover, request("alice@example.org", "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006")))
	w := ask(h.Autodiscover, "GET", "https://autodiscover.example.org/Autodiscover/Autodiscover.xml", "")
	golden(t, "autodiscover-get.xml", w.Body.String())
	h, _ = handlers(t, startTLS)
	golden(t, "autodiscover-starttls.xml", post(h.Autodiscover, request("alice@example.org", outlook2006a)))
}

// pox are the elements of Protocol that mail accounts have, in Microsoft's order, and their values.
var pox = []struct{ name, values string }{
	{"Type", "IMAP|POP3|SMTP"}, {"Server", "[a-z0-9.-]+"}, {"Port", "[0-9]+"}, {"LoginName", ".+@.+"}, {"DomainRequired", "on|off"}, {"SPA", "on|off"},
	{"SSL", "on|off"}, {"Encryption", "None|SSL|TLS|Auto"}, {"AuthRequired", "on|off"}, {"UsePOPAuth", "on|off"}, {"SMTPLast", "on|off"},
}

// TestAutodiscoverFormat holds the files to what Microsoft has published of POX.
func TestAutodiscoverFormat(t *testing.T) {
	files, _ := filepath.Glob("testdata/autodiscover*.xml")
	settings, failures := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root := parse(t, string(text))
		if root.XMLName != (xml.Name{Space: "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006", Local: "Autodiscover"}) || len(root.Children) != 1 {
			t.Fatalf("%s: root is %v", file, root.XMLName)
		}
		response := root.Children[0]
		if failed := response.child("Error"); len(failed) == 1 {
			failures++
			if failed[0].attr("Time") == "" || failed[0].attr("Id") == "" || len(failed[0].child("ErrorCode")) != 1 || len(failed[0].child("DebugData")) != 1 {
				t.Errorf("%s: %+v", file, failed)
			}
			continue
		}
		settings++
		if response.XMLName != (xml.Name{Space: outlook2006a, Local: "Response"}) {
			t.Errorf("%s: response is %v", file, response.XMLName)
		}
		account := response.child("Account")[0]
		if account.child("AccountType")[0].Text != "email" || account.child("Action")[0].Text != "settings" {
			t.Errorf("%s: account is %v", file, account)
		}
		for _, p := range account.child("Protocol") {
			at := 0
			for _, c := range p.Children {
				for at < len(pox) && pox[at].name != c.XMLName.Local {
					at++
				}
				if at == len(pox) || !regexp.MustCompile("^("+pox[at].values+")$").MatchString(c.Text) {
					t.Fatalf("%s: %s is %q, or is out of its place", file, c.XMLName.Local, c.Text)
				}
			}
		}
	}
	if settings < 4 || failures < 1 {
		t.Errorf("%d files with settings, %d with failures", settings, failures)
	}
}

// TestAutodiscoverHostile: what is no request is told so, whatever it is.
func TestAutodiscoverHostile(t *testing.T) {
	h, _ := handlers(t, all)
	good := request("alice@example.org", outlook2006a)
	for name, tt := range map[string]struct {
		text string
		code string
	}{
		"empty":              {"", "600"},
		"no XML":             {"EMailAddress=alice@example.org", "600"},
		"cut":                {good[:200], "600"},
		"a document type":    {strings.Replace(good, "<Autodiscover", `<!DOCTYPE x [<!ENTITY a "b">]><Autodiscover`, 1), "600"},
		"an outside entity":  {`<!DOCTYPE x SYSTEM "file:///etc/passwd">` + good, "600"},
		"an unknown entity":  {request("&bomb;@example.org", outlook2006a), "600"},
		"deep":               {strings.Repeat("<a>", 100), "600"},
		"many":               {"<Autodiscover>" + strings.Repeat("<a/>", 100) + "</Autodiscover>", "600"},
		"long":               {request(strings.Repeat("a", 600)+"@example.org", outlook2006a), "600"},
		"too long":           {good + strings.Repeat(" ", MaxAutodiscover), "600"},
		"no address":         {request("", outlook2006a), "600"},
		"no schema":          {request("alice@example.org", ""), "600"},
		"no address at all":  {request("alice", outlook2006a), "600"},
		"of others":          {request("alice@example.net", outlook2006a), "500"},
		"while we are down":  {request("alice@down.example", outlook2006a), "603"},
		"another schema":     {request("alice@example.org", "http://example.net/"), "601"},
		"UTF-16 that is not": {strings.Replace(good, "utf-8", "utf-16", 1), "600"},
	} {
		w := ask(h.Autodiscover, "POST", "https://autodiscover.example.org/autodiscover/autodiscover.xml", tt.text)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "<ErrorCode>"+tt.code+"</ErrorCode>") || strings.Contains(w.Body.String(), "sql") {
			t.Errorf("%s: %d %s, want %s", name, w.Code, w.Body, tt.code)
		}
	}
}

func FuzzAutodiscover(f *testing.F) {
	f.Add(request("alice@example.org", outlook2006a))
	f.Add("<a><b>&lt;</b></a>")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseAutodiscover([]byte(text))
		if err != nil && mail.KindOf(err) != mail.Invalid || err == nil && (r.address == "" || len(r.address) > maxText || len(r.schema) > maxText) {
			t.Errorf("%q, %v", r, err)
		}
	})
}

// TestProfile: signed by the certificate, the same every time, and without a password.
func TestProfile(t *testing.T) {
	h, pool := handlers(t, all)
	read := func(url string) string {
		t.Helper()
		w := ask(h.Profile, "GET", url, "")
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-apple-aspen-config" {
			t.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		p, err := pkcs7.Parse(w.Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.VerifyWithChain(pool); err != nil {
			t.Error(err)
		}
		if signer := p.GetOnlySigner(); signer == nil || signer.Subject.CommonName != host || len(p.Certificates) != 2 {
			t.Errorf("signed by %v, with %d certificates", signer, len(p.Certificates))
		}
		return string(p.Content)
	}
	const url = "https://mail.example.org/setup/mail.mobileconfig?address="
	alice := read(url + "alice%40example.org")
	golden(t, "alice.mobileconfig", alice)
	if again := read(url + "Alice%40example.org"); plain(again)["PayloadUUID"] != plain(alice)["PayloadUUID"] {
		t.Error("the same account has another profile the second time")
	}
	bob := plain(read(url + "bob%40example.org"))
	for _, key := range []string{"PayloadUUID", "PayloadIdentifier"} {
		if bob[key] == plain(alice)[key] {
			t.Errorf("two accounts have one %s: %s", key, bob[key])
		}
	}
	golden(t, "anybody.mobileconfig", read("https://example.org/setup/mail.mobileconfig"))
	if text := read(url + "%22%3Ca%3E%26b%22%40example.org"); !strings.Contains(text, "&lt;a&gt;&amp;b") {
		t.Errorf("an address is not escaped: %s", text)
	}
	for url, want := range map[string]int{url + "a%40example.net": 404, url + "alice": 400, url + "a%40down.example": 503} {
		if w := ask(h.Profile, "GET", url, ""); w.Code != want {
			t.Errorf("%s: %d, want %d", url, w.Code, want)
		}
	}
	h, _ = handlers(t, func() []clients.Service { return all()[2:] })
	if w := ask(h.Profile, "GET", url, ""); w.Code != 404 {
		t.Errorf("without IMAP: %d", w.Code)
	}
}

// plain are the keys with the strings after them, of the whole profile before those of its parts.
func plain(text string) map[string]string {
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`<key>(\w+)</key>\s*<string>([^<]*)</string>`).FindAllStringSubmatch(text, -1) {
		if _, there := all[m[1]]; !there {
			all[m[1]] = m[2]
		}
	}
	return all
}

// TestProfileFormat holds profiles to Apple's description of com.apple.mail.managed and of what all
// payloads have.
func TestProfileFormat(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.mobileconfig")
	if len(files) < 2 {
		t.Fatalf("files are %q", files)
	}
	every := []string{"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"}
	mailKeys := append(slices.Clone(every), "EmailAccountType", "IncomingMailServerAuthentication", "IncomingMailServerHostName", "IncomingMailServerPortNumber",
		"IncomingMailServerUseSSL", "OutgoingMailServerAuthentication", "OutgoingMailServerHostName", "OutgoingMailServerPortNumber", "OutgoingMailServerUseSSL",
		"OutgoingPasswordSameAsIncomingPassword")
	uuids := regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root := parse(t, string(text))
		whole := entries(t, root.child("dict")[0])
		account := entries(t, whole["PayloadContent"].child("dict")[0])
		for _, part := range []struct {
			kind string
			keys []string
			in   map[string]node
		}{{"Configuration", every, whole}, {"com.apple.mail.managed", mailKeys, account}} {
			if part.in["PayloadType"].Text != part.kind || !uuids.MatchString(part.in["PayloadUUID"].Text) {
				t.Errorf("%s: %s has UUID %q", file, part.in["PayloadType"].Text, part.in["PayloadUUID"].Text)
			}
			for _, key := range part.keys {
				if _, there := part.in[key]; !there {
					t.Errorf("%s: %s is missing", file, key)
				}
			}
		}
		if strings.Contains(string(text), "MailServerPassword") || strings.Contains(string(text), "<key>OutgoingPassword</key>") {
			t.Errorf("%s has a place for a password", file)
		}
	}
}

// entries are those of a dict, whose children are keys and values by turns.
func entries(t *testing.T, dict node) map[string]node {
	t.Helper()
	all := map[string]node{}
	for i := 0; i+1 < len(dict.Children); i += 2 {
		if dict.Children[i].XMLName.Local != "key" {
			t.Fatalf("%v stands where a key is to be", dict.Children[i].XMLName)
		}
		all[dict.Children[i].Text] = dict.Children[i+1]
	}
	return all
}

func TestPages(t *testing.T) {
	h, _ := handlers(t, all)
	for url, tt := range map[string]struct {
		code       int
		with, less []string
	}{
		"https://example.org/setup": {200, []string{"name@example.org", "<td>mail.example.org</td><td>993</td><td>SSL/TLS</td>", "587</td><td>STARTTLS",
			`href="/setup/mail.mobileconfig"`}, []string{"<script", "role=\"alert\""}},
		"https://mail.example.org/setup":                                 {200, []string{"your whole address. The"}, nil},
		"https://example.org/setup?address=alice%40example.org":          {200, []string{"<strong>alice@example.org</strong>", "/setup/mail.mobileconfig?address=alice%40example.org"}, nil},
		"https://example.org/setup?address=a%40example.net":              {404, []string{"example.net is not a domain of this server", `value="a@example.net"`}, []string{"993"}},
		"https://example.org/setup?address=%22%3Cscript%3E%22%40x.org":   {404, []string{"&lt;script&gt;"}, []string{"<script"}},
		"https://example.org/setup?address=%3Cscript%3E":                 {400, []string{"is not an address like alice@example.org"}, []string{"<script"}},
		"https://example.org/setup?address=a%40down.example":             {503, []string{"Try again later"}, []string{"sql"}},
		"https://example.org/setup?address=" + strings.Repeat("x", 5000): {400, []string{"…"}, []string{strings.Repeat("x", 200)}},
	} {
		w := ask(h.Setup, "GET", url, "")
		body := w.Body.String()
		if w.Code != tt.code {
			t.Errorf("%s: %d, want %d", url, w.Code, tt.code)
		}
		for _, want := range tt.with {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", url, want, body)
			}
		}
		for _, not := range tt.less {
			if strings.Contains(body, not) {
				t.Errorf("%s has %q:\n%s", url, not, body)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "style-src 'sha256-") || strings.Contains(csp, "unsafe") {
			t.Errorf("the policy of the page is %q", csp)
		}
	}
	w := ask(h.Welcome, "GET", "https://example.org/", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `<a href="/setup">`) {
		t.Errorf("the first page: %d %s", w.Code, w.Body)
	}
}

// TestHosts: which names something is served for.
func TestHosts(t *testing.T) {
	h, _ := handlers(t, all)
	at := h.Hosts(AutoconfigHost)
	for d, want := range map[mail.Domain]bool{
		host: true, "example.org": true, "autoconfig.example.org": true, "autodiscover.example.org": false, "autoconfig.mail.example.org": false,
		"autoconfig.autoconfig.example.org": false, "example.net": false, "down.example": false,
	} {
		if got := at(t.Context(), d); got != want {
			t.Errorf("%s: %v", d, got)
		}
	}
}

// TestBodyCut: a body that does not come whole is our trouble, not a request.
func TestBodyCut(t *testing.T) {
	h, _ := handlers(t, all)
	w := httptest.NewRecorder()
	h.Autodiscover(w, httptest.NewRequest("POST", "https://example.org/autodiscover/autodiscover.xml", io.MultiReader(strings.NewReader("<a"), broken{})))
	if !strings.Contains(w.Body.String(), "<ErrorCode>603</ErrorCode>") {
		t.Errorf("%s", w.Body)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
