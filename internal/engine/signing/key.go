package signing

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"yubin/internal/mail"
)

// purpose is what private keys are sealed for.
const purpose = "dkim"

// Key is a key as its row has it.
type Key struct {
	ID        int64
	Owner     Owner
	Selector  string
	Algorithm Algorithm
	State     State
	Created   time.Time
	Since     time.Time // when it came into its state
	Public    []byte    // as in the tag "p": a SubjectPublicKeyInfo, or of Ed25519 the 32 octets (RFC 8463 §4)

	sealed []byte        // the private key; nil if there is none any more
	signer crypto.Signer // opened
}

// pending reports whether the key has yet to sign.
func (k Key) pending() bool { return k.State == New || k.State == Published }

// row is what the private key is sealed for.
func (k Key) row() string { return strconv.FormatInt(k.ID, 10) }

// Record is the text of the record that is to be published (RFC 6376 §3.6.1).
func (k Key) Record() string {
	p := ""
	if k.State != Revoked {
		p = base64.StdEncoding.EncodeToString(k.Public)
	}
	return fmt.Sprintf("v=DKIM1; k=%s; h=sha256; p=%s", k.Algorithm, p)
}

// make makes a new key, without an ID and a selector. RSA takes some tenths of a
// second of a processor.
func (s *Signing) make(o Owner, a Algorithm) (Key, error) {
	k := Key{Owner: o, Algorithm: a, State: New, Created: s.now(), Since: s.now()}
	var err error
	switch a {
	case RSA:
		var private *rsa.PrivateKey
		if private, err = rsa.GenerateKey(s.o.Random, Bits); err == nil {
			k.signer = private
			k.Public, err = x509.MarshalPKIXPublicKey(private.Public())
		}
	default:
		var private ed25519.PrivateKey
		if k.Public, private, err = generateEd25519(s); err == nil {
			k.signer = private
		}
	}
	if err != nil {
		return k, &mail.Error{Kind: mail.Internal, Text: "a key cannot be made", Err: err}
	}
	return k, nil
}

func generateEd25519(s *Signing) ([]byte, ed25519.PrivateKey, error) {
	public, private, err := ed25519.GenerateKey(s.o.Random)
	return public, private, err
}

// seal fills in the sealed form of a key that is open and has its ID.
func (s *Signing) seal(k *Key) error {
	text, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return &mail.Error{Kind: mail.Internal, Text: "a key cannot be written", Err: err}
	}
	k.sealed, err = s.o.Secrets.Seal(purpose, k.row(), text)
	return err
}

// open opens the private key of k. What was opened before is remembered.
func (s *Signing) open(k Key) (crypto.Signer, error) {
	if k.sealed == nil {
		return nil, mail.Errorf(mail.NotFound, "it has no private key any more")
	}
	s.mu.Lock()
	was, ok := s.opened[k.ID]
	s.mu.Unlock()
	if ok && string(was.sealed) == string(k.sealed) {
		return was.signer, nil
	}
	text, err := s.o.Secrets.Open(purpose, k.row(), k.sealed)
	if err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(text)
	if err == nil {
		k.signer, err = signerOf(private, k)
	}
	if err != nil {
		return nil, &mail.Error{Kind: mail.Internal, Text: "the private key cannot be read", Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened == nil || len(s.opened) >= maxOpen {
		s.opened = map[int64]Key{}
	}
	s.opened[k.ID] = k
	return k.signer, nil
}

// maxOpen is how many private keys are kept open: about 4 KiB each.
const maxOpen = 4096

// signerOf is a private key, if it is that of the public one.
func signerOf(private any, k Key) (crypto.Signer, error) {
	switch p := private.(type) {
	case *rsa.PrivateKey:
		public, err := x509.MarshalPKIXPublicKey(p.Public())
		if err == nil && string(public) == string(k.Public) {
			p.Precompute()
			return p, nil
		}
	case ed25519.PrivateKey:
		if string(p.Public().(ed25519.PublicKey)) == string(k.Public) {
			return p, nil
		}
	}
	return nil, mail.Errorf(mail.Internal, "it is not the one of the public key")
}

// selectorOf is the selector number n, from 0, of a key of a domain's own: the day
// it was made, the algorithm, and a number if there is one of that day already.
func (k Key) selectorOf(n int) string {
	s := "y" + k.Created.Format("20060102") + k.Algorithm.letter()
	if n > 0 {
		s += strconv.Itoa(n + 1)
	}
	return s
}

// slots are the selectors of the zone for an algorithm.
func slots(a Algorithm) [2]string { return [2]string{"y" + a.letter() + "1", "y" + a.letter() + "2"} }
