package search

import (
	"bytes"
	"context"
	"iter"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// batch is how many entries are looked at before their rows are asked for.
const batch = 1024

// Rows reads stored messages, as store.Store does.
type Rows interface {
	RowsSince(ctx context.Context, id mail.MailboxID, since mail.ModSeq, uids []mail.UID, need store.Need, most int) ([]store.Row, int, error)
}

// Turn is a share of the processors, as turns.Turn is. Pass is called often, and
// may wait; its error ends the search, and is given again if it is called again.
type Turn interface {
	Pass(ctx context.Context) error
	End()
}

// Source is where a Program finds messages; safe for use by several goroutines.
type Source struct {
	rows  Rows
	cache *cache
	take  func(context.Context) (Turn, error) // nil: what is dear is done without turns
	since mail.ModSeq
}

// Since returns the same source for who knows the mailbox as it was: messages
// that left it after since are read too, while they are kept.
func (s *Source) Since(since mail.ModSeq) *Source {
	in := *s
	in.since = since
	return &in
}

// InTurns returns the same source for searches that take a turn for what is
// dear: each batch of messages of which the octets are looked at, or of a
// program of many keys.
func (s *Source) InTurns(take func(context.Context) (Turn, error)) *Source {
	in := *s
	in.take = take
	return &in
}

// DefaultMemory is a good bound for NewSource, in octets: some 300,000 messages.
const DefaultMemory = 64 << 20

// NewSource returns a source of what rows reads. About memory octets may be taken
// to remember what envelopes say; 0 remembers nothing.
func NewSource(rows Rows, memory int64) *Source {
	return &Source{rows: rows, cache: newCache(memory)}
}

// Run yields, in order, those of entries, which are of mailbox id, that p
// matches, by the number they came with. A message that is not kept by the time
// it is read does not match, unless what it is searched for is remembered. The
// error is of ctx or of reading.
func (p *Program) Run(ctx context.Context, src *Source, id mail.MailboxID, entries iter.Seq2[int, store.Entry],
	found func(seq int, e store.Entry)) error {
	var now, before *run // before is being settled meanwhile
	for seq, e := range entries {
		if now == nil {
			now = &run{program: p, src: src, mailbox: id}
		}
		now.add(seq, e)
		if len(now.items) < batch {
			continue
		}
		now.begin(ctx)
		if err := before.end(found); err != nil {
			now.wait()
			return err
		}
		now, before = before, now
	}
	if now != nil && len(now.items) > 0 {
		now.settle(ctx)
	}
	for _, r := range [...]*run{before, now} {
		if err := r.end(found); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// begin settles r in a goroutine of its own, if it has to read; end waits for it.
func (r *run) begin(ctx context.Context) {
	if r.program.cost == costEntry {
		r.settle(ctx)
		return
	}
	r.settling = make(chan struct{})
	go func(done chan<- struct{}) {
		defer close(done)
		r.settle(ctx)
	}(r.settling)
}

func (r *run) wait() {
	if r.settling != nil {
		<-r.settling
		r.settling = nil
	}
}

// end reports what r found and empties it. r can be nil.
func (r *run) end(found func(seq int, e store.Entry)) error {
	if r == nil {
		return nil
	}
	r.wait()
	if r.err != nil {
		return r.err
	}
	for _, it := range r.items {
		if it.verdict == yes {
			found(it.seq, it.entry)
		}
	}
	r.items = r.items[:0]
	return nil
}

// run is one evaluation of a program, for a batch of entries at a time. Two take
// turns, each a goroutine at a time.
type run struct {
	program *Program
	src     *Source
	mailbox mail.MailboxID
	items   []item
	uids    []mail.UID
	learnt  []learnt // to be remembered
	texts   *matcher // made when the first text is looked for
	headers *matcher // likewise for the first header field
	folder  *folder  // of envelopes

	pause    func() error  // of settle: what is called between messages, and pieces of them
	settling chan struct{} // closed when the goroutine of begin ends; nil without one
	err      error         // of settle
}

// lookFor returns the keys of words that are found in what show shows, with the
// matcher kept for them.
func (r *run) lookFor(words *words, kept **matcher, show func(*matcher)) []bool {
	if *kept == nil {
		*kept = newMatcher(words)
	}
	(*kept).reset()
	show(*kept)
	return (*kept).found
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

func (r *run) add(seq int, e store.Entry) { r.items = append(r.items, item{seq: seq, entry: e}) }

// settle decides all items, in a turn if that is dear.
func (r *run) settle(ctx context.Context) {
	r.pause = ctx.Err
	if r.src.take != nil && r.program.dear() {
		turn, err := r.src.take(ctx)
		if err != nil {
			r.err = err
			return
		}
		defer turn.End()
		r.pause = func() error { return turn.Pass(ctx) }
	}
	for i := range r.items {
		s := subject{entry: r.items[i].entry}
		r.items[i].verdict = r.program.root.eval(&s)
	}
	if r.err = r.decide(ctx); r.err == nil {
		r.err = r.pause()
	}
	r.src.cache.add(r.mailbox, r.learnt)
	r.learnt = r.learnt[:0]
}

// decide reads what is needed, the cheap first, until no item is undecided.
func (r *run) decide(ctx context.Context) error {
	if r.program.rows || r.program.envelopes {
		r.recall()
	}
	if r.program.rows {
		if err := r.pass(ctx, 0); err != nil {
			return err
		}
	}
	if r.program.envelopes {
		if err := r.pass(ctx, store.NeedForm); err != nil {
			return err
		}
	}
	if r.program.cost < costEnvelope {
		return nil
	}
	return r.pass(ctx, store.NeedForm|store.NeedContent)
}

// recall evaluates the undecided items of which the facts are remembered.
func (r *run) recall() {
	r.src.cache.each(r.mailbox, func(look func(mail.UID) (facts, bool)) {
		for i := range r.items {
			it := &r.items[i]
			if it.verdict != unknown {
				continue
			}
			if known, ok := look(it.entry.UID); ok {
				s := subject{entry: it.entry, facts: &known, run: r}
				it.verdict = r.program.root.eval(&s)
			}
		}
	})
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
		rows, more, err := r.src.rows.RowsSince(ctx, r.mailbox, r.src.since, uids, need, store.MaxRowOctets)
		done := len(uids) - more
		switch {
		case err == nil && done > 0:
			err = r.judge(rows)
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
func (r *run) judge(rows []store.Row) error {
	i := 0
	for n := range rows {
		row := &rows[n]
		for i < len(r.items) && r.items[i].entry.UID < row.UID {
			i++
		}
		if i < len(r.items) && r.items[i].entry.UID == row.UID && r.pause() == nil {
			known := r.learn(row)
			s := subject{entry: r.items[i].entry, row: row, facts: &known, run: r}
			r.items[i].verdict = s.judge()
		}
		if row.Content != nil {
			_ = row.Content.Close()
		}
	}
	return r.pause()
}

// learn returns the facts in a row, and has those of an envelope remembered.
func (r *run) learn(row *store.Row) facts {
	known := factsOf(row)
	if row.Form.IsZero() || !r.program.envelopes {
		return known
	}
	known.describe(row.Form, r.headerFolder())
	if r.src.cache.wants(&known) {
		r.learnt = append(r.learnt, learnt{row.UID, known})
	}
	return known
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
	entry   store.Entry
	row     *store.Row // nil until it is read
	facts   *facts     // likewise, or remembered
	run     *run
	opened  *octets // nil until the octets are looked at
	texts   []bool  // by the keys of Program.texts; nil until they were looked for
	headers []bool  // likewise of Program.headers
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

// hasText tells whether the message meets the key called i of the program's
// texts. The first question looks for all of them at once.
func (s *subject) hasText(i int) bool {
	if s.texts == nil {
		s.texts = s.run.lookFor(&s.run.program.texts, &s.run.texts, func(m *matcher) { s.open().match(s.run.pause, m) })
	}
	return s.texts[i]
}

// hasField is hasText for the keys that look for header fields.
func (s *subject) hasField(i int) bool {
	if s.headers == nil {
		s.headers = s.run.lookFor(&s.run.program.headers, &s.run.headers, func(m *matcher) { s.open().matchFields(m) })
	}
	return s.headers[i]
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
		if s.facts == nil {
			return unknown
		}
		return verdictOf(n.matchRow(s.facts))
	case costEnvelope:
		if s.facts == nil || !s.facts.whole {
			return unknown
		}
		if n.matchEnvelope(s.facts) {
			return yes
		}
		if n.Op != Header || s.facts.there&repeated == 0 {
			return no
		}
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

func (n *node) matchRow(f *facts) bool {
	switch n.Op {
	case Before:
		return f.received < n.day
	case On:
		return f.received == n.day
	case Since:
		return f.received >= n.day
	case Larger:
		return f.size > n.Size
	}
	return f.size < n.Size
}

func (n *node) matchEnvelope(f *facts) bool {
	switch {
	case n.Op == Envelope, n.Op == Header:
		text, there := f.part(n.part)
		return there && bytes.Contains(text, n.octets)
	case f.sent == noDay:
		return false
	}
	switch n.Op {
	case SentBefore:
		return f.sent < n.day
	case SentOn:
		return f.sent == n.day
	}
	return f.sent >= n.day
}

func (n *node) matchContent(s *subject) bool {
	if n.Op == Header {
		return s.hasField(n.text)
	}
	return s.hasText(n.text)
}
