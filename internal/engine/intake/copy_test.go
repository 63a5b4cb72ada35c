package intake_test

import (
	"context"
	"testing"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
)

// archives is a Copier: each message is for Cyn's Journal and for a vault elsewhere.
type archives struct{}

func (archives) Copies(context.Context, intake.Envelope, []intake.Recipient, *intake.Message) []intake.Copy {
	sender := mail.ReversePath(address("postmaster@here.test"))
	vault := address("in@vault.test")
	return []intake.Copy{
		{Name: "journal", Sender: sender, Prefix: []byte("X-Copy: journal\r\n"), Accounts: []mail.AccountID{cyn}, Names: []mail.Address{address("c@here.test")}, Mailbox: "Journal"},
		{Name: "vault", Sender: sender, Prefix: []byte("X-Copy: vault\r\n"), Onward: []route.Onward{{Address: vault, Hop: mail.NextHop{Kind: mail.HopMX, Domain: vault.Domain}}}},
	}
}

func newArchivedHouse(t *testing.T) *house {
	h := newHouse(t, nil)
	h.Intake = intake.New(intake.Options{Store: h.store, Queue: h.queue, Copier: archives{}})
	return h
}

// Copies are in the commit of the message, and nothing else of it changes.
func TestCopiesAreMade(t *testing.T) {
	h := newArchivedHouse(t)
	p := h.plan(text, from("s@a.test"), to("a@here.test", []mail.AccountID{ann}))
	h.want("the plan", p.String(), "file for account 1 in INBOX\nfile for account 3 in Journal, made if there is none, the copy journal\n"+
		"queue for in@vault.test by mx:vault.test, the copy vault, from <postmaster@here.test>, with 31 octets in front\n")
	r, err := h.Commit(ctx, p)
	h.must(err)
	h.want("what is refused", r.Refusal(0), nil)
	h.want("the message", h.in(ann, "INBOX"), []string{"Return-Path: <s@a.test>\r\nDelivered-To: a@here.test\r\n" + string(prefix) + text})
	h.want("the copy", h.in(cyn, "Journal"), []string{"Return-Path: <s@a.test>\r\nX-Copy: journal\r\n" + string(prefix) + text})
	h.want("who gets mail in INBOX of the archive", len(h.in(cyn, "INBOX")), 0)
}

// Who is archived into and gets the message itself has both.
func TestCopyOfOnesOwn(t *testing.T) {
	h := newArchivedHouse(t)
	_, err := h.Commit(ctx, h.plan(text, from("s@a.test"), to("c@here.test", []mail.AccountID{cyn})))
	h.must(err)
	h.want("messages", len(h.in(cyn, "INBOX")), 1)
	h.want("copies", len(h.in(cyn, "Journal")), 1)
}

// An archive that is gone or full costs nobody the message: its copy goes through the
// queue, in the name of the postmaster.
func TestCopyThatCannotBeFiled(t *testing.T) {
	for _, why := range []string{"gone", "full"} {
		h := newArchivedHouse(t)
		p := h.plan(text, from("s@a.test"), to("a@here.test", []mail.AccountID{ann}))
		if why == "gone" {
			h.remove(cyn)
		} else {
			h.quotas = map[mail.AccountID]mail.Quota{cyn: {Octets: 1}}
		}
		r, err := h.Commit(ctx, p)
		h.must(err)
		h.want("what is refused when the archive is "+why, r.Refusal(0), nil)
		h.want("the message", len(h.in(ann, "INBOX")), 1)
		var queued []string
		for _, it := range r.Plan.Items {
			queued = append(queued, it.Copy+" from "+it.ReversePath.String()+" to "+it.Recipients[0].Address.String())
		}
		h.want("the copies", queued, []string{"journal from postmaster@here.test to c@here.test", "vault from postmaster@here.test to in@vault.test"})
	}
}

// Nobody's message is nobody's copy: the client hears of the refusal.
func TestNoCopyOfWhatIsRefused(t *testing.T) {
	h := newArchivedHouse(t)
	p := h.plan(text, from("s@a.test"), to("a@here.test", []mail.AccountID{ann}))
	h.remove(ann)
	if _, err := h.Commit(ctx, p); mail.KindOf(err) != mail.NotFound {
		t.Errorf("the client hears %v", err)
	}
	if _, err := h.store.Mailbox(ctx, cyn, "Journal"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("a copy was made: %v", err)
	}
}
