package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// plain takes names as they are.
var plain = Codec{Decode: func(b []byte) (string, bool) { return string(b), true }, Encode: func(s string) string { return s }}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// openOne opens one message.
func openOne(t *testing.T, dir *files.Folder, f File) (file *os.File, err error) {
	t.Helper()
	_ = Each(dir, []File{f}, func(_ int, got *os.File, gotErr error) error {
		file, err = got, gotErr
		return nil
	})
	return file, err
}

func folder(t *testing.T, path string) *files.Folder {
	t.Helper()
	f, err := files.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name, base string
		flags      mail.Flags
		keywords   string
	}{
		{"1.a.host", "1.a.host", 0, "[]"},
		{"1.a.host:2,", "1.a.host", 0, "[]"},
		{"1.a.host,S=1,W=2:2,DFPRSTab", "1.a.host,S=1,W=2", mail.Draft | mail.Flagged | mail.Answered | mail.Seen | mail.Deleted, "[$Forwarded Junk Work]"},
		{"1.a.host:2,Sz", "1.a.host", mail.Seen, "[]"},
		{"1.a.host:2,S,dovecot", "1.a.host", mail.Seen, "[]"},
		{"1.a.host:1,xS", "1.a.host", 0, "[]"},
	} {
		base, letters := splitName(c.name)
		flags, keywords := readLetters(letters, []string{"Junk", "Work"})
		if base != c.base || flags != c.flags || fmt.Sprint(keywords) != c.keywords {
			t.Errorf("%s: %s %v %v", c.name, base, flags, keywords)
		}
	}
	names := []string{"Junk"}
	text, left := letters(mail.Seen|mail.Draft, []string{"work", "$forwarded", "junk"}, &names)
	if text != "DPSabc" || len(left) != 0 || fmt.Sprint(names) != "[Junk work $forwarded]" {
		t.Errorf("%s %v %v", text, left, names)
	}
}

func TestUIDLists(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"3 V1275660208 N25022 G3085f0\n25006 W1394 :a.b,S=1:2,S\n25007 :c\nnonsense\n0 :d\n", "1275660208 25022 map[a.b,S=1:25006 c:25007]"},
		{"1 12 14\n12 a:2,S\n13 b", "12 14 map[a:12 b:13]"},
		{"3 V5 N2\n9 :late\n", "5 10 map[late:9]"},
		{"", "error"}, {"2 V1 N1\n", "error"}, {"3 N1\n", "error"}, {"3 Vx N1\n", "error"}, {"1 1\n", "error"},
		{"3 V1 N1\n" + strings.Repeat("x", MaxListLine), "error"},
	} {
		l, err := ParseUIDList(strings.NewReader(c.text))
		got := fmt.Sprint(l.UIDValidity, l.UIDNext, l.UIDs)
		if err != nil {
			got = "error"
			if mail.KindOf(err) != mail.Invalid {
				t.Errorf("%.20q: kind %v", c.text, mail.KindOf(err))
			}
		}
		if got != c.want {
			t.Errorf("%.40q: %s, want %s (%v)", c.text, got, c.want, err)
		}
	}
}

func FuzzUIDList(f *testing.F) {
	f.Add([]byte("3 V1275660208 N25022 G3085f0\n25006 W1394 :a.b,S=1:2,S\n25007 :c\n"))
	f.Add([]byte("1 12 14\n12 a:2,S\n13 b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseUIDList(bytes.NewReader(b))
		if err != nil {
			return
		}
		if l.UIDValidity == 0 {
			t.Error("no UIDVALIDITY")
		}
		for base, uid := range l.UIDs {
			if uid == 0 || uid >= l.UIDNext || strings.Contains(base, ":") {
				t.Errorf("%q has %d of %d", base, uid, l.UIDNext)
			}
		}
	})
}

func TestTrees(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"cur", ".Work/cur", ".Work.Plans/cur", "Nested/cur", "Nested/Deep/new", "Nested/Empty", ".cache/x", ".a..b/cur"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(root, "subscriptions"), "V\t2\n\nWork\nWork\tPlans\nINBOX\n")
	tree, err := Read(files.From(root), plain)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, f := range tree.Folders {
		got += fmt.Sprintf("%s %v;", strings.Join(f.Levels, "/"), f.Subscribed)
	}
	if want := " true;Nested false;Nested/Deep false;Work true;Work/Plans true;"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if want := "[{" + root + "/.a..b its name has nothing before, between or behind the dots that part levels}]"; fmt.Sprint(tree.Problems) != want {
		t.Errorf("%v, want %s", tree.Problems, want)
	}
	if _, err := Read(files.From(filepath.Join(root, "nowhere")), plain); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}
	home := t.TempDir()
	put(t, filepath.Join(home, "Maildir/cur/x"), "")
	if _, err := Read(files.From(home), plain); err == nil || !strings.Contains(err.Error(), "did you mean "+home+"/Maildir?") {
		t.Error("a home was read as folders in folders:", err)
	}
}

// TestFolderOfMaildirs: Maildirs of many beside each other are not the folders of one;
// what has an INBOX or a list of folders is.
func TestFolderOfMaildirs(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "alice/cur/x"), "")
	put(t, filepath.Join(root, "bob/new/x"), "")
	_, err := Read(files.From(root), plain)
	if mail.KindOf(err) != mail.Invalid || !strings.Contains(err.Error(), root+" is no Maildir, but a folder of Maildirs: name that of one person, such as "+root+"/alice;") {
		t.Error(err)
	}
	for _, mark := range []string{"INBOX/cur/x", "subscriptions", "dovecot-uidvalidity", ".Work/cur/x", "cur/x"} {
		at := filepath.Join(root, mark)
		put(t, at, "")
		if tree, err := Read(files.From(root), plain); err != nil || len(tree.Folders) < 2 {
			t.Errorf("%s: %v, %v", mark, tree, err)
		}
		if err := os.RemoveAll(filepath.Join(root, strings.Split(mark, "/")[0])); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWriteAndRead: what is written is read again, and writing again brings it
// up to date.
func TestWriteAndRead(t *testing.T) {
	for _, layout := range []Layout{PlusPlus, Nested} {
		root := filepath.Join(t.TempDir(), "m")
		at := time.Unix(1_600_000_000, 0)
		export := func(uids ...mail.UID) (written int) {
			w, err := Create(files.Into(root), layout, plain)
			if err != nil {
				t.Fatal(err)
			}
			b, err := w.Folder([]string{"Work", "Plans"}, 77)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range uids {
				m := Message{UID: u, Flags: mail.Seen, Keywords: []string{"Junk"}, Received: at}
				ok, err := b.Add(m, func(w io.Writer) error { _, err := io.WriteString(w, "a\r\nb\r\n"); return err })
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					written++
				}
			}
			if err := errors.Join(b.Close(10), w.Subscribe([][]string{{"Work", "Plans"}})); err != nil {
				t.Fatal(err)
			}
			return written
		}
		if n := export(3, 5); n != 2 {
			t.Errorf("%d written", n)
		}
		if n := export(5, 8); n != 1 {
			t.Errorf("%d written the second time", n)
		}
		tree, err := Read(files.From(root), plain)
		if err != nil || len(tree.Folders) == 0 {
			t.Fatal(err, tree)
		}
		f := tree.Folders[len(tree.Folders)-1]
		l, err := List(folder(t, f.Path))
		if err != nil || len(l.Files) != 2 || l.UIDValidity != 77 || l.UIDNext != 10 || !f.Subscribed {
			t.Fatalf("%v %+v %+v", err, f, l)
		}
		for i, want := range []mail.UID{5, 8} {
			got := l.Files[i]
			if got.UID != want || got.Flags != mail.Seen || fmt.Sprint(got.Keywords) != "[Junk]" || !got.Received.Equal(at) {
				t.Errorf("%+v", got)
			}
			if !strings.Contains(got.Base, ",S=4,W=6") {
				t.Error(got.Base)
			}
		}
		file, err := openOne(t, folder(t, f.Path), l.Files[0])
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		_, err = io.Copy(&CRLF{W: &b}, file)
		if file.Close(); err != nil || b.String() != "a\r\nb\r\n" {
			t.Errorf("%v %q", err, b.String())
		}
	}
}

func TestRefusals(t *testing.T) {
	root := t.TempDir()
	w, err := Create(files.Into(root), PlusPlus, plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Folder([]string{"v1.2"}, 1); mail.KindOf(err) != mail.Invalid {
		t.Error("a dot:", err)
	}
	put(t, filepath.Join(root, "dovecot.index.log"), "")
	if _, err := Create(files.Into(root), PlusPlus, plain); mail.KindOf(err) != mail.Conflict {
		t.Error("in use:", err)
	}
}

// TestRenamed: a message that is renamed after it was listed is found.
func TestRenamed(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "new/1.a"), "x")
	l, err := List(folder(t, root))
	if err != nil || len(l.Files) != 1 {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "cur/1.a:2,S"), "y")
	if err := os.Remove(filepath.Join(root, "new/1.a")); err != nil {
		t.Fatal(err)
	}
	f, err := openOne(t, folder(t, root), l.Files[0])
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

func TestLines(t *testing.T) {
	for _, text := range []string{"", "a\nb\n", "a\r\nb\n", "\n\n", "\r", "\r\r\n", "a\r", "\r\n\r\n", "a\rb\r\r\rc\n"} {
		for cut := range len(text) + 1 {
			var crlf, lf bytes.Buffer
			c := &CRLF{W: &crlf}
			_, _ = io.WriteString(c, text[:cut])
			_, _ = io.WriteString(c, text[cut:])
			want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
			if !strings.Contains(text, "\r\r\n") && crlf.String() != want {
				t.Errorf("%q at %d: %q", text, cut, crlf.String())
			}
			l := &LF{W: &lf}
			_, _ = io.WriteString(l, crlf.String()[:min(cut, crlf.Len())])
			_, _ = io.WriteString(l, crlf.String()[min(cut, crlf.Len()):])
			_ = l.Close()
			var back bytes.Buffer
			_, _ = (&CRLF{W: &back}).Write(lf.Bytes())
			if l.Exact() != (back.String() == crlf.String()) {
				t.Errorf("%q at %d: exact %v, but %q", crlf.String(), cut, l.Exact(), back.String())
			}
		}
	}
}
