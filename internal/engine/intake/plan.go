package intake

import (
	"context"
	"errors"
	"slices"
	"strings"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Envelope is what came with a message, beside its recipients.
type Envelope struct {
	// Item is the envelope as the queue keeps it: what MAIL said and who said it.
	// Arrived is the date of the filings too. The fields in Prefix are put in front of
	// every copy; a copy for a mailbox has Return-Path and Delivered-To before them.
	spool.Item
	// Each says that every recipient has an answer of its own (LMTP, the queue).
	// Else there is one for all: who is refused while others are not is the queue's,
	// which tells the sender.
	Each bool
	// FromQueue says that the message comes from the queue, which knows by the result
	// that a copy was filed: nobody needs to be told of that here.
	FromQueue bool
	// Ours says that the message is this server's own: no quota holds it back.
	Ours bool
	// Stranger says that a client brought it whose word about the sender is not taken.
	Stranger bool
	// Judge judges the message; nil takes it as it is.
	Judge Judge
}

// Recipient is one recipient of a message, and where mail for it goes.
type Recipient struct {
	Address mail.Address // as it was given
	Route   route.Routed
	Notify  mail.Notify
	ORCPT   string // RFC 3461 §4.2, decoded; "" if none
	// Hold has the queue keep the message until it is released, also one for mailboxes here.
	Hold queue.Hold
}

// Plan is what is to become of a message.
type Plan struct {
	Message  *Message `json:"-"`
	Filings  []Filing
	Items    []Item
	Refusals []Refusal // in the order of the recipients

	envelope   Envelope
	judgement  Judgement
	recipients []Recipient
	copies     [][]copyFor                      // of each recipient: as its accounts wish
	loops      []bool                           // of each recipient: it had the message before
	paths      map[mail.Domain]mail.ReversePath // of what goes on in the name of a domain of ours
	laid       int                              // items that are for the recipients: the first ones
	keep       Keep                             // nil if nobody wants the octets for itself
	extra      []Copy                           // for others than the recipients
	unable     map[mail.AccountID]error         // who cannot have a copy after all
}

// Filing is a copy for a mailbox.
type Filing struct {
	store.Filing
	For  int    // the recipient by its place among all; -1 if there is none
	Copy string // whose copy it is, by its name; "" for a recipient's
}

// Item is what the queue gets: an envelope, its recipients, and octets. These are
// the fields in its Prefix, then the message, or one of its own.
type Item struct {
	spool.Item
	Recipients []queue.Recipient
	Message    *Message `json:"-"` // nil: that of the plan
	Copy       string   `json:"-"` // whose copy it is, by its name; "" for a recipient's
}

// Refusal says that a recipient cannot have the message.
type Refusal struct {
	For     int // by its place among all
	Address mail.Address
	Err     error
}

// copyFor is what an account behind a recipient wants.
type copyFor struct {
	account mail.AccountID
	name    mail.Address   // by which the queue can find the account
	by      mail.AccountID // who sends mail on to it and keeps a copy, or zero
	wishes  []Wish
	err     error // it cannot have the message
}

// ErrLoop is the cause (errors.Is) of the refusal of a recipient whom a Delivered-To
// field names: the message was here before.
var ErrLoop = errors.New("intake: the message was delivered to this recipient before")

func errLoop() error {
	return &mail.Error{Kind: mail.Forbidden, Text: "the message was delivered to this recipient before: a loop", Err: ErrLoop}
}

// Plan says what is to become of a message, which is complete, for its recipients.
// It asks their accounts for their wishes and changes nothing. The error is one
// that concerns all recipients, and temporary unless it is of a kind that is not.
func (in *Intake) Plan(ctx context.Context, m *Message, e Envelope, to []Recipient) (*Plan, error) {
	msg, err := m.Finish()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, in.o.Deadline, errLate)
	defer cancel()
	e.TLSOptional = e.TLSOptional || waivesTLS(msg.Header.TLSRequired)
	to = heldBack(to)
	p := &Plan{Message: m, envelope: e, recipients: to, copies: make([][]copyFor, len(to)), loops: make([]bool, len(to))}
	had := deliveredTo(msg.Header.DeliveredTo)
	for i, r := range to {
		p.loops[i] = len(r.Route.Accounts) > 0 && had[r.Address.Key()]
	}
	if e.Judge != nil {
		p.judgement = e.Judge.Judge(ctx, m, e, to)
		if err := p.judgement.agree(to, p.loops); err != nil {
			return nil, err
		}
	}
	asked := make(map[mail.AccountID]copyFor) // each account once
	for i, r := range to {
		if p.loops[i] {
			continue
		}
		for j, account := range r.Route.Accounts {
			c := copyFor{account: account, name: r.Address}
			if j < len(r.Route.Names) {
				c.name = r.Route.Names[j]
			}
			if j < len(r.Route.By) {
				c.by = r.Route.By[j]
			}
			if before, ok := asked[account]; ok {
				c.wishes, c.err = before.wishes, before.err
			} else if c.wishes, c.err = in.o.Wishes.Wish(ctx, Question{account, e, r, m, p.judgement.Accounts[account]}); c.err != nil && mail.KindOf(c.err) != mail.NotFound {
				if ctx.Err() != nil {
					return nil, mail.Errorf(mail.Unavailable, "it takes too long to find out what becomes of the message: %w", context.Cause(ctx))
				}
				return nil, c.err
			}
			asked[account] = c
			p.copies[i] = append(p.copies[i], c)
		}
	}
	if in.o.Keeper != nil {
		p.keep = in.o.Keeper.Keep(e, to, m)
	}
	if in.o.Copier != nil {
		p.extra = in.o.Copier.Copies(ctx, e, to, m)
	}
	p.paths = in.forwardPaths(ctx, p)
	p.lay()
	return p, nil
}

// heldBack has the recipients that are held, and have mailboxes here, behind the queue: where mail for
// them goes is found out when it is released.
func heldBack(to []Recipient) []Recipient {
	held := func(r Recipient) bool { return r.Hold.By != "" && len(r.Route.Accounts) > 0 }
	if !slices.ContainsFunc(to, held) {
		return to
	}
	to = slices.Clone(to)
	for i, r := range to {
		if held(r) {
			to[i].Route = route.Routed{Onward: []route.Onward{QueuedHere(r.Address)}}
		}
	}
	return to
}

var errLate = errors.New("intake: the deadline of a plan")

// waivesTLS reports whether a message is to be delivered whatever its recipients' domains
// ask for (RFC 8689 §3). More fields than the one that is allowed say nothing.
func waivesTLS(fields []string) bool {
	return len(fields) == 1 && strings.EqualFold(strings.TrimSpace(fields[0]), "No")
}

// deliveredTo are the addresses to which a message was delivered before.
func deliveredTo(fields []string) map[mail.Address]bool {
	if len(fields) == 0 {
		return nil
	}
	had := make(map[mail.Address]bool, len(fields))
	for _, value := range fields {
		if a, err := mail.ParseAddress(value); err == nil {
			had[a.Key()] = true
		}
	}
	return had
}

// Without is the plan if some accounts cannot have the message. Items that somebody
// added to it stay, unless nobody can have the message.
func (p *Plan) Without(refused map[mail.AccountID]error) *Plan {
	q := &Plan{Message: p.Message, envelope: p.envelope, judgement: p.judgement, paths: p.paths, recipients: p.recipients, loops: p.loops, keep: p.keep, extra: p.extra, unable: refused, copies: make([][]copyFor, len(p.copies))}
	for i, copies := range p.copies {
		for _, c := range copies {
			if err := refused[c.account]; err != nil {
				c.err = err
			}
			q.copies[i] = append(q.copies[i], c)
		}
	}
	if len(p.recipients) > 0 {
		if q.lay(); !q.nowhere() {
			q.Items = append(q.Items, p.Items[p.laid:]...)
		}
		return q
	}
	for _, f := range p.Filings { // Written by hand.
		if err := refused[f.Account]; err != nil {
			q.Refusals = append(q.Refusals, Refusal{For: f.For, Err: err})
		} else {
			q.Filings = append(q.Filings, f)
		}
	}
	q.Items = p.Items
	return q
}

// lay makes filings, items and refusals of what the recipients and their accounts
// want. An account gets a message once, however many recipients lead to it; the
// first of them is named in Delivered-To.
func (p *Plan) lay() {
	accepted := false
	lost := make([]error, len(p.recipients))                      // why nobody behind a recipient can have it
	without := make([]map[mail.AccountID]bool, len(p.recipients)) // of each recipient: accounts that cannot have it
	for i, r := range p.recipients {
		able := 0
		for _, c := range p.copies[i] {
			if c.err != nil {
				if without[i] == nil {
					without[i] = make(map[mail.AccountID]bool)
				}
				without[i][c.account], lost[i] = true, c.err
			}
		}
		for _, c := range p.copies[i] {
			if c.err == nil && !without[i][c.by] {
				able++
			}
		}
		for _, o := range r.Route.Onward {
			if !without[i][o.By] {
				able++
			}
		}
		if able > 0 {
			lost[i] = nil
		}
		if p.loops[i] {
			lost[i] = errLoop()
		}
		accepted = accepted || lost[i] == nil
	}
	seen := make(map[mail.AccountID]bool, len(p.recipients))
	items := items{p: p}
	for i, r := range p.recipients {
		switch {
		case lost[i] != nil && (p.envelope.Each || !accepted):
			p.Refusals = append(p.Refusals, Refusal{For: i, Address: r.Address, Err: lost[i]})
			continue
		case lost[i] != nil: // The queue tries again, or tells the sender.
			items.add(r, QueuedHere(r.Address), false)
			continue
		}
		onward := r.Route.Onward
		if len(without[i]) > 0 { // Who keeps a copy sends on when he has it.
			onward = slices.DeleteFunc(slices.Clone(onward), func(o route.Onward) bool { return without[i][o.By] })
		}
		filed := 0
		for _, c := range p.copies[i] {
			if without[i][c.by] {
				continue
			}
			if c.err != nil { // Others behind the same recipient can have it.
				onward = append(onward[:len(onward):len(onward)], QueuedHere(c.name))
				continue
			}
			filed++
			if seen[c.account] {
				continue
			}
			seen[c.account] = true
			prefix := p.prefixOf(r.Address, c.account)
			for _, w := range c.wishes {
				p.Filings = append(p.Filings, Filing{For: i, Filing: store.Filing{Account: c.account, Mailbox: w.Mailbox, Name: w.Name, Role: w.Role,
					Make: w.Make, Flags: w.Flags, Keywords: w.Keywords, Prefix: prefix, Received: p.envelope.Arrived, Ours: p.envelope.Ours}})
			}
		}
		several := filed+len(onward) > 1
		for _, o := range onward {
			items.add(r, o, several)
		}
		if own, wanted := reported(r, filed > 0 && len(onward) == 0, several); wanted && !p.envelope.FromQueue && !p.envelope.ReversePath.IsNull() {
			items.item("").Recipients = append(items.item("").Recipients, own)
		}
	}
	for _, item := range items.list {
		for all := item.Recipients; len(all) > 0; all = all[len(item.Recipients):] {
			item.Recipients = all[:min(len(all), queue.MaxRecipients)]
			p.Items = append(p.Items, *item)
		}
	}
	if accepted {
		p.layCopies(seen)
	}
	p.laid = len(p.Items)
}

// prefixOf are the header fields before the copy for an account of who was written
// to as to (RFC 5321 §4.4): where it went, what was thought of it, how it came.
func (p *Plan) prefixOf(to mail.Address, account mail.AccountID) []byte {
	from, addr := p.envelope.ReversePath.String(), to.String()
	opinion := p.judgement.Accounts[account].Prefix
	b := make([]byte, 0, len("Return-Path: <>\r\nDelivered-To: \r\n")+len(from)+len(addr)+len(opinion)+len(p.judgement.Prefix)+len(p.envelope.Prefix))
	b = append(append(append(b, "Return-Path: <"...), from...), ">\r\n"...)
	b = append(append(append(b, "Delivered-To: "...), addr...), "\r\n"...)
	return append(append(append(b, opinion...), p.judgement.Prefix...), p.envelope.Prefix...)
}

// QueuedHere is the way to an address of ours through the queue.
func QueuedHere(to mail.Address) route.Onward {
	return route.Onward{Address: to, Hop: mail.NextHop{Kind: mail.HopLocal}}
}

// forward is r on its way to one address. Who wrote to an alias is told of the
// alias. Success at one of several addresses is nothing to report, for the
// expansion is (RFC 3461 §5.2.7.3 (c)); nor is that of mail from the queue, which
// tells itself.
func forward(r Recipient, o route.Onward, several, fromQueue bool) queue.Recipient {
	out := mail.OutgoingRecipient{Address: o.Address, ORCPT: r.ORCPT, Notify: r.Notify}
	if out.ORCPT == "" && o.Address != r.Address && !fromQueue {
		out.ORCPT = originalRecipient(r.Address)
	}
	if (several || fromQueue) && out.Notify&mail.NotifySuccess != 0 {
		if out.Notify &^= mail.NotifySuccess; out.Notify == 0 {
			out.Notify = mail.NotifyNever
		}
	}
	return queue.Recipient{OutgoingRecipient: out, Site: o.Hop.Site(), Hold: r.Hold}
}

// originalRecipient is a as the value of ORCPT, decoded (RFC 3461 §5.2.1 (d)); ""
// if that is longer than the queue takes.
func originalRecipient(a mail.Address) string {
	orcpt := "rfc822;" + a.String()
	if a.NeedsUTF8() {
		orcpt = "utf-8;" + a.String()
	}
	if len(orcpt) > queue.MaxORCPT {
		return ""
	}
	return orcpt
}

// reported is r as somebody whose delivery here, or expansion, is to be reported by
// us (RFC 3461 §5.2.3, §5.2.7.3). Of an alias with one address elsewhere the last
// host reports (§5.2.7.2).
func reported(r Recipient, filed, several bool) (own queue.Recipient, wanted bool) {
	own.OutgoingRecipient = mail.OutgoingRecipient{Address: r.Address, ORCPT: r.ORCPT, Notify: r.Notify}
	own.Filed = filed
	own.Expanded = !filed && several
	return own, r.Notify&mail.NotifySuccess != 0 && (own.Filed || own.Expanded)
}

// Refusal is why a recipient, by its place, cannot have the message; nil if it can.
func (p *Plan) Refusal(recipient int) error {
	for _, r := range p.Refusals {
		if r.For == recipient {
			return r.Err
		}
	}
	return nil
}

// nowhere reports whether nobody can have the message who should.
func (p *Plan) nowhere() bool { return len(p.Filings)+len(p.Items) == 0 && len(p.Refusals) > 0 }

// check finds what no plan may say.
func (p *Plan) check() error {
	for _, it := range p.Items {
		if len(it.Recipients) == 0 {
			return mail.Errorf(mail.Internal, "an item without recipients")
		}
	}
	if len(p.Filings) > store.MaxFilings {
		return mail.Errorf(mail.TooLarge, "one message goes to at most %d mailboxes at once", store.MaxFilings)
	}
	if len(p.Items) > MaxItems {
		return mail.Errorf(mail.TooLarge, "one message makes at most %d others", MaxItems)
	}
	return nil
}

// MaxItems is how many items one plan has.
const MaxItems = 64
