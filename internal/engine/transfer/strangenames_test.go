package transfer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/maildir"
)

// TestExportOfStrangeNames: a mailbox that is called as a file that stands beside the
// mail, or as one that another mailbox needs, is told; all others are exported,
// this time and the next.
func TestExportOfStrangeNames(t *testing.T) {
	h := newHouse(t)
	told := []mail.MailboxName{"dovecot-uidlist", "dovecot-keywords", "dovecot.index", "dovecot.sieve", "subscriptions", "subscriptions.tmp",
		"maildirfolder", "Work/dovecot-uidlist.tmp", "Work/dovecot-keywords", "Work/dovecot-keywords/Deep", "Work/cur"}
	for _, name := range append([]mail.MailboxName{"A", "A.mbox/B", "A.mbox.tmp/C", "Work", "dovecots", "zz"}, told...) {
		m, err := h.store.Mailbox(h.ctx, 1, name)
		if mail.KindOf(err) == mail.NotFound {
			m, err = h.store.CreateMailbox(h.ctx, 1, name, "")
		}
		h.must(err)
		h.must(h.store.Subscribe(h.ctx, 1, m.Name, true))
		h.deliver(name, "Subject: "+string(name)+"\r\n\r\n")
	}
	h.deliver("INBOX", "Subject: inbox\r\n\r\n")
	dir := t.TempDir()
	export := func(to Target, err error) Report {
		t.Helper()
		h.must(err)
		r, err := h.Export(h.ctx, 1, nil, to, func(Progress) {})
		h.must(err)
		h.must(to.Close())
		return r
	}
	for range 2 {
		r := export(NewMaildir(files.Into(dir+"/n"), maildir.Nested, names()))
		if r.Failed != len(told) || r.Taken+r.There != 7 {
			t.Errorf("nested: %d failed, %d written, %d there: %v", r.Failed, r.Taken, r.There, r.Failures)
		}
		for _, f := range r.Failures {
			if !strings.Contains(fmt.Sprint(told), f.Folder) || !strings.Contains(f.Reason, "is the name of a file or folder of the Maildir itself") {
				t.Errorf("%+v", f)
			}
		}
		r = export(NewMbox(files.Into(dir + "/b")))
		if r.Failed != 1 || r.Taken+r.There != 17 {
			t.Errorf("mbox: %d failed, %d written, %d there: %v", r.Failed, r.Taken, r.There, r.Failures)
		}
	}
	h.deliver("A", "Subject: more\r\n\r\n") // Its file is to be written anew, over the folder A.mbox.tmp.
	if r := export(NewMbox(files.Into(dir + "/b"))); r.Failed != 2 || r.There != 16 {
		t.Errorf("mbox again: %d failed, %d there: %v", r.Failed, r.There, r.Failures)
	}
	list, err := os.ReadFile(filepath.Join(dir, "n/subscriptions"))
	h.must(err)
	if text := string(list); !strings.Contains(text, "\nzz\n") || strings.Contains(text, "dovecot-uidlist") {
		t.Errorf("subscribed are %q", text)
	}
}

// TestExportPastWhatIsInTheWay: a folder that stands where a list is to be written
// costs that mailbox only.
func TestExportPastWhatIsInTheWay(t *testing.T) {
	h := newHouse(t)
	for _, name := range []mail.MailboxName{"A", "B"} {
		_, err := h.store.CreateMailbox(h.ctx, 1, name, "")
		h.must(err)
		h.deliver(name, "Subject: x\r\n\r\n")
	}
	dir := t.TempDir() + "/n"
	to, err := NewMaildir(files.Into(dir), maildir.Nested, names())
	h.must(err)
	h.must(os.MkdirAll(dir+"/A/dovecot-uidlist/x", 0o700))
	r, err := h.Export(h.ctx, 1, []mail.MailboxName{"A", "B"}, to, func(Progress) {})
	h.must(err)
	h.must(to.Close())
	if r.Failed != 1 || r.Failures[0].Folder != "A" || r.Folders != 1 {
		t.Errorf("%+v", r)
	}
}
