package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/world/maildir"
)

// messageFile is the argument of commands that read a message.
type messageFile struct {
	File string `arg:"" help:"A file with a message, as it came; - is the standard input." placeholder:"FILE"`
}

// copyTo writes the message to w with CRLF at the ends of its lines, and says whether
// it has them itself: files on Unix mostly do not.
func (f messageFile) copyTo(e *env, w io.Writer) (crlf bool, err error) {
	in := e.stdin
	if f.File != "-" {
		file, err := os.Open(f.File)
		if err != nil {
			return false, err
		}
		defer file.Close()
		in = file
	}
	r := bufio.NewReaderSize(in, 64<<10)
	start, _ := r.Peek(r.Size())
	line, _, _ := bytes.Cut(start, []byte("\n"))
	_, err = io.Copy(&maildir.CRLF{W: w}, r)
	return bytes.HasSuffix(line, []byte("\r")), err
}

type dkimVerifyCmd struct {
	asking
	messageFile
}

// dkimAnswer is what dkim verify says.
type dkimAnswer struct {
	Result     string          `json:"result"`
	Reason     string          `json:"reason"`
	Signatures []dkimSignature `json:"signatures"`
}

// dkimSignature is what it says of a signature.
type dkimSignature struct {
	Result    string     `json:"result"`
	Reason    string     `json:"reason"`
	Domain    string     `json:"domain,omitempty"`
	Selector  string     `json:"selector,omitempty"`
	Identity  string     `json:"identity,omitempty"`
	Algorithm string     `json:"algorithm,omitempty"`
	Bits      int        `json:"bits,omitempty"`
	Testing   bool       `json:"testing,omitempty"`
	Headers   []string   `json:"headers,omitempty"`
	Unsigned  int64      `json:"unsigned,omitempty"`
	Time      *time.Time `json:"time,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
}

func signatureOf(v dkim.Verdict) dkimSignature {
	a := dkimSignature{Result: v.Result.String(), Reason: v.Reason.String(), Bits: v.Bits, Testing: v.Testing, Unsigned: v.Unsigned}
	s := v.Signature
	if s == nil {
		return a
	}
	a.Domain, a.Selector, a.Identity, a.Algorithm, a.Headers = string(s.Domain), string(s.Selector), s.Identity, s.Tags.Value("a"), s.Names
	if !s.Time.IsZero() {
		a.Time = &s.Time
	}
	if !s.Expires.IsZero() {
		a.Expires = &s.Expires
	}
	return a
}

// line is a signature for people.
func (s dkimSignature) line() string {
	words := []string{s.Result}
	add := func(there bool, format string, values ...any) {
		if there {
			words = append(words, fmt.Sprintf(format, values...))
		}
	}
	add(s.Domain != "", "d=%s", s.Domain)
	add(s.Selector != "", "s=%s", s.Selector)
	add(s.Identity != "" && s.Identity != "@"+s.Domain, "i=%s", s.Identity)
	add(s.Algorithm != "", "a=%s", s.Algorithm)
	add(s.Bits != 0, "bits=%d", s.Bits)
	words = append(words, "("+s.Reason+")")
	line := strings.Join(words, " ")
	if s.Testing {
		line += ", its owner is only testing"
	}
	if s.Unsigned > 0 {
		line += fmt.Sprintf(", %d octets at the end of the body are not signed", s.Unsigned)
	}
	return line
}

func (c *dkimVerifyCmd) Run(e *env) error {
	r, err := c.resolver()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, authTime)
	defer cancel()
	v := dkim.New(dkim.Options{Now: time.Now()})
	if _, err := c.copyTo(e, v); err != nil {
		return err
	}
	verdicts := v.Finish(v.Lookup(ctx, r))
	best := dkim.Best(verdicts)
	answer := dkimAnswer{Result: best.Result.String(), Reason: best.Reason.String(), Signatures: []dkimSignature{}}
	for _, v := range verdicts {
		answer.Signatures = append(answer.Signatures, signatureOf(v))
	}
	return e.show(answer, func(w io.Writer) {
		writeLine(w, "%s (%s)", answer.Result, answer.Reason)
		for _, s := range answer.Signatures {
			writeLine(w, "%s", s.line())
		}
	})
}

type dkimSignCmd struct {
	messageFile
	Domain   string `required:"" help:"The domain that signs." placeholder:"DOMAIN"`
	Selector string `required:"" help:"Where its key is: SELECTOR._domainkey.DOMAIN." placeholder:"SELECTOR"`
	Key      string `required:"" type:"existingfile" help:"The private key in PEM: RSA (PKCS #1 or #8) or Ed25519 (PKCS #8)." placeholder:"FILE"`
	Time     int64  `help:"When it is signed, in seconds since 1970; else now." placeholder:"SECONDS"`
}

// signed is what dkim sign says.
type signed struct {
	Field  string `json:"field"`
	Record string `json:"record"`
}

func (c *dkimSignCmd) Run(e *env) error {
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	key, err := dkim.ParsePrivateKey(text)
	if err != nil {
		return usagef("--key %s: %v", c.Key, err)
	}
	o := dkim.SignOptions{Keys: []dkim.SigningKey{{Key: key}}, Time: time.Now()}
	if o.Keys[0].Domain, err = mail.ParseDomain(c.Domain); err != nil {
		return usagef("--domain: %v", err)
	}
	if o.Keys[0].Selector, err = mail.ParseDomain(c.Selector); err != nil {
		return usagef("--selector: %v", err)
	}
	if c.Time != 0 {
		o.Time = time.Unix(c.Time, 0)
	}
	s, err := dkim.NewSigner(o)
	if err != nil {
		return usagef("%v", err)
	}
	crlf, err := c.copyTo(e, s)
	if err != nil {
		return err
	}
	field, err := s.Finish()
	if err != nil {
		return err
	}
	if e.json {
		return e.show(signed{string(field), key.Record()}, nil)
	}
	if !crlf {
		field = bytes.ReplaceAll(field, []byte("\r\n"), []byte("\n"))
	}
	_, err = e.out.Write(field)
	return err
}
