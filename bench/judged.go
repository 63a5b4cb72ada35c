package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"yubin/bench/load"
	"yubin/bench/proc"
	"yubin/bench/server"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/mailclient"
	"yubin/internal/world/files"
)

// Sizes of the row with everything on.
const (
	senders  = 1000 // domains, a signed message of each
	lessons  = 8    // messages of each kind that every account learns from
	judgedTo = "Readers <readers@" + server.Domain + ">"
)

// judgedRow measures accept to mailbox with everything on that is asked about a stranger's
// mail, beside yubin that asks nothing, and Postfix with rspamd and Dovecot.
func (b *bench) judgedRow(ctx context.Context) error {
	t := b.table("Accept to mailbox, with everything on", "Messages a second as above, each signed (RSA-2048) by one of 1,000 domains with SPF, a key and a policy of DMARC. "+
		"yubin: SPF, DKIM, ARC, DMARC, reverse names, rules, history, preferences, and the models of the site and of 1,000 accounts, each trained. rspamd as a milter: SPF, DKIM, ARC, DMARC and its rules; "+
		"it is spared Bayes, redis, and all that asks the network. All ask the same unbound on loopback. Processor time is of all the server's processes, unbound's not counted; "+
		"memory is PSS after the load, the peak the most that each process had.")
	dir, err := os.MkdirTemp(b.dir, "judged-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	all, err := load.NewSenders(senders)
	if err != nil {
		return err
	}
	mail := map[int][]load.Signed{}
	for _, size := range []int{4 << 10, 50 << 10} {
		if mail[size], err = all.Letters(size, judgedTo); err != nil {
			return err
		}
	}
	r := &server.Resolver{Packages: b.packages, Dir: filepath.Join(dir, "unbound"), Port: b.Offset + 2053, Records: all.Records()}
	if err := r.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = r.Stop() }()
	var ready []*contestant
	for _, s := range b.judgedServers(dir, r.Address()) {
		c, err := b.readyJudged(ctx, s, mail[4<<10])
		if err != nil {
			t.fail(s.Name(), err)
			continue
		}
		defer func() { _ = c.Stop() }()
		defer c.close()
		ready = append(ready, c)
	}
	for round := range b.Rounds {
		for _, size := range []int{4 << 10, 50 << 10} {
			for _, conns := range []int{10, 100} {
				cell := acceptCell{size: size, conns: conns, recipients: 1, accounts: accounts}
				for _, c := range ready {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					b.progress("judged", round, cell.name(), c.Name())
					if err := b.judgedCell(t, c, cell, mail[size]); err != nil {
						t.fail(cell.name()+", "+c.Name(), err)
					}
				}
			}
		}
	}
	for _, c := range ready {
		if err := c.verify(); err != nil {
			t.fail("counting every mailbox of "+c.Name(), err)
		}
		m := proc.Memory(c.Roots()...)
		t.add("memory after the load", c.Name(), float64(m.PSS)/(1<<20), mib)
		t.add("memory at its peak", c.Name(), float64(m.Peak)/(1<<20), mib)
	}
	return nil
}

func (b *bench) judgedServers(dir, resolver string) []server.Server {
	yubin := func(label, binary string, n int, judge bool) server.Server {
		return &server.Yubin{Binary: binary, Label: label, Data: filepath.Join(dir, fmt.Sprint("yubin", n)), Offset: b.Offset + 1000*n, Accounts: accounts,
			Resolver: resolver, Configured: true, Judge: judge}
	}
	out := []server.Server{yubin("", b.binary, 0, true), yubin("yubin, judging nothing", b.binary, 1, false)}
	if b.Before != "" {
		out = append(out, yubin("before", b.Before, 2, true))
	} else {
		out = append(out, &server.Postfix{Packages: b.packages, Dir: filepath.Join(dir, "maildir"), Format: "maildir", Offset: b.Offset + 2000, Accounts: accounts,
			Filter: &server.Rspamd{Packages: b.packages, Dir: filepath.Join(dir, "rspamd"), Port: b.Offset + 4332, Resolver: resolver}})
	}
	for _, s := range out {
		b.contestant(s)
	}
	return out
}

// readyJudged starts a contestant, has its accounts learn, and looks whether it judges.
func (b *bench) readyJudged(ctx context.Context, s server.Server, mail []load.Signed) (*contestant, error) {
	b.progress("judged", 0, "starting", s.Name())
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	c := &contestant{Server: s, held: map[int]int{}}
	y, ours := s.(*server.Yubin)
	err := c.open()
	if err == nil && ours && y.Judge {
		b.progress("judged", 0, "learning", s.Name())
		err = b.teach(ctx, y)
	}
	if err == nil {
		err = b.warmUpJudged(c, mail)
	}
	if err == nil && (!ours || y.Judge) {
		err = authenticated(c)
	}
	if err != nil {
		c.close()
		return nil, errors.Join(err, s.Stop())
	}
	return c, nil
}

func (b *bench) warmUpJudged(c *contestant, mail []load.Signed) error {
	cell := acceptCell{size: 4 << 10, conns: 100, recipients: 1, accounts: accounts}
	sent, err := load.Sending{Port: c.Doors().SMTP, Conns: cell.conns, Messages: len(mail), Recipients: cell.to, Letter: nth(mail)}.Run()
	if err != nil {
		return err
	}
	c.count(cell, sent.Messages)
	return c.settle(5 * time.Minute)
}

// nth gives the letters in turn.
func nth(mail []load.Signed) func(int) load.Signed {
	return func(n int) load.Signed { return mail[n%len(mail)] }
}

// teach has every account learn from messages of its own, which the site learns from too.
func (b *bench) teach(ctx context.Context, y *server.Yubin) error {
	client, err := admin.Dial(ctx, y.Data)
	if err != nil {
		return err
	}
	defer client.Close()
	box := filepath.Join(b.dir, "lessons.mbox")
	defer os.Remove(box)
	n := accounts
	if b.Quick {
		n /= 10
	}
	for i := range n {
		for as, sign := range map[string]int{"junk": -1, "ham": 1} {
			var text bytes.Buffer
			for k := range lessons {
				m := load.Prose(sign*(i*lessons+k+10_000), 4<<10, "Cat <cat@elsewhere.test>", judgedTo)
				fmt.Fprintf(&text, "From cat@elsewhere.test Tue Dec  1 00:00:00 2026\n%s\n", bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n")))
			}
			if err := os.WriteFile(box, text.Bytes(), 0o644); err != nil {
				return err
			}
			out, err := client.TrainJunk(ctx, admin.TrainJunk{Account: server.Account(i), As: as, Quoting: "mboxrd"}, files.From(box), func(int) {})
			if err != nil || out.Messages != lessons {
				return fmt.Errorf("%s learned %d messages: %w", server.Account(i), out.Messages, err)
			}
		}
	}
	return nil
}

// authenticated looks at what stands in a message that came: each check has to have passed.
func authenticated(c *contestant) error {
	conn, err := load.IMAP(c.Doors().IMAP, false, server.Account(0), server.Password)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.IMAP(false, nil, "EXAMINE INBOX"); err != nil {
		return err
	}
	header := ""
	if _, err := conn.IMAP(true, func(r mailclient.Response) {
		for _, l := range r.Literals {
			header += string(l)
		}
	}, "FETCH * BODY.PEEK[HEADER]"); err != nil {
		return err
	}
	for _, want := range []string{"spf=pass", "dkim=pass", "dmarc=pass"} {
		if !strings.Contains(header, want) {
			return fmt.Errorf("a message lacks %s:\n%s", want, header)
		}
	}
	return nil
}

func (b *bench) judgedCell(t *table, c *contestant, cell acceptCell, mail []load.Signed) error {
	syscall.Sync()
	before, self, began := proc.Spent(c.Roots()...), proc.SelfCPU(), time.Now()
	sent, err := load.Sending{Port: c.Doors().SMTP, Conns: cell.conns, For: b.span, Recipients: cell.to, Letter: nth(mail)}.Run()
	if err != nil {
		return err
	}
	share := float64(proc.SelfCPU()-self) / float64(time.Since(began)) / float64(b.cores) * 100
	c.count(cell, sent.Messages)
	if err := c.settle(5 * time.Minute); err != nil {
		return err
	}
	t.add(cell.name(), c.Name(), float64(sent.Messages)/time.Since(sent.Began).Seconds(), perSecond)
	spent := proc.Spent(c.Roots()...).Sub(before)
	t.add("processor time, "+cell.name(), c.Name(), float64(spent.CPU.Microseconds())/float64(sent.Messages), micros)
	b.clientShare(c.Name(), share)
	return nil
}
