package arc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/authres"
	"yubin/internal/mailauth/dkim"
)

// SealOptions say how a message is sealed.
type SealOptions struct {
	Domain, Selector mail.Domain
	Key              *dkim.PrivateKey
	// Names are the header fields that the message signature is about, in order, each as
	// often as it is to be named. From is among them, and none of the fields that
	// Unsigned names. Nil is those of dkim.SignedNames, and DKIM-Signature.
	Names []string
	Time  time.Time // zero: it does not say
}

// Unsigned reports whether a field is one that a message signature must not be about
// (RFC 8617 §4.1.2): those of ARC and Authentication-Results.
func Unsigned(name string) bool {
	return strings.EqualFold(name, authres.FieldName) || slices.ContainsFunc(fieldNames[:], func(n string) bool { return strings.EqualFold(n, name) })
}

// Sealer makes the fields that extend the chain of one message. It reads the message
// together with a Verifier, whose verdict it needs: its Begin is one of what
// dkim.NewMessage is given.
type Sealer struct {
	options SealOptions
	header  *dkim.Header
	digest  *dkim.Digest
}

// NewSealer returns a Sealer. The error is of kind mail.Invalid.
func NewSealer(o SealOptions) (*Sealer, error) {
	if _, err := dkim.KeyName(o.Domain, o.Selector); err != nil {
		return nil, mail.Errorf(mail.Invalid, "%w", err)
	}
	if i := slices.IndexFunc(o.Names, Unsigned); i >= 0 {
		return nil, mail.Errorf(mail.Invalid, "a message signature of ARC cannot be about %s (RFC 8617 §4.1.2)", o.Names[i])
	}
	if o.Names != nil && !slices.ContainsFunc(o.Names, func(n string) bool { return strings.EqualFold(n, "From") }) {
		return nil, mail.Errorf(mail.Invalid, "a message signature has to be about From")
	}
	for _, n := range o.Names {
		if strings.ContainsFunc(n, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' || r == ';' }) || n == "" {
			return nil, mail.Errorf(mail.Invalid, "%q is not the name of a header field", n)
		}
	}
	return &Sealer{options: o}, nil
}

// Begin notes the header and wants the hash of the body.
func (s *Sealer) Begin(h *dkim.Header, body *dkim.Body) {
	s.header, s.digest = h, body.Digest(dkim.Relaxed, -1)
}

// Next is the instance of the set that extends a chain; 0 if nobody is to extend it, as
// its last seal says that it had failed, or as it has MaxSets (RFC 8617 §5.1).
func (v Verdict) Next() int {
	if v.Sealed || v.Highest >= MaxSets || v.Reason.Cause == TooManySets || v.Reason.Cause == LongHeader {
		return 0
	}
	return v.Highest + 1
}

// Seal returns the three fields that are to be put before the message (and before its
// message.Header.Lead), ARC-Seal first, each with CRLF; nil if Next is 0.
//
// V is the verdict about the message as it leaves, which is over: what it has of a chain
// is extended. Arrived is what was found when it came, before anything of it was
// changed here; that is what the seal says (RFC 8617 §5.1 step 4 C). Value is that
// of Authentication-Results, with what all found then who checked the message here
// (authres.Field.AppendValue, or Gather). The error is of kind mail.Invalid if the
// header is over dkim.MaxHeader.
func (s *Sealer) Seal(v Verdict, arrived Result, value []byte) ([]byte, error) {
	instance := v.Next()
	if instance == 0 {
		return nil, nil
	}
	if s.header.TooLong {
		return nil, mail.Errorf(mail.Invalid, "a header over %d octets cannot be sealed", dkim.MaxHeader)
	}
	status, below := arrived, v.chain
	switch {
	case v.Highest == 0:
		status = None
	case v.chain == nil || arrived != Pass: // There is nothing to go on from (RFC 8617 §5.1.2).
		status, below = Fail, nil
	}
	i := strconv.Itoa(instance)
	f := fields{results: append([]byte(authres.ARCFieldName+": i="+i+"; "), append(bytes.Clone(value), "\r\n"...)...)}
	bodyHash, _ := s.digest.Sum()
	names := s.options.Names
	if names == nil {
		names = append(dkim.SignedNames(s.header), slices.Repeat([]string{dkim.DKIMSignature.FieldName()}, min(s.header.Count("dkim-signature"), dkim.MaxSignatures))...)
	}
	var err error
	f[messageSignature], err = s.sign(dkim.ARCMessageSignature, []tag{{"a", s.options.Key.Algorithm().String()}, {"b", ""},
		{"bh", base64.StdEncoding.EncodeToString(bodyHash[:])}, {"c", "relaxed/relaxed"}, {"d", string(s.options.Domain)},
		{"h", strings.Join(names, ":")}, {"i", i}, {"s", string(s.options.Selector)}}, func(parsed *dkim.Signature, field []byte) []byte {
		return dkim.Relaxed.AppendUnsigned(s.header.AppendFields(nil, dkim.Relaxed, parsed.Names), field, parsed.Tags)
	})
	if err != nil {
		return nil, err
	}
	f[seal], err = s.sign(dkim.ARCSeal, []tag{{"a", s.options.Key.Algorithm().String()}, {"b", ""}, {"cv", status.String()},
		{"d", string(s.options.Domain)}, {"i", i}, {"s", string(s.options.Selector)}}, func(parsed *dkim.Signature, field []byte) []byte {
		var all []byte
		for _, before := range below {
			all = dkim.Relaxed.AppendField(before.appendBefore(all), before[seal])
		}
		return dkim.Relaxed.AppendUnsigned(f.appendBefore(all), field, parsed.Tags)
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(f[seal], f[messageSignature], f[results]), nil
}

type tag struct{ name, value string }

// sign writes a field with tags, of which one is the "b" that is filled in: the
// signature of what signed gives for the field without it. The order of tags is that
// of their names, as in the published tests of sealers.
func (s *Sealer) sign(form dkim.Form, tags []tag, signed func(parsed *dkim.Signature, field []byte) []byte) ([]byte, error) {
	if !s.options.Time.IsZero() {
		tags = append(tags, tag{"t", strconv.FormatInt(s.options.Time.Unix(), 10)})
	}
	b := slices.IndexFunc(tags, func(t tag) bool { return t.name == "b" })
	field := appendTags(nil, form, tags)
	parsed, _ := dkim.ParseSignature(field, form)
	hashed := sha256.Sum256(signed(parsed, field))
	signature, err := s.options.Key.Sign(hashed[:])
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	tags[b].value = base64.StdEncoding.EncodeToString(signature)
	return appendTags(nil, form, tags), nil
}

// maxLine is how long a line gets where it can be folded.
const maxLine = 77

// appendTags writes a field. A seal signs the value of "b" of a message signature with
// the space in it: none is put there, as the published tests of sealers expect the
// signature of what has none.
func appendTags(dst []byte, form dkim.Form, tags []tag) []byte {
	dst = append(append(dst, form.FieldName()...), ':')
	width := len(dst)
	piece := func(s string, most int) {
		if width > 1 && width+len(s) > most {
			dst, width = append(dst, "\r\n "...), 1
			s = strings.TrimPrefix(s, " ")
		}
		dst, width = append(dst, s...), width+len(s)
	}
	for n, t := range tags {
		text := t.name + "=" + t.value
		if n < len(tags)-1 {
			text += ";"
		}
		switch {
		case t.name == "b" && form == dkim.ARCSeal:
			for ; len(text) >= maxLine; text = text[maxLine-1:] {
				piece(text[:maxLine-1], 0)
			}
			piece(text, 0)
		case len(text) < maxLine || t.name == "b":
			piece(" "+text, maxLine)
		default:
			before := " "
			for name := range strings.SplitAfterSeq(text, ":") {
				piece(before+name, maxLine)
				before = ""
			}
		}
	}
	return append(dst, '\r', '\n')
}

// Gather returns the value for a set from the fields Authentication-Results of a header
// that servID wrote, all of them together as they stand there, folded anew; nil if
// there is none that can be read. Arrived is what they say of the chain; None if
// nothing.
func Gather(h *dkim.Header, servID string) (value []byte, arrived Result) {
	var text []byte
	some := false
	for _, f := range h.Fields {
		if !strings.EqualFold(f.Name, authres.FieldName) {
			continue
		}
		read, err := authres.Parse(f.Value())
		if err != nil || !strings.EqualFold(read.ServID, servID) {
			continue
		}
		for _, r := range read.Results {
			if n := slices.Index(resultNames[:], r.Value); r.Method == "arc" && n > 0 && arrived == None {
				arrived = Result(n)
			}
		}
		switch {
		case text == nil || !some:
			text, some = bytes.TrimRight(f.Value(), "; \t\r\n"), len(read.Results) > 0
		case len(read.Results) > 0:
			text = append(bytes.Clone(text), bytes.TrimRight(authres.AfterServID(f.Value()), "; \t\r\n")...)
		}
	}
	return refold(text), arrived
}

// refold makes space single and folds where lines get too long. What is in quotes keeps
// a space where it had some.
func refold(text []byte) (out []byte) {
	width := len(authres.ARCFieldName + ": i=50; ")
	for i, word := range bytes.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(space, r) }) {
		switch {
		case i > 0 && width+1+len(word) > maxLine:
			out, width = append(out, "\r\n "...), 1
		case i > 0:
			out, width = append(out, ' '), width+1
		}
		out, width = append(out, word...), width+len(word)
	}
	return out
}
