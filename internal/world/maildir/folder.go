package maildir

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// File is a message in a folder.
type File struct {
	Base     string   // what never changes of its name
	UID      mail.UID // 0 if the folder does not number it
	Flags    mail.Flags
	Keywords []string
	Received time.Time // when the file was written
	Size     int64     // octets of the file
	name     string    // below the folder: "cur/..."
}

// Listing is the messages of a folder: those with UIDs first, in their order,
// then the others, oldest first.
type Listing struct {
	UIDList
	Files    []File
	Problems []Problem // dovecot-keywords, if it cannot be read: keywords are missing then
}

// List reads a folder.
func List(dir *files.Folder) (l Listing, err error) {
	if l.UIDList, err = readUIDList(dir); err != nil {
		return l, err
	}
	keywords, err := readKeywords(dir, ".")
	if err != nil {
		l.Problems = append(l.Problems, problemOf(dir.Path(keywordsFile), err))
	}
	seen := make(map[string]int)
	for _, sub := range [...]string{"new", "cur"} { // In this order, as messages move.
		if err := l.add(dir, sub, keywords, seen); err != nil {
			return l, err
		}
	}
	slices.SortFunc(l.Files, compareFiles)
	return l, nil
}

func (l *Listing) add(dir *files.Folder, sub string, keywords []string, seen map[string]int) error {
	entries, err := dir.ListSized(sub)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue // What is no file is told when it is to be read.
		}
		f := File{name: sub + "/" + e.Name()}
		var letters string
		f.Base, letters = splitName(e.Name())
		f.Flags, f.Keywords = readLetters(letters, keywords)
		f.UID = l.UIDs[f.Base]
		if info, err := e.Info(); err == nil {
			f.Received, f.Size = info.ModTime(), info.Size()
		}
		if i, twice := seen[f.Base]; twice {
			l.Files[i] = f // It moved from new to cur meanwhile.
			continue
		}
		seen[f.Base] = len(l.Files)
		l.Files = append(l.Files, f)
	}
	return nil
}

func compareFiles(a, b File) int {
	switch {
	case a.UID != b.UID && a.UID != 0 && b.UID != 0:
		return int(int64(a.UID) - int64(b.UID))
	case a.UID != b.UID && a.UID != 0:
		return -1
	case a.UID != b.UID:
		return 1
	}
	if n := a.Received.Compare(b.Received); n != 0 {
		return n
	}
	return strings.Compare(a.Base, b.Base)
}

func readUIDList(dir *files.Folder) (UIDList, error) {
	f, err := dir.OpenOwned(uidListFile)
	if errors.Is(err, fs.ErrNotExist) {
		return UIDList{}, nil
	}
	if err != nil {
		return UIDList{}, err
	}
	defer f.Close()
	return ParseUIDList(f)
}

// readKeywords reads dovecot-keywords: a line "0 $Junk" for each letter.
func readKeywords(dir *files.Folder, at string) (names []string, err error) {
	err = eachLine(dir, path.Join(at, keywordsFile), func(line string) {
		number, name, ok := strings.Cut(line, " ")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || n >= MaxKeywords || len(name) > MaxKeywordName {
			return
		}
		for len(names) <= n {
			names = append(names, "")
		}
		names[n] = name
	})
	return names, err
}

// problemOf tells err without a path, which is told already.
func problemOf(path string, err error) Problem {
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		return Problem{path, "it cannot be read: " + of.Err.Error()}
	}
	return Problem{path, err.Error()}
}

// eachLine calls fn for each line of a file; a file that is not there has none. If
// a line is too long, or the file, the rest is read all the same, and the error is
// of kind TooLarge.
func eachLine(dir *files.Folder, name string, fn func(string)) error {
	f, err := dir.OpenOwned(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	limited := &io.LimitedReader{R: f, N: MaxListFile}
	in := bufio.NewReaderSize(limited, MaxListLine)
	var tooLong error
	for {
		line, err := listLine(in)
		switch {
		case errors.Is(err, errLongLine):
			tooLong = mail.Errorf(mail.TooLarge, "a line has over %d octets", MaxListLine)
			for err = bufio.ErrBufferFull; errors.Is(err, bufio.ErrBufferFull); {
				_, err = in.ReadSlice('\n')
			}
			if err == nil {
				continue
			}
		case err == nil:
			fn(line)
			continue
		}
		if err == io.EOF && limited.N <= 0 {
			return mail.Errorf(mail.TooLarge, "it has over %d octets", MaxListFile)
		}
		if err == io.EOF {
			return tooLong
		}
		return err
	}
}

// Each opens messages of the folder, under the names that they have by now, and calls
// fn, which closes the file, for each in order; an error of fn ends it. The error that
// fn hears is Forbidden if it is no regular file of the folder's owner.
func Each(dir *files.Folder, list []File, fn func(i int, file *os.File, err error) error) error {
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.name
	}
	return dir.EachOwned(names, func(i int, file *os.File, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			file, err = openRenamed(dir, list[i], err)
		}
		return fn(i, file, err)
	})
}

// openRenamed opens a message whose flags were changed since it was listed; missing is
// the error if it is gone.
func openRenamed(dir *files.Folder, f File, missing error) (*os.File, error) {
	for _, sub := range [...]string{"new", "cur"} {
		entries, err := dir.List(sub)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if base, _ := splitName(e.Name()); base == f.Base {
				return dir.OpenOwned(sub + "/" + e.Name())
			}
		}
	}
	return nil, missing
}

// Name is the path of the file below its folder, as it was listed.
func (f File) Name() string { return f.name }
