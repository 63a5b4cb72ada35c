package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"yubin/internal/server/admin"
	"yubin/internal/world/files"
)

type accountImportCmd struct {
	place
	File   string `arg:"" help:"CSV with a head line that names the columns address, and password or hash; or JSON lines with these keys. - is the standard input."`
	Format string `help:"csv or jsonl; else told by the name of the file." enum:",csv,jsonl" default:""`
}

// importBatch is how many accounts are sent at once: a second or two of work.
const importBatch = 100

// maxImportLine is how long a line of JSON may be, in octets.
const maxImportLine = 64 << 10

// Run makes the accounts. Those that exist stay as they are, so an import that
// was cut short is begun again with the same file.
func (c *accountImportCmd) Run(e *env) error {
	in, err := c.open(e)
	if err != nil {
		return err
	}
	defer in.Close()
	next, err := c.reader(in)
	if err != nil {
		return err
	}
	var sum admin.Imported
	err = e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		return e.importAll(ctx, client, next, &sum)
	})
	told := e.did(sum, "%d accounts added, %d were there already, %d failed", sum.Added, sum.Skipped, sum.Failed)
	switch {
	case err != nil:
		return fmt.Errorf("%w; run it again to go on", err)
	case sum.Failed > 0:
		return errSilent
	}
	return told
}

func (c *accountImportCmd) open(e *env) (io.ReadCloser, error) {
	if c.File == "-" {
		return io.NopCloser(e.stdin), nil
	}
	return e.input(c.place, c.File)
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

// accounts yields the accounts of a file one by one; io.EOF ends them.
type accounts func() (admin.ImportAccount, error)

func (c *accountImportCmd) reader(in io.Reader) (accounts, error) {
	format := c.Format
	switch {
	case format != "":
	case strings.HasSuffix(c.File, ".csv"):
		format = "csv"
	case strings.HasSuffix(c.File, ".jsonl"), strings.HasSuffix(c.File, ".ndjson"), strings.HasSuffix(c.File, ".json"):
		format = "jsonl"
	default:
		return nil, usagef("say --format csv or --format jsonl for %s", c.File)
	}
	if format == "csv" {
		return readCSV(in)
	}
	return readJSON(in), nil
}

func readCSV(in io.Reader) (accounts, error) {
	r := csv.NewReader(in)
	r.TrimLeadingSpace = true
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the head line: %w", err)
	}
	address, password, hash := slices.Index(head, "address"), slices.Index(head, "password"), slices.Index(head, "hash")
	if address < 0 || password < 0 && hash < 0 {
		return nil, errors.New("the head line must name the columns address, and password or hash")
	}
	cell := func(row []string, i int) string {
		if i < 0 {
			return ""
		}
		return row[i]
	}
	return func() (admin.ImportAccount, error) {
		row, err := r.Read()
		if err != nil {
			return admin.ImportAccount{}, err
		}
		line, _ := r.FieldPos(0)
		return admin.ImportAccount{Line: line, Address: row[address], Password: cell(row, password), Hash: cell(row, hash)}, nil
	}, nil
}

func readJSON(in io.Reader) accounts {
	lines := newLines(in, maxImportLine)
	return func() (a admin.ImportAccount, err error) {
		text, number, err := lines.next()
		if err != nil {
			return a, err
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&a); err != nil {
			return a, fmt.Errorf("line %d: %w", number, err)
		}
		a.Line = number
		return a, nil
	}
}

// importAll sends the accounts in batches and tells failures and progress.
func (e *env) importAll(ctx context.Context, client *admin.Client, next accounts, sum *admin.Imported) error {
	progress := newProgress(e, time.Now)
	defer progress.end()
	for {
		batch, readErr := take(next, importBatch)
		if readErr != nil && readErr != io.EOF {
			return readErr
		}
		if len(batch) > 0 {
			out, err := client.ImportAccounts(ctx, admin.Import{Accounts: batch})
			if err != nil {
				return err
			}
			e.count(out, sum, progress)
		}
		if readErr == io.EOF {
			return nil
		}
	}
}

func take(next accounts, n int) (batch []admin.ImportAccount, err error) {
	for len(batch) < n {
		a, err := next()
		if err != nil {
			return batch, err
		}
		batch = append(batch, a)
	}
	return batch, nil
}

func (e *env) count(out admin.Imported, sum *admin.Imported, p *progress) {
	sum.Added += out.Added
	sum.Skipped += out.Skipped
	sum.Failed += out.Failed
	for _, f := range out.Failures {
		p.clear()
		e.tell("line %d: %s", f.Line, f.Text)
	}
	p.show(sum.Added + sum.Skipped + sum.Failed)
}
