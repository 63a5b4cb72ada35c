package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"

	"yubin/internal/engine/transfer"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
	"yubin/internal/server/admin"
	"yubin/internal/session/imapc"
	"yubin/internal/world/files"
	"yubin/internal/world/maildir"
	"yubin/internal/world/mbox"
	"yubin/internal/world/netx"
)

// transfers bring mail into a Store and out of it.
type transfers struct {
	s *Store
	d Deps

	mu   sync.Mutex
	busy map[mail.AccountID]bool // an import runs
}

func newTransfers(s *Store, d Deps) *transfers {
	return &transfers{s: s, d: d, busy: make(map[mail.AccountID]bool)}
}

// folderNames are the names of folders as Dovecot writes them.
func folderNames() maildir.Codec {
	return maildir.Codec{
		Decode: func(b []byte) (string, bool) { return imap.ParseMailbox(b, false) },
		Encode: func(s string) string { return string(imap.AppendMailbox(nil, s, false)) },
	}
}

func (t *transfers) account(ctx context.Context, address string) (mail.AccountID, error) {
	a, err := mail.ParseAddress(address)
	if err != nil {
		return 0, err
	}
	found, err := t.s.directory.Account(ctx, a)
	return found.ID, err
}

// take lets one import at a time into an account.
func (t *transfers) take(id mail.AccountID) (release func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[id] {
		return nil, mail.Errorf(mail.Conflict, "an import into this account is running")
	}
	t.busy[id] = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.busy, id)
	}, nil
}

// ImportMail implements admin.Transfers.
func (t *transfers) ImportMail(ctx context.Context, in admin.ImportMail, places []*files.Place, progress func(transfer.Progress)) (r transfer.Report, err error) {
	plan := transfer.Plan{Skip: in.Skip, Running: in.Running, RemoveGone: in.RemoveGone, DryRun: in.DryRun, Rename: make(map[string]mail.MailboxName)}
	if plan.Account, err = t.account(ctx, in.Account); err != nil {
		return r, err
	}
	if in.Train {
		plan.Train = t.s.learning.lessons
	}
	for from, to := range in.Rename {
		if plan.Rename[from], err = mail.ParseMailboxName(to); err != nil {
			return r, err
		}
	}
	release, err := t.take(plan.Account)
	if err != nil {
		return r, err
	}
	defer release()
	engine, err := transfer.Open(ctx, t.s.db, t.s.mail, t.s.intake)
	if err != nil {
		return r, err
	}
	from, done, err := t.source(ctx, in, places)
	if err != nil {
		return r, err
	}
	defer done()
	return engine.Import(ctx, from, plan, progress)
}

// source opens what mail is taken from.
func (t *transfers) source(ctx context.Context, in admin.ImportMail, places []*files.Place) (from transfer.Source, done func(), err error) {
	done = func() {}
	if in.Kind == "imap" {
		if in.IMAP == nil {
			return nil, nil, mail.Errorf(mail.Invalid, "say which server to take the mail from")
		}
		return t.remote(ctx, *in.IMAP)
	}
	switch {
	case in.Kind == "maildir" && len(places) == 1:
		return &transfer.Maildir{Root: places[0], Codec: folderNames()}, done, nil
	case in.Kind == "mbox" && len(places) > 0:
		quoting, err := quotingNamed(in.Quoting)
		return &transfer.Mbox{Places: places, Mailbox: in.Mailbox, Quoting: quoting}, done, err
	}
	return nil, nil, mail.Errorf(mail.Invalid, "mail is taken from a maildir, from mbox files, or by imap")
}

func quotingNamed(name string) (mbox.Quoting, error) {
	switch name {
	case "", "mboxrd":
		return mbox.QuotingRD, nil
	case "mboxo":
		return mbox.QuotingO, nil
	case "none":
		return mbox.QuotingNone, nil
	}
	return 0, mail.Errorf(mail.Invalid, "quoting is mboxrd, mboxo or none")
}

// remote logs in to another server.
func (t *transfers) remote(ctx context.Context, r admin.RemoteIMAP) (transfer.Source, func(), error) {
	security, err := securityNamed(r.Security)
	if err != nil {
		return nil, nil, err
	}
	dialer := net.Dialer{Timeout: netx.ConnectTimeout}
	raw, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))))
	if err != nil {
		return nil, nil, &mail.Error{Kind: mail.Unavailable, Text: "the other server cannot be reached: " + dialReason(err), Err: err}
	}
	conn := netx.NewOutgoing(raw)
	if r.Insecure && !conn.Loopback() {
		_ = conn.Close()
		return nil, nil, mail.Errorf(mail.Forbidden, "certificates are left unverified only for this machine itself")
	}
	c, err := imapc.Open(ctx, conn, imapc.Config{
		Security: security, Now: t.d.Now,
		TLS: &tls.Config{ServerName: r.Host, InsecureSkipVerify: r.Insecure, MinVersion: tls.VersionTLS12},
	}, imapc.Login{User: r.User, AuthzID: r.AuthzID, Password: r.Password})
	if err != nil {
		return nil, nil, err
	}
	name := r.User
	if r.AuthzID != "" {
		name = r.AuthzID
	}
	return &imapc.Source{Client: c, Name: strings.ToLower(name + "@" + r.Host), Views: r.Views}, c.Close, nil
}

// dialReason is an error of Dial without addresses of ours.
func dialReason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

func securityNamed(name string) (imapc.Security, error) {
	switch name {
	case "tls":
		return imapc.ImplicitTLS, nil
	case "starttls":
		return imapc.StartTLS, nil
	case "none":
		return imapc.Plain, nil
	}
	return 0, mail.Errorf(mail.Invalid, "security is tls, starttls or none")
}

// ExportMail implements admin.Transfers.
func (t *transfers) ExportMail(ctx context.Context, in admin.ExportMail, into []*files.Place, progress func(transfer.Progress)) (r transfer.Report, err error) {
	account, err := t.account(ctx, in.Account)
	if err != nil {
		return r, err
	}
	var only []mail.MailboxName
	for _, m := range in.Mailboxes {
		name, err := mail.ParseMailboxName(m)
		if err != nil {
			return r, err
		}
		only = append(only, name)
	}
	to, err := target(in, into)
	if err != nil {
		return r, err
	}
	engine, err := transfer.Open(ctx, t.s.db, t.s.mail, t.s.intake)
	if err != nil {
		return r, errors.Join(err, to.Close())
	}
	r, err = engine.Export(ctx, account, only, to, progress)
	return r, errors.Join(err, to.Close())
}

func target(in admin.ExportMail, into []*files.Place) (transfer.Target, error) {
	layout := maildir.PlusPlus
	if in.Layout == "fs" {
		layout = maildir.Nested
	}
	switch {
	case in.Kind == "maildir" && len(into) == 1:
		return transfer.NewMaildir(into[0], layout, folderNames())
	case in.Kind == "mbox" && len(into) == 1:
		return transfer.NewMbox(into[0])
	}
	return nil, mail.Errorf(mail.Invalid, "mail is exported to a maildir or to mbox files")
}

// ForgetImports implements admin.Transfers.
func (t *transfers) ForgetImports(ctx context.Context, address mail.Address) (int64, error) {
	account, err := t.account(ctx, address.String())
	if err != nil {
		return 0, err
	}
	engine, err := transfer.Open(ctx, t.s.db, t.s.mail, t.s.intake)
	if err != nil {
		return 0, err
	}
	return engine.Forget(ctx, account)
}
