package config

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// LDAP is one [[ldap]]: a directory that knows the people of domains. Filters and names of
// entries are text here: who asks the directory reads them.
type LDAP struct {
	Domains      []mail.Domain
	Servers      []LDAPServer
	CA           string // a file in PEM of who signs the servers' certificates; "" is whom the system knows
	BindDN       string // who asks; "" is nobody
	PasswordFile string // of BindDN
	Base         string
	Filter       string // finds a person
	UserDN       string // of who logs in; "": Filter finds him
	Address      string // attributes
	Quota        string
	GroupBase    string
	GroupFilter  string
	GroupMember  string
	Timeout      time.Duration
	Connections  int

	Line int // in the file; for faults
}

// LDAPServer is a server of a directory.
type LDAPServer struct {
	URL      string // as it was written
	Host     string
	Port     uint16
	Implicit bool // TLS from the first octet
	Plain    bool // no TLS at all
}

// Bounds of [[ldap]].
const (
	maxLDAP            = 20
	maxLDAPDomains     = 1000
	maxLDAPServers     = 8
	maxLDAPConnections = 100
	maxLDAPText        = 4 << 10
	maxPasswordFile    = 4 << 10
	minLDAPTime        = time.Second
	maxLDAPTime        = 9 * time.Second // a login waits no longer for others (directory.GateWait)
)

func (t *table) ldap(before []LDAP) LDAP {
	l := LDAP{Line: t.line(""), Timeout: 5 * time.Second, Connections: 8, GroupMember: "member"}
	if len(before) >= maxLDAP {
		t.faults.add(l.Line, "there are too many of them")
	}
	t.ldapDomains(&l, before)
	startTLS := true
	t.boolean("starttls", &startTLS)
	t.ldapServers(&l, startTLS)
	t.text("ca", &l.CA)
	t.text("bind_dn", &l.BindDN)
	t.text("bind_password_file", &l.PasswordFile)
	if (l.BindDN == "") != (l.PasswordFile == "") {
		t.faults.add(l.Line, "bind_dn and bind_password_file belong together; without both, nobody asks")
	}
	for _, k := range []struct {
		key       string
		dst       *string
		attribute bool
	}{
		{"base", &l.Base, false}, {"filter", &l.Filter, false}, {"user_dn", &l.UserDN, false}, {"address", &l.Address, true}, {"quota", &l.Quota, true},
		{"group_base", &l.GroupBase, false}, {"group_filter", &l.GroupFilter, false}, {"group_member", &l.GroupMember, true},
	} {
		t.text(k.key, k.dst)
		switch {
		case len(*k.dst) > maxLDAPText:
			t.fault(k.key, "has over %d octets", maxLDAPText)
		case k.attribute && strings.Trim(*k.dst, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;") != "":
			t.fault(k.key, `must be the name of an attribute, like "mail", not %q`, *k.dst)
		}
	}
	switch {
	case l.Filter == "" && l.UserDN == "":
		t.faults.add(l.Line, `filter is missing; write filter = "(mail={address})", which finds who has an address, or user_dn, by which who logs in is known`)
	case (l.Filter != "" || l.GroupFilter != "") && l.Base == "":
		t.faults.add(l.Line, `base is missing; write where in the directory to look, like base = "ou=people,dc=example,dc=org"`)
	}
	t.duration("timeout", &l.Timeout, minLDAPTime, maxLDAPTime)
	t.count("connections", &l.Connections, 1, maxLDAPConnections)
	return l
}

func (t *table) ldapDomains(l *LDAP, before []LDAP) {
	if _, there := t.values["domains"]; !there {
		t.faults.add(l.Line, "domains is missing: whose people does this directory know?")
	}
	for _, s := range t.texts("domains", maxLDAPDomains) {
		d, err := mail.ParseDomain(s)
		taken := slices.ContainsFunc(before, func(o LDAP) bool { return slices.Contains(o.Domains, d) })
		switch {
		case err != nil || d.IsLiteral():
			t.fault("domains", "must be domain names, not %q", s)
		case taken:
			t.fault("domains", "names %s, which another [[ldap]] above has", d)
		default:
			l.Domains = append(l.Domains, d)
		}
	}
}

func (t *table) ldapServers(l *LDAP, startTLS bool) {
	if _, there := t.values["servers"]; !there {
		t.faults.add(l.Line, `servers is missing; write servers = ["ldaps://ldap.example.org"]`)
	}
	for _, text := range t.texts("servers", maxLDAPServers) {
		s, err := parseLDAPServer(text)
		if err != nil {
			t.fault("servers", `must be URLs like "ldaps://ldap.example.org" or "ldap://192.0.2.1:389", not %q`, text)
			continue
		}
		if s.Plain = !s.Implicit && !startTLS; s.Plain && !s.loopback() {
			t.fault("starttls", "= false has passwords go to %s as everybody on the way can read them; that is for this machine alone", text)
		}
		l.Servers = append(l.Servers, s)
	}
}

func parseLDAPServer(text string) (LDAPServer, error) {
	u, err := url.Parse(text)
	if err != nil {
		return LDAPServer{}, err
	}
	s := LDAPServer{URL: text, Host: u.Hostname(), Port: 389, Implicit: u.Scheme == "ldaps"}
	if s.Implicit {
		s.Port = 636
	}
	if u.Scheme != "ldap" && u.Scheme != "ldaps" || s.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return s, fmt.Errorf("%q is no URL of an LDAP server", text)
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return s, err
		}
		s.Port = uint16(n)
	}
	return s, nil
}

func (s LDAPServer) loopback() bool {
	ip, err := netip.ParseAddr(s.Host)
	return s.Host == "localhost" || err == nil && ip.IsLoopback()
}

// Password reads that of BindDN: the first line of the file. The error says what to do.
func (l LDAP) Password() (string, error) {
	info, err := os.Stat(l.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("bind_password_file: %s", explain(err))
	}
	if info.Mode().Perm()&0o027 != 0 {
		return "", fmt.Errorf("bind_password_file: others can read or change %s (mode %04o); chmod 600 closes it", l.PasswordFile, info.Mode().Perm())
	}
	text, err := files.ReadFile(l.PasswordFile, maxPasswordFile)
	if err != nil {
		return "", fmt.Errorf("bind_password_file: %s", explain(err))
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("bind_password_file: the first line of %s is empty, where the password is expected", l.PasswordFile)
	}
	return line, nil
}

// Roots are who may have signed the servers' certificates; nil for whom the system knows.
func (l LDAP) Roots() (*x509.CertPool, error) {
	if l.CA == "" {
		return nil, nil
	}
	pem, err := files.ReadFile(l.CA, MaxFile)
	if err != nil {
		return nil, fmt.Errorf("ca: %s", explain(err))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca: there is no certificate in %s: it must be PEM", l.CA)
	}
	return pool, nil
}

// verify opens the files.
func (l LDAP) verify(f *Faults) {
	if l.PasswordFile != "" {
		if _, err := l.Password(); err != nil {
			f.add(l.Line, "%v", err)
		}
	}
	if _, err := l.Roots(); err != nil {
		f.add(l.Line, "%v", err)
	}
}

// ldapDomainsText lists the domains whose people are in LDAP directories; "" without any.
func (c *Config) ldapDomainsText() string {
	var names []string
	for _, l := range c.LDAP {
		for _, d := range l.Domains {
			names = append(names, string(d))
		}
	}
	if len(names) > 3 {
		names = append(names[:3], "others")
	}
	return strings.Join(names, ", ")
}

// scramOfLDAP says what LDAP means for SCRAM; "" if there is nothing to say.
func (c *Config) scramOfLDAP() string {
	domains := c.ldapDomainsText()
	switch {
	case domains == "" || c.TLS.Scram == ScramOff:
		return ""
	case c.TLS.Scram == ScramOn:
		return "scram is on, and the passwords of " + domains + " are in LDAP: mail programs that try SCRAM hear that they are wrong, and only app passwords work by it"
	}
	return "SCRAM is not offered: the passwords of " + domains + ` are in LDAP, which is asked with the password itself; scram = "off" in [tls] says that this is meant`
}
