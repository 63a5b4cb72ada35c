package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// A crowd has so many writers, who do so many things each; with YUBIN_LONG many more.
const (
	crowdSize  = 12
	crowdSteps = 40
	longSteps  = 2000
)

// crowd is who writes to a few accounts at the same time. Accounts up to
// stay are not removed.
type crowd struct {
	*house
	stay, all mail.AccountID

	mu    sync.Mutex
	filed map[mail.AccountID][]mail.EmailID // that was acknowledged
}

// TestWritersSideBySide: many deliver to overlapping sets of accounts, copy, move, tag,
// expunge, restore, rename, import, and remove accounts, with all sweeps
// beside them. Nothing that was acknowledged is lost or doubled, all that must hold
// holds, and nobody ever waits for somebody who waits for him: on a server no
// transaction had to be run again.
func TestWritersSideBySide(t *testing.T) {
	c := &crowd{house: newHouse(t, func(o *store.Options) {
		o.Retention = store.Retention{Changes: 1 << 60, ChangeOctets: 1 << 40} // What was acknowledged is compared with all of them.
	}), stay: 4, all: 12, filed: map[mail.AccountID][]mail.EmailID{}}
	for a := range c.all {
		c.account(a + 1)
	}
	steps := crowdSteps
	if os.Getenv("YUBIN_LONG") != "" {
		steps = longSteps
	}
	var wg sync.WaitGroup
	for w := range crowdSize {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 17))
			for i := range steps {
				c.write(r, w, i, i > steps/2)
			}
		})
	}
	ended := make(chan struct{})
	var sweeps sync.WaitGroup
	for range 2 {
		sweeps.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				c.advance(12 * time.Hour)
				c.allowed("a sweep", c.Sweep(ctx))
				c.allowed("tidying", c.Tidy(ctx))
			}
		})
	}
	wg.Wait()
	close(ended)
	sweeps.Wait()
	if n := c.db.Traffic().Again; n > 0 {
		t.Errorf("%d transactions were run again: two waited for each other", n)
	}
	c.totals()
}

// write does one thing. Accounts are removed late only.
func (c *crowd) write(r *rand.Rand, w, i int, late bool) {
	account := mail.AccountID(r.IntN(int(c.all))) + 1
	some := mail.UIDSet{{First: mail.UID(r.IntN(20) + 1), Last: mail.UID(r.IntN(40) + 20)}}
	name := mail.MailboxName(fmt.Sprintf("box%d", r.IntN(3)))
	from, to := c.someBox(r, account), c.someBox(r, account)
	switch n := r.IntN(20); {
	case n < 8:
		c.send(r, w, i)
	case n < 9:
		var list []store.Imported
		for k := range 5 {
			in := c.NewIncoming()
			defer in.Close()
			_, err := in.Write([]byte(text(fmt.Sprint(w, i, k), "import", fmt.Sprint("body ", r.IntN(5)))))
			c.must(err)
			list = append(list, store.Imported{Incoming: in, Received: c.now()})
		}
		filed, err := c.DeliverNumbered(ctx, from, list, nil)
		c.allowed("an import", err)
		c.acknowledged(account, filed)
	case n < 11:
		_, err := c.SetFlags(ctx, from, some, store.FlagChange{Mode: store.FlagMode(r.IntN(2)), Flags: mail.Seen | mail.Deleted,
			Keywords: mail.Keywords(fmt.Sprintf("$w%d", r.IntN(4)))})
		c.allowed("STORE", err)
	case n < 13:
		_, err := c.Move(ctx, from, some, to)
		c.allowed("MOVE", err)
	case n < 14:
		_, err := c.Copy(ctx, from, some, to)
		c.allowed("COPY", err)
	case n < 15:
		_, err := c.ExpungeAny(ctx, from, some)
		c.allowed("EXPUNGE", err)
	case n < 16:
		_, err := c.restoreSince(account, c.now().Add(-48*time.Hour))
		c.allowed("a restore", err)
	case n < 17:
		_, err := c.CreateMailbox(ctx, account, name, "")
		c.allowed("CREATE", err)
	case n < 18:
		c.allowed("RENAME", c.RenameMailbox(ctx, account, name, "up/"+name))
		c.allowed("RENAME", c.RenameMailbox(ctx, account, "up/"+name, mail.MailboxName(fmt.Sprintf("box%d", r.IntN(9)))))
	case n < 19:
		c.allowed("DELETE", c.DeleteMailbox(ctx, account, name))
	default:
		_, err := c.TakeRecent(ctx, from)
		c.allowed("SELECT", err)
		if account > c.stay && late {
			c.allowed("a removal", c.db.Write(ctx, func(tx *sqldb.Tx) error { return c.DeleteAccount(tx, account) }))
		}
	}
}

// send delivers to some accounts; the octets are often those of somebody else's message.
func (c *crowd) send(r *rand.Rand, w, i int) {
	in := c.NewIncoming()
	defer in.Close()
	_, err := in.Write([]byte(text(fmt.Sprint("id", r.IntN(4)), "common", fmt.Sprint("body ", r.IntN(5)))))
	c.must(err)
	var to []store.Filing
	for _, a := range r.Perm(int(c.all))[:r.IntN(4)+1] {
		f := c.inbox(mail.AccountID(a + 1))
		f.Prefix = fmt.Appendf(nil, "X-By: %d.%d\r\n", w, i)
		to = append(to, f)
	}
	var refused store.Refused
	filed, err := c.Deliver(ctx, store.Posting{Message: in, Filings: to, Decide: func(r store.Refused) (int, error) {
		refused = r
		return 0, nil
	}})
	c.allowed("a delivery", err)
	for k, f := range to {
		if err == nil && refused.Accounts[f.Account] == nil {
			c.acknowledged(f.Account, filed[k:k+1])
		}
	}
}

func (c *crowd) someBox(r *rand.Rand, account mail.AccountID) mail.MailboxID {
	list, err := c.Mailboxes(ctx, account)
	if err != nil {
		c.allowed("LIST", err)
		return 1 << 30
	}
	return list[r.IntN(len(list))].ID
}

// allowed says what somebody may hear whose mailbox or account is gone, or whose name
// somebody else took.
func (c *crowd) allowed(what string, err error) {
	if err == nil {
		return
	}
	if k := mail.KindOf(err); !slices.Contains([]mail.Kind{mail.NotFound, mail.Exists, mail.Conflict, mail.Forbidden}, k) {
		c.t.Errorf("%s: %v (%v)", what, err, k)
	}
}

func (c *crowd) acknowledged(account mail.AccountID, filed []store.Filed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range filed {
		c.filed[account] = append(c.filed[account], f.Email)
	}
}

// totals compares what came to be in the accounts that stayed with what was
// acknowledged.
func (c *crowd) totals() {
	for account := mail.AccountID(1); account <= c.stay; account++ {
		came := map[mail.EmailID]bool{}
		for since, more := (store.ChangeState{}), true; more; {
			changes, err := c.Changes(ctx, account, since, 0)
			c.must(err)
			for _, one := range changes.List {
				if one.Kind == store.EmailCreated {
					came[one.Email] = true
				}
			}
			since, more = changes.State, changes.More
		}
		for _, id := range c.filed[account] {
			if !came[id] {
				c.t.Errorf("account %d: email %d was acknowledged and never came", account, id)
			}
			delete(came, id)
		}
		if len(came) > 0 {
			c.t.Errorf("account %d: %d emails came that nobody was told of", account, len(came))
		}
	}
}
