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
)

// TestBadSideFiles: a list beside the mail that cannot be read, whatever it is, is
// told with its path and why, and all mail is taken.
func TestBadSideFiles(t *testing.T) {
	long := strings.Repeat("x", 100<<10) + "\n"
	for name, c := range map[string]struct {
		make func(h *house, path string)
		why  string
	}{
		"long line": {func(h *house, path string) { h.must(os.WriteFile(path, []byte("0 $A\n"+long+"1 $B\n"), 0o600)) }, "a line has over 16384 octets"},
		"long end":  {func(h *house, path string) { h.must(os.WriteFile(path, []byte(long[:90<<10]), 0o600)) }, "a line has over 16384 octets"},
		"huge": {func(h *house, path string) {
			h.must(os.WriteFile(path, []byte("0 $A\n"), 0o600))
			h.must(os.Truncate(path, 1<<40))
		}, "it has over 16777216 octets"},
		"link":   {func(h *house, path string) { h.must(os.Symlink("/etc/passwd", path)) }, "is a link, which is not followed"},
		"FIFO":   {func(h *house, path string) { h.must(syscall.Mkfifo(path, 0o600)) }, "is no regular file"},
		"folder": {func(h *house, path string) { h.must(os.Mkdir(path, 0o700)) }, "is a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			h, f := newHouse(t), newFiles(t)
			f.put("cur/1.a:2,a", "A: 1\n\n")
			f.put(".Work/cur/2.b:2,b", "A: 2\n\n")
			lists := []string{f.root + "/subscriptions", f.root + "/dovecot-keywords", f.root + "/.Work/dovecot-keywords"}
			for _, path := range lists {
				c.make(h, path)
			}
			r := h.take(f.source(), Plan{})
			if r.Taken != 2 || r.Folders != 2 || r.Failed != len(lists) {
				t.Errorf("%d taken, %d folders, %d failed: %s", r.Taken, r.Folders, r.Failed, told(r))
			}
			for _, path := range lists {
				found := false
				for _, x := range r.Failures {
					found = found || x.Folder == path && strings.Contains(x.Reason, c.why)
				}
				if !found {
					t.Errorf("%s is not told with %q: %s", path, c.why, told(r))
				}
			}
			if name == "long line" {
				h.want("keywords", fmt.Sprint(h.show(1, "INBOX"), h.show(1, "Work")), "[1 [][$A] A: 1\r\n\r\n] [1 [][$B] A: 2\r\n\r\n]")
			}
		})
	}
}

// TestKeywordsUnread: keywords that cannot be read for once are not taken away here.
func TestKeywordsUnread(t *testing.T) {
	h, f := newHouse(t), newFiles(t)
	f.put("cur/1.a:2,a", "A: 1\n\n")
	f.put("dovecot-keywords", "0 $A\n")
	h.take(f.source(), Plan{})
	before := fmt.Sprint(h.show(1, "INBOX"))
	h.must(os.Remove(f.root + "/dovecot-keywords"))
	h.must(os.Mkdir(f.root+"/dovecot-keywords", 0o700))
	r := h.take(f.source(), Plan{})
	h.want("report", []int{r.There, r.Updated, r.Failed}, "[1 0 1]")
	h.want("keywords", h.show(1, "INBOX"), before)
}

// TestDeepFolders: folders that are too deep are told; what is beside them is taken.
func TestDeepFolders(t *testing.T) {
	const text = "From a Tue Nov 22 01:02:03 2026\nSubject: x\n\nx\n"
	h, dir := newHouse(t), t.TempDir()
	deep := filepath.Join(dir, strings.Repeat("d/", mail.MaxMailboxDepth+1))
	h.must(os.MkdirAll(deep, 0o700))
	for _, path := range []string{dir + "/a", dir + "/d/b", dir + "/twice", dir + "/twice.mbox", dir + "/z", deep + "/deep"} {
		h.must(os.WriteFile(path, []byte(text), 0o600))
	}
	r := h.take(&Mbox{Places: []*files.Place{files.From(dir)}}, Plan{})
	if r.Taken != 4 || r.Failed != 2 || !strings.Contains(told(r), "folders may be 32 deep") || !strings.Contains(told(r), "are both called twice") {
		t.Errorf("mbox: %d taken, %d failed: %s", r.Taken, r.Failed, told(r))
	}

	f := newFiles(t)
	f.put("cur/1.a", "A: 1\n\n")
	f.put(strings.Repeat("d/", mail.MaxMailboxDepth+1)+"cur/2.a", "A: 2\n\n")
	f.put("z/cur/3.a", "A: 3\n\n")
	r = h.take(f.source(), Plan{})
	if r.Taken != 2 || r.Failed != 1 || !strings.Contains(told(r), "folders may be 32 deep") {
		t.Errorf("maildir: %d taken, %d failed: %s", r.Taken, r.Failed, told(r))
	}
}
