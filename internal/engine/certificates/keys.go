package certificates

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Signer is a private key.
type Signer = crypto.Signer

// Leaf is a certificate without those above it.
type Leaf = x509.Certificate

// What private keys are sealed for.
const (
	purpose        = "certificate"
	accountPurpose = "acme"
)

// Key is a key of a certificate.
type Key struct {
	Certificate string    // what the certificate is called
	Next        bool      // announced, and not in use yet
	From        time.Time // a next one is taken by the first order from then on
	Public      []byte    // SubjectPublicKeyInfo

	id     int64
	sealed []byte
}

// keysOf reads the keys of a certificate, or all, if name is "": the current before the
// next.
func keysOf(tx *sqldb.Tx, name string) (list []Key, err error) {
	query, args := `SELECT id, name, next, use_from, public, private FROM certificate_key`, []any{}
	if name != "" {
		query, args = query+` WHERE name = $1`, []any{name}
	}
	rows, err := tx.Query(query+` ORDER BY name, next`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k Key
		var from int64
		if err := rows.Scan(&k.id, &k.Certificate, &k.Next, &from, &k.Public, &k.sealed); err != nil {
			return nil, err
		}
		k.From = fromMillis(from)
		list = append(list, k)
	}
	return list, rows.Err()
}

// open returns the private key.
func (c *Certificates) open(k Key) (Signer, error) {
	text, err := c.o.Secrets.Open(purpose, rowID(k.id), k.sealed)
	if err != nil {
		return nil, err
	}
	return parseKey(text)
}

func parseKey(text []byte) (Signer, error) {
	private, err := x509.ParsePKCS8PrivateKey(text)
	if err == nil {
		if s, ok := private.(Signer); ok {
			return s, nil
		}
	}
	return nil, &mail.Error{Kind: mail.Internal, Text: "a private key cannot be read", Err: err}
}

// newKey makes a key: P-256, which everybody verifies, and which costs a handshake least.
func (c *Certificates) newKey() (private Signer, pkcs8, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), c.o.Random)
	if err == nil {
		pkcs8, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err == nil {
		public, err = x509.MarshalPKIXPublicKey(key.Public())
	}
	if err != nil {
		return nil, nil, nil, &mail.Error{Kind: mail.Internal, Text: "no key can be made", Err: err}
	}
	return key, pkcs8, public, nil
}

// addKey makes a key for a certificate, which is used from a time on.
func (c *Certificates) addKey(ctx context.Context, name string, next bool, from time.Time, fence int64) (k Key, private Signer, err error) {
	private, pkcs8, public, err := c.newKey()
	if err != nil {
		return k, nil, err
	}
	err = c.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, fence); err != nil {
			return err
		}
		ids, err := tx.NewIDs("certificate_key", 1)
		if err != nil {
			return err
		}
		k = Key{Certificate: name, Next: next, From: from, Public: public, id: ids[0]}
		if k.sealed, err = c.o.Secrets.Seal(purpose, rowID(k.id), pkcs8); err != nil {
			return err
		}
		tx.Do(`DELETE FROM certificate_key WHERE name = $1 AND next = $2`, name, next)
		tx.Do(`INSERT INTO certificate_key (id, name, next, use_from, public, private) VALUES ($1, $2, $3, $4, $5, $6)`,
			k.id, name, next, millis(k.From), k.Public, k.sealed)
		return nil
	})
	return k, private, err
}

// keyFor is the key of the next certificate: the next one if it was announced for long
// enough, else the current one; one is made if there is none. A key that cannot be opened is
// never replaced by itself: secrets.key may only be missing for the moment.
func (c *Certificates) keyFor(ctx context.Context, name string, fence int64) (k Key, private Signer, err error) {
	var list []Key
	err = c.db.Read(ctx, func(tx *sqldb.Tx) error {
		list, err = keysOf(tx, name)
		return err
	})
	if err != nil {
		return k, nil, err
	}
	for i := len(list) - 1; i >= 0; i-- { // The next one is last.
		if k = list[i]; k.Next && !ripe(k, c.now()) {
			continue
		}
		if private, err = c.open(k); err != nil {
			err = mail.Errorf(mail.Unavailable, "its private key cannot be opened: %s. Put the right secrets.key there, or have a new key made: yubin cert rotate-key --now %s", err, name)
		}
		return k, private, err
	}
	return c.addKey(ctx, name, false, c.now(), fence)
}

// ripe reports whether a next key was announced for long enough.
func ripe(k Key, now time.Time) bool { return k.Next && !now.Before(k.From) }
