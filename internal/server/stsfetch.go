package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"

	"yubin/internal/dns"
	"yubin/internal/engine/zone"
	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
)

// Policy implements zone.Hosts: it fetches the policy of a domain as others do (RFC 8461
// §3.3). The error says what is wrong for people.
func (e strangersEyes) Policy(ctx context.Context, names zone.Names, d mail.Domain) (p mtasts.Policy, err error) {
	host, err := mtasts.HostName(d)
	if err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+string(host)+mtasts.Path, nil)
	if err != nil {
		return p, err
	}
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, address string) (net.Conn, error) { return dialNamed(ctx, names, address) },
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, MaxResponseHeaderBytes: maxWebHeader, ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return p, fetchFault(err)
	}
	defer resp.Body.Close()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || kind != mtasts.MediaType {
		return p, fmt.Errorf("the answer is of status %d and type %.40q; it must be 200 and %s", resp.StatusCode, kind, mtasts.MediaType)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, mtasts.MaxSize+1))
	if err != nil {
		return p, errors.New("the answer was cut short")
	}
	return mtasts.Parse(text)
}

// dialNamed connects to a host whose addresses names knows, one after the other.
func dialNamed(ctx context.Context, names zone.Names, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n, err := dns.ParseName(host)
	if err != nil {
		return nil, err
	}
	v4, err4 := names.A(ctx, n)
	v6, err6 := names.AAAA(ctx, n)
	found, err := dns.MergeAddresses(v6, err6, v4, err4)
	if err != nil {
		return nil, err
	}
	for _, a := range found.Records[:min(len(found.Records), zone.MaxHosts)] {
		var conn net.Conn
		if conn, err = (&net.Dialer{Timeout: lookTime / 3}).DialContext(ctx, "tcp", net.JoinHostPort(netip.Addr.String(a), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// fetchFault is why there is no answer, for people.
func fetchFault(err error) error {
	var name *dns.Error
	var cert *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &name):
		return errors.New("its host: " + name.Failure.String())
	case errors.As(err, &cert):
		return fmt.Errorf("its host shows a certificate that nobody believes: %w", cert.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("its host does not answer in " + lookTime.String())
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("its host cannot be reached: %w", op.Err)
	}
	return errors.New("its host gives no answer that can be read")
}
