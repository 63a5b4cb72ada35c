package config

import (
	"reflect"
	"slices"
)

// keyNames are the keys and tables of the file, by the fields of Config that they
// fill. Fields that are not here are in no file.
var keyNames = map[string][]string{
	"Hostname": {"hostname"}, "Postmaster": {"postmaster"}, "Data": {"data"}, "Database": {"database"}, "Secrets": {"secrets"},
	"SubmissionHidesClient": {"submission_hides_client"},
	"ShutdownTimeout":       {"shutdown_timeout"}, "Log": {"log"}, "TLS": {"tls", "certificate"}, "ACME": {"acme"}, "Limits": {"limits"}, "DNS": {"dns"},
	"Queue": {"queue"}, "DKIM": {"dkim"}, "Addresses": {"addresses"}, "MTASTS": {"mta_sts"}, "DNSUpdate": {"dns_update"}, "Retention": {"retention"}, "Judge": {"judge"}, "DNSLists": {"dns_list"}, "Filters": {"filter"},
	"Reports": {"reports"}, "Admin": {"admin"}, "Listeners": {"listener"}, "Bans": {"bans"}, "Sending": {"sending"}, "LDAP": {"ldap"}, "OAuth": {"oauth"},
	"Watch": {"watch"}, "Sendmail": {"sendmail"},
}

// Changed names the keys and tables in which two configurations differ, sorted. Where
// in the file something stands is no difference.
func Changed(a, b Config) (names []string) {
	a, b = unplaced(a), unplaced(b)
	for field, keys := range keyNames {
		x, y := reflect.ValueOf(a).FieldByName(field), reflect.ValueOf(b).FieldByName(field)
		if reflect.DeepEqual(x.Interface(), y.Interface()) {
			continue
		}
		if field == "TLS" {
			keys = tlsChanged(a.TLS, b.TLS)
		}
		names = append(names, keys...)
	}
	slices.Sort(names)
	return names
}

func tlsChanged(a, b TLS) (keys []string) {
	if !slices.Equal(a.Certificates, b.Certificates) {
		keys = append(keys, "certificate")
	}
	if a.SelfSigned != b.SelfSigned || a.ChannelBinding != b.ChannelBinding || a.Scram != b.Scram {
		keys = append(keys, "tls")
	}
	return keys
}

// unplaced is c without the lines that its parts stand in.
func unplaced(c Config) Config {
	c.TLS.Certificates, c.Listeners = slices.Clone(c.TLS.Certificates), slices.Clone(c.Listeners)
	for i := range c.TLS.Certificates {
		c.TLS.Certificates[i].Line = 0
	}
	c.ACME.line = 0
	c.LDAP = slices.Clone(c.LDAP)
	for i := range c.LDAP {
		c.LDAP[i].Line = 0
	}
	for i := range c.Listeners {
		c.Listeners[i].Line = 0
	}
	return c
}
