// Package clientconf answers clients that set themselves up: Thunderbird's autoconfig,
// Microsoft's Autodiscover (POX), Apple's profiles, and a page for people. All of it is
// made of clients.Settings.
//
// Nothing here knows an account: an answer depends on the domain of an address only, and
// says what clients would find out by themselves if they tried the usual ports. A password
// is neither taken nor written anywhere.
package clientconf

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
)

// Settings says what clients are to use.
type Settings interface {
	Settings(context.Context, mail.Domain) (clients.Settings, error)
	IsLocal(context.Context, mail.Domain) (bool, error)
}

// Config is what Handlers are made of.
type Config struct {
	Settings Settings
	Hostname mail.Domain
	// Certificate is what profiles are signed with.
	Certificate func() (*tls.Certificate, error)
	Now         func() time.Time
}

// Handlers answer. Each is for one path.
type Handlers struct {
	c     Config
	pages pages
}

// New returns handlers.
func New(c Config) *Handlers { return &Handlers{c, newPages()} }

// Names of hosts before a domain, by which clients look for it.
const (
	AutoconfigHost   = "autoconfig."
	AutodiscoverHost = "autodiscover."
)

// Paths of what is served.
const (
	AutoconfigPath      = "/mail/config-v1.1.xml" // at AutoconfigHost
	AutoconfigWellKnown = "/.well-known/autoconfig/mail/config-v1.1.xml"
	AutodiscoverPath    = "/autodiscover/autodiscover.xml" // in any case
	SetupPath           = "/setup"
	ProfilePath         = "/setup/mail.mobileconfig"
)

// Hosts says for which names something is served: our own and those of domains here, and
// such of domains here with one of prefixes before them.
func (h *Handlers) Hosts(prefixes ...string) func(context.Context, mail.Domain) bool {
	return func(ctx context.Context, host mail.Domain) bool {
		if host == h.c.Hostname || h.local(ctx, host) {
			return true
		}
		for _, p := range prefixes {
			if domain, is := strings.CutPrefix(string(host), p); is && h.local(ctx, mail.Domain(domain)) {
				return true
			}
		}
		return false
	}
}

// local reports whether a domain is known to be here.
func (h *Handlers) local(ctx context.Context, d mail.Domain) bool {
	local, err := h.c.Settings.IsLocal(ctx, d)
	return err == nil && local
}

// question is whom somebody asks for.
type question struct {
	address mail.Address // zero if only a domain is named
	domain  mail.Domain  // "" if not even that
}

// asked is what the URL of r says: an address, or by its host a domain.
func (h *Handlers) asked(r *http.Request) (question, error) {
	query := r.URL.Query()
	for _, key := range []string{"emailaddress", "address", "email"} {
		if text := strings.TrimSpace(query.Get(key)); text != "" {
			return about(text)
		}
	}
	host := strings.ToLower(strings.TrimSuffix((&url.URL{Host: r.Host}).Hostname(), "."))
	for _, p := range []string{AutoconfigHost, AutodiscoverHost, ""} {
		name, is := strings.CutPrefix(host, p)
		if d, err := mail.ParseDomain(name); is && err == nil && h.local(r.Context(), d) {
			return question{domain: d}, nil
		}
	}
	return question{}, nil
}

// about is the question for an address that somebody wrote.
func about(text string) (question, error) {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Domain.IsLiteral() {
		return question{}, mail.Errorf(mail.Invalid, "%s is not an address like alice@example.org", shown(text))
	}
	return question{a, a.Domain}, nil
}

// maxShown is how much is repeated of what somebody wrote.
const maxShown = 100

func shown(text string) string {
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return text
}

// settings answers a question.
func (h *Handlers) settings(ctx context.Context, q question) (clients.Settings, error) {
	return h.c.Settings.Settings(ctx, q.domain)
}

// status is the one table from kinds of failure to HTTP.
func status(err error) int {
	switch mail.KindOf(err) {
	case mail.Invalid:
		return http.StatusBadRequest
	case mail.NotFound:
		return http.StatusNotFound
	case mail.TooLarge:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusServiceUnavailable
}

// fail answers with a failure, for programs.
func fail(w http.ResponseWriter, err error) {
	text := err.Error()
	code := status(err)
	if code == http.StatusServiceUnavailable {
		text = "try again later"
	}
	http.Error(w, text, code)
}

// body reads the body of a request, which is bounded by whoever serves it.
func body(r *http.Request) ([]byte, error) {
	octets, err := io.ReadAll(r.Body)
	if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
		return nil, mail.Errorf(mail.TooLarge, "the request has more than %d octets", over.Limit)
	}
	if err != nil {
		return nil, &mail.Error{Kind: mail.Unavailable, Text: "the request did not come whole", Err: err}
	}
	return octets, nil
}
