package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/obs"
	"yubin/internal/world/secrets"
)

// MaxFile is how many octets a configuration file may have.
const MaxFile = 1 << 20

// Load reads the configuration in file. The error is *Faults, or that of
// opening the file. Relative paths in it count from the folder it is in.
func Load(file string) (Config, error) {
	data, err := files.ReadFile(file, MaxFile)
	if err != nil && mail.KindOf(err) == mail.TooLarge {
		return Config{}, fmt.Errorf("%s is over %s", file, formatSize(MaxFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("there is no configuration %s: %w", file, fs.ErrNotExist)
	}
	if err != nil {
		return Config{}, err
	}
	return Parse(file, data)
}

// LoadVerified is Load and Verify: the error has the faults of both.
func LoadVerified(file string) (Config, error) {
	all := &Faults{File: file}
	c, err := Load(file)
	if !all.take(err) {
		return Config{}, err
	}
	if c.Data != "" { // else it did not even parse
		all.take(c.Verify(file))
	}
	return c, all.err()
}

// Parse reads data, which came from file. The error is *Faults.
func Parse(file string, data []byte) (Config, error) {
	faults := &Faults{File: file}
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		faults.syntax(err)
		return Config{}, faults
	}
	c := Default()
	root := &table{values: values, lines: locate(data), faults: faults}
	root.config(&c)
	root.finish()
	c.Folder = folderOf(file)
	c.resolve(c.Folder)
	if len(c.Listeners) == 0 {
		c.Listeners = standardListeners()
	}
	c.check(faults)
	return c, faults.err()
}

func (f *Faults) syntax(err error) {
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		f.add(0, "%v", err)
		return
	}
	line, column := at.Position()
	f.add(line, "column %d: %s", column, unlabelled(at))
}

func (t *table) config(c *Config) {
	t.domain("hostname", &c.Hostname)
	c.hostnameLine = t.line("hostname")
	t.address("postmaster", &c.Postmaster)
	t.text("data", &c.Data)
	t.boolean("submission_hides_client", &c.SubmissionHidesClient)
	t.database("database", &c.Database)
	t.text("secrets", &c.Secrets)
	t.duration("shutdown_timeout", &c.ShutdownTimeout, 0, time.Hour)
	t.table("log", func(t *table) { t.log(&c.Log) })
	t.table("tls", func(t *table) {
		t.boolean("self_signed", &c.TLS.SelfSigned)
		t.boolean("channel_binding", &c.TLS.ChannelBinding)
		choice(t, "scram", &c.TLS.Scram, ScramAuto, ScramOn, ScramOff)
	})
	t.table("acme", func(t *table) { t.acme(&c.ACME) })
	t.table("limits", func(t *table) { t.limits(&c.Limits) })
	t.table("dns", func(t *table) { t.dns(&c.DNS) })
	t.table("queue", func(t *table) { t.queue(&c.Queue) })
	t.table("dkim", func(t *table) { t.dkim(&c.DKIM) })
	c.Addresses = t.addresses("addresses")
	t.table("mta_sts", func(t *table) { t.mtaSTS(&c.MTASTS) })
	t.table("dns_update", func(t *table) { t.dnsUpdate(&c.DNSUpdate) })
	t.table("retention", func(t *table) { t.retention(&c.Retention) })
	t.table("watch", func(t *table) { t.watch(&c.Watch) })
	t.table("judge", func(t *table) { t.judge(&c.Judge) })
	t.table("reports", func(t *table) { t.reports(&c.Reports) })
	t.table("admin", func(t *table) { t.admin(&c.Admin) })
	t.table("bans", func(t *table) { t.bans(&c.Bans) })
	t.table("sending", func(t *table) { t.sending(&c.Sending) })
	t.table("oauth", func(t *table) { t.oauth(&c.OAuth) })
	t.table("sendmail", func(t *table) { t.sendmail(&c.Sendmail) })
	t.tables("dns_list", func(t *table) { c.DNSLists = append(c.DNSLists, t.dnsList(c.DNSLists)) })
	t.tables("filter", func(t *table) { c.Filters = append(c.Filters, t.filter(c.Filters)) })
	t.tables("ldap", func(t *table) { c.LDAP = append(c.LDAP, t.ldap(c.LDAP)) })
	t.tables("certificate", func(t *table) {
		cert := Certificate{Line: t.line("")}
		t.required("cert", &cert.Cert)
		t.required("key", &cert.Key)
		c.TLS.Certificates = append(c.TLS.Certificates, cert)
	})
	t.tables("listener", func(t *table) { c.Listeners = append(c.Listeners, t.listener()) })
	if t.line("hostname") == 0 {
		t.faults.add(0, `hostname is missing; write hostname = "mail.example.org" with this server's own name`)
	}
}

func (t *table) required(key string, dst *string) {
	if _, there := t.values[key]; !there {
		t.faults.add(t.line(""), "%s is missing", key)
	}
	t.text(key, dst)
}

func (t *table) log(l *Log) {
	level := "info"
	choice(t, "level", &level, "debug", "info", "warn", "error")
	// The words are those that slog reads.
	_ = l.Level.UnmarshalText([]byte(level))
	choice(t, "format", &l.Format, obs.FormatAuto, obs.FormatText, obs.FormatJSON)
}

func (t *table) limits(l *Limits) {
	t.size("message_size", &l.MessageSize, 64<<10, 1<<30)
	choice(t, "dsn", &l.DSN, DSNTrusted, DSNAll)
	t.count("recipients", &l.Recipients, 100, 1000) // RFC 5321 §4.5.3.1.8: at least 100
	t.count("connections", &l.Connections, 1, 1_000_000)
	t.count("connections_per_address", &l.ConnectionsPerAddress, 1, 1_000_000)
	t.count("sessions_per_account", &l.SessionsPerAccount, 1, 1_000_000)
	t.duration("quota_grace", &l.QuotaGrace, 0, 365*24*time.Hour)
}

func (t *table) dns(d *DNS) {
	for _, s := range t.texts("servers", maxDNSServers) {
		addr, err := ParseServer(s)
		if err != nil {
			t.fault("servers", `must be IP addresses, with a port if it is not 53, like "127.0.0.1" or "[::1]:5353", not %q`, s)
			continue
		}
		d.Servers = append(d.Servers, addr)
	}
	choice(t, "trust", &d.Trust, DNSTrustLoopback, DNSTrustAll, DNSTrustNone)
	t.duration("timeout", &d.Timeout, time.Second, maxDNSTimeout)
	t.count("attempts", &d.Attempts, 1, maxDNSAttempts)
}

// DefaultLifetime is that of the queue, as a test of server holds.
const DefaultLifetime = 5 * 24 * time.Hour

func (t *table) queue(q *Queue) {
	t.count("concurrency", &q.Concurrency, 1, 10_000)
	t.count("site_concurrency", &q.SiteConcurrency, 1, 1000)
	t.count("site_rate", &q.SiteRate, 0, 1_000_000)
	t.duration("lifetime", &q.Lifetime, time.Hour, 30*24*time.Hour)
	t.noticeAfter(&q.NoticeAfter)
	if life := cmp.Or(q.Lifetime, DefaultLifetime); q.NoticeAfter >= life {
		t.fault("notice_after", `must be less than lifetime, %s: after that the sender is told that it failed, and never that it is late; "never" if that is meant`,
			shortDuration(life))
	}
	t.duration("history", &q.History, time.Hour, 3650*24*time.Hour)
}

// Bounds of rotate: a key is replaced no sooner than mail that it signed has come
// through, and the DNS has been looked at.
const (
	minRotate = 14 * 24 * time.Hour
	maxRotate = 3650 * 24 * time.Hour
)

func (t *table) dkim(d *DKIM) {
	sign := true
	t.boolean("sign", &sign)
	d.Off = !sign
	t.domain("zone", &d.Zone)
	if t.values["rotate"] == "never" {
		take[string](t, "rotate", "")
		d.Rotate = -1
		return
	}
	t.duration("rotate", &d.Rotate, minRotate, maxRotate)
}

// addresses are those at which others reach this server.
func (t *table) addresses(key string) (list []netip.Addr) {
	for _, s := range t.texts(key, maxAddresses) {
		a, err := netip.ParseAddr(s)
		if a = a.Unmap(); err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			t.fault(key, `must be the IP addresses at which others reach this server, like "192.0.2.1" and "2001:db8::1", not %q`, s)
			continue
		}
		list = append(list, a)
	}
	return list
}

// Bounds of max_age: a day, as shorter ones protect nobody, and what RFC 8461 §3.2 allows.
const (
	minSTSAge = 24 * time.Hour
	maxSTSAge = 365 * 24 * time.Hour
)

func (t *table) mtaSTS(s *MTASTS) {
	choice(t, "mode", &s.Mode, STSTesting, STSEnforce, STSNone, STSOff)
	t.duration("max_age", &s.MaxAge, minSTSAge, maxSTSAge)
}

func (t *table) dnsUpdate(u *DNSUpdate) {
	var server string
	t.required("server", &server)
	var err error
	if u.Server, err = ParseServer(server); server != "" && err != nil {
		t.fault("server", `must be the IP address of the primary server of the zones, with a port if it is not 53, like "192.0.2.53", not %q`, server)
	}
	if _, there := t.values["zones"]; !there {
		t.faults.add(t.line(""), "zones is missing")
	}
	for _, s := range t.texts("zones", maxUpdateZones) {
		d, err := mail.ParseDomain(s)
		if err != nil || d.IsLiteral() {
			t.fault("zones", "must be domain names, not %q", s)
			continue
		}
		u.Zones = append(u.Zones, d)
	}
	t.text("key", &u.Key)
	choice(t, "algorithm", &u.Algorithm, "hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224")
	t.required("key_file", &u.KeyFile)
	t.boolean("automatic", &u.Automatic)
}

func (t *table) retention(r *Retention) {
	t.duration("expunged", &r.Expunged, time.Hour, 3650*24*time.Hour)
	t.duration("changes", &r.Changes, time.Hour, 3650*24*time.Hour)
	t.size("changes_size", &r.ChangesSize, 64<<10, 1<<30)
	t.duration("audit", &r.Audit, 24*time.Hour, 36500*24*time.Hour)
}

func (t *table) watch(w *Watch) {
	t.boolean("mail", &w.Mail)
	t.duration("queue_oldest", &w.QueueOldest, time.Minute, 100*24*time.Hour)
	t.count("queue_length", &w.QueueLength, 1, 1e9)
	t.size("disk_free", &w.DiskFree, 1<<20, 1<<50)
	t.timeOfDay("summary", &w.Summary)
	t.timeOfDay("selftest", &w.Selftest)
}

// timeOfDay is the time after midnight, or "never", which is negative.
func (t *table) timeOfDay(key string, dst *time.Duration) {
	if _, there := t.values[key]; !there {
		return
	}
	var text string
	if t.text(key, &text); text == "never" {
		*dst = -1
		return
	}
	at, err := time.Parse("15:04", text)
	if err != nil {
		t.fault(key, `must be a time of the day like "07:00", or "never", not %q`, text)
		return
	}
	*dst = time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
}

func (t *table) reports(r *Reports) {
	if _, there := t.values["addresses"]; there {
		r.Addresses = t.texts("addresses", maxReportAddresses)
		for _, a := range r.Addresses {
			if !strings.Contains(a, "@") {
				a += "@example.org"
			}
			if _, err := mail.ParseAddress(a); err != nil {
				t.fault("addresses", `must be addresses, or the part before the @ for all domains, like "dmarc-reports" or "reports@example.org", not %q`,
					strings.TrimSuffix(a, "@example.org"))
			}
		}
	}
	t.boolean("send", &r.Send)
	t.text("organization", &r.Organization)
	t.address("contact", &r.Contact)
	t.duration("keep", &r.Keep, 24*time.Hour, 3650*24*time.Hour)
}

// noticeAfter is a duration, or "never".
func (t *table) noticeAfter(dst *time.Duration) {
	if t.values["notice_after"] == "never" {
		take[string](t, "notice_after", "")
		*dst = -1
		return
	}
	t.duration("notice_after", dst, time.Minute, 30*24*time.Hour)
}

func (t *table) admin(a *Admin) {
	t.text("address", &a.Address)
	if _, _, err := splitAddress(a.Address); a.Address != "" && err != nil {
		t.fault("address", `must be an IP address and a port, like "127.0.0.1:2590", not %q`, a.Address)
	}
}

// maxProxies is how many networks of proxies a listener may name.
const maxProxies = 64

// networks are addresses, and networks as "192.0.2.0/24"; everybody says what is to be
// known of the network of all.
func (t *table) networks(key string, limit int, everybody string) (list []netip.Prefix) {
	for _, s := range t.texts(key, limit) {
		p, err := netip.ParsePrefix(s)
		if a, alone := netip.ParseAddr(s); alone == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			t.fault(key, `must be addresses and networks, like "192.0.2.7" and "2001:db8::/64", not %q`, s)
		case p.Bits() == 0:
			t.fault(key, "%q is everybody%s", s, everybody)
		default:
			list = append(list, p.Masked())
		}
	}
	return list
}

// https is what the file calls HTTP with TLSImplicit.
const https Protocol = "https"

func (t *table) listener() Listener {
	l := Listener{Protocol: SMTP, Line: t.line("")}
	if _, there := t.values["protocol"]; !there {
		t.faults.add(l.Line, "protocol is missing")
	}
	choice(t, "protocol", &l.Protocol, SMTP, IMAP, POP3, HTTP, https)
	t.required("address", &l.Address)
	if _, _, err := splitAddress(l.Address); l.Address != "" && err != nil {
		t.fault("address", `must be an IP address and a port, like "192.0.2.1:25", "[::1]:143" or ":25", not %q`, l.Address)
	}
	if l.Protocol == SMTP {
		l.Profile = ProfileMX
	}
	_, named := t.values["profile"]
	choice(t, "profile", &l.Profile, ProfileMX, ProfileSubmission, ProfileLMTP)
	if named && l.Protocol != SMTP {
		t.fault("profile", "is for smtp only")
	}
	kinds := []TLSMode{TLSStart, TLSNone, TLSImplicit} // the default first
	switch {
	case l.Protocol == HTTP:
		kinds = []TLSMode{TLSNone}
	case l.Protocol == https:
		l.Protocol, kinds = HTTP, []TLSMode{TLSImplicit}
	case l.Profile == ProfileLMTP:
		kinds = []TLSMode{TLSNone, TLSStart, TLSImplicit}
	}
	l.TLS = kinds[0]
	if _, named := t.values["tls"]; named && len(kinds) == 1 {
		t.fault("tls", "is not for http and https")
	}
	choice(t, "tls", &l.TLS, TLSNone, TLSStart, TLSImplicit)
	l.Proxies = t.networks("proxies", maxProxies, ", who could then say to be anybody")
	return l
}

// folderOf is the folder that a configuration is in, whoever asks from where.
func folderOf(file string) string {
	folder := filepath.Dir(file)
	if abs, err := filepath.Abs(folder); err == nil {
		return abs
	}
	return folder
}

// SecretsPaths are where the key that seals secrets may be, the place first that it
// is wanted at: what is named, and without that beside the configuration or in the
// data folder.
func (c *Config) SecretsPaths() []string {
	switch inData := filepath.Join(c.Data, secrets.FileName); {
	case c.Secrets != "":
		return []string{c.Secrets}
	case c.Folder != "":
		return []string{filepath.Join(c.Folder, secrets.FileName), inData}
	default:
		return []string{inData}
	}
}

// resolve makes relative paths absolute.
func (c *Config) resolve(folder string) {
	for _, p := range c.paths() {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
}

func (c *Config) paths() []*string {
	paths := []*string{&c.Data, &c.Secrets, &c.Sendmail.Socket, &c.ACME.EABKeyFile, &c.ACME.Root, &c.DNSUpdate.KeyFile, &c.OAuth.SecretFile, &c.OAuth.Root}
	for i := range c.TLS.Certificates {
		paths = append(paths, &c.TLS.Certificates[i].Cert, &c.TLS.Certificates[i].Key)
	}
	for i := range c.LDAP {
		paths = append(paths, &c.LDAP[i].CA, &c.LDAP[i].PasswordFile)
	}
	return paths
}
