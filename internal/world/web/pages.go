package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// ErrCertificate is the cause (errors.Is) of what Pages cannot get because nothing shows
// that the server is the one that was asked for.
var ErrCertificate = errors.New("web: the certificate is not to be trusted")

// addressTime is how long one address of a host is tried, if it has others.
const addressTime = 5 * time.Second

// PagesOptions say what Pages are made of. All are needed but Roots, AnyCertificate and
// Port.
type PagesOptions struct {
	Resolver interface {
		Addresses(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
	}
	// Allowed says which addresses may be connected to: strangers name the hosts.
	Allowed func(netip.Addr) bool
	Roots   *x509.CertPool // nil: the system's
	// AnyCertificate takes every certificate: for what is no secret, and is to arrive.
	AnyCertificate bool
	Port           uint16 // 0 is 443
	Agent          string // what we call ourselves
}

// Pages gets pages of hosts that strangers name, by HTTPS, and hands things to them. The
// certificate must be valid for the host's name (RFC 9525) unless any will do; no redirect
// is followed, nothing cached, no proxy used.
// Safe for concurrent use.
type Pages struct {
	o      PagesOptions
	client http.Client
}

// Page is what a host answered with 200.
type Page struct {
	Type string // the media type in lower case, without parameters; "" if none was told
	Body []byte
}

// NewPages returns Pages. It connects to nobody.
func NewPages(o PagesOptions) *Pages {
	p := &Pages{o: o}
	p.client = http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            p.dial,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.AnyCertificate},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
	}
	return p
}

// Get gets a path of a host, at most so many octets. It takes as long as ctx lets it. The
// errors say what happened, in words for an administrator, and are Unavailable, TooLarge
// or, with ErrCertificate, Forbidden.
func (p *Pages) Get(ctx context.Context, host mail.Domain, path string, most int64) (Page, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+string(host)+path, nil)
	if err != nil {
		return Page{}, mail.Errorf(mail.Invalid, "%s%s is no place in the web", host, path)
	}
	r.Header.Set("User-Agent", p.o.Agent)
	answer, err := p.client.Do(r)
	if err != nil {
		return Page{}, whyNot(ctx, host, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return Page{}, mail.Errorf(mail.Unavailable, "%s answers %s", host, strconv.Itoa(answer.StatusCode)+" "+http.StatusText(answer.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	switch {
	case err != nil:
		return Page{}, whyNot(ctx, host, err)
	case int64(len(body)) > most:
		return Page{}, mail.Errorf(mail.TooLarge, "%s answers more than %d octets", host, most)
	}
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		kind = ""
	}
	return Page{Type: kind, Body: body}, nil
}

// whyNot says in words why a page could not be got.
func whyNot(ctx context.Context, host mail.Domain, err error) error {
	var (
		own     *mail.Error
		untrust *tls.CertificateVerificationError
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		failed  net.Error
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &untrust):
		why := "it is not valid"
		switch {
		case errors.As(err, &name):
			why = "it is for another name"
		case errors.As(err, &unknown):
			why = "nobody whom we trust has signed it"
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			why = "it is not valid at this time"
		}
		return &mail.Error{Kind: mail.Forbidden, Text: "the certificate of " + string(host) + " is not to be trusted: " + why, Err: ErrCertificate}
	case ctx.Err() != nil, errors.As(err, &failed) && failed.Timeout():
		return &mail.Error{Kind: mail.Unavailable, Text: string(host) + " does not answer in time", Err: err}
	}
	return &mail.Error{Kind: mail.Unavailable, Text: string(host) + " could not be asked", Err: err}
}

// dial connects to the first address of a host that answers.
func (p *Pages) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	name, err := dns.ParseName(host)
	if err != nil {
		return nil, err
	}
	a, err := p.o.Resolver.Addresses(ctx, name)
	if err != nil {
		return nil, mail.Errorf(mail.Unavailable, "the address of %s could not be looked up: %s", host, dns.FailureOf(err))
	}
	port := p.o.Port
	if port == 0 {
		port = 443
	}
	failed := error(mail.Errorf(mail.Unavailable, "%s has no address that is connected to from here", host))
	dialer := net.Dialer{Timeout: addressTime}
	for _, addr := range a.Records {
		if !p.o.Allowed(addr.Unmap()) {
			continue
		}
		conn, err := dialer.DialContext(ctx, network, netip.AddrPortFrom(addr.Unmap(), port).String())
		if err == nil {
			return conn, nil
		}
		failed = mail.Errorf(mail.Unavailable, "%s cannot be connected to: %w", host, reason(err))
	}
	return nil, failed
}

// reason is what the system says of a connection that could not be made.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
