package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// longKeywords are names of 124 octets.
func longKeywords(from, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%0124d", from+i)
	}
	return list
}

func keywordSet(t testing.TB, names ...string) mail.Keywords {
	t.Helper()
	k, err := mail.ParseKeywords(names...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// differentMessages fills INBOX with messages that are emails of their own.
func (h *house) differentMessages(a mail.AccountID, n int) mail.MailboxID {
	h.t.Helper()
	for i := range n {
		h.deliver(text(fmt.Sprint(i), "s", "b"), h.inbox(a))
	}
	return h.box(a, mail.Inbox).ID
}

// TestKeywordsOncePerMailbox: sixty keywords of 124 octets on a thousand
// messages are 7 MiB of names; the rows have them once, those of the expunged too.
func TestKeywordsOncePerMailbox(t *testing.T) {
	const many = 1000
	h := newHouse(t)
	a := h.account(1)
	inbox, sent := h.manyMessages(a, many), h.box(a, "Sent").ID
	k := keywordSet(t, longKeywords(0, 60)...)
	_, err := h.SetFlags(ctx, inbox, everything(), store.FlagChange{Keywords: k})
	h.must(err)
	_, err = h.Copy(ctx, inbox, everything(), sent)
	h.must(err)
	_, err = h.ExpungeAny(ctx, sent, everything())
	h.must(err)
	_, err = h.ExpungeAny(ctx, inbox, mail.UIDSet{{First: 1, Last: many / 2}})
	h.must(err)
	if n := h.count(`SELECT sum(length(entries)) FROM membership`); n > 50*many {
		t.Errorf("memberships take %d octets", n)
	}
	if n := h.count(`SELECT sum(length(keywords)) FROM expunged`); n > 10*many {
		t.Errorf("the expunged take %d octets", n)
	}
	h.check()
	if got := h.view(inbox).At(1).Keywords; got != k {
		t.Errorf("the view has %.200s", got)
	}
	rows, _, err := h.Rows(ctx, inbox, []mail.UID{many}, 0)
	h.must(err)
	if rows[0].Keywords != k {
		t.Errorf("the row has %.200s", rows[0].Keywords)
	}
}

// TestKeywordsOfMailboxes: each mailbox has numbers of its own; what goes from
// one to another keeps its names.
func TestKeywordsOfMailboxes(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox, sent := h.differentMessages(a, 3), h.box(a, "Sent").ID
	flag := func(id mail.MailboxID, uid mail.UID, mode store.FlagMode, names ...string) {
		t.Helper()
		_, err := h.SetFlags(ctx, id, mail.UIDs(uid), store.FlagChange{Mode: mode, Keywords: keywordSet(t, names...)})
		h.must(err)
	}
	see := func(id mail.MailboxID, want string) {
		t.Helper()
		h.check()
		if got := show(h.view(id)); got != want {
			t.Errorf("there are %s, want %s", got, want)
		}
	}
	h.deliver("s", store.Filing{Account: a, Mailbox: sent, Keywords: "x blue", Received: h.now()})
	flag(inbox, 1, store.FlagsAdd, "blue", "red")
	flag(inbox, 2, store.FlagsAdd, "RED", "green")
	see(inbox, "1+blue+red 2+green+red 3")
	old := h.view(inbox)
	_, err := h.Move(ctx, inbox, everything(), sent)
	h.must(err)
	see(sent, "1+blue+x 2+blue+red 3+green+red 4")
	if got := show(h.view(inbox).KeepVanished(old)); got != "1+blue+red 2+green+red 3" {
		t.Errorf("kept %s", got)
	}
	flag(sent, 2, store.FlagsReplace, "green")
	flag(sent, 3, store.FlagsRemove, "never", "GREEN")
	_, err = h.ExpungeAny(ctx, sent, everything())
	h.must(err)
	n, err := h.restoreSince(a, h.now().Add(-time.Hour))
	h.must(err)
	see(sent, "5+green 6+red 7 8+blue+x")
	if n != 4 {
		t.Errorf("%d restored", n)
	}
	h.must(h.DeleteMailbox(ctx, a, "Sent"))
	n, err = h.restoreSince(a, h.now().Add(-time.Hour))
	h.must(err)
	see(h.box(a, store.RestoredName).ID, "1+green 2+red 3 4+blue+x")
	h.must(h.SweepKeywords(ctx))
	if n != 4 || h.count(`SELECT count(*) FROM keyword WHERE mailbox = $1`, sent) != 0 {
		t.Errorf("%d restored; the keywords of the mailbox that is gone are still there", n)
	}
}

// TestKeywordBound: a mailbox has a number of different keywords at most; a
// number is given again when nothing has it, and nothing that can be restored.
func TestKeywordBound(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox, sent := h.differentMessages(a, 10), h.box(a, "Sent").ID
	flag := func(uid mail.UID, k ...string) error {
		_, err := h.SetFlags(ctx, inbox, mail.UIDs(uid), store.FlagChange{Keywords: keywordSet(t, k...)})
		return err
	}
	const each = store.MaxBoxKeywords / 8
	for i := range 8 {
		h.must(flag(mail.UID(i+1), longKeywords(each*i, each)...))
	}
	v := h.view(inbox)
	wantKind(t, flag(9, "more"), mail.TooLarge)
	if v.KeywordRoom() || len(v.KeywordNames().List()) != store.MaxBoxKeywords || h.view(inbox) != v {
		t.Errorf("%d keywords, room for more: %v", len(v.KeywordNames().List()), v.KeywordRoom())
	}
	in := h.NewIncoming()
	defer in.Close()
	_, err := h.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{{Account: a, Role: mail.RoleInbox, Keywords: "more"}}})
	wantKind(t, err, mail.TooLarge)

	// The keywords of a message that can be restored stay; those nobody has go.
	_, err = h.ExpungeAny(ctx, inbox, mail.UIDs(1))
	h.must(err)
	wantKind(t, flag(9, "more"), mail.TooLarge)
	_, err = h.SetFlags(ctx, inbox, mail.UIDs(2), store.FlagChange{Mode: store.FlagsReplace})
	h.must(err)
	if !h.view(inbox).KeywordRoom() {
		t.Error("no room though a keyword is on no message")
	}
	h.must(flag(9, "more"))
	if got := h.view(inbox); got.At(8).Keywords != "more" || !slices.Contains(got.KeywordNames().List(), "more") || v.At(2).Keywords != keywordSet(t, longKeywords(each, each)...) {
		t.Errorf("the view has %q, an older one %q", got.At(8).Keywords, v.At(2).Keywords)
	}
	h.check()
	_, err = h.restoreSince(a, h.now().Add(-time.Hour))
	h.must(err)
	if got := h.view(inbox); got.At(got.Len()).Keywords != keywordSet(t, longKeywords(0, each)...) {
		t.Errorf("restored with %.300s", got.At(got.Len()).Keywords)
	}

	// What is full keeps nothing from being moved there.
	h.deliver("s", store.Filing{Account: a, Mailbox: sent, Keywords: "only_here more", Received: h.now()})
	for i := 0; ; i++ {
		if err := flag(10, fmt.Sprint("fill", i)); err != nil {
			wantKind(t, err, mail.TooLarge)
			break
		}
	}
	_, err = h.Move(ctx, sent, everything(), inbox)
	h.must(err)
	if got := h.view(inbox); got.At(got.Len()).Keywords != "more" {
		t.Errorf("moved with %q", got.At(got.Len()).Keywords)
	}
	h.check()
}
