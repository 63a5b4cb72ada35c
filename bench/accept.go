package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"yubin/bench/load"
	"yubin/bench/proc"
	"yubin/bench/server"
)

// accounts is how many each contestant has.
const accounts = 1000

// recipient spreads the i-th recipient of the n-th message over accounts.
func recipient(n, i, accounts int) int { return (n*37 + i) % accounts }

// acceptCell is one load of the row "accept to mailbox".
type acceptCell struct {
	size, conns, recipients, accounts int
	secure                            bool // TLS and AUTH
	source                            bool // smtp-source sends
}

func (c acceptCell) name() string {
	s := fmt.Sprintf("%s, %s", sizeName(c.size), plural(c.conns, "connection"))
	if c.recipients > 1 {
		s += fmt.Sprintf(", %d recipients", c.recipients)
	}
	if c.accounts == 1 {
		s += ", 1 account"
	}
	if c.secure {
		s += ", TLS and AUTH"
	}
	if c.source {
		s += ", smtp-source"
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func sizeName(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func acceptCells(quick bool) []acceptCell {
	var out []acceptCell
	sizes, conns := []int{4 << 10, 50 << 10, 1 << 20}, []int{1, 10, 100}
	for _, s := range sizes {
		for _, c := range conns {
			out = append(out, acceptCell{size: s, conns: c, recipients: 1, accounts: accounts})
		}
	}
	for _, c := range []int{10, 100} {
		out = append(out,
			acceptCell{size: 4 << 10, conns: c, recipients: 20, accounts: accounts},
			acceptCell{size: 4 << 10, conns: c, recipients: 1, accounts: 1},
			acceptCell{size: 4 << 10, conns: c, recipients: 1, accounts: accounts, secure: true},
			acceptCell{size: 4 << 10, conns: c, recipients: 1, accounts: 1, source: true})
	}
	if quick {
		return []acceptCell{out[1], out[2], out[4], out[10], out[11], out[12]}
	}
	return out
}

// contestant is a server with what the row knows of its mailboxes.
type contestant struct {
	server.Server
	held  map[int]int // messages that each account must have
	watch []*load.Watch
	spent map[acceptCell]float64 // rate of answers, for smtp-source's count
}

const watched = 10

// acceptRow measures accept to mailbox.
func (b *bench) acceptRow(ctx context.Context) error {
	rates := b.table("Accept to mailbox", "Messages a second, from the first connection until the queue is empty and the last message is counted by IMAP STATUS; "+
		"1,000 accounts and one recipient where nothing else is said. The load runs for "+b.span.String()+" in each cell.")
	tails := b.table("Accept: the 99th percentile", "From MAIL to the answer after the final dot.")
	limits := b.table("Accept beside the store's own limit", "What yubin accepts a second to mailboxes, beside deliveries straight into the store in the same process as their callers (no protocol), "+
		"and beside commits of one 4 KiB row each: what group commit gives on this disk with as many callers.")
	limits.plain = true
	if err := b.checkClient(ctx); err != nil {
		return err
	}
	var all []*contestant
	for _, s := range b.mailServers(true) {
		if err := s.Start(ctx); err != nil {
			rates.fail(s.Name(), err)
			continue
		}
		defer func() { _ = s.Stop() }()
		c := &contestant{Server: s, held: map[int]int{}, spent: map[acceptCell]float64{}}
		defer c.close()
		if err := c.open(); err != nil {
			return fmt.Errorf("%s: %w", s.Name(), err)
		}
		if err := b.warmUp(c); err != nil {
			return fmt.Errorf("%s: %w", s.Name(), err)
		}
		all = append(all, c)
	}
	for round := range b.Rounds {
		for _, cell := range acceptCells(b.Quick) {
			for _, c := range all {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				b.progress("accept", round, cell.name(), c.Name())
				if err := b.accept(ctx, c, cell, rates, tails, limits); err != nil {
					rates.fail(cell.name()+", "+c.Name(), err)
				}
			}
			if err := b.storeLimit(ctx, limits, round, cell); err != nil {
				limits.fail("the store", err)
			}
		}
	}
	for _, c := range all {
		if err := c.verify(); err != nil {
			rates.fail("counting every mailbox of "+c.Name(), err)
		}
	}
	return nil
}

func (c *contestant) open() error {
	for i := range watched {
		w, err := load.NewWatch(c.Doors().IMAP, server.Account(i), server.Password)
		if err != nil {
			return err
		}
		c.watch = append(c.watch, w)
		c.held[i] = w.Messages()
	}
	return nil
}

func (c *contestant) close() {
	for _, w := range c.watch {
		_ = w.Close()
	}
}

// warmUp has every process started that a server wants for 100 connections.
func (b *bench) warmUp(c *contestant) error {
	cell := acceptCell{size: 4 << 10, conns: 100, recipients: 1, accounts: accounts}
	sent, err := load.Sending{Port: c.Doors().SMTP, Conns: cell.conns, Messages: 200, Size: cell.size, Recipients: cell.to}.Run()
	if err != nil {
		return err
	}
	c.count(cell, sent.Messages)
	return c.settle(time.Minute)
}

// accept runs one cell on one contestant.
func (b *bench) accept(ctx context.Context, c *contestant, cell acceptCell, rates, tails, limits *table) error {
	syscall.Sync()
	self, began := proc.SelfCPU(), time.Now()
	sent, err := b.send(ctx, c, cell)
	if err != nil {
		return err
	}
	share := float64(proc.SelfCPU()-self) / float64(time.Since(began)) / float64(b.cores) * 100
	c.count(cell, sent.Messages)
	if err := c.settle(5 * time.Minute); err != nil {
		return err
	}
	perSec := float64(sent.Messages) / time.Since(sent.Began).Seconds()
	rates.add(cell.name(), c.Name(), perSec, perSecond)
	if !cell.source {
		c.spent[cell] = sent.PerSecond()
		tails.add(cell.name(), c.Name(), float64(sent.P99.Microseconds())/1000, millis)
		b.clientShare(c.Name(), share)
	}
	if c.Name() == "yubin" && cell.limited() {
		limits.add(cell.name(), "yubin, to mailbox", perSec, perSecond)
	}
	return nil
}

// limited reports whether the cell has a limit to stand beside.
func (c acceptCell) limited() bool {
	return !c.source && !c.secure && c.accounts == accounts && c.size <= 50<<10
}

func (b *bench) send(ctx context.Context, c *contestant, cell acceptCell) (load.Sent, error) {
	if cell.source {
		plain := cell
		plain.source = false
		n := max(100, int(c.spent[plain]*b.span.Seconds()))
		return load.Source{Port: c.Doors().SMTP, Conns: cell.conns, Messages: n, Size: cell.size, To: server.Account(0), Command: b.packages.Command}.Run(ctx)
	}
	s := load.Sending{Port: c.Doors().SMTP, Conns: cell.conns, For: b.span, Size: cell.size, Recipients: cell.to}
	if cell.secure {
		s.Port, s.TLS, s.Auth, s.User, s.Password = c.Doors().Submission, true, true, server.Account(0), server.Password
	}
	return s.Run()
}

func (c acceptCell) to(n int) []string {
	out := make([]string, c.recipients)
	for i := range out {
		out[i] = server.Account(recipient(n, i, c.accounts))
	}
	return out
}

// count notes what the mailboxes must hold after n messages of the cell.
func (c *contestant) count(cell acceptCell, n int) {
	for k := range n {
		for i := range cell.recipients {
			c.held[recipient(k+1, i, cell.accounts)]++
		}
	}
}

// settle waits until the queue is empty and the watched mailboxes have all.
func (c *contestant) settle(limit time.Duration) error {
	end := time.Now().Add(limit)
	for {
		n, err := c.Waiting()
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d messages still wait", n)
		}
		time.Sleep(min(50*time.Millisecond, time.Duration(n)*time.Millisecond))
	}
	for i, w := range c.watch {
		if err := w.Until(c.held[i], end); err != nil {
			return fmt.Errorf("%s: %w", server.Account(i), err)
		}
	}
	return nil
}

// verify counts every mailbox, after the clock.
func (c *contestant) verify() error {
	var g errgroup.Group
	g.SetLimit(4)
	for i := range accounts {
		g.Go(func() error {
			w, err := load.NewWatch(c.Doors().IMAP, server.Account(i), server.Password)
			if err != nil {
				return err
			}
			defer w.Close()
			if w.Messages() != c.held[i] {
				return fmt.Errorf("%s has %d messages, %d were accepted for it", server.Account(i), w.Messages(), c.held[i])
			}
			return nil
		})
	}
	return g.Wait()
}

// storeLimit measures the store without a protocol.
func (b *bench) storeLimit(ctx context.Context, t *table, round int, cell acceptCell) error {
	if !cell.limited() {
		return nil
	}
	b.progress("accept", round, cell.name(), "the store")
	dir, err := os.MkdirTemp(b.dir, "direct-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := openDirect(ctx, dir, accounts)
	if err != nil {
		return err
	}
	defer d.Close()
	syscall.Sync()
	n, err := d.deliveries(ctx, cell.conns, cell.size, accounts, cell.recipients, b.span)
	if err != nil {
		return err
	}
	t.add(cell.name(), "the store", n, perSecond)
	if n, err = d.commits(ctx, cell.conns, 4<<10, b.span); err != nil {
		return err
	}
	t.add(cell.name(), "raw commits", n, perSecond)
	return nil
}

// clientShare remembers the most of the processors that the generator took.
func (b *bench) clientShare(name string, share float64) {
	if strings.HasPrefix(name, "yubin") {
		name = "yubin"
	}
	b.shares[name] = max(b.shares[name], share)
}
