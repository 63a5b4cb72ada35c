// Package certs keeps the certificates that yubin shows: read from files and
// read again when they change, those of a Source (ordered from a certificate
// authority), chosen by server name, or self-signed when there are none yet.
//
// A renewed certificate needs no reload: at most every checkEvery a handshake, or who
// watches the server (Faults), looks at the size and time of the files. A pair that does not load (half
// written, key and certificate from different renewals) is logged once and the
// old one stays in use.
//
// It does not check that the certificates are trusted or fit the host's names,
// and does not order them: engine/certificates does.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// checkEvery is how often the files are looked at.
const checkEvery = 3 * time.Second

// Files names the PEM files of one certificate: the chain, leaf first, and its
// key. They may be the same file.
type Files struct{ Cert, Key string }

// Options of Open.
type Options struct {
	Files   []Files // the first is for clients that name no server, or one that none fits
	Source  Source  // looked into where none of Files fits; nil for none
	Reserve Files   // shown where neither has one; zero for none
	Now     func() time.Time
	Log     *slog.Logger
}

// Info describes one certificate in use.
type Info struct {
	Files     Files    // zero of one of a Source
	Names     []string // DNS names and IP addresses it is for
	NotBefore time.Time
	NotAfter  time.Time
	leaf      *x509.Certificate
}

// Certs is a set of certificates. Safe for concurrent use.
type Certs struct {
	now     func() time.Time
	log     *slog.Logger
	pairs   []*pair
	reserve *pair  // nil for none
	source  Source // nil for none

	mu      sync.Mutex // held while files are looked at and read
	checked time.Time
}

// Open loads the certificates. The error tells all the faults, each with the
// file and what to do.
func Open(o Options) (*Certs, error) {
	if len(o.Files) == 0 && o.Reserve == (Files{}) {
		return nil, errors.New("no certificate is configured")
	}
	c := &Certs{now: o.Now, log: o.Log, source: o.Source, checked: o.Now()}
	var errs []error
	for _, f := range o.Files {
		p := &pair{files: f}
		errs = append(errs, p.load())
		c.pairs = append(c.pairs, p)
	}
	if o.Reserve != (Files{}) {
		c.reserve = &pair{files: o.Reserve}
		errs = append(errs, c.reserve.load())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload looks at the files now, and reads those that changed. The error tells
// what does not load; the old certificates stay in use then.
func (c *Certs) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.look(func(error) {})
}

// Fault is a pair of files that do not load as they are now; the old certificate stays in
// use.
type Fault struct {
	Files Files
	Err   error
}

// Faults looks at the files if that is due, as a handshake does, and tells of those that do
// not load.
func (c *Certs) Faults() (list []Fault) {
	c.refresh()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.files() {
		if p.fault != nil {
			list = append(list, Fault{p.files, p.fault})
		}
	}
	return list
}

// refresh is Reload if that is due. Handshakes do not wait for one another here.
func (c *Certs) refresh() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if c.now().Sub(c.checked) < checkEvery {
		return
	}
	_ = c.look(func(err error) {
		c.log.Error("a changed certificate does not load; the old one stays in use", obs.Err(err))
	})
}

// look reads what changed. New faults go to fresh; all that stand are returned.
func (c *Certs) look(fresh func(error)) error {
	c.checked = c.now()
	var errs []error
	for _, p := range c.files() {
		news, err := p.reload()
		errs = append(errs, err)
		switch {
		case news && err != nil:
			fresh(err)
		case news:
			l := p.current()
			c.log.Info("certificate read again", obs.KeyFile, p.files.Cert, "names", l.names, "not_after", l.cert.Leaf.NotAfter)
		}
	}
	return errors.Join(errs...)
}

// files are all pairs.
func (c *Certs) files() []*pair {
	if c.reserve == nil {
		return c.pairs
	}
	return append(slices.Clone(c.pairs), c.reserve)
}

// GetCertificate is for tls.Config: the first certificate of the files that fits
// the name and the algorithms of the client, else the first that fits its name,
// else that of the source for the name; where there is none, the first of the
// files, the source's own, the reserve.
func (c *Certs) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.refresh()
	cert := c.choose(hello)
	if ctx := hello.Context(); ctx != nil {
		netx.NoteCertificate(ctx, cert)
	}
	return cert, nil
}

func (c *Certs) choose(hello *tls.ClientHelloInfo) *tls.Certificate {
	var fits *tls.Certificate
	for _, p := range c.pairs {
		l := p.current()
		if hello.ServerName == "" || l.cert.Leaf.VerifyHostname(hello.ServerName) == nil {
			if hello.SupportsCertificate(l.cert) == nil {
				return l.cert
			}
			if fits == nil {
				fits = l.cert
			}
		}
	}
	if fits != nil {
		return fits
	}
	if c.source != nil {
		if cert := c.source.Certificate(hello.ServerName); cert != nil {
			return cert
		}
	}
	return c.first()
}

// first is for clients that name no server, or one that nothing fits.
func (c *Certs) first() *tls.Certificate {
	if len(c.pairs) > 0 {
		return c.pairs[0].current().cert
	}
	if c.source != nil {
		if cert := c.source.Certificate(""); cert != nil {
			return cert
		}
	}
	return c.reserve.current().cert
}

// Shown is the certificate that a client gets which names a host, and those that come with
// it; see GetCertificate.
func (c *Certs) Shown(host string) (chain []*x509.Certificate) {
	c.refresh()
	var shown *tls.Certificate
	for _, p := range c.pairs {
		if cert := p.current().cert; cert.Leaf.VerifyHostname(host) == nil {
			shown = cert
			break
		}
	}
	if shown == nil && c.source != nil {
		shown = c.source.Certificate(host)
	}
	if shown == nil {
		shown = c.first()
	}
	for _, der := range shown.Certificate {
		if one, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, one)
		}
	}
	return chain
}

// List describes the certificates in use: those of files, in the order configured,
// those of the source, and, where there are neither, the reserve.
func (c *Certs) List() []Info {
	infos := make([]Info, 0, len(c.pairs))
	for _, p := range c.pairs {
		infos = append(infos, infoOf(p.files, p.current().cert.Leaf))
	}
	if c.source != nil {
		for _, cert := range c.source.All() {
			infos = append(infos, infoOf(Files{}, cert.Leaf))
		}
	}
	if len(infos) == 0 {
		infos = append(infos, infoOf(c.reserve.files, c.reserve.current().cert.Leaf))
	}
	return infos
}

// Server returns the tls.Config of a server with these certificates: TLS 1.2
// and later (RFC 9325), Go's choice of ciphers, session tickets on. protos are
// the ALPN names of the protocol; a client that offers others only is refused
// (RFC 7301 §3.2), which keeps HTTP cross-protocol attacks out; one that
// offers none is welcome.
//
// Use one Config for all connections: Go keeps its ticket keys inside, so a
// copy per connection would break resumption. What a session costs while idle
// is some 10 KiB of state and a read buffer as large as the largest record that
// the client sent; nothing here changes that much, but client certificates and
// a GetConfigForClient that copies would add to it: Proof has one for authorities alone.
func (c *Certs) Server(protos ...string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetCertificate:     c.GetCertificate,
		GetConfigForClient: c.Proof,
		NextProtos:         protos,
	}
}

// names lists what a certificate is for.
func names(leaf *x509.Certificate) []string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}
