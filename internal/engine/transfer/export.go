package transfer

import (
	"context"
	"fmt"
	"io"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Target is where mail is exported to.
type Target interface {
	// Box starts a mailbox. done says that it has all that the mailbox has.
	Box(store.Mailbox) (b TargetBox, done bool, err error)
	// Subscribe tells which mailboxes are subscribed, after all were written.
	Subscribe([]mail.MailboxName) error
	Close() error
}

// TargetBox is a mailbox of a Target.
type TargetBox interface {
	// Has reports whether the octets of a message are there.
	Has(store.Row) bool
	// Add writes a message, or its flags if its octets are there. UIDs ascend.
	Add(store.Row, func(io.Writer) error) error
	// Close ends the mailbox; notes tell what could not be kept.
	Close() (notes []string, err error)
	// Drop ends it without its being whole.
	Drop()
}

// Export writes mailboxes of an account, all if none is named. Each is as it is
// at the moment when its turn comes.
func (t *Transfer) Export(ctx context.Context, account mail.AccountID, only []mail.MailboxName, to Target, progress func(Progress)) (Report, error) {
	x := &export{t: t, to: to, progress: progress}
	list, err := t.store.Mailboxes(ctx, account)
	if err != nil {
		return x.report, err
	}
	if list, err = choose(list, only); err != nil {
		return x.report, err
	}
	x.at.Of = len(list)
	var subscribed []mail.MailboxName
	for _, m := range list {
		x.at.Folder = string(m.Name)
		written, err := x.mailbox(ctx, m)
		if err != nil {
			return x.report, err
		}
		if m.Subscribed && written {
			subscribed = append(subscribed, m.Name)
		}
		x.at.Folders++
		progress(x.at)
	}
	return x.report, to.Subscribe(subscribed)
}

func choose(list []store.Mailbox, only []mail.MailboxName) (chosen []store.Mailbox, err error) {
	if len(only) == 0 {
		return list, nil
	}
	for _, name := range only {
		found := false
		for _, m := range list {
			if m.Name == name {
				chosen, found = append(chosen, m), true
			}
		}
		if !found {
			return nil, mail.Errorf(mail.NotFound, "there is no mailbox %s", name)
		}
	}
	return chosen, nil
}

// export is one Export.
type export struct {
	t        *Transfer
	to       Target
	progress func(Progress)
	at       Progress
	report   Report
}

// exportSlice is how many messages are looked at at once.
const exportSlice = 256

// mailbox writes one mailbox. That it has a name that cannot be written, or that
// something is in its way, is reported and does not stop the others.
func (x *export) mailbox(ctx context.Context, m store.Mailbox) (written bool, err error) {
	b, done, err := x.to.Box(m)
	switch {
	case err != nil:
	case done:
		x.report.There += int(m.Exists)
	default:
		err = x.fill(ctx, m, b)
	}
	if skippable(err) {
		x.report.fail(string(m.Name), "", err.Error())
		return false, nil
	}
	if err != nil {
		return false, err
	}
	x.report.Folders++
	return true, nil
}

// fill writes the messages of a mailbox.
func (x *export) fill(ctx context.Context, m store.Mailbox, b TargetBox) error {
	view, err := x.t.store.View(ctx, m.ID)
	if err != nil {
		b.Drop()
		return err
	}
	var uids []mail.UID
	for seq, e := range view.All() {
		if uids = append(uids, e.UID); len(uids) == exportSlice || seq == view.Len() {
			if err := x.slice(ctx, m, b, uids); err != nil {
				b.Drop()
				return err
			}
			uids = uids[:0]
		}
	}
	notes, err := b.Close()
	for _, n := range notes {
		x.report.note(fmt.Sprintf("%s: %s", m.Name, n))
	}
	return err
}

// slice writes messages of a mailbox.
func (x *export) slice(ctx context.Context, m store.Mailbox, b TargetBox, uids []mail.UID) error {
	rows, err := x.rows(ctx, m.ID, uids, 0)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if b.Has(row) {
			x.report.There++
			if err := b.Add(row, nil); err != nil {
				return err
			}
			continue
		}
		if err := x.message(ctx, m, b, row.UID); err != nil {
			return err
		}
	}
	return nil
}

// rows is store.Rows for all of uids.
func (x *export) rows(ctx context.Context, id mail.MailboxID, uids []mail.UID, need store.Need) (all []store.Row, err error) {
	for len(uids) > 0 {
		rows, more, err := x.t.store.Rows(ctx, id, uids, need)
		if err != nil {
			return all, err
		}
		all = append(all, rows...)
		uids = uids[len(uids)-more:]
	}
	return all, nil
}

// message writes one message. That it cannot be read is reported.
func (x *export) message(ctx context.Context, m store.Mailbox, b TargetBox, uid mail.UID) error {
	rows, err := x.rows(ctx, m.ID, []mail.UID{uid}, store.NeedContent)
	if err != nil && mail.KindOf(err) == mail.Internal && ctx.Err() == nil {
		x.report.fail(string(m.Name), fmt.Sprintf("UID %d", uid), "it is damaged; yubin check --deep tells more")
		return nil
	}
	if err != nil || len(rows) == 0 {
		return err
	}
	row := rows[0]
	defer row.Content.Close()
	var damaged error
	err = b.Add(row, func(w io.Writer) error {
		_, damaged = row.Content.WriteTo(w)
		return damaged
	})
	if err != nil && damaged != nil && mail.KindOf(damaged) == mail.Internal {
		x.report.fail(string(m.Name), fmt.Sprintf("UID %d", uid), "it is damaged; yubin check --deep tells more")
		return nil
	}
	if err != nil {
		return err
	}
	x.report.Taken++
	x.report.Octets += row.Size
	x.at.Messages++
	x.at.Octets += row.Size
	x.progress(x.at)
	return nil
}

// levelsOf cuts a name into its levels; none for the INBOX.
func levelsOf(name mail.MailboxName) []string {
	if name == mail.Inbox {
		return nil
	}
	return strings.Split(string(name), mail.MailboxSeparator)
}
