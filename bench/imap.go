package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"yubin/bench/load"
	"yubin/bench/server"
)

// The accounts that the reading rows fill.
const (
	bigAccount = 0 // its INBOX is the one IMAP is measured on
	popAccount = 1
)

// sizes of the reading rows.
type readingSizes struct {
	mailbox int // messages of the mailbox that IMAP is measured on
	part    int // of it, for COPY, MOVE and EXPUNGE
	appends int
	drop    int // messages of the maildrop that POP3 is measured on
	letter  int // octets of a message
}

func (b *bench) sizes() readingSizes {
	if b.Quick {
		return readingSizes{10000, 1000, 100, 1000, 4 << 10}
	}
	return readingSizes{100000, 10000, 300, 10000, 4 << 10}
}

// readingRows measures IMAP and POP3 on mailboxes that all contestants hold.
func (b *bench) readingRows(ctx context.Context, imap, pop3 bool) error {
	z := b.sizes()
	t := b.table("Reading", fmt.Sprintf("A mailbox of %d messages of %s, the same in all; POP3 on a maildrop of %d. One session, on the clock of the client. "+
		"The first round finds caches empty that the later ones find filled.", z.mailbox, sizeName(z.letter), z.drop))
	var running []server.Server
	for _, s := range b.mailServers(true) {
		if err := s.Start(ctx); err != nil {
			t.fail(s.Name(), err)
			continue
		}
		defer func() { _ = s.Stop() }()
		if err := b.fillMailboxes(ctx, s, z, imap, pop3); err != nil {
			t.fail("filling "+s.Name(), err)
			continue
		}
		running = append(running, s)
	}
	for round := range b.Rounds {
		for _, s := range running {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r := reading{b: b, t: t, s: s, z: z, round: round}
			if imap {
				r.report("IMAP", r.imap())
			}
			if pop3 {
				r.report("POP3", r.pop3())
			}
		}
	}
	for round := range b.Rounds { // after the others, which find the page cache as they left it
		for _, s := range running {
			if r := (reading{b: b, t: t, s: s, z: z, round: round}); imap {
				r.report("cold IMAP", r.cold(ctx))
			}
		}
	}
	return nil
}

// filler is a server that fills faster than it may be measured.
type filler interface {
	Filling(ctx context.Context, on bool) error
}

func (b *bench) fillMailboxes(ctx context.Context, s server.Server, z readingSizes, imap, pop3 bool) (err error) {
	began := time.Now()
	if f, ok := s.(filler); ok {
		if err := f.Filling(ctx, true); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Filling(ctx, false)) }()
	}
	if imap {
		if err := load.Fill(s.Doors().IMAP, server.Account(bigAccount), server.Password, z.mailbox, z.letter); err != nil {
			return err
		}
	}
	if pop3 {
		if err := load.Fill(s.Doors().IMAP, server.Account(popAccount), server.Password, z.drop, z.letter); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%6s %s filled in %s\n", time.Since(b.began).Round(time.Second), s.Name(), time.Since(began).Round(time.Second))
	return nil
}

// reading is one contestant's turn.
type reading struct {
	b     *bench
	t     *table
	s     server.Server
	z     readingSizes
	round int
	c     *load.Reader
}

func (r *reading) report(what string, err error) {
	if err != nil {
		r.t.fail(fmt.Sprintf("%s of %s in round %d", what, r.s.Name(), r.round+1), err)
	}
}

func (r *reading) add(name string, took time.Duration) {
	r.t.add(name, r.s.Name(), float64(took.Microseconds())/1000, millis)
}

// do runs a command and notes its time; at least least untagged responses must come.
func (r *reading) do(name string, least int, format string, args ...any) error {
	if name != "" {
		r.b.progress("imap", r.round, name, r.s.Name())
	}
	a, err := r.c.Do(format, args...)
	if err != nil {
		return err
	}
	if a.Untagged < least {
		return fmt.Errorf("%.60s: %d responses, not %d", fmt.Sprintf(format, args...), a.Untagged, least)
	}
	if name != "" {
		r.add(name, a.Took)
	}
	return nil
}

// dropCaches writes out what is dirty and empties the page cache.
func dropCaches() {
	syscall.Sync()
	_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

func (r *reading) open() error {
	var err error
	r.c, err = load.NewReader(r.s.Doors().IMAP, server.Account(bigAccount), server.Password)
	return err
}

// imap runs every command once.
func (r *reading) imap() error {
	if err := r.first(); err != nil {
		return err
	}
	defer func() { _ = r.c.Close() }()
	if err := r.reads(); err != nil {
		return err
	}
	return r.changes()
}

// cold opens the mailbox when nothing of it is in memory.
func (r *reading) cold(ctx context.Context) error {
	if err := r.s.Stop(); err != nil {
		return err
	}
	dropCaches()
	if err := r.s.Start(ctx); err != nil {
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	defer func() { _ = r.c.Close() }()
	return r.do("SELECT, the server just started, page cache empty", 4, "SELECT INBOX")
}

// first measures a new session up to its first FETCH.
func (r *reading) first() error {
	began := time.Now()
	if err := r.open(); err != nil {
		return err
	}
	if err := r.do("", 4, "SELECT INBOX"); err != nil {
		return err
	}
	if err := r.do("", 1, "FETCH %d (UID FLAGS ENVELOPE)", r.z.mailbox); err != nil {
		return err
	}
	r.add("connection, LOGIN, SELECT, first FETCH", time.Since(began))
	return r.do("SELECT, warm", 4, "SELECT INBOX")
}

func (r *reading) reads() error {
	n := r.z.mailbox
	for _, c := range []struct {
		name    string
		least   int
		command string
	}{
		{"FETCH 1:* (UID FLAGS)", n, "FETCH 1:* (UID FLAGS)"},
		{"FETCH 1:* (ENVELOPE RFC822.SIZE INTERNALDATE)", n, "FETCH 1:* (ENVELOPE RFC822.SIZE INTERNALDATE)"},
		{"FETCH 1:* BODY.PEEK[]", n, "FETCH 1:* BODY.PEEK[]"},
		{"SEARCH FROM", 1, "SEARCH FROM " + load.RareSender},
		{"SEARCH BODY", 1, "SEARCH BODY " + load.RareWord},
		{"STORE 1:* +FLAGS", n, `STORE 1:* +FLAGS (\Flagged)`},
		{"", 0, `STORE 1:* -FLAGS.SILENT (\Flagged)`},
	} {
		if err := r.do(c.name, c.least, "%s", c.command); err != nil {
			return err
		}
	}
	return nil
}

// changes ends with the mailbox as it was.
func (r *reading) changes() error {
	n, part := r.z.mailbox, r.z.part
	_, _ = r.c.Do("CREATE Other") // there since the first round
	if err := r.do(fmt.Sprintf("COPY of %d", part), 0, "COPY 1:%d Other", part); err != nil {
		return err
	}
	if err := r.do("", 0, "SELECT Other"); err != nil {
		return err
	}
	if err := r.do(fmt.Sprintf("MOVE of %d", part), 1, "MOVE 1:%d INBOX", part); err != nil {
		return err
	}
	if err := r.do("", 0, "SELECT INBOX"); err != nil {
		return err
	}
	if err := r.appends(); err != nil {
		return err
	}
	if err := r.do("", 0, `STORE %d:* +FLAGS.SILENT (\Deleted)`, n+1); err != nil {
		return err
	}
	return r.do(fmt.Sprintf("EXPUNGE of %d", part+r.z.appends), 1, "EXPUNGE")
}

// appends measures one message, of many one after another.
func (r *reading) appends() error {
	r.b.progress("imap", r.round, "APPEND", r.s.Name())
	began := time.Now()
	for i := range r.z.appends {
		if err := r.c.Append("INBOX", load.Letter(r.z.mailbox+r.round*r.z.appends+i+1, r.z.letter)); err != nil {
			return err
		}
	}
	r.add("APPEND of one", time.Since(began)/time.Duration(r.z.appends))
	return nil
}

// pop3 retrieves the maildrop.
func (r *reading) pop3() error {
	name := fmt.Sprintf("POP3: RETR of %d", r.z.drop)
	r.b.progress("pop3", r.round, name, r.s.Name())
	began := time.Now()
	n, err := load.POP3(r.s.Doors().POP3, server.Account(popAccount), server.Password)
	if err != nil {
		return err
	}
	if n != r.z.drop {
		return fmt.Errorf("%d messages retrieved, not %d", n, r.z.drop)
	}
	r.add(name, time.Since(began))
	return nil
}
