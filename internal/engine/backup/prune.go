package backup

import (
	"yubin/internal/mail"
	"yubin/internal/world/depot"
)

// Pruned says what became of a Prune.
type Pruned struct {
	Kept    int      `json:"kept"`
	Removed []string `json:"removed"` // snapshots
	Freed   int64    `json:"freed"`   // octets
}

// Prune removes all but the newest keep snapshots, then the objects that
// nobody names. If it fails, running it again goes on. It does nothing while a
// list of a snapshot that stays is damaged: what that names is not known.
func Prune(d *depot.Depot, keep int) (p Pruned, err error) {
	if keep < 1 {
		return p, mail.Errorf(mail.Invalid, "at least one snapshot must be kept")
	}
	list, damaged, err := Snapshots(d)
	if err != nil {
		return p, err
	}
	if len(damaged) > 0 {
		return p, mail.Errorf(mail.Conflict, "%s; what it needs is not known, so nothing is removed. Delete its record to give it up", damaged[0])
	}
	old := list[:max(0, len(list)-keep)]
	list = list[len(old):]
	wanted, err := wantedBy(d, list)
	if err != nil {
		return p, err
	}
	p.Kept = len(list)
	for _, s := range old {
		if err := d.Remove(s.ID); err != nil {
			return p, err
		}
		p.Removed = append(p.Removed, s.ID)
	}
	p.Freed, err = d.Keep(func(h depot.Hash) bool { return wanted[h] })
	return p, err
}

// wantedBy is every object that some snapshots name.
func wantedBy(d *depot.Depot, list []Snapshot) (map[depot.Hash]bool, error) {
	wanted := make(map[depot.Hash]bool)
	for _, s := range list {
		err := named(d, s, func(h depot.Hash) { wanted[h] = true }, func(err error) error {
			return mail.Errorf(mail.Conflict, "snapshot %s is damaged (%w), so nothing is removed; yubin backup verify says more", s.ID, err)
		})
		if err != nil {
			return nil, err
		}
	}
	return wanted, nil
}

// named calls fn for every object that a snapshot names, some more than once.
// lost hears of an object that cannot be read and so does not say what it names.
func named(d *depot.Depot, s Snapshot, fn func(depot.Hash), lost func(error) error) error {
	for _, t := range s.Tables {
		for _, h := range t.Indexes {
			fn(h)
		}
		for p, err := range pieces(d, t) {
			if err != nil {
				if err := lost(err); err != nil {
					return err
				}
				continue
			}
			fn(p.hash)
		}
	}
	for _, h := range s.Files.Lists {
		fn(h)
	}
	for e, err := range entries(d, s.Files) {
		if err != nil {
			if err := lost(err); err != nil {
				return err
			}
			continue
		}
		for _, h := range e.Pieces {
			fn(h)
		}
	}
	return nil
}
