package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
)

// modelMessage is a message as the model has it.
type modelMessage struct {
	uid    mail.UID
	flags  mail.Flags
	words  mail.Keywords
	modseq mail.ModSeq
	octets string
}

// modelBox is a mailbox as the model has it.
type modelBox struct {
	id       mail.MailboxID
	uidnext  mail.UID
	validity mail.UIDValidity
	msgs     []modelMessage
}

// model runs random operations on one account of a store and on maps, and
// compares. Its sessions keep old views, as IMAP sessions do.
type model struct {
	*house
	account  mail.AccountID
	rng      *rand.Rand
	boxes    map[mail.MailboxName]*modelBox
	sessions map[mail.MailboxID][]*store.View
	used     map[mail.MailboxName]mail.UIDValidity // the highest each name had
	serial   int
	states   []modelState // the account now and then
	log      []string
}

const (
	modelEpochs = 20
	modelOps    = 500
)

func TestModel(t *testing.T) {
	epochs := modelEpochs
	switch {
	case testing.Short():
		epochs = 2
	case dbtest.OnServer() && os.Getenv("YUBIN_LONG") == "": // Where each step waits for the server several times.
		epochs = 5
	}
	runModel(newSlicedHouse(t, func(o *store.Options) { o.ViewMemory = 64 << 10 }), 20251121, epochs)
}

// TestModelOutOfOrder: announcements of commits come in any order, some twice and
// some never; then an event is all that tells of them.
func TestModelOutOfOrder(t *testing.T) {
	h := newSlicedHouse(t)
	h.late = rand.New(rand.NewPCG(7, 7))
	h.Announce(func(announce func()) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for range []int{0, 1, 1, 1, 2}[h.late.IntN(5)] {
			h.announcements = append(h.announcements, announce)
		}
	})
	runModel(h, 20261130, 4)
}

func runModel(h *house, seed uint64, epochs int) {
	for epoch := range epochs {
		m := &model{house: h, account: h.account(mail.AccountID(epoch + 1)), rng: rand.New(rand.NewPCG(seed, uint64(epoch))),
			boxes: map[mail.MailboxName]*modelBox{}, sessions: map[mail.MailboxID][]*store.View{},
			used: map[mail.MailboxName]mail.UIDValidity{}}
		m.run(seed, epoch)
	}
}

// run makes modelOps operations, unless something is wrong: then it prints them.
func (m *model) run(seed uint64, epoch int) {
	defer func() {
		if m.t.Failed() {
			m.t.Fatalf("seed %d epoch %d, operations:\n%s", seed, epoch, strings.Join(m.log, "\n"))
		}
	}()
	m.adopt()
	for n := 0; n < modelOps && !m.t.Failed(); n++ {
		m.step()
		if n%20 == 0 {
			m.compareChanges(2)
		}
	}
	m.compareChanges(len(m.states))
	m.check()
}

// adopt takes the mailboxes that exist into the model.
func (m *model) adopt() {
	list, err := m.Mailboxes(ctx, m.account)
	m.must(err)
	for _, b := range list {
		m.boxes[b.Name] = &modelBox{id: b.ID, uidnext: 1, validity: b.UIDValidity}
		m.used[b.Name] = b.UIDValidity
	}
}

func (m *model) note(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

// step runs one operation and compares what it touched.
func (m *model) step() {
	for _, b := range m.boxes {
		m.hear(b.id)
	}
	ops := []struct {
		weight int
		run    func()
	}{
		{30, m.deliver}, {25, m.setFlags}, {8, m.copy}, {8, m.move}, {8, m.expunge}, {6, m.expungeAny},
		{3, m.create}, {2, m.delete}, {3, m.rename}, {20, m.sync},
	}
	n := m.rng.IntN(113)
	for _, op := range ops {
		if n < op.weight {
			op.run()
			break
		}
		n -= op.weight
	}
	m.compareCounters()
}

func (m *model) anyName() mail.MailboxName {
	names := slices.Sorted(func(yield func(mail.MailboxName) bool) {
		for n := range m.boxes {
			if !yield(n) {
				return
			}
		}
	})
	return names[m.rng.IntN(len(names))]
}

func (m *model) anyFlags() mail.Flags { return mail.Flags(m.rng.IntN(32)) }

func (m *model) anyWords() mail.Keywords {
	return []mail.Keywords{"", "", "", "$Junk", "$Forwarded work", "work"}[m.rng.IntN(6)]
}

// anySet is a set of UIDs, mostly of messages in b.
func (m *model) anySet(b *modelBox) mail.UIDSet {
	var s mail.UIDSet
	switch m.rng.IntN(3) {
	case 0:
		s.AddRange(1+mail.UID(m.rng.IntN(int(b.uidnext))), 1+mail.UID(m.rng.IntN(int(b.uidnext))))
	case 1:
		for range 1 + m.rng.IntN(5) {
			s.Add(1 + mail.UID(m.rng.IntN(int(b.uidnext))))
		}
	default:
		s.AddRange(1, 1<<32-1)
	}
	return s
}

func (m *model) deliver() {
	a, b := m.anyName(), m.anyName()
	m.serial++
	octets := text(fmt.Sprintf("%d.%d", m.account, m.serial%40), "Subject", fmt.Sprint(m.serial%40))
	to := []store.Filing{{Account: m.account, Mailbox: m.boxes[a].id, Flags: m.anyFlags(), Keywords: m.anyWords(), Received: m.now().Add(time.Duration(m.rng.IntN(50)) * -time.Hour)}}
	if m.rng.IntN(4) == 0 {
		to = append(to, store.Filing{Account: m.account, Mailbox: m.boxes[b].id, Received: m.now(), Prefix: []byte("T: 1\r\n")[:6*m.rng.IntN(2)]})
	}
	m.note("deliver %q to %+v", octets, to)
	for i, f := range m.house.deliver(octets, to...) {
		box := m.boxes[[]mail.MailboxName{a, b}[i]]
		if f.UID != box.uidnext || f.UIDValidity != box.validity {
			m.t.Errorf("filed %+v, want UID %d", f, box.uidnext)
		}
		box.uidnext++
		box.msgs = append(box.msgs, modelMessage{f.UID, to[i].Flags, to[i].Keywords, f.ModSeq, string(to[i].Prefix) + octets})
	}
	m.compare(a)
	m.compare(b)
}

func (m *model) setFlags() {
	name := m.anyName()
	b := m.boxes[name]
	set, ch := m.anySet(b), store.FlagChange{Mode: store.FlagMode(m.rng.IntN(3)), Flags: m.anyFlags(), Keywords: m.anyWords()}
	m.note("set flags of %v in %s: %+v", set, name, ch)
	got, err := m.SetFlags(ctx, b.id, set, ch)
	m.must(err)
	var want mail.UIDSet
	for i := range b.msgs {
		if msg := &b.msgs[i]; set.Contains(msg.uid) {
			modelFlags(msg, ch)
			want.Add(msg.uid)
		}
	}
	if got.String() != want.String() {
		m.t.Errorf("flags of %v, want %v", got, want)
	}
	m.compare(name)
}

func modelFlags(msg *modelMessage, ch store.FlagChange) {
	switch ch.Mode {
	case store.FlagsAdd:
		msg.flags |= ch.Flags
		msg.words, _ = msg.words.With(ch.Keywords.Names()...)
	case store.FlagsRemove:
		msg.flags &^= ch.Flags
		msg.words = msg.words.Without(ch.Keywords.Names()...)
	default:
		msg.flags, msg.words = ch.Flags, ch.Keywords
	}
}

func (m *model) copy() { m.transfer("copy", false) }
func (m *model) move() { m.transfer("move", true) }

func (m *model) transfer(verb string, move bool) {
	from, to := m.anyName(), m.anyName()
	a, b := m.boxes[from], m.boxes[to]
	set := m.anySet(a)
	if len(a.msgs) > 60 {
		set = mail.UIDs(a.msgs[m.rng.IntN(len(a.msgs))].uid)
	}
	m.note("%s %v from %s to %s", verb, set, from, to)
	do := m.Copy
	if move {
		do = m.Move
	}
	got, err := do(ctx, a.id, set, b.id)
	m.must(err)
	kept := make([]modelMessage, 0, len(a.msgs))
	var moved []modelMessage
	for _, msg := range a.msgs {
		if !set.Contains(msg.uid) || !move {
			kept = append(kept, msg)
		}
		if set.Contains(msg.uid) {
			moved = append(moved, msg)
		}
	}
	if len(got.Source) != len(moved) || len(got.Dest) != len(moved) {
		m.t.Errorf("%s of %d messages, want %d", verb, len(got.Source), len(moved))
		return
	}
	a.msgs = kept
	for i, msg := range moved {
		if got.Source[i] != msg.uid || got.Dest[i] != b.uidnext {
			m.t.Errorf("%s %d to %d, want %d to %d", verb, got.Source[i], got.Dest[i], msg.uid, b.uidnext)
		}
		msg.uid = b.uidnext
		b.uidnext++
		b.msgs = append(b.msgs, msg)
	}
	m.compare(from)
	m.compare(to)
}

func (m *model) expunge() {
	name := m.anyName()
	b := m.boxes[name]
	var only mail.UIDSet
	if m.rng.IntN(2) == 0 {
		only = m.anySet(b)
	}
	m.note("expunge %v of %s", only, name)
	got, err := m.Expunge(ctx, b.id, only)
	m.must(err)
	m.gone(name, got, func(msg modelMessage) bool {
		return msg.flags&mail.Deleted != 0 && (only == nil || only.Contains(msg.uid))
	})
}

func (m *model) expungeAny() {
	name := m.anyName()
	b := m.boxes[name]
	set := m.anySet(b)
	if m.rng.IntN(3) > 0 && len(b.msgs) > 0 {
		set = mail.UIDs(b.msgs[m.rng.IntN(len(b.msgs))].uid)
	}
	m.note("expunge any %v of %s", set, name)
	got, err := m.ExpungeAny(ctx, b.id, set)
	m.must(err)
	m.gone(name, got, func(msg modelMessage) bool { return set.Contains(msg.uid) })
}

func (m *model) gone(name mail.MailboxName, got []mail.UID, is func(modelMessage) bool) {
	b := m.boxes[name]
	var want []mail.UID
	var kept []modelMessage
	for _, msg := range b.msgs {
		if is(msg) {
			want = append(want, msg.uid)
		} else {
			kept = append(kept, msg)
		}
	}
	if !slices.Equal(got, want) {
		m.t.Errorf("expunged %v, want %v", got, want)
	}
	b.msgs = kept
	m.compare(name)
}

func (m *model) create() {
	names := []mail.MailboxName{"a", "b", "a/b", "a/b/c", "d/e/f", "INBOX/x"}
	name := names[m.rng.IntN(len(names))]
	m.note("create %s", name)
	_, err := m.CreateMailbox(ctx, m.account, name, "")
	if m.boxes[name] != nil {
		wantKind(m.t, err, mail.Exists)
		return
	}
	m.must(err)
	m.refresh()
}

// refresh takes new mailboxes into the model and checks their UIDVALIDITY.
func (m *model) refresh() {
	list, err := m.Mailboxes(ctx, m.account)
	m.must(err)
	for _, b := range list {
		if m.boxes[b.Name] != nil {
			continue
		}
		m.boxes[b.Name] = &modelBox{id: b.ID, uidnext: 1, validity: b.UIDValidity}
		m.validity(b.Name, b.UIDValidity)
	}
	if len(list) != len(m.boxes) {
		m.t.Errorf("%d mailboxes, want %d", len(list), len(m.boxes))
	}
}

// validity checks that a name goes up when other messages come under it.
func (m *model) validity(name mail.MailboxName, v mail.UIDValidity) {
	if v <= m.used[name] {
		m.t.Errorf("%s had UIDVALIDITY %d and now has %d", name, m.used[name], v)
	}
	m.used[name] = v
}

func (m *model) below(name mail.MailboxName) (list []mail.MailboxName) {
	for n := range m.boxes {
		if strings.HasPrefix(string(n), string(name)+"/") {
			list = append(list, n)
		}
	}
	return list
}

func (m *model) delete() {
	name := m.anyName()
	m.note("delete %s", name)
	err := m.DeleteMailbox(ctx, m.account, name)
	switch {
	case name == mail.Inbox:
		wantKind(m.t, err, mail.Forbidden)
	case len(m.below(name)) > 0:
		wantKind(m.t, err, mail.Conflict)
	default:
		m.must(err)
		id := m.boxes[name].id
		delete(m.boxes, name)
		_, err = m.View(ctx, id)
		wantKind(m.t, err, mail.NotFound)
	}
	if m.rng.IntN(2) == 0 {
		m.must(m.Sweep(ctx))
	}
}

func (m *model) rename() {
	from := m.anyName()
	to := []mail.MailboxName{"a", "b", "x/y", "z"}[m.rng.IntN(4)]
	m.note("rename %s to %s", from, to)
	err := m.RenameMailbox(ctx, m.account, from, to)
	switch {
	case from != mail.Inbox && (to == from || strings.HasPrefix(string(to), string(from)+"/")):
		wantKind(m.t, err, mail.Invalid)
	case m.boxes[to] != nil:
		wantKind(m.t, err, mail.Exists)
	case from == mail.Inbox:
		m.must(err)
		m.refresh()
		m.moveAll(m.boxes[mail.Inbox], m.boxes[to])
		m.compare(to)
	default:
		m.must(err)
		m.renamed(from, to)
	}
	m.compare(mail.Inbox)
}

func (m *model) moveAll(from, to *modelBox) {
	for _, msg := range from.msgs {
		msg.uid = to.uidnext
		to.uidnext++
		to.msgs = append(to.msgs, msg)
	}
	from.msgs = nil
}

// renamed gives the tree of from its new names.
func (m *model) renamed(from, to mail.MailboxName) {
	for _, old := range append(m.below(from), from) {
		name := to + old[len(from):]
		b := m.boxes[old]
		delete(m.boxes, old)
		now := m.box(m.account, name)
		if now.ID != b.id {
			m.t.Errorf("%s is mailbox %d, want %d", name, now.ID, b.id)
		}
		b.validity = now.UIDValidity
		m.boxes[name] = b
		m.validity(name, now.UIDValidity)
	}
	m.refresh()
}

// compare holds a mailbox against the model.
func (m *model) compare(name mail.MailboxName) {
	m.t.Helper()
	b := m.boxes[name]
	v := m.view(b.id)
	if v.Len() != len(b.msgs) {
		m.t.Errorf("%s has %s, want %d messages", name, show(v), len(b.msgs))
		return
	}
	for seq, e := range v.All() {
		msg := &b.msgs[seq-1]
		if e.UID != msg.uid || e.Flags != msg.flags || e.Keywords != msg.words {
			m.t.Errorf("%s has %+v at %d, want %+v", name, e, seq, *msg)
		}
		if e.ModSeq < msg.modseq || e.ModSeq > v.ModSeq() {
			m.t.Errorf("%s: ModSeq of %d went from %d to %d of %d", name, e.UID, msg.modseq, e.ModSeq, v.ModSeq())
		}
		msg.modseq = e.ModSeq
		if got, ok := v.Seq(e.UID); !ok || got != seq || v.SeqCeil(e.UID) != seq || v.At(seq) != e {
			m.t.Errorf("%s: UID %d is not found at %d", name, e.UID, seq)
		}
	}
	if m.rng.IntN(8) == 0 && len(b.msgs) > 0 {
		msg := b.msgs[m.rng.IntN(len(b.msgs))]
		if got := m.read(b.id, msg.uid); got != msg.octets {
			m.t.Errorf("%s: UID %d is %q, want %q", name, msg.uid, got, msg.octets)
		}
	}
}

func (m *model) compareCounters() {
	name := m.anyName()
	b, got := m.boxes[name], m.box(m.account, name)
	var unseen, deleted uint32
	var size int64
	for _, msg := range b.msgs {
		if msg.flags&mail.Seen == 0 {
			unseen++
		}
		if msg.flags&mail.Deleted != 0 {
			deleted++
		}
		size += int64(len(msg.octets))
	}
	if got.Exists != uint32(len(b.msgs)) || got.Unseen != unseen || got.Deleted != deleted || got.Size != size || got.UIDNext != b.uidnext {
		m.t.Errorf("%s is %+v, want %d messages, %d unseen, %d deleted, %d octets, UIDNEXT %d",
			name, got, len(b.msgs), unseen, deleted, size, b.uidnext)
	}
}

// sync brings a session that holds an old view up to date.
func (m *model) sync() {
	name := m.anyName()
	id := m.boxes[name].id
	now := m.view(id)
	held := m.sessions[id]
	if len(held) < 3 {
		m.sessions[id] = append(held, now)
		return
	}
	i := m.rng.IntN(len(held))
	old := held[i]
	m.note("session %d of %s compares", i, name)
	m.compareDiff(store.Diff(old, now), old, now)
	kept := now.KeepVanished(old)
	m.compareKept(kept, old, now)
	held[i] = now
	if m.rng.IntN(2) == 0 {
		held[i] = kept
	}
}

func entries(v *store.View) (map[mail.UID]store.Entry, []mail.UID) {
	all := map[mail.UID]store.Entry{}
	var uids []mail.UID
	for _, e := range v.All() {
		all[e.UID] = e
		uids = append(uids, e.UID)
	}
	return all, uids
}

func (m *model) compareDiff(d store.Delta, old, now *store.View) {
	was, uids := entries(old)
	is, later := entries(now)
	var want store.Delta
	for _, u := range uids {
		if e, ok := is[u]; !ok {
			want.Vanished = append(want.Vanished, u)
		} else if e.ModSeq != was[u].ModSeq {
			want.Changed.Add(e.UID)
		}
	}
	for _, u := range later {
		if _, ok := was[u]; !ok {
			want.Added++
		}
	}
	if !slices.Equal(d.Vanished, want.Vanished) || !slices.Equal(d.Changed, want.Changed) || d.Added != want.Added {
		m.t.Errorf("diff is %+v, want %+v", d, want)
	}
}

func (m *model) compareKept(kept, old, now *store.View) {
	was, _ := entries(old)
	want, _ := entries(now)
	for u, e := range was {
		if _, ok := want[u]; !ok {
			want[u] = e
		}
	}
	got, uids := entries(kept)
	if len(got) != len(want) || !slices.IsSorted(uids) || kept.Len() != len(uids) {
		m.t.Errorf("kept %v, want %d", uids, len(want))
	}
	for u, e := range want {
		if got[u] != e {
			m.t.Errorf("kept %+v, want %+v", got[u], e)
		}
	}
}
