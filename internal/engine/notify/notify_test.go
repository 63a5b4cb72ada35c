package notify_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"yubin/internal/engine/notify"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

func TestHub(t *testing.T) {
	var h notify.Hub
	var got []store.Event
	keep := func(e store.Event) { got = append(got, e) }
	cancel := h.Subscribe(1, keep)
	cancelOther := h.Subscribe(2, keep)
	h.Publish(store.Event{Account: 1, Mailbox: 7, ModSeq: 3})
	h.Publish(store.Event{Account: 3})
	if len(got) != 1 || got[0].Mailbox != 7 {
		t.Errorf("events %v", got)
	}
	cancel()
	cancel()
	h.Publish(store.Event{Account: 1})
	h.Publish(store.Event{Account: 2})
	if len(got) != 2 || got[1].Account != 2 {
		t.Errorf("events %v", got)
	}
	cancelOther()
	if n := h.Subscribers(); n != 0 {
		t.Errorf("%d subscribers are left", n)
	}
}

func TestHubAtOnce(t *testing.T) {
	var h notify.Hub
	var calls atomic.Int64
	var wg sync.WaitGroup
	var stay []func()
	for range 10_000 {
		stay = append(stay, h.Subscribe(1, func(store.Event) { calls.Add(1) }))
	}
	for i := range 4 {
		wg.Go(func() {
			for range 50 {
				h.Subscribe(mail.AccountID(i), func(store.Event) {})()
				h.Publish(store.Event{Account: mail.AccountID(i)})
			}
		})
	}
	wg.Wait()
	if n := calls.Load(); n != 50*10_000 {
		t.Errorf("%d calls", n)
	}
	for _, cancel := range stay {
		cancel()
	}
	if n := h.Subscribers(); n != 0 {
		t.Errorf("%d subscribers are left", n)
	}
}
