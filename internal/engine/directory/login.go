package directory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// credential is what a login needs of an account; Account 0 for nobody.
type credential struct {
	principal mail.Principal
	disabled  bool
	password  string // PHC string
	hash      hash
	scram     ScramKeys // zero if there are none
}

// claimed is who somebody says to be.
type claimed struct {
	attempt
	address mail.Address // the key of the account's address; zero if it cannot be one
	name    string       // prepared user name
}

// Login checks a password. The user is the full address of an account, in any
// case. It costs tens of milliseconds and Cost.Memory the first time, and
// microseconds while that password is remembered. A failure is told after a
// delay. Errors: Forbidden for a wrong password and for a user that does not
// exist, which take the same time and say the same; Forbidden with the cause
// ErrDisabled, only after the right password; RateLimited.
func (d *Directory) Login(ctx context.Context, user, password string, from netip.Addr) (mail.Principal, error) {
	who := claim(user, from)
	if err := d.limits.admit(who.attempt); err != nil {
		return mail.Principal{}, err
	}
	prepared, err := prepare(password, MaxPassword)
	if err != nil || who.name == "" {
		return mail.Principal{}, d.refuse(ctx, who, guess{})
	}
	c, err := d.credential(ctx, who.address)
	if err != nil {
		return mail.Principal{}, err
	}
	right, err := d.verify(ctx, who, c, prepared)
	switch {
	case err != nil:
		return mail.Principal{}, err
	case !right:
		return mail.Principal{}, d.refuse(ctx, who, d.guessed(who, prepared))
	}
	p, err := d.admitted(who, c)
	if err == nil && c.scram.Iterations == 0 {
		d.completeScram(ctx, c, prepared)
	}
	return p, err
}

// claim makes sense of a user name.
func claim(user string, from netip.Addr) claimed {
	who := claimed{}
	if name, err := prepare(user, MaxUserName); err == nil {
		who.name = name
		if a, err := mail.ParseAddress(name); err == nil {
			who.address = a.Key()
			who.name = who.address.String()
		}
	}
	sum := sha256.Sum256([]byte(who.name))
	copy(who.user[:], sum[:])
	who.network = networkOf(from)
	return who
}

// refuse counts a failure, waits, and is the error that says so.
func (d *Directory) refuse(ctx context.Context, who claimed, g guess) error {
	if delay := d.limits.failed(who.attempt, g); delay > 0 {
		if err := d.o.Sleep(ctx, delay); err != nil {
			return err
		}
	}
	return mail.Errorf(mail.Forbidden, "user name or password is wrong")
}

// admitted is the answer to a right password.
func (d *Directory) admitted(who claimed, c credential) (mail.Principal, error) {
	d.limits.succeeded(who.attempt)
	if c.disabled {
		return mail.Principal{}, &mail.Error{Kind: mail.Forbidden, Text: "this account is disabled; ask the administrator", Err: ErrDisabled}
	}
	return c.principal, nil
}

// verify checks the password, from memory if it was right before. For nobody it
// does the same work.
func (d *Directory) verify(ctx context.Context, who claimed, c credential, password string) (bool, error) {
	t := d.ticket(c, password)
	_, epoch, ok := d.verified.get(t)
	if ok {
		return true, nil
	}
	h := c.hash
	if c.principal.Account == 0 {
		h = d.nobody
	}
	if err := d.enter(ctx, h.cost); err != nil {
		return false, err
	}
	defer d.leave(h.cost)
	// Others of a flood may have failed while this one waited.
	if err := d.limits.admit(who.attempt); err != nil {
		return false, err
	}
	if !h.fits(password) || c.principal.Account == 0 {
		return false, nil
	}
	d.verified.put(t, struct{}{}, epoch)
	return true, nil
}

const ticketSize = sha256.Size

// ticket stands for the right password of an account, until the account has
// another one, as the stored hash is in it. Its key never leaves the process.
func (d *Directory) ticket(c credential, password string) (t [ticketSize]byte) {
	m := hmac.New(sha256.New, d.ticketKey)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(c.principal.Account)))
	m.Write([]byte(c.password + "\x00" + password))
	m.Sum(t[:0])
	return t
}

// guessed stands for a wrong password.
func (d *Directory) guessed(who claimed, password string) (g guess) {
	m := hmac.New(sha256.New, d.ticketKey)
	m.Write([]byte("guess\x00" + who.name + "\x00" + password))
	copy(g[:], m.Sum(nil))
	return g
}

// credential reads the row of an account; the zero credential if there is none.
func (d *Directory) credential(ctx context.Context, key mail.Address) (credential, error) {
	c, epoch, ok := d.credentials.get(key)
	if ok {
		return c, nil
	}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		c, err = readCredential(tx, key)
		return err
	})
	if err == nil {
		d.credentials.put(key, c, epoch)
	}
	return c, err
}

func readCredential(tx *sqldb.Tx, key mail.Address) (credential, error) {
	var c credential
	var scram string
	err := tx.QueryRow(`SELECT id, local, domain, disabled, password, scram FROM directory_account
		WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local).Scan(
		&c.principal.Account, &c.principal.Address.Local, &c.principal.Address.Domain, &c.disabled, &c.password, &scram)
	if isNoRow(err) {
		return credential{}, nil
	}
	if err == nil {
		c.hash, err = parseHash(c.password)
	}
	if err == nil && scram != "" {
		c.scram, err = parseScram(scram)
	}
	if err != nil {
		return credential{}, &mail.Error{Kind: mail.Internal, Text: "the stored password cannot be read", Err: err}
	}
	return c, nil
}

// completeScram makes the SCRAM keys of an account that came with a hash only,
// now that its password is known. A failure harms nobody: the next login tries
// again.
func (d *Directory) completeScram(ctx context.Context, c credential, password string) {
	keys, err := d.newScram(password)
	if err == nil {
		err = d.change(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE directory_account SET scram = $3 WHERE id = $1 AND password = $2 AND scram = ''`,
				c.principal.Account, c.password, keys)
			return err
		})
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("SCRAM keys were not stored", "account", int64(c.principal.Account), "err", err)
	}
}

// Scram returns the SCRAM-SHA-256 keys of user, for a login whose outcome
// ScramDone is told. For a user without any it returns keys that no password
// fits, always the same, and no Principal. Errors: RateLimited.
func (d *Directory) Scram(ctx context.Context, user string, from netip.Addr) (ScramKeys, mail.Principal, error) {
	who := claim(user, from)
	if err := d.limits.admit(who.attempt); err != nil {
		return ScramKeys{}, mail.Principal{}, err
	}
	c, err := d.credential(ctx, who.address)
	if err != nil {
		return ScramKeys{}, mail.Principal{}, err
	}
	invented := d.inventScram(who.name)
	if c.scram.Iterations == 0 {
		return invented, mail.Principal{}, nil
	}
	return c.scram, c.principal, nil
}

// ScramDone ends what Scram began; proved says that the client has the
// password. Delays and errors are those of Login.
func (d *Directory) ScramDone(ctx context.Context, user string, from netip.Addr, proved bool) error {
	who := claim(user, from)
	c, err := d.credential(ctx, who.address)
	if err != nil {
		return err
	}
	if !proved || c.principal.Account == 0 {
		return d.refuse(ctx, who, guess{})
	}
	_, err = d.admitted(who, c)
	return err
}
