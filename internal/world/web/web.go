// Package web asks services that an administrator named, by HTTP (Service), and gets pages
// of hosts that strangers name, and hands them things, by HTTPS (Pages): no redirects are
// followed, no proxy of the environment is used, and what is read of an answer is bounded.
package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"yubin/internal/mail"
)

// Limits.
const (
	MaxAnswer  = 1 << 20 // octets of an answer
	maxHeader  = 64 << 10
	idleConns  = 8 // to one service
	idleTime   = 30 * time.Second
	dialPeriod = 10 * time.Second
)

// Service is one service. Safe for concurrent use.
type Service struct {
	client http.Client
	base   string
}

// NewService returns the service at an address: "host:port", or the path of a socket, that
// begins with "/". It connects to nobody.
func NewService(address string) *Service {
	s := &Service{base: "http://" + address}
	dialer := &net.Dialer{Timeout: dialPeriod}
	network := "tcp"
	if address[:1] == "/" {
		s.base, network = "http://localhost", "unix"
	}
	s.client = http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			MaxIdleConnsPerHost:    idleConns,
			IdleConnTimeout:        idleTime,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
		},
	}
	return s
}

// Post sends size octets of body to a path with some fields, and returns the answer. Anything but
// 200 is an error of kind mail.Unavailable.
func (s *Service) Post(ctx context.Context, path string, fields map[string][]string, body io.Reader, size int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, io.NopCloser(body))
	if err != nil {
		return nil, err
	}
	r.ContentLength = size
	for name, values := range fields {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	octets, err := io.ReadAll(io.LimitReader(answer.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode != http.StatusOK:
		return nil, mail.Errorf(mail.Unavailable, "the service answers %s", answer.Status)
	case len(octets) > MaxAnswer:
		return nil, mail.Errorf(mail.TooLarge, "the service answers more than %d octets", MaxAnswer)
	}
	return octets, nil
}

// Close closes connections that wait for the next question.
func (s *Service) Close() { s.client.CloseIdleConnections() }
