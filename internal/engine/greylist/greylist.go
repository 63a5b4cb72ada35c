// Package greylist has strangers come again: who writes to an account for the first time
// is told to try later (RFC 6647), which servers do and most programs that send junk do
// not.
//
// What counts is the network of the client (/24, /64), the reverse-path and the account.
//
//	first   seen, and deferred until Wait is over
//	second  between Wait and Window after the first: it passes from then on
//	later   passes, as long as it comes within Keep
//
// It deliberately does not say who is a stranger: engine/judge asks it only about those.
package greylist

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Times and limits.
const (
	Wait    = 5 * time.Minute
	Window  = 48 * time.Hour
	Keep    = 35 * 24 * time.Hour
	MaxRows = 500_000 // about; the ones first seen go first

	trimEvery = 1024 // rows between two looks at how many there are
)

// Options are what a List is made of.
type Options struct {
	DB  *sqldb.DB
	Now func() time.Time
}

// List is who came. Safe for concurrent use.
type List struct{ o Options }

// Open prepares the table.
func Open(ctx context.Context, o Options) (*List, error) {
	if err := o.DB.Migrate(ctx, "greylist", schema()); err != nil {
		return nil, err
	}
	return &List{o}, nil
}

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "greylist", Steps: schema()} }

func schema() []string {
	return []string{`
	CREATE TABLE greylist (
		id {int} PRIMARY KEY, -- the start of a hash of network, sender and account
		seen {int} NOT NULL, -- first; seconds since 1970
		passed {int} NOT NULL -- last; 0 if it never did
	);
	CREATE INDEX greylist_seen ON greylist (seen)`}
}

// Admit says how long a stranger has to wait; 0 lets the message in.
func (l *List) Admit(ctx context.Context, client netip.Addr, sender mail.ReversePath, account mail.AccountID) (wait time.Duration, err error) {
	id, now := key(client, sender, account), l.o.Now()
	err = l.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		wait = Wait
		rows, err := tx.Query(`SELECT seen, passed FROM greylist WHERE id = $1`, id)
		if err != nil {
			return err
		}
		var seen, passed int64
		known := rows.Next()
		if known {
			err = rows.Scan(&seen, &passed)
		}
		rows.Close()
		if err != nil {
			return err
		}
		since := now.Sub(time.Unix(seen, 0))
		switch {
		case known && passed > 0 && now.Sub(time.Unix(passed, 0)) <= Keep, known && passed == 0 && since >= Wait && since <= Window:
			wait = 0
			tx.Do(`UPDATE greylist SET passed = $2 WHERE id = $1`, id, now.Unix())
			return nil
		case known && passed == 0 && since < Wait:
			wait = Wait - since
			return nil
		case known:
			tx.Do(`UPDATE greylist SET seen = $2, passed = 0 WHERE id = $1`, id, now.Unix())
			return nil
		}
		tx.Do(`INSERT INTO greylist (id, seen, passed) VALUES ($1, $2, 0)`, id, now.Unix())
		if uint64(id)%trimEvery == 0 {
			return trim(tx, now)
		}
		return nil
	})
	return wait, err
}

// trim removes what says nothing any more, and what is beyond MaxRows.
func trim(tx *sqldb.Tx, now time.Time) error {
	tx.Do(`DELETE FROM greylist WHERE passed = 0 AND seen < $1 OR passed > 0 AND passed < $2`, now.Add(-Window).Unix(), now.Add(-Keep).Unix())
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM greylist`).Scan(&n); err != nil {
		return err
	}
	if n > MaxRows {
		tx.Do(`DELETE FROM greylist WHERE id IN (SELECT id FROM greylist ORDER BY seen LIMIT $1)`, n-MaxRows)
	}
	return nil
}

// key is the row of who comes.
func key(client netip.Addr, sender mail.ReversePath, account mail.AccountID) int64 {
	client = client.Unmap()
	bits := 64
	if client.Is4() {
		bits = 24
	}
	network, _ := client.Prefix(bits) // The zero prefix for no address.
	h := sha256.New()
	h.Write([]byte(network.String() + "\x00" + sender.String() + "\x00"))
	sum := h.Sum(binary.BigEndian.AppendUint64(nil, uint64(account)))
	full := sha256.Sum256(sum)
	return int64(binary.BigEndian.Uint64(full[:8]))
}
