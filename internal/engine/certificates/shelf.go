package certificates

import (
	"context"
	"crypto/tls"
	"maps"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// shelf is what is shown to clients; never changed.
type shelf struct {
	items  map[string]item // by what a certificate is called
	byName map[string]*tls.Certificate
	host   *tls.Certificate
	next   [][]byte // public keys that are announced for the host

	issuer, account string
}

// item is a certificate on it.
type item struct {
	issued time.Time
	key    int64
	cert   *tls.Certificate
}

// find is the certificate for a server name.
func (s *shelf) find(name string) *tls.Certificate {
	if name == "" {
		return s.host
	}
	name = strings.ToLower(name)
	if cert := s.byName[name]; cert != nil {
		return cert
	}
	_, above, _ := strings.Cut(name, ".")
	return s.byName["*."+above]
}

// Refresh reads what is new, and tells once of what cannot be shown.
func (c *Certificates) Refresh(ctx context.Context) error {
	return c.refresh(ctx, func(name string, err error) {
		if c.once(name + err.Error()) {
			c.o.Log.Error("a certificate cannot be shown", "certificate", name, obs.Err(err))
		}
	})
}

func (c *Certificates) refresh(ctx context.Context, fault func(name string, err error)) error {
	rows, keys, err := c.state(ctx)
	if err != nil {
		return err
	}
	old := c.shown.Load()
	fresh := &shelf{items: map[string]item{}, byName: map[string]*tls.Certificate{}}
	if fresh.issuer, fresh.account, err = c.readAccount(ctx); err != nil {
		return err
	}
	host, _ := ascii(c.settingsNow().Hostname)
	for _, r := range rows {
		for _, k := range keys[r.name] {
			if k.Next && r.name == host {
				fresh.next = append(fresh.next, k.Public)
			}
		}
		if !r.is() {
			continue
		}
		it := old.items[r.name]
		if it.cert == nil || !it.issued.Equal(r.issued) || it.key != r.key {
			if it, err = c.load(ctx, r, keys[r.name]); err != nil {
				fault(r.name, err)
				continue
			}
		}
		fresh.items[r.name] = it
		for _, name := range it.cert.Leaf.DNSNames {
			name = strings.ToLower(name)
			if was := fresh.byName[name]; was == nil || was.Leaf.NotAfter.Before(it.cert.Leaf.NotAfter) {
				fresh.byName[name] = it.cert
			}
		}
		if r.name == host {
			fresh.host = it.cert
		}
	}
	c.shown.Store(fresh)
	return nil
}

// load makes a certificate of its row that can be shown.
func (c *Certificates) load(ctx context.Context, r row, keys []Key) (it item, err error) {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.id == r.key })
	if i < 0 {
		return it, mail.Errorf(mail.NotFound, "its key is gone")
	}
	private, err := c.open(keys[i])
	if err != nil {
		return it, err
	}
	list, err := c.chain(ctx, r.name)
	if err != nil {
		return it, err
	}
	cert := &tls.Certificate{PrivateKey: private, Leaf: list[0]}
	for _, one := range list {
		cert.Certificate = append(cert.Certificate, one.Raw)
	}
	return item{issued: r.issued, key: r.key, cert: cert}, nil
}

// All are the certificates that can be shown, by what they are called: the host's first.
func (c *Certificates) All() []*tls.Certificate {
	s := c.shown.Load()
	var list []*tls.Certificate
	if s.host != nil {
		list = append(list, s.host)
	}
	for _, name := range slices.Sorted(maps.Keys(s.items)) {
		if it := s.items[name]; it.cert != s.host {
			list = append(list, it.cert)
		}
	}
	return list
}

// Next are the public keys, as SubjectPublicKeyInfo, that are announced for the host's name.
func (c *Certificates) Next() [][]byte { return c.shown.Load().next }

// Issuer is what CAA records call the authority that is configured (RFC 8659), and our account
// with it (RFC 8657); "" if there is none.
func (c *Certificates) Issuer() (name, account string) {
	s := c.shown.Load()
	return s.issuer, s.account
}

// readAccount reads both.
func (c *Certificates) readAccount(ctx context.Context) (issuer, account string, err error) {
	s := c.settingsNow()
	err = c.db.Read(ctx, func(tx *sqldb.Tx) error {
		err := tx.QueryRow(`SELECT issuer, url FROM certificate_account WHERE directory = $1`, s.Directory).Scan(&issuer, &account)
		if err == sqldb.ErrNoRows || s.Off {
			issuer, account, err = "", "", nil
		}
		return err
	})
	return issuer, account, err
}
