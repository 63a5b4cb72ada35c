// Package notify tells the sessions of an account that something changed in
// it. Hub.Publish is what store.Options.Publish wants; callbacks run in the
// publisher's goroutine, inside the writer, so they must be quick and must not
// block, call the store or publish. A session puts a token into a channel that
// has room for one, and then looks for itself what changed.
//
// It keeps nothing: who subscribes late has missed what was before, and asks
// the store.
package notify

import (
	"sync"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Hub passes events on to who subscribed. The zero value is ready. Safe for
// concurrent use.
type Hub struct {
	mu       sync.RWMutex
	accounts map[mail.AccountID]map[*subscription]struct{}
}

// subscription is one subscriber; its address tells it from the others.
type subscription struct{ fn func(store.Event) }

// Subscribe has fn called for every event of an account until cancel,
// which fn must not call itself. After cancel returned, fn is not called again.
func (h *Hub) Subscribe(account mail.AccountID, fn func(store.Event)) (cancel func()) {
	s := &subscription{fn}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.accounts == nil {
		h.accounts = make(map[mail.AccountID]map[*subscription]struct{})
	}
	if h.accounts[account] == nil {
		h.accounts[account] = make(map[*subscription]struct{})
	}
	h.accounts[account][s] = struct{}{}
	return func() { h.drop(account, s) }
}

func (h *Hub) drop(account mail.AccountID, s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.accounts[account], s)
	if len(h.accounts[account]) == 0 {
		delete(h.accounts, account)
	}
}

// Publish calls all subscribers of the event's account, in no order.
func (h *Hub) Publish(e store.Event) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.accounts[e.Account] {
		s.fn(e)
	}
}

// Subscribers counts the subscriptions.
func (h *Hub) Subscribers() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := 0
	for _, subs := range h.accounts {
		n += len(subs)
	}
	return n
}
