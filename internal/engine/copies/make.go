package copies

import (
	"context"
	"crypto/hmac"
	"io"
	"strings"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/obs"
)

// Names of the fields of a copy.
const (
	copyField     = "X-Yubin-Copy"
	envelopeFrom  = "X-Envelope-From"
	envelopeTo    = "X-Envelope-To"
	maxNamedOctet = 10 << 10 // of envelopeTo; what comes with it has its place, too
)

// Copies are those that are to be made of a message: see intake.Copier.
func (b *Book) Copies(ctx context.Context, e intake.Envelope, to []intake.Recipient, m *intake.Message) []intake.Copy {
	rules := *b.rules.Load()
	if len(rules) == 0 || e.FromQueue {
		return nil
	}
	report := e.Ours || e.ReversePath.IsNull()
	if report && len(to) == 1 && to[0].Address.Key() == b.o.Sender.Key() {
		return nil // It may be of a copy that failed.
	}
	var list []intake.Copy
	var header *message.Header
	for i := range rules {
		r := &rules[i]
		if r.Unreadable != "" || report && !r.Reports {
			continue
		}
		matched := b.matched(ctx, r, e, to)
		if matched == nil {
			continue
		}
		if header == nil {
			h, isCopy := b.read(m, rules)
			if isCopy {
				return nil
			}
			header = &h
		}
		if len(list) == MaxCopies {
			b.o.Log.Error("a message matches more copies than are made of one; the others are not made", "copies", MaxCopies, "left_out", r.Name)
			return list
		}
		list = append(list, b.copyBy(ctx, r, e, matched, header.MessageID))
	}
	return list
}

// matched are the recipients that a copy by r may name; nil if none is made.
func (b *Book) matched(ctx context.Context, r *Rule, e intake.Envelope, to []intake.Recipient) []intake.Recipient {
	if r.Side != To {
		var accounts []mail.AccountID
		if e.Account != 0 {
			accounts = []mail.AccountID{e.Account}
		}
		if b.matches(ctx, r.Pattern, mail.Address(e.ReversePath), accounts) {
			return to
		}
	}
	if r.Side == From {
		return nil
	}
	var list []intake.Recipient
	for _, one := range to {
		if b.matches(ctx, r.Pattern, one.Address, one.Route.Accounts) {
			list = append(list, one)
		}
	}
	return list
}

// read reads the header of a message, and says whether it is a copy of ours.
func (b *Book) read(m *intake.Message, rules []Rule) (h message.Header, isCopy bool) {
	msg, err := m.Finish()
	if err != nil {
		return h, false // The plan says so.
	}
	content, err := m.Content()
	if err != nil {
		b.o.Log.Error("a message cannot be read to see whether it is a copy", obs.Err(err))
		return msg.Header, false
	}
	defer content.Close()
	header := make([]byte, min(int64(msg.Header.Size), m.Size()))
	if _, err := content.ReadAt(header, 0); err != nil && err != io.EOF {
		b.o.Log.Error("a message cannot be read to see whether it is a copy", obs.Err(err))
		return msg.Header, false
	}
	for f := range message.Fields(header) {
		if !strings.EqualFold(f.Name, copyField) {
			continue
		}
		name, seal, _ := strings.Cut(string(f.Value), " ")
		for i := range rules {
			if r := &rules[i]; r.Name == name && r.Unreadable == "" && hmac.Equal([]byte(seal), []byte(r.seal(msg.Header.MessageID))) {
				return msg.Header, true
			}
		}
	}
	return msg.Header, false
}

// copyBy is the copy by a rule: where it goes, and what stands before it.
func (b *Book) copyBy(ctx context.Context, r *Rule, e intake.Envelope, matched []intake.Recipient, messageID []byte) intake.Copy {
	c := intake.Copy{Name: r.Name, Sender: mail.ReversePath(b.o.Sender), Prefix: []byte(copyField + ": " + r.Name + " " + r.seal(messageID) + "\r\n")}
	if r.Envelope {
		c.Prefix = appendEnvelope(c.Prefix, e.ReversePath, matched)
	}
	if r.Mailbox != "" {
		res, err := b.o.Directory.Resolve(ctx, r.Into)
		if err == nil && len(res.Accounts) == 1 && len(res.Foreign) == 0 {
			c.Accounts, c.Names, c.Mailbox = res.Accounts, res.Names, r.Mailbox
			return c
		}
		b.o.Log.Warn("the mailbox of a copy is not there; it goes to the address", "copy", r.Name, "address", r.Into.String(), obs.Err(err))
	}
	routed, err := b.o.Router.Route(ctx, b.question(r.Into))
	if err != nil { // The queue tries again, and tells the postmaster.
		b.o.Log.Warn("the address of a copy cannot be reached", "copy", r.Name, "address", r.Into.String(), obs.Err(err))
		c.Onward = []route.Onward{intake.QueuedHere(r.Into)}
		return c
	}
	c.Accounts, c.Names, c.Onward = routed.Accounts, routed.Names, routed.Onward
	for i := range c.Onward {
		c.Onward[i].Forward = "" // It is this server's own.
	}
	return c
}

// appendEnvelope appends who sent a message to whom, as archives read it.
func appendEnvelope(dst []byte, from mail.ReversePath, to []intake.Recipient) []byte {
	dst = append(dst, envelopeFrom+": <"+from.String()+">\r\n"...)
	start := len(dst)
	dst = append(dst, envelopeTo+":"...)
	for i, one := range to {
		if i > 0 {
			if len(dst)-start > maxNamedOctet { // Another field of the same name.
				dst, start = append(dst, "\r\n"+envelopeTo+":"...), len(dst)
			} else {
				dst = append(dst, ",\r\n\t"...)
			}
		}
		if dst[len(dst)-1] == ':' {
			dst = append(dst, ' ')
		}
		dst = append(dst, one.Address.String()...)
	}
	return append(dst, "\r\n"...)
}

// Explain says which copies would be made of a message from a sender, who is an account
// or zero, for a recipient that leads to accounts.
func (b *Book) Explain(ctx context.Context, q route.Question) (steps []route.Step) {
	e := intake.Envelope{}
	e.ReversePath, e.Account = q.Sender, q.Account
	to := intake.Recipient{Address: q.Recipient}
	if routed, err := b.o.Router.Route(ctx, q); err == nil {
		to.Route = routed
	} else {
		return nil // It is not taken.
	}
	for _, r := range b.Rules() {
		if r.Unreadable != "" || q.Sender.IsNull() && !r.Reports || b.matched(ctx, &r, e, []intake.Recipient{to}) == nil {
			continue
		}
		says := r.String()
		if err := b.reaches(ctx, r); err != nil {
			says += "; but it cannot be delivered: " + err.Error()
		}
		steps = append(steps, route.Step{About: "copy", Says: says})
	}
	return steps
}

// String says what a rule does, for people.
func (r *Rule) String() string {
	s := r.Name + ": " + r.Target() + " gets a copy of mail "
	if r.Side == Any {
		s += "to or from "
	} else {
		s += string(r.Side) + " "
	}
	if r.Pattern.All {
		return s + "anybody"
	}
	return s + r.Pattern.String()
}

// Target is where the copies of a rule go, for people.
func (r *Rule) Target() string {
	if r.Mailbox == "" {
		return r.Into.String()
	}
	return string(r.Mailbox) + " of " + r.Into.String()
}
