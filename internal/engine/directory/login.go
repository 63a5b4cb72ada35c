package directory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

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

// Reason says in a few words why a login failed, for the log of an operator and
// never for the client; "" for nil.
func Reason(err error) string {
	switch u := (*Unproven)(nil); {
	case err == nil:
		return ""
	case errors.As(err, &u):
		return u.Why
	case errors.Is(err, errWrongPassword):
		return "wrong password"
	case errors.Is(err, errSamePassword):
		return "same wrong password"
	case errors.Is(err, errUnknownUser):
		return "unknown user"
	case errors.Is(err, errWrongProtocol):
		return "not for this protocol"
	case errors.Is(err, errWrongNetwork):
		return "not from this network"
	case errors.Is(err, errExpired):
		return "expired"
	case errors.Is(err, ErrDisabled):
		return "account disabled"
	case errors.Is(err, ErrSource):
		return "the directory of the domain cannot be asked"
	case errors.Is(err, netx.ErrSessions):
		return "too many sessions"
	}
	return mail.KindOf(err).String()
}

// misused is the cause of the Forbidden of a credential that is right and does not count.
type misused struct {
	name string // mail.Credential.Name
	why  error
}

func (m *misused) Error() string { return m.why.Error() }
func (m *misused) Unwrap() error { return m.why }

// AppPassword names the app password that err is about, which was right and did not count;
// "" for none. It is for the log, as Reason is.
func AppPassword(err error) string {
	if m := (*misused)(nil); errors.As(err, &m) {
		return m.name
	}
	return ""
}

// claimed is who somebody says to be.
type claimed struct {
	attempt
	client  Client
	address mail.Address // the key of the account's address; zero if it cannot be one
	name    string       // prepared user name
	account lodger
	spent   time.Duration // on comparing the password
}

// FailureStep is what the time of comparing a wrong password is rounded up to before
// a failure is told.
const FailureStep = 500 * time.Millisecond

// Login checks a password: the account's own, or an app password. The user is the full
// address of an account, in any case, or the same in a domain that is another name of its
// own. With an app password it costs microseconds; with the own one tens of
// milliseconds and Cost.Memory the first time, or what the hash takes that another
// server made, and microseconds while that password is remembered. A failure is told after a
// delay. Errors: Forbidden for a wrong password, for one that does not count here, and for a
// user that does not exist, which take the same time and say the same; Forbidden with the cause
// ErrDisabled, only after the right password; RateLimited; Unavailable if there
// was no time to look at it.
func (d *Directory) Login(ctx context.Context, user, text string, from Client) (mail.Principal, error) {
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
		return mail.Principal{}, d.refuse(ctx, in, who, guess{}, nil)
	}
	c, right := who.account.app(prepared)
	if !right {
		right, err = d.verify(ctx, in, &who, text, prepared)
		c = who.account.own
	}
	switch {
	case err != nil:
		in.done()
		return mail.Principal{}, err
	case !right:
		return mail.Principal{}, d.refuse(ctx, in, who, d.guessed(who, prepared), nil)
	}
	who.spent = max(who.spent, 1) // If it does not count, that is told as late as if it had been compared.
	p, err := d.admitted(ctx, in, who, c)
	if err == nil && !c.isApp() && !d.HasSource(who.address.Domain) && (c.scram.StoredKey == nil || !who.account.hash.IsOurs()) {
		d.complete(ctx, who.account, prepared)
	}
	return p, err
}

// claim makes sense of a user name and reads what there is of that account.
func (d *Directory) claim(ctx context.Context, user string, from Client) (claimed, error) {
	who := claimed{client: from}
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
	who.network = obs.LoginNetwork(from.Addr)
	who.shared = !who.network.IsValid() || d.o.Shared(from.Addr)
	if who.address.IsZero() {
		return who, nil
	}
	var err error
	if who.account, err = d.lodger(ctx, who.address); err != nil {
		return who, err
	}
	if d.HasSource(who.address.Domain) { // What is kept of its own password does not count.
		who.account.own.scram = ScramKey{}
	}
	if who.shared {
		return who, nil
	}
	seen, err := d.seenFrom(ctx, who.account.principal.Account, who.network)
	who.known = !seen.IsZero()
	return who, err
}

// refuse counts a failure, waits, and is the error that says so; with a cause if it is not
// that the password was wrong.
func (d *Directory) refuse(ctx context.Context, in *admission, who claimed, g guess, cause error) error {
	delay, again := in.failed(g)
	if delay > 0 {
		if over := who.spent % FailureStep; over > 0 {
			delay += FailureStep - over
		}
		if err := d.o.Sleep(ctx, delay); err != nil {
			return err
		}
	}
	switch {
	case cause != nil:
		return refusal(cause)
	case again && who.account.principal.Account != 0:
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

// admitted is the answer to the right credential c, if it counts for this client.
func (d *Directory) admitted(ctx context.Context, in *admission, who claimed, c credential) (mail.Principal, error) {
	if why := c.refuses(who.client, d.o.Now()); why != nil {
		return mail.Principal{}, d.refuse(ctx, in, who, d.guessed(who, "number "+strconv.Itoa(c.Number)), &misused{c.Name, why})
	}
	in.done()
	p := who.account.principal
	p.Credential = c.Credential
	if who.account.disabled {
		return mail.Principal{}, errDisabled()
	}
	d.uses.note(p, who.client, d.now())
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
	if who.account, err = d.lodger(ctx, who.address); err != nil {
		return err
	}
	switch now := who.account.principal; {
	case now.Account == p.Account && who.account.disabled:
		return errDisabled()
	case now.Account != p.Account || now.Version != p.Version || !who.account.holds(p.Credential, d.o.Now()):
		return wrong(who)
	}
	return nil
}

// verify checks the password, from memory if it was right before. For nobody it
// does the work of a hash of ours. Who made another hash was not told of SASLprep:
// it is of the password as somebody typed it, or as his client prepared it.
// In a domain whose people a source knows, that is asked.
func (d *Directory) verify(ctx context.Context, in *admission, who *claimed, typed, prepared string) (bool, error) {
	if d.HasSource(who.address.Domain) {
		return d.askSource(ctx, in, who, prepared)
	}
	c := who.account
	t := d.ticket(c, prepared)
	_, epoch, ok := d.verified.get(t)
	if ok {
		return true, nil
	}
	h := c.hash
	if c.password == "" {
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
	if !fits || c.password == "" {
		return false, nil
	}
	d.verified.put(t, struct{}{}, epoch)
	return true, nil
}

const ticketSize = sha256.Size

// ticket stands for the right password of an account, until the account has
// another one, as the stored hash is in it. Its key never leaves the process.
func (d *Directory) ticket(c lodger, prepared string) (t [ticketSize]byte) {
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

// complete makes what is kept of the password of an account that came with a hash
// only, now that it is known: our hash in place of another, and the key for SCRAM. Its
// sessions go on. A failure harms nobody: the next login tries again.
func (d *Directory) complete(ctx context.Context, l lodger, prepared string) {
	s, err := secrets{password: l.password}, error(nil)
	if l.hash.IsOurs() {
		var key ScramKey
		key, err = deriveScram(prepared, l.factors)
		s.scram = key.String()
	} else {
		s, err = d.newSecrets(ctx, prepared, l.factors)
	}
	if err == nil {
		err = d.change(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE directory_account SET password = $4, scram = $5 WHERE id = $1 AND password = $2 AND factors = $3 AND scram = ''`,
				l.principal.Account, l.password, l.factors.String(), s.password, s.scram)
			return err
		})
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error("what is kept of a password was not stored", "account", int64(l.principal.Account), "err", err)
	}
}

// ScramLogin is a login by SCRAM-SHA-256 between its messages. Salt and Iterations are for
// all Keys: the client's proof fits one of them, or none.
type ScramLogin struct {
	Salt       []byte
	Iterations int
	Keys       []ScramKey
	of         []credential // of the first Keys
	d          *Directory
	who        claimed
}

// Scram begins a login by SCRAM. As many keys as an account can have are given for
// everybody: those that it lacks, and all of a user that does not exist, fit no password
// and are always the same. Errors: RateLimited.
func (d *Directory) Scram(ctx context.Context, user string, from Client) (*ScramLogin, error) {
	who, err := d.claim(ctx, user, from)
	if err == nil {
		err = d.limits.refusedNow(who.attempt)
	}
	if err != nil {
		return nil, err
	}
	f := who.account.factors
	if who.account.principal.Account == 0 {
		f = d.inventFactors(who.name)
	}
	l := &ScramLogin{Salt: f.salt, Iterations: f.iterations, d: d, who: who}
	for _, c := range append([]credential{who.account.own}, who.account.apps...) {
		if c.scram.StoredKey != nil {
			l.Keys, l.of = append(l.Keys, c.scram), append(l.of, c)
		}
	}
	for nobody := d.inventKey(who.name); len(l.Keys) <= MaxAppPasswords; {
		l.Keys = append(l.Keys, nobody)
	}
	return l, nil
}

// Finish ends a login by SCRAM. It asks proved, which says which of the Keys the client's
// proof fits, or -1, once the attempt has its place among those that may be wrong. Delays
// and errors are those of Login.
func (l *ScramLogin) Finish(ctx context.Context, proved func() int) (mail.Principal, error) {
	in, err := l.d.limits.admit(ctx, l.who.attempt)
	if err != nil {
		return mail.Principal{}, err
	}
	which := proved()
	if which < 0 || which >= len(l.of) {
		return mail.Principal{}, l.d.refuse(ctx, in, l.who, guess{}, nil)
	}
	return l.d.admitted(ctx, in, l.who, l.of[which])
}
