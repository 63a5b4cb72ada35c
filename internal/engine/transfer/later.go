package transfer

import (
	"context"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// reflag brings flags that changed at the source to messages that were taken
// before, if nobody changed them here. A source that cannot tell all keywords takes
// none away.
func (b *folderRun) reflag(ctx context.Context) error {
	if len(b.rows) == 0 || len(b.from.Problems()) > 0 {
		return nil
	}
	view, err := b.t.store.View(ctx, b.origin.mailbox)
	if err != nil {
		return err
	}
	type like struct {
		flags    mail.Flags
		keywords mail.Keywords
	}
	sets := make(map[like]*mail.UIDSet)
	var known []taken
	for _, m := range b.list {
		row, there := b.rows[m.Key]
		now := taken{m.Key, row.uid, m.Flags, b.keywords(m)}
		seq, exists := view.Seq(row.uid)
		if !there || now == row || !exists {
			continue
		}
		e := view.At(seq)
		switch {
		case e.Flags == now.flags && e.Keywords == now.keywords:
		case e.Flags == row.flags && e.Keywords == row.keywords:
			k := like{now.flags, now.keywords}
			if sets[k] == nil {
				sets[k] = new(mail.UIDSet)
			}
			sets[k].Add(row.uid)
			b.report.Updated++
		default:
			continue // Changed here.
		}
		known = append(known, now)
	}
	for k, set := range sets {
		ch := store.FlagChange{Mode: store.FlagsReplace, Flags: k.flags, Keywords: k.keywords}
		if _, err := b.t.store.SetFlags(ctx, b.origin.mailbox, *set, ch); err != nil {
			return err
		}
	}
	return b.t.write(ctx, b.origin, known)
}

// removeGone removes what was taken before, is gone at the source and was not
// touched here. It can be restored for a while, as all that is expunged.
func (b *folderRun) removeGone(ctx context.Context) error {
	if !b.plan.RemoveGone || len(b.rows) == 0 {
		return nil
	}
	gone := make(map[string]taken, len(b.rows))
	for key, row := range b.rows {
		gone[key] = row
	}
	for _, m := range b.list {
		delete(gone, m.Key)
	}
	// What was just found again under another key stays.
	now, others, _, err := b.t.load(ctx, b.origin)
	if err != nil {
		return err
	}
	for key, row := range now {
		if _, isGone := gone[key]; !isGone {
			others[row.uid] = true
		}
	}
	view, err := b.t.store.View(ctx, b.origin.mailbox)
	if err != nil {
		return err
	}
	var set mail.UIDSet
	var rows []taken
	for _, row := range gone {
		seq, exists := view.Seq(row.uid)
		if exists && !others[row.uid] {
			if e := view.At(seq); e.Flags != row.flags || e.Keywords != row.keywords {
				continue
			}
			set.Add(row.uid)
			b.report.Removed++
		}
		rows = append(rows, row)
	}
	if len(set) > 0 {
		if _, err := b.t.store.ExpungeAny(ctx, b.origin.mailbox, set); err != nil {
			return err
		}
	}
	return b.t.forget(ctx, b.origin, rows)
}
