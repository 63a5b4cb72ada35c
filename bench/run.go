package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"yubin/bench/server"
)

// runCmd is `bench run`.
type runCmd struct {
	Rows     []string `default:"accept,judged,relay,imap,idle,pop3,cost,growth,waiting" help:"What to measure."`
	Rounds   int      `default:"3" help:"How often each contestant has its turn."`
	Quick    bool     `help:"Fewer cells, shorter loads, smaller mailboxes: to see that all works."`
	Out      string   `default:"bench/RESULTS.md" help:"Where the tables go." type:"path"`
	Packages string   `help:"Where the peers' packages are unpacked, and kept." type:"path"`
	Scratch  string   `help:"Where everything is kept while it runs; a disk, not memory." type:"existingdir"`
	Binary   string   `help:"A yubin that is built already; without it the tree is built." type:"existingfile"`
	Postgres string   `help:"A PostgreSQL server on a Unix socket, that yubin is measured on too; scripts/with-postgres --fsync brings one." env:"YUBIN_TEST_DATABASE" placeholder:"postgres://…"`
	Before   string   `help:"Another yubin, the only one to stand beside: to see what a change costs." type:"existingfile"`
	Keep     bool     `help:"Keep the scratch folder, with the logs in it."`
	Offset   int      `default:"20000" help:"Added to localserve's ports; the peers are 1000 and 2000 above."`
}

// bench is one run.
type bench struct {
	*runCmd
	dir      string // scratch
	binary   string
	packages server.Packages
	span     time.Duration // of a timed load
	cores    int
	began    time.Time
	tables   []*table
	ways     []*server.Distance
	shares   map[string]float64 // of the processors, at most, that the load generator took
	versions []string
}

type row struct {
	name string
	run  func(*bench, context.Context) error
}

func rows() []row {
	return []row{
		{"accept", (*bench).acceptRow},
		{"judged", (*bench).judgedRow},
		{"relay", (*bench).relayRow},
		{"imap", func(b *bench, ctx context.Context) error {
			return b.readingRows(ctx, true, slices.Contains(b.Rows, "pop3"))
		}},
		{"pop3", func(b *bench, ctx context.Context) error {
			if slices.Contains(b.Rows, "imap") {
				return nil // done with it
			}
			return b.readingRows(ctx, false, true)
		}},
		{"idle", (*bench).idleRow},
		{"cost", (*bench).costRow},
		{"growth", (*bench).growthRow},
		{"waiting", (*bench).waitingRow},
	}
}

// Run measures the rows asked for, in the order of the table, and writes the results.
func (c *runCmd) Run(ctx context.Context) error {
	b, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	if c.Keep {
		fmt.Fprintln(os.Stderr, "all stays in", b.dir)
	} else {
		defer os.RemoveAll(b.dir)
	}
	defer func() {
		for _, w := range b.ways {
			_ = w.Close()
		}
	}()
	var failed []error
	for _, r := range rows() {
		if !slices.Contains(c.Rows, r.name) || ctx.Err() != nil {
			continue
		}
		began := time.Now()
		if err := r.run(b, ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", r.name, err))
		}
		fmt.Fprintf(os.Stderr, "%s took %s\n", r.name, time.Since(began).Round(time.Second))
		if err := b.write(); err != nil {
			return err
		}
	}
	return errors.Join(append(failed, ctx.Err())...)
}

func (c *runCmd) prepare(ctx context.Context) (*bench, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("the peers change to users of their own and see their packages in a mount namespace: run this as root")
	}
	dir, err := os.MkdirTemp(c.Scratch, "yubin-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{runCmd: c, dir: dir, span: 2 * time.Second, cores: runtime.NumCPU(), began: time.Now(), shares: map[string]float64{}}
	if c.Quick {
		b.span = 1500 * time.Millisecond
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the peers' users go through it
		return nil, err
	}
	if c.Packages == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		c.Packages = filepath.Join(cache, "yubin-bench")
	}
	if b.packages, err = server.Unpack(ctx, c.Packages, dir); err != nil {
		return nil, err
	}
	if b.binary = c.Binary; b.binary == "" {
		b.binary, err = server.Build(ctx, dir)
	}
	return b, err
}

// mailServers are the contestants that have mailboxes, each in a fresh folder, and
// yubin on PostgreSQL too if it is wanted and there is one.
func (b *bench) mailServers(postgres bool) []server.Server {
	dir, err := os.MkdirTemp(b.dir, "mail-")
	if err != nil {
		return nil
	}
	_ = os.Chmod(dir, 0o755)
	all := b.beside(server.Yubin{Accounts: accounts}, dir, func() []server.Server {
		return []server.Server{
			&server.Postfix{Packages: b.packages, Dir: filepath.Join(dir, "mdbox"), Format: "mdbox", Offset: b.Offset + 1000, Accounts: accounts},
			&server.Postfix{Packages: b.packages, Dir: filepath.Join(dir, "maildir"), Format: "maildir", Offset: b.Offset + 2000, Accounts: accounts},
		}
	})
	if postgres && b.Postgres != "" {
		all = append(all, b.onPostgres(dir, filepath.Base(dir))...)
	}
	for _, s := range all {
		b.contestant(s)
	}
	return all
}

// away is how far the database is, each way, for the one that has it at a distance.
const away = 2 * time.Millisecond

// onPostgres are yubin with its database on a server: beside it, and at a distance.
func (b *bench) onPostgres(dir, run string) (all []server.Server) {
	schema := strings.ToLower(strings.ReplaceAll(run, "-", "_"))
	for i, label := range []string{"yubin on PostgreSQL", "yubin, PostgreSQL 2 ms away"} {
		url := b.Postgres
		var way *server.Distance
		if i == 1 {
			var far string
			var err error
			if way, far, err = server.Away(url, away); err != nil {
				fmt.Fprintln(os.Stderr, err)
				continue
			}
			b.ways, url = append(b.ways, way), far
		}
		url, err := server.Schema(url, fmt.Sprintf("%s_%d", schema, i))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		all = append(all, &server.Yubin{Binary: b.binary, Label: label, Data: filepath.Join(dir, fmt.Sprintf("postgres%d", i)), Database: url,
			Way: way, Server: server.Postmaster(b.Postgres), Offset: b.Offset + 3000 + 1000*i, Accounts: accounts})
	}
	return all
}

// beside is yubin as y says, in a folder below dir, and its peers: those given,
// or the yubin of --before.
func (b *bench) beside(y server.Yubin, dir string, peers func() []server.Server) []server.Server {
	y.Binary, y.Data, y.Offset = b.binary, filepath.Join(dir, "yubin"), b.Offset
	if b.Before == "" {
		return append([]server.Server{&y}, peers()...)
	}
	before := y
	before.Binary, before.Label, before.Data, before.Offset = b.Before, "before", filepath.Join(dir, "before"), b.Offset+1000
	return []server.Server{&y, &before}
}

// contestant notes what the results say of a server.
func (b *bench) contestant(s server.Server) {
	if v := fmt.Sprintf("%s: %s. Durable: %s.", s.Name(), s.Version(), s.Durable()); !slices.Contains(b.versions, v) {
		b.versions = append(b.versions, v)
	}
}

func (b *bench) table(title, intro string) *table {
	t := newTable(title, intro)
	b.tables = append(b.tables, t)
	return t
}

func (b *bench) progress(row string, round int, what, who string) {
	fmt.Fprintf(os.Stderr, "%6s %s %d: %s, %s\n", time.Since(b.began).Round(time.Second), row, round+1, what, who)
}

// write writes the results so far.
func (b *bench) write() error {
	text := b.results()
	fmt.Println(text)
	return os.WriteFile(b.Out, []byte(text), 0o644)
}

func (b *bench) results() string {
	var s strings.Builder
	s.WriteString(b.head())
	for _, t := range b.tables {
		s.WriteString("\n" + t.markdown())
	}
	return s.String()
}
