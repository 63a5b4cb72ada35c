package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/maildir"
	"yubin/internal/world/sqldb"
)

func TestMaildirKeepsAll(t *testing.T) {
	h, f := newHouse(t), numbered(t, 3)
	f.put(".Work.Plans/cur/9.a:2,FTa", "A: 9\r\n\r\nx\n")
	f.put(".Work.Plans/dovecot-keywords", "0 $Label1\n")
	f.put(".Gesendet/cur/1.a", "A: sent\n\n")
	f.put(".Gesendet.2020/cur/1.a", "A: sent\n\n")
	f.put("subscriptions", "V\t2\n\nWork\tPlans\n")
	r := h.take(f.source(), Plan{})
	h.want("report", []int{r.Folders, r.Taken, r.There, r.Failed}, "[4 6 0 0]")
	h.want("INBOX", h.show(1, "INBOX"), "[10 [\\Seen][] A: 1\r\n\r\n 20 [\\Seen][] A: 2\r\n\r\n 30 [\\Seen][] A: 3\r\n\r\n]")
	h.want("Plans", h.show(1, "Work/Plans"), "[1 [\\Flagged \\Deleted][$Label1] A: 9\r\n\r\nx\r\n]")
	h.want("Sent", h.show(1, "Sent"), "[1 [][] A: sent\r\n\r\n]")
	h.want("below Sent", h.show(1, "Sent/2020"), "[1 [][] A: sent\r\n\r\n]")
	if b := h.box("INBOX"); b.UIDValidity != 77 || b.UIDNext != 35 {
		t.Errorf("INBOX has UIDVALIDITY %d, UIDNEXT %d", b.UIDValidity, b.UIDNext)
	}
	if !h.box("Work/Plans").Subscribed {
		t.Error("Work/Plans is not subscribed")
	}
	rows, _, err := h.store.Rows(h.ctx, h.box("INBOX").ID, []mail.UID{10}, 0)
	h.must(err)
	if rows[0].Received.Unix() != 1_600_000_000 {
		t.Errorf("received %v", rows[0].Received)
	}
	r = h.take(f.source(), Plan{})
	h.want("again", []int{r.Taken, r.There, r.Updated, r.Failed}, "[0 6 0 0]")
}

// TestInterrupted: an import that is cut short again and again comes to the
// same end as one that is not.
func TestInterrupted(t *testing.T) {
	h, f := newHouse(t), numbered(t, 700)
	runs := 0
	for done := false; !done; runs++ {
		ctx, cancel := context.WithCancel(h.ctx)
		_, err := h.Import(ctx, f.source(), Plan{Account: 1}, func(p Progress) { cancel() })
		cancel()
		if done = err == nil; !done && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if runs > 100 {
			t.Fatal("it comes to no end")
		}
	}
	lines := h.show(1, "INBOX")
	if len(lines) != 700 || runs < 3 || h.box("INBOX").UIDValidity != 77 {
		t.Fatalf("%d messages after %d runs", len(lines), runs)
	}
	for i, l := range lines {
		if !strings.HasPrefix(l, fmt.Sprintf("%d ", (i+1)*10)) {
			t.Fatalf("message %d is %s", i+1, l)
		}
	}
}

// TestLater: what changes at the source and what changes here.
func TestLater(t *testing.T) {
	h, f := newHouse(t), numbered(t, 6)
	h.take(f.source(), Plan{})
	id := h.box("INBOX").ID
	_, err := h.store.SetFlags(h.ctx, id, mail.UIDs(20), store.FlagChange{Mode: store.FlagsAdd, Flags: mail.Answered})
	h.must(err)
	_, err = h.store.ExpungeAny(h.ctx, id, mail.UIDs(30))
	h.must(err)
	_, err = h.store.Move(h.ctx, id, mail.UIDs(40), h.box("Archive").ID)
	h.must(err)
	f.rename("cur/1.a:2,S", "cur/1.a:2,FS")
	f.rename("cur/2.a:2,S", "cur/2.a:2,FS") // Here it was answered.
	f.rename("cur/3.a:2,S", "cur/3.a:2,")   // Here it is gone.
	f.remove("cur/5.a:2,S")
	r := h.take(f.source(), Plan{})
	h.want("report", []int{r.Taken, r.There, r.Updated, r.Removed}, "[0 5 1 0]")
	h.want("INBOX", h.show(1, "INBOX"), "[10 [\\Seen \\Flagged][] A: 1\r\n\r\n 20 [\\Seen \\Answered][] A: 2\r\n\r\n 50 [\\Seen][] A: 5\r\n\r\n 60 [\\Seen][] A: 6\r\n\r\n]")
	f.remove("cur/2.a:2,FS")
	r = h.take(f.source(), Plan{RemoveGone: true})
	h.want("with --remove-gone", []int{r.Taken, r.There, r.Removed}, "[0 4 1]")
	h.want("INBOX", h.show(1, "INBOX"), "[10 [\\Seen \\Flagged][] A: 1\r\n\r\n 20 [\\Seen \\Answered][] A: 2\r\n\r\n 60 [\\Seen][] A: 6\r\n\r\n]")
	if h.box("INBOX").UIDValidity != 77 {
		t.Error("the UIDVALIDITY changed")
	}
}

// TestUIDsCollide: a UID that was given here is never given another meaning.
func TestUIDsCollide(t *testing.T) {
	h, f := newHouse(t), numbered(t, 2)
	h.take(f.source(), Plan{})
	h.deliver("INBOX", "A: new\r\n\r\n") // Gets UID 25.
	f.put("cur/3.a", "A: 3\n\n")
	f.put("dovecot-uidlist", "3 V77 N26\n10 :1.a\n20 :2.a\n25 :3.a\n")
	r := h.take(f.source(), Plan{})
	h.want("INBOX", h.show(1, "INBOX"), "[10 [\\Seen][] A: 1\r\n\r\n 20 [\\Seen][] A: 2\r\n\r\n 25 [][] A: new\r\n\r\n 26 [][] A: 3\r\n\r\n]")
	if h.box("INBOX").UIDValidity == 77 || len(r.Notes) != 1 {
		t.Errorf("UIDVALIDITY %d, notes %v", h.box("INBOX").UIDValidity, r.Notes)
	}
	r = h.take(f.source(), Plan{})
	h.want("again", []int{r.Taken, r.There, len(r.Notes)}, "[0 3 0]")
}

// TestNotNumbered: messages that the source has not numbered wait while it runs,
// and get UIDs that it has not given when it does not.
func TestNotNumbered(t *testing.T) {
	h, f := newHouse(t), numbered(t, 2)
	f.put("new/3.a", "A: 3\n\n")
	r := h.take(f.source(), Plan{Running: true})
	h.want("running", []int{r.Taken, r.Waiting}, "[2 1]")
	r = h.take(f.source(), Plan{})
	h.want("stopped", []int{r.Taken, r.Waiting}, "[1 0]")
	h.want("INBOX", h.show(1, "INBOX"), "[10 [\\Seen][] A: 1\r\n\r\n 20 [\\Seen][] A: 2\r\n\r\n 25 [][] A: 3\r\n\r\n]")
	// The source numbers it otherwise after all.
	f.put("dovecot-uidlist", "3 V77 N31\n10 :1.a\n20 :2.a\n30 :3.a\n")
	r = h.take(f.source(), Plan{})
	if h.box("INBOX").UIDValidity == 77 || r.Taken != 0 {
		t.Errorf("%+v", r)
	}
}

// TestAnotherWay: what was brought one way is not doubled by another.
func TestAnotherWay(t *testing.T) {
	h, f := newHouse(t), numbered(t, 3)
	f.put("cur/4.a:2,", "A: 1\n\n") // The same octets as message 1.
	h.take(f.source(), Plan{})
	dir := filepath.Join(t.TempDir(), "INBOX")
	text := ""
	for _, a := range []string{"1", "2", "new"} {
		text += "From a@b Tue Nov 22 01:02:03 2026\nA: " + a + "\n\n\n"
	}
	h.must(os.WriteFile(dir, []byte(text), 0o600))
	r := h.take(&Mbox{Places: []*files.Place{files.From(dir)}}, Plan{})
	h.want("report", []int{r.Taken, r.There}, "[1 2]")
	if n := h.box("INBOX").Exists; n != 5 {
		t.Errorf("%d messages", n)
	}
	r = h.take(&Mbox{Places: []*files.Place{files.From(dir)}}, Plan{})
	h.want("again", []int{r.Taken, r.There}, "[0 3]")
	r = h.take(f.source(), Plan{})
	h.want("the first way", []int{r.Taken, r.There}, "[0 4]")
	n, err := h.Forget(h.ctx, 1)
	h.must(err)
	r = h.take(f.source(), Plan{})
	h.want("forgotten", []any{n, r.Taken, r.There}, "[7 0 4]")
}

// TestBroken: what cannot be taken is told, and the rest is taken.
func TestBroken(t *testing.T) {
	h, f := newHouse(t), numbered(t, 2)
	f.put("cur/5.empty", "")
	f.put("cur/6.large", strings.Repeat("x", 2000))
	h.must(os.Symlink(f.root, filepath.Join(f.root, "cur/7.folder")))
	f.put(".Odd/cur/1.a", "A: 1\n\n")
	f.put(".Odd/dovecot-uidlist", "9 nonsense\n")
	f.put(".Good/cur/1.a", "A: 1\n\n")
	r := h.take(f.source(), Plan{MaxMessage: 1000})
	h.want("report", []int{r.Folders, r.Taken, r.Failed}, "[3 3 4]")
	told := ""
	for _, x := range r.Failures {
		told += x.Folder + " " + x.Message + " " + x.Reason + ";"
	}
	for _, want := range []string{"INBOX cur/5.empty it is empty", "INBOX cur/6.large it is too large", "INBOX cur/7.folder", "7.folder is a link",
		"Odd  the dovecot-uidlist cannot be read"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in %s", want, told)
		}
	}
	if _, err := h.Import(h.ctx, &Maildir{Root: files.From("/nonexistent"), Codec: names()}, Plan{Account: 1}, func(Progress) {}); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}
}

// TestMailboxGone: rows of a mailbox that was deleted are no reason to leave
// mail out.
func TestMailboxGone(t *testing.T) {
	h, f := newHouse(t), newFiles(t)
	f.put(".Work/cur/1.a", "A: 1\n\n")
	h.take(f.source(), Plan{})
	h.must(h.store.RenameMailbox(h.ctx, 1, "Work", "Play"))
	f.put(".Work/cur/2.a", "A: 2\n\n")
	r := h.take(f.source(), Plan{})
	h.want("renamed here", []int{r.Taken, r.There, len(h.show(1, "Play"))}, "[1 1 2]")
	h.must(h.store.DeleteMailbox(h.ctx, 1, "Play"))
	r = h.take(f.source(), Plan{})
	h.want("deleted here", []int{r.Taken, r.There}, "[2 0]")
}

// TestExports: what is exported and imported again is the same, each way.
func TestExports(t *testing.T) {
	h, f := newHouse(t), numbered(t, 40)
	f.put(".Work.Plans/cur/9.a:2,FTDRSa", "A: 9\r\n\r\n>From x\nFrom y\n"+strings.Repeat("long\n", 100_000))
	f.put(".Work.Plans/dovecot-keywords", "0 $Label1\n")
	h.take(f.source(), Plan{})
	dir := t.TempDir()
	for kind, ways := range map[string]struct {
		to   func() (Target, error)
		from Source
	}{
		"maildir": {func() (Target, error) { return NewMaildir(files.Into(dir+"/m"), maildir.PlusPlus, names()) }, &Maildir{Root: files.From(dir + "/m"), Codec: names()}},
		"nested":  {func() (Target, error) { return NewMaildir(files.Into(dir+"/n"), maildir.Nested, names()) }, &Maildir{Root: files.From(dir + "/n"), Codec: names()}},
		"mbox":    {func() (Target, error) { return NewMbox(files.Into(dir + "/b")) }, &Mbox{Places: []*files.Place{files.From(dir + "/b")}}},
	} {
		for _, want := range []string{"[41 0 0]", "[0 41 0]"} {
			to, err := ways.to()
			h.must(err)
			r, err := h.Export(h.ctx, 1, nil, to, func(Progress) {})
			h.must(err)
			h.want(kind, []int{r.Taken, r.There, r.Failed}, want)
		}
		other := newHouse(t)
		r := other.take(ways.from, Plan{Account: 2})
		other.want(kind+" back", []int{r.Taken, r.Failed}, "[41 0]")
		for _, name := range []mail.MailboxName{"INBOX", "Work/Plans"} {
			h.want(kind+" "+string(name), other.show(2, name), fmt.Sprint(h.show(1, name)))
		}
		m, err := other.store.Mailbox(h.ctx, 2, "INBOX")
		h.must(err)
		if m.UIDValidity != 77 || m.UIDNext != 405 {
			t.Errorf("%s: UIDVALIDITY %d, UIDNEXT %d", kind, m.UIDValidity, m.UIDNext)
		}
	}
	to, err := NewMbox(files.Into(dir + "/o"))
	h.must(err)
	if _, err := h.Export(h.ctx, 1, []mail.MailboxName{"Nowhere"}, to, func(Progress) {}); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		folders []Folder
		want    string
	}{
		{[]Folder{{Levels: []string{"Sent"}}, {Levels: []string{"Sent Items"}}, {Levels: []string{"inbox"}}}, "[sent  inbox]"},
		{[]Folder{{Levels: []string{"Sent"}}, {Levels: []string{"Gesendet"}, Role: mail.RoleSent}}, "[ sent]"},
		{[]Folder{{Levels: []string{"INBOX", "Drafts"}}, {Levels: []string{"Work", "Trash"}}}, "[drafts ]"},
		{[]Folder{{Levels: []string{"下書き"}}, {Levels: []string{"ゴミ箱"}}, {Levels: []string{"Spam"}}, {Levels: []string{"Archiv"}}}, "[drafts trash junk archive]"},
		{[]Folder{{Levels: []string{"A"}, Role: mail.RoleJunk}, {Levels: []string{"B"}, Role: mail.RoleJunk}}, "[junk ]"},
	} {
		assignRoles(c.folders)
		var got []mail.Role
		for _, f := range c.folders {
			got = append(got, f.Role)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%v, want %s", got, c.want)
		}
	}
}

// TestSweep: nothing is remembered of mailboxes and accounts that are gone.
func TestSweep(t *testing.T) {
	h, f := newHouse(t), numbered(t, 2)
	f.put(".Old/cur/1.a:2,S", "A: 1\n\n")
	rows := func() (list []string) {
		for _, table := range []string{"transfer_origin", "transfer_taken"} {
			h.must(h.db.Read(h.ctx, func(tx *sqldb.Tx) error {
				var n int
				err := tx.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n)
				list = append(list, fmt.Sprint(n))
				return err
			}))
		}
		return list
	}
	h.take(f.source(), Plan{})
	h.take(f.source(), Plan{Account: 2})
	h.want("folders and messages of two accounts", rows(), "[4 6]")
	h.must(h.store.DeleteMailbox(h.ctx, 1, "Old"))
	f.remove(".Old/cur/1.a:2,S")
	h.take(f.source(), Plan{Account: 2})
	h.want("after the import of another", rows(), "[4 6]")
	h.take(f.source(), Plan{Skip: []string{"Old"}})
	h.want("without a mailbox", rows(), "[3 5]")
	h.must(h.db.Write(h.ctx, func(tx *sqldb.Tx) error { return h.store.DeleteAccount(tx, 2) }))
	h.take(f.source(), Plan{Skip: []string{"Old"}})
	h.want("without an account", rows(), "[1 2]")
}
