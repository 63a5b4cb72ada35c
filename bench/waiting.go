package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"yubin/bench/load"
	"yubin/bench/proc"
	"yubin/bench/server"
)

// Sizes of the row of waiting deliveries.
const (
	waitingEach  = 100 // recipients of a message that waits
	waitingSites = 1000
	waitingFor   = 24 * time.Hour
)

// waitingRow measures yubin beside deliveries that wait.
func (b *bench) waitingRow(ctx context.Context) error {
	n := 1_000_000
	if b.Quick {
		n = 50_000
	}
	t := b.table("A queue full of waiting deliveries", fmt.Sprintf("yubin with an empty queue, and with %s deliveries that wait (HOLDFOR of a day, %d recipients a message, %d sites): "+
		"starts, and relays new mail of 4 KiB to one site.", thousands(n), waitingEach, waitingSites))
	t.plain = true
	s, err := b.openSinks(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	y := &server.Yubin{Binary: b.binary, Data: filepath.Join(b.dir, "waiting"), Offset: b.Offset, Accounts: 1, Resolver: s.names.Addr().String(), Port: b.ownSinkPort()}
	b.contestant(y)
	if err := y.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = y.Stop() }()
	if err := b.waitingTurns(ctx, t, y, s, "empty"); err != nil {
		return err
	}
	b.progress("waiting", 0, "filling", y.Name())
	began := time.Now()
	if err := wait(y, n/waitingEach); err != nil {
		return err
	}
	t.note("The queue was filled by submission, %.0f deliveries a second.", float64(n)/time.Since(began).Seconds())
	return b.waitingTurns(ctx, t, y, s, thousands(n)+" waiting")
}

// wait submits messages that are not due.
func wait(y *server.Yubin, messages int) error {
	_, err := load.Sending{Port: y.Doors().Relay, Auth: true, User: server.Account(0), Password: server.Password, Conns: 20, Messages: messages, Size: 1 << 10, Hold: waitingFor,
		Recipients: func(n int) []string {
			out := make([]string, waitingEach)
			for i := range out {
				out[i] = fmt.Sprintf("w%d@later%d.test", i, (n*waitingEach+i)%waitingSites)
			}
			return out
		}}.Run()
	return err
}

func (b *bench) waitingTurns(ctx context.Context, t *table, y *server.Yubin, s *sinks, column string) error {
	for round := range b.Rounds {
		b.progress("waiting", round, "measuring", column)
		if err := y.Stop(); err != nil {
			return err
		}
		dropCaches()
		began := time.Now()
		if err := y.Start(ctx); err != nil {
			return err
		}
		t.add("start until it greets, page cache empty", column, float64(time.Since(began).Microseconds())/1000, millis)
		time.Sleep(restful)
		t.add("memory after the start", column, float64(proc.Memory(y.Roots()...).PSS)/(1<<20), mib)
		syscall.Sync()
		messages := 3000
		if b.Quick {
			messages = 500
		}
		n, err := b.relay(ctx, s, y, relayCell{size: 4 << 10, sites: 1, recipients: 1, messages: messages})
		if err != nil {
			return err
		}
		t.add("relay to a sink, 4 KiB, 1 site", column, n, perSecond)
		t.add("memory after it", column, float64(proc.Memory(y.Roots()...).PSS)/(1<<20), mib)
	}
	return nil
}
