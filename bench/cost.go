package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"yubin/bench/load"
	"yubin/bench/proc"
	"yubin/bench/server"
)

// costRow measures what a message costs.
func (b *bench) costRow(ctx context.Context) error {
	t := b.table("What a message costs", "Accept to mailbox over 10 connections, 1,000 accounts. Processor time and octets written (write_bytes of /proc) are of all the server's processes, "+
		"from before the load until the queue is empty; memory is their PSS; size is what the files of the mailboxes take on the disk after an orderly stop.")
	for round := range b.Rounds {
		for _, s := range b.mailServers(false) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.progress("cost", round, "4 KiB and 50 KiB", s.Name())
			if err := b.cost(ctx, t, s); err != nil {
				t.fail(s.Name(), err)
			}
		}
	}
	return nil
}

func (b *bench) cost(ctx context.Context, t *table, s server.Server) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = s.Stop() }()
	if y, ok := s.(*server.Yubin); ok { // it has just made a thousand accounts
		if err := errors.Join(y.Stop(), y.Start(ctx)); err != nil {
			return err
		}
	}
	time.Sleep(time.Second)
	t.add("memory after the start", s.Name(), float64(proc.Memory(s.Roots()...).PSS)/(1<<20), mib)
	c := &contestant{Server: s, held: map[int]int{}}
	if err := c.open(); err != nil {
		return err
	}
	defer c.close()
	empty, err := proc.FolderSize(s.Folder())
	if err != nil {
		return err
	}
	var octets float64
	for _, size := range []int{4 << 10, 50 << 10} {
		n, err := b.costOf(t, c, size)
		if err != nil {
			return err
		}
		octets += float64(n) * float64(size)
	}
	t.add("memory loaded", s.Name(), float64(proc.Memory(s.Roots()...).PSS)/(1<<20), mib)
	c.close()
	if err := s.Stop(); err != nil {
		return err
	}
	full, err := proc.FolderSize(s.Folder())
	t.add("size of the store, for a GiB of mail", s.Name(), float64(full-empty)/octets, gib)
	return err
}

// costOf loads with messages of one size and returns how many.
func (b *bench) costOf(t *table, c *contestant, size int) (int, error) {
	cell := acceptCell{size: size, conns: 10, recipients: 1, accounts: accounts}
	syscall.Sync()
	before := proc.Spent(c.Roots()...)
	sent, err := load.Sending{Port: c.Doors().SMTP, Conns: cell.conns, For: b.span, Size: size, Recipients: cell.to}.Run()
	if err != nil {
		return 0, err
	}
	c.count(cell, sent.Messages)
	if err := c.settle(5 * time.Minute); err != nil {
		return 0, err
	}
	time.Sleep(time.Second) // what is done in the background belongs to it
	spent := proc.Spent(c.Roots()...).Sub(before)
	n := float64(sent.Messages)
	t.add("processor time, "+sizeName(size), c.Name(), float64(spent.CPU.Microseconds())/n, micros)
	t.add("octets written, "+sizeName(size), c.Name(), float64(spent.Written)/1024/n, kib)
	return sent.Messages, nil
}

// warming is how many loads there are between the one on a cold cache and the
// one on a warm cache.
const warming = 2

// growthRow measures yubin with more and more mail in it.
func (b *bench) growthRow(ctx context.Context) error {
	levels := []int{10_000, 100_000, 1_000_000}
	if b.Quick {
		levels = []int{1_000, 10_000, 50_000}
	}
	t := b.table("Growth", "The same load on yubin with ever more messages stored: filled with messages of 1 KiB, each in two of 1,000 accounts.")
	t.plain = true
	y := &server.Yubin{Binary: b.binary, Data: filepath.Join(b.dir, "growth"), Offset: b.Offset, Accounts: accounts}
	b.contestant(y)
	if err := y.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = y.Stop() }()
	c := &contestant{Server: y, held: map[int]int{}}
	stored := 0
	for _, level := range levels {
		b.progress("growth", 0, "filling", fmt.Sprint(level))
		if err := fill(y, level-stored); err != nil {
			return err
		}
		stored = level
		for round := range b.Rounds {
			b.progress("growth", round, "measuring", fmt.Sprint(level))
			n, err := b.grown(ctx, t, c, thousands(level))
			if err != nil {
				return err
			}
			stored += n
		}
	}
	_ = os.RemoveAll(y.Data)
	return nil
}

func thousands(n int) string {
	if n >= 1_000_000 {
		return fmt.Sprintf("%d,%03d,%03d", n/1_000_000, n/1000%1000, n%1000)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// fill stores n messages by LMTP, half as many transactions.
func fill(y *server.Yubin, n int) error {
	_, err := load.Sending{LMTP: true, Port: y.Doors().LMTP, Conns: 64, Messages: max(1, n/2), Size: 1 << 10, Recipients: func(n int) []string {
		return []string{server.Account(n % accounts), server.Account((n + 500) % accounts)}
	}}.Run()
	return err
}

// grown measures at one level and returns how many messages it added.
func (b *bench) grown(ctx context.Context, t *table, c *contestant, column string) (int, error) {
	if err := c.Stop(); err != nil {
		return 0, err
	}
	dropCaches()
	began := time.Now()
	if err := c.Start(ctx); err != nil {
		return 0, err
	}
	t.add("start until it greets, page cache empty", column, float64(time.Since(began).Microseconds())/1000, millis)
	t.add("memory after the start", column, float64(proc.Memory(c.Roots()...).PSS)/(1<<20), mib)
	if err := b.opened(t, c, column); err != nil {
		return 0, err
	}
	cold, err := b.loaded(t, c, column, "just started")
	if err != nil {
		return 0, err
	}
	for range warming {
		if _, err := b.loaded(nil, c, column, ""); err != nil {
			return 0, err
		}
	}
	warm, err := b.loaded(t, c, column, "warm")
	return cold + warm, err
}

// loaded loads for a span, notes the figures in t and returns how many messages it added.
func (b *bench) loaded(t *table, c *contestant, column, state string) (int, error) {
	cell := acceptCell{size: 4 << 10, conns: 10, recipients: 1, accounts: accounts}
	syscall.Sync()
	before := proc.Spent(c.Roots()...)
	sent, err := load.Sending{Port: c.Doors().SMTP, Conns: 10, For: b.span, Size: cell.size, Recipients: cell.to}.Run()
	if err != nil || t == nil {
		return sent.Messages, err
	}
	spent := proc.Spent(c.Roots()...).Sub(before)
	n := float64(sent.Messages)
	t.add("accept, 4 KiB, 10 connections, "+state, column, sent.PerSecond(), perSecond)
	t.add("accept, the 99th percentile, "+state, column, float64(sent.P99.Microseconds())/1000, millis)
	t.add("processor time of a message, "+state, column, float64(spent.CPU.Microseconds())/n, micros)
	t.add("octets written for a message, "+state, column, float64(spent.Written)/1024/n, kib)
	t.add("memory loaded, "+state, column, float64(proc.Memory(c.Roots()...).PSS)/(1<<20), mib)
	return sent.Messages, nil
}

// opened measures one account's mailbox, a thousandth of all.
func (b *bench) opened(t *table, c *contestant, column string) error {
	r, err := load.NewReader(c.Doors().IMAP, server.Account(0), server.Password)
	if err != nil {
		return err
	}
	defer r.Close()
	a, err := r.Do("SELECT INBOX")
	if err != nil {
		return err
	}
	t.add("SELECT of a mailbox with a thousandth of it, cold", column, float64(a.Took.Microseconds())/1000, millis)
	a, err = r.Do("FETCH * BODY.PEEK[]")
	t.add("FETCH of the newest message", column, float64(a.Took.Microseconds())/1000, millis)
	return err
}
