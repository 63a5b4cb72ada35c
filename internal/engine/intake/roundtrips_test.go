//go:build postgres

package intake_test

import (
	"fmt"
	"testing"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// TestRoundTrips: to a server that is far away a delivery takes three round trips,
// whatever the number of recipients: one to lock and read the accounts, one for the
// octets, one that writes and commits.
func TestRoundTrips(t *testing.T) {
	const oneWay, recipients = 40 * time.Millisecond, 20
	proxy := dbtest.NewProxy(t)
	h := newHouseOn(t, nil, func(t testing.TB, _ ...func(*sqldb.Options)) *sqldb.DB {
		db, err := sqldb.Open(ctx, dbtest.OnURL(t, proxy.URL()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	})
	var all []intake.Recipient
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for a := mail.AccountID(11); a < 11+recipients; a++ {
			if err := h.store.CreateAccount(tx, a); err != nil {
				return err
			}
			r := to(fmt.Sprintf("r%d@here.test", a), nil)
			r.Route.Accounts = []mail.AccountID{a}
			all = append(all, r)
		}
		return nil
	}))
	number := 0
	deliver := func(to []intake.Recipient) time.Duration {
		number++
		p := h.plan(fmt.Sprintf("Message-ID: <%d@a.test>\r\n%s", number, text), from("s@a.test"), to...)
		began := time.Now()
		r, err := h.Commit(ctx, p)
		h.must(err)
		if len(r.Filed) != len(to) {
			t.Fatalf("%d filed of %d", len(r.Filed), len(to))
		}
		return time.Since(began)
	}
	for range 3 { // The statements become known.
		deliver(all)
		deliver(all[:1])
	}
	proxy.Delay(oneWay)
	defer proxy.Delay(0)
	for _, n := range []int{1, recipients} {
		took := time.Hour
		for range 4 {
			took = min(took, deliver(all[:n]))
		}
		trips := float64(took) / float64(2*oneWay)
		t.Logf("%d recipients: %.1f round trips", n, trips)
		if trips >= 4 {
			t.Errorf("%d recipients: %.1f round trips, want 3", n, trips)
		}
	}
}
