package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// Folder is a folder of a Maildir.
type Folder struct {
	Levels     []string // its name; none is the INBOX
	At         string   // below the Maildir; "." is the Maildir itself
	Path       string   // for people
	Subscribed bool
}

// Tree is the folders of a Maildir, the INBOX first.
type Tree struct {
	Folders  []Folder
	Problems []Problem // folders and lists that cannot be read
}

// Read finds the folders of the Maildir at root, of either layout. NotFound if
// there is none.
func Read(root *files.Place, c Codec) (t Tree, err error) {
	dir, err := root.Open()
	if err != nil {
		return t, unopened(root, err)
	}
	defer dir.Close()
	subscribed, err := readSubscriptions(dir, c)
	if err != nil {
		t.Problems = append(t.Problems, problemOf(dir.Path(subscriptionFile), err))
	}
	w := walker{dir: dir, codec: c, tree: &t, subscribed: subscribed}
	switch {
	case w.isMaildir("."):
		w.take(nil, ".")
	case w.isMaildir("Maildir"): // A home folder.
		return t, w.notMaildir()
	}
	entries, err := dir.List(".")
	if err != nil {
		return t, unopened(root, err)
	}
	if people := w.people(entries); len(people) > 0 {
		return t, mail.Errorf(mail.Invalid, "%s is no Maildir, but a folder of Maildirs: name that of one person, such as %s; "+
			"if they are folders of one person, make a folder %s first", dir.Path("."), dir.Path(people[0]), dir.Path("cur"))
	}
	w.walk(".", entries, nil)
	if len(t.Folders) == 0 {
		return t, w.notMaildir()
	}
	slices.SortStableFunc(t.Folders, func(a, b Folder) int { return slices.Compare(a.Levels, b.Levels) })
	return t, nil
}

// unopened says why there is no Maildir at root.
func unopened(root *files.Place, err error) error {
	var known *mail.Error
	switch of := (*fs.PathError)(nil); {
	case errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return mail.Errorf(mail.NotFound, "there is no folder %s", root.Path())
	case errors.Is(err, syscall.ENOTDIR):
		return mail.Errorf(mail.NotFound, "%s is no folder, and so no Maildir", root.Path())
	case errors.As(err, &of):
		return mail.Errorf(mail.Forbidden, "%s cannot be read: %w", root.Path(), of.Err)
	}
	return mail.Errorf(mail.Forbidden, "%s cannot be read: %w", root.Path(), err)
}

// walker collects folders.
type walker struct {
	dir        *files.Folder
	codec      Codec
	tree       *Tree
	subscribed map[string]bool
	full       bool // there are more than MaxFolders, which was told
}

func (w *walker) isMaildir(name string) bool {
	return w.dir.IsFolder(path.Join(name, "cur")) || w.dir.IsFolder(path.Join(name, "new"))
}

// notMaildir says what the folder is not, and where a Maildir is.
func (w *walker) notMaildir() error {
	root := w.dir.Path(".")
	for _, sub := range [...]string{"Maildir", "mail"} {
		if w.isMaildir(sub) {
			return mail.Errorf(mail.NotFound, "%s is no Maildir: it has no folder cur; did you mean %s?", root, w.dir.Path(sub))
		}
	}
	return mail.Errorf(mail.NotFound, "%s is no Maildir: it has no folder cur", root)
}

// people are the Maildirs in a folder that is none itself and has nothing of one: neither
// an INBOX, nor a list that stands beside its folders.
func (w *walker) people(entries []fs.DirEntry) (names []string) {
	if len(w.tree.Folders) > 0 {
		return nil
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.EqualFold(name, string(mail.Inbox)), name == subscriptionFile, name == exportMark,
			strings.HasPrefix(name, "dovecot"), strings.HasPrefix(name, "."), strings.HasPrefix(name, "courierimap"):
			return nil
		case e.IsDir() && w.isMaildir(name):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (w *walker) take(levels []string, at string) {
	name := strings.Join(levels, "\x00")
	if levels == nil {
		name = string(mail.Inbox)
	}
	w.tree.Folders = append(w.tree.Folders, Folder{Levels: levels, At: at, Path: w.dir.Path(at), Subscribed: w.subscribed[name]})
}

// own are folders below a folder that are not folders of mail.
var own = []string{"cur", "new", "tmp"}

// lists are files whose faults are told when they are read.
var lists = []string{uidListFile, keywordsFile, subscriptionFile}

func (w *walker) walk(dir string, entries []fs.DirEntry, above []string) {
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		if e.Type()&fs.ModeSymlink != 0 && !slices.Contains(lists, e.Name()) {
			w.problem(at, "it is a link, which is not followed")
		}
		if e.IsDir() && !slices.Contains(own, e.Name()) {
			w.entry(e.Name(), at, above)
		}
		if w.full {
			return
		}
	}
}

// entry takes a folder in a folder: ".Work.Plans" of the root has all levels in
// its name, any other is one level.
func (w *walker) entry(name, at string, above []string) {
	if w.full = len(w.tree.Folders) >= MaxFolders; w.full {
		w.problem(at, fmt.Sprintf("a Maildir has at most %d folders; this one and what follows is left", MaxFolders))
		return
	}
	if dotted, ok := strings.CutPrefix(name, "."); ok {
		if len(above) > 0 || !w.isMaildir(at) {
			return // Not mail: .cache and the like.
		}
		levels, fault := w.decode(strings.Split(dotted, "."))
		if fault != "" {
			w.problem(at, fault)
			return
		}
		w.take(levels, at)
		return
	}
	level, fault := w.decode([]string{name})
	if fault != "" {
		if w.isMaildir(at) {
			w.problem(at, fault)
		}
		return
	}
	if len(above) >= MaxDepth {
		w.problem(at, fmt.Sprintf("folders may be %d deep", MaxDepth))
		return
	}
	levels := append(slices.Clone(above), level...)
	if w.isMaildir(at) {
		w.take(levels, at)
	}
	entries, err := w.dir.List(at)
	if err != nil {
		w.tree.Problems = append(w.tree.Problems, problemOf(w.dir.Path(at), err))
		return
	}
	w.walk(at, entries, levels)
}

// decode reads the levels of a name, or says what is wrong with it.
func (w *walker) decode(levels []string) (names []string, fault string) {
	for _, l := range levels {
		name, ok := w.codec.Decode([]byte(l))
		if !ok {
			return nil, "its name is neither modified UTF-7 nor UTF-8"
		}
		if name == "" {
			return nil, "its name has nothing before, between or behind the dots that part levels"
		}
		names = append(names, name)
	}
	return names, ""
}

func (w *walker) problem(at, reason string) {
	w.tree.Problems = append(w.tree.Problems, Problem{w.dir.Path(at), reason})
}

// readSubscriptions reads the names of subscribed folders, levels joined by NUL:
// a name on a line, or after "V\t2" its levels with tabs between them.
func readSubscriptions(dir *files.Folder, c Codec) (map[string]bool, error) {
	names := make(map[string]bool)
	separator := ""
	number := 0
	err := eachLine(dir, subscriptionFile, func(line string) {
		number++
		if number == 1 && line == "V\t2" {
			separator = "\t"
			return
		}
		if line == "" || len(names) >= MaxFolders {
			return
		}
		addSubscription(names, line, separator, c)
	})
	return names, err
}

func addSubscription(names map[string]bool, line, separator string, c Codec) {
	if separator == "" { // Of the old form nobody knows the separator: take both.
		separator = "."
		if strings.Contains(line, "/") {
			separator = "/"
		}
	}
	var levels []string
	for l := range strings.SplitSeq(line, separator) {
		if separator == "\t" {
			l = unescapeTabs(l)
		}
		name, ok := c.Decode([]byte(l))
		if !ok {
			return
		}
		levels = append(levels, name)
	}
	names[strings.Join(levels, "\x00")] = true
}

// tabEscapes is how Dovecot writes what would end a field.
var tabEscapes = [...][2]string{{"\x01" + "1", "\x01"}, {"\x010", "\x00"}, {"\x01t", "\t"}, {"\x01r", "\r"}, {"\x01n", "\n"}}

func unescapeTabs(s string) string {
	if !strings.Contains(s, "\x01") {
		return s
	}
	var b strings.Builder
next:
	for i := 0; i < len(s); {
		for _, e := range tabEscapes {
			if strings.HasPrefix(s[i:], e[0]) {
				b.WriteString(e[1])
				i += 2
				continue next
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}
