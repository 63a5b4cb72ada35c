package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// viewer is a session that keeps a view of a mailbox.
type viewer struct {
	keep store.Keep
	box  mail.MailboxID
	view *store.View
	told int // times that it was told to yield
}

func (v *viewer) Yield() { v.told++ }

// filled makes accounts with as many messages in their INBOX.
func (h *house) filled(accounts, messages int) (boxes []mail.MailboxID) {
	h.t.Helper()
	var to []store.Filing
	for a := range accounts {
		h.account(mail.AccountID(a + 1))
		to = append(to, h.inbox(mail.AccountID(a+1)))
	}
	for i := range messages {
		filed := h.deliver(text(fmt.Sprint(i), "s", "b"), to...)
		if i == 0 {
			for _, f := range filed {
				boxes = append(boxes, f.Mailbox)
			}
		}
	}
	return boxes
}

// look has the session keep what the mailbox is now.
func (h *house) look(v *viewer) error {
	view, err := h.View(ctx, v.box)
	if err == nil {
		v.view = view
		h.Keep(&v.keep, view, v)
	}
	return err
}

// TestKeptViewsAreBounded: hundreds of sessions that keep views of all ages hold
// no more than there is for views: some are told to let go, some are refused, and
// what they hold is counted as what it is.
func TestKeptViewsAreBounded(t *testing.T) {
	const budget = 1 << 20
	h := newHouse(t, func(o *store.Options) { o.ViewMemory = budget })
	boxes := h.filled(20, 1200)
	var all []*viewer
	for i := range 400 {
		all = append(all, &viewer{box: boxes[i%len(boxes)]})
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused, told, most := 0, 0, int64(0)
	for range 3000 {
		v := all[random.IntN(len(all))]
		switch random.IntN(4) {
		case 0, 1:
			if err := h.look(v); errors.Is(err, store.ErrNoRoomForView) {
				refused++
			} else {
				h.must(err)
			}
		case 2:
			h.Keep(&v.keep, nil, nil)
		case 3:
			uid := mail.UID(1 + random.IntN(1200))
			mode := []store.FlagMode{store.FlagsAdd, store.FlagsRemove}[random.IntN(2)]
			_, err := h.SetFlags(ctx, v.box, mail.UIDSet{{First: uid, Last: uid}}, store.FlagChange{Mode: mode, Flags: mail.Seen})
			h.must(err)
		}
		for _, v := range all {
			if v.told > 0 {
				told, v.told = told+1, 0
				h.Keep(&v.keep, nil, nil)
			}
		}
		stats, there := h.ViewStats(), h.ChunkOctets()
		most = max(most, stats.Held)
		if stats.Held > budget || there > stats.Held {
			t.Fatalf("%d octets are counted, %d are there, %d are allowed", stats.Held, there, budget)
		}
	}
	if told == 0 || most < budget*9/10 {
		t.Errorf("%d were refused, %d told to yield; at most %d octets were held", refused, told, most)
	}
	for _, v := range all {
		h.Keep(&v.keep, nil, nil)
	}
	h.must(h.look(all[0]))
	h.Keep(&all[0].keep, nil, nil)
	if there, held := h.ChunkOctets(), h.ViewStats().Held; held > budget || held < there {
		t.Errorf("in the end %d octets are counted, %d are there", held, there)
	}
}

// TestKeeperGivesWay: an account that keeps most is shown out for one that keeps
// less, not the other way round; and the only view there is may be larger than all.
func TestKeeperGivesWay(t *testing.T) {
	h := newHouse(t, func(o *store.Options) { o.ViewMemory = 64 << 10 })
	boxes := h.filled(2, 1200)
	other, err := h.CreateMailbox(ctx, 1, "Other", "")
	h.must(err)
	_, err = h.Copy(ctx, boxes[0], mail.UIDSet{{First: 1, Last: 1200}}, other.ID)
	h.must(err)
	first, second, poor := &viewer{box: boxes[0]}, &viewer{box: other.ID}, &viewer{box: boxes[1]}
	h.must(h.look(first))
	h.must(h.look(second))
	h.must(h.look(poor))
	if first.told+second.told != 1 || poor.told != 0 {
		t.Errorf("told %d, %d and %d to yield", first.told, second.told, poor.told)
	}
	for _, v := range []*viewer{first, second} {
		if v.told > 0 {
			h.Keep(&v.keep, nil, nil)
			if err := h.look(v); !errors.Is(err, store.ErrNoRoomForView) || mail.KindOf(err) != mail.Unavailable {
				t.Errorf("one more view: %v", err)
			}
		}
	}
}

func TestOnlyViewStays(t *testing.T) {
	h := newHouse(t, func(o *store.Options) { o.ViewMemory = 8 << 10 })
	boxes := h.filled(1, 1200)
	current, late := &viewer{box: boxes[0]}, &viewer{box: boxes[0]}
	h.must(h.look(current))
	h.must(h.look(late))
	for i := range 3 {
		_, err := h.SetFlags(ctx, boxes[0], mail.UIDSet{{First: 1, Last: 1}}, store.FlagChange{Mode: []store.FlagMode{store.FlagsAdd, store.FlagsRemove}[i%2], Flags: mail.Seen})
		h.must(err)
		if i == 0 {
			h.must(h.look(current))
		}
	}
	if late.told != 1 {
		t.Errorf("who kept an old version was told to yield %d times", late.told)
	}
	h.must(h.look(current))
}
