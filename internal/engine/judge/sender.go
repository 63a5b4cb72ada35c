package judge

import (
	"fmt"
	"slices"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/spf"
)

// The weights of who wrote.
const (
	weightReject     = 5.0  // DMARC fails, and the owner wants it refused
	weightQuarantine = 4.0  // and wants it set apart
	weightMonitor    = 1.0  // and wants nothing
	weightOwn        = 6.0  // it says to be from us
	weightAligned    = -1.0 // DMARC passes, or would if there were a policy
	weightCrowd      = 4.0  // From names many domains
	weightUnreadFrom = 4.0  // or one that cannot be read
	weightSPFFail    = 1.5
	weightSPFSoft    = 0.7
	weightUnsigned   = 0.3 // nobody is authenticated at all
)

// sender weighs what SPF, DKIM and DMARC say of who wrote (design: the order of trust).
// The action is the least that is done.
func sender(f *Facts, p *Policies) (reasons []Reason, floor intake.Action) {
	add := func(name string, weight float64, format string, args ...any) {
		reasons = append(reasons, Reason{Name: name, Text: fmt.Sprintf(format, args...), Weight: weight, sender: true})
	}
	least := func(a intake.Action) { // What was added last says so.
		floor, reasons[len(reasons)-1].floor = max(floor, a), true
	}
	from := printable(string(f.Policed))
	known := f.Vouched
	switch {
	case known != "":
		add("known-forwarder", 0, "%s, which sent it on, is believed here about who wrote", printable(string(known)))
	case f.DMARC.Result == dmarc.Fail && f.DMARC.Policy == dmarc.Reject:
		add("dmarc-reject", weightReject, "%s did not authenticate it and wants such mail refused (DMARC p=reject)", from)
		least(intake.Junk)
	case f.DMARC.Result == dmarc.Fail && f.DMARC.Policy == dmarc.Quarantine:
		add("dmarc-quarantine", weightQuarantine, "%s did not authenticate it and wants such mail set apart (DMARC p=quarantine)", from)
		least(intake.Junk)
	case f.DMARC.Result == dmarc.Fail:
		add("dmarc-fail", weightMonitor, "%s did not authenticate it (DMARC p=none)", from)
	case f.Authenticated != "":
		add("author-authenticated", weightAligned, "%s authenticated it by %s", from, aligned(f))
	}
	if f.Ours && f.Authenticated == "" && known == "" && !f.MayBeProven {
		add("own-domain-forged", weightOwn, "it says to be from %s, which is ours, comes from outside, and nothing proves it", printable(string(f.Mine)))
		least(intake.Junk)
		if p.RefuseOwn[f.Mine] {
			least(intake.Refuse)
		}
	}
	if f.Crowd {
		add("from-crowd", weightCrowd, "the From field names more domains than anybody could prove")
	}
	if f.Unread {
		add("from-unread", weightUnreadFrom, "the From field may show an address of which nobody can say whose it is")
	}
	domain := printable(f.SPF.Domain)
	switch f.SPF.Result {
	case spf.Fail:
		add("spf-fail", weightSPFFail, "%s says that %s may not send for it", domain, f.Client.Remote)
	case spf.SoftFail:
		add("spf-softfail", weightSPFSoft, "%s says that %s probably may not send for it", domain, f.Client.Remote)
	case spf.None, spf.Neutral, spf.PermError:
		if !slices.ContainsFunc(f.DKIM, func(v dkim.Verdict) bool { return v.Result == dkim.Pass }) {
			add("nobody-authenticated", weightUnsigned, "no domain vouches for it, by SPF or by DKIM")
		}
	}
	return reasons, floor
}

// aligned says what gave DMARC a pass.
func aligned(f *Facts) string {
	switch {
	case f.AlignedSPF && f.AlignedDKIM:
		return "SPF and DKIM"
	case f.AlignedDKIM:
		return "DKIM"
	}
	return "SPF"
}

// refuse is what the sender of a message that is not taken is told (RFC 7372).
func refuse(f *Facts, v Verdict, at mail.Domain) *Refusal {
	r := &Refusal{Enhanced: mail.Enhanced{Class: 5, Subject: 7, Detail: 1}}
	first := "it looks like junk"
	if len(v.Reasons) > 0 && v.Reasons[0].Weight > 0 {
		first = v.Reasons[0].Text
	}
	for _, reason := range v.Reasons {
		if reason.Name != "dmarc-reject" && reason.Name != "own-domain-forged" {
			continue
		}
		first, r.Enhanced.Detail = reason.Text, 26 // multiple authentication checks failed
		if f.SPF.Result == spf.Fail && len(f.DKIM) == 0 {
			r.Enhanced.Detail = 23 // SPF validation failed
		}
	}
	who := "postmaster"
	if at != "" {
		who += "@" + string(at)
	}
	r.Text = "not taken: " + first + "; if this is a mistake, write to " + who
	return r
}
