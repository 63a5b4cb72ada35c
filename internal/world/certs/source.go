package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/acme"
)

// Source has certificates that are in no files. engine/certificates has those that an
// authority made.
type Source interface {
	// Certificate is the one for a server name; "" is for clients that name none. nil if
	// there is none. It is called in each handshake.
	Certificate(name string) *tls.Certificate
	All() []*tls.Certificate
	// Handshake is the key authorization that an authority wants to be shown for a name in a
	// handshake (tls-alpn-01, RFC 8737). NotFound.
	Handshake(ctx context.Context, name string) (keyAuthorization string, err error)
}

// proofTime bounds finding what is to be shown to an authority.
const proofTime = 5 * time.Second

// Proof is the GetConfigForClient of a server: of a client that wants to see a proof that a
// name is ours, and nothing else (RFC 8737 §3), it shows that. Any other client goes on as
// usual.
func (c *Certs) Proof(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if c.source == nil || !slices.Equal(hello.SupportedProtos, []string{acme.ALPN}) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(hello.Context(), proofTime)
	defer cancel()
	text, err := c.source.Handshake(ctx, hello.ServerName)
	if err != nil {
		if mail.KindOf(err) == mail.NotFound {
			err = errors.New("a certificate authority looks for a proof that nobody asked it to look for")
		}
		return nil, err
	}
	cert, err := acme.Shown(hello.ServerName, text, c.now())
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}, NextProtos: []string{acme.ALPN},
		SessionTicketsDisabled: true}, nil
}

// Label is what a certificate is called among those in use: its file, or the first name that
// it is for.
func (i Info) Label() string {
	if i.Files.Cert != "" || len(i.Names) == 0 {
		return i.Files.Cert
	}
	return i.Names[0]
}
