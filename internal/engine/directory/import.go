package directory

import (
	"cmp"
	"context"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits on an import.
const (
	importBatch       = 200  // accounts in one commit
	MaxImportFailures = 1000 // that the report names; all are counted
)

// Record is one account to import: with a password, or with its hash.
type Record struct {
	Line     int          `json:"line"` // where it stands, for the report
	Address  mail.Address `json:"address"`
	Password string       `json:"password,omitempty"`
	Hash     string       `json:"hash,omitempty"` // as password.Parse and password.Plain read it; SCRAM works after the first login without it
	Language string       `json:"language,omitempty"`

	Quota AllowanceChange `json:"quota,omitzero"` // its own
}

// ImportOptions are how to import.
type ImportOptions struct {
	DryRun            bool // nothing is changed: the report says what would be
	AllowWeakHash     bool // a hash may be of a scheme behind which passwords are soon found
	AllowWeakPassword bool // a password may be one that is soon guessed

	Progress func(ImportReport) // called after each commit; nil for nobody
}

// ImportReport says how far an import is, or how it ended.
type ImportReport struct {
	Added    int             `json:"added"`
	Skipped  int             `json:"skipped"` // were there already
	Failed   int             `json:"failed"`
	Failures []ImportFailure `json:"failures,omitempty"` // at most MaxImportFailures
}

// ImportFailure says why one record was not imported.
type ImportFailure struct {
	Line    int          `json:"line"`
	Address mail.Address `json:"address,omitzero"`
	Text    string       `json:"text"`
}

// candidate is a record on its way.
type candidate struct {
	Record
	secrets secrets
	skip    bool  // was there before
	err     error // why it cannot be added, as far as that shows without the database
	added   bool  // by the transaction
	refusal error // why the transaction did not add it
}

// Import adds many accounts, some hundred in each commit. A record that cannot
// be added is reported and does not stop the others; so does one that comes
// with an error, which is one that could not be read. An account that is there
// already is skipped and left as it is: an import that was broken off can be
// run again. The error is what stopped the import: nothing of the report is undone.
func (d *Directory) Import(ctx context.Context, records iter.Seq2[Record, error], o ImportOptions) (ImportReport, error) {
	var report ImportReport
	batch := make([]*candidate, 0, importBatch)
	flush := func() error {
		err := d.importBatch(ctx, batch, o, &report)
		batch = batch[:0]
		if err == nil && o.Progress != nil {
			o.Progress(report)
		}
		return err
	}
	for r, err := range records {
		batch = append(batch, &candidate{Record: r, err: err})
		if len(batch) == importBatch {
			if err := flush(); err != nil {
				return report, err
			}
		}
	}
	if len(batch) == 0 {
		return report, ctx.Err()
	}
	return report, flush()
}

// importBatch brings one batch into the database and the report.
func (d *Directory) importBatch(ctx context.Context, batch []*candidate, o ImportOptions, report *ImportReport) error {
	if err := d.skipExisting(ctx, batch); err != nil {
		return err
	}
	if err := d.hashAll(ctx, batch, o); err != nil {
		return err
	}
	write, one := d.change, d.importOne
	if o.DryRun {
		write, one = d.o.DB.Read, tryOne
	}
	err := write(ctx, func(tx *sqldb.Tx) error {
		for _, c := range batch {
			c.added, c.refusal = false, nil
			if c.skip || c.err != nil {
				continue
			}
			if err := one(tx, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range batch {
		report.count(c)
	}
	return nil
}

// skipExisting spares the work for accounts that are there.
func (d *Directory) skipExisting(ctx context.Context, batch []*candidate) error {
	return d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		for _, c := range batch {
			if c.err != nil {
				continue
			}
			found, err := lookup(tx, c.Address.Key())
			if err != nil {
				return err
			}
			c.skip = len(found) > 0 && found[0].account != 0
		}
		return nil
	})
}

// hashAll makes the secrets of all, in parallel; for a dry run it looks only whether
// it could.
func (d *Directory) hashAll(ctx context.Context, batch []*candidate, o ImportOptions) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, c := range batch {
		if c.skip || c.err != nil {
			continue
		}
		g.Go(func() error {
			s, err := d.secretsOf(ctx, c.Record, o)
			if mail.KindOf(err) == mail.Invalid {
				c.err, err = err, nil
			}
			c.secrets = s
			return err
		})
	}
	return g.Wait()
}

func (d *Directory) secretsOf(ctx context.Context, r Record, o ImportOptions) (secrets, error) {
	if err := checkNew(r.Address, r.Language); err != nil {
		return secrets{}, err
	}
	if _, _, err := r.Quota.args(); err != nil {
		return secrets{}, err
	}
	switch {
	case r.Password != "" && r.Hash != "":
		return secrets{}, mail.Errorf(mail.Invalid, "it has a password and a hash; one of the two must go")
	case r.Password == "" && r.Hash == "":
		return secrets{}, mail.Errorf(mail.Invalid, "it has neither a password nor a hash")
	}
	text := r.Password
	if r.Hash != "" {
		plain, ok, err := password.Plain(r.Hash)
		if err != nil {
			return secrets{}, err
		}
		if !ok {
			return d.foreignSecrets(r.Hash, o.AllowWeakHash)
		}
		text = plain
	}
	if err := d.checkFloor(text, r.Address, o.AllowWeakPassword); err != nil || o.DryRun {
		return secrets{}, err
	}
	return d.newSecrets(ctx, text, factors{})
}

// foreignSecrets is what is kept of a password that only its hash is known of.
func (d *Directory) foreignSecrets(text string, allowWeak bool) (secrets, error) {
	h, err := password.Parse(text)
	if err == nil && h.Weak() && !allowWeak {
		err = mail.Errorf(mail.Invalid, "the hash is of %s, which keeps no password safe from who sees it; give the account a new password, or take the hash with --allow-weak", h.Scheme())
	}
	if err != nil {
		return secrets{}, err
	}
	f, err := d.newFactors()
	return secrets{password: h.String(), factors: f.String()}, err
}

// tryOne notes why c could not be added.
func tryOne(tx *sqldb.Tx, c *candidate) error {
	err := checkFree(tx, c.Address)
	if err == nil {
		c.added = true
		return nil
	}
	return c.refuse(err)
}

// refuse notes why c is not added, if err is about it and not one that ends the import.
func (c *candidate) refuse(err error) error {
	if k := mail.KindOf(err); k != mail.Exists && k != mail.NotFound {
		return err
	}
	c.refusal = err
	return nil
}

// importOne adds c, or notes why not. Its error is one that ends the import.
func (d *Directory) importOne(tx *sqldb.Tx, c *candidate) error {
	found, err := lookup(tx, c.Address.Key())
	if err != nil {
		return err
	}
	if len(found) > 0 && found[0].account != 0 {
		return nil // twice in the file
	}
	if err := checkFree(tx, c.Address); err != nil {
		return c.refuse(err)
	}
	id, err := d.insertAccount(tx, Account{Address: c.Address, Language: c.Language, Created: d.now()}, c.secrets)
	if err == nil && c.Quota != (AllowanceChange{}) {
		err = setQuota(tx, id, c.Quota)
	}
	c.added = err == nil
	return err
}

func (r *ImportReport) count(c *candidate) {
	why := cmp.Or(c.err, c.refusal)
	switch {
	case c.added:
		r.Added++
	case why == nil:
		r.Skipped++
	default:
		r.Failed++
		if len(r.Failures) < MaxImportFailures {
			r.Failures = append(r.Failures, ImportFailure{Line: c.Line, Address: c.Address, Text: textOf(why)})
		}
	}
}

// textOf is what an error says to the person who asked.
func textOf(err error) string {
	if mail.KindOf(err) == mail.Internal {
		return "the record cannot be read"
	}
	return err.Error()
}

// MaxAliasImport is how many aliases one ImportAliases takes.
const MaxAliasImport = 10000

// AliasRecord is one alias to import.
type AliasRecord struct {
	Line int // where it stands, for the report
	Alias
	Err error // why it could not be read, if so
}

// ImportAliases adds many aliases in one commit, in any order: a target may be an alias
// that comes later. A record that cannot be added is reported and does not stop the
// others, but those that lead to it; an alias that is there already is skipped and left
// as it is. Errors: TooLarge.
func (d *Directory) ImportAliases(ctx context.Context, records []AliasRecord) (report ImportReport, err error) {
	if len(records) > MaxAliasImport {
		return report, mail.Errorf(mail.TooLarge, "at most %d aliases at once", MaxAliasImport)
	}
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		report = ImportReport{}
		waiting := make([]AliasRecord, 0, len(records))
		for _, r := range records {
			there := false
			if r.Err == nil {
				var err error
				if there, err = aliasExists(tx, r.Address.Key()); err != nil {
					return err
				}
			}
			switch {
			case r.Err != nil:
				report.fail(r.Line, r.Address, r.Err)
			case there:
				report.Skipped++
			default:
				waiting = append(waiting, r)
			}
		}
		for before := -1; before != len(waiting); {
			before = len(waiting)
			var next []AliasRecord
			for _, r := range waiting {
				done, err := d.importAlias(tx, r, &report)
				if err != nil {
					return err
				}
				if !done {
					next = append(next, r)
				}
			}
			waiting = next
		}
		for _, r := range waiting { // Their targets never came, or lead back.
			if err := d.lastWord(tx, r, &report); err != nil {
				return err
			}
		}
		return nil
	})
	return report, err
}

// importAlias adds one, or not yet if a target is not there. Its error is one that ends
// the import.
func (d *Directory) importAlias(tx *sqldb.Tx, r AliasRecord, report *ImportReport) (done bool, err error) {
	if there, err := aliasExists(tx, r.Address.Key()); err != nil || there {
		if there {
			report.Skipped++ // twice in the file
		}
		return true, err
	}
	for _, t := range r.Targets {
		if _, err := cleanTarget(tx, r.Address.Key(), t); err != nil {
			if mail.KindOf(err) == mail.NotFound {
				err = nil
			}
			return false, err
		}
	}
	return true, d.lastWord(tx, r, report)
}

// lastWord adds one or says why not.
func (d *Directory) lastWord(tx *sqldb.Tx, r AliasRecord, report *ImportReport) error {
	_, err := d.writeAlias(tx, r.Alias)
	if k := mail.KindOf(err); err != nil && (k == mail.Internal || k == mail.Unavailable) {
		return err
	}
	if err == nil {
		report.Added++
		return nil
	}
	report.fail(r.Line, r.Address, err)
	if err := removeAlias(tx, r.Address); err != nil && mail.KindOf(err) != mail.NotFound {
		return err
	}
	return nil
}

func (r *ImportReport) fail(line int, a mail.Address, err error) {
	r.Failed++
	if len(r.Failures) < MaxImportFailures {
		r.Failures = append(r.Failures, ImportFailure{Line: line, Address: a, Text: textOf(err)})
	}
}
