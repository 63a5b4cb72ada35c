package files

import (
	"errors"
	"os"
	"strconv"
	"time"
)

// Drafts are files that get their names once they are written. Where another process
// does the work, it is asked for several at once. Not safe for concurrent use.
type Drafts struct {
	folder *Folder
	spare  string
	made   int        // in the round before
	ready  []*os.File // of the names from next on
	next   int
	asks   []Ask // what is to be done with those that were written
}

// Drafts makes new files that are called spare and a number until they have their
// names; what is called so already is nobody's and is removed.
func (f *Folder) Drafts(spare string) *Drafts { return &Drafts{folder: f, spare: spare} }

func (d *Drafts) name(i int) string { return d.spare + strconv.Itoa(i) }

// Next returns a new file, to be read and written. Who gets it closes it, and then says
// Keep or Drop before the next one.
func (d *Drafts) Next() (*os.File, error) {
	if len(d.ready) == 0 {
		d.made = min(max(1, 2*d.made), atOnce)
		for i := range d.made {
			d.asks = append(d.asks, Ask{Op: OpCreate, Name: d.name(i)})
		}
		if err := d.do(); err != nil {
			return nil, err
		}
		d.next = 0
	}
	f := d.ready[0]
	d.ready = d.ready[1:]
	d.next++
	return f, nil
}

// Keep gives the file of the last Next its name and the time of its last change, at the
// latest with Flush.
func (d *Drafts) Keep(name string, at time.Time) {
	d.asks = append(d.asks, Ask{Op: OpRename, Name: d.name(d.next - 1), To: name, Time: at})
}

// Drop removes the file of the last Next, at the latest with Flush.
func (d *Drafts) Drop() { d.asks = append(d.asks, Ask{Op: OpRemove, Name: d.name(d.next - 1)}) }

// Flush does what is left to do, and removes what was not needed.
func (d *Drafts) Flush() error {
	var err error
	for i, f := range d.ready {
		err = errors.Join(err, f.Close())
		d.asks = append(d.asks, Ask{Op: OpRemove, Name: d.name(d.next + i)})
	}
	d.ready, d.made = nil, 0
	return errors.Join(err, d.do())
}

// do asks for all that is to be done; an error is the first one.
func (d *Drafts) do() (err error) {
	if len(d.asks) == 0 {
		return nil
	}
	for _, a := range d.folder.doer.Do(d.asks...) {
		if a.File != nil {
			d.ready = append(d.ready, a.File)
		}
		if err == nil {
			err = a.Err
		}
	}
	d.asks = d.asks[:0]
	return err
}
