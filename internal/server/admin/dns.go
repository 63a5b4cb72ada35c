package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/zone"
	"yubin/internal/mail"
)

// Zone knows what domains should have in the DNS.
type Zone interface {
	Wanted(context.Context, mail.Domain) (zone.Wanted, error)
	Check(ctx context.Context, d mail.Domain, server string) (zone.Checked, error)
	Publish(context.Context, mail.Domain, zone.How) ([]zone.Change, error)
}

// DNSRecord is a record that a domain should have. Value is what it holds as zone files
// have it, but of TXT the text itself, in one piece.
type DNSRecord struct {
	Name  dns.Name `json:"name"` // without the dot at the end
	Type  dns.Type `json:"type"`
	TTL   int      `json:"ttl"` // in seconds
	Value string   `json:"value"`
	Kind  string   `json:"kind,omitempty"`
	Title string   `json:"title,omitempty"` // the kind for people
	Need  string   `json:"need,omitempty"`  // needed, recommended or optional
	Why   string   `json:"why,omitempty"`   // what it is for: "says which server takes mail"
	Note  string   `json:"note,omitempty"`
}

// DNSWanted is what a domain should have in the DNS.
type DNSWanted struct {
	Domain    string      `json:"domain"`
	AliasOf   string      `json:"alias_of,omitempty"`
	Host      string      `json:"host"`
	Addresses []string    `json:"addresses"`
	Records   []DNSRecord `json:"records"`
	Notes     []string    `json:"notes,omitempty"` // what is left out and why
}

// DNSFinding is what was found of one name and type, or of something else that mail stands
// on.
type DNSFinding struct {
	Kind    string      `json:"kind"`
	Title   string      `json:"title"`
	Name    dns.Name    `json:"name"`
	Type    dns.Type    `json:"type"`
	Need    string      `json:"need"`
	State   string      `json:"state"` // right, missing, wrong or unknown
	There   []string    `json:"there,omitempty"`
	Write   []DNSRecord `json:"write,omitempty"`
	Fault   string      `json:"fault,omitempty"`
	Advice  string      `json:"advice,omitempty"`
	Why     string      `json:"why"`
	Servers []DNSSaid   `json:"servers,omitempty"` // where name servers differ
}

// DNSSaid is what a name server says.
type DNSSaid struct {
	Server  string   `json:"server"`
	Records []string `json:"records"`
}

// DNSChecked is what there is of what a domain should have.
type DNSChecked struct {
	Domain   string       `json:"domain"`
	Host     string       `json:"host"`
	OK       bool         `json:"ok"` // all that is needed is right
	Findings []DNSFinding `json:"findings"`
	Notes    []string     `json:"notes,omitempty"`
}

// DNSPublish says how to publish.
type DNSPublish struct {
	Replace bool `json:"replace,omitempty"`
	DryRun  bool `json:"dry_run,omitempty"`
}

// DNSChange is what publishing did with a record.
type DNSChange struct {
	Action string `json:"action"` // add, remove, stays, left or elsewhere
	DNSRecord
	Reason string `json:"reason,omitempty"`
}

func dnsRecord(r dns.ZoneRecord, k zone.Kind) DNSRecord {
	return DNSRecord{Name: r.Name, Type: r.Type, TTL: int(r.TTL / time.Second), Value: r.Value, Kind: k.String(), Title: k.Title(), Why: k.Why()}
}

// Record is the record as it is written into a zone.
func (r DNSRecord) Record() dns.ZoneRecord {
	return dns.ZoneRecord{Name: r.Name, Type: r.Type, TTL: time.Duration(r.TTL) * time.Second, Value: r.Value}
}

// dnsRoutes are the requests about the records of domains.
func (h *Handler) dnsRoutes() map[string]func(*http.Request) (any, error) {
	if h.Zone == nil {
		return nil
	}
	return map[string]func(*http.Request) (any, error){
		"GET /v1/dns/{domain}":          h.dnsWanted,
		"GET /v1/dns/{domain}/check":    h.dnsCheck,
		"POST /v1/dns/{domain}/publish": h.dnsPublish,
	}
}

func (h *Handler) dnsWanted(r *http.Request) (any, error) {
	d, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	w, err := h.Zone.Wanted(r.Context(), d)
	if err != nil {
		return nil, err
	}
	out := DNSWanted{Domain: string(w.Domain), AliasOf: string(w.AliasOf), Host: string(w.Host), Addresses: []string{}, Records: []DNSRecord{}, Notes: w.Notes}
	for _, a := range w.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	for _, rec := range w.Records {
		one := dnsRecord(rec.ZoneRecord, rec.Kind)
		one.Need, one.Note = rec.Need.String(), rec.Note
		out.Records = append(out.Records, one)
	}
	return out, nil
}

func (h *Handler) dnsCheck(r *http.Request) (any, error) {
	d, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	c, err := h.Zone.Check(r.Context(), d, r.URL.Query().Get("resolver"))
	if err != nil {
		return nil, err
	}
	out := DNSChecked{Domain: string(c.Domain), Host: string(c.Host), OK: c.OK(), Findings: []DNSFinding{}, Notes: c.Notes}
	for _, f := range c.Findings {
		one := DNSFinding{Kind: f.Kind.String(), Title: f.Kind.Title(), Name: f.Name, Type: f.Type, Need: f.Need.String(), State: f.State.String(),
			There: f.There, Fault: f.Fault, Advice: f.Advice, Why: f.Kind.Why()}
		for _, w := range f.Want {
			one.Write = append(one.Write, DNSRecord{Name: w.Name, Type: w.Type, TTL: int(w.TTL / time.Second), Value: w.Value})
		}
		for _, s := range f.Servers {
			one.Servers = append(one.Servers, DNSSaid{s.Server, append([]string{}, s.Records...)})
		}
		out.Findings = append(out.Findings, one)
	}
	return out, nil
}

func (h *Handler) dnsPublish(r *http.Request) (any, error) {
	d, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	in, err := body[DNSPublish](r)
	if err != nil {
		return nil, err
	}
	changes, err := h.Zone.Publish(r.Context(), d, zone.How{Replace: in.Replace, DryRun: in.DryRun})
	page := Page[DNSChange]{Items: []DNSChange{}}
	for _, c := range changes {
		one := DNSChange{Action: c.Action.String(), DNSRecord: dnsRecord(c.Record, c.Kind), Reason: c.Why}
		one.Why = ""
		page.Items = append(page.Items, one)
	}
	return page, err
}

// DNSRecords says which records a domain should have.
func (c *Client) DNSRecords(ctx context.Context, domain string) (w DNSWanted, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/dns/"+url.PathEscape(domain), nil, &w)
	return w, err
}

// CheckDNS compares them with what there is; resolver is the name server to ask, "" for
// that of the server.
func (c *Client) CheckDNS(ctx context.Context, domain, resolver string) (out DNSChecked, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/dns/"+url.PathEscape(domain)+"/check?"+url.Values{"resolver": {resolver}}.Encode(), nil, &out)
	return out, err
}

// PublishDNS puts them into the zones that take updates.
func (c *Client) PublishDNS(ctx context.Context, domain string, in DNSPublish) ([]DNSChange, error) {
	var page Page[DNSChange]
	err := c.call(ctx, http.MethodPost, "/v1/dns/"+url.PathEscape(domain)+"/publish", in, &page)
	return page.Items, err
}
