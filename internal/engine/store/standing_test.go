package store_test

import (
	"strings"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

func TestStandings(t *testing.T) {
	h := newHouse(t)
	one := h.account(1)
	inbox, junk := h.box(one, "INBOX"), h.box(one, "Junk")
	f := h.inbox(one)
	f.Prefix, f.Flags, f.Keywords = []byte("Return-Path: <b@example.net>\r\n"), mail.Seen, "$Junk"
	filed := h.deliver(text("1", "Subject", "body"), f)[0]
	other := h.deliver(text("2", "Other", "body"), h.inbox(one))[0]
	_, err := h.Copy(ctx, inbox.ID, mail.UIDs(filed.UID), junk.ID)
	h.must(err)
	all, err := h.Standings(ctx, one, []mail.EmailID{other.Email, filed.Email, filed.Email, 9999})
	h.must(err)
	if len(all) != 2 || len(all[filed.Email]) != 2 || len(all[other.Email]) != 1 {
		t.Fatalf("standings %+v", all)
	}
	want := store.Standing{Place: store.Place{Mailbox: junk.ID, UID: 1}, Flags: mail.Seen, Keywords: "$Junk"}
	if all[filed.Email][1] != want {
		t.Errorf("in Junk %+v, want %+v", all[filed.Email][1], want)
	}

	origins, err := h.Origins(ctx, one, []mail.EmailID{filed.Email, other.Email, 9999})
	h.must(err)
	from := origins[filed.Email].Form.Envelope().From
	if a, ok := from.Next(); !ok || a.Host.String() != "example.org" || string(origins[filed.Email].Prefix) != string(f.Prefix) || len(origins) != 2 {
		t.Errorf("origins %+v", origins)
	}
	if origins, err = h.Origins(ctx, h.account(2), []mail.EmailID{filed.Email}); err != nil || len(origins) != 0 {
		t.Errorf("another account is told %+v, %v", origins, err)
	}
	if _, _, err = h.OpenEmail(ctx, 2, filed.Email); mail.KindOf(err) != mail.NotFound || err == nil {
		t.Errorf("another account opens it: %v", err)
	}
	roles, err := h.Roles(ctx, one)
	if h.must(err); len(roles) != 6 || roles[junk.ID] != mail.RoleJunk {
		t.Errorf("roles %v", roles)
	}
	states, err := h.AccountStates(ctx, 0, 10)
	if h.must(err); len(states) != 2 || states[0].Account != one || states[1].ModSeq != 1 {
		t.Errorf("states %v", states)
	}

	// It leaves both, and is still known.
	since := store.ChangeState{ModSeq: states[0].ModSeq}
	for _, id := range []mail.MailboxID{inbox.ID, junk.ID} {
		_, err = h.ExpungeAny(ctx, id, mail.UIDs(1))
		h.must(err)
	}
	changes, err := h.Changes(ctx, one, since, 0)
	if h.must(err); len(changes.List) != 2 || changes.List[1].Kind != store.EmailDestroyed {
		t.Fatalf("changes %+v", changes.List)
	}
	flags, err := h.LeftWith(ctx, changes.List[1:])
	if got, known := flags[filed.Email]; err != nil || !known || got != mail.Seen || len(flags) != 1 {
		t.Errorf("left with %v, %v", flags, err)
	}
	content, form, err := h.OpenEmail(ctx, one, filed.Email)
	h.must(err)
	defer content.Close()
	var b strings.Builder
	if _, err = content.WriteTo(&b); err != nil || b.String() != text("1", "Subject", "body") || form.Envelope().Subject.String() != "Subject" {
		t.Errorf("octets %q, %v", b.String(), err)
	}
}

// TestEventSaysWhatCame: who cares for what people do need not look after each delivery.
func TestEventSaysWhatCame(t *testing.T) {
	h := newHouse(t)
	one := h.account(1)
	inbox, junk := h.box(one, "INBOX"), h.box(one, "Junk")
	h.events = nil
	h.deliver(text("1", "Subject", "body"), h.inbox(one))
	_, err := h.Move(ctx, inbox.ID, mail.UIDs(1), junk.ID)
	h.must(err)
	_, err = h.SetFlags(ctx, junk.ID, mail.UIDs(1), store.FlagChange{Flags: mail.Seen})
	h.must(err)
	var came []bool
	for _, e := range h.events {
		came = append(came, e.Came)
	}
	if len(came) != 4 || !came[0] || came[1] || came[2] || came[3] {
		t.Errorf("events %+v", h.events)
	}
}
