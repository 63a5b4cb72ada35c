package smtpc

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/netx"
)

// startTLS brings the connection to what the policy asks for. With TLS that is
// only wished for, a host that says no is spoken to in clear; a handshake that
// failed leaves nothing to speak on.
func (c *Client) startTLS() (mail.Answer, bool) {
	policy := c.opening.TLS
	if _, on := c.conn.TLS(); on || policy == mail.TLSNone {
		return mail.Answer{}, true
	}
	if !c.offers.has(extStartTLS) {
		if policy == mail.TLSOpportunistic {
			return mail.Answer{}, true
		}
		return c.fail(mail.PhaseTLS, &trouble{kind: mail.Lacking, code: "5.7.10", text: "the host does not offer STARTTLS"}), false
	}
	r, err := c.ask(smtp.StartTLS{}, HandshakeTimeout)
	if fault, ok := c.wants2xx(mail.PhaseTLS, r, err); !ok {
		return fault, err == nil && policy == mail.TLSOpportunistic && !c.broken
	}
	if fault, ok := c.handshake(); !ok {
		return fault, false
	}
	return c.hello() // All that was said before is void (RFC 3207 §4.2).
}

// handshake starts TLS on the connection.
func (c *Client) handshake() (mail.Answer, bool) {
	c.bound(HandshakeTimeout)
	if err := c.conn.HandshakeClient(c.ctx, c.tlsConfig()); err != nil {
		return c.fail(mail.PhaseTLS, explainTLS(err)), false
	}
	return mail.Answer{}, true
}

// tlsConfig checks certificates itself: whether one is good is always of
// interest, but only TLSVerified insists.
func (c *Client) tlsConfig() *tls.Config {
	cfg := &tls.Config{}
	if c.cfg.TLS != nil {
		cfg = c.cfg.TLS.Clone()
	}
	cfg.ServerName = cmp.Or(c.opening.ServerName, c.opening.Host)
	cfg.InsecureSkipVerify = true
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	cfg.VerifyConnection = func(st tls.ConnectionState) error {
		c.fault = c.verify(st, cfg.RootCAs)
		c.verified = c.fault == mail.CertGood
		switch {
		case c.verified || c.opening.TLS != mail.TLSVerified:
			return nil
		case c.fault == mail.CertMissing:
			return &trouble{kind: mail.Unverified, text: "the host shows no certificate"}
		}
		return &trouble{kind: mail.Unverified, text: "the certificate of the host is not to be trusted: " + c.fault.String()}
	}
	return cfg
}

func (c *Client) verify(st tls.ConnectionState, roots *x509.CertPool) mail.CertFault {
	switch {
	case len(st.PeerCertificates) == 0:
		return mail.CertMissing
	case c.opening.Trust != nil:
		return c.opening.Trust.Verify(st.PeerCertificates, c.cfg.Now())
	}
	o := x509.VerifyOptions{Roots: roots, DNSName: c.opening.Host, Intermediates: x509.NewCertPool()}
	for _, cert := range st.PeerCertificates[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err := st.PeerCertificates[0].Verify(o)
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case err == nil:
		return mail.CertGood
	case errors.As(err, &name):
		return mail.CertName
	case errors.As(err, &unknown):
		return mail.CertUnknown
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return mail.CertExpired
	}
	return mail.CertInvalid
}

// explainTLS makes a trouble of what went wrong in a handshake.
func explainTLS(err error) error {
	var (
		t      *trouble
		alert  tls.AlertError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &t), errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.Is(err, netx.ErrEarlyInput):
		return &trouble{kind: mail.Handshake, text: "the host went on in clear after it agreed to TLS"}
	case errors.As(err, &alert):
		return &trouble{kind: mail.Handshake, text: "the host ended the TLS handshake: " + alert.Error()}
	case errors.As(err, &record):
		return &trouble{kind: mail.Handshake, text: "what the host sent is no TLS"}
	}
	return &trouble{kind: mail.Handshake, text: "the TLS handshake failed"}
}
