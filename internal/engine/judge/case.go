package judge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/engine/dnslist"
	"yubin/internal/engine/filter"
	"yubin/internal/engine/history"
	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/mailauth/arc"
	"yubin/internal/mailauth/authres"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/spf"
)

// Case is one message that is being judged. Its methods but Forbidden are called by
// one goroutine; Close ends it.
type Case struct {
	j      *Judge
	ctx    context.Context // of what is asked: ends with the case
	cancel context.CancelFunc
	client Client
	sender mail.ReversePath

	observer Observer // hears what the case comes to; nil for nobody

	spf     *asked[spf.Verdict]
	reverse *asked[reverse]
	lists   []*asked[dnslist.Findings]
	only    *asked[bool] // the sender's domain says that it sends nothing

	octets     *dkim.Message // reads the message for the next
	signatures *dkim.Verifier
	chain      *arc.Verifier
	begun      bool // the header is complete
	header     int  // octets of it, about
	author     author
	keys       []keyOf
	policies   []*asked[*dmarc.Author] // of author.domains, in their order

	heard    filter.Result                                          // of filters of others
	score    func(context.Context, mail.AccountID) (float64, error) // of what it says; nil until it is asked for
	judged   bool
	results  authres.Field
	site     Verdict // of who has no account here; of nobody if all have one
	accounts []AccountVerdict
	wrote    history.Correspondent
}

// AccountVerdict is the verdict of one account; account 0 is of those elsewhere.
type AccountVerdict struct {
	Account mail.AccountID
	Verdict
}

// Verdicts are what came of the case: of each account, or of account 0 if no recipient
// leads to any.
func (c *Case) Verdicts() []AccountVerdict {
	if len(c.accounts) == 0 {
		return []AccountVerdict{{Verdict: c.site}}
	}
	return c.accounts
}

// Results are the value of Authentication-Results that came of the case.
func (c *Case) Results() authres.Field { return c.results }

// Open begins a case: what can be asked about the client and the sender is asked from
// now on.
func (j *Judge) Open(client Client, sender mail.ReversePath) *Case {
	c := &Case{j: j, client: client, sender: sender}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.signatures = dkim.NewShared(dkim.Options{Now: j.o.Now()})
	c.chain = arc.NewShared(arc.Options{Now: j.o.Now()})
	c.octets = dkim.NewMessage(c.signatures.Begin, c.chain.Begin, c.begin)
	if client.Remote.IsValid() {
		c.spf = ask(c, c.checkSPF)
		c.reverse = ask(c, c.findReverse)
		c.askLists(c.listedAtMail()...)
	}
	return c
}

// Close ends the case and all that is being asked for it. It can be called more than
// once.
func (c *Case) Close() { c.cancel() }

// asked is an answer that is on its way.
type asked[T any] struct {
	done  chan struct{}
	value T
}

// ask has fn find something out beside all else. Its context ends with the deadline,
// and what it returns then is what could be had.
func ask[T any](c *Case, fn func(context.Context) T) *asked[T] {
	a := &asked[T]{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		ctx, cancel := context.WithTimeout(c.ctx, c.j.o.Deadline)
		defer cancel()
		a.value = fn(ctx)
	}()
	return a
}

// get waits for the answer: until the deadline at most. Nobody was asked: the zero
// value.
func (a *asked[T]) get() (value T) {
	if a == nil {
		return value
	}
	<-a.done
	return a.value
}

func (c *Case) checkSPF(ctx context.Context) spf.Verdict {
	return spf.Check(ctx, c.j.o.Resolver, spf.Query{IP: c.client.Remote, Helo: c.client.Hello, Sender: c.sender, Receiver: c.j.o.Hostname, Now: c.j.o.Now()})
}

// Forbidden says why the sender's domain forbids this message for certain: it says of
// itself that it sends nothing, and nothing else. nil if it does not. It waits for
// the DNS until ctx is done.
func (c *Case) Forbidden(ctx context.Context) error {
	if c.spf == nil {
		return nil
	}
	select {
	case <-c.spf.done:
	case <-ctx.Done():
		return nil
	}
	v := c.spf.value
	if v.Result != spf.Fail || v.Reason.Term != "-all" || !strings.EqualFold(v.Reason.Domain, v.Domain) {
		return nil
	}
	if c.only == nil {
		c.only = ask(c, func(ctx context.Context) bool { return sendsNothing(ctx, c.j.o.Resolver, v.Domain) })
	}
	select {
	case <-c.only.done:
	case <-ctx.Done():
		return nil
	}
	if !c.only.value {
		return nil
	}
	return &Refusal{Enhanced: mail.Enhanced{Class: 5, Subject: 7, Detail: 23}, // RFC 7372 §3.2
		Text: fmt.Sprintf("the domain %s says by SPF (v=spf1 -all) that it sends no mail", v.Domain)}
}

// Write takes octets of the message as they come, before anything is cut out.
func (c *Case) Write(p []byte) {
	if !c.begun {
		c.header += len(p)
	}
	_, _ = c.octets.Write(p) // It never fails.
}

// begin is told of the header: whoever has to be asked about it is.
func (c *Case) begin(h *dkim.Header, _ *dkim.Body) {
	c.begun = true
	c.author = readAuthor(h)
	for _, n := range append(c.signatures.Names(), c.chain.Names()...) {
		if slices.ContainsFunc(c.keys, func(k keyOf) bool { return k.name == n }) {
			continue
		}
		c.keys = append(c.keys, keyOf{n, ask(c, func(ctx context.Context) dkim.KeyResult { return dkim.Lookup(ctx, c.j.o.Resolver, n) })})
	}
	c.askLists(listedAuthors(c.author.domains)...)
	for _, d := range c.author.domains {
		c.policies = append(c.policies, ask(c, func(ctx context.Context) *dmarc.Author { return dmarc.Find(ctx, c.j.o.Resolver, d) }))
	}
}

// keyOf is where a key is, and what is there.
type keyOf struct {
	name dns.Name
	key  *asked[dkim.KeyResult]
}

// Memory is about how many octets the case holds of the message.
func (c *Case) Memory() int { return min(2*c.header, 2*dkim.MaxHeader) }

// The memory that reading a message takes while it is judged, in octets, about.
const (
	readingLeast = 64 << 10
	readingMost  = 1 << 20 // package extract bounds it
)

// Reading is how many octets more Judge takes for a message of a size.
func Reading(size int64) int { return int(min(readingLeast+2*size, readingMost)) }

// Taken is told that the message was taken, and who has a copy. Who has it in Junk does
// not know its sender for that.
func (c *Case) Taken(accounts []mail.AccountID) {
	if !c.judged || c.j.o.History == nil {
		return
	}
	for _, a := range accounts {
		if slices.ContainsFunc(c.accounts, func(v AccountVerdict) bool { return v.Account == a && v.Action == intake.Accept }) {
			c.j.o.History.Received(a, c.wrote)
		}
	}
}

// Summary is what the log and the journal keep of a case: the verdict of the account
// that thinks worst of it; "" before there is one.
func (c *Case) Summary() string {
	if !c.judged {
		return ""
	}
	if len(c.accounts) == 0 {
		return c.site.String()
	}
	worst := c.accounts[0].Verdict
	for _, v := range c.accounts[1:] {
		if v.Action > worst.Action || v.Action == worst.Action && v.Score > worst.Score {
			worst = v.Verdict
		}
	}
	return worst.String()
}
