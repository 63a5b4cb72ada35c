package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// Domains keeps the local domains.
type Domains interface {
	AddDomain(context.Context, mail.Domain) (directory.Domain, error)
	Domains(context.Context) ([]directory.Domain, error)
	Domain(context.Context, mail.Domain) (directory.Domain, error)
	RemoveDomain(context.Context, mail.Domain) error
	AliasDomain(ctx context.Context, name, of mail.Domain) (directory.Domain, error)
	UnaliasDomain(ctx context.Context, name mail.Domain) (kept bool, err error)
	SetDomainQuota(ctx context.Context, name mail.Domain, c directory.AllowanceChange) error
	SiteQuota(context.Context) (directory.Allowance, error)
	SetSiteQuota(context.Context, directory.AllowanceChange) error
}

// Accounts keeps the accounts.
type Accounts interface {
	AddAccount(context.Context, directory.NewAccount) (directory.Account, error)
	Account(context.Context, mail.Address) (directory.Account, error)
	AccountByID(context.Context, mail.AccountID) (directory.Account, error)
	Accounts(context.Context, directory.Filter) ([]directory.Account, error)
	SetPassword(ctx context.Context, a mail.Address, password string, allowWeak bool) error
	LimitPassword(ctx context.Context, a mail.Address, s directory.Scope) error
	Passwords(context.Context, mail.Address) ([]directory.Password, error)
	AddAppPassword(ctx context.Context, a mail.Address, n directory.NewAppPassword) (text string, p directory.Password, err error)
	RemoveAppPassword(ctx context.Context, a mail.Address, name string) error
	RemoveAppPasswords(ctx context.Context, a mail.Address) (int, error)
	Foreign(ctx context.Context, limit int) ([]mail.Address, error)
	SecondFactor(context.Context, mail.Address) (directory.SecondFactor, error)
	EnableSecondFactor(context.Context, mail.Address) (directory.NewSecondFactor, error)
	DisableSecondFactor(context.Context, mail.Address) error
	NewRecoveryCodes(context.Context, mail.Address) ([]string, error)
	VerifySecondFactor(ctx context.Context, account mail.AccountID, code string) (recovery bool, err error)
	SetDisabled(ctx context.Context, a mail.Address, disabled bool) error
	SetLanguage(ctx context.Context, a mail.Address, tag string) error
	SetQuota(ctx context.Context, a mail.Address, c directory.AllowanceChange) error
	SetForward(ctx context.Context, a mail.Address, f directory.Forward) error
	Rename(ctx context.Context, from, to mail.Address, alias bool) (directory.Account, error)
	RemoveAccount(context.Context, mail.Address) error
	Importer
}

// Aliases keeps the aliases.
type Aliases interface {
	AddAlias(context.Context, directory.Alias) (directory.Alias, error)
	SetAlias(context.Context, directory.Alias) (directory.Alias, error)
	ChangeAlias(ctx context.Context, a mail.Address, add, drop []mail.Address) (directory.Alias, error)
	Aliases(context.Context, directory.Filter) ([]directory.Alias, error)
	Alias(context.Context, mail.Address) (directory.Alias, error)
	RemoveAlias(context.Context, mail.Address) error
}

// Names says who has an address.
type Names interface {
	Way(context.Context, mail.Address) (directory.Way, error)
}

// Store knows what accounts hold and whether all of it is sound.
type Store interface {
	Mailboxes(context.Context, mail.AccountID) ([]store.Mailbox, error)
	Usages(context.Context, []mail.AccountID) ([]store.Usage, error)
	Retention() store.Retention
	Check(ctx context.Context, report func(problem string)) error
	CheckDeep(ctx context.Context, report func(problem string)) error
}

// Config is what a Handler is made of.
type Config struct {
	Domains     Domains
	Accounts    Accounts
	Aliases     Aliases
	Names       Names // nil for none
	Groups      Groups
	Copies      Copies
	Declarer    Declarer
	Routes      Routes
	Networks    Networks
	Resolver    dns.Resolver // for the explanation of routes
	Store       Store
	Backups     Backups
	Moves       Moves
	Transfers   Transfers   // nil for none
	Lost        Lost        // nil for none
	Retention   Retention   // nil for none
	Bans        Bans        // nil for none
	Sending     Sending     // nil for none
	Judging     Judging     // nil for none
	Preferences Preferences // nil for none
	Junk        Junk        // nil for none
	Queue       Queue       // nil for none
	Journal     Journal     // nil for none
	Signing     Signing     // nil for none
	Policies    Policies    // nil for none
	Secrets     Secrets     // nil for none
	Reports     Reports     // nil for none
	Audit       Audit       // nil for none
	Zone        Zone        // nil for none
	Overviews   Overviews   // nil for none
	Selftests   Selftests   // nil for none
	Clients     Clients
	Status      Status
	Metrics     http.Handler // GET /metrics; nil for none
	Log         *slog.Logger

	Certificates Certificates // nil for none
	// Administrates is told from where somebody is logged in who administrates, if the command
	// says so; nil tells nobody.
	Administrates func(netip.Addr)
}

// Handler serves the API.
type Handler struct {
	Config
	mux   *routes
	loans loans
}

// New returns the handler.
func New(c Config) *Handler {
	h := &Handler{Config: c, mux: &routes{ServeMux: http.NewServeMux()}}
	for pattern, do := range map[string]func(*http.Request) (any, error){
		"GET /v1/status":                h.status,
		"GET /v1/overview":              h.overview,
		"GET /v1/domains":               h.listDomains,
		"POST /v1/domains":              h.addDomain,
		"DELETE /v1/domains/{domain}":   h.removeDomain,
		"GET /v1/domains/{domain}":      h.showDomain,
		"PATCH /v1/domains/{domain}":    h.changeDomain,
		"GET /v1/quota":                 h.siteQuota,
		"PATCH /v1/quota":               h.changeSiteQuota,
		"GET /v1/accounts":              h.listAccounts,
		"POST /v1/accounts":             h.addAccount,
		"POST /v1/accounts/import":      h.importAccounts,
		"GET /v1/accounts/{address}":    h.showAccount,
		"PATCH /v1/accounts/{address}":  h.changeAccount,
		"DELETE /v1/accounts/{address}": h.removeAccount,
		"GET /v1/aliases":               h.listAliases,
		"POST /v1/aliases":              h.addAlias,
		"GET /v1/aliases/{address}":     h.showAlias,
		"PUT /v1/aliases/{address}":     h.setAlias,
		"PATCH /v1/aliases/{address}":   h.changeAlias,
		"DELETE /v1/aliases/{address}":  h.removeAlias,

		"PUT /v1/domains/{domain}/alias":     h.aliasDomain,
		"DELETE /v1/domains/{domain}/alias":  h.unaliasDomain,
		"PUT /v1/accounts/{address}/forward": h.forwardAccount,
		"POST /v1/accounts/{address}/rename": h.renameAccount,

		"GET /v1/copies":                h.listCopies,
		"POST /v1/copies":               h.addCopy,
		"DELETE /v1/copies/{name}":      h.removeCopy,
		"GET /v1/routes":                h.listRoutes,
		"GET /v1/routes/{name}":         h.showRoute,
		"PUT /v1/routes/{name}":         h.setRoute,
		"DELETE /v1/routes/{name}":      h.removeRoute,
		"GET /v1/networks":              h.listNetworks,
		"POST /v1/networks":             h.trustNetwork,
		"DELETE /v1/networks/{network}": h.untrustNetwork,
		"GET /v1/explain":               h.explain,
		"GET /v1/audit":                 h.listAudit,
		"GET /v1/found/{address}":       h.found,
		"GET /v1/client-settings":       h.clientSettings,
	} {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.secondFactorRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.passwordRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.preferenceRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.policyRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.retention() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.banRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.sendingRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.groupRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.certificateRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.dkimRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for pattern, do := range h.dnsRoutes() {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	h.mux.HandleFunc("GET /v1/dump", h.answer(h.dump))
	h.mux.HandleFunc("POST /v1/apply", h.answer(h.apply))
	h.mux.HandleFunc("POST "+planPath, h.answer(h.plan))
	h.mux.HandleFunc("POST "+judgePath, h.judge)
	h.mux.HandleFunc("POST "+selftestPath, h.answer(h.selftest))
	h.mux.HandleFunc("POST /v1/check", h.check)
	h.mux.HandleFunc("POST /v1/backup", h.backup)
	h.mux.HandleFunc("POST /v1/move", h.move)
	h.mux.HandleFunc("POST /v1/restore", h.putBack)
	h.queueRoutes()
	h.reportRoutes()
	h.transfers()
	h.lost()
	h.junk()
	h.profiles()
	if c.Metrics != nil {
		h.mux.Handle("GET /metrics", c.Metrics)
	}
	return h
}

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limit := int64(MaxRequest)
	if r.URL.Path == judgePath {
		limit = MaxMessage
	}
	h.noteAdministrator(r)
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if r.Header.Get("Upgrade") != "" {
		h.serveLent(w, r)
		return
	}
	h.audited(w, r)
}

// fromHeader names the address from which who asks is logged in on this machine.
const fromHeader = "Yubin-From"

// noteAdministrator remembers from where an administrator is logged in.
func (h *Handler) noteAdministrator(r *http.Request) {
	if a, err := netip.ParseAddr(r.Header.Get(fromHeader)); err == nil && h.Administrates != nil {
		h.Administrates(a)
	}
}

// answer writes what do returns.
func (h *Handler) answer(do func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := do(r)
		if err != nil {
			fail(w, r, h.Log, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(obs.Printing(w)).Encode(out)
	}
}

// body decodes the body of r.
func body[T any](r *http.Request) (in T, err error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return in, mail.Errorf(mail.Invalid, "the request must be application/json")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, mail.Errorf(mail.Invalid, "the request cannot be read: %v", err)
	}
	return in, nil
}

func (h *Handler) status(r *http.Request) (any, error) {
	s := h.Status
	if h.Secrets != nil {
		s.Secrets = h.Secrets.Path()
		if err := h.Secrets.Err(); err != nil {
			s.SecretsFault = err.Error()
		}
	}
	if h.Accounts == nil {
		return s, nil
	}
	foreign, err := h.Accounts.Foreign(r.Context(), maxForeign)
	s.Foreign = namesOf(foreign)
	return s, err
}

// done is the answer to what has nothing to say.
type done struct{}

func (h *Handler) listDomains(r *http.Request) (any, error) {
	domains, err := h.Domains.Domains(r.Context())
	if err != nil {
		return nil, err
	}
	page := Page[Domain]{Items: make([]Domain, len(domains))}
	for i, d := range domains {
		page.Items[i] = domainOf(d)
	}
	return page, nil
}

func domainOf(d directory.Domain) Domain {
	out := Domain{Domain: string(d.Name), AliasOf: string(d.AliasOf), Accounts: d.Accounts, Aliases: d.Aliases, Quota: Quota(d.Quota),
		Unreadable: d.Unreadable}
	if len(d.CatchAll) > 0 {
		out.CatchAll = namesOf(d.CatchAll)
	}
	return out
}

func (h *Handler) addDomain(r *http.Request) (any, error) {
	in, err := body[NewDomain](r)
	if err != nil {
		return nil, err
	}
	name, err := mail.ParseDomain(in.Domain)
	if err != nil {
		return nil, err
	}
	d, err := h.Domains.AddDomain(r.Context(), name)
	if err == nil {
		h.prepareKeys(r.Context(), name)
	}
	return domainOf(d), err
}

// prepareKeys makes the keys that a new domain signs with, and has its names looked for.
func (h *Handler) prepareKeys(ctx context.Context, name mail.Domain) {
	if h.Certificates != nil {
		h.Certificates.Poke()
	}
	if h.Signing == nil {
		return
	}
	if err := h.Signing.Prepare(ctx, name); err != nil { // They are made later, then.
		h.Log.Warn("the domain has no keys for DKIM yet", "domain", name, obs.Err(err))
	}
}

func (h *Handler) aliasDomain(r *http.Request) (any, error) {
	name, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	in, err := body[AliasDomain](r)
	if err != nil {
		return nil, err
	}
	of, err := mail.ParseDomain(in.Of)
	if err != nil {
		return nil, err
	}
	d, err := h.Domains.AliasDomain(r.Context(), name, of)
	if err == nil {
		h.prepareKeys(r.Context(), name)
	}
	return domainOf(d), err
}

func (h *Handler) unaliasDomain(r *http.Request) (any, error) {
	name, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	kept, err := h.Domains.UnaliasDomain(r.Context(), name)
	if err == nil && !kept {
		h.poke()
	}
	return Unaliased{string(name), kept}, err
}

func (h *Handler) removeDomain(r *http.Request) (any, error) {
	// One that cannot be read is removed by what stands there.
	name := mail.Domain(r.PathValue("domain"))
	if _, err := h.Domains.Domain(r.Context(), name); mail.KindOf(err) == mail.NotFound {
		if name, err = mail.ParseDomain(string(name)); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	err := h.Domains.RemoveDomain(r.Context(), name)
	if err == nil {
		h.poke()
	}
	return done{}, err
}

func (h *Handler) changeDomain(r *http.Request) (any, error) {
	name, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	in, err := body[DomainChange](r)
	if err != nil {
		return nil, err
	}
	if err := h.Domains.SetDomainQuota(r.Context(), name, directory.AllowanceChange(in.Quota)); err != nil {
		return nil, err
	}
	return h.showDomain(r)
}

func (h *Handler) showDomain(r *http.Request) (any, error) {
	name, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	d, err := h.Domains.Domain(r.Context(), name)
	return domainOf(d), err
}

func (h *Handler) siteQuota(r *http.Request) (any, error) {
	q, err := h.Domains.SiteQuota(r.Context())
	return Quota(q), err
}

func (h *Handler) changeSiteQuota(r *http.Request) (any, error) {
	in, err := body[QuotaChange](r)
	if err != nil {
		return nil, err
	}
	if err := h.Domains.SetSiteQuota(r.Context(), directory.AllowanceChange(in)); err != nil {
		return nil, err
	}
	return h.siteQuota(r)
}
