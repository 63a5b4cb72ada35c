package lending

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair is two ends of a connection.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		must(t, errors.Join(err, f.Close()))
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { _ = c.Close() })
	}
	return ends[0], ends[1]
}

// loan is a Borrower whose other side lends.
func loan(t *testing.T, out io.Writer, places ...*files.Place) *Borrower {
	t.Helper()
	command, server := pair(t)
	var g sync.WaitGroup
	g.Go(func() { _ = Lend(t.Context(), command, places, out) })
	b, err := Borrow(t.Context(), server)
	must(t, err)
	t.Cleanup(func() { _ = b.Close(); g.Wait() })
	return b
}

// work does a bit of everything in a folder and says what came of it, each thing in a line.
func work(f *files.Folder) (log []string) {
	say := func(what string, err error) {
		kind := ""
		if known := (*mail.Error)(nil); errors.As(err, &known) {
			kind = known.Kind.String()
		}
		log = append(log, fmt.Sprintf("%s: %q %s gone %v there %v refused %v", what, strings.ReplaceAll(fmt.Sprint(err), f.Path("."), "DIR"), kind,
			errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrPermission)))
	}
	read := func(name string, file *os.File, err error) {
		if err == nil {
			text, readErr := io.ReadAll(file)
			log = append(log, fmt.Sprintf("%s has %q", name, text))
			err = errors.Join(readErr, file.Close())
		}
		say("read "+name, err)
	}
	list := func(name string) {
		entries, err := f.ListSized(name)
		var names []string
		for _, e := range entries {
			info, _ := e.Info()
			size := int64(-1)
			if e.Type().IsRegular() {
				size = info.Size()
			}
			names = append(names, fmt.Sprintf("%q %v %d", e.Name(), e.Type(), size))
		}
		slices.Sort(names)
		say(fmt.Sprint(name, names), err)
	}
	say("make", f.MakeFolders("a/b"))
	say("make again", f.MakeFolder("a"))
	say("replace", f.Replace("a/list", []byte("one")))
	say("replace again", f.Replace("a/list", []byte("two")))
	say("strange name", f.Replace("a/\xff\n\"", []byte("strange")))
	file, err := f.Lock("lock")
	read("lock", file, err)
	drafts := f.Drafts("a/draft.")
	at := time.Date(2001, 2, 3, 4, 5, 6, 7000, time.UTC)
	for i := range 40 {
		file, err := drafts.Next()
		if err != nil {
			say("draft", err)
			continue
		}
		_, _ = fmt.Fprintf(file, "draft %d", i)
		_ = file.Close()
		if i%7 == 0 {
			drafts.Drop()
			continue
		}
		drafts.Keep(fmt.Sprintf("a/b/%d", i), at)
	}
	say("flush", drafts.Flush())
	e, err := f.Stat("a/b/5")
	say(fmt.Sprint(e.Size(), e.Mode(), e.ModTime().UTC()), err)
	names := []string{"a/b/1", "a/b/0", "link", "fifo", "../secret", "a/../../secret", "/etc/passwd", "a/b/2", "a", "other"}
	for i := range 20 {
		names = append(names, fmt.Sprint("a/b/", i))
	}
	say("each", f.EachOwned(names, func(i int, file *os.File, err error) error { read(names[i], file, err); return nil }))
	sub, err := f.Folder("a/b")
	say("sub", err)
	if err == nil {
		file, err := sub.Open("3")
		read("3 of sub", file, err)
		say("close", sub.Close())
	}
	for _, name := range []string{"link", "away", "nothing", "..", "fifo", "away/x"} {
		_, err := f.Folder(name)
		say("folder "+name, err)
		_, err = f.List(name)
		say("list "+name, err)
	}
	say("out", f.Rename("a/list", "../list"))
	say("remove", f.Remove("a/list"))
	say("remove again", f.Remove("a/list"))
	say("remove full", f.Remove("a/b"))
	list(".")
	list("a")
	list("a/b")
	say("remove all", f.RemoveAll("a/b"))
	say("sync", f.Sync("a"))
	say("restrict", f.Restrict("a"))
	list("a")
	return log
}

// scene is a folder with things in it that are not what they seem.
func scene(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "dir")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o600))
	must(t, os.Symlink("../secret", filepath.Join(dir, "link")))
	must(t, os.Symlink("..", filepath.Join(dir, "away")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("of another"), 0o600))
	if os.Getuid() == 0 {
		must(t, os.Chown(filepath.Join(dir, "other"), 70001, 70001))
	}
	return dir
}

// TestAlike: what is done in a folder that is lent comes to the same as in one's own, and
// is refused in the same words.
func TestAlike(t *testing.T) {
	own, err := files.Into(scene(t)).Make()
	must(t, err)
	defer own.Close()
	lent, err := loan(t, io.Discard, files.Into(scene(t))).Places()[0].Make()
	must(t, err)
	defer lent.Close()
	want, got := work(own), work(lent)
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("lent: %s\n own: %s", got[min(i, len(got)-1)], want[i])
		}
	}
	if all := strings.Join(got, "\n"); strings.Contains(all, `has "secret"`) || len(got) < 80 {
		t.Errorf("%d lines:\n%s", len(got), all)
	}
}

// TestPlaces: files and folders that were named, in the order of their names; those that
// are lent to be read are not written, and what is not there is told as it is.
func TestPlaces(t *testing.T) {
	dir := scene(t)
	missing := filepath.Join(dir, "missing", "below")
	b := loan(t, io.Discard, files.From(dir), files.From(filepath.Join(dir, "other")), files.From(missing), files.Into(missing))
	p := b.Places()
	if e, err := p[0].Stat(); err != nil || !e.IsDir() || p[0].Path() != dir {
		t.Error(e, err)
	}
	f, err := p[1].OpenFile()
	must(t, err)
	if text, err := io.ReadAll(f); err != nil || string(text) != "of another" {
		t.Errorf("%q, %v", text, err)
	}
	must(t, f.Close())
	for _, err := range []error{second(p[2].Stat()), second(p[2].Open()), second(p[2].OpenFile())} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	folder, err := p[0].Open()
	must(t, err)
	sub, err := folder.Folder(".")
	must(t, err)
	for _, f := range []*files.Folder{folder, sub} {
		for what, err := range map[string]error{
			"create": second(f.Create("x")), "lock": second(f.Lock("x")), "replace": f.Replace("x", nil), "make": f.MakeFolder("x"),
			"makes": f.MakeFolders("x/y"), "rename": f.Rename("other", "x"), "remove": f.Remove("other"), "all": f.RemoveAll("other"),
			"restrict": f.Restrict("."), "sync": f.Sync("."),
		} {
			if !errors.Is(err, syscall.EROFS) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if err := second(p[2].Make()); !errors.Is(err, syscall.EROFS) {
		t.Error(err)
	}
	made, err := p[3].Make()
	must(t, err)
	must(t, made.Replace("x", []byte("here")))
	if text, err := os.ReadFile(filepath.Join(missing, "x")); err != nil || string(text) != "here" {
		t.Errorf("%q, %v", text, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestManyNames: a folder with more names than go into one frame.
func TestManyNames(t *testing.T) {
	dir := t.TempDir()
	const n = 3000
	for i := range n {
		must(t, os.WriteFile(filepath.Join(dir, strings.Repeat("x", 200)+fmt.Sprint(i)), nil, 0o600))
	}
	f, err := loan(t, io.Discard, files.From(dir)).Places()[0].Open()
	must(t, err)
	if list, err := f.List("."); err != nil || len(list) != n {
		t.Errorf("%d names, %v", len(list), err)
	}
}

// TestMany: several work at the same time, beside what the server has to say, and only so
// many folders are open.
func TestMany(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o600))
	var heard bytes.Buffer
	b := loan(t, &heard, files.From(dir))
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			f, err := b.Places()[0].Open()
			for i := 0; i < 100 && err == nil; i++ {
				var text []byte
				if text, err = f.Read("x", 10); err == nil && string(text) != "x" {
					err = fmt.Errorf("read %q", text)
				}
			}
			if err = errors.Join(err, f.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	text := bytes.Repeat([]byte("0123456789"), 100_000)
	if n, err := b.Write(text); n != len(text) || err != nil {
		t.Error(n, err)
	}
	g.Wait()
	var open []*files.Folder
	for {
		f, err := b.Places()[0].Open()
		if err != nil {
			if mail.KindOf(err) != mail.TooLarge {
				t.Error(err)
			}
			break
		}
		open = append(open, f)
	}
	if len(open) != MaxFolders {
		t.Errorf("%d folders", len(open))
	}
	must(t, open[0].Close())
	if _, err := b.Places()[0].Open(); err != nil {
		t.Error(err)
	}
	must(t, b.Close())
	if !bytes.Equal(heard.Bytes(), text) {
		t.Errorf("%d octets heard of %d", heard.Len(), len(text))
	}
}

// TestHeld: what the server works with itself it does not take from anybody, under
// whatever name, and no file that is not regular.
func TestHeld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	must(t, os.WriteFile(path, []byte("rows"), 0o600))
	must(t, os.Link(path, filepath.Join(dir, "linked")))
	command, server := pair(t)
	b := borrowRaw(t, command, server, "/lent")
	defer files.Hold(path)()
	for name, want := range map[string]string{"linked": "which this server works with", "": "is a folder"} {
		file, err := os.Open(filepath.Join(dir, name))
		must(t, err)
		go func() {
			_, _, _ = readFrame(command, nil)
			l := &lender{conn: command, handed: []*os.File{file}}
			_ = l.send(append(beginFrame(nil, kindAnswer), hasFile))
		}()
		if _, err := b.Places()[0].OpenFile(); mail.KindOf(err) != mail.Forbidden || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// borrowRaw is a Borrower with one place; the test is the command.
func borrowRaw(t *testing.T, command, server *net.UnixConn, place string) *Borrower {
	t.Helper()
	_, err := command.Write(endFrame(appendText(beginFrame(nil, kindPlaces), place)))
	must(t, err)
	_, err = command.Write(beginFrame(nil, kindGo))
	must(t, err)
	b, err := Borrow(t.Context(), server)
	must(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// TestStrangeCommand: a command that does not keep to the protocol, or goes away, ends
// the loan and no more; no file of it stays open.
func TestStrangeCommand(t *testing.T) {
	file, err := os.Open(os.DevNull)
	must(t, err)
	defer file.Close()
	hand := func(c *net.UnixConn, frame []byte, n int) {
		l := &lender{conn: c}
		for range n {
			fd, err := syscall.Dup(int(file.Fd()))
			must(t, err)
			l.handed = append(l.handed, os.NewFile(uintptr(fd), "x"))
		}
		_ = l.send(frame)
	}
	for name, answer := range map[string]func(c *net.UnixConn){
		"gone":              func(c *net.UnixConn) { _ = c.Close() },
		"no file":           func(c *net.UnixConn) { hand(c, append(beginFrame(nil, kindAnswer), hasFile), 0) },
		"files too many":    func(c *net.UnixConn) { hand(c, append(beginFrame(nil, kindAnswer), hasFile), 3) },
		"files not wanted":  func(c *net.UnixConn) { hand(c, append(beginFrame(nil, kindAnswer), 0), 1) },
		"very many files":   func(c *net.UnixConn) { hand(c, append(beginFrame(nil, kindAnswer), hasFile), 200) },
		"names":             func(c *net.UnixConn) { hand(c, beginFrame(nil, kindNames), 0) },
		"nothing":           func(c *net.UnixConn) { hand(c, beginFrame(nil, kindAnswer), 0) },
		"too much":          func(c *net.UnixConn) { hand(c, append(beginFrame(nil, kindAnswer), 0, 0), 0) },
		"an unknown answer": func(c *net.UnixConn) { hand(c, append(beginFrame(nil, kindAnswer), 77), 0) },
		"a long frame":      func(c *net.UnixConn) { _, _ = c.Write([]byte{kindAnswer, 0xff, 0, 0, 0}) },
		"half a frame":      func(c *net.UnixConn) { _, _ = c.Write([]byte{kindAnswer, 0, 0}); _ = c.CloseWrite() },
		"silence":           func(c *net.UnixConn) {},
	} {
		t.Run(name, func(t *testing.T) {
			before := openFiles(t)
			command, server := pair(t)
			b := borrowRaw(t, command, server, "/lent")
			b.wait = patience(name)
			var answering sync.WaitGroup // It has files of its own that it hands over.
			answering.Go(func() {
				_, _, _ = readFrame(command, nil)
				answer(command)
			})
			f, err := b.Places()[0].OpenFile()
			if f != nil || mail.KindOf(err) != mail.Unavailable || err.Error() != "the command that has the files went away" {
				t.Errorf("%v, %v", f, err)
			}
			<-b.Context().Done()
			if _, err := b.Places()[0].Stat(); mail.KindOf(err) != mail.Unavailable {
				t.Error(err)
			}
			_ = b.Close()
			_ = command.Close()
			answering.Wait()
			if now := openFiles(t); now > before {
				t.Errorf("%d files are open, %d were", now, before)
			}
		})
	}
}

// patience is how long the command has to answer.
func patience(name string) time.Duration {
	if name == "silence" {
		return 50 * time.Millisecond
	}
	return time.Minute
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system does not tell which files are open")
	}
	return len(list)
}

// TestStrangeServer: a server that does not keep to the protocol gets nothing more, and
// nothing ever but what was lent.
func TestStrangeServer(t *testing.T) {
	ask := func(number uint64, asks ...files.Ask) []byte {
		f := append(beginFrame(nil, kindAsk), byte(number), byte(len(asks)))
		for _, a := range asks {
			f = appendAsk(f, a)
		}
		return endFrame(f)
	}
	long := strings.Repeat("x", MaxName+1)
	for name, frame := range map[string][]byte{
		"another place":  ask(1, files.Ask{Op: files.OpFolder}),
		"nothing":        ask(0),
		"too much":       ask(0, make([]files.Ask, maxAsks+1)...),
		"a long name":    ask(0, files.Ask{Op: files.OpOpen, Name: long}),
		"a long frame":   {kindAsk, 0xff, 0xff, 0xff, 0xff},
		"half an ask":    endFrame(append(beginFrame(nil, kindAsk), 0, 1, 1)),
		"more":           endFrame(append(ask(0, files.Ask{Op: files.OpStat}), 0)),
		"another frame":  beginFrame(nil, 'x'),
		"its own answer": endFrame(append(beginFrame(nil, kindAnswer), 0)),
	} {
		t.Run(name, func(t *testing.T) {
			command, server := pair(t)
			done := make(chan error, 1)
			go func() { done <- Lend(t.Context(), command, []*files.Place{files.From(t.TempDir())}, io.Discard) }()
			for kind := byte(0); kind != kindGo; {
				var err error
				kind, _, err = readFrame(server, nil)
				must(t, err)
			}
			_, err := server.Write(frame)
			must(t, err)
			if err := <-done; !errors.Is(err, errWire) {
				t.Error(err)
			}
			if n, _ := server.Read(make([]byte, 1)); n > 0 {
				t.Error("it answered")
			}
		})
	}
	b := loan(t, io.Discard, files.From(scene(t)))
	for op := range files.Op(30) {
		for _, name := range []string{"", "..", "/etc/passwd", "../secret"} {
			a := b.Places()[0].Do(files.Ask{Op: op, Name: name})[0]
			if a.File != nil {
				t.Errorf("%d %q: %v", op, name, a.File.Name())
			}
		}
	}
}

// TestStop: the end of the command's context ends the loan.
func TestStop(t *testing.T) {
	command, server := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Lend(ctx, command, nil, io.Discard) }()
	b, err := Borrow(t.Context(), server)
	must(t, err)
	defer b.Close()
	cancel()
	<-done
	<-b.Context().Done()
}

// FuzzParse: whatever comes is read without a panic, and what was written is read as it was.
func FuzzParse(f *testing.F) {
	f.Add(appendAsk(nil, files.Ask{Op: files.OpRename, Name: "a\xff", To: "b", Time: time.Unix(-5, 7), Strict: true}))
	f.Add(appendEntry(nil, files.NewEntry("x", fs.ModeDir|0o700).Sized(5, time.Unix(1<<40, 0))))
	f.Add(appendError(nil, &fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}))
	f.Add(appendError(nil, mail.Errorf(mail.TooLarge, "much")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := (&parser{b: b}); true {
			if a := p.ask(); !p.bad {
				if again := (&parser{b: appendAsk(nil, a)}).ask(); !again.Time.Equal(a.Time) || again.Name != a.Name || again.To != a.To || again.Op != a.Op || again.Strict != a.Strict {
					t.Errorf("%+v became %+v", a, again)
				}
			}
		}
		if p := (&parser{b: b}); true {
			if e := p.entry(); !p.bad {
				if again := (&parser{b: appendEntry(nil, e)}).entry(); again.Name() != e.Name() || again.Mode() != e.Mode() || again.Size() != e.Size() {
					t.Errorf("%+v became %+v", e, again)
				}
			}
		}
		if p := (&parser{b: b}); true {
			if err := p.error(); !p.bad {
				again := (&parser{b: appendError(nil, err)}).error()
				if again.Error() != err.Error() || mail.KindOf(again) != mail.KindOf(err) || errors.Is(again, fs.ErrNotExist) != errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%#v became %#v", err, again)
				}
			}
		}
	})
}
