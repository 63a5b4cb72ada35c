package store_test

import (
	"fmt"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// importing makes what Import takes of texts, with these UIDs.
func (h *house) importing(uids ...mail.UID) (list []store.Imported) {
	h.t.Helper()
	for i, uid := range uids {
		in := h.NewIncoming()
		h.t.Cleanup(in.Close)
		_, err := in.Write([]byte(text(string(rune('a'+i)), "imported", "text")))
		h.must(err)
		list = append(list, store.Imported{Incoming: in, UID: uid, Flags: mail.Seen, Keywords: "$Junk",
			Received: time.Unix(1_500_000_000, 0).In(time.FixedZone("", 3600))})
	}
	return list
}

func TestImportKeepsNumbering(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	box := h.box(a, mail.Inbox)
	ok, err := h.AdoptNumbering(ctx, box.ID, 12345, 0)
	h.must(err)
	if !ok {
		t.Fatal("a new mailbox did not take a UIDVALIDITY")
	}
	h.view(box.ID) // Loaded, so that the commit must bring it up to date.
	ran := 0
	filed, err := h.DeliverNumbered(ctx, box.ID, h.importing(7, 9, 0), func(_ *sqldb.Tx, _ int, f []store.Filed) error {
		ran = len(f)
		return nil
	})
	h.must(err)
	if ran != 3 || filed[0].UID != 7 || filed[1].UID != 9 || filed[2].UID != 10 || filed[0].UIDValidity != 12345 {
		t.Fatalf("filed %v, also saw %d", filed, ran)
	}
	if got, want := show(h.view(box.ID)), `7+$Junk+\Seen 9+$Junk+\Seen 10+$Junk+\Seen`; got != want {
		t.Errorf("view %s, want %s", got, want)
	}
	rows, _, err := h.Rows(ctx, box.ID, []mail.UID{9}, 0)
	h.must(err)
	if got := rows[0].Received.Format(time.RFC3339); got != "2017-07-14T03:40:00+01:00" {
		t.Errorf("received %s", got)
	}
	if _, err := h.DeliverNumbered(ctx, box.ID, h.importing(11, 10), nil); err == nil {
		t.Error("descending UIDs were taken")
	} else {
		wantKind(t, err, mail.Conflict)
	}
	if h.box(a, mail.Inbox).Exists != 3 {
		t.Error("something of a refused import stayed")
	}
	ok, err = h.AdoptNumbering(ctx, box.ID, 12345, 40)
	h.must(err)
	if got := h.box(a, mail.Inbox).UIDNext; !ok || got != 40 {
		t.Errorf("%v, next UID %d, want 40", ok, got)
	}
	h.must(h.NewNumbering(ctx, box.ID))
	if got := h.box(a, mail.Inbox); got.UIDValidity <= 12345 || got.UIDNext != 40 {
		t.Errorf("a new numbering is %d, next %d", got.UIDValidity, got.UIDNext)
	}
}

// TestAdoptNumberingRefuses: UIDs that clients know are never given another
// meaning.
func TestAdoptNumberingRefuses(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox, drafts, sent := h.box(a, mail.Inbox), h.box(a, "Drafts"), h.box(a, "Sent")
	adopt := func(id mail.MailboxID, v mail.UIDValidity, want bool) {
		t.Helper()
		got, err := h.AdoptNumbering(ctx, id, v, 0)
		h.must(err)
		if got != want {
			t.Errorf("mailbox %d took %d: %v, want %v", id, v, got, want)
		}
	}
	adopt(inbox.ID, 0, false)
	adopt(inbox.ID, 1<<32-1, false)           // None would be left for later.
	adopt(inbox.ID, drafts.UIDValidity, true) // Drafts never had a message: it gets another.
	if h.box(a, "Drafts").UIDValidity == drafts.UIDValidity {
		t.Error("two mailboxes have a UIDVALIDITY")
	}
	_, err := h.DeliverNumbered(ctx, inbox.ID, h.importing(0), nil)
	h.must(err)
	adopt(inbox.ID, 77, false)                // It has messages.
	adopt(sent.ID, drafts.UIDValidity, false) // INBOX has it.
	adopt(sent.ID, 4_000_000_000, true)
	h.must(h.DeleteMailbox(ctx, a, "Sent"))
	m, err := h.CreateMailbox(ctx, a, "Sent", "")
	h.must(err)
	if m.UIDValidity <= 4_000_000_000 {
		t.Errorf("the next UIDVALIDITY is %d", m.UIDValidity)
	}
	adopt(m.ID, 4_000_000_000, false) // The name had it.
	adopt(m.ID, 4_100_000_000, true)
}

// TestImportedOctetsAreNeighbours: the octets of messages that came together have
// numbers in the order of the messages, so that reading them finds them side by side.
func TestImportedOctetsAreNeighbours(t *testing.T) {
	h := newHouse(t)
	inbox := h.box(h.account(1), mail.Inbox).ID
	var list []store.Imported
	for i := range 30 {
		in := h.NewIncoming()
		defer in.Close()
		_, err := in.Write([]byte(text(fmt.Sprint(i), "Minutes", fmt.Sprint(i))))
		h.must(err)
		list = append(list, store.Imported{Incoming: in, Received: h.now()})
	}
	_, err := h.DeliverNumbered(ctx, inbox, list, nil)
	h.must(err)
	if n := h.count(`SELECT count(*) FROM email e JOIN email f ON f.uid = e.uid + 1 WHERE f.blob <> e.blob + 1`); n != 0 {
		t.Errorf("%d of 30 messages have their octets elsewhere than behind those of the message before", n)
	}
}
