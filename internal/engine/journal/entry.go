package journal

import (
	"net/netip"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// Kind says how it ended.
type Kind uint8

// The kinds.
const (
	Accepted Kind = iota + 1 // we took custody of the message
	Refused                  // a recipient or the whole message was refused; Code says for good or for now
)

var kindNames = [...]string{"", "accepted", "refused"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// Entry is one thing that happened at our door: a message that we took, or a
// recipient or message that we refused.
type Entry struct {
	At   time.Time
	Kind Kind

	// The connection. Session names it and Transaction the mail transaction in
	// it, as in the log and as in spool.Item.Transaction.
	Service, Session, Transaction string         // Service is the listener's: "mx", "submission", "lmtp"
	Remote                        netip.AddrPort // of the client; invalid if there is none
	Hello                         string         // what it called itself
	TLS                           string         // version and cipher suite; "" in clear
	User                          string         // who logged in, or ""

	// The message. Of one that was refused, what is known so far.
	ReversePath mail.ReversePath
	Recipients  []mail.Address // all that we took it for, or the one that was refused
	MessageID   string         // the header field's value
	Size        int64          // octets as received
	Took        time.Duration  // from MAIL to our reply

	// Where it went.
	Item  spool.ItemID // in the spool, or 0
	Filed []Filed      // in mailboxes

	// More is how many other refusals of the session the entry stands for; they
	// are counted and not written.
	More int

	// Our reply.
	Code     int
	Enhanced string // "5.1.1", or ""
	Text     string

	// Verdict is what was thought of the message, with its reasons, separated by
	// "; ": at most MaxVerdict octets. "" if nobody judged it.
	Verdict string
}

// Filed is a place in a mailbox.
type Filed struct {
	Account mail.AccountID
	Mailbox mail.MailboxID
	UID     mail.UID
	Copy    string // the rule that made it, if it is a copy for somebody who is no recipient; at most MaxText octets
}
