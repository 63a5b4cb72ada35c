package pop3d

import (
	"context"
	"fmt"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/heap"
)

// message is one message of a maildrop.
type message struct {
	uid     mail.UID
	deleted bool  // marked by DELE
	ascii   bool  // its surrogate is sent
	size    int64 // in octets as they are sent: each line ends in CRLF
}

// messageMemory is what a message takes of memory in octets, about.
const messageMemory = 32

// maildrop is the INBOX as it stood at login: what other sessions expunge meanwhile is
// read as long as the store keeps it, since nobody can tell the client. Message numbers
// are indexes into messages, from 1.
type maildrop struct {
	mail     Maildrops
	mailbox  store.Mailbox
	since    mail.ModSeq // of the mailbox at login
	utf8     bool        // messages are sent as they are, though their headers hold UTF-8
	messages []message
	left     int   // messages not marked as deleted
	octets   int64 // of those
	ahead    ahead
	held     heap.Hold // for messages
}

// openMaildrop reads UIDs and sizes of the INBOX of a.
func openMaildrop(ctx context.Context, m Maildrops, a mail.AccountID, utf8 bool, share *heap.Share) (*maildrop, error) {
	inbox, err := m.MailboxByRole(ctx, a, mail.RoleInbox)
	if err != nil {
		return nil, err
	}
	view, err := m.View(ctx, inbox.ID)
	if err != nil {
		return nil, err
	}
	d := &maildrop{mail: m, mailbox: inbox, since: view.ModSeq(), utf8: utf8}
	d.ahead.held.Of(share)
	d.held.Of(share)
	if err := d.held.Grow(view.Len() * messageMemory); err != nil {
		return nil, err
	}
	if err := d.read(ctx, firstUIDs(view)); err != nil {
		d.held.Release()
		return nil, err
	}
	return d, nil
}

func firstUIDs(v *store.View) []mail.UID {
	uids := make([]mail.UID, 0, min(v.Len(), maxMessages))
	for _, e := range v.All() {
		if len(uids) == maxMessages {
			break
		}
		uids = append(uids, e.UID)
	}
	return uids
}

func (d *maildrop) read(ctx context.Context, uids []mail.UID) error {
	d.messages = make([]message, 0, len(uids))
	for len(uids) > 0 {
		rows, more, err := d.rows(ctx, uids, 0)
		if err != nil {
			return err
		}
		for i := range rows {
			m := message{uid: rows[i].UID, size: rows[i].Size + rows[i].Lacking}
			if !d.utf8 && rows[i].ASCII >= 0 {
				m.ascii, m.size = true, rows[i].ASCII
			}
			d.messages = append(d.messages, m)
			d.octets += m.size
		}
		uids = uids[len(uids)-more:]
	}
	d.left = len(d.messages)
	return nil
}

// rows reads messages of those that were there at login.
func (d *maildrop) rows(ctx context.Context, uids []mail.UID, need store.Need) ([]store.Row, int, error) {
	return d.mail.RowsSince(ctx, d.mailbox.ID, d.since, uids, need, store.MaxRowOctets)
}

// get returns the message numbered n, if there is one that is not deleted.
func (d *maildrop) get(n int) (*message, error) {
	if n < 1 || n > len(d.messages) {
		return nil, mail.Errorf(mail.NotFound, "no such message; the maildrop has %d", len(d.messages))
	}
	m := &d.messages[n-1]
	if m.deleted {
		return nil, mail.Errorf(mail.NotFound, "message %d is deleted", n)
	}
	return m, nil
}

// summary tells how much is left, for people.
func (d *maildrop) summary() string {
	noun := "messages"
	if d.left == 1 {
		noun = "message"
	}
	return fmt.Sprintf("%d %s (%d octets)", d.left, noun, d.octets)
}

func (d *maildrop) mark(m *message) {
	m.deleted = true
	d.left--
	d.octets -= m.size
}

func (d *maildrop) unmark() {
	for i := range d.messages {
		if m := &d.messages[i]; m.deleted {
			m.deleted = false
			d.left++
			d.octets += m.size
		}
	}
}

// update removes what is marked (RFC 1939 §6). It goes on when ctx is done: the
// client has said QUIT and will not say it again.
func (d *maildrop) update(ctx context.Context) (removed int, err error) {
	var marked mail.UIDSet
	for i := range d.messages {
		if d.messages[i].deleted {
			marked.Add(d.messages[i].uid)
		}
	}
	if len(marked) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), updateTimeout)
	defer cancel()
	gone, err := d.mail.ExpungeAny(ctx, d.mailbox.ID, marked)
	return len(gone), err
}

func (d *maildrop) close() {
	d.ahead.drop()
	d.held.Release()
}

// content returns the octets of message n; the caller closes them.
func (d *maildrop) content(ctx context.Context, n int) (*store.Content, error) {
	wanted := d.messages[n-1].uid
	if c := d.ahead.take(wanted); c != nil {
		d.ahead.after = n
		return c, nil
	}
	d.ahead.size(n)
	if err := d.ahead.held.Grow(int(min(d.messages[n-1].size, store.InlineMax))); err != nil {
		return nil, err
	}
	rows, _, err := d.rows(ctx, d.batch(n), store.NeedContent)
	if err != nil && d.ahead.batch > 1 { // Perhaps it is another message that cannot be read.
		d.ahead.batch = 1
		rows, _, err = d.rows(ctx, d.batch(n), store.NeedContent)
	}
	if err != nil {
		return nil, err
	}
	d.ahead.rows = rows
	if c := d.ahead.take(wanted); c != nil {
		return c, nil
	}
	return nil, mail.Errorf(mail.NotFound, "message %d was removed by another session", n)
}

// batch lists the UIDs to read with message n: it first.
func (d *maildrop) batch(n int) []mail.UID {
	uids := []mail.UID{d.messages[n-1].uid}
	octets, most := d.messages[n-1].size, int64(store.InlineMax)
	if d.ahead.batch > 1 && d.ahead.held.Try(maxAheadOctets) {
		most = maxAheadOctets
	}
	for i := n; i < len(d.messages) && len(uids) < d.ahead.batch; i++ {
		m := &d.messages[i]
		if m.deleted {
			continue
		}
		if octets += m.size; octets > most {
			break
		}
		uids = append(uids, m.uid)
	}
	return uids
}

// ahead is content that was read before it was asked for: clients fetch one
// message after the other, and reading many at once costs little more than
// reading one. It begins when a client goes on in order, and grows.
type ahead struct {
	rows  []store.Row // ascending by UID
	batch int         // how many to read at once
	held  heap.Hold   // for rows
	after int         // number of the message given last
}

// take gives out the content of uid, if it is here, and drops what is before it.
func (a *ahead) take(uid mail.UID) *store.Content {
	for len(a.rows) > 0 && a.rows[0].UID < uid {
		_ = a.rows[0].Content.Close()
		a.rows = a.rows[1:]
	}
	if len(a.rows) == 0 || a.rows[0].UID != uid {
		return nil
	}
	c := a.rows[0].Content
	a.rows[0].Content = nil // Not to be kept alive by those after it.
	a.rows = a.rows[1:]
	return c
}

// size chooses the batch for reading message n.
func (a *ahead) size(n int) {
	a.drop()
	if n == a.after+1 {
		a.batch = min(max(2*a.batch, 1), maxAhead)
	} else {
		a.batch = 1
	}
	a.after = n
}

func (a *ahead) drop() {
	for i := range a.rows {
		_ = a.rows[i].Content.Close()
	}
	a.rows = nil
	a.held.Release()
}
