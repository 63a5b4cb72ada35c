package imapd

import (
	"fmt"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Every keyword in a FETCH response was named by the last FLAGS response,
// whatever became of it between the moments that an answer is made of: rows can
// be newer than the view that names come from, and messages that left are told as
// the client's view has them, though their keyword gave its number to another.
func TestKeywordsAreNamed(t *testing.T) {
	t.Run("newer than the view, and freed after the rows were read", func(t *testing.T) {
		h, m := newNamed(t)
		h.fail.before = func() {
			h.setKeywords(1, "One")
			h.setKeywords(2, "Two")
		}
		h.fail.after = func() {
			h.setKeywords(1, "")
			h.setKeywords(2, "")
			h.fillKeywords()
		}
		m.must("FETCH 1:3 (FLAGS RFC822.SIZE)")
		m.told("One", "Two")
	})
	t.Run("freed after the client was told", func(t *testing.T) {
		h, m := newNamed(t)
		h.setKeywords(2, "Two")
		m.run("FETCH 1:* (UID FLAGS)")
		h.setKeywords(2, "")
		h.must(h.expungeElsewhere("2"))
		h.fillKeywords()
		m.must("FETCH 1:2 (FLAGS BODY[TEXT])")
		m.told("Two")
	})
}

// newNamed returns a house with the messages 1 to 7 in INBOX, and a client that
// has it selected and heard no flags yet.
func newNamed(t *testing.T) (*house, *member) {
	h := newHouse(t)
	for i := range 3 + store.MaxBoxKeywords/mail.MaxKeywords {
		h.deliver(mail.Inbox, simple(fmt.Sprint(i)), 0)
	}
	m := &member{client: h.client(t, "A"), crowd: &crowd{fixed: map[string]string{}, said: map[string]int{}}}
	m.watch = m.check
	m.run("SELECT INBOX")
	return h, m
}

// told fails unless a message was told to have each of the keywords.
func (m *member) told(keywords ...string) {
	m.t.Helper()
	for _, k := range keywords {
		if !m.heard[k] {
			m.fatal("no message was told to have " + k)
		}
	}
}

// setKeywords is another client that replaces the flags of a message of INBOX.
func (h *house) setKeywords(uid mail.UID, keywords mail.Keywords) {
	h.t.Helper()
	_, err := h.store.SetFlags(h.ctx, h.boxID(mail.Inbox), mail.UIDs(uid), store.FlagChange{Mode: store.FlagsReplace, Keywords: keywords})
	h.must(err)
}

// fillKeywords gives every number that no message of INBOX needs to a new
// keyword, on the messages from 4 on.
func (h *house) fillKeywords() {
	h.t.Helper()
	for i := range store.MaxBoxKeywords / mail.MaxKeywords {
		var names []string
		for k := range mail.MaxKeywords {
			names = append(names, fmt.Sprintf("k%d-%d", i, k))
		}
		h.setKeywords(mail.UID(4+i), mail.SortedKeywords(names))
	}
}
