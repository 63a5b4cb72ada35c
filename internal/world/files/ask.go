package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// Op is something that can be done in a folder or with a place.
type Op uint8

// What a Folder asks for; names are below it.
const (
	OpStat        Op = iota + 1 // Entry of Name; a link is not followed
	OpOpen                      // File, the regular file Name, to be read; with Strict the folder's owner must own it
	OpCreate                    // File, a new one, for its owner only; what has the name already is removed
	OpLock                      // File, to be locked: opened, or made, to be read and written
	OpList                      // List of the folder Name, "." for itself; with Strict sizes and times too
	OpFolder                    // Folder, the one called Name
	OpMakeFolder                // makes the folder Name, for its owner only
	OpMakeFolders               // the same with those above it; it may be there
	OpRename                    // gives Name the name To and, unless it is zero, the time Time before
	OpRemove                    // removes a file or an empty folder
	OpRemoveAll                 // removes a file, or a folder with all in it
	OpRestrict                  // has nobody but its owner look into the folder Name
	OpSync                      // makes the names in the folder Name durable
)

// A Place is asked for OpStat, of what links lead to; OpOpen; OpFolder; and
// OpMakeFolders, which makes the folder if it is not there and opens it. Names are "".

// writes reports whether o changes something.
func (o Op) writes() bool {
	return o != OpStat && o != OpOpen && o != OpList && o != OpFolder
}

// verb is for what the system refuses.
func (o Op) verb() string {
	verbs := [...]string{
		OpStat: "stat", OpOpen: "open", OpCreate: "create", OpLock: "lock", OpList: "list", OpFolder: "open", OpMakeFolder: "make",
		OpMakeFolders: "make", OpRename: "rename", OpRemove: "remove", OpRemoveAll: "remove", OpRestrict: "chmod", OpSync: "sync",
	}
	if int(o) < len(verbs) {
		return verbs[o]
	}
	return ""
}

// Ask is one thing to be done.
type Ask struct {
	Op       Op
	Name, To string
	Time     time.Time
	Strict   bool
}

// Answer is what came of it. The caller closes what is open.
type Answer struct {
	Err    error
	File   *os.File
	Folder *Folder
	Entry  Entry
	List   []fs.DirEntry
}

// Doer does what is asked for in one folder or with one place, in order. That one
// thing fails keeps no other from being done. Safe for concurrent use.
type Doer interface {
	Do(asks ...Ask) []Answer // as many
	Close() error
}

// Entry is what is known of a name in a folder. It is an fs.FileInfo and an
// fs.DirEntry.
type Entry struct {
	name  string
	mode  fs.FileMode
	size  int64
	time  time.Time
	sized bool // size and time are known
}

// NewEntry makes the entry of a name of which only the type is known.
func NewEntry(name string, mode fs.FileMode) Entry { return Entry{name: name, mode: mode} }

// Sized returns the entry with a size and the time of the last change.
func (e Entry) Sized(size int64, at time.Time) Entry {
	e.size, e.time, e.sized = size, at, true
	return e
}

// EntryOf makes an entry of what the system says.
func EntryOf(info fs.FileInfo) Entry {
	return NewEntry(info.Name(), info.Mode()).Sized(info.Size(), info.ModTime())
}

func (e Entry) Name() string       { return e.name }
func (e Entry) IsDir() bool        { return e.mode.IsDir() }
func (e Entry) Type() fs.FileMode  { return e.mode.Type() }
func (e Entry) Mode() fs.FileMode  { return e.mode }
func (e Entry) Size() int64        { return e.size }
func (e Entry) ModTime() time.Time { return e.time }
func (e Entry) Sys() any           { return nil }

// Info returns the entry, if its size and time are known.
func (e Entry) Info() (fs.FileInfo, error) {
	if !e.sized {
		return nil, &fs.PathError{Op: "stat", Path: e.name, Err: fs.ErrNotExist}
	}
	return e, nil
}

// Fault is a refusal of the system in words of ours; it is the number that it was.
type Fault struct {
	Text  string
	Errno syscall.Errno
}

func (f *Fault) Error() string { return f.Text }
func (f *Fault) Unwrap() error { return f.Errno }

// denied says of which path the system refused something, and to whom.
func denied(op, path string, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) || !errors.Is(errno, fs.ErrPermission) {
		return err
	}
	return &fs.PathError{Op: op, Path: path, Err: &Fault{Errno: errno, Text: fmt.Sprintf("%v for user %s", errno, userName())}}
}

// userName is who this process is.
func userName() string {
	id := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
