package store

import (
	"bytes"
	"cmp"
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

// Posting is a message on its way into mailboxes and into the hands of who holds its
// octets, in one commit.
type Posting struct {
	Message *Incoming
	Filings []Filing
	// More are messages of which only the octets are kept, for who holds them.
	More []*Incoming
	// Decide is asked in the transaction, before anything is written, what becomes
	// of the message if some accounts cannot have it, none or those that it is
	// given: how many references to the octets are held for others than these
	// filings, or an error, and nothing is kept. What it says must not depend on
	// having been asked before. Without it nothing is held, and who cannot have the
	// message makes it fail for all, with the cause *Refused.
	Decide func(Refused) (holds int, err error)
	// Also is run at the end of the transaction, with what was filed and the octets
	// for which references are held: of the message, zero if none is, then one of
	// each of More. Whoever keeps one calls ReleaseBlob in the end. It must obey
	// what sqldb asks of every closure given to Write.
	Also func(tx *sqldb.Tx, filed []Filed, held []BlobRef) error
}

// Deliver files a message as it is told, in one commit, and returns after it is
// durable: all or nothing, but for accounts that are gone or full, see
// Posting.Decide. The results stand in the order of the filings; that of one
// which was refused is zero. Filings of one account with the same prefix and date
// become one email in several mailboxes. A mailbox that is gone means INBOX.
// Only engine/intake calls it.
func (s *Store) Deliver(ctx context.Context, want Posting) ([]Filed, error) {
	p, err := newPosting(s, want)
	if err != nil {
		return nil, err
	}
	err = s.withKeywordRoom(ctx, func() error { return s.db.Write(ctx, p.run) })
	s.noteRefusals(ctx, p.refused, err, want.Filings, want.Message.size)
	if err != nil {
		return nil, err
	}
	for _, o := range p.all {
		o.in.taken = o.in.taken || o.isNew
	}
	return p.filed, nil
}

func checkFilings(to []Filing) error {
	if len(to) > MaxFilings {
		return mail.Errorf(mail.TooLarge, "one message goes to at most %d mailboxes at once", MaxFilings)
	}
	for _, f := range to {
		if !ValidPrefix(f.Prefix) {
			return mail.Errorf(mail.Internal, "the fields in front of a message must be whole lines of at most %d octets", MaxPrefix)
		}
	}
	return nil
}

// posting is one Deliver. All that can be made ready outside the transaction
// is made there.
type posting struct {
	s          *Store
	*octets            // of the message
	want       Posting // its filings as they stand before the octets
	order      []int   // of its filings, with those of an account side by side
	threadRefs []int64
	saved      int64
	all        []*octets // of the message and of more

	// What the transaction found and made.
	refused Refused
	live    []int // of order, without those that were refused
	filed   []Filed
}

// octets are those of a message on their way into the store.
type octets struct {
	in   *Incoming
	form []byte

	refs   int64 // that are taken; 0: they are not stored
	blob   int64
	isNew  bool  // the blob is: its octets are the ones in in
	number int64 // that the blob gets if it is new; 0: any
}

// usualForm is enough for the forms of most messages, in octets.
const usualForm = 512

// prepareOctets ends a message and makes what is kept beside its octets.
func prepareOctets(in *Incoming) (*octets, error) {
	msg, err := in.Finish()
	if err != nil {
		return nil, err
	}
	o := &octets{in: in, form: message.AppendForm(make([]byte, 0, usualForm), msg)}
	return o, in.held.Grow(cap(in.buf) + in.parsed + cap(o.form))
}

func newPosting(s *Store, want Posting) (*posting, error) {
	if err := checkFilings(want.Filings); err != nil {
		return nil, err
	}
	p := &posting{s: s, want: want, saved: s.now().Unix()}
	for _, in := range append([]*Incoming{want.Message}, want.More...) {
		o, err := prepareOctets(in)
		if err != nil {
			return nil, err
		}
		p.all = append(p.all, o)
	}
	p.octets = p.all[0]
	p.threadRefs = threadRefs(p.in.msg)
	p.want.Filings = prefixed(p.in, p.in.msg, want.Filings)
	for i := range want.Filings {
		p.order = append(p.order, i)
	}
	slices.SortStableFunc(p.order, func(a, b int) int { return cmp.Compare(want.Filings[a].Account, want.Filings[b].Account) })
	return p, nil
}

// prefixed is to with the prefixes as they stand before the octets of in.
func prefixed(in *Incoming, msg *message.Message, to []Filing) []Filing {
	if msg.Header.Lead == "" {
		return to
	}
	to = slices.Clone(to)
	for i := range to {
		to[i].Prefix = in.Before(to[i].Prefix)
	}
	return to
}

// emails counts the email rows that come to be: one for each account and prefix.
func (p *posting) emails() int {
	n := 0
	for k := range p.live {
		if p.sameEmail(k) < 0 {
			n++
		}
	}
	return n
}

// filing is the k-th of those that are made.
func (p *posting) filing(k int) *Filing { return &p.want.Filings[p.live[k]] }

// sameEmail finds an earlier filing that the k-th shares its email with: -1 if none.
func (p *posting) sameEmail(k int) int {
	f := p.filing(k)
	for j := k - 1; j >= 0 && p.filing(j).Account == f.Account; j-- {
		o := p.filing(j)
		if bytes.Equal(o.Prefix, f.Prefix) && o.Received.Equal(f.Received) {
			return p.live[j]
		}
	}
	return -1
}

// run is the transaction. What it asks it asks together: first of all accounts, then
// of what they lead to and of the octets; what it changes then, nobody waits for.
func (p *posting) run(tx *sqldb.Tx) error {
	p.filed, p.refused, p.live = make([]Filed, len(p.want.Filings)), Refused{}, make([]int, 0, len(p.order))
	accounts, err := p.open(tx)
	if err != nil {
		return err
	}
	holds := 0
	if p.want.Decide != nil {
		holds, err = p.want.Decide(p.refused)
	} else {
		err = p.refused.err()
	}
	if err != nil {
		return err
	}
	emails := p.emails()
	ids, err := tx.NewIDs("email", emails)
	if err != nil {
		return err
	}
	for i, o := range p.all {
		o.refs = 1
		if i == 0 {
			o.refs = int64(holds + emails)
		}
	}
	if err := storeOctets(tx, p.all); err != nil {
		return err
	}
	held := make([]BlobRef, len(p.all))
	for i, o := range p.all {
		if i > 0 || holds > 0 {
			held[i] = BlobRef(o.blob)
		}
	}
	for k := range p.live {
		l := accounts[0]
		if ids, err = p.file(l, k, ids); err != nil {
			return err
		}
		if k+1 < len(p.live) && p.filing(k+1).Account == l.account {
			continue
		}
		if err := l.close(); err != nil {
			return err
		}
		accounts = accounts[1:]
	}
	if p.want.Also != nil {
		return p.want.Also(tx, p.filed, held)
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

// None reports whether all accounts can have the message.
func (r *Refused) None() bool { return len(r.Accounts) == 0 }

// err is the error of an account, if there is one, with r as a cause.
func (r *Refused) err() error {
	for _, err := range r.Accounts {
		text := "the message cannot be filed"
		if e := (*mail.Error)(nil); errors.As(err, &e) {
			text = e.Text
		}
		return &mail.Error{Kind: mail.KindOf(err), Text: text, Err: errors.Join(&Refused{r.Accounts}, err)}
	}
	return nil
}

// open starts the changes of all accounts that can have the message, in the order of
// their numbers, in which they are locked. Whatever stands against some of them is
// found here, before anything is written.
func (p *posting) open(tx *sqldb.Tx) ([]*addressee, error) {
	asked := make([]addressee, 0, len(p.order))
	for k := 0; k < len(p.order); {
		f, first := &p.want.Filings[p.order[k]], k
		for k < len(p.order) && p.want.Filings[p.order[k]].Account == f.Account {
			k++
		}
		a := addressee{filings: p.order[first:k], row: askAccount(tx, f.Account), threads: askThread(tx, f.Account, p.threadRefs)}
		if f.Mailbox != 0 || f.Name == "" {
			a.box = askMailbox(tx, f.Account, f.Mailbox, f.Role)
		}
		asked = append(asked, a)
	}
	able := make([]*addressee, 0, len(asked))
	for i := range asked {
		a := &asked[i]
		account := p.want.Filings[a.filings[0]].Account
		err := p.openOne(tx, a, account)
		switch {
		case err == nil:
			able = append(able, a)
			p.live = append(p.live, a.filings...)
		case !p.refused.add(account, err):
			return nil, err
		}
	}
	return able, nil
}

// addressee is an account that gets the message.
type addressee struct {
	*ledger
	filings           []int         // their places
	row, box, threads *sqldb.Answer // box is the mailbox of the first filing, or nil
	thread            mail.ThreadID
}

// openOne starts the change of an account, unless something stands against it.
func (p *posting) openOne(tx *sqldb.Tx, a *addressee, account mail.AccountID) (err error) {
	if a.ledger, err = p.s.openAsked(tx, account, a.row); err != nil {
		return err
	}
	if a.box != nil {
		f, role := &p.want.Filings[a.filings[0]], mail.Role("")
		if f.Mailbox == 0 {
			role = f.Role
		}
		if err := a.openBox(a.box, role); err != nil {
			return err
		}
	}
	if a.thread, err = findThread(a.threads, p.threadRefs, nil); err != nil {
		return err
	}
	var octets int64
	a.ours = true
	for _, i := range a.filings {
		f := &p.want.Filings[i]
		octets += p.in.size + int64(len(f.Prefix))
		a.ours = a.ours && f.Ours
		if f.Only {
			if _, err := a.target(f); err != nil {
				return err
			}
		}
	}
	return a.fits(octets, int64(len(a.filings)))
}

// storeOctets stores octets, unless the store has them, and takes references to them.
// Those that others may be changing are locked in one order: the ones that are there
// by their numbers, as who gives references back does, then the rest by their keys.
// Whatever the order, those that are new get numbers in that of all, so that who
// reads the messages of a mailbox finds neighbours.
func storeOctets(tx *sqldb.Tx, all []*octets) error {
	all = slices.DeleteFunc(slices.Clone(all), func(o *octets) bool { return o.refs == 0 })
	for _, o := range all {
		o.number = 0
	}
	if len(all) > 1 {
		there, err := knownBlobs(tx, all)
		if err != nil {
			return err
		}
		numbers, err := tx.NewIDs("blob", len(all))
		if err != nil {
			return err
		}
		for i, o := range all {
			o.number = numbers[i]
		}
		slices.SortFunc(all, func(a, b *octets) int {
			x, y := blobKey(a.in.id), blobKey(b.in.id)
			return cmp.Or(cmp.Compare(uint64(there[x])-1, uint64(there[y])-1), cmp.Compare(x, y))
		})
	}
	asked := make([]*sqldb.Answer, len(all))
	for i, o := range all {
		o.insert(tx)
		asked[i] = tx.Ask(`SELECT id, refs FROM blob WHERE key = $1 AND key IS NOT NULL AND sha256 = $2`, blobKey(o.in.id), o.in.id[:])
	}
	for i, o := range all {
		err := o.inserted(asked[i])
		if err == sqldb.ErrNoRows { // Others have the key, whose sender made them collide.
			o.blob, err = o.insertWithoutKey(tx)
			o.isNew = true
		}
		if err != nil {
			return err
		}
	}
	for _, o := range all {
		if o.isNew && o.in.name == "" {
			tx.Do(`INSERT INTO content (blob, octets) VALUES ($1, $2)`, o.blob, o.in.inline())
		}
	}
	return nil
}

// knownBlobs finds the numbers of octets that the store has, by their keys.
func knownBlobs(tx *sqldb.Tx, all []*octets) (map[int64]int64, error) {
	asked := make([]*sqldb.Answer, len(all))
	for i, o := range all {
		asked[i] = tx.Ask(`SELECT id FROM blob WHERE key = $1 AND key IS NOT NULL`, blobKey(o.in.id))
	}
	there := make(map[int64]int64)
	for i, o := range all {
		var id int64
		switch err := asked[i].Scan(&id); err {
		case nil:
			there[blobKey(o.in.id)] = id
		case sqldb.ErrNoRows:
		default:
			return nil, err
		}
	}
	return there, nil
}

// blobKey is what octets are found by. It is short, so that the index is; the
// whole hash decides.
func blobKey(id mail.BlobID) int64 { return int64(binary.BigEndian.Uint64(id[:8])) }

const (
	blobColumns = `key, sha256, size, crc32c, refs, lacking, file, sums, form, preview`
	blobValues  = `$1, $2, $3, $4, $5, $6, $7, $8, $9, $10`
)

// insert makes a row for the octets, or takes references to the one that has them. It
// does neither if one with other octets has the key. Whoever wants to know asks for
// the row: RETURNING costs SQLite more than that question.
func (o *octets) insert(tx *sqldb.Tx) {
	const there = ` ON CONFLICT (key) WHERE key IS NOT NULL
		DO UPDATE SET refs = blob.refs + excluded.refs WHERE blob.sha256 = excluded.sha256`
	file, sums := o.where()
	if o.number == 0 {
		tx.Do(`INSERT INTO blob (`+blobColumns+`) VALUES (`+blobValues+`)`+there, blobKey(o.in.id), o.in.id[:],
			o.in.size, int64(o.in.crc), o.refs, o.in.ends.Lacking(), file, sums, o.form, o.in.msg.Preview)
		return
	}
	tx.Do(`INSERT INTO blob (`+blobColumns+`, id) VALUES (`+blobValues+`, $11)`+there, blobKey(o.in.id), o.in.id[:],
		o.in.size, int64(o.in.crc), o.refs, o.in.ends.Lacking(), file, sums, o.form, o.in.msg.Preview, o.number)
}

// insertWithoutKey makes a row for octets that are not to be found by their key.
func (o *octets) insertWithoutKey(tx *sqldb.Tx) (int64, error) {
	file, sums := o.where()
	return tx.Insert(`INSERT INTO blob (`+blobColumns+`) VALUES (`+blobValues+`)`, nil, o.in.id[:],
		o.in.size, int64(o.in.crc), o.refs, o.in.ends.Lacking(), file, sums, o.form, o.in.msg.Preview)
}

// where is the file that the octets are in, with its checksums; nil if it is none.
func (o *octets) where() (file, sums any) {
	if o.in.name == "" {
		return nil, nil
	}
	return o.in.name, o.in.sums
}

// inserted finds out whether the row is new: one that was there has references already.
func (o *octets) inserted(asked *sqldb.Answer) error {
	var refs int64
	err := asked.Scan(&o.blob, &refs)
	o.isNew = refs == o.refs
	return err
}

// file makes the k-th filing. It takes of the numbers of emails, and returns the rest.
func (p *posting) file(a *addressee, k int, ids []int64) (_ []int64, err error) {
	i, f, l := p.live[k], p.filing(k), a.ledger
	box, err := l.destination(f)
	if err != nil {
		return nil, err
	}
	uid, err := box.takeUIDs(1)
	if err != nil {
		return nil, err
	}
	at := Place{box.id, uid}
	var email mail.EmailID
	kind := EmailCreated
	if j := p.sameEmail(k); j >= 0 {
		email, kind = p.filed[j].Email, EmailAdded
		_, err = movePlaces(l.tx, l.account, []placing{{email, Place{p.filed[j].Mailbox, p.filed[j].UID}, at, true}})
		if err != nil {
			return nil, err
		}
	} else {
		email, ids = mail.EmailID(ids[0]), ids[1:]
		insertEmail(l.tx, email, p.email(l.account, f, a.thread, at), p.threadRefs)
	}
	w, full, err := l.words(box, f.Keywords)
	if full && err == nil {
		err = errNoKeywordRoom(box.id)
	}
	if err != nil {
		return nil, err
	}
	p.filed[i] = Filed{Email: email, Mailbox: box.id, UID: uid, UIDValidity: box.uidvalidity, ModSeq: l.modseq}
	l.added(box, p.member(p.filed[i], f, w), kind)
	return ids, nil
}

// email is the row of a filing, which comes to a place.
func (p *posting) email(account mail.AccountID, f *Filing, thread mail.ThreadID, at Place) email {
	return email{account: account, blob: p.blob, thread: thread, at: at, received: f.Received.Unix(), zone: zone(f.Received),
		size: p.in.size + int64(len(f.Prefix)), ascii: p.ascii(f), prefix: f.Prefix}
}

// destination is the mailbox of a filing. One that is gone means INBOX, unless
// the filing has it made.
func (l *ledger) destination(f *Filing) (*tally, error) {
	box, err := l.target(f)
	if err == nil || mail.KindOf(err) != mail.NotFound || f.Only {
		return box, err
	}
	if f.Make && f.Name != "" && f.Mailbox == 0 {
		id, err := l.create(f.Name, "")
		if err == nil {
			return l.box(id)
		}
		if mail.KindOf(err) != mail.TooLarge { // The account has as many as it may.
			return nil, err
		}
	}
	return l.boxByRole(mail.RoleInbox)
}

// target is the mailbox that a filing names. NotFound if there is none.
func (l *ledger) target(f *Filing) (*tally, error) {
	switch {
	case f.Mailbox != 0:
		return l.box(f.Mailbox)
	case f.Name != "":
		m, err := findMailbox(l.tx, l.account, f.Name)
		if err != nil {
			return nil, err
		}
		return l.box(m)
	}
	return l.boxByRole(f.Role)
}

// ascii is Row.ASCII of a filing.
func (p *posting) ascii(f *Filing) int64 {
	_, more := message.SurrogateFields(f.Prefix[:message.PrefixSize(f.Prefix)])
	if !p.in.msg.Surrogate.Changes() && message.IsHeaderASCII(f.Prefix) {
		return -1
	}
	return p.in.size + int64(len(f.Prefix)) + p.in.ends.Lacking() + p.in.msg.Surrogate.Surplus() + more
}

// member makes the membership of a filing.
func (p *posting) member(filed Filed, f *Filing, w words) member {
	return member{
		state: state{UID: filed.UID, Flags: f.Flags, ModSeq: filed.ModSeq, words: w},
		email: filed.Email, blob: p.blob, size: p.in.size + int64(len(f.Prefix)), lacking: p.in.ends.Lacking(), ascii: p.ascii(f),
		received: f.Received.Unix(), zone: zone(f.Received), saved: p.saved,
	}
}

// zone returns the offset of t from UTC in minutes.
func zone(t time.Time) int64 {
	_, seconds := t.Zone()
	return int64(seconds / 60)
}
