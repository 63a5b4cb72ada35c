// Package secrets keeps what must not be read by who gets hold of the database or
// of a backup: small secrets, such as the private keys of DKIM, are sealed with a
// key that stands in a file of its own, secrets.key.
//
// # The file
//
// It is text: a line for each key, "yubin-key-1 " and 32 octets in base64; empty
// lines and those that begin with # say nothing. The first key seals, all of them
// open. So a master key is replaced by putting a new line above the old one, and
// taking the old one out when nothing is sealed with it any more (KeyID, Current).
// The file is made when something is to be sealed and there is none: 0600, whole
// and durable before it seals anything. All nodes of a site have the same one. No
// backup has it.
//
// Others than the owner and the group of the file must not be able to read it, nor
// the group to write it: such a file is refused.
//
// # What is sealed
//
//	version  1 octet, 1
//	key id   4 octets: the first of the SHA-256 of the key
//	nonce    12 octets, random
//	text     AES-256-GCM (NIST SP 800-38D), its tag at the end
//
// The key of AES is made of that of the file by HKDF-SHA-256 (RFC 5869) with the
// purpose; purpose and row are authenticated too. So what is sealed for one row
// opens for no other, and nobody who can write to the database can exchange them.
// With random nonces one purpose may have 2^32 seals; keys of domains come nowhere
// near.
//
// It deliberately knows nothing of what is sealed, and never replaces a file that
// it cannot read: a wrong disk at start must not cost the keys of a site.
package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"sync"

	"yubin/internal/mail"
)

// Limits.
const (
	MaxSecret = 64 << 10 // octets that are sealed at once
	MaxKeys   = 16       // in a file
	maxFile   = 16 << 10 // octets of one
	keySize   = 32
	idSize    = 4
	nonceSize = 12
	headSize  = 1 + idSize + nonceSize
	version   = 1
)

// Options are what a Keyring needs.
type Options struct {
	// Paths are where the file may be: the first that is there counts. One that is
	// there and cannot be read ends the search. A new one is made at the first path
	// in whose folder it can be.
	Paths  []string
	Random io.Reader         // nil means crypto/rand
	Made   func(path string) // hears of a file that was made; nil drops
}

// Keyring seals and opens. Safe for concurrent use.
type Keyring struct {
	o Options

	mu   sync.Mutex
	path string // of the file that was read; "" if there is none yet
	keys []key
	err  error // why the file that is there cannot be used
}

// key is a line of the file.
type key struct {
	id     [idSize]byte
	secret [keySize]byte
}

func (k key) String() string { return hex.EncodeToString(k.id[:]) }

// GoString hides the key.
func (k key) GoString() string { return k.String() }

// ForeignKeyError is the cause (errors.As) of the error about something that is
// sealed with a key that the file does not have.
type ForeignKeyError struct{ ID string }

func (e *ForeignKeyError) Error() string {
	return "it is sealed with the key " + e.ID + ", which is not in the file of secrets"
}

// Open reads the file. A Keyring is always returned: without a file, or with one
// that cannot be used, of which Err tells.
func Open(o Options) *Keyring {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Made == nil {
		o.Made = func(string) {}
	}
	k := &Keyring{o: o}
	k.Reload()
	return k
}

// Reload reads the file again: it may have got another key, or come to be.
func (k *Keyring) Reload() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.path, k.keys, k.err = find(k.o.Paths)
}

// Err says why the file cannot be used: of kind Unavailable, with the path and what
// to do. It is nil while there is no file.
func (k *Keyring) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Path is where the file is; "" if there is none.
func (k *Keyring) Path() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.path
}

// Current is the id of the key that seals; "" without one.
func (k *Keyring) Current() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) == 0 {
		return ""
	}
	return k.keys[0].String()
}

// KeyID is the id of the key that something is sealed with; "" if it is not sealed.
func KeyID(sealed []byte) string {
	if len(sealed) < headSize || sealed[0] != version {
		return ""
	}
	return hex.EncodeToString(sealed[1 : 1+idSize])
}

// Seal seals at most MaxSecret octets for one row of one purpose: a name that never
// changes, such as "dkim". If there is no file, it is made. Errors are of kind
// Unavailable if the file cannot be used, or none can be made.
func (k *Keyring) Seal(purpose, row string, secret []byte) ([]byte, error) {
	if len(secret) > MaxSecret {
		return nil, mail.Errorf(mail.TooLarge, "a secret has at most %d octets", MaxSecret)
	}
	key, err := k.sealing()
	if err != nil {
		return nil, err
	}
	aead, err := cipherOf(key, purpose)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, headSize, headSize+len(secret)+aead.Overhead())
	sealed[0] = version
	copy(sealed[1:], key.id[:])
	if _, err := io.ReadFull(k.o.Random, sealed[headSize-nonceSize:headSize]); err != nil {
		return nil, &mail.Error{Kind: mail.Internal, Text: "no randomness", Err: err}
	}
	return aead.Seal(sealed, sealed[headSize-nonceSize:headSize], secret, bound(purpose, row, sealed)), nil
}

// Open returns what was sealed for the row. The error is of kind Unavailable if the
// file cannot be used or does not have the key (*ForeignKeyError), and Internal if
// what is sealed was changed, or is another row's.
func (k *Keyring) Open(purpose, row string, sealed []byte) ([]byte, error) {
	id := KeyID(sealed)
	if id == "" {
		return nil, mail.Errorf(mail.Internal, "what should be sealed is not")
	}
	key, err := k.opening(id)
	if err != nil {
		return nil, err
	}
	aead, err := cipherOf(key, purpose)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, sealed[headSize-nonceSize:headSize], sealed[headSize:], bound(purpose, row, sealed))
	if err != nil {
		return nil, mail.Errorf(mail.Internal, "what is sealed with the key %s was changed, or belongs elsewhere", id)
	}
	return secret, nil
}

// sealing is the first key; one is made if there is no file.
func (k *Keyring) sealing() (key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) > 0 || k.err != nil {
		if k.err != nil {
			return key{}, k.err
		}
		return k.keys[0], nil
	}
	var err error
	// Another process may have made it since.
	if k.path, k.keys, k.err = find(k.o.Paths); k.err == nil && k.path == "" {
		if k.path, k.keys, err = create(k.o.Paths, k.o.Random); err != nil {
			return key{}, err
		}
		k.o.Made(k.path)
	}
	if k.err != nil {
		return key{}, k.err
	}
	return k.keys[0], nil
}

func (k *Keyring) opening(id string) (key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return key{}, k.err
	}
	for _, key := range k.keys {
		if key.String() == id {
			return key, nil
		}
	}
	foreign := &ForeignKeyError{ID: id}
	text := foreign.Error()
	if k.path == "" {
		text = fmt.Sprintf("it is sealed with the key %s, and there is no file of secrets", id)
	}
	return key{}, &mail.Error{Kind: mail.Unavailable, Text: text, Err: foreign}
}

func cipherOf(k key, purpose string) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, k.secret[:], nil, "yubin "+purpose, keySize)
	if err != nil {
		return nil, &mail.Error{Kind: mail.Internal, Text: "a key cannot be derived", Err: err}
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, &mail.Error{Kind: mail.Internal, Text: "a key cannot be used", Err: err}
	}
	return cipher.NewGCM(block)
}

// bound is what is authenticated beside the secret: its purpose, its row, and how it
// is sealed.
func bound(purpose, row string, sealed []byte) []byte {
	b := append([]byte(nil), sealed[:1+idSize]...)
	b = strconv.AppendQuote(b, purpose)
	return strconv.AppendQuote(b, row)
}
