package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/files"
)

// importBatch is how many records are sent at once: of accounts, a second or two of
// work.
const importBatch = 100

// importing is what all imports of records have.
type importing struct {
	place
	File   string `arg:"" help:"The file; - is the standard input."`
	DryRun bool   `help:"Change nothing; tell what would be done and what is wrong."`
}

// sheet opens the file in one of some formats: the said one, or what its name tells.
func (c importing) sheet(e *env, said string, columns []column, formats map[string]func(io.Reader, []column) (sheet, error)) (next sheet, end func(), err error) {
	format := said
	if format == "" {
		switch filepath.Ext(c.File) {
		case ".csv", ".tsv":
			format = "csv"
		case ".jsonl", ".ndjson", ".json":
			format = "jsonl"
		default:
			return nil, nil, usagef("say what %s is written in: --format %s", c.File, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
		}
	}
	in := io.NopCloser(e.stdin)
	if c.File != "-" {
		if in, err = e.input(c.place, c.File); err != nil {
			return nil, nil, err
		}
	}
	if next, err = formats[format](in, columns); err != nil {
		_ = in.Close()
		return nil, nil, fmt.Errorf("%s: %w", c.File, err)
	}
	return next, func() { _ = in.Close() }, nil
}

// input opens a file that is read for the server at p. Nothing of the data folder
// is opened: in this process, if no server runs, the database may be.
func (e *env) input(p place, path string) (*os.File, error) {
	folder, _, err := e.folder(p)
	if err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if files.Overlap(path, folder) {
		return nil, fmt.Errorf("%s is in the data folder", path)
	}
	return files.OpenInput(path)
}

// imports is what became of the records of a file, for --json.
type imports struct {
	Added    int                   `json:"added"`
	Skipped  int                   `json:"skipped"`
	Failed   int                   `json:"failed"`
	DryRun   bool                  `json:"dry_run,omitempty"`
	Failures []admin.ImportFailure `json:"failures,omitempty"` // at most maxSheetFaults
}

// entry is a record that can be sent, or why it cannot.
type entry[T any] struct {
	line    int
	address string // or what else nothing else in the file may have
	value   T
	fault   error
}

// importer carries the records of one file to the server.
type importer[T any] struct {
	e        *env
	next     func() (entry[T], error) // io.EOF ends
	send     func(context.Context, *admin.Client, []T) (admin.Imported, error)
	last     func(context.Context, *admin.Client) (admin.Imported, error) // after all were sent; nil for nothing
	sum      imports
	progress *progress
	lines    map[string]int // where an address stood
	faults   []admin.ImportFailure
}

// run sends the records in batches and tells failures and progress.
func (i *importer[T]) run(ctx context.Context, client *admin.Client) error {
	i.progress = newProgress(i.e, time.Now)
	defer i.progress.end()
	i.lines = make(map[string]int)
	for {
		batch, readErr := i.take()
		if readErr != nil && readErr != io.EOF {
			i.tell()
			return readErr
		}
		if len(batch) > 0 {
			if err := i.count(i.send(ctx, client, batch)); err != nil {
				return err
			}
		}
		if readErr == io.EOF && i.last != nil {
			if err := i.count(i.last(ctx, client)); err != nil {
				return err
			}
		}
		i.tell()
		i.progress.show(i.sum.Added + i.sum.Skipped + i.sum.Failed)
		if readErr == io.EOF {
			return nil
		}
	}
}

// count adds up what became of some records.
func (i *importer[T]) count(out admin.Imported, err error) error {
	i.sum.Added += out.Added
	i.sum.Skipped += out.Skipped
	i.faults = append(i.faults, out.Failures...)
	if err == nil {
		return nil
	}
	i.tell()
	return fmt.Errorf("%w; run it again to go on", err)
}

// take gathers a batch of records without fault, and notes those with one.
func (i *importer[T]) take() (batch []T, err error) {
	for len(batch) < importBatch && len(i.faults) < importBatch {
		n, err := i.next()
		if err != nil {
			return batch, err
		}
		before, twice := i.lines[n.address]
		switch {
		case n.fault != nil:
			i.faults = append(i.faults, admin.ImportFailure{Line: n.line, Text: n.fault.Error()})
			continue
		case twice:
			i.faults = append(i.faults, admin.ImportFailure{Line: n.line, Text: fmt.Sprintf("has %s again, which line %d has; one of the two must go", n.address, before)})
			continue
		case len(i.lines) == maxSheetRecords:
			return batch, fmt.Errorf("the file has more than %d records; divide it", maxSheetRecords)
		}
		i.lines[n.address] = n.line
		batch = append(batch, n.value)
	}
	return batch, nil
}

// tell tells the faults of a batch, in the order of the lines.
func (i *importer[T]) tell() {
	slices.SortFunc(i.faults, func(a, b admin.ImportFailure) int { return a.Line - b.Line })
	for _, f := range i.faults {
		i.sum.Failed++
		i.progress.clear()
		whose := ""
		if f.Address != "" && !strings.Contains(f.Text, f.Address) {
			whose = f.Address + ": "
		}
		i.e.tell("line %d: %s%s", f.Line, whose, f.Text)
		if len(i.sum.Failures) < maxSheetFaults {
			i.sum.Failures = append(i.sum.Failures, f)
		}
	}
	i.faults = i.faults[:0]
}

// total says what became of all, and is the error of the command.
func (i *importer[T]) total(err error, one, many string) error {
	s := i.sum
	added, skipped, failed := "added", "there already", "failed"
	if s.DryRun {
		added, failed = "would be added", "would fail"
	}
	told := i.e.did(s, "%s %s, %d %s, %d %s", count(s.Added, one, many), added, s.Skipped, skipped, s.Failed, failed)
	switch {
	case err != nil:
		return err
	case s.Failed > 0:
		return errSilent
	}
	return told
}

type accountImportCmd struct {
	importing
	Format            string `help:"csv, jsonl, or passwd (Dovecot's passwd-file); else told by the name of the file." enum:",csv,jsonl,passwd" default:""`
	Domain            string `help:"The domain of names without one." placeholder:"DOMAIN"`
	AllowWeak         bool   `help:"Take hashes of schemes behind which passwords are soon found: SSHA, SHA, MD5, DES and their like."`
	AllowWeakPassword bool   `help:"Take passwords that are soon guessed: short, common, or made of the address."`
}

// accountColumns are those of a file of accounts.
var accountColumns = []column{{name: "address"}, {name: "password", raw: true}, {name: "hash"}, {name: "language"}, {name: "quota"}, {name: "messages", number: true}, {name: "forward", list: true}}

// Run makes the accounts. Those that exist stay as they are, so an import that
// was cut short is begun again with the same file.
func (c *accountImportCmd) Run(e *env) error {
	next, end, err := c.sheet(e, c.Format, accountColumns, map[string]func(io.Reader, []column) (sheet, error){
		"csv": readCSV, "jsonl": readJSONLines, "passwd": readPasswd})
	if err != nil {
		return err
	}
	defer end()
	i := &importer[admin.ImportAccount]{e: e, sum: imports{DryRun: c.DryRun}}
	var forwards []newForward
	i.next = func() (entry[admin.ImportAccount], error) {
		r, err := next()
		if err != nil {
			return entry[admin.ImportAccount]{}, err
		}
		n, f := c.account(r)
		if n.fault == nil && len(f.To) > 0 && !c.DryRun {
			forwards = append(forwards, f)
		}
		return n, nil
	}
	i.last = func(ctx context.Context, client *admin.Client) (admin.Imported, error) {
		return sendForwards(ctx, client, forwards)
	}
	i.send = func(ctx context.Context, client *admin.Client, batch []admin.ImportAccount) (admin.Imported, error) {
		return client.ImportAccounts(ctx, admin.Import{Accounts: batch, DryRun: c.DryRun, AllowWeakHash: c.AllowWeak, AllowWeakPassword: c.AllowWeakPassword})
	}
	return i.total(e.admin(c.place, i.run), "account", "accounts")
}

// account makes an account of a record.
func (c *accountImportCmd) account(r record) (n entry[admin.ImportAccount], f newForward) {
	n.line, n.fault = r.line, r.fault
	if n.fault != nil {
		return n, f
	}
	a := admin.ImportAccount{Line: r.line, Password: r.one("password"), Hash: r.one("hash"), Language: r.one("language")}
	if a.Address, n.address, n.fault = ownAddress(r.one("address"), c.Domain); n.fault != nil {
		return n, f
	}
	if a.Quota, n.fault = quotaOf(r.one("quota"), r.one("messages")); n.fault == nil {
		f, n.fault = forwardOf(r.line, a.Address, r.cells["forward"])
	}
	n.value = a
	return n, f
}

// newForward is to whom an account of a file sends its mail on.
type newForward struct {
	line    int
	address string
	admin.Forward
}

// forwardOf reads the addresses of a forward, as Postfix has them: the account's own
// among them says that a copy is kept.
func forwardOf(line int, address string, targets []string) (f newForward, err error) {
	f.line, f.address = line, address
	for _, t := range targets {
		if _, err := mail.ParseAddress(t); err != nil {
			return f, err
		}
		if keyOfAddress(t) == keyOfAddress(address) {
			f.Keep = true
			continue
		}
		f.To = append(f.To, t)
	}
	return f, nil
}

// sendForwards sets the forwards of accounts that have none, when all accounts are
// there. What became of the accounts themselves was told before.
func sendForwards(ctx context.Context, client *admin.Client, forwards []newForward) (out admin.Imported, err error) {
	for _, f := range forwards {
		a, err := client.Account(ctx, f.address)
		if err == nil && a.Forward == nil {
			_, err = client.ForwardAccount(ctx, f.address, f.Forward)
			if err != nil && isOfOne(err) {
				out.Failed++
				out.Failures = append(out.Failures, admin.ImportFailure{Line: f.line, Text: fmt.Sprintf("account %s is there and sends nothing on: %v", f.address, err)})
			}
		}
		if err != nil && !isOfOne(err) {
			return out, err
		}
	}
	return out, nil
}

// ownAddress reads the address of a record; without a domain it is of the given one.
// key is by what two are the same.
func ownAddress(text, domain string) (address, key string, err error) {
	switch {
	case text == "":
		return "", "", errors.New("has no address")
	case !strings.Contains(text, "@") && domain == "":
		return "", "", fmt.Errorf("has the name %s without a domain: say --domain", text)
	case !strings.Contains(text, "@"):
		text += "@" + domain
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		return "", "", err
	}
	return text, a.Key().String(), nil
}

// quotaOf reads the cells of a quota.
func quotaOf(size, messages string) (q admin.QuotaChange, err error) {
	if q.Octets, err = bound(size, config.ParseSize); err != nil {
		return q, fmt.Errorf("has the quota %q, which must be a size like 5GB or 500 MiB, none or default", size)
	}
	if q.Messages, err = bound(messages, parseCount); err != nil {
		return q, fmt.Errorf("has %q for messages, which must be a number from 1, none or default", messages)
	}
	return q, nil
}
