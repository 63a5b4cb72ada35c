package crashfs

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"yubin/internal/testkit/straceread"
)

// Disk is what a process did to a folder, to be played up to any moment.
type Disk struct {
	Calls []straceread.Call // in the order in which they ended

	root   string
	played int // calls that are in
	names  map[string]*file
	base   map[string]*file // the names that were there at first
	moves  []*move
}

// file is a file or folder, whatever its name.
type file struct {
	folder bool
	safe   []byte    // what no power loss takes
	risked []*change // since, in order
}

// change is a write or a new size, not synced.
type change struct {
	began, ended int
	at           int64
	data         string
	resize       bool // to at
	doomed       bool // the sync that should have made it safe failed
}

// move is a change of names: what stands at to, and no longer at from.
type move struct {
	began, ended int
	from, to     string // either may be ""
	it           *file
	safe         bool
}

func newDisk(root string, before map[string]*file, calls []straceread.Call) (*Disk, error) {
	d := &Disk{Calls: calls, root: root, names: maps.Clone(before), base: maps.Clone(before)}
	// What cannot be played is found at once.
	for _, c := range calls {
		if err := d.known(c); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Disk) within(name string) bool {
	return (name == d.root || strings.HasPrefix(name, d.root+"/")) && !left(name)
}

// known refuses calls on the folder that are not modelled.
func (d *Disk) known(c straceread.Call) error {
	if !d.within(c.On) || c.Result < 0 {
		return nil
	}
	switch c.Name {
	case "writev", "pwritev", "pwritev2", "sync_file_range", "fallocate", "truncate", "sendfile", "splice", "copy_file_range", "linkat", "symlinkat":
		return fmt.Errorf("line %d: %s on %s is not modelled", c.Begin, c.Name, c.On)
	case "write", "pwrite64":
		if int64(len(c.Data())) < c.Result {
			return fmt.Errorf("line %d: strace kept %d of %d octets", c.Begin, len(c.Data()), c.Result)
		}
	}
	return nil
}

// play takes in all calls that were over before line.
func (d *Disk) play(line int) error {
	for ; d.played < len(d.Calls) && d.Calls[d.played].End < line; d.played++ {
		if err := d.take(d.Calls[d.played]); err != nil {
			return err
		}
	}
	return nil
}

// take takes in one call that is over.
func (d *Disk) take(c straceread.Call) error {
	switch c.Name {
	case "write", "pwrite64", "ftruncate":
		return d.change(c)
	case "fsync", "fdatasync":
		d.sync(c)
		return nil
	}
	if c.Result >= 0 && len(c.Strings) > 0 {
		d.rename(c)
	}
	return nil
}

// change takes a write or a new size of a file.
func (d *Disk) change(c straceread.Call) error {
	name := strings.TrimSuffix(c.On, "(deleted)")
	if !d.within(name) || c.Result < 0 {
		return nil
	}
	f := d.names[name]
	if f == nil {
		if name != c.On {
			return nil // It has no name any more; nobody can miss it.
		}
		return fmt.Errorf("line %d: %s on %s, of which nothing is known", c.Begin, c.Name, c.On)
	}
	ch := &change{began: c.Begin, ended: c.End, at: c.Last}
	switch c.Name {
	case "ftruncate":
		ch.resize = true
	case "write":
		ch.at, ch.data = f.size(), c.Data()[:c.Result] // They are all appended.
	default:
		ch.data = c.Data()[:c.Result]
	}
	f.risked = append(f.risked, ch)
	return nil
}

// size is how long the file is for the running process.
func (f *file) size() int64 {
	n := int64(len(f.safe))
	for _, ch := range f.risked {
		if ch.resize {
			n = ch.at
		} else {
			n = max(n, ch.at+int64(len(ch.data)))
		}
	}
	return n
}

// sync makes safe what was over when the sync was entered, or dooms it.
func (d *Disk) sync(c straceread.Call) {
	f := d.names[c.On]
	if f == nil {
		f = new(file) // The folder above, or a file without a name.
	}
	if c.Result < 0 {
		for _, ch := range f.risked {
			ch.doomed = true
		}
		return // The names of a folder are as they were: not safe.
	}
	var still []*change
	for _, ch := range f.risked {
		switch {
		case ch.ended >= c.Begin:
			still = append(still, ch)
		case !ch.doomed:
			f.safe = ch.apply(f.safe, nil)
		}
	}
	f.risked = still
	for _, m := range d.moves {
		if m.ended < c.Begin && (path.Dir(m.to) == c.On || path.Dir(m.from) == c.On) {
			m.safe = true
		}
	}
}

// apply makes the change; of a write only the sectors that keep says, nil for all.
func (ch *change) apply(b []byte, keep func() bool) []byte {
	if ch.resize {
		return resized(b, ch.at)
	}
	end := ch.at + int64(len(ch.data))
	for at := ch.at; at < end; {
		next := min(end, at/sector*sector+sector)
		if keep == nil || keep() {
			b = resized(b, max(int64(len(b)), next))
			copy(b[at:next], ch.data[at-ch.at:])
		}
		at = next
	}
	return b
}

func resized(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		return b[:n:n]
	}
	return append(slices.Grow(b, int(n)-len(b)), make([]byte, int(n)-len(b))...)
}

// rename takes a change of names: an open that makes a file, too.
func (d *Disk) rename(c straceread.Call) {
	var m *move
	name := d.named(c, 0)
	switch c.Name {
	case "open", "openat", "creat":
		d.opened(c, name)
		return
	case "mkdir", "mkdirat":
		m = &move{to: name, it: &file{folder: true}}
	case "rename", "renameat", "renameat2":
		m = &move{from: name, to: d.named(c, 1), it: d.names[name]}
	case "unlink", "unlinkat", "rmdir":
		m = &move{from: name}
	}
	if m == nil || !d.within(name) || left(m.to) {
		return
	}
	d.moved(m, c)
}

func (d *Disk) moved(m *move, c straceread.Call) {
	m.began, m.ended = c.Begin, c.End
	d.moves = append(d.moves, m)
	m.in(d.names)
}

// opened takes an open, which may make a file or empty one.
func (d *Disk) opened(c straceread.Call, name string) {
	if !d.within(name) {
		return
	}
	f := d.names[name]
	switch {
	case f == nil && (strings.Contains(c.Args, "O_CREAT") || c.Name == "creat"):
		d.moved(&move{to: name, it: &file{}}, c)
	case f != nil && strings.Contains(c.Args, "O_TRUNC"):
		f.risked = append(f.risked, &change{began: c.Begin, ended: c.End, resize: true})
	}
}

// in makes the move among names. A folder takes along what is in it.
func (m *move) in(names map[string]*file) {
	if m.from != "" {
		delete(names, m.from)
	}
	if m.to != "" && m.it != nil {
		names[m.to] = m.it
	}
}

// named is the i-th path of a call, absolute.
func (d *Disk) named(c straceread.Call, i int) string {
	if i >= len(c.Strings) {
		return ""
	}
	name := c.Strings[i]
	if !path.IsAbs(name) && c.On != "" {
		name = path.Join(c.On, name)
	}
	return path.Clean(name)
}

// underway are the changes that had begun before line and were not over.
func (d *Disk) underway(line int) error {
	for _, c := range d.Calls[d.played:] {
		if c.Begin < line && (c.Name == "write" || c.Name == "pwrite64" || c.Name == "ftruncate") {
			if err := d.change(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget takes back what underway added.
func (d *Disk) forget(line int) {
	for _, f := range d.names {
		f.risked = slices.DeleteFunc(f.risked, func(ch *change) bool { return ch.ended >= line })
	}
}

// sorted are all changes not safe, in order.
func (d *Disk) sorted() (all []*change) {
	for _, f := range d.names {
		all = append(all, f.risked...)
	}
	slices.SortFunc(all, func(a, b *change) int { return cmp.Compare(a.ended, b.ended) })
	return all
}
