package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/arc"
	"yubin/internal/mailauth/authres"
	"yubin/internal/mailauth/dkim"
)

type arcCmd struct {
	Verify arcVerifyCmd `cmd:"" help:"Say whether the chain of those who passed a message on is whole (RFC 8617): the first word is the result, then comes a line for each of them."`
	Seal   arcSealCmd   `cmd:"" help:"Make the three fields by which the next one extends the chain of a message, to be put before it."`
}

type arcVerifyCmd struct {
	asking
	messageFile
}

// arcAnswer is what arc verify says.
type arcAnswer struct {
	Result     string   `json:"result"`
	Reason     string   `json:"reason"`
	OldestPass *int     `json:"oldestPass,omitempty"`
	Sets       []arcSet `json:"sets"`
}

// arcSet is what it says of a set.
type arcSet struct {
	Instance      int    `json:"instance"`
	Seal          string `json:"seal"`
	SealReason    string `json:"sealReason,omitempty"`
	Message       string `json:"message"`
	MessageReason string `json:"messageReason,omitempty"`
	Domain        string `json:"domain,omitempty"`
	Selector      string `json:"selector,omitempty"`
	Algorithm     string `json:"algorithm,omitempty"`
	Chain         string `json:"chain,omitempty"`
	Results       string `json:"results,omitempty"`
}

// outcome is what came of one signature of a set, and why if it does not verify.
func outcome(why dkim.Reason) (word, reason string) {
	switch why.Cause {
	case dkim.Verified:
		return "pass", ""
	case dkim.NoSignature:
		return "unchecked", ""
	}
	return "fail", why.String()
}

func setOf(s arc.Set) arcSet {
	a := arcSet{Instance: s.Instance, Chain: s.ChainStatus, Results: strings.Join(strings.Fields(string(s.Results)), " ")}
	a.Seal, a.SealReason = outcome(s.SealResult)
	a.Message, a.MessageReason = outcome(s.MessageResult)
	if s.Seal != nil {
		a.Domain, a.Selector, a.Algorithm = string(s.Seal.Domain), string(s.Seal.Selector), s.Seal.Tags.Value("a")
	}
	return a
}

// line is a set for people.
func (s arcSet) line() string {
	words := []string{s.Seal, fmt.Sprintf("i=%d", s.Instance)}
	for _, tag := range []struct{ name, value string }{{"d", s.Domain}, {"s", s.Selector}, {"a", s.Algorithm}, {"cv", s.Chain}} {
		if tag.value != "" {
			words = append(words, tag.name+"="+tag.value)
		}
	}
	switch {
	case s.Seal == "unchecked":
		return strings.Join(words, " ")
	case s.Seal == "fail":
		words = append(words, "(seal: "+s.SealReason+")")
	case s.Message == "fail":
		words = append(words, "(the seal verifies; message signature: "+s.MessageReason+")")
	case s.Message == "pass":
		words = append(words, "(seal and message signature verify)")
	default:
		words = append(words, "(the seal verifies; the message was changed later)")
	}
	return strings.Join(words, " ")
}

func (c *arcVerifyCmd) Run(e *env) error {
	r, err := c.resolver()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, authTime)
	defer cancel()
	v := arc.NewShared(arc.Options{Now: time.Now()})
	m := dkim.NewMessage(v.Begin)
	if _, err := c.copyTo(e, m); err != nil {
		return err
	}
	m.Finish()
	verdict := v.Finish(lookupKeys(ctx, r, v.Names()))
	answer := arcAnswer{Result: verdict.Result.String(), Reason: verdict.Reason.String(), Sets: []arcSet{}}
	if verdict.Result == arc.Pass {
		answer.OldestPass = &verdict.OldestPass
	}
	for _, s := range verdict.Sets {
		answer.Sets = append(answer.Sets, setOf(s))
	}
	return e.show(answer, func(w io.Writer) {
		writeLine(w, "%s (%s)", answer.Result, answer.Reason)
		for i := range answer.Sets {
			writeLine(w, "%s", answer.Sets[len(answer.Sets)-1-i].line())
		}
	})
}

type arcSealCmd struct {
	asking
	messageFile
	Domain     string `required:"" help:"The domain that seals." placeholder:"DOMAIN"`
	Selector   string `required:"" help:"Where its key is: SELECTOR._domainkey.DOMAIN." placeholder:"SELECTOR"`
	Key        string `required:"" type:"existingfile" help:"The private key in PEM: RSA (PKCS #1 or #8) or Ed25519 (PKCS #8)." placeholder:"FILE"`
	AuthservID string `name:"authserv-id" required:"" help:"Whose fields Authentication-Results in the message are told on." placeholder:"NAME"`
	Headers    string `help:"The header fields that are signed, with colons between them; else those that DKIM signs." placeholder:"NAME:NAME..."`
	Time       int64  `help:"When it is sealed, in seconds since 1970; else now." placeholder:"SECONDS"`
}

// sealed is what arc seal says.
type sealed struct {
	Fields string `json:"fields"`
	Chain  string `json:"chain"`
	Reason string `json:"reason"`
}

func (c *arcSealCmd) options() (arc.SealOptions, error) {
	o := arc.SealOptions{Time: time.Now()}
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return o, err
	}
	if o.Key, err = dkim.ParsePrivateKey(text); err != nil {
		return o, usagef("--key %s: %v", c.Key, err)
	}
	if o.Domain, err = mail.ParseDomain(c.Domain); err != nil {
		return o, usagef("--domain: %v", err)
	}
	if o.Selector, err = mail.ParseDomain(c.Selector); err != nil {
		return o, usagef("--selector: %v", err)
	}
	if c.Headers != "" {
		o.Names = strings.FieldsFunc(c.Headers, func(r rune) bool { return strings.ContainsRune(":, ", r) })
	}
	if c.Time != 0 {
		o.Time = time.Unix(c.Time, 0)
	}
	return o, nil
}

func (c *arcSealCmd) Run(e *env) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	s, err := arc.NewSealer(o)
	if err != nil {
		return usagef("%v", err)
	}
	r, err := c.resolver()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, authTime)
	defer cancel()
	v := arc.NewShared(arc.Options{Now: o.Time})
	var said []byte
	var arrived arc.Result
	m := dkim.NewMessage(v.Begin, s.Begin, func(h *dkim.Header, _ *dkim.Body) { said, arrived = arc.Gather(h, c.AuthservID) })
	crlf, err := c.copyTo(e, m)
	if err != nil {
		return err
	}
	m.Finish()
	verdict := v.Finish(lookupKeys(ctx, r, v.Names()))
	if said == nil { // Nobody here has checked anything but the chain.
		said = authres.Field{ServID: c.AuthservID, Results: []authres.Result{{Method: "arc", Value: verdict.Result.String()}}}.AppendValue(nil, true)
	}
	if arrived == arc.None {
		arrived = verdict.Result
	}
	fields, err := s.Seal(verdict, arrived, said)
	if err != nil {
		return err
	}
	if e.json {
		return e.show(sealed{string(fields), verdict.Result.String(), verdict.Reason.String()}, nil)
	}
	if fields == nil {
		writeLine(e.stderr, "There is nothing to extend: %s.", verdict.Reason)
		return nil
	}
	if !crlf {
		fields = bytes.ReplaceAll(fields, []byte("\r\n"), []byte("\n"))
	}
	_, err = e.out.Write(fields)
	return err
}

// lookupKeys asks for all keys side by side.
func lookupKeys(ctx context.Context, r dkim.Resolver, names []dns.Name) map[dns.Name]dkim.KeyResult {
	results := make([]dkim.KeyResult, len(names))
	var all sync.WaitGroup
	for i, n := range names {
		all.Go(func() { results[i] = dkim.Lookup(ctx, r, n) })
	}
	all.Wait()
	keys := map[dns.Name]dkim.KeyResult{}
	for i, n := range names {
		keys[n] = results[i]
	}
	return keys
}
