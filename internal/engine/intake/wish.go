package intake

import (
	"context"

	"yubin/internal/mail"
)

// Wishes knows what accounts want done with mail for them: by the envelope, with who
// sent it and how it came, by the recipient that leads to the account, the first if
// there are several, and by the message, which is complete. NotFound means that
// there is no such account; any other error is temporary, and the message is not
// taken now.
type Wishes interface {
	Wish(ctx context.Context, account mail.AccountID, e Envelope, to Recipient, m *Message) ([]Wish, error)
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

// Plain is the wish of who has said nothing: one copy in INBOX.
type Plain struct{}

// Wish implements Wishes.
func (Plain) Wish(context.Context, mail.AccountID, Envelope, Recipient, *Message) ([]Wish, error) {
	return plain, nil
}

var plain = []Wish{{Role: mail.RoleInbox}}
