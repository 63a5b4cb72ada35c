package search

import (
	"context"
	"iter"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// batch is how many entries are looked at before their rows are asked for.
const batch = 512

// Rows reads stored messages, as store.Store does.
type Rows interface {
	Rows(ctx context.Context, id mail.MailboxID, uids []mail.UID, need store.Need) ([]store.Row, int, error)
}

// Run yields, in order, those of entries, which are of mailbox id, that p
// matches, by the number they came with. A message that is gone by the time it
// is read does not match. The error is of ctx or of rows.
func (p *Program) Run(ctx context.Context, rows Rows, id mail.MailboxID, entries iter.Seq2[int, store.Entry],
	found func(seq int, e store.Entry)) error {
	r := &run{program: p, rows: rows, mailbox: id, found: found}
	for seq, e := range entries {
		r.add(seq, e)
		if len(r.items) == batch {
			if err := r.settle(ctx); err != nil {
				return err
			}
		}
	}
	return r.settle(ctx)
}

// run is one evaluation of a program.
type run struct {
	program *Program
	rows    Rows
	mailbox mail.MailboxID
	found   func(int, store.Entry)
	items   []item
	uids    []mail.UID
	matcher *matcher // made when the first text is looked for
	folder  *folder  // of header fields
}

func (r *run) textMatcher() *matcher {
	if r.matcher == nil {
		r.matcher = newMatcher(r.program.texts)
	}
	return r.matcher
}

func (r *run) headerFolder() *folder {
	if r.folder == nil {
		r.folder = newFolder()
	}
	return r.folder
}

// item is one entry and what is known about it.
type item struct {
	seq     int
	entry   store.Entry
	verdict verdict
}

func (r *run) add(seq int, e store.Entry) {
	s := subject{entry: e}
	r.items = append(r.items, item{seq, e, r.program.root.eval(&s)})
}

// settle decides all items and reports those that match.
func (r *run) settle(ctx context.Context) error {
	if r.program.rows {
		if err := r.pass(ctx, 0); err != nil {
			return err
		}
	}
	if r.program.cost >= costHeader {
		if err := r.pass(ctx, store.NeedParts|store.NeedContent); err != nil {
			return err
		}
	}
	for _, it := range r.items {
		if it.verdict == yes {
			r.found(it.seq, it.entry)
		}
	}
	r.items = r.items[:0]
	return ctx.Err()
}

// pass reads what need says of the undecided items and evaluates them again.
func (r *run) pass(ctx context.Context, need store.Need) error {
	r.uids = r.uids[:0]
	for _, it := range r.items {
		if it.verdict == unknown {
			r.uids = append(r.uids, it.entry.UID)
		}
	}
	return r.read(ctx, r.uids, need)
}

// read judges the items of uids by their rows. If the store gives none because
// one message is damaged, they are read one by one without it.
func (r *run) read(ctx context.Context, uids []mail.UID, need store.Need) error {
	for len(uids) > 0 {
		rows, more, err := r.rows.Rows(ctx, r.mailbox, uids, need)
		done := len(uids) - more
		switch {
		case err == nil && done > 0:
			err = r.judge(ctx, rows)
		case err == nil || need == 0:
			return err
		case len(uids) > 1:
			done = 1
			err = r.read(ctx, uids[:1], need)
		default:
			return r.read(ctx, uids, 0) // Skips a damaged message, fails if the store does.
		}
		if err != nil {
			return err
		}
		uids = uids[done:]
	}
	return nil
}

// judge evaluates the items that rows belong to; both ascend by UID.
func (r *run) judge(ctx context.Context, rows []store.Row) error {
	i := 0
	for n := range rows {
		row := &rows[n]
		for i < len(r.items) && r.items[i].entry.UID < row.UID {
			i++
		}
		if i < len(r.items) && r.items[i].entry.UID == row.UID && ctx.Err() == nil {
			s := subject{entry: r.items[i].entry, row: row, run: r, ctx: ctx}
			r.items[i].verdict = s.judge()
		}
		if row.Content != nil {
			_ = row.Content.Close()
		}
	}
	return ctx.Err()
}

// verdict is the value of a node in three-valued logic.
type verdict uint8

const (
	unknown verdict = iota
	no
	yes
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// subject is one message and as much of it as has been read.
type subject struct {
	entry  store.Entry
	row    *store.Row // nil until it is read
	run    *run
	ctx    context.Context
	opened *octets // nil until the octets are looked at
	texts  []bool  // by Program.texts; nil until they were looked for
}

// judge evaluates the program for s. A message whose octets could not be read
// does not match, whatever the program.
func (s *subject) judge() verdict {
	v := s.run.program.root.eval(s)
	if s.opened != nil && s.opened.broken {
		return no
	}
	return v
}

// open returns the octets of the message.
func (s *subject) open() *octets {
	if s.opened == nil {
		s.opened = openOctets(s.row)
	}
	return s.opened
}

// hasText tells whether the message has the text called i of the program. The
// first question looks for all of them at once.
func (s *subject) hasText(i int) bool {
	if s.texts == nil {
		m := s.run.textMatcher()
		m.reset()
		s.open().match(s.ctx, m)
		s.texts = m.found
	}
	return s.texts[i]
}

func (n *node) eval(s *subject) verdict {
	switch n.Op {
	case All:
		return yes
	case And:
		return n.evalAll(s, no)
	case Or:
		return n.evalAll(s, yes)
	case Not:
		return negate(n.keys[0].eval(s))
	}
	switch n.cost {
	case costEntry:
		return verdictOf(n.matchEntry(&s.entry))
	case costRow:
		if s.row == nil {
			return unknown
		}
		return verdictOf(n.matchRow(s.row))
	}
	if s.row == nil || s.row.Content == nil {
		return unknown
	}
	return verdictOf(n.matchContent(s))
}

// evalAll evaluates until a key has the value that decides: no for And, yes
// for Or.
func (n *node) evalAll(s *subject, decides verdict) verdict {
	result := negate(decides)
	for i := range n.keys {
		switch n.keys[i].eval(s) {
		case decides:
			return decides
		case unknown:
			result = unknown
		}
	}
	return result
}

func negate(v verdict) verdict {
	switch v {
	case yes:
		return no
	case no:
		return yes
	}
	return unknown
}

func (n *node) matchEntry(e *store.Entry) bool {
	switch n.Op {
	case UIDs:
		return n.Set.Contains(e.UID)
	case HasFlag:
		return e.Flags&n.Flag == n.Flag
	}
	return e.Keywords.Has(n.Keyword)
}

func (n *node) matchRow(row *store.Row) bool {
	switch n.Op {
	case Before:
		return compareDay(row.Received, n.Day) < 0
	case On:
		return compareDay(row.Received, n.Day) == 0
	case Since:
		return compareDay(row.Received, n.Day) >= 0
	case Larger:
		return row.Size > n.Size
	}
	return row.Size < n.Size
}

func (n *node) matchContent(s *subject) bool {
	switch n.Op {
	case Header:
		return s.open().hasField(n.Field, n.folded, s.run.headerFolder())
	case Body, Text:
		return s.hasText(n.text)
	}
	sent, ok := s.open().sent()
	if !ok {
		return false
	}
	switch n.Op {
	case SentBefore:
		return compareDay(sent, n.Day) < 0
	case SentOn:
		return compareDay(sent, n.Day) == 0
	}
	return compareDay(sent, n.Day) >= 0
}

// compareDay compares the days as they are written, whatever their zones.
func compareDay(a, b time.Time) int {
	ay, am, ad := a.Date()
	by, bm, bd := b.Date()
	return (ay*400 + int(am)*32 + ad) - (by*400 + int(bm)*32 + bd)
}
