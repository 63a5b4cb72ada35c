package transfer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/maildir"
)

// told are the failures of a report.
func told(r Report) string {
	var all []string
	for _, f := range r.Failures {
		all = append(all, f.Folder+" "+f.Message+" "+f.Reason)
	}
	return strings.Join(all, "\n")
}

// TestImportOfStrangeFiles: of a Maildir, and of a folder of mbox files, only
// regular files of its owner are taken. A link to somebody's 0600 file, a link to
// a folder, a FIFO and a file of somebody else are told and left, and nothing
// waits for them.
func TestImportOfStrangeFiles(t *testing.T) {
	top := t.TempDir()
	victim := filepath.Join(top, "victim")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(victim+"/Maildir/cur", 0o700))
	must(os.WriteFile(victim+"/Maildir/cur/1.secret:2,S", []byte("Subject: secret\n\nsecret\n"), 0o600))
	must(os.WriteFile(victim+"/mbox", []byte("From a Tue Nov 22 01:02:03 2026\nSubject: secret\n\nsecret\n"), 0o600))

	t.Run("maildir", func(t *testing.T) {
		h, f := newHouse(t), newFiles(t)
		f.put("cur/1.a:2,", "Subject: mine\n\nmine\n")
		must(os.Symlink(victim+"/Maildir/cur/1.secret:2,S", f.root+"/cur/2.link:2,"))
		must(syscall.Mkfifo(f.root+"/cur/3.fifo:2,", 0o600))
		must(os.Symlink(victim+"/Maildir", f.root+"/.Stolen"))
		must(os.MkdirAll(f.root+"/.Half", 0o700))
		must(os.Symlink(victim+"/Maildir/cur", f.root+"/.Half/cur"))
		must(os.Mkdir(f.root+"/.Half/new", 0o700))
		must(os.MkdirAll(f.root+"/.Listed/cur", 0o700))
		must(os.Symlink(victim+"/mbox", f.root+"/.Listed/dovecot-uidlist"))
		failed := 5 // 2.link, 3.fifo, .Stolen, .Half, .Listed
		if os.Geteuid() == 0 {
			f.put("cur/4.other:2,", "Subject: of another\n\nsecret\n")
			must(os.Lchown(f.root+"/cur/4.other:2,", 70001, 70001))
			failed++
		}
		r := h.take(f.source(), Plan{})
		if r.Taken != 1 || r.Failed != failed || strings.Contains(fmt.Sprint(h.show(1, "INBOX")), "secret") {
			t.Errorf("%d taken, %d failed of %d:\n%s", r.Taken, r.Failed, failed, told(r))
		}
		for _, want := range []string{"2.link:2, cur/2.link:2, is a link", "3.fifo:2, cur/3.fifo:2, is no regular file", ".Stolen  it is a link"} {
			if !strings.Contains(told(r), want) {
				t.Errorf("no %q in\n%s", want, told(r))
			}
		}
	})

	t.Run("mbox", func(t *testing.T) {
		h, dir := newHouse(t), t.TempDir()
		must(os.WriteFile(dir+"/mine", []byte("From a Tue Nov 22 01:02:03 2026\nSubject: mine\n\nmine\n"), 0o600))
		must(os.Symlink(victim+"/mbox", dir+"/link"))
		must(os.Symlink(victim, dir+"/folder"))
		must(syscall.Mkfifo(dir+"/fifo", 0o600))
		must(syscall.Mkfifo(top+"/fifo", 0o600))
		r := h.take(&Mbox{Places: []*files.Place{files.From(dir), files.From(top + "/fifo")}}, Plan{})
		if r.Taken != 1 || r.Failed != 4 {
			t.Errorf("%d taken, %d failed:\n%s", r.Taken, r.Failed, told(r))
		}
	})
}

// TestExportsTouchOnlyTheirOwn: an export goes into a new folder or into one of
// an export; links that stand where it writes are not written through, and a
// file that it did not write stays.
func TestExportsTouchOnlyTheirOwn(t *testing.T) {
	h, f := newHouse(t), numbered(t, 3)
	h.take(f.source(), Plan{})
	for kind, to := range map[string]func(string) (Target, error){
		"maildir": func(dir string) (Target, error) { return NewMaildir(files.Into(dir), maildir.PlusPlus, names()) },
		"mbox":    func(dir string) (Target, error) { return NewMbox(files.Into(dir)) },
	} {
		top := t.TempDir()
		victim, dir := filepath.Join(top, "victim"), filepath.Join(top, "out")
		h.must(os.WriteFile(victim, []byte("precious"), 0o600))
		foreign := filepath.Join(top, "foreign")
		h.must(os.Mkdir(foreign, 0o700))
		h.must(os.WriteFile(foreign+"/letter", []byte("dear"), 0o600))
		if _, err := to(foreign); mail.KindOf(err) != mail.Conflict {
			t.Errorf("%s goes into a folder of somebody else: %v", kind, err)
		}
		export := func() Report {
			target, err := to(dir)
			h.must(err)
			r, err := h.Export(h.ctx, 1, nil, target, func(Progress) {})
			h.must(err)
			h.must(target.Close())
			return r
		}
		export()
		for _, name := range []string{"INBOX.mbox.tmp", "INBOX.mbox.lock", ".yubin-export.json.tmp", "dovecot-uidlist", "dovecot-uidlist.tmp",
			"dovecot-keywords.tmp", "subscriptions.tmp"} {
			_ = os.Remove(filepath.Join(dir, name))
			h.must(os.Symlink(victim, filepath.Join(dir, name)))
		}
		h.deliver("INBOX", "Subject: new\r\n\r\n")
		if r := export(); r.Failed != 0 {
			t.Errorf("%s: %s", kind, told(r))
		}
		if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
			t.Errorf("%s wrote through a link: %q, %v", kind, text, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "out")
	target, err := NewMbox(files.Into(dir))
	h.must(err)
	h.must(os.WriteFile(dir+"/INBOX.mbox", []byte("of another program"), 0o600))
	r, err := h.Export(h.ctx, 1, nil, target, func(Progress) {})
	h.must(err)
	h.must(target.Close())
	if text, _ := os.ReadFile(dir + "/INBOX.mbox"); string(text) != "of another program" || !strings.Contains(told(r), "no export wrote it") {
		t.Errorf("%q; %s", text, told(r))
	}
}
