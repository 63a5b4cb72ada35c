// Junk measures how well yubin's classifier tells junk from other mail beside Debian's rspamd,
// SpamAssassin and bogofilter: all learn the same random half of a public corpus and are asked about the
// other half, several times. It prints the tables of bench/JUNK.md.
//
//	go run ./bench/junk                      all; needs npm, and Debian's packages (see peers.go)
//	go run ./bench/junk --only yubin         a minute
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"

	"github.com/alecthomas/kong"
)

type cli struct {
	Cache   string   `default:"${cache}" help:"Folder for the corpus."`
	Scratch string   `help:"Folder for what the peers write; a temporary one by default, removed at the end."`
	Seeds   int      `default:"5" help:"Random halves."`
	First   int      `default:"1" help:"Seed of the first half."`
	Only    []string `default:"yubin,bogofilter,rspamd,spamassassin" help:"Who takes part."`
	Worst   int      `help:"Show so many of the messages that yubin is most wrong about."`
}

func main() {
	var c cli
	home, _ := os.UserCacheDir() // Without one the cache is a folder here.
	kong.Parse(&c, kong.Name("junk"), kong.Vars{"cache": filepath.Join(home, "yubin-bench")})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := c.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "junk:", err)
		os.Exit(1)
	}
}

func (c *cli) run(ctx context.Context) error {
	archive, err := fetch(ctx, c.Cache)
	if err != nil {
		return fmt.Errorf("the corpus: %w", err)
	}
	if c.Scratch == "" {
		if c.Scratch, err = os.MkdirTemp("", "junk"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(c.Scratch) }() // What is left of it harms nobody.
	}
	all, dropped, err := load(archive, filepath.Join(c.Scratch, "mail"))
	if err != nil {
		return err
	}
	junk := 0
	for _, m := range all {
		if m.junk {
			junk++
		}
	}
	fmt.Printf("%d messages, %d of them junk; %d with the same body as another are left out. %d halves.\n\n", len(all), junk, dropped, c.Seeds)
	var splits []split
	for seed := range c.Seeds {
		splits = append(splits, splitOf(len(all), uint64(c.First+seed)))
	}
	b := bench{ctx: ctx, scratch: c.Scratch, all: all, splits: splits, worst: c.Worst}
	var rows []row
	for _, who := range []struct {
		name string
		run  func() ([]row, error)
	}{{"yubin", b.yubin}, {"bogofilter", b.bogofilter}, {"rspamd", b.rspamd}, {"spamassassin", b.spamassassin}} {
		if !slices.Contains(c.Only, who.name) {
			continue
		}
		r, err := who.run()
		if err != nil {
			return fmt.Errorf("%s: %w", who.name, err)
		}
		printRows(os.Stdout, r)
		rows = append(rows, r...)
	}
	fmt.Println()
	printRows(os.Stdout, rows)
	return nil
}

// bench is what every contestant gets.
type bench struct {
	ctx     context.Context
	scratch string
	all     []mail
	splits  []split
	worst   int
}
