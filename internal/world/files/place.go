package files

import (
	"os"
	"syscall"

	"yubin/internal/mail"
)

// Place is a path that somebody named. What stands there is looked at when it is
// wanted, by the process that it was named to.
type Place struct {
	path string
	doer Doer
}

// From is the place at path, of which things are read.
func From(path string) *Place { return &Place{path, named{path, true}} }

// Into is the place at path, where things are written.
func Into(path string) *Place { return &Place{path, named{path, false}} }

// PlaceOf is the place at path with which d does what is asked for.
func PlaceOf(path string, d Doer) *Place { return &Place{path, d} }

// Path is the path as it was named, for people.
func (p *Place) Path() string { return p.path }

// Do does what is asked for with the place.
func (p *Place) Do(asks ...Ask) []Answer { return p.doer.Do(asks...) }

// Stat tells what stands there, at the end of links if there are any.
func (p *Place) Stat() (Entry, error) {
	a := p.Do(Ask{Op: OpStat})[0]
	return a.Entry, a.Err
}

// OpenFile opens the regular file that stands there to be read.
func (p *Place) OpenFile() (*os.File, error) {
	a := p.Do(Ask{Op: OpOpen})[0]
	return a.File, a.Err
}

// Open opens the folder that stands there.
func (p *Place) Open() (*Folder, error) {
	a := p.Do(Ask{Op: OpFolder})[0]
	return a.Folder, a.Err
}

// Make makes the folder, for its owner only, if it is not there, and opens it.
func (p *Place) Make() (*Folder, error) {
	a := p.Do(Ask{Op: OpMakeFolders})[0]
	return a.Folder, a.Err
}

// named is a path in this process.
type named struct {
	path     string
	readOnly bool
}

// Close implements Doer.
func (named) Close() error { return nil }

// Do implements Doer.
func (p named) Do(asks ...Ask) []Answer {
	out := make([]Answer, len(asks))
	for i, a := range asks {
		out[i] = p.do(a)
		if out[i].Err != nil {
			out[i].Err = denied(a.Op.verb(), p.path, out[i].Err)
		}
	}
	return out
}

func (p named) do(a Ask) (out Answer) {
	switch {
	case a.Op == OpStat:
		info, err := os.Stat(p.path)
		if out.Err = err; err == nil {
			out.Entry = EntryOf(info)
		}
	case a.Op == OpOpen:
		out.File, out.Err = OpenFile(p.path)
	case a.Op == OpFolder:
		out.Folder, out.Err = openHere(p.path, p.readOnly)
	case a.Op == OpMakeFolders && p.readOnly:
		out.Err = &os.PathError{Op: "make", Path: p.path, Err: syscall.EROFS}
	case a.Op == OpMakeFolders:
		if out.Err = os.MkdirAll(p.path, 0o700); out.Err == nil {
			out.Folder, out.Err = openHere(p.path, false)
		}
	default:
		out.Err = mail.Errorf(mail.Invalid, "nothing of the number %d can be done with a path", a.Op)
	}
	return out
}
