package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
)

// document is a report as JSON (RFC 8460 §4.4).
type document struct {
	Organization string `json:"organization-name"`
	Range        struct {
		Begin string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	} `json:"date-range"`
	Contact  string           `json:"contact-info"`
	ID       string           `json:"report-id"`
	Policies []documentPolicy `json:"policies"`
}

type documentPolicy struct {
	Policy struct {
		Type    string      `json:"policy-type"`
		Strings []string    `json:"policy-string,omitempty"`
		Domain  mail.Domain `json:"policy-domain"`
		MXHosts []string    `json:"mx-host,omitempty"`
	} `json:"policy"`
	Summary struct {
		Successful int64 `json:"total-successful-session-count"`
		Failed     int64 `json:"total-failure-session-count"`
	} `json:"summary"`
	Failures []documentFailure `json:"failure-details,omitempty"`
}

type documentFailure struct {
	Result      ResultType `json:"result-type"`
	SendingIP   netip.Addr `json:"sending-mta-ip,omitzero"`
	MXHostname  string     `json:"receiving-mx-hostname,omitempty"`
	HELO        string     `json:"receiving-mx-helo,omitempty"`
	ReceivingIP netip.Addr `json:"receiving-ip,omitzero"`
	Sessions    int64      `json:"failed-session-count"`
	Info        string     `json:"additional-information,omitempty"`
	Reason      string     `json:"failure-reason-code,omitempty"`
}

// Write writes the document of a report to w, the same for the same report. Texts are
// cleaned and cut as Parse does. The error is that of w.
func (r Report) Write(w io.Writer) error {
	var d document
	d.Organization, d.Contact, d.ID = clean(r.Organization), clean(r.Contact), clean(r.ID)
	d.Range.Begin, d.Range.End = r.Begin.UTC().Format(time.RFC3339), r.End.UTC().Format(time.RFC3339)
	d.Policies = make([]documentPolicy, len(r.Policies))
	for i, p := range r.Policies {
		into := &d.Policies[i]
		into.Policy.Type, into.Policy.Strings, into.Policy.Domain, into.Policy.MXHosts = p.Type.String(), cleaned(p.Strings), p.Domain, cleaned(p.MXHosts)
		into.Summary.Successful, into.Summary.Failed = p.Successful, p.Failed
		for _, f := range p.Failures {
			into.Failures = append(into.Failures, documentFailure{Result: ResultType(clean(string(f.Result))), SendingIP: f.SendingIP, MXHostname: clean(f.MXHostname),
				HELO: clean(f.HELO), ReceivingIP: f.ReceivingIP, Sessions: f.Sessions, Info: clean(f.Info), Reason: clean(f.reason())})
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(d)
}

// reason is ReasonCode with Detail behind it.
func (f Failure) reason() string {
	switch {
	case f.Detail == "":
		return f.ReasonCode
	case f.ReasonCode == "":
		return f.Detail
	}
	return f.ReasonCode + ": " + f.Detail
}

func cleaned(list []string) (out []string) {
	for _, s := range list[:min(len(list), MaxStrings)] {
		out = append(out, clean(s))
	}
	return out
}

// Clean is an observation as a report can tell it: its texts without control characters,
// none over MaxText, no more of them than MaxStrings, and of all texts of the policy
// together as many as fit into most octets, in their order.
func (o Observation) Clean(most int) Observation {
	fit := func(list []string) (out []string) {
		for _, s := range cleaned(list) {
			if most -= len(s); most < 0 {
				break
			}
			out = append(out, s)
		}
		return out
	}
	o.Policy.MXHosts, o.Policy.Strings = fit(o.Policy.MXHosts), fit(o.Policy.Strings)
	if o.Failure != nil {
		f := *o.Failure
		f.Result, f.MXHostname, f.HELO = ResultType(clean(string(f.Result))), clean(f.MXHostname), clean(f.HELO)
		f.ReasonCode, f.Detail = clean(f.reason()), ""
		f.SendingIP, f.ReceivingIP = f.SendingIP.Unmap().WithZone(""), f.ReceivingIP.Unmap().WithZone("")
		o.Failure = &f
	}
	return o
}

// Filename is the name of a report packed with gzip (RFC 8460 §5.1). submitter is the
// domain of its contact. The report's number must be letters and digits.
func (r Report) Filename(submitter, about mail.Domain) string {
	return string(submitter) + "!" + string(about) + "!" + strconv.FormatInt(r.Begin.Unix(), 10) + "!" +
		strconv.FormatInt(r.End.Unix(), 10) + "!" + r.ID + ".json.gz"
}

// Pack is the document of a report as a gzip file (RFC 8460 §5.2).
func (r Report) Pack(submitter, about mail.Domain) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Name = strings.TrimSuffix(r.Filename(submitter, about), ".gz")
	err := r.Write(z)
	if err == nil {
		err = z.Close()
	}
	return b.Bytes(), err
}
