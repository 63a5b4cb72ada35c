package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"yubin/internal/engine/reports"
	"yubin/internal/mail"
)

// DMARC aggregate reports (RFC 9990), and reports about TLS (RFC 8460).
//
//	GET /v1/reports/dmarc?domain&since&names   DMARC: of one domain with its sources, or of all without
//	GET /v1/reports/tls?domain&since           TLSReports: likewise
//	GET /v1/reports/sent?domain&since&limit    Page[SentReport]
//
// since is a time of RFC 3339; names=no asks the DNS for no names of sources.

// Reports keeps reports: reports.Reports does.
type Reports interface {
	Overviews(ctx context.Context, only mail.Domain, since time.Time) ([]reports.Overview, error)
	Sources(ctx context.Context, domain mail.Domain, since time.Time) ([]reports.Source, error)
	TLSOverviews(ctx context.Context, only mail.Domain, since time.Time) ([]reports.TLSOverview, error)
	TLSSources(ctx context.Context, domain mail.Domain, since time.Time) ([]reports.TLSSource, error)
	SentReports(ctx context.Context, only mail.Domain, since time.Time, limit int) ([]reports.Sent, error)
}

// DMARC is what others reported.
type DMARC struct {
	Domains []ReportedDomain `json:"domains"`
	Sources []ReportedSource `json:"sources,omitempty"` // of the one domain asked for, those with most messages first
}

// ReportedDomain is what was reported of a domain.
type ReportedDomain struct {
	Domain        string    `json:"domain"`
	Reports       int       `json:"reports"`
	Organizations int       `json:"organizations"`
	Messages      int64     `json:"messages"`
	Passed        int64     `json:"passed"`
	LeftOut       int64     `json:"left_out,omitempty"` // messages of which only the number is known
	Begin         time.Time `json:"begin"`
	End           time.Time `json:"end"`
	Policy        string    `json:"policy"`                    // as it stands in the DNS now; "?" if it does not answer
	Reported      string    `json:"policy_reported,omitempty"` // as it was reported last, if that is not the same
	Advice        string    `json:"advice,omitempty"`
}

// ReportedSource is an address that sent mail in a domain's name.
type ReportedSource struct {
	Address   string `json:"address"`
	Host      string `json:"host,omitempty"` // a name that leads back to the address
	Messages  int64  `json:"messages"`
	Passed    int64  `json:"passed"`
	SPF       int64  `json:"spf"`  // with an aligned pass
	DKIM      int64  `json:"dkim"` // with an aligned pass
	Delivered int64  `json:"delivered"`
	Junk      int64  `json:"quarantined"`
	Rejected  int64  `json:"rejected"`
	Reporters int    `json:"reporters"`
	Advice    string `json:"advice,omitempty"`
}

// TLSReports is what others reported of TLS with the hosts of domains.
type TLSReports struct {
	Domains []TLSDomain `json:"domains"`
	Sources []TLSSource `json:"sources,omitempty"` // of the one domain asked for, those with most failures first
}

// TLSDomain is what was reported of TLS with the hosts of a domain.
type TLSDomain struct {
	Domain        string    `json:"domain"`
	Reports       int       `json:"reports"`
	Organizations int       `json:"organizations"`
	Sessions      int64     `json:"sessions"`
	Failed        int64     `json:"failed"`
	Begin         time.Time `json:"begin"`
	End           time.Time `json:"end"`
	Policies      string    `json:"policies"` // as they were reported last
}

// TLSSource is what an organization reported of sessions that failed alike; without a result,
// of sessions under a policy of which none failed.
type TLSSource struct {
	Organization string    `json:"organization"`
	Policy       string    `json:"policy"`
	Result       string    `json:"result,omitempty"`
	Host         string    `json:"host,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Sessions     int64     `json:"sessions"` // under the policy
	Failed       int64     `json:"failed"`   // with this result
	Since        time.Time `json:"since"`
	Last         time.Time `json:"last"`
	Advice       string    `json:"advice,omitempty"`
}

// SentReport is what became of the report of a day to a domain.
type SentReport struct {
	Kind     string    `json:"kind"` // dmarc, tls
	Day      string    `json:"day"`
	Domain   string    `json:"domain"`
	Messages int64     `json:"messages"` // of tls: sessions
	Due      time.Time `json:"due,omitzero"`
	Outcome  string    `json:"outcome,omitempty"`
}

// Bounds of looking up names for people.
const (
	maxNamed    = 50 // sources
	namesAtOnce = 10
	nameTime    = 3 * time.Second
)

func (h *Handler) reportRoutes() {
	if h.Reports == nil {
		return
	}
	h.mux.HandleFunc("GET /v1/reports/dmarc", h.answer(h.dmarcReports))
	h.mux.HandleFunc("GET /v1/reports/tls", h.answer(h.tlsReports))
	h.mux.HandleFunc("GET /v1/reports/sent", h.answer(h.sentReports))
}

// reportQuery reads what both are asked with.
func reportQuery(q url.Values) (domain mail.Domain, since time.Time, err error) {
	if s := q.Get("domain"); s != "" {
		if domain, err = mail.ParseDomain(s); err != nil {
			return "", since, err
		}
	}
	if s := q.Get("since"); s != "" {
		if since, err = time.Parse(time.RFC3339, s); err != nil {
			return "", since, mail.Errorf(mail.Invalid, "since must be a time like 2026-11-22T09:30:00Z")
		}
	}
	return domain, since, nil
}

func (h *Handler) dmarcReports(r *http.Request) (any, error) {
	domain, since, err := reportQuery(r.URL.Query())
	if err != nil {
		return nil, err
	}
	all, err := h.Reports.Overviews(r.Context(), domain, since)
	if err != nil {
		return nil, err
	}
	out := DMARC{Domains: []ReportedDomain{}}
	for _, o := range all {
		out.Domains = append(out.Domains, ReportedDomain{Domain: string(o.Domain), Reports: o.Reports, Organizations: o.Organizations, Messages: o.Messages,
			Passed: o.Passed, LeftOut: o.LeftOut, Begin: o.Begin, End: o.End, Policy: o.Policy, Reported: o.Reported, Advice: o.Advice()})
	}
	if domain == "" {
		return out, nil
	}
	sources, err := h.Reports.Sources(r.Context(), domain, since)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		out.Sources = append(out.Sources, sourceOf(domain, s))
	}
	if r.URL.Query().Get("names") != "no" {
		h.name(r.Context(), sources, out.Sources)
	}
	return out, nil
}

func sourceOf(domain mail.Domain, s reports.Source) ReportedSource {
	delivered, junk, rejected := s.Fate()
	return ReportedSource{Address: s.Address.String(), Messages: s.Messages, Passed: s.Passed, SPF: s.SPF, DKIM: s.DKIM,
		Delivered: delivered, Junk: junk, Rejected: rejected, Reporters: s.Reporters, Advice: s.Advice(domain)}
}

// name finds the names of the first sources, as far as the DNS answers soon.
func (h *Handler) name(ctx context.Context, sources []reports.Source, into []ReportedSource) {
	if h.Resolver == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	var g sync.WaitGroup
	places := make(chan struct{}, namesAtOnce)
	for i := range sources[:min(len(sources), maxNamed)] {
		g.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			into[i].Host = h.hostOf(ctx, sources[i].Address)
		})
	}
	g.Wait()
}

// hostOf is the name of an address that leads back to it; "" if none does.
func (h *Handler) hostOf(ctx context.Context, addr netip.Addr) string {
	names, err := h.Resolver.PTR(ctx, addr)
	if err != nil {
		return ""
	}
	for _, n := range names.Records[:min(len(names.Records), 3)] {
		found, err := h.Resolver.Addresses(ctx, n)
		if err == nil && slices.Contains(found.Records, addr) {
			return n.String()
		}
	}
	return ""
}

func (h *Handler) tlsReports(r *http.Request) (any, error) {
	domain, since, err := reportQuery(r.URL.Query())
	if err != nil {
		return nil, err
	}
	all, err := h.Reports.TLSOverviews(r.Context(), domain, since)
	if err != nil {
		return nil, err
	}
	out := TLSReports{Domains: []TLSDomain{}}
	for _, o := range all {
		out.Domains = append(out.Domains, TLSDomain{Domain: string(o.Domain), Reports: o.Reports, Organizations: o.Organizations, Sessions: o.Sessions,
			Failed: o.Failed, Begin: o.Begin, End: o.End, Policies: o.Policies})
	}
	if domain == "" {
		return out, nil
	}
	sources, err := h.Reports.TLSSources(r.Context(), domain, since)
	for _, s := range sources {
		out.Sources = append(out.Sources, TLSSource{Organization: s.Organization, Policy: s.Policy, Result: s.Result, Host: s.Host, Reason: s.Reason,
			Sessions: s.Sessions, Failed: s.Failed, Since: s.Since, Last: s.Last, Advice: s.Advice(domain)})
	}
	return out, err
}

func (h *Handler) sentReports(r *http.Request) (any, error) {
	domain, since, err := reportQuery(r.URL.Query())
	if err != nil {
		return nil, err
	}
	limit := MaxPage
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > MaxPage {
			return nil, mail.Errorf(mail.Invalid, "limit must be from 1 to %d", MaxPage)
		}
		limit = n
	}
	list, err := h.Reports.SentReports(r.Context(), domain, since, limit)
	if err != nil {
		return nil, err
	}
	page := Page[SentReport]{Items: []SentReport{}}
	for _, s := range list {
		page.Items = append(page.Items, SentReport{Kind: string(s.Kind), Day: s.Day.Format(time.DateOnly), Domain: string(s.Domain), Messages: s.Messages, Due: s.Due, Outcome: s.Outcome})
	}
	return page, nil
}

// DMARCReports asks what others reported since then, of one domain or, if it is "",
// of all. With names the DNS is asked for those of sources.
func (c *Client) DMARCReports(ctx context.Context, domain string, since time.Time, names bool) (out DMARC, err error) {
	q := url.Values{"domain": {domain}, "since": {since.Format(time.RFC3339)}}
	if !names {
		q.Set("names", "no")
	}
	err = c.call(ctx, http.MethodGet, "/v1/reports/dmarc?"+q.Encode(), nil, &out)
	return out, err
}

// TLSReports asks what others reported of TLS since then, of one domain or, if it is "", of
// all.
func (c *Client) TLSReports(ctx context.Context, domain string, since time.Time) (out TLSReports, err error) {
	q := url.Values{"domain": {domain}, "since": {since.Format(time.RFC3339)}}
	err = c.call(ctx, http.MethodGet, "/v1/reports/tls?"+q.Encode(), nil, &out)
	return out, err
}

// SentReports asks what was reported to others, the last day first.
func (c *Client) SentReports(ctx context.Context, domain string, since time.Time) ([]SentReport, error) {
	q := url.Values{"domain": {domain}, "since": {since.Format(time.RFC3339)}}
	var page Page[SentReport]
	err := c.call(ctx, http.MethodGet, "/v1/reports/sent?"+q.Encode(), nil, &page)
	return page.Items, err
}
