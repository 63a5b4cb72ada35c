package queue

import (
	"context"
	"io"
	"testing"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// home has the mailbox of account 7, for all mail.
type home struct {
	*house
	before func() // files
}

func (h home) NextHop(context.Context, Question) (Hop, error) {
	return Hop{NextHop: mail.NextHop{Kind: mail.HopLocal}, Here: true}, nil
}

// File files the message, and refuses the recipients whom byLocal refuses.
func (h home) File(_ context.Context, hop mail.NextHop, _ spool.Item, t mail.Transaction, settle func(*sqldb.Tx, []mail.Result) error) ([]mail.Result, bool) {
	h.before()
	in := h.store.NewIncoming()
	defer in.Close()
	c, err := t.Content()
	h.must(err)
	defer c.Close()
	_, err = io.Copy(in, c)
	h.must(err)
	var results, failed []mail.Result
	for _, r := range t.Recipients {
		a := byLocal(hop, r)
		a.At = time.Now()
		results = append(results, mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}})
		a.Outcome = mail.Deferred
		failed = append(failed, mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}})
	}
	_, err = h.store.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{{Account: 7, Role: mail.RoleInbox, Received: time.Now()}},
		Also: func(tx *sqldb.Tx, _ []store.Filed, _ []store.BlobRef) error { return settle(tx, results) }})
	if err != nil {
		return failed, false
	}
	return results, true
}

// TestFiledHereOnce: what has a mailbox here is filed in the commit that settles it,
// and is not filed by who lost it to another node; who cannot have it is told of.
func TestFiledHereOnce(t *testing.T) {
	inBubble(t, func(h *house) {
		at := home{h, func() {}}
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.CreateAccount(tx, 7) }))
		h.options = func(o *Options) { o.Router, o.Filer = &at, &at }
		h.Queue = h.queue("here", true)
		h.run()
		h.send("one", from("s@a.test"), to("x@here.test", "no@here.test"))
		h.pass(time.Minute)
		h.want("filed, and the report", h.one(`SELECT count(*) FROM email`), 2)
		h.want("told", h.told(), []string{"failed no@here.test"})

		taken := false
		at.before = func() {
			if !taken {
				taken = true
				h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
					_, err := tx.Exec(`UPDATE queue_delivery SET owner = 99 WHERE recipient = 'y@here.test'`)
					return err
				}))
			}
		}
		h.send("two", from("s@a.test"), to("y@here.test"))
		h.pass(time.Minute)
		h.want("filed by who lost it", h.one(`SELECT count(*) FROM email`), 2)
		h.want("left", h.one(`SELECT count(*) FROM queue_delivery WHERE owner = 99`), 1)
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE queue_delivery SET owner = 0`)
			return err
		}))
		h.pass(time.Hour)
		h.want("filed at last", h.one(`SELECT count(*) FROM email`), 3)
		h.want("left", h.count(Filter{}).Waiting, 0)
	})
}
