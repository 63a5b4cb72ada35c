package admin

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

// Importer makes many accounts.
type Importer interface {
	Import(ctx context.Context, records iter.Seq2[directory.Record, error], o directory.ImportOptions) (directory.ImportReport, error)
}

// filter reads domain, after and limit of a list.
func filter(q url.Values) (f directory.Filter, err error) {
	if s := q.Get("domain"); s != "" {
		if f.Domain, err = mail.ParseDomain(s); err != nil {
			return f, err
		}
	}
	if s := q.Get("after"); s != "" {
		if f.After, err = shown(s); err != nil {
			return f, err
		}
	}
	f.Limit = MaxPage
	if s := q.Get("limit"); s != "" {
		if f.Limit, err = strconv.Atoi(s); err != nil || f.Limit < 1 || f.Limit > MaxPage {
			return f, mail.Errorf(mail.Invalid, "limit must be from 1 to %d", MaxPage)
		}
	}
	return f, nil
}

func pathAddress(r *http.Request) (mail.Address, error) {
	return mail.ParseAddress(r.PathValue("address"))
}

// pathShown is the address of an account or alias as a list shows it, which may be
// one that cannot be read: then it is what stands there.
func pathShown(r *http.Request) (mail.Address, error) { return shown(r.PathValue("address")) }

func shown(text string) (mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if i := strings.LastIndexByte(text, '@'); err != nil && i >= 0 {
		return mail.Address{Local: text[:i], Domain: mail.Domain(text[i+1:])}, nil
	}
	return a, err
}

func accountOf(a directory.Account) Account {
	out := Account{Address: a.Address.String(), Enabled: !a.Disabled, Created: a.Created, Language: a.Language, Quota: Quota(a.Quota),
		Unreadable: a.Unreadable}
	if len(a.Forward.To) > 0 {
		out.Forward = &Forward{To: namesOf(a.Forward.To), Keep: a.Forward.Keep}
	}
	return out
}

// withUsage makes accounts with what they hold.
func (h *Handler) withUsage(ctx context.Context, list ...directory.Account) ([]Account, error) {
	ids := make([]mail.AccountID, len(list))
	for i, a := range list {
		ids[i] = a.ID
	}
	used, err := h.Store.Usages(ctx, ids)
	if err != nil {
		return nil, err
	}
	accounts := make([]Account, len(list))
	for i, u := range used {
		accounts[i] = accountOf(list[i])
		accounts[i].Usage = Usage{Octets: u.Octets, Messages: u.Messages, MaxOctets: u.Quota.Octets, MaxMessages: u.Quota.Messages}
		if !u.FullSince.IsZero() {
			since := u.FullSince.UTC()
			accounts[i].Usage.FullSince = &since
		}
	}
	return accounts, nil
}

func (h *Handler) listAccounts(r *http.Request) (any, error) {
	f, err := filter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	if f.Domain != "" {
		if _, err := h.Domains.Domain(r.Context(), f.Domain); err != nil {
			return nil, err
		}
	}
	accounts, err := h.Accounts.Accounts(r.Context(), f)
	if err != nil {
		return nil, err
	}
	page := Page[Account]{}
	if page.Items, err = h.withUsage(r.Context(), accounts...); err != nil {
		return nil, err
	}
	if len(accounts) == f.Limit {
		page.Next = accounts[len(accounts)-1].Address.String()
	}
	return page, nil
}

func (h *Handler) addAccount(r *http.Request) (any, error) {
	in, err := body[NewAccount](r)
	if err != nil {
		return nil, err
	}
	address, err := mail.ParseAddress(in.Address)
	if err != nil {
		return nil, err
	}
	a, err := h.Accounts.AddAccount(r.Context(), directory.NewAccount{Address: address, Password: in.Password, Language: in.Language, AllowWeak: in.AllowWeakPassword})
	if err != nil {
		return nil, err
	}
	return h.oneAccount(r.Context(), a)
}

func (h *Handler) oneAccount(ctx context.Context, a directory.Account) (any, error) {
	list, err := h.withUsage(ctx, a)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func (h *Handler) showAccount(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	found, err := h.Accounts.Account(r.Context(), address)
	if err != nil {
		return nil, err
	}
	mailboxes, err := h.Store.Mailboxes(r.Context(), found.ID)
	if err != nil {
		return nil, err
	}
	list, err := h.withUsage(r.Context(), found)
	if err != nil {
		return nil, err
	}
	a := list[0]
	passwords, err := h.Accounts.Passwords(r.Context(), address)
	if err != nil {
		return nil, err
	}
	a.Limit, a.Apps = limitOf(passwords[0].Scope), len(passwords)-1
	factor, err := h.Accounts.SecondFactor(r.Context(), address)
	if err != nil {
		return nil, err
	}
	a.TOTP = !factor.Since.IsZero()
	a.Holds = &Holdings{Mailboxes: len(mailboxes)}
	for _, m := range mailboxes {
		a.Holds.Messages += int64(m.Exists)
		a.Holds.Unseen += int64(m.Unseen)
		a.Holds.Octets += m.Size
	}
	return a, nil
}

func (h *Handler) changeAccount(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	in, err := body[AccountChange](r)
	if err != nil {
		return nil, err
	}
	limit, err := in.Limit.scope() // Before anything is changed.
	if err != nil {
		return nil, err
	}
	if in.Password != nil {
		if err := h.Accounts.SetPassword(r.Context(), address, *in.Password, in.AllowWeakPassword); err != nil {
			return nil, err
		}
	}
	if in.Limit != nil {
		if err := h.Accounts.LimitPassword(r.Context(), address, limit); err != nil {
			return nil, err
		}
	}
	if in.Enabled != nil {
		if err := h.Accounts.SetDisabled(r.Context(), address, !*in.Enabled); err != nil {
			return nil, err
		}
	}
	if in.Language != nil {
		if err := h.Accounts.SetLanguage(r.Context(), address, *in.Language); err != nil {
			return nil, err
		}
	}
	if in.Quota != nil {
		if err := h.Accounts.SetQuota(r.Context(), address, directory.AllowanceChange(*in.Quota)); err != nil {
			return nil, err
		}
	}
	a, err := h.Accounts.Account(r.Context(), address)
	if err != nil {
		return nil, err
	}
	return h.oneAccount(r.Context(), a)
}

func (h *Handler) forwardAccount(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	in, err := body[Forward](r)
	if err != nil {
		return nil, err
	}
	to, err := readAll(in.To, mail.ParseAddress)
	if err != nil {
		return nil, err
	}
	if err := h.Accounts.SetForward(r.Context(), address, directory.Forward{To: to, Keep: in.Keep}); err != nil {
		return nil, err
	}
	a, err := h.Accounts.Account(r.Context(), address)
	if err != nil {
		return nil, err
	}
	return h.oneAccount(r.Context(), a)
}

func (h *Handler) renameAccount(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	in, err := body[Rename](r)
	if err != nil {
		return nil, err
	}
	to, err := mail.ParseAddress(in.To)
	if err != nil {
		return nil, err
	}
	a, err := h.Accounts.Rename(r.Context(), address, to, in.Alias)
	if err != nil {
		return nil, err
	}
	return h.oneAccount(r.Context(), a)
}

func (h *Handler) removeAccount(r *http.Request) (any, error) {
	address, err := pathShown(r)
	if err != nil {
		return nil, err
	}
	return done{}, h.Accounts.RemoveAccount(r.Context(), address)
}

func (h *Handler) importAccounts(r *http.Request) (any, error) {
	in, err := body[Import](r)
	if err != nil {
		return nil, err
	}
	if len(in.Accounts) > MaxImport {
		return nil, mail.Errorf(mail.TooLarge, "at most %d accounts at once", MaxImport)
	}
	report, err := h.Accounts.Import(r.Context(), records(in.Accounts),
		directory.ImportOptions{DryRun: in.DryRun, AllowWeakHash: in.AllowWeakHash, AllowWeakPassword: in.AllowWeakPassword})
	if err != nil {
		return nil, err
	}
	out := Imported{Added: report.Added, Skipped: report.Skipped, Failed: report.Failed}
	for _, f := range report.Failures {
		out.Failures = append(out.Failures, importFailure(f))
	}
	return out, nil
}

// importFailure is a failure of a record, which it names.
func importFailure(f directory.ImportFailure) ImportFailure {
	out := ImportFailure{Line: f.Line, Text: f.Text}
	if !f.Address.IsZero() {
		out.Address = f.Address.String()
	}
	return out
}

// records yields the accounts as the directory wants them; an address that is
// none comes as an error.
func records(in []ImportAccount) iter.Seq2[directory.Record, error] {
	return func(yield func(directory.Record, error) bool) {
		for _, a := range in {
			address, err := mail.ParseAddress(strings.TrimSpace(a.Address))
			r := directory.Record{Line: a.Line, Address: address, Password: a.Password, Hash: a.Hash, Language: a.Language,
				Quota: directory.AllowanceChange(a.Quota)}
			if !yield(r, err) {
				return
			}
		}
	}
}
