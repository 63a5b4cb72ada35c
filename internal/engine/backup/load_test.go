package backup_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/engine/backup"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// worker changes one account, and remembers what it held at each ModSeq.
type worker struct {
	h       *house
	name    string
	account mail.AccountID
	shared  mail.AccountID // gets some of the messages in the same commit
	inbox   mail.MailboxID
	trash   mail.MailboxID
	rng     *rand.Rand

	now     map[mail.MailboxID]map[mail.UID]seen
	to      int // messages sent to shared too
	history map[mail.ModSeq]moment
	err     error
}

type moment struct {
	boxes  map[mail.MailboxID]map[mail.UID]seen
	shared int
}

func newWorker(h *house, name string, shared mail.AccountID) *worker {
	w := &worker{h: h, name: name, account: h.account(name), shared: shared, rng: rand.New(rand.NewPCG(uint64(len(name)), uint64(name[1]))),
		now: map[mail.MailboxID]map[mail.UID]seen{}, history: map[mail.ModSeq]moment{}}
	for role, id := range map[mail.Role]*mail.MailboxID{mail.RoleInbox: &w.inbox, mail.RoleTrash: &w.trash} {
		b, err := h.store.MailboxByRole(ctx, w.account, role)
		must(h.t, err)
		*id = b.ID
		w.now[b.ID] = map[mail.UID]seen{}
		w.remember(b.ModSeq)
	}
	return w
}

// remember keeps the present as what is true from a ModSeq on.
func (w *worker) remember(at mail.ModSeq) {
	m := moment{map[mail.MailboxID]map[mail.UID]seen{}, w.to}
	for id, box := range w.now {
		m.boxes[id] = make(map[mail.UID]seen, len(box))
		for uid, s := range box {
			m.boxes[id][uid] = s
		}
	}
	w.history[at] = m
}

// work changes the account until the end and tells of each change.
func (w *worker) work(until *atomic.Bool, did *atomic.Int64) {
	for n := 0; !until.Load() && w.err == nil; n++ {
		did.Add(1)
		switch w.rng.IntN(6) {
		case 0, 1, 2:
			w.err = w.deliver(n)
		case 3:
			w.err = w.flag()
		case 4:
			w.err = w.expunge()
		case 5:
			w.err = w.copy()
		}
	}
	if w.err != nil {
		until.Store(true)
	}
}

func (w *worker) deliver(n int) error {
	size := 200 + w.rng.IntN(8000)
	if w.rng.IntN(8) == 0 {
		size = 70_000 + w.rng.IntN(60_000)
	}
	octets := text(fmt.Sprintf("%s.%d", w.name, n), size)
	to := []store.Filing{w.h.inbox(w.account)}
	if n%3 == 0 {
		to = append(to, w.h.inbox(w.shared))
	}
	filed, err := w.h.tryDeliver(octets, to...)
	if err != nil {
		return err
	}
	w.to += len(to) - 1
	w.now[w.inbox][filed[0].UID] = seen{received: to[0].Received.Format(time.RFC3339), octets: string(to[0].Prefix) + string(octets)}
	w.remember(filed[0].ModSeq)
	return nil
}

func (w *worker) any() mail.UID {
	for uid := range w.now[w.inbox] {
		return uid
	}
	return 0
}

func (w *worker) flag() error {
	uid := w.any()
	if uid == 0 {
		return nil
	}
	_, err := w.h.store.SetFlags(ctx, w.inbox, mail.UIDSet{{First: uid, Last: uid}},
		store.FlagChange{Mode: store.FlagsReplace, Flags: mail.Flags(w.rng.IntN(32)), Keywords: "$Label1"})
	if err != nil {
		return err
	}
	view, err := w.h.store.View(ctx, w.inbox)
	if err != nil {
		return err
	}
	seq, there := view.Seq(uid)
	if !there {
		return nil
	}
	s, e := w.now[w.inbox][uid], view.At(seq)
	if s.flags == e.Flags && s.keywords == e.Keywords {
		return nil
	}
	s.flags, s.keywords = e.Flags, e.Keywords
	w.now[w.inbox][uid] = s
	w.remember(e.ModSeq)
	return nil
}

func (w *worker) expunge() error {
	uid := w.any()
	if uid == 0 {
		return nil
	}
	gone, err := w.h.store.ExpungeAny(ctx, w.inbox, mail.UIDSet{{First: uid, Last: uid}})
	if err != nil || len(gone) != 1 {
		return fmt.Errorf("expunge of %d: %v %w", uid, gone, err)
	}
	delete(w.now[w.inbox], uid)
	return w.catchUp()
}

func (w *worker) copy() error {
	uid := w.any()
	if uid == 0 {
		return nil
	}
	c, err := w.h.store.Copy(ctx, w.inbox, mail.UIDSet{{First: uid, Last: uid}}, w.trash)
	if err != nil || len(c.Dest) != 1 {
		return fmt.Errorf("copy of %d: %v %w", uid, c, err)
	}
	w.now[w.trash][c.Dest[0]] = w.now[w.inbox][uid]
	return w.catchUp()
}

// catchUp remembers what an operation did that does not tell its ModSeq.
func (w *worker) catchUp() error {
	at, err := modSeq(w.h, w.account)
	w.remember(at)
	return err
}

func modSeq(h *house, a mail.AccountID) (at mail.ModSeq, err error) {
	boxes, err := h.store.Mailboxes(ctx, a)
	for _, b := range boxes {
		at = max(at, b.ModSeq)
	}
	return at, err
}

// TestBackupUnderLoad: four accounts receive, flag, copy and expunge while
// three backups are made. Each, restored elsewhere, shows every account as it
// was at one of its ModSeqs, message by message, and all of them at the same
// moment: what one commit gave two accounts is in both or in neither.
func TestBackupUnderLoad(t *testing.T) {
	h := newHouse(t)
	shared := h.account("shared")
	var workers []*worker
	var stop atomic.Bool
	var did atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		workers = append(workers, newWorker(h, fmt.Sprintf("w%d", i), shared))
	}
	for _, w := range workers {
		wg.Go(func() { w.work(&stop, &did) })
	}
	// more waits until the workers have made so many changes.
	more := func(n int64) {
		for end := did.Load() + n; did.Load() < end && !stop.Load(); {
			runtime.Gosched()
		}
	}
	path := filepath.Join(t.TempDir(), "backup")
	for range 3 {
		more(300)
		steps := 0
		h.backup(path, func(backup.Progress) {
			steps++
			more(2)
		})
		if steps < 10 {
			t.Errorf("progress was told %d times", steps)
		}
	}
	stop.Store(true)
	wg.Wait()
	d := openDepot(t, path, nil)
	list, damaged, err := backup.Snapshots(d)
	must(t, err)
	if len(list) != 3 || len(damaged) != 0 {
		t.Fatalf("%d snapshots, %v", len(list), damaged)
	}
	for i, s := range list {
		to := filepath.Join(t.TempDir(), fmt.Sprintf("restored%d", i))
		r, err := backup.Restore(ctx, d, s, backup.Destination{Folder: to}, h.options(nil))
		must(t, err)
		if len(r.Problems) > 0 {
			t.Errorf("problems: %q", r.Problems)
		}
		compare(t, openHouse(t, to), workers, shared)
	}
	for _, w := range workers {
		must(t, w.err)
	}
	v, err := backup.Verify(ctx, d, backup.Verification{Options: h.options(nil), Each: true, Report: func(p string) { t.Error(p) }})
	must(t, err)
	t.Logf("%d snapshots of %d octets at the end, %d objects, %d octets written", v.Opened, list[2].Octets(), v.Objects, size(t, path))
}

func compare(t *testing.T, got *house, workers []*worker, shared mail.AccountID) {
	t.Helper()
	messages, together := 0, 0
	for _, w := range workers {
		at, err := modSeq(got, w.account)
		must(t, err)
		want, ok := w.history[at]
		if !ok {
			t.Fatalf("%s was never at ModSeq %d", w.name, at)
		}
		have := got.read(w.account)
		for name, id := range map[mail.MailboxName]mail.MailboxID{"INBOX": w.inbox, "Trash": w.trash} {
			if !cmp.Equal(want.boxes[id], have[name].messages, cmp.AllowUnexported(seen{})) {
				t.Errorf("%s %s at ModSeq %d differs: %d messages, want %d", w.name, name, at, len(have[name].messages), len(want.boxes[id]))
			}
			messages += len(want.boxes[id])
			old, err := w.h.store.Mailbox(ctx, w.account, name)
			must(t, err)
			if have[name].validity != old.UIDValidity {
				t.Errorf("%s %s: UIDVALIDITY %d, was %d", w.name, name, have[name].validity, old.UIDValidity)
			}
		}
		together += want.shared
	}
	if n := len(got.read(shared)["INBOX"].messages); n != together {
		t.Errorf("the shared account has %d messages, the others sent it %d", n, together)
	}
	t.Logf("%d messages are equal, %d were shared", messages, together)
}
