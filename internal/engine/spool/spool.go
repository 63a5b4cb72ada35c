// Package spool has custody of accepted mail that must go on to other hosts:
// the octets, once per message however many recipients it has, and what its
// envelope said. Who of the recipients still waits is the queue's affair.
//
// # States of an item
//
//	state     rows                               who holds the octets   a crash leaves
//	none      none                               nobody                 an orphan file at most; store.Run sweeps it
//	accepted  spool_item with blob, settled = 0  the item               all of it: this is the instant of custody
//	settled   spool_item without blob and        nobody                 all of it; Forget removes the row after
//	          prefix, settled > 0                                        the time that history is kept
//
// Accept: the row, the reference to the octets, the queue's rows and the copies
// in local mailboxes are one commit (engine/intake). One message can make several
// items, each with an envelope, a reference and a prefix of its own: a prefix goes
// before the octets wherever the item goes. Settle: the last
// recipient's row, the reference and the mark are one commit. So octets are
// held exactly as long as somebody may still want them; Check verifies it.
//
// Spool and queue are one engine in two packages: custody, and the schedule. The
// queue's statements join spool_item with its own tables, to list, count and find
// deliveries by what the item says; it writes no row of it.
//
// It deliberately starts nothing, reads no clock and knows no recipients.
package spool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// Limits of an Item's texts, in octets.
const (
	MaxEnvID       = 1024 // decoded; 100 encoded is the RFC's limit
	MaxMessageID   = 1000
	MaxLanguage    = 35 // RFC 5646 §4.4.1
	MaxTransaction = 100
	MaxCause       = 200
)

// ItemID numbers items, from 1, in the order of their arrival.
type ItemID int64

// Item is one message in custody.
type Item struct {
	ID ItemID
	// Outgoing is the envelope. Its Size counts Prefix and octets.
	mail.Outgoing
	Blob   store.BlobRef // zero once it is settled
	Prefix []byte        // header fields that go before the octets, as store.Incoming.Before gives them

	Arrived     time.Time
	HoldUntil   time.Time      // not to be sent before (RFC 4865), or zero
	Expire      time.Time      // what is not sent then is returned
	Account     mail.AccountID // of the sender, or zero
	Language    string         // of the sender, as a tag; "" if not known
	Transaction string         // names the connection and transaction that brought it, in the log
	MessageID   string         // the header field's value
	Report      Report         // of a delivery report that was made here
	About       ItemID         // the message that the report is about
	SignFor     mail.Domain    // for which it is signed when it leaves, whoever sent it; "" leaves that to engine/signing
	Cause       Cause          // why it goes there, if not because its sender said so
	Settled     time.Time      // when nobody waited for it any more, or zero
}

// Cause says why an item goes where it goes, if that is not its sender's doing: what fails of
// it is for whoever is in its reverse-path then, and reports say so.
type Cause string

// KeptForward is of what an account sends on that keeps the mail as well: its owner hears of
// what fails.
const KeptForward Cause = "kept forward"

const copyCause = "copy "

// CopyBy is of a copy that a rule makes: the postmaster hears of what fails.
func CopyBy(rule string) Cause { return Cause(copyCause + rule) }

// Rule is the rule that makes the copy that an item is; "" if it is none.
func (c Cause) Rule() string {
	rule, is := strings.CutPrefix(string(c), copyCause)
	if !is {
		return ""
	}
	return rule
}

// Report says that an item is a delivery report that was made here, and in which
// form. Each is tried once: what cannot be delivered in one goes on in another.
type Report uint8

// The forms.
const (
	NoReport    Report = iota // other mail
	WholeReport               // as it was made; refused for its form, the small one takes its place
	SmallReport               // 7bit, with no more of the message than its header
	LostReport                // to the postmaster, about one that did not reach its reader
)

// GoesOn reports whether somebody is to be told if the report cannot be delivered.
func (r Report) GoesOn() bool { return r == WholeReport || r == SmallReport }

// Options say what a Spool is made of.
type Options struct {
	DB    *sqldb.DB
	Store *store.Store // over the same DB, with Held among its Holders
}

// Spool keeps items. Safe for concurrent use.
type Spool struct{ o Options }

// Open prepares the table.
func Open(ctx context.Context, o Options) (*Spool, error) {
	if err := o.DB.Migrate(ctx, "spool", schema()); err != nil {
		return nil, err
	}
	return &Spool{o}, nil
}

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "spool", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are milliseconds since 1970, 0
// for none.
func schema() []string {
	return []string{`
	CREATE TABLE spool_item (
		id {id},
		blob {int} NOT NULL, -- 0 once settled
		prefix {blob}, -- goes before the octets; NULL is nothing
		size {int} NOT NULL,
		sender {text} NOT NULL, -- the reverse-path
		envid {text} NOT NULL,
		ret {int} NOT NULL,
		body {int} NOT NULL,
		flags {int} NOT NULL, -- bits below
		priority {int} NOT NULL,
		arrived {int} NOT NULL,
		hold_until {int} NOT NULL,
		deliver_by {int} NOT NULL,
		expire {int} NOT NULL,
		account {int} NOT NULL,
		language {text} NOT NULL,
		trans {text} NOT NULL,
		message_id {text} NOT NULL,
		report {int} NOT NULL, -- a form, 0 of other mail
		about {int} NOT NULL, -- the item of which a report tells; it may be forgotten
		settled {int} NOT NULL
	);
	CREATE INDEX spool_settled ON spool_item (settled) WHERE settled > 0`,
		`ALTER TABLE spool_item ADD COLUMN sign_for {text} NOT NULL DEFAULT '' -- a domain, or ''`,
		`ALTER TABLE spool_item ADD COLUMN cause {text} NOT NULL DEFAULT '' -- see Cause`}
}

// Bits of the column flags.
const (
	flagUTF8 = 1 << iota
	flagRequireTLS
	flagByReturn
	flagByTrace
	flagTLSOptional
)

func packFlags(o mail.Outgoing) int {
	n := 0
	for i, on := range []bool{o.UTF8, o.RequireTLS, o.DeliverBy.Return, o.DeliverBy.Trace, o.TLSOptional} {
		if on {
			n |= 1 << i
		}
	}
	return n
}

func unpackFlags(n int, o *mail.Outgoing) {
	o.UTF8, o.RequireTLS = n&flagUTF8 != 0, n&flagRequireTLS != 0
	o.DeliverBy.Return, o.DeliverBy.Trace = n&flagByReturn != 0, n&flagByTrace != 0
	o.TLSOptional = n&flagTLSOptional != 0
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Add takes custody of an item whose Blob is held for it, and returns its
// number. ID and Settled of it are set here. The error is of kind Invalid or
// TooLarge if the item cannot be.
func (s *Spool) Add(tx *sqldb.Tx, it Item) (ItemID, error) {
	if err := check(it); err != nil {
		return 0, err
	}
	ids, err := tx.NewIDs("spool_item", 1)
	if err != nil {
		return 0, err
	}
	tx.Do(`INSERT INTO spool_item (id, blob, prefix, size, sender, envid, ret, body, flags, priority, arrived,
		hold_until, deliver_by, expire, account, language, trans, message_id, report, about, sign_for, cause, settled)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, 0)`,
		ids[0], it.Blob, it.Prefix, it.Size, it.ReversePath.String(), it.EnvID, it.Ret, it.Body, packFlags(it.Outgoing), it.Priority,
		millis(it.Arrived), millis(it.HoldUntil), millis(it.DeliverBy.At), millis(it.Expire), it.Account, it.Language,
		it.Transaction, it.MessageID, it.Report, it.About, it.SignFor, string(it.Cause))
	return ItemID(ids[0]), nil
}

func check(it Item) error {
	switch {
	case it.Blob == 0 || it.Size < int64(len(it.Prefix)) || it.Arrived.IsZero() || it.Expire.IsZero():
		return mail.Errorf(mail.Internal, "a spooled message needs its octets and its times")
	case it.Report > LostReport || it.Report != NoReport && !it.ReversePath.IsNull():
		return mail.Errorf(mail.Internal, "a report has one of three forms and no sender")
	case it.Priority < -9 || it.Priority > 9:
		return mail.Errorf(mail.Invalid, "a priority is from -9 to 9")
	case len(it.EnvID) > MaxEnvID, len(it.MessageID) > MaxMessageID,
		len(it.Language) > MaxLanguage, len(it.Transaction) > MaxTransaction, len(it.Cause) > MaxCause:
		return mail.Errorf(mail.TooLarge, "a text of the message's envelope is too long")
	case !store.ValidPrefix(it.Prefix[:message.PrefixSize(it.Prefix)]):
		return mail.Errorf(mail.Internal, "the fields in front of a message must be whole lines")
	}
	return nil
}

// Lock keeps others from settling an item, and from whatever else they lock it for,
// until the transaction ends. One that is forgotten is nobody's any more.
func (s *Spool) Lock(tx *sqldb.Tx, id ItemID) {
	tx.Ask(`SELECT id FROM spool_item WHERE id = $1 {lock item}`, id)
}

// Item reads an item. NotFound if there is none; an error with the cause
// *sqldb.Unreadable, and what can be read, if it cannot be.
func (s *Spool) Item(tx *sqldb.Tx, id ItemID) (Item, error) {
	return s.ScanItem(s.AskItem(tx, id), id)
}

// AskItem asks for what ScanItem reads.
func (s *Spool) AskItem(tx *sqldb.Tx, id ItemID) *sqldb.Answer {
	return tx.Ask(`SELECT blob, prefix, size, sender, envid, ret, body, flags, priority, arrived, hold_until, deliver_by,
		expire, account, language, trans, message_id, report, about, sign_for, cause, settled FROM spool_item WHERE id = $1`, id)
}

// ScanItem is Item of an answer to AskItem.
func (s *Spool) ScanItem(a *sqldb.Answer, id ItemID) (Item, error) {
	it := Item{ID: id}
	var sender string
	var flags int
	var arrived, hold, by, expire, settled int64
	err := a.Scan(&it.Blob, &it.Prefix, &it.Size, &sender, &it.EnvID, &it.Ret, &it.Body, &flags, &it.Priority, &arrived, &hold, &by,
		&expire, &it.Account, &it.Language, &it.Transaction, &it.MessageID, &it.Report, &it.About, &it.SignFor, &it.Cause, &settled)
	if err == sqldb.ErrNoRows {
		return it, mail.Errorf(mail.NotFound, "there is no message %d in the queue", id)
	}
	unpackFlags(flags, &it.Outgoing)
	it.Arrived, it.HoldUntil, it.DeliverBy.At = fromMillis(arrived), fromMillis(hold), fromMillis(by)
	it.Expire, it.Settled = fromMillis(expire), fromMillis(settled)
	var broken *sqldb.Unreadable
	if errors.As(err, &broken) {
		return it, unreadable(id, err)
	}
	if err != nil {
		return it, err
	}
	if it.ReversePath, err = ParseReversePath(sender); err != nil {
		return it, unreadable(id, err)
	}
	return it, nil
}

// unreadable is the error about an item with a value that it cannot have.
func unreadable(id ItemID, err error) error {
	return &mail.Error{Kind: mail.Internal, Text: fmt.Sprintf("message %d of the queue cannot be read", id),
		Err: &sqldb.Unreadable{Row: fmt.Sprintf("message %d of the queue", id), Err: sqldb.Why(err)}}
}

// ParseReversePath reads what ReversePath.String gave.
func ParseReversePath(s string) (mail.ReversePath, error) {
	if s == "" {
		return mail.ReversePath{}, nil
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return mail.ReversePath{}, mail.Errorf(mail.Internal, "a sender in the spool is unreadable: %w", err)
	}
	return mail.ReversePath(a), nil
}

// Settle ends the custody of an item, which is locked: the octets, blob, are
// released. One that is settled already stays as it is. A blob of zero is looked up.
func (s *Spool) Settle(tx *sqldb.Tx, id ItemID, blob store.BlobRef, at time.Time) error {
	if blob == 0 {
		err := tx.QueryRow(`SELECT blob FROM spool_item WHERE id = $1 AND settled = 0`, id).Scan(&blob)
		if err == sqldb.ErrNoRows {
			return nil
		}
		if err != nil {
			return err
		}
	}
	n, err := tx.Exec(`UPDATE spool_item SET blob = 0, prefix = NULL, settled = $3 WHERE id = $1 AND blob = $2`, id, blob, millis(at))
	if err != nil || n == 0 {
		return err
	}
	return s.o.Store.ReleaseBlob(tx, blob)
}

// Forget removes the rows of at most limit items that were settled before then,
// oldest first, and returns which.
func (s *Spool) Forget(tx *sqldb.Tx, before time.Time, limit int) (gone []ItemID, err error) {
	rows, err := tx.Query(`SELECT id FROM spool_item WHERE settled > 0 AND settled < $1 ORDER BY settled LIMIT $2`, millis(before), limit)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var id ItemID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		gone = append(gone, id)
	}
	rows.Close()
	for _, id := range gone {
		tx.Do(`DELETE FROM spool_item WHERE id = $1`, id)
	}
	return gone, rows.Err()
}

// Content opens the whole message: prefix, then octets. The caller closes it.
func (s *Spool) Content(ctx context.Context, it Item) (*store.Content, error) {
	if it.Blob == 0 {
		return nil, mail.Errorf(mail.NotFound, "message %d is settled; its octets are gone", it.ID)
	}
	return s.o.Store.OpenBlob(ctx, it.Blob, it.Prefix)
}
