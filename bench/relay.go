package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"yubin/bench/load"
	"yubin/bench/server"
	"yubin/internal/testkit/dnstest"
)

// sites is how many domains there are to relay to, each with a host of its own.
const sites = 100

// Ports of the sinks.
func (b *bench) ownSinkPort() int     { return b.Offset + 5525 }
func (b *bench) postfixSinkPort() int { return b.Offset + 6525 }

// relayCell is one load of the row "relay to a sink".
type relayCell struct {
	size, sites, recipients, messages int
	postfixSink                       bool
}

func (c relayCell) name() string {
	s := fmt.Sprintf("%s, %s, %s", sizeName(c.size), plural(c.sites, "site"), plural(c.recipients, "recipient"))
	if c.postfixSink {
		s += ", smtp-sink"
	}
	return fmt.Sprintf("%s (%d messages)", s, c.messages)
}

func relayCells(quick bool) []relayCell {
	cells := []relayCell{
		{4 << 10, 1, 1, 10000, false},
		{4 << 10, 100, 1, 5000, false},
		{4 << 10, 1, 1, 3000, true},
		{50 << 10, 1, 1, 2000, false},
		{50 << 10, 100, 1, 2000, false},
		{4 << 10, 1, 50, 1000, false},
		{4 << 10, 100, 50, 200, false},
		{50 << 10, 1, 50, 500, false},
		{50 << 10, 100, 50, 200, false},
	}
	if quick {
		for i := range cells {
			cells[i].messages /= 10
		}
	}
	return cells
}

// small reports whether relays that know one next hop take part.
func (c relayCell) small() bool { return c.sites == 1 && c.recipients == 1 && !c.postfixSink }

// to are the recipients of the n-th message: at one site, or each at the next.
func (c relayCell) to(n int) []string {
	out := make([]string, c.recipients)
	for i := range out {
		out[i] = fmt.Sprintf("r%d@%s", i, siteDomain((n+i)%c.sites, c.postfixSink))
	}
	return out
}

func siteDomain(i int, postfixSink bool) string {
	if postfixSink {
		return "theirs.test"
	}
	return fmt.Sprintf("site%02d.test", i)
}

// smallMessages bounds the turns of OpenSMTPD and Exim, which take long.
const smallMessages = 200

// relayConns is how many connections bring the mail.
const relayConns = 20

// sinks are both, and the names of their hosts.
type sinks struct {
	own     *load.OwnSink
	postfix *load.PostfixSink
	names   *dnstest.Server
}

func (b *bench) openSinks(ctx context.Context) (*sinks, error) {
	own, err := load.ListenSink(sites, b.ownSinkPort())
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("%s:%d", load.SinkAddress(0), b.postfixSinkPort())
	postfix, err := load.StartPostfixSink(b.packages.Command(ctx, "mail", "smtp-sink", "-u", "nobody", "-c", "-m", "1000", address, "1000"))
	if err != nil {
		return nil, err
	}
	names, err := dnstest.Listen(dnstest.NewZone(zone()))
	return &sinks{own, postfix, names}, err
}

func (s *sinks) close() {
	_ = s.own.Close()
	_ = s.postfix.Close()
	_ = s.names.Close()
}

// zone has an MX for every site.
func zone() string {
	var z strings.Builder
	for i := range sites {
		fmt.Fprintf(&z, "%[1]s. 86400 MX 10 mx.%[1]s.\nmx.%[1]s. 86400 A %[2]s\n", siteDomain(i, false), load.SinkAddress(i))
	}
	fmt.Fprintf(&z, "theirs.test. 86400 MX 10 mx.theirs.test.\nmx.theirs.test. 86400 A %s\n", load.SinkAddress(0))
	return z.String()
}

func (b *bench) onward() server.Onward {
	o := server.Onward{"theirs.test": net.TCPAddr{IP: load.SinkAddress(0), Port: b.postfixSinkPort()}}
	for i := range sites {
		o[siteDomain(i, false)] = net.TCPAddr{IP: load.SinkAddress(i), Port: b.ownSinkPort()}
	}
	return o
}

// relays are the contestants of the row.
func (b *bench) relays(s *sinks) ([]server.Server, error) {
	dir, err := os.MkdirTemp(b.dir, "relay-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	y := server.Yubin{Accounts: 1, Resolver: s.names.Addr().String(), Port: b.ownSinkPort(),
		Routes: map[string]string{"theirs.test": fmt.Sprintf("[%s]:%d", load.SinkAddress(0), b.postfixSinkPort())}}
	all := b.beside(y, dir, func() []server.Server {
		peers := []server.Server{
			&server.Postfix{Packages: b.packages, Dir: filepath.Join(dir, "postfix"), Format: "mdbox", RelayOnly: true, Offset: b.Offset + 1000, Onward: b.onward()},
		}
		for i, program := range []string{"opensmtpd", "exim"} {
			peers = append(peers, &server.SmallRelay{Program: program, Packages: b.packages, Dir: filepath.Join(dir, program), Port: b.Offset + 7525 + 1000*i,
				NextHop: net.TCPAddr{IP: load.SinkAddress(0), Port: b.ownSinkPort()}})
		}
		return peers
	})
	for _, s := range all {
		b.contestant(s)
	}
	return all, nil
}

// relayRow measures relay to a sink.
func (b *bench) relayRow(ctx context.Context) error {
	t := b.table("Relay to a sink", fmt.Sprintf("Recipients a second, from the first connection of %d until the last arrives at the sink: accepted, "+
		"queued durably, sent on. yubin finds the hosts by DNS on loopback, Postfix in a table. The sink is ours, or smtp-sink. OpenSMTPD and Exim have at most %d messages a turn.", relayConns, smallMessages))
	s, err := b.openSinks(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	all, err := b.relays(s)
	if err != nil {
		return err
	}
	var running []server.Server
	for _, r := range all {
		if err := r.Start(ctx); err != nil {
			t.fail(r.Name(), err)
			continue
		}
		defer func() { _ = r.Stop() }()
		running = append(running, r)
	}
	for round := range b.Rounds {
		for _, cell := range relayCells(b.Quick) {
			running = slices.DeleteFunc(running, func(r server.Server) bool { return !b.relayTurn(ctx, t, s, r, cell, round) })
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// relayTurn runs a cell on one contestant. One that fails is out: what it
// still carries would count for others.
func (b *bench) relayTurn(ctx context.Context, t *table, s *sinks, r server.Server, cell relayCell, round int) bool {
	name := cell.name()
	if _, small := r.(*server.SmallRelay); small {
		if !cell.small() {
			return true
		}
		cell.messages = min(cell.messages, smallMessages)
	}
	b.progress("relay", round, name, r.Name())
	n, err := b.relay(ctx, s, r, cell)
	if err != nil {
		t.fail(fmt.Sprintf("%s, %s, from round %d on", name, r.Name(), round+1), errors.Join(err, r.Stop()))
		return false
	}
	t.add(name, r.Name(), n, perSecond)
	return true
}

// relay runs one cell and returns recipients a second.
func (b *bench) relay(ctx context.Context, s *sinks, r server.Server, cell relayCell) (float64, error) {
	var sink load.Sink = s.own
	if cell.postfixSink {
		sink = s.postfix
	}
	syscall.Sync()
	sink.Reset()
	sending := load.Sending{Port: r.Doors().Relay, Conns: relayConns, Messages: cell.messages, Size: cell.size, Recipients: cell.to}
	if r.Doors().RelayAuth {
		sending.Auth, sending.User, sending.Password = true, server.Account(0), server.Password
	}
	sent, err := sending.Run()
	if err != nil {
		return 0, err
	}
	limit, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	last, err := sink.Await(limit, cell.messages*cell.recipients)
	if err != nil {
		return 0, err
	}
	return float64(cell.messages*cell.recipients) / last.Sub(sent.Began).Seconds(), nil
}
