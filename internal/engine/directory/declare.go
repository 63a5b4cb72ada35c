package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// MaxDeclared is how many domains, accounts, aliases, groups and grants one Declared has
// together.
const MaxDeclared = 50000

// Declared is what an administrator says of who has what address: all of it that is not
// learned.
type Declared struct {
	Site     *Allowance // nil leaves it
	Domains  []DeclaredDomain
	Accounts []DeclaredAccount
	Aliases  []Alias
	Groups   []DeclaredGroup
}

// DeclaredDomain is a domain, or another name of one.
type DeclaredDomain struct {
	Name, AliasOf mail.Domain
	Quota         Allowance
}

// DeclaredAccount is an account. Hash counts only for one that is made: without it nobody
// can log in before it has a password. Who is there keeps the password that it has.
type DeclaredAccount struct {
	Address  mail.Address
	Hash     string
	Language string
	Disabled bool
	Quota    Allowance
	Forward  Forward
	SendAs   []mail.Address // as in Grant
}

// DeclaredGroup is a group.
type DeclaredGroup struct {
	Name    string
	Members []mail.Address
	SendAs  []mail.Address
}

// Step is one difference between what is and what is declared. From is what there is,
// To what is to be; "" for nothing.
type Step struct {
	Verb string `json:"verb"` // add, change or remove
	What string `json:"what"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Verbs of a Step.
const (
	StepAdd    = "add"
	StepChange = "change"
	StepRemove = "remove"
)

// Declaration reads all that there is, as it would be declared; with the hashes of
// passwords if secret says so. Errors: Conflict if a row cannot be read.
func (d *Directory) Declaration(ctx context.Context, secret bool) (now Declared, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		now, err = readDeclared(tx, secret)
		return err
	})
	return now, err
}

// Compare says what Apply would do. What is not declared stays, unless prune has it go;
// of what is declared all is as it says. Errors: Invalid, TooLarge.
func (d *Directory) Compare(ctx context.Context, want Declared, prune bool) (steps []Step, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		now, err := readDeclared(tx, false)
		if err != nil {
			return err
		}
		if want, err = want.clean(now); err != nil {
			return err
		}
		steps = compare(now, want, prune)
		return nil
	})
	return steps, err
}

// Apply makes what is as it is declared, in one transaction. The steps are those that
// Compare said: Conflict if by now there would be others. Errors: those of the single
// changes, and then nothing was changed.
func (d *Directory) Apply(ctx context.Context, want Declared, prune bool, steps []Step) error {
	return d.change(ctx, func(tx *sqldb.Tx) error { return d.applyIn(tx, want, prune, steps) })
}

// errTried ends the transaction of a Try that could be done.
var errTried = errors.New("directory: tried, and undone")

// Try finds out whether Apply could be done: it does so, and undoes it. Errors: those of
// Apply.
func (d *Directory) Try(ctx context.Context, want Declared, prune bool, steps []Step) error {
	err := d.change(ctx, func(tx *sqldb.Tx) error { return cmp.Or(d.applyIn(tx, want, prune, steps), errTried) })
	if errors.Is(err, errTried) {
		return nil
	}
	return err
}

func (d *Directory) applyIn(tx *sqldb.Tx, want Declared, prune bool, steps []Step) error {
	now, err := readDeclared(tx, false)
	if err != nil {
		return err
	}
	if want, err = want.clean(now); err != nil {
		return err
	}
	if !slices.Equal(compare(now, want, prune), steps) {
		return mail.Errorf(mail.Conflict, "something was changed meanwhile; look at the plan again")
	}
	a := applying{d: d, tx: tx, now: index(now), want: index(want), prune: prune}
	for _, step := range []func() error{a.takeAway, a.domains, a.accounts, a.groups, a.aliases, a.members, a.grants, a.needed} {
		if err := step(); err != nil {
			return err
		}
	}
	after, err := readDeclared(tx, false)
	if err != nil {
		return err
	}
	if left := compare(after, want, prune); len(left) > 0 {
		return mail.Errorf(mail.Conflict, "%s cannot be as it is declared: it would be %q, not %q", left[0].What, left[0].From, left[0].To)
	}
	return nil
}

func readDeclared(tx *sqldb.Tx, secret bool) (now Declared, err error) {
	site, err := readSite(tx)
	if err != nil {
		return now, err
	}
	now.Site = &site
	unreadable := func(what, why string) error {
		if why == "" {
			return nil
		}
		return mail.Errorf(mail.Conflict, "%s cannot be read: %s; yubin check says what to do", what, why)
	}
	names, err := collect(tx, `SELECT '', name FROM directory_domain ORDER BY name`)
	if err != nil {
		return now, err
	}
	for _, n := range names {
		found, err := readDomain(tx, n.Domain)
		if err == nil {
			err = unreadable("domain "+string(n.Domain), found.Unreadable)
		}
		if err != nil {
			return now, err
		}
		now.Domains = append(now.Domains, DeclaredDomain{found.Name, found.AliasOf, found.Quota})
	}
	keys, err := collect(tx, `SELECT local_key, domain FROM directory_account ORDER BY domain, local_key`)
	if err != nil {
		return now, err
	}
	for _, key := range keys {
		a, err := findKey(tx, key, key)
		if err == nil {
			err = unreadable("account "+key.String(), a.Unreadable)
		}
		if err != nil {
			return now, err
		}
		one := DeclaredAccount{Address: a.Address, Language: a.Language, Disabled: a.Disabled, Quota: a.Quota, Forward: a.Forward}
		if one.SendAs, err = grantsTo(tx, a.ID, ""); err != nil {
			return now, err
		}
		if secret {
			if err := tx.QueryRow(`SELECT password FROM directory_account WHERE id = $1`, a.ID).Scan(&one.Hash); err != nil {
				return now, err
			}
		}
		now.Accounts = append(now.Accounts, one)
	}
	locals, err := collect(tx, `SELECT local, domain FROM directory_alias ORDER BY domain, local_key`)
	if err != nil {
		return now, err
	}
	for _, a := range locals {
		targets, err := targetsOf(tx, a.Key())
		if err != nil {
			return now, err
		}
		now.Aliases = append(now.Aliases, Alias{Address: a, Targets: targets})
	}
	groups, err := readGroups(tx)
	if err != nil {
		return now, err
	}
	for _, g := range groups {
		one := DeclaredGroup{Name: g.Name, Members: g.Members}
		if one.SendAs, err = grantsTo(tx, 0, g.Name); err != nil {
			return now, err
		}
		now.Groups = append(now.Groups, one)
	}
	return now, nil
}

// clean brings what is declared into the form that is kept, and finds what is there
// twice. Errors: Invalid, TooLarge.
func (w Declared) clean(now Declared) (Declared, error) {
	n := len(w.Domains) + len(w.Accounts) + len(w.Aliases) + len(w.Groups)
	for _, a := range w.Accounts {
		n += len(a.SendAs)
	}
	for _, g := range w.Groups {
		n += len(g.SendAs)
	}
	if n > MaxDeclared {
		return w, mail.Errorf(mail.TooLarge, "at most %d domains, accounts, aliases, groups and grants are declared together", MaxDeclared)
	}
	of := map[mail.Domain]mail.Domain{} // local domains, and what they are other names of
	for _, side := range []Declared{now, w} {
		for _, d := range side.Domains {
			of[d.Name] = d.AliasOf
		}
	}
	taken := map[mail.Address]string{}
	take := func(key mail.Address, what string) error {
		if before, ok := taken[key]; ok {
			return mail.Errorf(mail.Invalid, "%s is declared twice: as %s and as %s", NameOf(key), before, what)
		}
		taken[key] = what
		return nil
	}
	for _, a := range w.Accounts {
		if err := cmp.Or(checkNew(a.Address, a.Language), take(a.Address.Key(), "account")); err != nil {
			return w, err
		}
	}
	for _, a := range w.Aliases {
		if err := take(a.Address.Key(), "alias"); err != nil {
			return w, err
		}
	}
	for _, g := range w.Groups {
		if err := take(GroupName(g.Name), "group"); err != nil {
			return w, err
		}
	}
	for i, d := range w.Domains {
		if slices.ContainsFunc(w.Domains[:i], func(o DeclaredDomain) bool { return o.Name == d.Name }) {
			return w, mail.Errorf(mail.Invalid, "domain %s is declared twice", d.Name)
		}
	}
	for _, a := range now.Accounts { // What stays has its own names, too.
		taken[a.Address.Key()] = "account"
	}
	for _, a := range now.Aliases {
		taken[a.Address.Key()] = "alias"
	}
	kept := func(list []mail.Address) (out []mail.Address) {
		for _, a := range list {
			if other, local := of[a.Domain]; local && a.Local != "" {
				if a = a.Key(); other != "" && taken[a] == "" {
					a.Domain = other
				}
			}
			if !slices.ContainsFunc(out, func(o mail.Address) bool { return o.Key() == a.Key() }) {
				out = append(out, a)
			}
		}
		return out
	}
	sorted := func(list []mail.Address) []mail.Address {
		keys := make([]mail.Address, len(list))
		for i, a := range list {
			keys[i] = a.Key()
		}
		keys = kept(keys)
		slices.SortFunc(keys, compareAddresses)
		return keys
	}
	w.Accounts, w.Aliases, w.Groups = slices.Clone(w.Accounts), slices.Clone(w.Aliases), slices.Clone(w.Groups)
	for i := range w.Accounts {
		a := &w.Accounts[i]
		a.Forward.To, a.SendAs = kept(a.Forward.To), sorted(a.SendAs)
		a.Forward.Keep = a.Forward.Keep && len(a.Forward.To) > 0
	}
	for i := range w.Aliases {
		w.Aliases[i].Targets = kept(w.Aliases[i].Targets)
	}
	for i := range w.Groups {
		w.Groups[i].Members, w.Groups[i].SendAs = kept(w.Groups[i].Members), sorted(w.Groups[i].SendAs)
	}
	return w, nil
}

func compareAddresses(a, b mail.Address) int {
	return cmp.Or(strings.Compare(string(a.Domain), string(b.Domain)), strings.Compare(a.Local, b.Local))
}

// fact is one thing that is declared, or so: of what, and with which text. The first of
// each owner says that it exists.
type fact struct{ owner, what, text string }

// facts are all of w, in the order in which people read them.
func (w Declared) facts() (list []fact) {
	add := func(owner, what, text string) {
		if what == "" || text != "" {
			list = append(list, fact{owner, what, text})
		}
	}
	if w.Site != nil {
		add("the site", "", "")
		add("the site", "quota of the site", w.Site.text())
	}
	for _, d := range w.Domains {
		owner := "domain " + string(d.Name)
		add(owner, "", "")
		if d.AliasOf != "" {
			add(owner, owner+" as an alias", "of "+string(d.AliasOf))
		}
		add(owner, "quota of "+owner, d.Quota.text())
	}
	for _, a := range w.Accounts {
		owner := "account " + a.Address.Key().String()
		add(owner, "", "")
		add(owner, "address of "+owner, unlessKey(a.Address))
		add(owner, "language of "+owner, a.Language)
		if a.Disabled {
			add(owner, "login and mail of "+owner, "disabled")
		}
		add(owner, "quota of "+owner, a.Quota.text())
		if to := listed(a.Forward.To); to != "" {
			if a.Forward.Keep {
				to += ", and a copy is kept"
			}
			add(owner, "forward of "+owner, to)
		}
		add(owner, owner+" may send as", sendersListed(a.SendAs))
	}
	for _, a := range w.Aliases {
		owner := "alias " + NameOf(a.Address.Key())
		add(owner, "", "")
		add(owner, owner+" goes to", listed(a.Targets))
	}
	for _, g := range w.Groups {
		owner := "group " + g.Name
		add(owner, "", "")
		add(owner, owner+" has", listed(g.Members))
		add(owner, owner+" may send as", sendersListed(g.SendAs))
	}
	return list
}

// unlessKey is how an address is written, if that is not its key.
func unlessKey(a mail.Address) string {
	if a == a.Key() {
		return ""
	}
	return a.String()
}

func sendersListed(list []mail.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = SendersText(a)
	}
	return strings.Join(texts, ", ")
}

// text says what is given; "" if nothing is.
func (a Allowance) text() string {
	part := func(n int64, unit string) string {
		switch n {
		case Inherit:
			return ""
		case 0:
			return "any number of " + unit
		}
		return fmt.Sprintf("%d %s", n, unit)
	}
	return strings.Trim(part(a.Octets, "octets")+", "+part(a.Messages, "messages"), ", ")
}

// compare finds what differs.
func compare(now, want Declared, prune bool) (steps []Step) {
	old := map[fact]string{}
	for _, f := range now.facts() {
		old[fact{owner: f.owner, what: f.what}] = f.text
	}
	wanted := map[fact]bool{}
	owners := map[string]bool{}
	for _, f := range want.facts() {
		key := fact{owner: f.owner, what: f.what}
		before, there := old[key]
		wanted[key], owners[f.owner] = true, true
		switch {
		case !there && f.what == "":
			steps = append(steps, Step{Verb: StepAdd, What: f.owner})
		case !there:
			steps = append(steps, Step{Verb: StepAdd, What: f.what, To: f.text})
		case before != f.text:
			steps = append(steps, Step{Verb: StepChange, What: f.what, From: before, To: f.text})
		}
	}
	for _, f := range now.facts() {
		key := fact{owner: f.owner, what: f.what}
		switch {
		case wanted[key] || f.owner == "the site":
		case owners[f.owner]:
			steps = append(steps, Step{Verb: StepRemove, What: f.what, From: f.text})
		case prune && f.what == "":
			what := f.owner
			if strings.HasPrefix(what, "account ") {
				what += " and its mail"
			}
			steps = append(steps, Step{Verb: StepRemove, What: what})
		}
	}
	return steps
}

// indexed is a Declared by names.
type indexed struct {
	Declared
	domain  map[mail.Domain]DeclaredDomain
	account map[mail.Address]DeclaredAccount
	alias   map[mail.Address]Alias
	group   map[string]DeclaredGroup
}

func index(w Declared) indexed {
	x := indexed{w, map[mail.Domain]DeclaredDomain{}, map[mail.Address]DeclaredAccount{}, map[mail.Address]Alias{}, map[string]DeclaredGroup{}}
	for _, d := range w.Domains {
		x.domain[d.Name] = d
	}
	for _, a := range w.Accounts {
		x.account[a.Address.Key()] = a
	}
	for _, a := range w.Aliases {
		x.alias[a.Address.Key()] = a
	}
	for _, g := range w.Groups {
		x.group[g.Name] = g
	}
	return x
}

// applying is an Apply under way.
type applying struct {
	d         *Directory
	tx        *sqldb.Tx
	now, want indexed
	prune     bool
	gone      []mail.Address // aliases that were removed
}

func sameForward(a, b Forward) bool { return a.Keep == b.Keep && slices.Equal(a.To, b.To) }

// takeAway removes what goes, and first of all what leads anywhere and will not stay as
// it is.
func (a *applying) takeAway() error {
	for key, old := range a.now.alias {
		w, stays := a.want.alias[key]
		if !stays && a.prune || stays && !slices.Equal(w.Targets, old.Targets) {
			if err := removeAlias(a.tx, old.Address); err != nil {
				return err
			}
			a.gone = append(a.gone, old.Address)
			delete(a.now.alias, key)
		}
	}
	for name, old := range a.now.group {
		w, stays := a.want.group[name]
		if !stays && a.prune || stays && !slices.Equal(w.Members, old.Members) {
			if err := deleteTargets(a.tx, GroupName(name)); err != nil {
				return err
			}
		}
	}
	for key, old := range a.now.account {
		w, stays := a.want.account[key]
		if !stays && a.prune || stays && !sameForward(w.Forward, old.Forward) {
			found, err := findKey(a.tx, key, key)
			if err == nil {
				err = a.d.writeForward(a.tx, found, Forward{})
			}
			if err != nil {
				return err
			}
		}
	}
	for name, old := range a.now.domain {
		if w, stays := a.want.domain[name]; old.AliasOf != "" && (!stays && a.prune || stays && w.AliasOf != old.AliasOf) {
			if _, err := a.tx.Exec(`UPDATE directory_domain SET alias_of = '' WHERE name = $1`, name); err != nil {
				return err
			}
		}
	}
	if !a.prune {
		return nil
	}
	for _, g := range a.now.Groups {
		if _, stays := a.want.group[g.Name]; !stays {
			if _, err := removeGroup(a.tx, g.Name); err != nil {
				return err
			}
		}
	}
	for _, old := range a.now.Accounts {
		if _, stays := a.want.account[old.Address.Key()]; !stays {
			found, err := findAccount(a.tx, old.Address)
			if err == nil {
				err = a.d.deleteAccount(a.tx, found)
			}
			if err != nil {
				return err
			}
		}
	}
	for _, old := range a.now.Domains {
		if _, stays := a.want.domain[old.Name]; !stays {
			if err := a.d.removeDomain(a.tx, old.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// domains adds those that are new, and gives all what they are to have.
func (a *applying) domains() error {
	if s := a.want.Site; s != nil {
		if _, err := a.tx.Exec(`INSERT INTO directory_site (id, quota_octets, quota_messages) VALUES (1, $1, $2)
			ON CONFLICT (id) DO UPDATE SET quota_octets = $1, quota_messages = $2`, s.Octets, s.Messages); err != nil {
			return err
		}
	}
	for _, d := range a.want.Domains {
		if _, there := a.now.domain[d.Name]; !there {
			if d.Name == "" || d.Name.IsLiteral() {
				return mail.Errorf(mail.Invalid, "a domain is a name such as example.org, not an address literal")
			}
			if err := insertDomain(a.tx, d.Name); err != nil {
				return err
			}
		}
		if _, err := a.tx.Exec(`UPDATE directory_domain SET quota_octets = $2, quota_messages = $3 WHERE name = $1`,
			d.Name, d.Quota.Octets, d.Quota.Messages); err != nil {
			return err
		}
	}
	for _, d := range a.want.Domains {
		if d.AliasOf != "" && a.now.domain[d.Name].AliasOf != d.AliasOf {
			if err := aliasDomain(a.tx, d.Name, d.AliasOf); err != nil {
				return err
			}
		}
	}
	return nil
}

// accounts adds those that are new, and gives all their own words.
func (a *applying) accounts() error {
	for _, w := range a.want.Accounts {
		old, there := a.now.account[w.Address.Key()]
		if !there {
			s, err := a.d.declaredSecrets(w)
			if err != nil {
				return err
			}
			if _, err := a.d.insertAccount(a.tx, Account{Address: w.Address, Language: w.Language, Created: a.d.now()}, s); err != nil {
				return err
			}
			old = DeclaredAccount{Address: w.Address, Language: w.Language, Quota: inherits()}
		}
		if old.Address == w.Address && old.Language == w.Language && old.Quota == w.Quota && old.Disabled == w.Disabled {
			continue
		}
		found, err := findAccount(a.tx, w.Address)
		if err != nil {
			return err
		}
		if w.Quota.Octets < Inherit || w.Quota.Messages < Inherit {
			return mail.Errorf(mail.Invalid, "a quota cannot be negative")
		}
		if old.Disabled != w.Disabled {
			if _, err := a.tx.Exec(`UPDATE directory_account SET disabled = $2, version = version + 1 WHERE id = $1`, found.ID, w.Disabled); err != nil {
				return err
			}
		}
		if w.Disabled && !old.Disabled {
			a.tx.OnCommit(func() { a.d.o.Revoked(Ended{Account: found.ID, Why: "the account is disabled"}) })
			if err := a.d.forgetNetworks(a.tx, found.ID); err != nil {
				return err
			}
		}
		if _, err := a.tx.Exec(`UPDATE directory_account SET local = $2, language = $3, quota_octets = $4, quota_messages = $5 WHERE id = $1`,
			found.ID, w.Address.Local, w.Language, w.Quota.Octets, w.Quota.Messages); err != nil {
			return err
		}
	}
	return nil
}

// declaredSecrets is what is kept of the password of an account that is made; of none,
// nothing.
func (d *Directory) declaredSecrets(w DeclaredAccount) (secrets, error) {
	if w.Hash == "" {
		f, err := d.newFactors()
		return secrets{factors: f.String()}, err
	}
	s, err := d.foreignSecrets(w.Hash, false)
	if mail.KindOf(err) == mail.Invalid {
		err = mail.Errorf(mail.Invalid, "account %s: %v", w.Address, err)
	}
	return s, err
}

// needed checks that no alias went that others need.
func (a *applying) needed() error {
	for _, old := range a.gone {
		if _, again := a.want.alias[old.Key()]; again {
			continue
		}
		if err := a.d.checkNotNeeded(a.tx, old); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) groups() error {
	for _, g := range a.want.Groups {
		if _, there := a.now.group[g.Name]; !there {
			if _, err := ParseGroup(g.Name); err != nil {
				return err
			}
			if err := insertGroup(a.tx, g.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// aliases writes those that are not as they shall be, a target before what leads to it.
func (a *applying) aliases() error {
	var waiting []Alias
	for _, w := range a.want.Aliases {
		if _, there := a.now.alias[w.Address.Key()]; !there {
			waiting = append(waiting, w)
		}
	}
	for len(waiting) > 0 {
		var next []Alias
		var missing error
		for _, w := range waiting {
			_, err := a.d.writeAlias(a.tx, Alias{Address: w.Address, Targets: slices.Clone(w.Targets)})
			if mail.KindOf(err) == mail.NotFound {
				next, missing = append(next, w), err
			} else if err != nil {
				return err
			}
		}
		if len(next) == len(waiting) {
			return missing
		}
		waiting = next
	}
	return nil
}

// members says who is in groups, and to whom accounts send on.
func (a *applying) members() error {
	for _, g := range a.want.Groups {
		if old, there := a.now.group[g.Name]; !there || !slices.Equal(old.Members, g.Members) {
			if _, err := a.d.writeGroup(a.tx, Group{Name: g.Name, Members: g.Members}); err != nil {
				return err
			}
		}
	}
	for _, w := range a.want.Accounts {
		if sameForward(w.Forward, a.now.account[w.Address.Key()].Forward) {
			continue
		}
		found, err := findAccount(a.tx, w.Address)
		if err == nil {
			err = a.d.writeForward(a.tx, found, w.Forward)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) grants() error {
	for _, w := range a.want.Accounts {
		if err := a.grant(w.Address, a.now.account[w.Address.Key()].SendAs, w.SendAs); err != nil {
			return err
		}
	}
	for _, g := range a.want.Groups {
		if err := a.grant(GroupName(g.Name), a.now.group[g.Name].SendAs, g.SendAs); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) grant(who mail.Address, old, want []mail.Address) error {
	for _, as := range old {
		if !slices.Contains(want, as) {
			if err := disallow(a.tx, Grant{who, as}); err != nil {
				return err
			}
		}
	}
	for _, as := range want {
		if !slices.Contains(old, as) {
			if err := allow(a.tx, Grant{who, as}); err != nil {
				return err
			}
		}
	}
	return nil
}
