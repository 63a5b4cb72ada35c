package transfer

import (
	"context"
	"io"
	"strings"
	"testing"

	"yubin/internal/world/sqldb"
)

// meddling is a source in whose folders something happens before they are read.
type meddling struct {
	*Maildir
	before func(Folder)
}

func (m meddling) Open(ctx context.Context, f Folder) (Mailbox, error) {
	box, err := m.Maildir.Open(ctx, f)
	return meddled{box, func() { m.before(f) }}, err
}

type meddled struct {
	Mailbox
	before func()
}

func (m meddled) Read(ctx context.Context, list []Message, each func(int, func(io.Writer) error) error) error {
	m.before()
	return m.Mailbox.Read(ctx, list, each)
}

// TestMailboxGoesMeanwhile: a mailbox that is deleted while mail is taken into it
// cuts its folder short, and no other; its mail goes nowhere else, and comes the next
// time. So does an account, of which nothing is left to take mail.
func TestMailboxGoesMeanwhile(t *testing.T) {
	h := newHouse(t)
	f := newFiles(t)
	f.put(".Gone/cur/1.a:2,S", "A: 1\n\n")
	f.put(".Stay/cur/1.a:2,S", "A: 2\n\n")
	r := h.take(meddling{f.source(), func(f Folder) {
		if f.Levels[0] == "Gone" {
			h.must(h.store.DeleteMailbox(h.ctx, 1, "Gone"))
		}
	}}, Plan{})
	if r.Taken != 1 || r.Failed != 1 || !strings.Contains(r.Failures[0].Reason, "no such mailbox") {
		t.Errorf("%+v", r)
	}
	h.want("Stay", h.show(1, "Stay"), "[1 [\\Seen][] A: 2\r\n\r\n]")
	h.want("INBOX", h.show(1, "INBOX"), "[]")
	h.want("then", h.take(f.source(), Plan{}).Taken, "1")
	h.want("Gone", h.show(1, "Gone"), "[1 [\\Seen][] A: 1\r\n\r\n]")

	removed := false
	r = h.take(meddling{f.source(), func(Folder) {
		if !removed {
			removed = true
			h.must(h.db.Write(h.ctx, func(tx *sqldb.Tx) error { return h.store.DeleteAccount(tx, 2) }))
		}
	}}, Plan{Account: 2})
	if r.Taken != 0 || r.Failed == 0 || !removed {
		t.Errorf("%+v", r)
	}
}
