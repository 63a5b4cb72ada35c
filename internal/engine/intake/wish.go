package intake

import (
	"context"

	"yubin/internal/mail"
)

// Wishes knows what accounts want done with mail for them. NotFound means that there
// is no such account; any other error is temporary, and the message is not taken now.
type Wishes interface {
	Wish(ctx context.Context, q Question) ([]Wish, error)
}

// Question is what a wish goes by.
type Question struct {
	Account  mail.AccountID
	Envelope Envelope  // with who sent it and how it came
	To       Recipient // who leads to the account, the first if there are several
	Message  *Message  // complete
	Opinion  Opinion   // of who judged it; Accept if nobody did. Its action is Accept or Junk
}

// Wish is one copy of a message as an account wants it. None means that it wants
// none.
type Wish struct {
	Mailbox  mail.MailboxID // or
	Name     mail.MailboxName
	Role     mail.Role
	Make     bool // the mailbox with Name is made if there is none
	Flags    mail.Flags
	Keywords mail.Keywords
}

// Plain is the wish of who has said nothing: one copy, in INBOX or in Junk.
type Plain struct{}

// Wish implements Wishes.
func (Plain) Wish(_ context.Context, q Question) ([]Wish, error) {
	if q.Opinion.Action == Junk {
		return plainJunk, nil
	}
	return plain, nil
}

var (
	plain     = []Wish{{Role: mail.RoleInbox}}
	plainJunk = []Wish{{Role: mail.RoleJunk, Keywords: "$Junk"}}
)
