package reports

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/world/sqldb"
)

// TLSOverview is what was reported of TLS with the hosts of one domain, in a line.
type TLSOverview struct {
	Domain        mail.Domain
	Reports       int
	Organizations int // that reported
	Sessions      int64
	Failed        int64 // of them
	Begin, End    time.Time
	Policies      string // as they were reported last: "sts enforce"
	reported      time.Time
}

// TLSSource is what one organization reported of sessions that failed alike; or, without a
// Result, of sessions under a policy of which none failed.
type TLSSource struct {
	Organization string
	Policy       string // its type, with the mode of MTA-STS
	Result       string // why: of RFC 8460 §4.3, mostly; Unspecified if it does not say
	Host         string // "" if it does not say
	Reason       string // in the reporter's words, of most of them; "" for none
	Sessions     int64  // under the policy, all of them
	Failed       int64  // with this result
	Since, Last  time.Time
	most         int64 // sessions that Reason is of
}

// Unspecified is the result of sessions of which a report says only that they failed.
const Unspecified = "unspecified"

// TLSOverviews tells of every domain that was reported of since then, by name. With a domain
// it tells of that one alone.
func (r *Reports) TLSOverviews(ctx context.Context, only mail.Domain, since time.Time) ([]TLSOverview, error) {
	all := map[mail.Domain]*TLSOverview{}
	orgs := map[mail.Domain]map[string]bool{}
	err := each(ctx, r.o.DB, TLS, only, since, tlsRowsOf, func(rep reported, rows []tlsRow) {
		o := all[rep.domain]
		if o == nil {
			o = &TLSOverview{Domain: rep.domain, Begin: rep.begin, End: rep.end}
			all[rep.domain], orgs[rep.domain] = o, map[string]bool{}
		}
		o.Reports++
		orgs[rep.domain][rep.org] = true
		o.Sessions += rep.messages
		for _, w := range rows {
			if w.result == "" {
				o.Failed += w.failed
			}
		}
		if rep.begin.Before(o.Begin) {
			o.Begin = rep.begin
		}
		if rep.end.After(o.End) {
			o.End = rep.end
		}
		if !rep.end.Before(o.reported) {
			o.reported, o.Policies = rep.end, rep.policy
		}
	})
	var list []TLSOverview
	for d, o := range all {
		o.Organizations = len(orgs[d])
		list = append(list, *o)
	}
	slices.SortFunc(list, func(a, b TLSOverview) int { return cmp.Compare(a.Domain, b.Domain) })
	return list, err
}

// tlsKey is what makes a TLSSource.
type tlsKey struct{ org, policy, result, host string }

// TLSSources tells who reported what of TLS with the hosts of a domain since then, what failed
// most first, at most MaxSources.
func (r *Reports) TLSSources(ctx context.Context, domain mail.Domain, since time.Time) ([]TLSSource, error) {
	all := map[tlsKey]*TLSSource{}
	err := each(ctx, r.o.DB, TLS, domain, since, tlsRowsOf, func(rep reported, rows []tlsRow) {
		told := map[string]int64{} // sessions of a policy that failed, of which is told why
		for _, w := range rows {
			if w.result != "" {
				told[w.policy] += w.failed
				note(all, rep, w)
			}
		}
		for _, w := range rows {
			if w.result == "" {
				note(all, rep, w)
				if more := w.failed - told[w.policy]; more > 0 {
					note(all, rep, tlsRow{policy: w.policy, result: Unspecified, failed: more})
				}
			}
		}
	})
	failed := map[tlsKey]bool{}
	for k := range all {
		if k.result != "" {
			failed[tlsKey{org: k.org, policy: k.policy}] = true
		}
	}
	var list []TLSSource
	for k, s := range all {
		whole := tlsKey{org: k.org, policy: k.policy}
		if k == whole && failed[whole] {
			continue
		}
		if w := all[whole]; w != nil {
			s.Sessions = w.Sessions
		}
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b TLSSource) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Organization, b.Organization),
			cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Result, b.Result), cmp.Compare(a.Host, b.Host))
	})
	return list[:min(len(list), MaxSources)], err
}

// note adds a row of a report to what is gathered, of which there is no more than a few
// times MaxSources.
func note(all map[tlsKey]*TLSSource, rep reported, w tlsRow) {
	k := tlsKey{rep.org, w.policy, w.result, w.host}
	s := all[k]
	if s == nil {
		if len(all) >= 4*MaxSources {
			return
		}
		s = &TLSSource{Organization: rep.org, Policy: w.policy, Result: w.result, Host: w.host, Since: rep.begin, Last: rep.end}
		all[k] = s
	}
	if w.result == "" {
		s.Sessions += w.sessions
	} else {
		s.Failed += w.failed
	}
	if w.failed > s.most && w.reason != "" {
		s.most, s.Reason = w.failed, w.reason
	}
	if rep.begin.Before(s.Since) {
		s.Since = rep.begin
	}
	if rep.end.After(s.Last) {
		s.Last = rep.end
	}
}

func tlsRowsOf(tx *sqldb.Tx, report int64) (list []tlsRow, err error) {
	rows, err := tx.Query(`SELECT policy, result, host, reason, sessions, failed FROM reports_tls WHERE report = $1 ORDER BY n`, report)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w tlsRow
		if err := rows.Scan(&w.policy, &w.result, &w.host, &w.reason, &w.sessions, &w.failed); err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, rows.Err()
}

// Advice says in a sentence what is to be done about sessions that failed; "" if nothing is.
// It goes by what the reporter says, who may be wrong.
func (s TLSSource) Advice(domain mail.Domain) string {
	host, file := or(s.Host, "a host"), "https://mta-sts."+string(domain)+"/.well-known/mta-sts.txt"
	why := ""
	if s.Reason != "" {
		why = " (" + s.Reason + ")"
	}
	switch tlsrpt.ResultType(s.Result) {
	case "":
		return ""
	case tlsrpt.StartTLSNotSupported:
		return host + " offered no STARTTLS: see that it has a certificate; if it offers it, something on the way takes it out, a firewall or an attacker" + s.effect()
	case tlsrpt.CertificateHostMismatch:
		return fmt.Sprintf("the certificate of %s has not the name that the policy asks for%s: get one with that name, or mend the policy", host, why) + s.effect()
	case tlsrpt.CertificateExpired:
		return "the certificate of " + host + " has ended: renew it, and see that the server uses the new one" + s.effect()
	case tlsrpt.CertificateNotTrusted:
		return fmt.Sprintf("the certificate of %s is not trusted%s: use one of a public authority, and send the whole chain", host, why) + s.effect()
	case tlsrpt.TLSAInvalid:
		return fmt.Sprintf("no TLSA record of %s fits its certificate%s: publish one for the certificate in use", host, why) + s.effect()
	case tlsrpt.DNSSECInvalid:
		return fmt.Sprintf("the DNS answers about %s are not as DNSSEC has them%s: see to the signatures of the zone, and its DS record", host, why) + s.effect()
	case tlsrpt.DANERequired:
		return "the reporter sends only with DANE, and " + host + " has no TLSA record that DNSSEC proves: publish one, or ask the reporter" + s.effect()
	case tlsrpt.STSPolicyFetchError:
		return fmt.Sprintf("the policy was not to be had at %s%s: see that it is served there, or remove the record _mta-sts.%s", file, why, domain)
	case tlsrpt.STSPolicyInvalid:
		return fmt.Sprintf("the policy at %s is not valid%s: see to its lines version, mode, mx and max_age", file, why)
	case tlsrpt.STSWebPKIInvalid:
		return fmt.Sprintf("the certificate of mta-sts.%s is not valid%s: get one of a public authority with that name", domain, why)
	case Unspecified:
		return "the report does not say why they failed" + s.effect()
	case tlsrpt.ValidationFailure:
		return fmt.Sprintf("TLS with %s failed%s: look at its certificate, its versions of TLS and its log of that time", host, why) + s.effect()
	}
	return fmt.Sprintf("TLS with %s failed for a reason that RFC 8460 has not, %s%s", host, s.Result, why) + s.effect()
}

// effect is what becomes of mail meanwhile, as the policy has it.
func (s TLSSource) effect() string {
	switch s.Policy {
	case "sts enforce", "tlsa":
		return "; until then such mail does not come"
	case "sts testing":
		return "; mail comes all the same, the policy is only being tested"
	}
	return ""
}
