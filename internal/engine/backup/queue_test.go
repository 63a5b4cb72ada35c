package backup_test

import (
	"path/filepath"
	"testing"
	"time"

	"yubin/internal/engine/backup"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// openQueue opens the queue of a house; nothing of it runs.
func openQueue(h *house) *queue.Queue {
	h.t.Helper()
	sp, err := spool.Open(ctx, spool.Options{DB: h.db, Store: h.store})
	must(h.t, err)
	q, err := queue.Open(ctx, queue.Options{DB: h.db, Store: h.store, Spool: sp, Now: h.now, Rand: func() float64 { return 0 }, Alone: true})
	must(h.t, err)
	return q
}

// TestRestoredQueue: mail that waited, or was being sent, when the snapshot was
// made is on hold in what is restored, unless it is to be sent again.
func TestRestoredQueue(t *testing.T) {
	h := newHouse(t)
	q := openQueue(h)
	door := intake.New(intake.Options{Store: h.store, Queue: q})
	in := door.Begin()
	defer in.Close()
	_, err := in.Write(text("out", 500))
	must(t, err)
	it := spool.Item{Outgoing: mail.Outgoing{ReversePath: mail.ReversePath(address("alice"))}, Arrived: h.now(), Expire: h.now().Add(time.Hour)}
	to := []queue.Recipient{
		{OutgoingRecipient: mail.OutgoingRecipient{Address: mail.Address{Local: "a", Domain: "example.net"}}},
		{OutgoingRecipient: mail.OutgoingRecipient{Address: mail.Address{Local: "b", Domain: "example.net"}}},
	}
	_, err = door.Commit(ctx, &intake.Plan{Message: in, Items: []intake.Item{{Item: it, Recipients: to}}})
	must(t, err)
	// One is being sent: who claimed it is not in what is restored.
	must(t, h.db.Write(ctx, func(tx *sqldb.Tx) error {
		owner, err := tx.Insert(`INSERT INTO queue_owner (name, until) VALUES ('old', 1)`)
		if err == nil {
			_, err = tx.Exec(`UPDATE queue_delivery SET state = 3, owner = $1 WHERE n = 1`, owner)
		}
		return err
	}))
	path := filepath.Join(t.TempDir(), "backup")
	h.backup(path, nil)
	d := openDepot(t, path, nil)
	defer d.Close()
	s, err := backup.Find(d, "")
	must(t, err)
	for _, sending := range []bool{false, true} {
		folder := filepath.Join(t.TempDir(), "new")
		r, err := backup.Restore(ctx, d, s, backup.Destination{Folder: folder, Sending: sending}, h.options(nil))
		must(t, err)
		got := openHouse(t, folder)
		c, err := openQueue(got).Count(ctx, queue.Filter{})
		must(t, err)
		held := 2
		if sending {
			held = 0
		}
		if r.Held != held || c.Held != held || c.Total() != 2 {
			t.Errorf("sending %v: it says %d are held; the queue has %+v", sending, r.Held, c)
		}
		must(t, got.store.CheckDeep(ctx, func(p string) { t.Error(p) }))
	}
}

var _ backup.Mailboxes = (*store.Store)(nil)
