package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// Deliver files a message wherever to says, in one commit, and returns after
// it is durable: all or nothing. The results stand in the order of to. Filings
// of one account with the same trace and date become one email in several
// mailboxes. A Role that no mailbox has any more means INBOX. Nothing in to
// keeps nothing. If only some accounts stand in the way the error has the cause
// *Refused (errors.As), and Deliver can be called again without them.
func (s *Store) Deliver(ctx context.Context, in *Incoming, to []Filing) ([]Filed, error) {
	if err := checkFilings(to); err != nil {
		return nil, err
	}
	msg, err := in.Finish()
	if err != nil || len(to) == 0 {
		return nil, err
	}
	d, err := newDelivery(s, in, msg, to)
	if err != nil {
		return nil, err
	}
	if err := s.withRoom(ctx, func() error { return s.db.Write(ctx, d.run) }); err != nil {
		s.noteRefusals(ctx, err, to, in.size)
		return nil, err
	}
	in.taken = d.fresh
	return d.filed, nil
}

func checkFilings(to []Filing) error {
	if len(to) > MaxFilings {
		return mail.Errorf(mail.TooLarge, "one message goes to at most %d mailboxes at once", MaxFilings)
	}
	for _, f := range to {
		if !ValidTrace(f.Trace) {
			return mail.Errorf(mail.Internal, "trace fields must be whole lines of at most %d octets", MaxTrace)
		}
	}
	return nil
}

// delivery is one Deliver. All that can be made ready outside the transaction
// is made there.
type delivery struct {
	s       *Store
	in      *Incoming
	to      []Filing
	order   []int // of to, with an account's filings side by side
	refs    []int64
	form    []byte
	preview string
	saved   int64
	also    func(*sqldb.Tx, BlobRef) error // or nil; it holds a reference to the blob

	filed []Filed
	blob  int64
	fresh bool // the blob is new: its octets are the ones in in
}

// usualForm is enough for the forms of most messages, in octets.
const usualForm = 512

func newDelivery(s *Store, in *Incoming, msg *message.Message, to []Filing) (*delivery, error) {
	d := &delivery{s: s, in: in, to: traced(in, msg, to), refs: threadRefs(msg), form: message.AppendForm(make([]byte, 0, usualForm), msg),
		preview: msg.Preview, saved: s.now().Unix()}
	for i := range to {
		d.order = append(d.order, i)
	}
	slices.SortStableFunc(d.order, func(a, b int) int { return int(to[a].Account - to[b].Account) })
	return d, in.held.Grow(cap(in.buf) + in.parsed + cap(d.form))
}

// traced is to with the traces as they stand before the octets of in.
func traced(in *Incoming, msg *message.Message, to []Filing) []Filing {
	if msg.Header.Lead == "" {
		return to
	}
	to = slices.Clone(to)
	for i := range to {
		to[i].Trace = in.Before(to[i].Trace)
	}
	return to
}

// emails counts the email rows that come to be: one for each account and trace.
func (d *delivery) emails() int {
	n := 0
	for k := range d.order {
		if d.sameEmail(k) < 0 {
			n++
		}
	}
	return n
}

// sameEmail finds an earlier filing that the k-th shares its email with: -1 if none.
func (d *delivery) sameEmail(k int) int {
	f := d.to[d.order[k]]
	for j := k - 1; j >= 0 && d.to[d.order[j]].Account == f.Account; j-- {
		o := d.to[d.order[j]]
		if bytes.Equal(o.Trace, f.Trace) && o.Received.Equal(f.Received) {
			return d.order[j]
		}
	}
	return -1
}

func (d *delivery) run(tx *sqldb.Tx) error {
	d.filed = make([]Filed, len(d.to))
	ledgers, err := d.openLedgers(tx)
	if err != nil {
		return err
	}
	if err := d.storeBlob(tx); err != nil {
		return err
	}
	k := 0
	for _, l := range ledgers {
		for ; k < len(d.order) && d.to[d.order[k]].Account == l.account; k++ {
			if err := d.file(l, k); err != nil {
				return err
			}
		}
		if err := l.close(); err != nil {
			return err
		}
	}
	if d.also != nil {
		return d.also(tx, BlobRef(d.blob))
	}
	return nil
}

// Refused says which accounts of a Deliver cannot have the message, and why: an
// account that is gone, of kind NotFound, or full, of kind OverQuota.
type Refused struct{ Accounts map[mail.AccountID]error }

func (r *Refused) Error() string {
	return fmt.Sprintf("%d accounts cannot have the message", len(r.Accounts))
}

// add notes an account's error if it is one of those, and reports whether it is.
func (r *Refused) add(id mail.AccountID, err error) bool {
	if kind := mail.KindOf(err); kind != mail.NotFound && kind != mail.OverQuota {
		return false
	}
	if r.Accounts == nil {
		r.Accounts = make(map[mail.AccountID]error, 1)
	}
	r.Accounts[id] = err
	return true
}

// err is the error of an account, if there is one, with r as a cause.
func (r *Refused) err() error {
	for _, err := range r.Accounts {
		text := "the message cannot be filed"
		if e := (*mail.Error)(nil); errors.As(err, &e) {
			text = e.Text
		}
		return &mail.Error{Kind: mail.KindOf(err), Text: text, Err: errors.Join(r, err)}
	}
	return nil
}

// openLedgers starts the changes of all accounts. Whatever stands against some of
// them is found here, before anything is written.
func (d *delivery) openLedgers(tx *sqldb.Tx) ([]*ledger, error) {
	ledgers := make([]*ledger, 0, 1)
	var refused Refused
	for k := 0; k < len(d.order); {
		account := d.to[d.order[k]].Account
		l, err := d.openLedger(tx, d.to[d.order[k]])
		if err != nil && !refused.add(account, err) {
			return nil, err
		}
		if err != nil {
			l = &ledger{account: account}
		}
		var octets, messages int64
		l.ours = true
		for ; k < len(d.order) && d.to[d.order[k]].Account == account; k++ {
			f := &d.to[d.order[k]]
			octets += d.in.size + int64(len(f.Trace))
			messages++
			l.ours = l.ours && f.Ours
		}
		if err == nil {
			err = l.fits(octets, messages)
		}
		if err != nil && !refused.add(account, err) {
			return nil, err
		}
		ledgers = append(ledgers, l)
	}
	return ledgers, refused.err()
}

// openLedger starts the change of an account, with the mailbox of its first filing.
func (d *delivery) openLedger(tx *sqldb.Tx, f Filing) (*ledger, error) {
	if f.Mailbox == 0 {
		return d.s.openLedgerAt(tx, f.Account, f.Role)
	}
	return d.s.openLedger(tx, f.Account)
}

// storeBlob stores the octets, unless the store has them.
func (d *delivery) storeBlob(tx *sqldb.Tx) error {
	refs := int64(d.emails())
	if d.also != nil {
		refs++
	}
	var err error
	if err = d.insertBlob(tx, blobKey(d.in.id), refs); err == nil && !d.fresh {
		err = d.shareBlob(tx, refs)
	}
	if err != nil || !d.fresh || d.in.name != "" {
		return err
	}
	_, err = tx.Exec(`INSERT INTO content (blob, octets) VALUES ($1, $2)`, d.blob, d.in.inline())
	return err
}

// blobKey is what octets are found by. It is short, so that the index is; the
// whole hash decides.
func blobKey(id mail.BlobID) int64 { return int64(binary.BigEndian.Uint64(id[:8])) }

// insertBlob makes a row for the octets, which is fresh then, unless one has the key.
func (d *delivery) insertBlob(tx *sqldb.Tx, key any, refs int64) (err error) {
	var file, sums any
	if d.in.name != "" {
		file, sums = d.in.name, d.in.sums
	}
	d.blob, d.fresh, err = tx.InsertNew(`INSERT INTO blob (key, sha256, size, crc32c, refs, lacking, file, sums, form, preview)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING`, key, d.in.id[:],
		d.in.size, int64(d.in.crc), refs, d.in.ends.Lacking(), file, sums, d.form, d.preview)
	return err
}

// shareBlob takes references to the octets that have the key. If they are
// others, whose sender made them collide, ours are kept without one.
func (d *delivery) shareBlob(tx *sqldb.Tx, refs int64) error {
	err := tx.QueryRow(`UPDATE blob SET refs = refs + $1 WHERE key = $2 AND sha256 = $3 RETURNING id`, refs,
		blobKey(d.in.id), d.in.id[:]).Scan(&d.blob)
	if err == sqldb.ErrNoRows {
		return d.insertBlob(tx, nil, refs)
	}
	return err
}

// file makes the k-th filing.
func (d *delivery) file(l *ledger, k int) error {
	i := d.order[k]
	box, err := d.destination(l, d.to[i])
	if err != nil {
		return err
	}
	var email mail.EmailID
	kind := EmailCreated
	if j := d.sameEmail(k); j >= 0 {
		email, kind = d.filed[j].Email, EmailAdded
		err = addMember(l.tx, email)
	} else {
		email, err = d.insertEmail(l, d.to[i])
	}
	if err != nil {
		return err
	}
	uid, err := box.takeUIDs(1)
	if err != nil {
		return err
	}
	if d.to[i].Warning {
		if err := l.warn(); err != nil {
			return err
		}
	}
	w, full, err := l.words(box, d.to[i].Keywords)
	if full && err == nil {
		err = errNoKeywordRoom(box.id)
	}
	if err != nil {
		return err
	}
	d.filed[i] = Filed{Email: email, Mailbox: box.id, UID: uid, UIDValidity: box.uidvalidity, ModSeq: l.modseq}
	l.added(box, d.member(d.filed[i], d.to[i], w), kind)
	return nil
}

func (d *delivery) destination(l *ledger, f Filing) (*tally, error) {
	if f.Mailbox != 0 {
		return l.box(f.Mailbox)
	}
	box, err := l.boxByRole(f.Role)
	if mail.KindOf(err) == mail.NotFound && err != nil && f.Role != mail.RoleInbox {
		return l.boxByRole(mail.RoleInbox)
	}
	return box, err
}

func (d *delivery) insertEmail(l *ledger, f Filing) (mail.EmailID, error) {
	thread, err := findThread(l.tx, l.account, d.refs)
	if err != nil {
		return 0, err
	}
	id, err := l.tx.Insert(`INSERT INTO email (account, blob, thread, received, zone, size, ascii, trace)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, int64(l.account), d.blob, int64(thread), f.Received.Unix(), zone(f.Received),
		d.in.size+int64(len(f.Trace)), d.ascii(f), f.Trace)
	if err != nil {
		return 0, err
	}
	return mail.EmailID(id), keepThread(l.tx, l.account, d.refs, mail.EmailID(id), thread)
}

// ascii is Row.ASCII of a filing.
func (d *delivery) ascii(f Filing) int64 {
	_, more := message.SurrogateFields(f.Trace[:message.TraceSize(f.Trace)])
	if !d.in.msg.Surrogate.Changes() && message.IsHeaderASCII(f.Trace) {
		return -1
	}
	return d.in.size + int64(len(f.Trace)) + d.in.ends.Lacking() + d.in.msg.Surrogate.Surplus() + more
}

// member makes the membership of a filing.
func (d *delivery) member(filed Filed, f Filing, w words) member {
	return member{
		state: state{UID: filed.UID, Flags: f.Flags, ModSeq: filed.ModSeq, words: w},
		email: filed.Email, blob: d.blob, size: d.in.size + int64(len(f.Trace)), lacking: d.in.ends.Lacking(), ascii: d.ascii(f),
		received: f.Received.Unix(), zone: zone(f.Received), saved: d.saved,
	}
}

// addMember counts one more membership of an email.
func addMember(tx *sqldb.Tx, email mail.EmailID) error {
	_, err := tx.Exec(`INSERT INTO copies (email, members) VALUES ($1, 2)
		ON CONFLICT (email) DO UPDATE SET members = members + 1`, email)
	return err
}

// zone returns the offset of t from UTC in minutes.
func zone(t time.Time) int64 {
	_, seconds := t.Zone()
	return int64(seconds / 60)
}
