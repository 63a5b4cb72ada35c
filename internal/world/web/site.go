package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"yubin/internal/mail"
)

// maxPlace is how long a URL is that is asked, in octets.
const maxPlace = 2048

// Dial connects to a host and port by one of the host's addresses, of those that are
// allowed; nil allows all.
type Dial func(ctx context.Context, network, address string, allowed func(netip.Addr) bool) (net.Conn, error)

// SiteOptions say what a Site is made of. URL must be given.
type SiteOptions struct {
	URL   string         // as the administrator wrote it: https
	Roots *x509.CertPool // nil: the system's
	Agent string         // what we call ourselves
	Dial  Dial           // nil: by the system's resolver
}

// Site is a service that an administrator named by a URL, with the places that the service
// itself names: by HTTPS, with a certificate for the host's name. What the service names on
// another host is connected to at public addresses alone, unless the service's own is none:
// it must not lead us to what is behind our walls. No redirect is followed, nothing cached, no
// proxy used. Safe for concurrent use.
type Site struct {
	agent  string
	own    string // host:port of the service
	dial   Dial
	within atomic.Bool // the service's own address is no public one
	client http.Client
}

// NewSite returns a Site. It connects to nobody. The error is Invalid.
func NewSite(o SiteOptions) (*Site, error) {
	u, err := ParsePlace(o.URL)
	if err != nil {
		return nil, err
	}
	s := &Site{agent: o.Agent, own: hostPort(u), dial: o.Dial}
	if s.dial == nil {
		s.dial = dialAllowed
	}
	s.client = http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            s.connect,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialPeriod,
			MaxIdleConnsPerHost:    idleConns,
			IdleConnTimeout:        idleTime,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // Or a few octets could become many.
		},
	}
	return s, nil
}

// ParsePlace reads a URL that is spoken to by HTTPS. The error is Invalid.
func ParsePlace(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxPlace || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, mail.Errorf(mail.Invalid, "%.100q is no place that is spoken to by HTTPS", text)
	}
	return u, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// Get gets a place, at most so many octets. The errors are those of Post.
func (s *Site) Get(ctx context.Context, place string, most int64) ([]byte, error) {
	return s.ask(ctx, http.MethodGet, place, nil, "", "", most)
}

// PostForm sends a form to a place, as somebody with a password (RFC 7617), and returns the
// answer, at most so many octets. It takes as long as ctx lets it. The errors say what
// happened, in words for an administrator, and are Unavailable, TooLarge, Invalid for what is
// no place, or, with ErrCertificate, Forbidden.
func (s *Site) PostForm(ctx context.Context, place string, form url.Values, user, password string, most int64) ([]byte, error) {
	return s.ask(ctx, http.MethodPost, place, []byte(form.Encode()), user, password, most)
}

func (s *Site) ask(ctx context.Context, method, place string, body []byte, user, password string, most int64) ([]byte, error) {
	u, err := ParsePlace(place)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, mail.Errorf(mail.Invalid, "%.100q is no place in the web", place)
	}
	r.Header.Set("User-Agent", s.agent)
	r.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, whyNot(ctx, mail.Domain(u.Host), err)
	}
	defer func() { _ = answer.Body.Close() }()
	octets, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	switch {
	case err != nil:
		return nil, whyNot(ctx, mail.Domain(u.Host), err)
	case answer.StatusCode != http.StatusOK:
		return nil, mail.Errorf(mail.Unavailable, "%.200s answers %s", u.Host+u.Path, strconv.Itoa(answer.StatusCode)+" "+http.StatusText(answer.StatusCode))
	case int64(len(octets)) > most:
		return nil, mail.Errorf(mail.TooLarge, "%.200s answers more than %d octets", u.Host+u.Path, most)
	}
	return octets, nil
}

// connect dials for the client.
func (s *Site) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.EqualFold(address, s.own) {
		if s.within.Load() {
			return s.dial(ctx, network, address, nil)
		}
		return s.dial(ctx, network, address, IsPublic)
	}
	conn, err := s.dial(ctx, network, address, nil)
	if err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		s.within.Store(!IsPublic(a.Addr()))
	}
	return conn, nil
}

// Close closes connections that wait for the next question.
func (s *Site) Close() { s.client.CloseIdleConnections() }

// dialAllowed is Dial by the system's resolver.
func dialAllowed(ctx context.Context, network, address string, allowed func(netip.Addr) bool) (net.Conn, error) {
	d := net.Dialer{Timeout: dialPeriod, ControlContext: func(_ context.Context, _, to string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(to)
		if err == nil && allowed != nil && !allowed(a.Addr()) {
			err = mail.Errorf(mail.Unavailable, "%.200s is at %s, which is not connected to: only the service that the configuration names may be there", address, a.Addr())
		}
		return err
	}}
	return d.DialContext(ctx, network, address)
}
