package config

import (
	"fmt"
	"net/netip"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/certs"
	"yubin/internal/world/files"
)

// Warnings are what a server would start with all the same, and somebody should see
// to: a name that other servers do not believe, certificates that are at their end
// or for others, and files that the user who runs the server cannot read. The
// configuration has no faults.
func (c *Config) Warnings(now time.Time) []Fault {
	w := &Faults{}
	if text := c.hostnameWarning(); text != "" {
		w.add(c.hostnameLine, "%s", text)
	}
	list := certs.Inspect(c.TLS.Files(), func(int, error) {})
	for _, concern := range certs.Concerns(list, c.CertificateName(), now) {
		w.add(c.lineOf(concern.Files), "certificate %s %s", concern.Files.Cert, concern.Text)
	}
	if text := c.scramOfLDAP(); text != "" {
		w.add(c.LDAP[0].Line, "%s", text)
	}
	c.warnUnreadable(w)
	_ = w.err() // Sorts.
	return w.List
}

// hostnameWarning says what is wrong with the host name among servers.
func (c *Config) hostnameWarning() string {
	const how = "other servers may refuse mail from it; write this server's own name in the DNS, such as mail.example.org"
	name := string(c.Hostname)
	literal := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, "["), "IPv6:"), "]")
	switch _, err := netip.ParseAddr(literal); {
	case err == nil:
		return fmt.Sprintf("hostname %s is an address: %s", name, how)
	case name == "localhost" || strings.HasSuffix(name, ".localhost") || name == "localhost.localdomain":
		return fmt.Sprintf("hostname %s is what every machine calls itself: %s", name, how)
	case !strings.Contains(name, "."):
		return fmt.Sprintf("hostname %s has no dot: %s", name, how)
	}
	return ""
}

// NobodyIsPostmaster says that nobody has the address.
func NobodyIsPostmaster(a mail.Address) string {
	return fmt.Sprintf("postmaster %s is nobody here, so that mail for postmaster and abuse goes to the first account of each domain: "+
		"make an account or alias of that name, or correct it", a)
}

// NoScram says what it means that of accounts only hashes of other servers are known; ""
// if there is nothing to say.
func (c *Config) NoScram(accounts []string) string {
	if len(accounts) == 0 || c.TLS.Scram == ScramOff {
		return ""
	}
	who := "of the password of " + strings.Join(accounts, ", ") + " and maybe others only a hash of another server is known"
	if c.TLS.Scram == ScramOn {
		return "scram is on, and " + who + ": before the next login with PLAIN or LOGIN, mail programs that try SCRAM hear that it is wrong"
	}
	return "SCRAM is not offered: " + who + "; the next login makes it ours, or disable who never comes"
}

// CertificateName is the name that a certificate must be for; "" if that cannot be
// said.
func (c *Config) CertificateName() string {
	if c.hostnameWarning() != "" {
		return ""
	}
	return string(c.Hostname)
}

func (c *Config) lineOf(f certs.Files) int {
	i := slices.Index(c.TLS.Files(), f)
	if i < 0 {
		return 0
	}
	return c.TLS.Certificates[i].Line
}

// serviceUser is whom the package and the unit run the server as, where the data
// folder is not there to tell.
const serviceUser = "yubin"

// runner is the user that the server runs as: who owns the data folder, or without one
// the user yubin; nil if there is neither.
func (c *Config) runner() *user.User {
	if uid, ok := files.Owner(c.Data); ok {
		u, err := user.LookupId(strconv.Itoa(uid))
		if err != nil {
			u = &user.User{Uid: strconv.Itoa(uid), Gid: strconv.Itoa(uid), Username: "with uid " + strconv.Itoa(uid)}
		}
		return u
	}
	u, err := user.Lookup(serviceUser)
	if err != nil {
		return nil
	}
	return u
}

// warnUnreadable tells of files of certificates that the user who runs the server may
// not read. Only root can find that out of another user.
func (c *Config) warnUnreadable(w *Faults) {
	u := c.runner()
	if u == nil {
		return
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || uid == 0 {
		return
	}
	gid, _ := strconv.Atoi(u.Gid)
	var groups []int
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			groups = append(groups, n)
		}
	}
	for _, cert := range c.TLS.Certificates {
		for _, name := range slices.Compact([]string{cert.Cert, cert.Key}) {
			if may, known := files.Readable(name, uid, gid, groups); known && !may {
				w.add(cert.Line, "user %s, who runs the server, may not read %s: let that user (or its group) read the file and enter its folders, "+
					"or have a copy made for it, as by certbot's --deploy-hook, in %s", u.Username, name, filepath.Join(c.Folder, "tls"))
			}
		}
	}
}
