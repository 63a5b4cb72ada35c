package store

import (
	"context"
	"io"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// File is a file with the octets of a large message.
type File struct {
	Name   string
	Size   int64
	SHA256 []byte
}

// Files calls fn for each file of octets that the rows of tx name, sorted by name.
func Files(tx *sqldb.Tx, fn func(File) error) error {
	rows, err := tx.Query(`SELECT file, size, sha256 FROM blob WHERE file IS NOT NULL ORDER BY file`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var f File
		if err := rows.Scan(&f.Name, &f.Size, &f.SHA256); err != nil {
			return err
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return rows.Err()
}

// BlobIDs returns which octets each message of a mailbox has, its prefix not
// counted: what is needed to tell that two mailboxes hold the same. Those whose
// octets have no name are left out.
func (s *Store) BlobIDs(ctx context.Context, mailbox mail.MailboxID) (ids map[mail.UID]mail.BlobID, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		ids = make(map[mail.UID]mail.BlobID)
		return eachMember(tx, mailbox, allUIDs(), func(m *member) error {
			var sum []byte
			err := tx.QueryRow(`SELECT sha256 FROM blob WHERE id = $1`, m.blob).Scan(&sum)
			if err != nil && err != sqldb.ErrNoRows {
				return err
			}
			if len(sum) == len(mail.BlobID{}) {
				ids[m.UID] = mail.BlobID(sum)
			}
			return nil
		})
	})
	return ids, err
}

// Fields returns the fields that stand before what was received, for Filing.
// They are not to be changed.
func (c *Content) Fields() []byte { return c.prefix[:message.PrefixSize(c.prefix)] }

// WriteReceived is WriteTo without the prefix.
func (c *Content) WriteReceived(w io.Writer) (int64, error) {
	return c.writeRange(w, int64(len(c.prefix)), c.Size())
}
