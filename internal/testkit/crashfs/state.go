package crashfs

import (
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// sector is what a disk writes wholly or not at all.
const sector = 512

// Luck is what becomes of that which was not synced.
type Luck uint8

// The kinds of luck.
const (
	SyncedOnly Luck = iota // nothing of it survives
	All                    // all of it does
	Prefix                 // what was written up to a moment, the last of it torn
	Writes                 // each write or none of it
	Sectors                // each sector by itself
	Lucks
)

// String names it.
func (l Luck) String() string {
	return [...]string{"only what was synced", "all that was written", "up to a moment", "any writes", "any sectors"}[l]
}

// State is what a disk holds after a power loss.
type State struct {
	root  string
	files map[string][]byte // nil for a folder
}

// After works out what a power loss at a line of the trace leaves: all calls
// that ended before it are done. Lines must not go backwards from call to call.
func (d *Disk) After(line int, luck Luck, rng *rand.Rand) (*State, error) {
	if err := d.play(line); err != nil {
		return nil, err
	}
	if err := d.underway(line); err != nil {
		return nil, err
	}
	defer d.forget(line)
	survives := luck.chooser(d.sorted(), rng)
	names := maps.Clone(d.base)
	until := d.keepNames(luck, rng)
	for i, m := range d.moves {
		if m.safe || i < until {
			m.in(names)
		}
	}
	s := &State{root: d.root, files: map[string][]byte{}}
	for name, f := range names {
		s.files[name] = f.after(survives)
	}
	return s, nil
}

// Moments draws n lines of the trace at which to lose power, in order: just when
// a call on the folder was entered, or was over.
func (d *Disk) Moments(n int, rng *rand.Rand) []int {
	var all []int
	for _, c := range d.Calls {
		if d.within(c.On) && c.Name != "read" || len(c.Strings) > 0 && d.within(d.named(c, 0)) {
			all = append(all, c.Begin+1, c.End+1)
		}
	}
	lines := make([]int, 0, n)
	for range min(n, len(all)) {
		lines = append(lines, all[rng.IntN(len(all))])
	}
	slices.Sort(lines)
	return lines
}

// keepNames is how many of the moves survive, beside those that are safe.
func (d *Disk) keepNames(luck Luck, rng *rand.Rand) int {
	switch luck {
	case SyncedOnly:
		return 0
	case All:
		return len(d.moves)
	}
	return rng.IntN(len(d.moves) + 1)
}

// chooser says of each change which of its sectors survive: nil for none.
func (l Luck) chooser(all []*change, rng *rand.Rand) func(*change) func() bool {
	yes, coin := func() bool { return true }, func() bool { return rng.IntN(2) == 0 }
	until := 0
	if l == Prefix && len(all) > 0 {
		until = all[rng.IntN(len(all))].ended
	}
	return func(ch *change) func() bool {
		switch {
		case ch.doomed || l == SyncedOnly:
			return nil
		case l == All, l == Prefix && ch.ended < until, l == Writes && coin():
			return yes
		case l == Prefix && ch.ended == until:
			left := rng.IntN(len(ch.data)/sector + 2)
			return func() bool { left--; return left >= 0 }
		case l == Sectors:
			return coin
		}
		return nil
	}
}

func (f *file) after(survives func(*change) func() bool) []byte {
	if f.folder {
		return nil
	}
	b := slices.Concat([]byte{}, f.safe)
	for _, ch := range f.risked {
		if keep := survives(ch); keep != nil && (!ch.resize || keep()) {
			b = ch.apply(b, keep)
		}
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

// Write makes the state below to. Files whose folder has not survived are gone
// with it.
func (s *State) Write(to string) error {
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if name != s.root && !s.reachable(name) {
			continue
		}
		target := filepath.Join(to, strings.TrimPrefix(name, s.root))
		if b := s.files[name]; b != nil {
			if err := os.WriteFile(target, b, 0o600); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(target, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// reachable reports whether all folders above name are there.
func (s *State) reachable(name string) bool {
	for dir := path.Dir(name); dir != path.Dir(s.root); dir = path.Dir(dir) {
		if b, ok := s.files[dir]; !ok || b != nil {
			return false
		}
	}
	return true
}

// Size is how many octets the files have.
func (s *State) Size() (n int64) {
	for _, b := range s.files {
		n += int64(len(b))
	}
	return n
}
