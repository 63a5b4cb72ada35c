package store_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// behind changes rows behind the store's back. x'00ff' are octets.
func (h *house) behind(query string, args ...any) {
	h.t.Helper()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(octets(query), args...)
		return err
	}))
}

// octets is a statement with its octets as the database writes them.
func octets(query string) string {
	if !dbtest.OnServer() {
		return query
	}
	return regexp.MustCompile(`x'([0-9a-f]*)'`).ReplaceAllString(query, `CAST('\x$1' AS {blob})`)
}

// TestDamagedBundle: a mailbox with a bundle that cannot be read is not shown as if
// its messages were gone; all others are read, and swept when they are deleted.
func TestDamagedBundle(t *testing.T) {
	h := newHouse(t)
	one := h.account(1)
	for _, name := range []mail.MailboxName{"A", "B", "Z"} {
		m, err := h.CreateMailbox(ctx, one, name, "")
		h.must(err)
		h.deliver(text(string(name), "s", "b"), store.Filing{Account: one, Mailbox: m.ID, Received: h.now()})
	}
	z := h.box(one, "Z").ID
	h.behind(`CREATE TABLE kept AS SELECT * FROM membership WHERE place >> 32 = $1`, z)
	h.behind(`UPDATE membership SET entries = x'00ff' WHERE place >> 32 = $1`, z)
	_, err := h.View(ctx, z)
	wantKind(t, err, mail.Internal)
	if got := h.view(h.box(one, "A").ID).Len(); got != 1 {
		t.Errorf("A has %d messages", got)
	}
	var found []string
	h.must(h.Check(ctx, func(p string) { found = append(found, p) }))
	if !strings.Contains(strings.Join(found, "\n"), fmt.Sprintf("mailbox %d", z)) {
		t.Errorf("check says %q", found)
	}
	for _, name := range []mail.MailboxName{"A", "B", "Z"} {
		h.must(h.DeleteMailbox(ctx, one, name))
	}
	h.must(h.Sweep(ctx))
	if got := h.count(`SELECT count(*) FROM doomed`); got != 1 {
		t.Errorf("%d mailboxes are not swept, want the damaged one", got)
	}
	if got := h.count(`SELECT count(*) FROM expunged`); got != 2 {
		t.Errorf("%d messages are expunged", got)
	}
	h.behind(`UPDATE membership SET entries = (SELECT entries FROM kept WHERE kept.place = membership.place) WHERE place >> 32 = $1`, z)
	h.behind(`DROP TABLE kept`)
	h.must(h.Sweep(ctx))
	if got := h.count(`SELECT count(*) FROM doomed`); got != 0 {
		t.Errorf("%d mailboxes are not swept", got)
	}
}

// TestUnreadableRows: one row that cannot be read keeps no list and no sweep from
// the others.
func TestUnreadableRows(t *testing.T) {
	h := newHouse(t)
	one, two := h.account(1), h.account(2)
	for i, id := range []string{"a", "b", "c"} {
		filed := h.deliver(text(id, "s", "b"), h.inbox(one))
		_, err := h.ExpungeAny(ctx, filed[0].Mailbox, mail.UIDSet{{First: filed[0].UID, Last: filed[0].UID}})
		h.must(err)
		if i == 0 {
			h.behind(`UPDATE expunged SET flags = 999 WHERE account = $1`, one)
		}
	}
	h.advance(store.DefaultRetention().Expunged + time.Hour)
	h.must(h.Sweep(ctx))
	if got := h.count(`SELECT count(*) FROM expunged`); got != 1 {
		t.Errorf("%d are left, want the damaged one", got)
	}
	h.behind(`UPDATE expunged SET flags = 0`)

	bad, err := h.CreateMailbox(ctx, one, "Bad", "")
	h.must(err)
	all, err := h.Mailboxes(ctx, one)
	h.must(err)
	h.behind(`UPDATE tally SET unseen = -1 WHERE mailbox = $1`, bad.ID)
	list, err := h.Mailboxes(ctx, one)
	if err != nil || len(list) != len(all)-1 {
		t.Errorf("listed %d of %d, %v", len(list), len(all), err)
	}
	h.behind(`UPDATE tally SET unseen = 0 WHERE mailbox = $1`, bad.ID)

	if dbtest.OnServer() { // Has no number that is none.
		return
	}
	h.behind(`UPDATE tally SET size = 'much' WHERE account = $1 AND mailbox = 0`, one)
	h.deliver(text("d", "s", "b"), h.inbox(two))
	used, err := h.Usages(ctx, []mail.AccountID{one, two})
	if err != nil || used[1].Messages != 1 {
		t.Errorf("used %+v, %v", used, err)
	}
	h.behind(`UPDATE tally SET size = 0 WHERE account = $1 AND mailbox = 0`, one)
}

// TestNamesThatAreNone: a mailbox whose name cannot be one, or that is below
// nothing, is set aside with what is below it, and told; so is a subscription. All
// others are listed, renamed and deleted.
func TestNamesThatAreNone(t *testing.T) {
	h := newHouse(t)
	one := h.account(1)
	ids := map[mail.MailboxName]mail.MailboxID{}
	for _, name := range []mail.MailboxName{"A", "A/kid", "Bad", "Bad/kid", "Capitals", "Lost", "Lost/kid", "Round", "Round/kid"} {
		m, err := h.CreateMailbox(ctx, one, name, "")
		h.must(err)
		ids[name] = m.ID
	}
	h.must(h.Subscribe(ctx, one, "A", true))
	for _, behind := range []string{"", "back"} {
		label, inbox, lost, round, subscribed := "Bad", "Capitals", int64(0), int64(0), "A"
		if behind == "" {
			label, inbox, lost, round, subscribed = "B\x01d", "inbox", 9999, int64(ids["Round/kid"]), "A//b"
		}
		h.behind(`UPDATE mailbox SET label = $1 WHERE id = $2`, label, ids["Bad"])
		h.behind(`UPDATE mailbox SET label = $1 WHERE id = $2`, inbox, ids["Capitals"])
		h.behind(`UPDATE mailbox SET parent = $1 WHERE id = $2`, lost, ids["Lost"])
		h.behind(`UPDATE mailbox SET parent = $1 WHERE id = $2`, round, ids["Round"])
		h.behind(`UPDATE subscription SET name = $1 WHERE account = $2 AND name IN ('A', 'A//b')`, subscribed, one)
		if behind != "" {
			break
		}
		bad := []mail.MailboxName{"Bad", "Bad/kid", "Capitals", "Lost", "Lost/kid", "Round", "Round/kid"}
		list, err := h.Mailboxes(ctx, one)
		h.must(err)
		if names := nameList(list); names != "INBOX A A/kid Archive Drafts Junk Sent Trash" {
			t.Errorf("listed %s", names)
		}
		names, err := h.Subscriptions(ctx, one)
		h.must(err)
		if slices.Contains(names, "A//b") || len(names) != 6 {
			t.Errorf("subscribed to %q", names)
		}
		var found []string
		h.must(h.Check(ctx, func(p string) { found = append(found, p) }))
		for _, name := range bad {
			_, err := h.MailboxByID(ctx, one, ids[name])
			wantKind(t, err, mail.Internal)
			told := fmt.Sprintf("mailbox %d of account 1 cannot be read", ids[name])
			if !strings.Contains(strings.Join(found, "\n"), told) {
				t.Errorf("%s: check says %q", name, found)
			}
		}
		if told := `subscription "A//b" of account 1 cannot be read`; !strings.Contains(strings.Join(found, "\n"), told) {
			t.Errorf("check says %q", found)
		}
		h.must(h.RenameMailbox(ctx, one, "A", "Z"))
	}
	list, err := h.Mailboxes(ctx, one)
	h.must(err)
	if names := nameList(list); names != "INBOX Archive Bad Bad/kid Capitals Drafts Junk Lost Lost/kid Round Round/kid Sent Trash Z Z/kid" {
		t.Errorf("at last listed %s", names)
	}
}

func nameList(list []store.Mailbox) string {
	var names []string
	for _, m := range list {
		names = append(names, string(m.Name))
	}
	return strings.Join(names, " ")
}

// TestUnreadableCounters: a mailbox whose counters cannot be read keeps no other from
// its name, no RENAME and no account from going.
func TestUnreadableCounters(t *testing.T) {
	h := newHouse(t)
	one, two := h.account(1), h.account(2)
	for _, name := range []mail.MailboxName{"A", "Bad/kid"} {
		_, err := h.CreateMailbox(ctx, one, name, "")
		h.must(err)
	}
	bad := h.box(one, "Bad").ID
	h.behind(`UPDATE tally SET unseen = -1 WHERE mailbox = $1`, bad)
	list, err := h.Mailboxes(ctx, one)
	h.must(err)
	if names := nameList(list); names != "INBOX A Archive Bad/kid Drafts Junk Sent Trash" {
		t.Errorf("listed %s", names)
	}
	var found []string
	h.must(h.Check(ctx, func(p string) { found = append(found, p) }))
	if told := fmt.Sprintf("mailbox %d of account 1 cannot be read", bad); !strings.Contains(strings.Join(found, "\n"), told) {
		t.Errorf("check says %q", found)
	}
	h.must(h.RenameMailbox(ctx, one, "A", "Z"))
	h.must(h.RenameMailbox(ctx, one, "Bad", "Good"))
	h.behind(`UPDATE tally SET uidvalidity = -1 WHERE mailbox = $1`, bad)
	h.must(h.RenameMailbox(ctx, one, "Z", "A"))
	wantKind(t, h.RenameMailbox(ctx, one, "Good", "Bad"), mail.Internal)
	h.behind(`UPDATE retired SET uidvalidity = -1 WHERE account = $1 AND name = 'Z'`, one)
	before := h.box(one, "A").UIDValidity
	h.must(h.RenameMailbox(ctx, one, "A", "Z"))
	if now := h.box(one, "Z").UIDValidity; now <= before {
		t.Errorf("UIDVALIDITY is %d, was %d, though it is not known what the name had", now, before)
	}
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.DeleteAccount(tx, one) }))
	h.must(h.Sweep(ctx))
	h.deliver(text("d", "s", "b"), h.inbox(two))
}

// TestUnreadableKeywords: an expunged message whose keywords cannot be read may have
// any, so none of its mailbox gets a number that another had; other mailboxes do.
func TestUnreadableKeywords(t *testing.T) {
	h := newHouse(t)
	one, two := h.account(1), h.account(2)
	full := func(a mail.AccountID) error {
		box := h.differentMessages(a, 10)
		for i := range 8 {
			_, err := h.SetFlags(ctx, box, mail.UIDs(mail.UID(i+1)), store.FlagChange{Keywords: keywordSet(t, longKeywords(32*i, 32)...)})
			h.must(err)
		}
		_, err := h.ExpungeAny(ctx, box, mail.UIDs(10))
		h.must(err)
		_, err = h.SetFlags(ctx, box, mail.UIDs(1), store.FlagChange{Mode: store.FlagsReplace})
		h.must(err)
		if a == one && !dbtest.OnServer() { // Has no octets that are none.
			h.behind(`UPDATE expunged SET keywords = 5 WHERE mailbox = $1`, box)
		}
		_, err = h.SetFlags(ctx, box, mail.UIDs(9), store.FlagChange{Keywords: "more"})
		return err
	}
	if err := full(one); dbtest.OnServer() {
		h.must(err)
	} else {
		wantKind(t, err, mail.TooLarge)
	}
	h.must(full(two))
	h.must(h.DeleteMailbox(ctx, two, "Sent"))
	h.must(h.SweepKeywords(ctx))
	h.behind(`UPDATE expunged SET keywords = x''`)
}

// TestUnreadableWarnings: an account whose counters, or whose warning, cannot be read
// keeps no other from being warned.
func TestUnreadableWarnings(t *testing.T) {
	h, quotas, _ := quotaHouse(t, mail.Quota{Messages: 1})
	last := mail.AccountID(store.MaxWarnings + 3)
	for a := mail.AccountID(2); a <= last; a++ {
		h.account(a)
		quotas.set(a, mail.Quota{Messages: 1})
	}
	for a := mail.AccountID(1); a <= last; a++ {
		_, err := h.try(10, h.inbox(a))
		h.must(err)
	}
	readable := int(last)
	if !dbtest.OnServer() { // Has no number that is none.
		readable = 1
		h.behind(`UPDATE warning SET percent = 'half' WHERE account < $1`, last-1)
		h.behind(`UPDATE tally SET size = 'much' WHERE account = $1 AND mailbox = 0`, last-1)
	}
	var list []store.Warning
	for after, more := mail.AccountID(0), true; more; {
		part, err := h.Warnings(ctx, after)
		h.must(err)
		if more = len(part) > 0; more {
			after = part[len(part)-1].Account
		}
		list = append(list, part...)
	}
	if len(list) != readable || list[len(list)-1].Account != last {
		t.Errorf("owed %+v", list)
	}
	if list, err := h.Warnings(ctx, last); err != nil || len(list) != 0 {
		t.Errorf("owed then %+v, %v", list, err)
	}
	h.behind(`UPDATE tally SET size = (SELECT sum(size) FROM tally AS t WHERE t.account = $1 AND t.mailbox > 0) WHERE account = $1 AND mailbox = 0`, last-1)
}
