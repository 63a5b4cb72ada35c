package judge

import (
	"fmt"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/mailauth/arc"
	"yubin/internal/mailauth/authres"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/spf"
)

// maxResults is how many signatures Authentication-Results tell of.
const maxResults = 10

// results are the facts as Authentication-Results (RFC 8601).
func (j *Judge) results(f *Facts) authres.Field {
	out := authres.Field{ServID: string(j.o.Hostname)}
	if f.Client.Remote.IsValid() {
		var r authres.Result
		if f.ReversePath.IsNull() {
			r = authres.SPFHelo(f.SPF.Result.String(), f.Client.Hello)
		} else {
			r = authres.SPF(f.SPF.Result.String(), f.ReversePath.Domain)
		}
		if f.SPF.Result != spf.Pass && f.SPF.Result != spf.None {
			r.Reason = f.SPF.Reason.String()
		}
		out.Results = append(out.Results, r)
	}
	if len(f.DKIM) == 0 {
		out.Results = append(out.Results, authres.DKIM("none", authres.Signature{}))
	}
	for i, v := range f.DKIM {
		if v.Signature == nil || i == maxResults {
			continue
		}
		s := v.Signature
		r := authres.DKIM(v.Result.String(), authres.Signature{Domain: s.Domain, Selector: s.Selector, Algorithm: s.Algorithm.String(), Start: start(s.Tags.Value("b"))})
		switch {
		case v.Reason.Cause != 0:
			r.Reason = v.Reason.String()
		case v.Unsigned > 0:
			r.Value, r.Reason = dkim.Policy.String(), fmt.Sprintf("the last %d octets of the body are not signed", v.Unsigned)
		}
		out.Results = append(out.Results, r)
	}
	if f.ARC.Result != arc.None {
		oldest := -1
		if f.ARC.Result == arc.Pass {
			oldest = f.ARC.OldestPass
		}
		r := authres.ARC(f.ARC.Result.String(), f.Client.Remote, oldest)
		if f.ARC.Result == arc.Fail {
			r.Reason = f.ARC.Reason.String()
		}
		out.Results = append(out.Results, r)
	}
	if f.Policed != "" {
		policy := ""
		if f.DMARC.Result == dmarc.Fail {
			policy = f.DMARC.Published.String()
		}
		out.Results = append(out.Results, authres.DMARC(f.DMARC.Result.String(), f.Policed, policy))
	}
	if f.Client.Remote.IsValid() && f.Reverse != ReverseMissing {
		out.Results = append(out.Results, authres.IPRev(f.Reverse.String(), f.Client.Remote))
	}
	return out
}

// start is enough of the tag "b" to tell signatures from each other (RFC 6008 §4).
func start(b string) string {
	const enough = 8
	b = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, b[:min(len(b), 8*enough)])
	return b[:min(len(b), enough)]
}

// FieldName is the field that tells the verdict.
const FieldName = "X-Yubin-Verdict"

// appendField appends the verdict as a header field, a line for each reason.
func (v Verdict) appendField(dst []byte) []byte {
	dst = append(dst, FieldName+": "...)
	dst = append(dst, strings.ReplaceAll(v.String(), "; ", ";\r\n\t")...)
	return append(dst, "\r\n"...)
}

// Claims reports whether the value of an Authentication-Results field claims to be that
// of the server called hostname.
func Claims(hostname mail.Domain) func(value []byte) bool {
	return func(value []byte) bool { return authres.Claims(value, string(hostname)) }
}
