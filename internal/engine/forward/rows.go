package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/srs"
	"yubin/internal/world/sqldb"
)

// keys are the secrets, the newest first. If there is none and make says so, one is
// made; of two processes that do so at a time both know both.
func (f *Forwarder) keys(ctx context.Context, make bool) ([][]byte, error) {
	keys, err := f.readKeys(ctx)
	if err != nil || len(keys) > 0 || !make {
		return keys, err
	}
	secret := [keySize]byte{}
	if _, err := io.ReadFull(f.o.Random, secret[:]); err != nil {
		return nil, err
	}
	err = f.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		ids, err := tx.NewIDs("forward_key", 1)
		if err != nil {
			return err
		}
		sealed, err := f.o.Secrets.Seal(purpose, row(ids[0]), secret[:])
		if err != nil {
			return err
		}
		tx.Do(`INSERT INTO forward_key (id, sealed, made) VALUES ($1, $2, $3)`, ids[0], sealed, f.o.Now().Unix())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f.readKeys(ctx)
}

func row(id int64) string { return fmt.Sprint(id) }

func (f *Forwarder) readKeys(ctx context.Context) (keys [][]byte, err error) {
	type sealed struct {
		id     int64
		octets []byte
	}
	var all []sealed
	err = f.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		all = all[:0]
		rows, err := tx.Query(`SELECT id, sealed FROM forward_key ORDER BY id DESC`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s sealed
			if err := rows.Scan(&s.id, &s.octets); err != nil {
				return err
			}
			all = append(all, s)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		key, err := f.o.Secrets.Open(purpose, row(s.id), s.octets)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// remember keeps a sender by its handle, and drops those whose addresses lead nowhere
// any more.
func (f *Forwarder) remember(ctx context.Context, handle string, sender mail.ReversePath, now time.Time) error {
	return f.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Do(`DELETE FROM forward_handle WHERE last < $1`, now.Add(-2*srs.DefaultExpiry).Unix())
		tx.Do(`DELETE FROM forward_handle WHERE handle = $1`, handle)
		tx.Do(`INSERT INTO forward_handle (handle, sender, last) VALUES ($1, $2, $3)`, handle, mail.Address(sender).String(), now.Unix())
		return nil
	})
}

// recall finds a sender by its handle.
func (f *Forwarder) recall(ctx context.Context, handle string) (mail.Address, error) {
	var text string
	err := f.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT sender FROM forward_handle WHERE handle = $1`, handle).Scan(&text)
	})
	if errors.Is(err, sqldb.ErrNoRows) {
		return mail.Address{}, srs.ErrExpired
	}
	if err != nil {
		return mail.Address{}, err
	}
	return mail.ParseAddress(text)
}
