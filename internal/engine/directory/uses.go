package directory

import (
	"context"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// How the last use of credentials is kept.
const (
	UseStep = time.Hour // a later use is not written before the one that is written is so old
	maxUses = 16 << 10  // credentials whose use is remembered until it is written
	usePage = 200       // that are written in one commit

	useLook   = 5 * time.Minute // how often Run looks for what is to be written
	lastWrite = time.Second     // for what is left at the end
)

// Use is a login with a credential.
type Use struct {
	At       time.Time
	Protocol Protocol
	Network  string // an IPv4 address, an IPv6 /64; "" for this machine itself
}

// uses remembers who logged in with what. A login only notes it here; WriteUses brings it
// into the rows. What does not fit is not noted: the next login may be.
type uses struct {
	mu   sync.Mutex
	used map[useKey]*noted
}

type useKey struct {
	account mail.AccountID
	number  int
}

// noted is a use, and which one is written.
type noted struct {
	Use
	written time.Time
}

// note remembers a login.
func (u *uses) note(p mail.Principal, c Client, now time.Time) {
	if p.Credential.Number == 0 {
		return
	}
	use := Use{At: now, Protocol: c.Protocol}
	if n := obs.LoginNetwork(c.Addr); n.IsValid() {
		use.Network = n.String()
	}
	key := useKey{p.Account, p.Credential.Number}
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := u.used[key]; n != nil {
		n.Use = use
	} else if len(u.used) < maxUses {
		if u.used == nil {
			u.used = make(map[useKey]*noted)
		}
		u.used[key] = &noted{Use: use}
	}
}

// forget drops what is remembered of a credential that is gone.
func (u *uses) forget(account mail.AccountID, number int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.used, useKey{account, number})
}

// of returns what is remembered of an account.
func (u *uses) of(account mail.AccountID) map[int]Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	found := map[int]Use{}
	for key, n := range u.used {
		if key.account == account {
			found[key.number] = n.Use
		}
	}
	return found
}

// due takes what is to be written, and drops what was written and not used since.
func (u *uses) due(now time.Time, all bool) map[useKey]Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := map[useKey]Use{}
	for key, n := range u.used {
		switch {
		case n.At.Equal(n.written):
			if now.Sub(n.written) >= UseStep {
				delete(u.used, key)
			}
		case len(out) < usePage && (all || n.written.IsZero() || now.Sub(n.written) >= UseStep):
			out[key] = n.Use
		}
	}
	return out
}

// done notes that a use is written.
func (u *uses) done(written map[useKey]Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, use := range written {
		if n := u.used[key]; n != nil {
			n.written = use.At
		}
	}
}

// WriteUses writes the last use of credentials: of each at most once per UseStep, or, with
// all, also what is younger, as before the end of the process.
func (d *Directory) WriteUses(ctx context.Context, all bool) error {
	for {
		due := d.uses.due(d.o.Now(), all)
		if len(due) == 0 {
			return nil
		}
		err := d.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
			tx.Lock(sqldb.Directory) // Nobody takes a credential away meanwhile.
			for key, use := range due {
				if err := writeUse(tx, key, use); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		d.uses.done(due)
	}
}

// Run has what is sealed be sealed with the key of now, and writes the last use of
// credentials until ctx is done, and then what is left.
func (d *Directory) Run(ctx context.Context) {
	if err := d.reseal(ctx); err != nil && ctx.Err() == nil {
		d.log.Warn("secrets of second factors were not sealed with the new key; a restart tries again", obs.Err(err))
	}
	write := func(ctx context.Context, all bool) {
		if err := d.WriteUses(ctx, all); err != nil && ctx.Err() == nil {
			d.log.Warn("when passwords were last used was not written", obs.Err(err))
		}
	}
	tick := time.NewTicker(useLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			write(ctx, false)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
			defer cancel()
			write(last, true)
			return
		}
	}
}

// writeUse writes one, if the credential is still there.
func writeUse(tx *sqldb.Tx, key useKey, u Use) error {
	there, err := exists(tx, `SELECT 1 FROM directory_account WHERE id = $1 AND credential = $2
		UNION ALL SELECT 1 FROM directory_app_password WHERE account = $1 AND number = $2`, key.account, key.number)
	if err != nil || !there {
		return err
	}
	_, err = tx.Exec(`INSERT INTO directory_use (account, number, at, protocol, network) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, number) DO UPDATE SET at = excluded.at, protocol = excluded.protocol, network = excluded.network`,
		key.account, key.number, u.At.Unix(), string(u.Protocol), u.Network)
	return err
}

// usesOf says when the credentials of an account were last used, written or not.
func (d *Directory) usesOf(tx *sqldb.Tx, account mail.AccountID) (map[int]Use, error) {
	rows, err := tx.Query(`SELECT number, at, protocol, network FROM directory_use WHERE account = $1`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int]Use{}
	for rows.Next() {
		var number int
		var at int64
		var u Use
		if err := rows.Scan(&number, &at, &u.Protocol, &u.Network); err != nil {
			return nil, err
		}
		u.At = time.Unix(at, 0).UTC()
		found[number] = u
	}
	for number, u := range d.uses.of(account) {
		found[number] = u
	}
	return found, rows.Err()
}
