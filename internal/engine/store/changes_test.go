package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// modelState is an account at one ModSeq: its mailboxes' names, and where its emails
// are, with the ModSeqs of those memberships.
type modelState struct {
	modseq    mail.ModSeq
	mailboxes map[mail.MailboxID]mail.MailboxName
	emails    map[mail.EmailID]map[string]mail.ModSeq
	arrivals  []store.Arrival
}

// state reads the account as it is now, without its memory of changes.
func (m *model) state() modelState {
	m.must(m.Sweep(ctx)) // What is left of deleted mailboxes goes.
	now := modelState{mail.ModSeq(m.count(`SELECT modseq FROM tally WHERE account = $1 AND mailbox = 0`, m.account)),
		map[mail.MailboxID]mail.MailboxName{}, map[mail.EmailID]map[string]mail.ModSeq{}, nil}
	list, err := m.Mailboxes(ctx, m.account)
	m.must(err)
	for _, box := range list {
		now.mailboxes[box.ID] = box.Name
		_, uids := entries(m.view(box.ID))
		for more := len(uids); more > 0; {
			var rows []store.Row
			rows, more, err = m.Rows(ctx, box.ID, uids[len(uids)-more:], 0)
			m.must(err)
			for _, row := range rows {
				if now.emails[row.Email] == nil {
					now.emails[row.Email] = map[string]mail.ModSeq{}
					now.arrivals = append(now.arrivals, store.Arrival{Received: row.Received, Email: row.Email})
				}
				now.emails[row.Email][fmt.Sprintf("%d/%d", box.ID, row.UID)] = row.ModSeq
			}
		}
	}
	slices.SortFunc(now.arrivals, func(a, b store.Arrival) int {
		return cmp.Or(a.Received.Compare(b.Received), cmp.Compare(a.Email, b.Email))
	})
	return now
}

// compareIndexes holds what the indexes of the account's emails say against where they
// are.
func (m *model) compareIndexes(now modelState) {
	m.t.Helper()
	ids := slices.Collect(maps.Keys(now.emails))
	places, err := m.Places(ctx, m.account, append(ids, 1<<40))
	m.must(err)
	if len(places) != len(ids) {
		m.t.Errorf("%d emails have a place, want %d", len(places), len(ids))
	}
	for id, want := range now.emails {
		got := map[string]bool{}
		for _, p := range places[id] {
			got[fmt.Sprintf("%d/%d", p.Mailbox, p.UID)] = true
		}
		if len(got) != len(want) || len(places[id]) != len(want) {
			m.t.Errorf("email %d is at %v, want %v", id, places[id], want)
		}
		for p := range want {
			if !got[p] {
				m.t.Errorf("email %d is at %v, want %v", id, places[id], want)
			}
		}
	}
	want := slices.Clone(now.arrivals)
	for _, newest := range []bool{false, true} {
		var got []store.Arrival
		for last := (store.Arrival{}); ; {
			limit := 1 + m.rng.IntN(40)
			list, err := m.Arrivals(ctx, m.account, last, newest, limit)
			m.must(err)
			if got = append(got, list...); len(list) < limit {
				break
			}
			last = list[len(list)-1]
		}
		if !slices.Equal(got, want) {
			m.t.Errorf("newest first %v: arrivals are %v, want %v", newest, got, want)
		}
		slices.Reverse(want)
	}
}

// allChanges lists changes, limit at a time.
func (h *house) allChanges(a mail.AccountID, since mail.ModSeq, limit int) (list []store.Change, to mail.ModSeq) {
	h.t.Helper()
	for state, more := (store.ChangeState{ModSeq: since}), true; more; {
		c, err := h.Changes(ctx, a, state, limit)
		h.must(err)
		if len(c.List) > limit || c.More && len(c.List) == 0 {
			h.t.Fatalf("%d changes of at most %d, more: %v", len(c.List), limit, c.More)
		}
		list, state, more = append(list, c.List...), c.State, c.More
		to = state.ModSeq
	}
	return list, to
}

// compareChanges holds the changes since some earlier states against what is
// different now.
func (m *model) compareChanges(times int) {
	m.t.Helper()
	now := m.state()
	for range min(times, len(m.states)) {
		was := m.states[m.rng.IntN(len(m.states))]
		list, to := m.allChanges(m.account, was.modseq, 1+m.rng.IntN(50))
		if to != now.modseq {
			m.t.Errorf("changes since %d lead to %d, want %d", was.modseq, to, now.modseq)
		}
		if whole, _ := m.allChanges(m.account, was.modseq, store.MaxChanges); !slices.Equal(list, whole) {
			m.t.Errorf("%d changes in parts, %d at once", len(list), len(whole))
		}
		m.compareFolded(store.Fold(list), was, now)
		m.replay(list, was, now)
	}
	m.compareIndexes(now)
	m.states = append(m.states, now)
}

// compareFolded holds what changes come to against two states.
func (m *model) compareFolded(f store.Folded, was, now modelState) {
	m.t.Helper()
	for id := range now.emails {
		if _, had := was.emails[id]; !had != slices.Contains(f.Created, id) {
			m.t.Errorf("since %d email %d was there: %v; created: %v", was.modseq, id, had, f.Created)
		}
	}
	for id, places := range was.emails {
		is, has := now.emails[id]
		if !has != slices.Contains(f.Destroyed, id) {
			m.t.Errorf("since %d email %d is there: %v; destroyed: %v", was.modseq, id, has, f.Destroyed)
		}
		if has && fmt.Sprint(is) != fmt.Sprint(places) && !slices.Contains(f.Updated, id) {
			m.t.Errorf("since %d email %d went from %v to %v; updated: %v", was.modseq, id, places, is, f.Updated)
		}
	}
	for _, id := range f.Updated {
		if was.emails[id] == nil || now.emails[id] == nil {
			m.t.Errorf("since %d email %d is updated, and was at %v, is at %v", was.modseq, id, was.emails[id], now.emails[id])
		}
	}
	if len(f.Created)+len(f.Destroyed) > len(now.emails)+len(was.emails) {
		m.t.Errorf("since %d %d created, %d destroyed", was.modseq, len(f.Created), len(f.Destroyed))
	}
	for id := range now.mailboxes {
		if _, had := was.mailboxes[id]; !had != slices.Contains(f.MailboxesCreated, id) {
			m.t.Errorf("since %d mailbox %d was there: %v; created: %v", was.modseq, id, had, f.MailboxesCreated)
		}
	}
	for id, name := range was.mailboxes {
		is, has := now.mailboxes[id]
		if !has != slices.Contains(f.MailboxesDestroyed, id) {
			m.t.Errorf("since %d mailbox %d is there: %v; destroyed: %v", was.modseq, id, has, f.MailboxesDestroyed)
		}
		if has && name.Label() != is.Label() && !slices.Contains(f.MailboxesUpdated, id) {
			m.t.Errorf("since %d %s is called %s; updated: %v", was.modseq, name, is, f.MailboxesUpdated)
		}
	}
}

// replay makes of the memberships of one state, by changes, those of another.
func (m *model) replay(list []store.Change, was, now modelState) {
	m.t.Helper()
	at := map[string]string{}
	for id, places := range was.emails {
		for p, modseq := range places {
			at[p] = fmt.Sprintf("email %d at %d", id, modseq)
		}
	}
	for _, c := range list {
		p := fmt.Sprintf("%d/%d", c.Mailbox, c.UID)
		switch c.Kind {
		case store.EmailCreated, store.EmailAdded, store.EmailFlagged:
			at[p] = fmt.Sprintf("email %d at %d", c.Email, c.ModSeq)
		case store.EmailRemoved, store.EmailDestroyed:
			delete(at, p)
		}
	}
	want := map[string]string{}
	for id, places := range now.emails {
		for p, modseq := range places {
			want[p] = fmt.Sprintf("email %d at %d", id, modseq)
		}
	}
	for p := range at {
		if at[p] != want[p] {
			m.t.Errorf("changes since %d lead to %s at %s, want %q", was.modseq, at[p], p, want[p])
		}
		delete(want, p)
	}
	if len(want) > 0 {
		m.t.Errorf("changes since %d do not lead to %v", was.modseq, want)
	}
}

// TestChanges goes through what each kind of commit is remembered as.
func TestChanges(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox, archive := h.box(a, mail.Inbox).ID, h.box(a, "Archive").ID
	told := h.box(a, mail.Inbox).ModSeq
	want := func(what string, wanted ...string) {
		t.Helper()
		list, to := h.allChanges(a, told, 3)
		told = to
		var got []string
		for _, c := range list {
			kind := map[store.ChangeKind]string{store.EmailCreated: "created", store.EmailAdded: "added", store.EmailFlagged: "flagged",
				store.EmailRemoved: "removed", store.EmailDestroyed: "destroyed", store.MailboxCreated: "new", store.MailboxUpdated: "changed",
				store.MailboxDestroyed: "deleted"}[c.Kind]
			got = append(got, fmt.Sprintf("%s %d E%d %d", kind, c.Mailbox, c.Email, c.UID))
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("%s: %q, want %q", what, got, wanted)
		}
	}
	two := []store.Filing{h.inbox(a), {Account: a, Mailbox: archive, Received: h.now()}}
	h.deliver(text("1", "s", "b"), two...)
	want("delivery", fmt.Sprintf("created %d E1 1", inbox), fmt.Sprintf("added %d E1 1", archive))
	h.deliver(text("2", "s", "b"), h.inbox(a))
	want("delivery", fmt.Sprintf("created %d E2 2", inbox))
	_, err := h.SetFlags(ctx, inbox, mail.UIDs(1, 2), store.FlagChange{Mode: store.FlagsAdd, Flags: mail.Seen})
	h.must(err)
	want("flags", fmt.Sprintf("flagged %d E1 1", inbox), fmt.Sprintf("flagged %d E2 2", inbox))
	_, err = h.Move(ctx, inbox, mail.UIDs(2), archive)
	h.must(err)
	want("move", fmt.Sprintf("removed %d E2 2", inbox), fmt.Sprintf("added %d E2 2", archive))
	_, err = h.Copy(ctx, archive, mail.UIDs(2), inbox)
	h.must(err)
	want("copy", fmt.Sprintf("added %d E2 3", inbox))
	_, err = h.ExpungeAny(ctx, archive, mail.UIDs(1, 2))
	h.must(err)
	want("expunge of copies", fmt.Sprintf("removed %d E1 1", archive), fmt.Sprintf("removed %d E2 2", archive))
	_, err = h.ExpungeAny(ctx, inbox, mail.UIDs(1))
	h.must(err)
	want("expunge", fmt.Sprintf("destroyed %d E1 1", inbox))
	_, err = h.restoreSince(a, h.now())
	h.must(err)
	want("restore", fmt.Sprintf("created %d E1 4", inbox))
	box, err := h.CreateMailbox(ctx, a, "work", "")
	h.must(err)
	want("create", fmt.Sprintf("new %d E0 0", box.ID))
	h.must(h.Subscribe(ctx, a, "work", true))
	h.must(h.Subscribe(ctx, a, "work", true))
	h.must(h.Subscribe(ctx, a, "nowhere", true))
	want("subscribe", fmt.Sprintf("changed %d E0 0", box.ID))
	h.must(h.RenameMailbox(ctx, a, "work", "play"))
	want("rename", fmt.Sprintf("changed %d E0 0", box.ID))
	_, err = h.Move(ctx, inbox, mail.UIDs(4), box.ID)
	h.must(err)
	want("move", fmt.Sprintf("removed %d E1 4", inbox), fmt.Sprintf("added %d E1 1", box.ID))
	h.must(h.DeleteMailbox(ctx, a, "play"))
	want("delete", fmt.Sprintf("deleted %d E0 0", box.ID))
	h.must(h.Sweep(ctx))
	want("sweep", fmt.Sprintf("destroyed %d E1 1", box.ID))
	want("nothing")
}

// TestChangesUnknown: a state that is not known, or an account.
func TestChangesUnknown(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	_, err := h.Changes(ctx, a, store.ChangeState{ModSeq: 1000}, 0)
	if !errors.Is(err, store.ErrCannotCalculate) {
		t.Errorf("a state of the future: %v", err)
	}
	_, err = h.Changes(ctx, 2, store.ChangeState{}, 0)
	wantKind(t, err, mail.NotFound)
}

// TestViewHears: a view that missed commits follows when it is told, whoever made
// them; being told wrongly harms nothing.
func TestViewHears(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox := h.box(a, mail.Inbox).ID
	for i := range 4 {
		h.deliver(text(fmt.Sprint(i), "s", "b"), h.inbox(a))
	}
	before := h.view(inbox)
	h.Announce(func(func()) {}) // As if another process made what follows.
	_, err := h.SetFlags(ctx, inbox, mail.UIDs(1, 2), store.FlagChange{Mode: store.FlagsAdd, Flags: mail.Seen, Keywords: "work"})
	h.must(err)
	_, err = h.ExpungeAny(ctx, inbox, mail.UIDs(2, 3))
	h.must(err)
	h.deliver(text("5", "s", "b"), h.inbox(a))
	if v := h.view(inbox); v != before {
		t.Errorf("the view is %q before it was told", show(v))
	}
	h.Heard(store.Event{Account: a, Mailbox: inbox, ModSeq: h.box(a, mail.Inbox).ModSeq})
	v := h.view(inbox)
	if got, want := show(v), `1+work+\Seen 4 5`; got != want || v.ModSeq() != h.box(a, mail.Inbox).ModSeq {
		t.Errorf("the view is %q, want %q", got, want)
	}
	if d := store.Diff(before, v); len(d.Vanished) != 2 || d.Added != 1 || d.Changed.String() != "1" {
		t.Errorf("it differs by %+v", d)
	}
	h.Heard(store.Event{Account: a, Mailbox: inbox, ModSeq: v.ModSeq() + 10})
	if now := h.view(inbox); show(now) != show(v) {
		t.Errorf("after a false event it is %q", show(now))
	}
	h.Announce(nil)
	h.deliver(text("6", "s", "b"), h.inbox(a))
	if got, want := show(h.view(inbox)), `1+work+\Seen 4 5 6`; got != want {
		t.Errorf("the view is %q, want %q", got, want)
	}
	h.Announce(func(func()) {})
	h.must(h.DeleteMailbox(ctx, a, "Archive"))
	box, err := h.CreateMailbox(ctx, a, "gone", "")
	h.must(err)
	h.view(box.ID)
	h.must(h.DeleteMailbox(ctx, a, "gone"))
	_, err = h.View(ctx, box.ID)
	wantKind(t, err, mail.NotFound)
}

// TestChangesForgotten: what changed is known for as long as Retention says, and not
// beyond its octets.
func TestChangesForgotten(t *testing.T) {
	h := newHouse(t, func(o *store.Options) { o.Retention = store.Retention{ChangeOctets: 8 << 10} })
	a := h.account(1)
	inbox := h.box(a, mail.Inbox).ID
	known := func(since mail.ModSeq) bool {
		_, err := h.Changes(ctx, a, store.ChangeState{ModSeq: since}, 1)
		if err != nil && !errors.Is(err, store.ErrCannotCalculate) {
			t.Fatal(err)
		}
		return err == nil
	}
	h.deliver(text("first", "s", "b"), h.inbox(a))
	for i := range 300 {
		h.deliver(text(fmt.Sprint(i), "s", "b"), h.inbox(a))
	}
	_, err := h.ExpungeAny(ctx, inbox, mail.UIDs(1, 3))
	h.must(err)
	young := h.box(a, mail.Inbox).ModSeq
	h.advance(store.DefaultRetention().Changes - time.Minute)
	h.must(h.Tidy(ctx))
	if !known(0) {
		t.Error("changes are forgotten before their time")
	}
	for i := range 60 {
		_, err := h.SetFlags(ctx, inbox, mail.UIDs(2), store.FlagChange{Mode: store.FlagMode(i % 2), Flags: mail.Seen})
		h.must(err)
	}
	h.advance(2 * time.Minute)
	h.must(h.Tidy(ctx))
	if known(0) || !known(young) {
		t.Errorf("after their time: from the first on %v, from the last minute on %v", known(0), known(young))
	}
	for since, want := range map[mail.ModSeq]string{0: "1,3", young: ""} {
		gone, err := h.Vanished(ctx, inbox, since)
		h.must(err)
		if gone.String() != want {
			t.Errorf("vanished since %d: %v, want %q", since, gone, want)
		}
	}
	h.check()
	for i := range 2000 {
		_, err := h.SetFlags(ctx, inbox, mail.UIDs(2), store.FlagChange{Mode: store.FlagMode(i % 2), Flags: mail.Seen})
		h.must(err)
	}
	octets := h.count(`SELECT sum(length(entries)) FROM change`)
	if known(young) || octets > 8<<10+600 || octets < 6<<10 {
		t.Errorf("%d octets of changes are kept, of at most %d and a row", octets, 8<<10)
	}
	now := h.box(a, mail.Inbox).ModSeq
	if list, to := h.allChanges(a, now-500, 100); len(list) != 500 || to != now {
		t.Errorf("%d changes up to %d", len(list), to)
	}
}

// TestChangesDamaged: latest changes that cannot be read hold no mail back. Check tells,
// and what is older is not known any more.
func TestChangesDamaged(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	h.deliver(text("1", "s", "b"), h.inbox(a))
	before := h.box(a, mail.Inbox).ModSeq
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE tally SET changes = $1 WHERE mailbox = 0`, []byte("?"))
		return err
	}))
	var problems []string
	h.must(h.Check(ctx, func(p string) { problems = append(problems, p) }))
	if len(problems) != 1 || !strings.Contains(problems[0], "account 1: what is remembered of its changes is damaged") {
		t.Errorf("check tells %q", problems)
	}
	h.deliver(text("2", "s", "b"), h.inbox(a))
	_, err := h.Changes(ctx, a, store.ChangeState{ModSeq: before - 1}, 0)
	if !errors.Is(err, store.ErrCannotCalculate) {
		t.Errorf("what is damaged is listed, or %v", err)
	}
	if list, _ := h.allChanges(a, before, 10); len(list) != 1 {
		t.Errorf("%d changes since", len(list))
	}
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.DeleteAccount(tx, a) })) // What was lost stays lost.
	h.must(h.Sweep(ctx))
	if n := h.count(`SELECT (SELECT count(*) FROM change) + (SELECT count(*) FROM email_index)`); n != 0 {
		t.Errorf("%d rows of the account are left", n)
	}
}

// TestThreadEmails: of a thread those emails that are in a mailbox, by when they came.
func TestThreadEmails(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	at := func(hours int) store.Filing {
		f := h.inbox(a)
		f.Received = h.now().Add(time.Duration(hours) * time.Hour)
		return f
	}
	reply := func(id string) string { return "In-Reply-To: <1@example.org>\r\n" + text(id, "s", "b") }
	first := h.deliver(text("1", "s", "b"), at(3))[0]
	h.deliver(text("other", "s", "b"), at(0))
	h.deliver(reply("2"), at(1))
	h.deliver(reply("3"), at(2))
	want := func(wanted ...mail.EmailID) {
		t.Helper()
		list, err := h.ThreadEmails(ctx, a, mail.ThreadID(first.Email))
		h.must(err)
		var got []mail.EmailID
		for _, one := range list {
			got = append(got, one.Email)
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("the thread has %v, want %v", got, wanted)
		}
	}
	want(3, 4, 1)
	_, err := h.ExpungeAny(ctx, first.Mailbox, mail.UIDs(1))
	h.must(err)
	_, err = h.Move(ctx, first.Mailbox, mail.UIDs(3), h.box(a, "Archive").ID)
	h.must(err)
	want(3, 4)
	list, err := h.ThreadEmails(ctx, 2, mail.ThreadID(first.Email))
	if h.must(err); len(list) != 0 {
		t.Errorf("another account has %v of the thread", list)
	}
	h.must(h.DeleteMailbox(ctx, a, "Archive"))
	want(4)
}
