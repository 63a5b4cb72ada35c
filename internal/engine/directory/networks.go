package directory

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Bounds on the networks that are remembered of an account.
const (
	MaxNetworks = 32                  // those used last
	NetworkAge  = 90 * 24 * time.Hour // since the last login from it

	touchAfter = 24 * time.Hour // how old the note of a network may be when it is used again
)

// network is one from which the owner of an account has logged in.
type network struct {
	prefix netip.Prefix
	seen   time.Time
}

// networksOf lists the networks of an account.
func (d *Directory) networksOf(ctx context.Context, account mail.AccountID) ([]network, error) {
	list, epoch, ok := d.networks.get(account)
	if ok || account == 0 {
		return list, nil
	}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		list, err = readNetworks(tx, account)
		return err
	})
	if err == nil {
		d.networks.put(account, list, epoch)
	}
	return list, err
}

func readNetworks(tx *sqldb.Tx, account mail.AccountID) ([]network, error) {
	rows, err := tx.Query(`SELECT network, seen FROM directory_network WHERE account = $1`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []network
	for rows.Next() {
		var text string
		var seen int64
		if err := rows.Scan(&text, &seen); err != nil {
			return nil, err
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			continue // Check reports it.
		}
		list = append(list, network{p, time.Unix(seen, 0)})
	}
	return list, rows.Err()
}

// seenFrom says when the account was last logged in to from p; zero if never, or
// too long ago.
func (d *Directory) seenFrom(ctx context.Context, account mail.AccountID, p netip.Prefix) (time.Time, error) {
	list, err := d.networksOf(ctx, account)
	i := slices.IndexFunc(list, func(n network) bool { return n.prefix == p })
	if err != nil || i < 0 || d.o.Now().Sub(list[i].seen) > NetworkAge {
		return time.Time{}, err
	}
	return list[i].seen, nil
}

// remember notes that p logged in from the network prefix, if that is not noted
// yet. A failure harms nobody: the next login tries again.
func (d *Directory) remember(ctx context.Context, p mail.Principal, prefix netip.Prefix) {
	now := d.now()
	seen, err := d.seenFrom(ctx, p.Account, prefix)
	if err == nil && now.Sub(seen) > touchAfter {
		err = d.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
			there, err := exists(tx, `SELECT 1 FROM directory_account WHERE id = $1 AND version = $2`, p.Account, p.Version)
			if err != nil || !there {
				return err
			}
			tx.OnCommit(func() { d.networks.forget(p.Account) })
			return noteNetwork(tx, p.Account, prefix, now)
		})
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("a network was not remembered", "account", int64(p.Account), "err", err)
	}
}

// noteNetwork writes the row, and drops those that are too old or too many.
func noteNetwork(tx *sqldb.Tx, account mail.AccountID, prefix netip.Prefix, now time.Time) error {
	if _, err := tx.Exec(`INSERT INTO directory_network (account, network, wide, seen) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, network) DO UPDATE SET seen = excluded.seen`, account, prefix.String(), obs.Network(prefix.Addr()).String(), now.Unix()); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM directory_network WHERE account = $1 AND seen < $2`,
		account, now.Add(-NetworkAge).Unix()); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM directory_network WHERE account = $1 AND network NOT IN (
		SELECT network FROM directory_network WHERE account = $1 ORDER BY seen DESC, network LIMIT $2)`, account, MaxNetworks)
	return err
}

// OwnerSeen returns a network that has something in common with p, from which the owner of
// an account logged in since a time; the zero Prefix if there is none.
func (d *Directory) OwnerSeen(ctx context.Context, p netip.Prefix, since time.Time) (found netip.Prefix, err error) {
	wide := obs.Network(p.Addr())
	where, args := `wide = $1 AND seen >= $2`, []any{wide.String(), since.Unix()}
	if wide.Bits() > p.Bits() { // Only administrators ask for one so wide.
		where, args = `seen >= $1`, []any{since.Unix()}
	}
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		found = netip.Prefix{}
		rows, err := tx.Query(`SELECT DISTINCT network FROM directory_network WHERE `+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() && !found.IsValid() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			if n, err := netip.ParsePrefix(text); err == nil && n.Overlaps(p) { // Check reports others.
				found = n
			}
		}
		return rows.Err()
	})
	return found, err
}

// forgetNetworks drops all networks of an account.
func (d *Directory) forgetNetworks(tx *sqldb.Tx, account mail.AccountID) error {
	tx.OnCommit(func() { d.networks.forget(account) })
	_, err := tx.Exec(`DELETE FROM directory_network WHERE account = $1`, account)
	return err
}

// checkNetworks verifies the rows of networks.
func checkNetworks(tx *sqldb.Tx, report func(string)) error {
	rows, err := tx.Query(`SELECT n.network, COALESCE(a.id, 0) FROM directory_network n
		LEFT JOIN directory_account a ON a.id = n.account`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		var account int64
		if err := rows.Scan(&text, &account); err != nil {
			return err
		}
		if p, err := netip.ParsePrefix(text); err != nil || p.String() != text {
			report("directory: a network of an account cannot be read")
		}
		if account == 0 {
			report("directory: a network of an account that does not exist: " + text)
		}
	}
	return rows.Err()
}
