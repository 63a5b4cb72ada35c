package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/depot"
)

// Verification says what to verify.
type Verification struct {
	Options
	Snapshot string               // only this one; "" for all
	Repair   bool                 // forget damaged objects, so that the next backup stores them anew; the depot is open to write
	Each     bool                 // open the database of every snapshot, not of the newest alone
	Scratch  string               // folder for the database of a snapshot; "" for one in the depot
	Report   func(problem string) // hears of each problem
}

// Verified says what was verified.
type Verified struct {
	Snapshots int   `json:"snapshots"`
	Opened    int   `json:"opened"` // of them, those whose database was rebuilt and checked
	Objects   int   `json:"objects"`
	Octets    int64 `json:"octets"` // of the objects
	Problems  int   `json:"problems"`
	Forgotten int   `json:"forgotten,omitempty"` // damaged objects, and packs that cannot be read
}

// Verify reads every object of the depot and compares it with its checksum,
// looks that each snapshot has all that it names, rebuilds the database of the
// newest and verifies every invariant of the store and the octets of every
// message. The error is that it could not look.
func Verify(ctx context.Context, d *depot.Depot, o Verification) (Verified, error) {
	v := &verifier{ctx: ctx, d: d, o: o, bad: make(map[depot.Hash]error)}
	list, err := v.choose()
	if err != nil {
		return v.sum, err
	}
	v.sum.Snapshots = len(list)
	if err := v.objects(list); err != nil {
		return v.sum, err
	}
	for i, s := range list {
		sound, err := v.complete(s)
		if err == nil && (o.Each || i == len(list)-1 || !sound) {
			err = v.deep(s, sound)
		}
		if err != nil {
			return v.sum, err
		}
	}
	v.sum.Forgotten = len(v.bad) + len(d.Faults())
	if !o.Repair || v.sum.Forgotten == 0 {
		v.sum.Forgotten = 0
		return v.sum, nil
	}
	return v.sum, d.Forget(func(h depot.Hash) bool { return v.bad[h] != nil })
}

// verifier is one Verify.
type verifier struct {
	ctx context.Context
	d   *depot.Depot
	o   Verification
	bad map[depot.Hash]error
	sum Verified
}

func (v *verifier) problem(format string, args ...any) {
	v.sum.Problems++
	v.o.Report(fmt.Sprintf(format, args...))
}

func (v *verifier) choose() ([]Snapshot, error) {
	if v.o.Snapshot != "" {
		s, err := Find(v.d, v.o.Snapshot)
		return []Snapshot{s}, err
	}
	list, damaged, err := Snapshots(v.d)
	for _, p := range damaged {
		v.problem("%s", p)
	}
	if err == nil && len(list) == 0 && len(damaged) == 0 {
		err = mail.Errorf(mail.NotFound, "%s has no snapshot", v.d.Path())
	}
	return list, err
}

// objects reads every object, or those of the one snapshot that was chosen.
func (v *verifier) objects(list []Snapshot) error {
	for _, fault := range v.d.Faults() {
		v.problem("pack %s; nothing of it can be read", fault)
	}
	var wanted map[depot.Hash]bool
	if v.o.Snapshot != "" {
		wanted = make(map[depot.Hash]bool)
		_ = named(v.d, list[0], func(h depot.Hash) { wanted[h] = true }, func(error) error { return nil })
	}
	_, total := v.d.Objects()
	at := Progress{Phase: "objects", Total: total}
	return v.d.All(func(h depot.Hash, octets []byte, err error) error {
		if wanted != nil && !wanted[h] {
			return v.ctx.Err()
		}
		damage := (*depot.Damaged)(nil)
		switch {
		case errors.As(err, &damage):
			v.bad[h] = err
			v.problem("%v", err)
		case err != nil:
			return err
		}
		v.sum.Objects++
		v.sum.Octets += int64(len(octets))
		at.Done = min(total, at.Done+v.d.Kept(h))
		if v.o.Progress != nil {
			v.o.Progress(at)
		}
		return v.ctx.Err()
	})
}

// complete tells which parts of a snapshot cannot be had.
func (v *verifier) complete(s Snapshot) (sound bool, err error) {
	for _, p := range s.Faults {
		v.problem("snapshot %s: when it was made, %s", s.ID, p)
	}
	faults := v.sum.Problems
	for _, t := range s.Tables {
		first := int64(0)
		for p, err := range pieces(v.d, t) {
			if err == nil {
				err = v.missing(p.hash, p.octets)
			}
			if err != nil {
				v.problem("snapshot %s: %s: %v", s.ID, missingRows(t, first, p.rows), err)
			}
			first += p.rows
		}
	}
	for e, err := range entries(v.d, s.Files) {
		if err != nil {
			v.problem("snapshot %s: a list of files: %v", s.ID, err)
		}
		if err == nil && taken(e.Path) {
			v.problem("snapshot %s: it has a file %s, which a data folder has of its own", s.ID, e.Path)
		}
		for i, h := range e.Pieces {
			if err := v.missing(h, min(filePiece, e.Size-int64(i)*filePiece)); err != nil {
				v.problem("snapshot %s: file %s: %v", s.ID, e.Path, err)
			}
		}
	}
	return v.sum.Problems == faults, v.ctx.Err()
}

// missingRows names many rows of a table from first on, or all of them, for people.
func missingRows(t Table, first, many int64) string {
	if many == 0 {
		return fmt.Sprintf("rows of table %s after the first %d", t.Name, first)
	}
	return fmt.Sprintf("rows %d to %d of table %s", first+1, first+many, t.Name)
}

// missing says why an object of so many octets cannot be had.
func (v *verifier) missing(h depot.Hash, size int64) error {
	if err := v.bad[h]; err != nil {
		return err
	}
	if !v.d.Has(h) {
		return &depot.Damaged{Object: h, Why: "it is missing"}
	}
	if n := v.d.Size(h); n != size {
		return &depot.Damaged{Object: h, Why: fmt.Sprintf("it has %d octets, not %d", n, size)}
	}
	return nil
}

// deep rebuilds the database of a snapshot. A sound one must check clean; of
// one that is not, the messages that cannot be read are named.
func (v *verifier) deep(s Snapshot, sound bool) error {
	damaged := false
	im, err := openImage(v.ctx, v.d, s, v.o.Scratch, v.o.Options, func(t Table, first, many int64, err error) error {
		if sound { // What complete did not see shows when the rows are read.
			v.problem("snapshot %s: %s: %v", s.ID, missingRows(t, first, many), err)
			damaged = true
		}
		return nil
	})
	if bad := (*depot.Damaged)(nil); errors.As(err, &bad) {
		v.problem("snapshot %s: %v", s.ID, bad)
		return nil
	}
	if err != nil && mail.KindOf(err) == mail.Conflict {
		v.problem("snapshot %s: %v", s.ID, err)
		return nil
	}
	if err != nil && mail.KindOf(err) == mail.Internal && v.ctx.Err() == nil {
		v.problem("snapshot %s: its database cannot be opened any more: no message of it can be read", s.ID)
		return nil
	}
	if err != nil {
		return err
	}
	v.sum.Opened++
	if sound && !damaged {
		err = im.check(v.ctx, true, func(p string) { v.problem("snapshot %s: %s", s.ID, p) })
	} else {
		err = v.unreadable(s, im)
		for _, row := range im.left.rows {
			v.problem("snapshot %s: %s", s.ID, row)
		}
	}
	return errors.Join(err, im.close())
}

// unreadable names the messages of a damaged snapshot that cannot be read.
func (v *verifier) unreadable(s Snapshot, im *image) error {
	for f := (directory.Filter{}); ; {
		accounts, err := im.directory.Accounts(v.ctx, f)
		if err != nil {
			v.problem("snapshot %s: the list of accounts cannot be read", s.ID)
			return v.ctx.Err()
		}
		for _, a := range accounts {
			if err := v.unreadableOf(s, im, a); err != nil {
				return err
			}
		}
		if len(accounts) == 0 {
			return nil
		}
		f.After = accounts[len(accounts)-1].Address
	}
}

func (v *verifier) unreadableOf(s Snapshot, im *image, a directory.Account) error {
	boxes, err := im.store.Mailboxes(v.ctx, a.ID)
	if err != nil {
		v.problem("snapshot %s: the mailboxes of %s cannot be read", s.ID, a.Address)
		return v.ctx.Err()
	}
	for _, box := range boxes {
		view, err := im.store.View(v.ctx, box.ID)
		if err != nil {
			v.problem("snapshot %s: %s, mailbox %s, cannot be read: %d messages", s.ID, a.Address, box.Name, box.Exists)
			continue
		}
		for _, e := range view.All() {
			if err := v.ctx.Err(); err != nil {
				return err
			}
			if err := readable(v.ctx, im.store, box.ID, e.UID); err != nil {
				v.problem("snapshot %s: %s, mailbox %s, UID %d cannot be read", s.ID, a.Address, box.Name, e.UID)
			}
		}
	}
	return nil
}

// readable reads a message to its end.
func readable(ctx context.Context, st *store.Store, box mail.MailboxID, uid mail.UID) error {
	row, err := readRow(ctx, st, box, uid)
	if err != nil {
		return err
	}
	defer row.Content.Close()
	_, err = row.Content.WriteTo(io.Discard)
	return err
}

// readRow reads one message with its content.
func readRow(ctx context.Context, st *store.Store, box mail.MailboxID, uid mail.UID) (store.Row, error) {
	rows, _, err := st.Rows(ctx, box, []mail.UID{uid}, store.NeedContent)
	if err != nil {
		return store.Row{}, err
	}
	if len(rows) == 0 {
		return store.Row{}, mail.Errorf(mail.NotFound, "UID %d is not there", uid)
	}
	return rows[0], nil
}
