package route

import (
	"slices"
	"strings"

	"yubin/internal/mail"
)

// choice tells which route was taken for to, and which others came near.
func (x *explainer) choice(to mail.Address, local bool, taken choice) {
	if taken.Route != nil {
		x.say("route", "%s is taken: it matches %s, %s", taken.Name, taken.by.place, taken.by.pattern)
		if taken.Unreadable != "" {
			x.say("", "%s cannot be read: %s", taken.Name, taken.Unreadable)
		}
	} else if local {
		x.say("route", "none names %s or all of %s", to, to.Domain)
	} else {
		x.say("route", "none matches; mail goes to the exchangers of the domain")
	}
	for _, p := range probes(to, x.q.Sender) {
		if r := x.t.at(p); r != nil && p != taken.by {
			x.say("", "%s would match %s, %s, %s", r.Name, p.place, p.pattern, x.whyNot(r, p, local, taken))
		}
	}
	x.near(to, taken)
}

// whyNot says why r, which matches, is not taken.
func (x *explainer) whyNot(r *Route, p probe, local bool, taken choice) string {
	switch {
	case local && p.place > byDomain:
		return "but is not for domains of this server"
	case local && r.Unknown && taken.Route == nil:
		return "but only if nobody here has the address"
	}
	return "but comes after"
}

// near tells which routes a person may have expected.
func (x *explainer) near(to mail.Address, taken choice) {
	var lines []string
	for p, r := range x.t.to {
		if why := missed(p, to); why != "" && r != taken.Route {
			lines = append(lines, r.Name+" is for "+p.String()+": "+why)
		}
	}
	for p, r := range x.t.from {
		if why := missed(p, mail.Address(x.q.Sender)); why != "" && r != taken.Route {
			lines = append(lines, r.Name+" is for the sender "+p.String()+": "+why)
		}
	}
	slices.Sort(lines)
	for i, line := range lines {
		if i == maxNear {
			x.say("", "... and %d more that do not match", len(lines)-i)
			return
		}
		x.say("", "%s", line)
	}
}

// missed says why p, which is close to a, does not match it; "" if p matches or
// is far off.
func missed(p Pattern, a mail.Address) string {
	key := a.Key()
	base, _, _ := strings.Cut(key.Local, separator)
	switch {
	case a.IsZero():
		return ""
	case p.isAddress() && p.Domain == a.Domain && p.Local != key.Local && p.Local != base:
		return "another address"
	case p.Below && p.Domain == a.Domain:
		return "the domains below it, not itself"
	case p.isDomain() && strings.HasSuffix(string(a.Domain), "."+string(p.Domain)):
		return "not the domains below it, which would be ." + string(p.Domain)
	}
	return ""
}
