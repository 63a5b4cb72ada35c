package sasl

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/xdg-go/scram"
)

// Binding is the channel binding data of a TLS connection, by type; nil where
// the connection has none of that type. The zero Binding means no TLS.
type Binding struct {
	Exporter []byte // tls-exporter (RFC 9266)
	Unique   []byte // tls-unique (RFC 5929 §3); TLS 1.2 only
	EndPoint []byte // tls-server-end-point (RFC 5929 §4)
}

// TLSBinding returns what the TLS connection st can be bound to. cert is the
// certificate that this server sent in it, or nil if that is not known, and
// then there is no tls-server-end-point.
//
// crypto/tls gives out keying material and tls-unique only where the master
// secret is unique (TLS 1.3, or RFC 7627), as RFC 9266 §4.2 and RFC 7677 §4
// demand, and has no renegotiation in servers.
func TLSBinding(st *tls.ConnectionState, cert *x509.Certificate) Binding {
	var b Binding
	if cb, err := scram.NewTLSExporterBinding(st); err == nil {
		b.Exporter = cb.Data
	}
	if st.Version < tls.VersionTLS13 {
		b.Unique = st.TLSUnique // Asked for by RFC 5802 §6.1.
	}
	if cert != nil {
		peer := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
		if cb, err := scram.NewTLSServerEndpointBinding(peer); err == nil {
			b.EndPoint = cb.Data
		}
	}
	return b
}

// IsZero reports whether there is nothing to bind to.
func (b Binding) IsZero() bool {
	return len(b.Exporter) == 0 && len(b.Unique) == 0 && len(b.EndPoint) == 0
}

// choose returns the binding of the type that the client asks for. If there is
// none it returns another, so that the conversation sees what is supported and
// refuses; with nothing at all, the zero value.
func (b Binding) choose(want scram.ChannelBindingType) scram.ChannelBinding {
	var any scram.ChannelBinding
	for _, cb := range []scram.ChannelBinding{
		{Type: scram.ChannelBindingTLSExporter, Data: b.Exporter},
		{Type: scram.ChannelBindingTLSUnique, Data: b.Unique},
		{Type: scram.ChannelBindingTLSServerEndpoint, Data: b.EndPoint},
	} {
		if !cb.IsSupported() {
			continue
		}
		if any = cb; cb.Type == want {
			return cb
		}
	}
	return any
}
