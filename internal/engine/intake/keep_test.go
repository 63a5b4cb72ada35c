package intake_test

import (
	"io"
	"testing"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// keeper wants what is for one address.
type keeper struct {
	wants  string
	held   []store.BlobRef
	prefix string
}

func (k *keeper) Keep(_ intake.Envelope, to []intake.Recipient, _ *intake.Message) intake.Keep {
	for _, r := range to {
		if r.Address.String() == k.wants {
			return func(_ *sqldb.Tx, octets store.BlobRef, prefix []byte) error {
				k.held, k.prefix = append(k.held, octets), string(prefix)
				return nil
			}
		}
	}
	return nil
}

// TestKeeper: who wants the octets has them in the same commit, whoever else gets the
// message, and if nobody does; not if all are refused.
func TestKeeper(t *testing.T) {
	h := newHouseOn(t, nil, dbtest.Open)
	k := &keeper{wants: "reports@here.test"}
	h.Intake = intake.New(intake.Options{Store: h.store, Queue: h.queue, Keeper: k})
	nobody := to("reports@here.test", nil)
	for _, c := range []struct {
		name  string
		to    []intake.Recipient
		keeps int
	}{
		{"nobody else", []intake.Recipient{nobody}, 1},
		{"somebody", []intake.Recipient{to("ann@here.test", []mail.AccountID{ann}), nobody}, 1},
		{"somebody elsewhere", []intake.Recipient{to("reports@here.test", nil, "x@else.test")}, 1},
		{"not for it", []intake.Recipient{to("ann@here.test", []mail.AccountID{ann})}, 0},
	} {
		k.held = nil
		e := from("s@a.test")
		e.Expire = noon.Add(1)
		e.Judge = opinions{}
		_, err := h.Commit(ctx, h.plan(text, e, c.to...))
		h.must(err)
		if len(k.held) != c.keeps || c.keeps > 0 && k.prefix != "Results: r\r\nReceived: here\r\n" {
			t.Errorf("%s: %d references, %q", c.name, len(k.held), k.prefix)
		}
		for _, ref := range k.held {
			content, err := h.store.OpenBlob(ctx, ref, nil)
			h.must(err)
			b, err := io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
			h.must(err)
			h.must(content.Close())
			h.want(c.name, string(b), text)
			h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.ReleaseBlob(tx, ref) }))
		}
	}
	k.held, k.wants = nil, "ann@here.test"
	p := h.plan(text, intake.Envelope{Item: spool.Item{Arrived: noon}}, to("ann@here.test", []mail.AccountID{ann}))
	h.remove(ann)
	if _, err := h.Commit(ctx, p); mail.KindOf(err) != mail.NotFound || len(k.held) > 0 {
		t.Errorf("%v, %d references", err, len(k.held))
	}
}
