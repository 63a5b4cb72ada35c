package directory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Why a login was refused: causes (errors.Is) of its Forbidden, for the log. The
// client hears the same for all.
var (
	errWrongPassword = errors.New("directory: wrong password")
	errSamePassword  = errors.New("directory: wrong password again") // as a program does that has an old one
	errUnknownUser   = errors.New("directory: unknown user")
)

// Reason says in a word or two why a login failed, for the log of an operator and
// never for the client; "" for nil.
func Reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errWrongPassword):
		return "wrong password"
	case errors.Is(err, errSamePassword):
		return "same wrong password"
	case errors.Is(err, errUnknownUser):
		return "unknown user"
	case errors.Is(err, ErrDisabled):
		return "account disabled"
	case errors.Is(err, netx.ErrSessions):
		return "too many sessions"
	}
	return mail.KindOf(err).String()
}

// credential is what a login needs of an account; Account 0 for nobody.
type credential struct {
	principal mail.Principal
	disabled  bool
	password  string // as it is kept: password.Hash.String
	hash      password.Hash
	scram     ScramKeys // zero if there are none
}

// claimed is who somebody says to be.
type claimed struct {
	attempt
	address mail.Address // the key of the account's address; zero if it cannot be one
	name    string       // prepared user name
	account credential
	spent   time.Duration // on comparing the password
}

// FailureStep is what the time of comparing a wrong password is rounded up to before
// a failure is told.
const FailureStep = 500 * time.Millisecond

// Login checks a password. The user is the full address of an account, in any
// case, or the same in a domain that is another name of its own. It costs tens of
// milliseconds and Cost.Memory the first time, or what the hash takes that another
// server made, and microseconds while that password is remembered. A failure is told after a
// delay. Errors: Forbidden for a wrong password and for a user that does not
// exist, which take the same time and say the same; Forbidden with the cause
// ErrDisabled, only after the right password; RateLimited; Unavailable if there
// was no time to look at it.
func (d *Directory) Login(ctx context.Context, user, text string, from netip.Addr) (mail.Principal, error) {
	who, err := d.claim(ctx, user, from)
	if err != nil {
		return mail.Principal{}, err
	}
	in, err := d.limits.admit(ctx, who.attempt)
	if err != nil {
		return mail.Principal{}, err
	}
	prepared, err := prepare(text, MaxPassword)
	if err != nil || who.name == "" {
		return mail.Principal{}, d.refuse(ctx, in, who, guess{})
	}
	right, err := d.verify(ctx, in, &who, text, prepared)
	switch {
	case err != nil:
		in.done()
		return mail.Principal{}, err
	case !right:
		return mail.Principal{}, d.refuse(ctx, in, who, d.guessed(who, prepared))
	}
	p, err := d.admitted(ctx, in, who)
	if err == nil && (who.account.scram.Iterations == 0 || !who.account.hash.IsOurs()) {
		d.complete(ctx, who.account, prepared)
	}
	return p, err
}

// claim makes sense of a user name and reads what there is of that account.
func (d *Directory) claim(ctx context.Context, user string, from netip.Addr) (claimed, error) {
	who := claimed{}
	if name, err := prepare(user, MaxUserName); err == nil {
		who.name = name
		if a, err := mail.ParseAddress(name); err == nil {
			if who.address, err = d.Canonical(ctx, a.Key()); err != nil {
				return who, err
			}
			who.name = who.address.String()
		}
	}
	sum := sha256.Sum256([]byte(who.name))
	copy(who.user[:], sum[:])
	who.network = obs.LoginNetwork(from)
	who.shared = !who.network.IsValid() || d.o.Shared(from)
	if who.address.IsZero() {
		return who, nil
	}
	var err error
	if who.account, err = d.credential(ctx, who.address); err != nil || who.shared {
		return who, err
	}
	seen, err := d.seenFrom(ctx, who.account.principal.Account, who.network)
	who.known = !seen.IsZero()
	return who, err
}

// refuse counts a failure, waits, and is the error that says so.
func (d *Directory) refuse(ctx context.Context, in *admission, who claimed, g guess) error {
	delay, again := in.failed(g)
	if delay > 0 {
		if over := who.spent % FailureStep; over > 0 {
			delay += FailureStep - over
		}
		if err := d.o.Sleep(ctx, delay); err != nil {
			return err
		}
	}
	if again && who.account.principal.Account != 0 {
		return refusal(errSamePassword)
	}
	return wrong(who)
}

// wrong is the error of credentials that do not fit.
func wrong(who claimed) error {
	cause := errWrongPassword
	if who.account.principal.Account == 0 {
		cause = errUnknownUser
	}
	return refusal(cause)
}

func refusal(cause error) error {
	return &mail.Error{Kind: mail.Forbidden, Text: "user name or password is wrong", Err: cause}
}

// admitted is the answer to a right password.
func (d *Directory) admitted(ctx context.Context, in *admission, who claimed) (mail.Principal, error) {
	in.done()
	p := who.account.principal
	if who.account.disabled {
		return mail.Principal{}, errDisabled()
	}
	if !who.shared && !d.limits.off {
		d.remember(ctx, p, who.network)
	}
	return p, nil
}

func errDisabled() error {
	return &mail.Error{Kind: mail.Forbidden, Text: "this account is disabled; ask the administrator", Err: ErrDisabled}
}

// Confirm says whether the login that gave p still holds: nil, or the error that a
// login would give now. It is asked once Options.Revoked would find the session:
// a change is either seen here, or finds the session there.
func (d *Directory) Confirm(ctx context.Context, p mail.Principal) error {
	who := claimed{address: p.Address.Key()}
	var err error
	if who.account, err = d.credential(ctx, who.address); err != nil {
		return err
	}
	switch now := who.account.principal; {
	case now.Account == p.Account && who.account.disabled:
		return errDisabled()
	case now.Account != p.Account || now.Version != p.Version:
		return wrong(who)
	}
	return nil
}

// verify checks the password, from memory if it was right before. For nobody it
// does the work of a hash of ours. Who made another hash was not told of SASLprep:
// it is of the password as somebody typed it, or as his client prepared it.
func (d *Directory) verify(ctx context.Context, in *admission, who *claimed, typed, prepared string) (bool, error) {
	c := who.account
	t := d.ticket(c, prepared)
	_, epoch, ok := d.verified.get(t)
	if ok {
		return true, nil
	}
	h := c.hash
	if c.principal.Account == 0 {
		h = d.nobody
	}
	need := d.weight(h)
	if err := d.gate.enter(ctx, who.attempt, need, in.left()); err != nil {
		return false, err
	}
	defer d.gate.leave(need)
	began := d.o.Now()
	fits := h.Fits(prepared) || typed != prepared && !h.IsOurs() && h.Fits(typed)
	who.spent = d.o.Now().Sub(began)
	if !fits || c.principal.Account == 0 {
		return false, nil
	}
	d.verified.put(t, struct{}{}, epoch)
	return true, nil
}

const ticketSize = sha256.Size

// ticket stands for the right password of an account, until the account has
// another one, as the stored hash is in it. Its key never leaves the process.
func (d *Directory) ticket(c credential, prepared string) (t [ticketSize]byte) {
	m := hmac.New(sha256.New, d.ticketKey)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(c.principal.Account)))
	m.Write([]byte(c.password + "\x00" + prepared))
	m.Sum(t[:0])
	return t
}

// guessed stands for a wrong password.
func (d *Directory) guessed(who claimed, prepared string) (g guess) {
	m := hmac.New(sha256.New, d.ticketKey)
	m.Write([]byte("guess\x00" + who.name + "\x00" + prepared))
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
	err := tx.QueryRow(`SELECT id, local, domain, version, disabled, password, scram FROM directory_account
		WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local).Scan(
		&c.principal.Account, &c.principal.Address.Local, &c.principal.Address.Domain, &c.principal.Version, &c.disabled, &c.password, &scram)
	if isNoRow(err) {
		return credential{}, nil
	}
	if err == nil {
		c.hash, err = password.Parse(c.password)
	}
	if err == nil && scram != "" {
		c.scram, err = parseScram(scram)
	}
	if err != nil {
		return credential{}, &mail.Error{Kind: mail.Internal, Text: "the stored password cannot be read", Err: err}
	}
	return c, nil
}

// complete makes what is kept of the password of an account that came with a hash
// only, now that it is known: our hash in place of another, and the keys of SCRAM. Its
// sessions go on. A failure harms nobody: the next login tries again.
func (d *Directory) complete(ctx context.Context, c credential, prepared string) {
	s, err := secrets{password: c.password}, error(nil)
	if c.hash.IsOurs() {
		s.scram, err = d.newScram(prepared)
	} else {
		s, err = d.newSecrets(ctx, prepared)
	}
	if err == nil {
		err = d.change(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE directory_account SET password = $3, scram = $4 WHERE id = $1 AND password = $2 AND scram = ''`,
				c.principal.Account, c.password, s.password, s.scram)
			return err
		})
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("what is kept of a password was not stored", "account", int64(c.principal.Account), "err", err)
	}
}

// ScramLogin is a login by SCRAM-SHA-256 between its messages.
type ScramLogin struct {
	Keys ScramKeys
	d    *Directory
	who  claimed
}

// Scram begins a login by SCRAM. For a user that has no keys, or does not exist,
// it gives keys that no password fits, always the same. Errors: RateLimited.
func (d *Directory) Scram(ctx context.Context, user string, from netip.Addr) (*ScramLogin, error) {
	who, err := d.claim(ctx, user, from)
	if err == nil {
		err = d.limits.refusedNow(who.attempt)
	}
	if err != nil {
		return nil, err
	}
	l := &ScramLogin{Keys: who.account.scram, d: d, who: who}
	if l.Keys.Iterations == 0 {
		l.Keys = d.inventScram(who.name)
	}
	return l, nil
}

// Finish ends a login by SCRAM. It asks proved, which looks at the client's proof,
// once the attempt has its place among those that may be wrong. Delays and errors
// are those of Login.
func (l *ScramLogin) Finish(ctx context.Context, proved func() bool) (mail.Principal, error) {
	in, err := l.d.limits.admit(ctx, l.who.attempt)
	if err != nil {
		return mail.Principal{}, err
	}
	if !proved() || l.who.account.principal.Account == 0 || l.who.account.scram.Iterations == 0 {
		return mail.Principal{}, l.d.refuse(ctx, in, l.who, guess{})
	}
	return l.d.admitted(ctx, in, l.who)
}
