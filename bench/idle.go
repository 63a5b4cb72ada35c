package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"yubin/bench/load"
	"yubin/bench/proc"
	"yubin/bench/server"
)

// Sizes of the row of idle sessions.
const (
	idleAccounts = 100
	together     = 100 // sessions of one account that hear of a message
	hearings     = 10
	restful      = 3 * time.Second // before memory is read
)

// idleRow measures sessions that wait.
func (b *bench) idleRow(ctx context.Context) error {
	t := b.table("Idle IMAP sessions", "Sessions in IDLE. Memory of each is what the server's processes have more (PSS: pages they share counted once; the kernel's socket buffers are not in it), "+
		"divided by the sessions. Hearing is from the 250 of a delivery by LMTP until the last of 100 sessions of the account has read EXISTS; the most of "+fmt.Sprint(hearings)+" deliveries, and their median.")
	for round := range b.Rounds {
		for _, secure := range []bool{false, true} {
			for _, s := range b.idleServers(round, secure) {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err := b.idle(ctx, t, s, round, secure); err != nil {
					t.fail(fmt.Sprintf("%s, TLS %v, round %d", s.Name(), secure, round+1), err)
				}
			}
		}
	}
	t.note("Dovecot holds %d sessions, a process for each, where yubin holds %d; imap_hibernate_timeout, which Dovecot has for such hosts, is not tried. "+
		"Dovecot's 100 that hear are alone: beyond 128 inotify instances of one user (the system's default) it looks only every half minute.", b.idleSessions(false), b.idleSessions(true))
	return nil
}

func (b *bench) idleSessions(ours bool) int {
	n := 10000
	if b.Quick {
		n = 1000
	}
	if !ours {
		n /= 20
	}
	return n
}

func (b *bench) idleServers(round int, secure bool) []server.Server {
	dir := filepath.Join(b.dir, fmt.Sprintf("idle-%d-%v", round, secure))
	_ = os.MkdirAll(dir, 0o755)
	all := b.beside(server.Yubin{Accounts: idleAccounts}, dir, func() []server.Server {
		return []server.Server{
			&server.Postfix{Packages: b.packages, Dir: filepath.Join(dir, "mdbox"), Format: "mdbox", MailOnly: true, Offset: b.Offset + 1000, Accounts: idleAccounts},
		}
	})
	for _, s := range all {
		b.contestant(s)
	}
	return all
}

// idle is one contestant's turn.
func (b *bench) idle(ctx context.Context, t *table, s server.Server, round int, secure bool) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = s.Stop() }()
	_, ours := s.(*server.Yubin)
	n, port, kind := b.idleSessions(ours), s.Doors().IMAP, "plain"
	if secure {
		port, kind = s.Doors().IMAPS, "TLS"
	}
	b.progress("idle", round, fmt.Sprintf("%d sessions, %s", n, kind), s.Name())
	if w, err := load.NewWatch(s.Doors().IMAP, server.Account(0), server.Password); err == nil {
		_ = w.Close() // the mailbox is there before a hundred open it at once
	}
	first, err := load.Idlers(ctx, port, secure, together, func(int) string { return server.Account(0) }, server.Password)
	defer func() { load.CloseAll(first) }()
	if err != nil {
		return err
	}
	if err := b.hear(t, s, first, "100 sessions alone, "+kind); err != nil {
		return err
	}
	before := resting(s)
	began := time.Now()
	more, err := load.Idlers(ctx, port, secure, n, func(i int) string { return server.Account(i % idleAccounts) }, server.Password)
	defer func() { load.CloseAll(more) }()
	if err != nil {
		return fmt.Errorf("after %d sessions: %w", len(more), err)
	}
	t.add("sessions opened, "+kind, s.Name(), float64(n)/time.Since(began).Seconds(), perSecond)
	t.add("memory of a session, "+kind, s.Name(), float64(resting(s)-before)/float64(n)/1024, kib)
	if !ours {
		return nil
	}
	return b.hear(t, s, first, fmt.Sprintf("100 sessions among %d, %s", n+together, kind))
}

// resting is the memory when it does not fall any more: garbage is collected,
// and processes that handed their sessions on have ended.
func resting(s server.Server) int64 {
	const tries = 8
	time.Sleep(restful)
	last := proc.Memory(s.Roots()...).PSS
	for range tries {
		time.Sleep(restful)
		now := proc.Memory(s.Roots()...).PSS
		if now > last-last/100 {
			return min(now, last)
		}
		last = now
	}
	return last
}

// hear delivers and waits until all heard.
func (b *bench) hear(t *table, s server.Server, all []*load.Idler, name string) error {
	f := &figure{}
	for range hearings {
		d, err := load.Heard(all, func() (time.Time, error) {
			sending := load.Sending{LMTP: true, Port: s.Doors().LMTP, Conns: 1, Messages: 1, Size: 4 << 10, Recipients: func(int) []string { return []string{server.Account(0)} }}
			sent, err := sending.Run()
			return sent.Last, err
		})
		if err != nil {
			return err
		}
		f.values = append(f.values, float64(d.Microseconds())/1000)
	}
	t.add(name+" hear, median", s.Name(), f.median(), millis)
	t.add(name+" hear, the most", s.Name(), f.most(), millis)
	return nil
}
