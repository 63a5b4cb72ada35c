package directory

import (
	"cmp"
	"context"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"

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
	Hash     string       `json:"hash,omitempty"` // argon2id as a PHC string; SCRAM works after the first login without it
	Language string       `json:"language,omitempty"`
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
	skip    bool           // was there before
	err     error          // why it cannot be added, as far as that shows without the database
	id      mail.AccountID // given by the transaction
	refusal error          // why the transaction did not add it
}

// Import adds many accounts, some hundred in each commit. A record that cannot
// be added is reported and does not stop the others; so does one that comes
// with an error, which is one that could not be read. An account that is there
// already is skipped and left as it is: an import that was broken off can be
// run again. progress, if not nil, is called after each commit. The error is
// what stopped the import: nothing of the report is undone.
func (d *Directory) Import(ctx context.Context, records iter.Seq2[Record, error], progress func(ImportReport)) (ImportReport, error) {
	var report ImportReport
	batch := make([]*candidate, 0, importBatch)
	flush := func() error {
		err := d.importBatch(ctx, batch, &report)
		batch = batch[:0]
		if err == nil && progress != nil {
			progress(report)
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
func (d *Directory) importBatch(ctx context.Context, batch []*candidate, report *ImportReport) error {
	if err := d.skipExisting(ctx, batch); err != nil {
		return err
	}
	if err := d.hashAll(ctx, batch); err != nil {
		return err
	}
	err := d.change(ctx, func(tx *sqldb.Tx) error {
		for _, c := range batch {
			c.id, c.refusal = 0, nil
			if c.skip || c.err != nil {
				continue
			}
			if err := d.importOne(tx, c); err != nil {
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

// hashAll makes the secrets of all, in parallel.
func (d *Directory) hashAll(ctx context.Context, batch []*candidate) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, c := range batch {
		if c.skip || c.err != nil {
			continue
		}
		g.Go(func() error {
			s, err := d.secretsOf(ctx, c.Record)
			if mail.KindOf(err) == mail.Invalid {
				c.err, err = err, nil
			}
			c.secrets = s
			return err
		})
	}
	return g.Wait()
}

func (d *Directory) secretsOf(ctx context.Context, r Record) (secrets, error) {
	if err := checkNew(r.Address, r.Language); err != nil {
		return secrets{}, err
	}
	switch {
	case r.Password != "" && r.Hash != "":
		return secrets{}, mail.Errorf(mail.Invalid, "a record has a password or a hash, not both")
	case r.Hash != "":
		h, err := parseHash(r.Hash)
		return secrets{password: h.String()}, err
	}
	return d.newSecrets(ctx, r.Password)
}

// importOne adds c, or notes why not. Its error is one that ends the import.
func (d *Directory) importOne(tx *sqldb.Tx, c *candidate) error {
	found, err := lookup(tx, c.Address.Key())
	if err != nil {
		return err
	}
	if len(found) > 0 && found[0].account != 0 {
		return nil // twice in the file: id stays zero
	}
	if err := checkFree(tx, c.Address); err != nil {
		if k := mail.KindOf(err); k != mail.Exists && k != mail.NotFound {
			return err
		}
		c.refusal = err
		return nil
	}
	c.id, err = d.insertAccount(tx, Account{Address: c.Address, Language: c.Language, Created: d.now()}, c.secrets)
	return err
}

func (r *ImportReport) count(c *candidate) {
	why := cmp.Or(c.err, c.refusal)
	switch {
	case c.id != 0:
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
