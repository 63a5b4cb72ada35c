package intake

import (
	"context"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Import files messages in a mailbox with the UIDs that they had elsewhere, without
// asking for wishes; see store.DeliverNumbered. A mailbox that is gone is an error
// of kind NotFound: what belongs into it does not belong into INBOX, where other
// messages have these UIDs.
func (in *Intake) Import(ctx context.Context, mailbox mail.MailboxID, list []store.Imported, also func(tx *sqldb.Tx, from int, filed []store.Filed) error) ([]store.Filed, error) {
	return in.o.Store.DeliverNumbered(ctx, mailbox, list, also)
}
