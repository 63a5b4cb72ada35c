package dkim

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
)

// What is signed by default. RFC 6376 §5.4.1 has the choice.
var (
	// oversigned are named once more than they are there, so that none can be added
	// (RFC 6376 §5.4, RFC 6376 §8.15).
	oversigned = []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
	// oversignedIfThere are, too, but only if there is one: lists add them to mail
	// that they forward otherwise as it is. RFC 8058 §4 asks for the first two.
	oversignedIfThere = []string{"List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "List-Help", "List-Subscribe", "List-Post",
		"List-Owner", "List-Archive"}
	// signedIfThere are named as often as they are there: who forwards may add more. RFC
	// 8460 §5.3 asks for the last two.
	signedIfThere = []string{"Sender", "Resent-From", "Resent-To", "Resent-Cc", "Resent-Date", "Resent-Message-ID",
		"Content-ID", "Content-Description", "Content-Disposition", "Content-Language", "Auto-Submitted", "Autocrypt",
		"TLS-Report-Domain", "TLS-Report-Submitter"}
)

// maxSigned is how many fields of one name are signed; of more only so many, from the
// last, as anybody reads the first few only if at all.
const maxSigned = 16

// SigningKey is a key with the place where its public half is published.
type SigningKey struct {
	Domain   mail.Domain
	Selector mail.Domain
	Key      *PrivateKey
}

// SignOptions say how a message is signed.
type SignOptions struct {
	// Keys make a signature each.
	Keys []SigningKey
	// Names are the header fields to sign, in order, each as often as it is to be named;
	// nil is the choice of this package. From is to be among them.
	Names []string
	// Time is when it is signed, and Expires after which it is not valid; zero: it does
	// not say.
	Time, Expires time.Time
}

// Signer signs one message.
type Signer struct {
	options SignOptions
	message *Message // its own; nil if it shares one
	header  *Header
	digest  *Digest
}

// NewSigner returns a Signer that is given the message by Write. The error is of kind
// mail.Invalid.
func NewSigner(o SignOptions) (*Signer, error) {
	s, err := NewSharedSigner(o)
	if err == nil {
		s.message = NewMessage(s.Begin)
	}
	return s, err
}

// NewSharedSigner returns a Signer of a message that others read too, as NewShared.
func NewSharedSigner(o SignOptions) (*Signer, error) {
	for _, k := range o.Keys {
		if _, err := KeyName(k.Domain, k.Selector); err != nil {
			return nil, err
		}
	}
	return &Signer{options: o}, nil
}

// Write takes the next octets of the message, whose lines end in CRLF. It never fails.
func (s *Signer) Write(p []byte) (int, error) { return s.message.Write(p) }

// Begin notes the header and wants the hash of the body.
func (s *Signer) Begin(h *Header, body *Body) { s.header, s.digest = h, body.Digest(Relaxed, -1) }

// Finish says that the message is over and returns the fields to be put before it, in
// the order of the keys, with CRLF; message.Header.Lead stands between, as everywhere.
// The error is of kind mail.Invalid if the message
// cannot be signed: it has no From, or its header is over MaxHeader.
func (s *Signer) Finish() ([]byte, error) {
	if s.message != nil {
		s.message.Finish()
	}
	switch {
	case s.header.TooLong:
		return nil, mail.Errorf(mail.Invalid, "a header over %d octets cannot be signed", MaxHeader)
	case s.header.Count("from") == 0:
		return nil, mail.Errorf(mail.Invalid, "a message without a From field cannot be signed")
	}
	names := s.options.Names
	if names == nil {
		names = SignedNames(s.header)
	}
	bodyHash, _ := s.digest.Sum()
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = string(appendLower(nil, name))
	}
	var fields, signed []byte
	signed = s.header.appendFields(signed, Relaxed, lower, -1)
	for _, k := range s.options.Keys {
		tags := []Tag{{Name: "v", Value: "1"}, {Name: "a", Value: k.Key.Algorithm().String()}, {Name: "c", Value: "relaxed/relaxed"},
			{Name: "d", Value: string(k.Domain)}, {Name: "s", Value: string(k.Selector)}}
		if !s.options.Time.IsZero() {
			tags = append(tags, Tag{Name: "t", Value: seconds(s.options.Time)})
		}
		if !s.options.Expires.IsZero() {
			tags = append(tags, Tag{Name: "x", Value: seconds(s.options.Expires)})
		}
		tags = append(tags, Tag{Name: "h", Value: strings.Join(names, ":")}, Tag{Name: "bh", Value: base64.StdEncoding.EncodeToString(bodyHash[:])})
		var err error
		if fields, err = AppendSigned(fields, DKIMSignature, tags, k.Key, signed); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// seconds is a time as in "t".
func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// SignedNames are the header fields that are signed of a header: each as often as it is
// there, and most of them once more.
func SignedNames(h *Header) (names []string) {
	add := func(list []string, more int, absent bool) {
		for _, name := range list {
			n := min(h.Count(string(appendLower(nil, name))), maxSigned)
			if n > 0 || absent {
				n += more
			}
			for range n {
				names = append(names, name)
			}
		}
	}
	add(oversigned, 1, true)
	add(oversignedIfThere, 1, false)
	add(signedIfThere, 0, false)
	return names
}

// AppendSigned writes a field of a form with these tags, folded, then "b", the
// signature that key makes of it and of what is signed before it, canonicalized: with
// CRLF behind it.
func AppendSigned(dst []byte, form Form, tags []Tag, key *PrivateKey, signed []byte) ([]byte, error) {
	w := fieldWriter{field: append([]byte(form.FieldName()), ':')}
	w.column = len(w.field)
	for _, t := range tags {
		w.tag(t.Name, t.Value)
	}
	w.token(" b=")
	hashed := sha256.New()
	hashed.Write(signed)
	hashed.Write(Relaxed.AppendUnsigned(nil, w.field, nil)) // The value of "b" is not there yet.
	signature, err := key.Sign(hashed.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return append(dst, w.sign(signature)...), nil
}

// maxColumn is how long a line of a field may be, without its line end (RFC 5322
// §2.1.1).
const maxColumn = 77

// fieldWriter writes a tag list and folds it.
type fieldWriter struct {
	field  []byte
	column int
}

// token writes what stands together; what begins with a space may begin a line.
func (w *fieldWriter) token(s string) {
	if w.column+len(s) > maxColumn {
		w.fold()
		if s[0] == ' ' {
			s = s[1:]
		}
	}
	w.field = append(w.field, s...)
	w.column += len(s)
}

func (w *fieldWriter) fold() {
	w.field = append(w.field, "\r\n "...)
	w.column = 1
}

// tag writes a tag, which may be folded behind colons in its value.
func (w *fieldWriter) tag(name, value string) {
	before := " " + name + "="
	for {
		piece, rest, more := strings.Cut(value, ":")
		if !more {
			w.token(before + piece + ";")
			return
		}
		w.token(before + piece + ":")
		before, value = "", rest
	}
}

// sign writes the value of "b" in pieces that fill lines, and ends the field.
func (w *fieldWriter) sign(signature []byte) []byte {
	b := base64.StdEncoding.EncodeToString(signature)
	for {
		n := min(len(b), maxColumn-w.column)
		w.field = append(w.field, b[:n]...)
		if b = b[n:]; b == "" {
			return append(w.field, '\r', '\n')
		}
		w.fold()
	}
}

// Sign reads a message, whose lines end in CRLF, and returns what Finish does.
func Sign(message io.Reader, o SignOptions) ([]byte, error) {
	s, err := NewSigner(o)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(s, message); err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	return s.Finish()
}
