package certs

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// Ending is how long before its end a certificate is told of: when a third of its time
// is left, or this.
const Ending = 14 * 24 * time.Hour

// Concern is what somebody should see to about a certificate, for people: what is
// and what to do.
type Concern struct {
	Files Files
	Text  string
	Ended bool // it has expired: clients refuse it
	Named bool // it is about the names of all of them
}

// Concerns says what is to be seen to about certificates that load, for a server of
// that name; "" is no name. The time of those of a Source is the business of who orders
// them.
func Concerns(list []Info, hostname string, now time.Time) (all []Concern) {
	for _, i := range list {
		if text := i.time(now); text != "" && i.Files != (Files{}) {
			all = append(all, Concern{Files: i.Files, Text: text, Ended: !now.Before(i.NotAfter)})
		}
	}
	if hostname == "" || len(list) == 0 {
		return all
	}
	for _, i := range list {
		if i.leaf.VerifyHostname(hostname) == nil {
			return all
		}
	}
	first := list[0]
	return append(all, Concern{Files: first.Files, Named: true, Text: fmt.Sprintf("is for %s, and none is for the host name %s: clients that look at the name refuse it; "+
		"have one made for %s, or correct hostname", listed(first.Names), hostname, hostname)})
}

// time says what is with the time of a certificate.
func (i Info) time(now time.Time) string {
	const renew = "renew it; the new files are read by themselves"
	left := i.NotAfter.Sub(now)
	switch lifetime := i.NotAfter.Sub(i.NotBefore); {
	case left <= 0:
		return fmt.Sprintf("has expired on %s, and clients refuse it: %s", i.NotAfter.UTC().Format(time.DateOnly), renew)
	case now.Before(i.NotBefore):
		return fmt.Sprintf("is good from %s on only: is the clock of this machine right?", i.NotBefore.UTC().Format(time.DateTime+" MST"))
	case left < min(Ending, lifetime/3):
		return fmt.Sprintf("ends in %s, on %s: %s", days(left), i.NotAfter.UTC().Format(time.DateOnly), renew)
	}
	return ""
}

func days(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}

// listed is at most three names.
func listed(names []string) string {
	switch {
	case len(names) == 0:
		return "no name"
	case len(names) > 3:
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}

func infoOf(f Files, leaf *x509.Certificate) Info {
	return Info{Files: f, Names: names(leaf), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, leaf: leaf}
}

// Inspect loads certificates from their files. The error of one that does not load says
// which file is at fault and what to do; fault gets it with its place among the files.
func Inspect(files []Files, fault func(i int, err error)) (list []Info) {
	for i, f := range files {
		cert, err := Load(f)
		if err != nil {
			fault(i, (&pair{files: f}).explain(err))
			continue
		}
		list = append(list, infoOf(f, cert.Leaf))
	}
	return list
}
