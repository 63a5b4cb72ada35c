package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
)

// isOfOne reports whether err is about one record, so that others can go on.
func isOfOne(err error) bool {
	switch mail.KindOf(err) {
	case mail.Internal, mail.Unavailable, mail.RateLimited:
		return false
	}
	return true
}

// note counts what became of a record; its error is one that ends the import.
func note(out *admin.Imported, line int, err error) error {
	switch {
	case err == nil:
		out.Added++
	case !isOfOne(err):
		return err
	default:
		out.Failed++
		out.Failures = append(out.Failures, admin.ImportFailure{Line: line, Text: err.Error()})
	}
	return nil
}

func addUp(out *admin.Imported, more admin.Imported) {
	out.Added += more.Added
	out.Skipped += more.Skipped
	out.Failed += more.Failed
	out.Failures = append(out.Failures, more.Failures...)
}

type domainImportCmd struct {
	importing
	Format string `help:"csv, jsonl, or postfix (a table whose first words are domains, or a list of them); else told by the name of the file." enum:",csv,jsonl,postfix" default:""`
}

var domainColumns = []column{{name: "domain"}, {name: "quota"}, {name: "messages", number: true}}

// newDomain is a domain of a file.
type newDomain struct {
	line   int
	domain string
	quota  admin.QuotaChange
}

// Run makes the domains local. Those that are stay as they are.
func (c *domainImportCmd) Run(e *env) error {
	next, end, err := c.sheet(e, c.Format, domainColumns, map[string]func(io.Reader, []column) (sheet, error){
		"csv": readCSV, "jsonl": readJSONLines, "postfix": readDomainTable})
	if err != nil {
		return err
	}
	defer end()
	i := &importer[newDomain]{e: e, sum: imports{DryRun: c.DryRun}}
	i.next = func() (n entry[newDomain], err error) {
		r, err := next()
		if err != nil {
			return n, err
		}
		n.line, n.fault = r.line, r.fault
		if n.fault == nil {
			n.value, n.fault = domainOf(r)
			n.address = n.value.domain
		}
		return n, nil
	}
	var there []string
	i.send = func(ctx context.Context, client *admin.Client, batch []newDomain) (out admin.Imported, err error) {
		if there == nil {
			if there, err = domainNames(ctx, client); err != nil {
				return out, err
			}
		}
		for _, d := range batch {
			if slices.Contains(there, d.domain) {
				out.Skipped++
				continue
			}
			if !c.DryRun {
				if _, err = client.AddDomain(ctx, d.domain); err == nil && d.quota != (admin.QuotaChange{}) {
					_, err = client.SetDomainQuota(ctx, d.domain, d.quota)
				}
			}
			if err := note(&out, d.line, err); err != nil {
				return out, err
			}
		}
		return out, nil
	}
	with := e.adminMaking
	if c.DryRun {
		with = e.admin
	}
	return i.total(with(c.place, i.run), "domain", "domains")
}

func domainOf(r record) (d newDomain, err error) {
	name, err := mail.ParseDomain(r.one("domain"))
	if err != nil {
		return d, err
	}
	d.line, d.domain = r.line, string(name)
	d.quota, err = quotaOf(r.one("quota"), r.one("messages"))
	return d, err
}

// domainNames lists the domains here; never nil.
func domainNames(ctx context.Context, client *admin.Client) ([]string, error) {
	domains, err := client.Domains(ctx)
	names := make([]string, 0, len(domains))
	for _, d := range domains {
		names = append(names, d.Domain)
	}
	return names, err
}

// readDomainTable reads what Postfix has in virtual_mailbox_domains and its like: the
// first word of each line, or several with commas between them.
func readDomainTable(in io.Reader, _ []column) (sheet, error) {
	entries, err := readTable(in)
	if err != nil {
		return nil, err
	}
	var waiting []record
	return func() (record, error) {
		for len(waiting) == 0 {
			t, err := entries()
			if err != nil {
				return record{}, err
			}
			if t.fault != nil {
				return record{line: t.line, fault: t.fault}, nil
			}
			words := []string{t.key}
			for strings.HasSuffix(words[len(words)-1], ",") || strings.HasPrefix(t.rest, ",") {
				words[len(words)-1] = strings.TrimSuffix(words[len(words)-1], ",")
				word, rest, _ := strings.Cut(strings.TrimLeft(t.rest, ", \t"), " ")
				if word == "" {
					break
				}
				words, t.rest = append(words, word), rest
			}
			for _, w := range words {
				for one := range strings.SplitSeq(w, ",") {
					waiting = append(waiting, record{line: t.line, cells: map[string][]string{"domain": {one}}})
				}
			}
		}
		r := waiting[0]
		waiting = waiting[1:]
		return r, nil
	}, nil
}

// tableEntry is an entry of a table of Postfix (postmap(1), aliases(5)): a key and what
// stands behind it, with the lines that go on in it.
type tableEntry struct {
	line      int
	key, rest string
	fault     error
}

// readTable yields the entries of a table; a line that begins with a space goes on in
// the entry before, one that begins with # is passed over.
func readTable(in io.Reader) (func() (tableEntry, error), error) {
	lines, err := newSheetLines(in)
	if err != nil {
		return nil, err
	}
	var held *tableEntry
	var end error
	add := func(t *tableEntry, text string) {
		if len(t.rest)+len(text) > maxSheetLine {
			t.fault = fmt.Errorf("is longer than %d octets with the lines that go on in it", maxSheetLine)
			return
		}
		t.rest = strings.TrimSpace(t.rest + " " + strings.TrimSpace(text))
	}
	return func() (tableEntry, error) {
		for end == nil {
			var text string
			var fault error
			text, fault, end = lines.nextFilled()
			switch {
			case end != nil || fault == nil && strings.HasPrefix(strings.TrimSpace(text), "#"):
				continue
			case fault == nil && held != nil && strings.ContainsAny(text[:1], " \t"):
				add(held, text)
				continue
			}
			before := held
			held = &tableEntry{line: lines.number, fault: fault}
			if fault == nil {
				held.key, held.rest = keyOf(strings.TrimSpace(text))
			}
			if before != nil {
				return *before, nil
			}
		}
		if held == nil {
			return tableEntry{}, end
		}
		last := *held
		held = nil
		return last, nil
	}, nil
}

// keyOf divides an entry behind its key, which may be quoted: of a table that is a
// space, and in aliases(5) a colon.
func keyOf(text string) (key, rest string) {
	quoted := false
	for i, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case !quoted && (r == ' ' || r == '\t' || r == ':'):
			rest = strings.TrimSpace(text[i:])
			return text[:i], strings.TrimSpace(strings.TrimPrefix(rest, ":"))
		}
	}
	return text, ""
}

type aliasImportCmd struct {
	importing
	Format string `help:"csv, jsonl, virtual (Postfix's virtual(5)) or aliases (aliases(5)); else told by the name of the file." enum:",csv,jsonl,virtual,aliases" default:""`
	Domain string `help:"The domain of names without one." placeholder:"DOMAIN"`
}

var aliasColumns = []column{{name: "address"}, {name: "targets", list: true}}

// newAlias is an alias of a file.
type newAlias struct {
	line int
	admin.Alias
}

// aliasImport is an import of aliases on its way.
type aliasImport struct {
	dry     bool
	here    []string            // the domains
	there   map[string][]string // targets of the aliases that are there, by address
	waiting []newAlias          // for a target that may come later in the file

	accounts map[string]bool // of a dry run
}

// Run makes the aliases, in any order. One that is there with the same targets stays.
func (c *aliasImportCmd) Run(e *env) error {
	table := func(in io.Reader, _ []column) (sheet, error) { return c.readAliasTable(in) }
	next, end, err := c.sheet(e, c.Format, aliasColumns, map[string]func(io.Reader, []column) (sheet, error){
		"csv": readCSV, "jsonl": readJSONLines, "virtual": table, "aliases": table})
	if err != nil {
		return err
	}
	defer end()
	i := &importer[newAlias]{e: e, sum: imports{DryRun: c.DryRun}}
	i.next = func() (n entry[newAlias], err error) {
		r, err := next()
		if err != nil {
			return n, err
		}
		n.line, n.fault = r.line, r.fault
		if n.fault == nil {
			n.value, n.address, n.fault = c.alias(r)
		}
		return n, nil
	}
	a := &aliasImport{dry: c.DryRun}
	i.send, i.last = a.send, a.last
	return i.total(e.admin(c.place, i.run), "alias", "aliases")
}

// alias makes an alias of a record.
func (c *aliasImportCmd) alias(r record) (a newAlias, key string, err error) {
	a.line = r.line
	address := r.one("address")
	if domain, ok := strings.CutPrefix(address, "@"); ok {
		name, err := mail.ParseDomain(domain)
		if err != nil {
			return a, "", err
		}
		a.Address, key = "@"+string(name), "@"+string(name)
	} else if a.Address, key, err = ownAddress(address, c.Domain); err != nil {
		return a, "", err
	}
	if len(r.cells["targets"]) == 0 {
		return a, "", errors.New("has no targets")
	}
	for _, t := range r.cells["targets"] {
		switch {
		case strings.HasPrefix(t, "|") || strings.HasPrefix(t, `"|`) || strings.HasPrefix(t, "/") || strings.HasPrefix(t, ":"):
			return a, "", fmt.Errorf("goes to %s: an alias goes to addresses alone, not to programs and files", cut(t, 60))
		case strings.HasPrefix(t, "@"):
			return a, "", fmt.Errorf("goes to the whole domain %s, which an alias cannot: name addresses, or make all of a domain another's by yubin domain alias add", cut(t, 60))
		case !strings.Contains(t, "@") && c.Domain == "":
			return a, "", fmt.Errorf("goes to the name %s without a domain: say --domain", cut(t, 60))
		case !strings.Contains(t, "@"):
			t += "@" + c.Domain
		}
		if _, err := mail.ParseAddress(t); err != nil {
			return a, "", err
		}
		a.Targets = append(a.Targets, t)
	}
	return a, key, nil
}

// readAliasTable reads virtual(5) and aliases(5).
func (c *aliasImportCmd) readAliasTable(in io.Reader) (sheet, error) {
	entries, err := readTable(in)
	if err != nil {
		return nil, err
	}
	return func() (record, error) {
		t, err := entries()
		if err != nil {
			return record{}, err
		}
		r := record{line: t.line, fault: t.fault, cells: map[string][]string{"address": {strings.TrimSpace(t.key)}}}
		switch {
		case r.fault != nil:
		case c.Format == "virtual" && !strings.Contains(t.key, "@") && strings.Contains(t.key, "."):
			r.fault = fmt.Errorf("says that %s is a domain, and no alias: yubin domain add does that", cut(t.key, 60))
		default:
			r.fault = setCell(r.cells, column{name: "targets", list: true}, t.rest)
		}
		return r, nil
	}, nil
}

// send makes a batch, but for what waits for others.
func (a *aliasImport) send(ctx context.Context, client *admin.Client, batch []newAlias) (admin.Imported, error) {
	if a.there == nil {
		if err := a.look(ctx, client); err != nil {
			return admin.Imported{}, err
		}
	}
	if a.dry {
		a.waiting = append(a.waiting, batch...) // All must be known to say of each.
		return admin.Imported{}, nil
	}
	return a.round(ctx, client, batch, false)
}

// look learns what is there.
func (a *aliasImport) look(ctx context.Context, client *admin.Client) (err error) {
	a.there, a.accounts = make(map[string][]string), make(map[string]bool)
	if a.here, err = domainNames(ctx, client); err != nil {
		return err
	}
	aliases, err := client.Aliases(ctx, "")
	for _, one := range aliases {
		a.there[keyOfAddress(one.Address)] = one.Targets
	}
	if err != nil || !a.dry {
		return err
	}
	accounts, err := client.Accounts(ctx, "")
	for _, one := range accounts {
		a.accounts[keyOfAddress(one.Address)] = true
	}
	return err
}

// keyOfAddress is by what two addresses are the same.
func keyOfAddress(text string) string {
	if p, err := mail.ParseAddress(text); err == nil {
		return p.Key().String()
	}
	return text
}

// last makes what waits, as long as others come that it waits for.
func (a *aliasImport) last(ctx context.Context, client *admin.Client) (out admin.Imported, err error) {
	if a.dry {
		return a.tryAll(), nil
	}
	for len(a.waiting) > 0 {
		batch := a.waiting
		a.waiting = nil
		more, err := a.round(ctx, client, batch, false)
		addUp(&out, more)
		if err != nil {
			return out, err
		}
		if len(a.waiting) == len(batch) { // What they wait for never came.
			more, err := a.round(ctx, client, a.waiting, true)
			addUp(&out, more)
			return out, err
		}
	}
	return out, nil
}

// round makes aliases; one whose target is not there waits, unless this is the end.
func (a *aliasImport) round(ctx context.Context, client *admin.Client, batch []newAlias, end bool) (out admin.Imported, err error) {
	for _, n := range batch {
		if is, fault := a.isThere(n); is {
			if fault == nil {
				out.Skipped++
			} else {
				_ = note(&out, n.line, fault)
			}
			continue
		}
		_, err := client.AddAlias(ctx, n.Alias)
		if mail.KindOf(err) == mail.NotFound && err != nil && !end && a.isHere(n.Address) {
			a.waiting = append(a.waiting, n)
			continue
		}
		if err := note(&out, n.line, err); err != nil {
			return out, err
		}
	}
	return out, nil
}

// isThere reports whether the alias is there; fault says that it goes elsewhere.
func (a *aliasImport) isThere(n newAlias) (is bool, fault error) {
	targets, is := a.there[keyOfAddress(n.Address)]
	if !is {
		return false, nil
	}
	has := func(list []string, one string) bool {
		return slices.ContainsFunc(list, func(o string) bool { return keyOfAddress(o) == keyOfAddress(one) })
	}
	for _, t := range n.Targets {
		if !has(targets, t) {
			return true, mail.Errorf(mail.Exists, "alias %s exists already and does not go to %s; it stays as it is", n.Address, t)
		}
	}
	for _, t := range targets {
		if !has(n.Targets, t) {
			return true, mail.Errorf(mail.Exists, "alias %s exists already and goes to %s too; it stays as it is", n.Address, t)
		}
	}
	return true, nil
}

// isHere reports whether the address is of a domain here.
func (a *aliasImport) isHere(address string) bool {
	domain := address[strings.LastIndexByte(address, '@')+1:]
	return slices.Contains(a.here, strings.ToLower(domain))
}

// tryAll says of each alias whether it could be made, but for loops.
func (a *aliasImport) tryAll() (out admin.Imported) {
	coming := make(map[string]bool, len(a.waiting))
	for _, n := range a.waiting {
		coming[keyOfAddress(n.Address)] = true
	}
	for _, n := range a.waiting {
		is, fault := a.isThere(n)
		switch {
		case is && fault == nil:
			out.Skipped++
			continue
		case is:
		case !a.isHere(n.Address):
			fault = mail.Errorf(mail.NotFound, "%s is of no domain of this server; add that first", n.Address)
		case a.accounts[keyOfAddress(n.Address)]:
			fault = mail.Errorf(mail.Exists, "account %s exists already, and an address is one or the other: "+
				"yubin account forward has its mail go to others, too; else take the line out", n.Address)
		default:
			for _, t := range n.Targets {
				key := keyOfAddress(t)
				if _, is := a.there[key]; a.isHere(t) && !is && !a.accounts[key] && !coming[key] {
					fault = mail.Errorf(mail.NotFound, "%s is neither an account nor an alias here; add it first", t)
				}
			}
		}
		_ = note(&out, n.line, fault)
	}
	return out
}
