package store_test

import (
	"fmt"
	"slices"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

func TestSurveyOfView(t *testing.T) {
	h := newHouse(t)
	f := h.inbox(h.account(1))
	id := h.box(1, mail.Inbox).ID
	if v := h.view(id); v.FirstUnseen() != 0 || len(v.KeywordNames().List()) != 0 {
		t.Errorf("an empty mailbox: %d, %q", v.FirstUnseen(), v.KeywordNames().List())
	}
	for i := range 3 {
		h.deliver(fmt.Sprint(i), slices.Repeat([]store.Filing{f}, 700)...)
	}
	for _, last := range []mail.UID{1, 511, 512, 513, 2099, 2100} {
		_, err := h.SetFlags(ctx, id, mail.UIDSet{{First: 1, Last: last}}, store.FlagChange{Flags: mail.Seen})
		h.must(err)
		if got, want := h.view(id).FirstUnseen(), int(last+1)%2101; got != want {
			t.Errorf("1 to %d seen: the first unseen is %d, want %d", last, got, want)
		}
	}
	for _, k := range []mail.Keywords{"a", "b"} {
		_, err := h.SetFlags(ctx, id, mail.UIDs(7), store.FlagChange{Keywords: k})
		h.must(err)
	}
	if got := h.view(id).KeywordNames().List(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("keywords %q", got)
	}
}
