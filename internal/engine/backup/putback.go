package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/depot"
)

// headerMax is how much of a message is looked through for its Message-ID.
const headerMax = 256 << 10

// Wanted says which messages of a snapshot to put back, and where.
type Wanted struct {
	Address   mail.Address     // whose, in the snapshot
	Mailbox   mail.MailboxName // only this one; "" for all
	MessageID string           // only those; with or without angle brackets
	UID       mail.UID         // only this one, of Mailbox
	Into      mail.MailboxName // the mailbox, or what all go below; "" for one named after the day of the snapshot
	Scratch   string           // folder for the database of the snapshot; "" for one in the depot
}

// PutBack is what became of one mailbox.
type PutBack struct {
	From     string   `json:"from"`
	Into     string   `json:"into"`
	Restored int      `json:"restored"`
	There    int      `json:"there"` // were in Into already
	Failed   int      `json:"failed"`
	Problems []string `json:"problems,omitempty"`
}

// Returned is what became of a Return.
type Returned struct {
	Mailboxes []PutBack `json:"mailboxes"`
	LeftOut   []string  `json:"left_out,omitempty"` // rows of the snapshot that cannot be read, and why; what they say of is not put back
}

// Mailboxes is where messages are put back.
type Mailboxes interface {
	Mailbox(context.Context, mail.AccountID, mail.MailboxName) (store.Mailbox, error)
	CreateMailbox(context.Context, mail.AccountID, mail.MailboxName, mail.Role) (store.Mailbox, error)
	Subscribe(context.Context, mail.AccountID, mail.MailboxName, bool) error
	BlobIDs(context.Context, mail.MailboxID) (map[mail.UID]mail.BlobID, error)
}

// Intake takes them: *intake.Intake.
type Intake interface {
	Begin(...intake.Tap) *intake.Message
	File(context.Context, *intake.Message, ...store.Filing) ([]store.Filed, error)
}

// Return puts messages of a snapshot back into an account that lives, with
// their flags, keywords and dates, under new UIDs and without \Deleted. A
// message that the mailbox has already is left out, so doing it again doubles
// nothing. What cannot be read is told and left out: messages, mailboxes, rows.
// NotFound if nothing is as wanted, and nothing was left out.
func Return(ctx context.Context, d *depot.Depot, s Snapshot, to Mailboxes, in Intake, account mail.AccountID, w Wanted, o Options) (r Returned, err error) {
	if err := w.check(); err != nil {
		return r, err
	}
	im, err := openImage(ctx, d, s, w.Scratch, o, nil)
	if err != nil {
		return r, err
	}
	p := &putter{ctx: ctx, im: im, to: to, in: in, account: account, w: w, o: o, day: s.Time.UTC()}
	r.Mailboxes, err = p.all()
	r.LeftOut = im.left.rows
	if err == nil && len(r.Mailboxes) == 0 && len(r.LeftOut) == 0 {
		err = mail.Errorf(mail.NotFound, "the snapshot has no such message")
	}
	return r, errors.Join(err, im.close())
}

func (w Wanted) check() error {
	switch {
	case w.UID != 0 && w.Mailbox == "":
		return mail.Errorf(mail.Invalid, "a UID needs the mailbox that it is of")
	case w.UID != 0 && w.MessageID != "":
		return mail.Errorf(mail.Invalid, "say a UID or a Message-ID, not both")
	}
	return nil
}

// putter is one Return.
type putter struct {
	ctx     context.Context
	im      *image
	to      Mailboxes
	in      Intake
	account mail.AccountID
	w       Wanted
	o       Options
	day     time.Time
	at      Progress
}

func (p *putter) all() (list []PutBack, err error) {
	boxes, err := p.boxes()
	if err != nil {
		return nil, err
	}
	p.at = Progress{Phase: "messages"}
	for _, b := range boxes {
		p.at.Total += b.Size
	}
	for _, b := range boxes {
		one, err := p.mailbox(b)
		if one.Restored+one.There+one.Failed+len(one.Problems) > 0 {
			list = append(list, one)
		}
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

// boxes are the mailboxes of the snapshot to look in.
func (p *putter) boxes() ([]store.Mailbox, error) {
	a, err := p.im.directory.Account(p.ctx, p.w.Address)
	if err != nil && mail.KindOf(err) == mail.NotFound {
		return nil, mail.Errorf(mail.NotFound, "the snapshot has no account %s", p.w.Address)
	}
	if err != nil {
		return nil, err
	}
	if a.Unreadable != "" {
		p.im.left.add("account "+p.w.Address.String(), a.Unreadable)
	}
	if p.w.Mailbox == "" {
		return p.im.store.Mailboxes(p.ctx, a.ID)
	}
	b, err := p.im.store.Mailbox(p.ctx, a.ID, p.w.Mailbox)
	if err != nil && mail.KindOf(err) == mail.NotFound {
		return nil, mail.Errorf(mail.NotFound, "%s has no mailbox %s in the snapshot", p.w.Address, p.w.Mailbox)
	}
	return []store.Mailbox{b}, err
}

// into is where the messages of a mailbox go.
func (p *putter) into(from mail.MailboxName) (mail.MailboxName, error) {
	name := string(p.w.Into)
	switch {
	case name == "":
		name = "Restored " + p.day.Format(time.DateOnly) + mail.MailboxSeparator + string(from)
	case p.w.Mailbox == "":
		name += mail.MailboxSeparator + string(from)
	}
	return mail.ParseMailboxName(name)
}

// destination is a mailbox that messages go to, made with the first of them.
type destination struct {
	name mail.MailboxName
	id   mail.MailboxID
	has  map[mail.BlobID]int // how often it holds which octets
}

func (p *putter) destination(name mail.MailboxName) (*destination, error) {
	d := &destination{name: name, has: make(map[mail.BlobID]int)}
	b, err := p.to.Mailbox(p.ctx, p.account, name)
	if err != nil && mail.KindOf(err) == mail.NotFound {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	d.id = b.ID
	ids, err := p.to.BlobIDs(p.ctx, b.ID)
	for _, id := range ids {
		d.has[id]++
	}
	return d, err
}

// make makes the mailbox if it is not there, and lets clients see it.
func (p *putter) make(d *destination) error {
	if d.id != 0 {
		return nil
	}
	b, err := p.to.CreateMailbox(p.ctx, p.account, d.name, "")
	if err != nil {
		return err
	}
	d.id = b.ID
	return p.to.Subscribe(p.ctx, p.account, d.name, true)
}

func (p *putter) mailbox(b store.Mailbox) (done PutBack, err error) {
	done.From = string(b.Name)
	name, err := p.into(b.Name)
	if err != nil {
		done.failAll(b, "its mailbox cannot be made: "+err.Error())
		return done, nil
	}
	done.Into = string(name)
	view, err := p.im.store.View(p.ctx, b.ID)
	ids := map[mail.UID]mail.BlobID{}
	if err == nil {
		ids, err = p.im.store.BlobIDs(p.ctx, b.ID)
	}
	if err != nil && mail.KindOf(err) == mail.Internal && p.ctx.Err() == nil {
		done.failAll(b, fmt.Sprintf("it cannot be read: %v", err))
		return done, nil
	}
	if err != nil {
		return done, err
	}
	dest, err := p.destination(name)
	if err != nil {
		return done, err
	}
	for _, e := range view.All() {
		if p.w.UID != 0 && e.UID != p.w.UID {
			continue
		}
		if err := p.message(b, e, ids[e.UID], dest, &done); err != nil {
			return done, err
		}
	}
	return done, nil
}

// message puts one message back, if it is wanted and not there. An error is one
// of where it goes; that it cannot be read is only noted.
func (p *putter) message(b store.Mailbox, e store.Entry, id mail.BlobID, dest *destination, done *PutBack) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if p.w.MessageID == "" && dest.has[id] > 0 {
		dest.has[id]--
		done.There++
		return nil
	}
	row, err := readRow(p.ctx, p.im.store, b.ID, e.UID)
	if err != nil {
		done.fail(e.UID, err)
		return nil
	}
	defer row.Content.Close()
	defer p.progress(row.Size)
	if p.w.MessageID != "" {
		switch is, err := hasMessageID(row.Content, p.w.MessageID); {
		case err != nil:
			done.fail(e.UID, err)
			return nil
		case !is:
			return nil
		case dest.has[id] > 0:
			dest.has[id]--
			done.There++
			return nil
		}
	}
	return p.deliver(row, dest, done)
}

func (p *putter) progress(n int64) {
	p.at.Done += n
	if p.o.Progress != nil {
		p.o.Progress(p.at)
	}
}

func (d *PutBack) fail(uid mail.UID, err error) {
	d.Failed++
	if len(d.Problems) < MaxFaults {
		d.Problems = append(d.Problems, fmt.Sprintf("UID %d cannot be read: %v", uid, err))
	}
}

// failAll tells that nothing of a mailbox is put back.
func (d *PutBack) failAll(b store.Mailbox, why string) {
	d.Failed += int(b.Exists)
	d.Problems = append(d.Problems, why)
}

func (p *putter) deliver(row store.Row, dest *destination, done *PutBack) error {
	in := p.in.Begin()
	defer in.Close()
	to := sink{in: in}
	if _, err := row.Content.WriteReceived(&to); err != nil {
		if to.err != nil {
			return to.err
		}
		done.fail(row.UID, err)
		return nil
	}
	if err := p.make(dest); err != nil {
		return err
	}
	_, err := p.in.File(p.ctx, in, store.Filing{
		Account: p.account, Mailbox: dest.id, Prefix: row.Content.Fields(),
		Flags: row.Flags &^ mail.Deleted, Keywords: row.Keywords, Received: row.Received,
	})
	if err == nil {
		done.Restored++
	}
	return err
}

// sink tells a failure to write, which ends all, from one to read.
type sink struct {
	in  *intake.Message
	err error
}

func (b *sink) Write(octets []byte) (n int, err error) {
	n, b.err = b.in.Write(octets)
	return n, b.err
}

// hasMessageID reports whether a message has a Message-ID.
func hasMessageID(c *store.Content, id string) (bool, error) {
	head := make([]byte, min(headerMax, c.Size()))
	if _, err := c.ReadAt(head, 0); err != nil {
		return false, err
	}
	return message.Parse(head).MessageID == bare(id), nil
}

// bare takes the angle brackets off.
func bare(id string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(id), "<"), ">")
}
