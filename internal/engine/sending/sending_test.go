package sending

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// bureau is a Sending with a clock of its own, and one account that knows some people.
type bureau struct {
	*Sending
	t       *testing.T
	now     time.Time
	db      *sqldb.DB
	tripped []Held
	failing error
	who     Sender
	gone    mail.AccountID
	sent    int // addresses that were made up
}

// monday is 2026-05-04, 12:00 UTC.
var monday = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newBureau(t *testing.T) *bureau {
	b := &bureau{t: t, db: dbtest.Open(t), now: monday, who: Sender{Account: 7, Domain: "example.org", From: netip.MustParseAddr("203.0.113.7")}}
	b.Sending = b.open()
	return b
}

// open is another process over the same database.
func (b *bureau) open() *Sending {
	b.t.Helper()
	n, err := Open(b.t.Context(), Options{DB: b.db, Now: func() time.Time { return b.now },
		Acquainted: func(_ context.Context, _ mail.AccountID, a mail.Address) (bool, error) {
			return strings.HasPrefix(a.Local, "friend"), b.failing
		},
		Local:      func(_ context.Context, d mail.Domain) (bool, error) { return d == "example.org", nil },
		HasAccount: func(_ *sqldb.Tx, id mail.AccountID) (bool, error) { return id != b.gone, nil },
		Tripped:    func(h Held) { b.tripped = append(b.tripped, h) },
	}, Settings{Bounds: DefaultBounds(), Breaker: true})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// send sends a message to so many strangers and friends, and says whether it is held, or the error.
func (b *bureau) send(strangers, friends int) string {
	b.t.Helper()
	var fresh []mail.Address
	for i := range strangers + friends {
		name := fmt.Sprintf("friend%d@friends.example", i)
		if i < strangers {
			b.sent++
			name = fmt.Sprintf("n%d@strangers.example", b.sent)
		}
		isNew, err := b.May(b.t.Context(), b.who, address(name), len(fresh))
		if err != nil {
			return err.Error()
		}
		if isNew != (i < strangers) {
			b.t.Fatalf("%s is new: %t", name, isNew)
		}
		if isNew {
			fresh = append(fresh, address(name))
		}
	}
	taken, err := b.Take(b.t.Context(), b.who, strangers+friends, fresh)
	if err != nil {
		return err.Error()
	}
	return taken.Hold
}

func (b *bureau) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// sends is send of what goes on.
func (b *bureau) sends(strangers, friends int) {
	b.t.Helper()
	if got := b.send(strangers, friends); got != "" {
		b.t.Fatalf("at %s, %d strangers and %d friends: %s", b.now, strangers, friends, got)
	}
}

// lives has an account send, on so many days up to yesterday, to so many strangers and friends each.
func (b *bureau) lives(days, strangers, friends int) {
	b.t.Helper()
	b.now = b.now.Add(-time.Duration(days) * day)
	for range days {
		b.sends(strangers, friends)
		b.must(b.Flush(b.t.Context()))
		b.now = b.now.Add(day)
	}
}

// TestLimits: an account at a bound hears so with the time when it may go on; then it may.
func TestLimits(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		change Change
		fine   int // messages to one stranger each
		told   string
		goesOn time.Duration
	}{
		"messages, hour": {Change{MessagesHour: number(3)}, 3, "this account sent 3 messages in this hour, as many as it may; go on at 13:00 UTC", 30 * time.Minute},
		"messages, day":  {Change{MessagesDay: number(1)}, 1, "this account sent 1 message in 24 hours, as many as it may; go on at 2026-05-05 12:00 UTC", 23*time.Hour + 30*time.Minute},
		"new, hour":      {Change{NewHour: number(2)}, 2, "this account wrote to 2 new recipients in this hour, as many as it may; go on at 13:00 UTC", 30 * time.Minute},
		"new, day":       {Change{NewDay: number(2)}, 2, "this account wrote to 2 new recipients in 24 hours, as many as it may; go on at 2026-05-05 12:00 UTC", 23*time.Hour + 30*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBureau(t)
			b.now = b.now.Add(30 * time.Minute)
			if _, err := b.SetRule(t.Context(), Scope{Account: 7}, c.change); err != nil {
				t.Fatal(err)
			}
			for range c.fine {
				b.sends(1, 0)
			}
			if got := b.send(1, 0); got != c.told {
				t.Errorf("told %q, want %q", got, c.told)
			}
			if newOnly := strings.HasPrefix(name, "new"); newOnly == (b.send(0, 1) != "") {
				t.Errorf("a friend is written to: %t", !newOnly)
			}
			b.now = b.now.Add(c.goesOn - time.Second)
			if got := b.send(1, 0); got == "" {
				t.Error("it goes on too soon")
			}
			b.now = b.now.Add(time.Second)
			b.sends(1, 0)
		})
	}
}

// TestTooMany: a message for more than may be written to says so.
func TestTooMany(t *testing.T) {
	b := newBureau(t)
	most := int64(2)
	if _, err := b.SetRule(t.Context(), Scope{Account: 7}, Change{NewHour: &most}); err != nil {
		t.Fatal(err)
	}
	if got, want := b.send(3, 0), "this account wrote to 0 new recipients in this hour and may to 2, and this message is for more; go on at "; !strings.HasPrefix(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestRules: what an account's rule does not say its domain's does, and else the settings.
func TestRules(t *testing.T) {
	b := newBureau(t)
	n, off, def := int64(10), Off, Above
	rule := func(want Rule) {
		t.Helper()
		s, err := b.Status(t.Context(), b.who)
		if err != nil || s.Rule != want {
			t.Errorf("%+v, %v, want %+v", s.Rule, err, want)
		}
	}
	site := Rule{DefaultBounds(), On}
	rule(site)
	if _, err := b.SetRule(t.Context(), Scope{Domain: "example.org"}, Change{NewDay: &n, Breaker: &off}); err != nil {
		t.Fatal(err)
	}
	want := site
	want.NewDay, want.Breaker = 10, Off
	rule(want)
	zero, on := int64(Unbounded), On
	if _, err := b.SetRule(t.Context(), Scope{Account: 7}, Change{NewDay: &zero, MessagesHour: &n, Breaker: &on}); err != nil {
		t.Fatal(err)
	}
	want.NewDay, want.MessagesHour, want.Breaker = 0, 10, On
	rule(want)
	above := int64(Above)
	if r, err := b.SetRule(t.Context(), Scope{Account: 7}, Change{NewDay: &above, MessagesHour: &above, Breaker: &def}); err != nil || r != NoRule() {
		t.Errorf("%+v, %v", r, err)
	}
	bad := int64(-2)
	if _, err := b.SetRule(t.Context(), Scope{Account: 7}, Change{NewDay: &bad}); mail.KindOf(err) != mail.Invalid {
		t.Errorf("a bound of -2: %v", err)
	}
	b.must(b.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		b.DropDomain(tx, "example.org")
		return nil
	}))
	b.now = b.now.Add(FreshFor)
	rule(site)
}

// TestNew: who is a stranger once is none the next time, a colleague never is, and what cannot
// be found out refuses nobody.
func TestNew(t *testing.T) {
	b := newBureau(t)
	for range 2 {
		isNew, err := b.May(t.Context(), b.who, address("x@strangers.example"), 0)
		if err != nil || !isNew {
			t.Errorf("before anything was sent: new %t, %v", isNew, err)
		}
	}
	if _, err := b.Take(t.Context(), b.who, 1, []mail.Address{address("x@strangers.example")}); err != nil {
		t.Fatal(err)
	}
	for a, from := range map[string]string{"X@STRANGERS.example": "", "colleague@example.org": ""} {
		if isNew, err := b.May(t.Context(), b.who, address(a), 0); err != nil || isNew {
			t.Errorf("%s%s: new %t, %v", a, from, isNew, err)
		}
	}
	b.failing = mail.Errorf(mail.Unavailable, "no database")
	if _, err := b.May(t.Context(), b.who, address("y@strangers.example"), 0); err != nil {
		t.Errorf("what cannot be found out refuses: %v", err)
	}
	if _, err := b.May(t.Context(), Sender{}, address("y@strangers.example"), 0); err != nil {
		t.Errorf("nobody's mail: %v", err)
	}
}

// TestUndo: what was refused after all is not counted.
func TestUndo(t *testing.T) {
	b := newBureau(t)
	taken, err := b.Take(t.Context(), b.who, 3, []mail.Address{address("x@strangers.example")})
	if err != nil {
		t.Fatal(err)
	}
	taken.Undo()
	Taken{}.Undo()
	if s, err := b.Status(t.Context(), b.who); err != nil || s.Hour != (Count{}) || s.Today != (Count{}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestRestart: counts are there after a restart, and what two processes count is added.
func TestRestart(t *testing.T) {
	b := newBureau(t)
	other := &bureau{t: t, now: b.now, db: b.db, who: b.who, sent: 1000}
	other.Sending = other.open()
	b.sends(2, 1)
	b.must(b.Flush(t.Context()))
	other.sends(3, 0)
	b.sends(1, 0)
	b.must(other.Flush(t.Context()))
	b.must(b.Flush(t.Context()))
	b.must(b.Flush(t.Context())) // Nothing is written twice.
	for name, n := range map[string]*Sending{"itself": b.Sending, "the other": other.Sending, "a new one": b.open()} {
		b.now, other.now = b.now.Add(FreshFor), other.now.Add(FreshFor)
		s, err := n.Status(t.Context(), b.who)
		if want := (Count{Messages: 3, Recipients: 7, New: 6}); err != nil || s.Hour != want || s.Day != want || s.Today != want {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// TestBaseline: the statistics, by hand.
func TestBaseline(t *testing.T) {
	for name, c := range map[string]struct {
		days  []int64
		young bool
		want  Usual
	}{
		"nothing":             {nil, true, Usual{Bound: 500}},
		"young":               {[]int64{1000, 2000}, true, Usual{Median: 2000, Deviation: 1000, Most: 2000, Bound: 500}},
		"little":              {[]int64{1, 2, 3, 4, 5, 6, 7}, false, Usual{Median: 4, Deviation: 2, Most: 7, Bound: 500}},
		"much":                {[]int64{100, 200, 300, 300, 300, 300, 300, 300, 400, 500}, false, Usual{Median: 300, Deviation: 0, Most: 400, Bound: 1200}},
		"one wild day of ten": {[]int64{10, 10, 10, 10, 10, 10, 10, 10, 10, 9000}, false, Usual{Median: 10, Deviation: 0, Most: 10, Bound: 500}},
		"it varies":           {[]int64{0, 0, 0, 0, 100, 500, 500, 500, 500}, false, Usual{Median: 100, Deviation: 100, Most: 500, Bound: 1500}},
	} {
		if got := usual(c.days, 500, c.young); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestBreaker: who is held, and for what; first newsletters below the absolute bound are fine.
func TestBreaker(t *testing.T) {
	for name, c := range map[string]struct {
		days, strangers, friends int // of the life before
		before                   func(*bureau)
		send                     [2]int
		held                     string // "" for not
	}{
		"a new account":            {0, 0, 0, nil, [2]int{200, 0}, ""},
		"a new account, too much":  {0, 0, 0, nil, [2]int{201, 0}, "201 new recipients today; an account that sent on less than 7 days before may write to 200"},
		"a new account, friends":   {0, 0, 0, nil, [2]int{0, 1001}, "1001 recipients today; an account that sent on less than 7 days before may write to 1000"},
		"a first newsletter":       {20, 2, 5, nil, [2]int{500, 0}, ""},
		"beyond a newsletter":      {20, 2, 5, nil, [2]int{501, 0}, "501 new recipients today; on nine days of ten it is at most 2, and 500 are let through"},
		"who always sends much":    {20, 200, 0, nil, [2]int{600, 0}, ""},
		"much more than much":      {10, 200, 0, nil, [2]int{601, 0}, "601 new recipients today; on nine days of ten it is at most 200, and 600 are let through"},
		"from another network":     {20, 2, 5, func(b *bureau) { b.who.From = netip.MustParseAddr("198.51.100.1") }, [2]int{251, 0}, "251 new recipients today; on nine days of ten it is at most 2, and 250 are let through, half of what it is otherwise: it comes from a network that the account did not use before"},
		"another address there":    {20, 2, 5, func(b *bureau) { b.who.From = netip.MustParseAddr("203.0.113.99") }, [2]int{500, 0}, ""},
		"at night":                 {20, 2, 5, func(b *bureau) { b.now = b.now.Add(13 * time.Hour) }, [2]int{251, 0}, "251 new recipients today; on nine days of ten it is at most 2, and 250 are let through, half of what it is otherwise: the account never sends at this hour"},
		"an hour later":            {20, 2, 5, func(b *bureau) { b.now = b.now.Add(time.Hour) }, [2]int{500, 0}, ""},
		"at night, from elsewhere": {20, 2, 5, func(b *bureau) { b.now, b.who.From = b.now.Add(13*time.Hour), netip.MustParseAddr("198.51.100.1") }, [2]int{126, 0}, "126 new recipients today; on nine days of ten it is at most 2, and 125 are let through, a quarter of what it is otherwise: it comes from a network that the account did not use before, at an hour at which it never sends"},
		"days that are too old":    {10, 100, 0, func(b *bureau) { b.now = b.now.Add(40 * day) }, [2]int{201, 0}, "201 new recipients today; an account that sent on less than 7 days before may write to 200"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBureau(t)
			none := int64(Unbounded)
			if _, err := b.SetRule(t.Context(), Scope{Account: 7}, Change{NewHour: &none, NewDay: &none}); err != nil {
				t.Fatal(err)
			}
			b.lives(c.days, c.strangers, c.friends)
			if c.before != nil {
				c.before(b)
			}
			if got := b.send(c.send[0], c.send[1]); got != c.held {
				t.Errorf("held for %q, want %q", got, c.held)
			}
			if got := len(b.tripped) == 1; got != (c.held != "") {
				t.Errorf("told of %d", len(b.tripped))
			}
			if got := b.send(0, 1); (got != "") != (c.held != "") {
				t.Errorf("what comes then is held for %q", got)
			}
		})
	}
}

// TestRelease: after a release the counting of the day begins anew; what an account sent while it was held
// is learned from, unless it was stolen.
func TestRelease(t *testing.T) {
	for _, stolen := range []bool{false, true} {
		b := newBureau(t)
		b.lives(10, 2, 5)
		if got := b.send(900, 0); got == "" {
			t.Fatal("it is not held")
		}
		b.must(b.Flush(t.Context()))
		if held := b.open().Held(); len(held) != 1 || held[0].Account != 7 || held[0].Owed != OwedAll || held[0].Reason != b.tripped[0].Reason || !held[0].Since.Equal(b.now) {
			t.Errorf("after a restart: %+v", held)
		}
		b.must(b.db.Write(t.Context(), func(tx *sqldb.Tx) error { return b.Told(tx, b.tripped[0], OwedOwner) }))
		if err := b.db.Write(t.Context(), func(tx *sqldb.Tx) error { return b.Told(tx, b.tripped[0], OwedOwner) }); mail.KindOf(err) != mail.Conflict {
			t.Errorf("told twice: %v", err)
		}
		if held := b.Held(); held[0].Owed != OwedQueue || b.open().Held()[0].Owed != OwedQueue {
			t.Errorf("owed: %d", held[0].Owed)
		}
		if _, err := b.Release(t.Context(), b.who, stolen); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Release(t.Context(), b.who, stolen); mail.KindOf(err) != mail.NotFound {
			t.Errorf("released twice: %v", err)
		}
		if len(b.Held()) != 0 || len(b.open().Held()) != 0 {
			t.Error("it is held still")
		}
		b.sends(90, 0) // Bound by the day's 900 it would be held.
		b.now = b.now.Add(day)
		s, err := b.Status(t.Context(), b.who)
		if want := map[bool]int{false: 11, true: 10}[stolen]; err != nil || s.Baseline.Days != want {
			t.Errorf("stolen %t: learned from %d days, %v", stolen, s.Baseline.Days, err)
		}
		b.must(b.Check(t.Context(), func(p string) { t.Error(p) }))
	}
}

// TestBounces: an account of whose recipients far more bounce than usual is held.
func TestBounces(t *testing.T) {
	b := newBureau(t)
	b.Bounced(8) // Nobody knows it.
	b.sends(100, 0)
	for range ManyBounces - 1 {
		b.Bounced(7)
	}
	b.sends(0, 1)
	if len(b.tripped) != 0 {
		t.Fatal("it is held too soon")
	}
	b.Bounced(7)
	if want := "50 of 101 recipients today bounced; up to 30 % are let through"; len(b.tripped) != 1 || b.tripped[0].Reason != want {
		t.Errorf("%+v, want %q", b.tripped, want)
	}
	many := newBureau(t)
	many.sends(200, 100)
	for range 2 * ManyBounces / 2 {
		many.Bounced(7)
	}
	many.sends(0, 1)
	if len(many.tripped) != 0 {
		t.Errorf("50 of 300: %+v", many.tripped)
	}
}

// TestOff: where nothing is counted, or the breaker is off, nothing is held.
func TestOff(t *testing.T) {
	b := newBureau(t)
	b.Set(Settings{Bounds: DefaultBounds()})
	b.sends(900, 0)
	b.Set(Settings{Off: true, Breaker: true})
	b.sends(0, 5)
	taken, err := b.Take(t.Context(), b.who, 5000, nil)
	if err != nil || taken.Hold != "" || len(b.tripped) != 0 {
		t.Errorf("%+v, %v, %+v", taken, err, b.tripped)
	}
}

// TestDrop: what is known of an account goes with it.
func TestDrop(t *testing.T) {
	b := newBureau(t)
	b.send(900, 0)
	n := int64(1)
	if _, err := b.SetRule(t.Context(), Scope{Account: 7}, Change{NewDay: &n}); err != nil {
		t.Fatal(err)
	}
	b.must(b.Flush(t.Context()))
	var problems []string
	b.gone = 7
	b.must(b.Check(t.Context(), func(p string) { problems = append(problems, p) }))
	if len(problems) != 1 || !strings.Contains(problems[0], "not there: 7") {
		t.Errorf("%q", problems)
	}
	b.must(b.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		b.Drop(tx, 7)
		return nil
	}))
	if taken, err := b.Take(t.Context(), b.who, 1, nil); err != nil || taken.Hold != "" { // By a session that did not know yet.
		t.Errorf("%+v, %v", taken, err)
	}
	b.must(b.Flush(t.Context()))
	b.must(b.Check(t.Context(), func(p string) { t.Error(p) }))
	b.mu.Lock()
	delete(b.accounts, 7)
	b.mu.Unlock()
	if s, err := b.Status(t.Context(), b.who); err != nil || len(b.Held()) != 0 || s.Hour != (Count{}) || s.Own != NoRule() {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestBoundsOfMemory: however many accounts send, those in memory are bounded, and no count is lost.
func TestBoundsOfMemory(t *testing.T) {
	b := newBureau(t)
	for id := range mail.AccountID(40) {
		b.mu.Lock()
		for i := range MaxAccounts / 30 { // Others that were looked at lately.
			other := 1000 + id*MaxAccounts + mail.AccountID(i)
			b.makeRoom(b.now)
			b.accounts[other] = &account{id: other, read: b.now}
		}
		b.mu.Unlock()
		b.who.Account = id + 1
		b.sends(1, 0)
	}
	b.mu.Lock()
	n := len(b.accounts)
	b.mu.Unlock()
	if n > MaxAccounts {
		t.Errorf("%d accounts in memory", n)
	}
	b.must(b.Flush(t.Context()))
	for id := range mail.AccountID(40) {
		b.who.Account = id + 1
		if s, err := b.Status(t.Context(), b.who); err != nil || s.Hour.Messages != 1 {
			t.Fatalf("account %d: %+v, %v", id+1, s.Hour, err)
		}
	}
}

// TestRun: what is counted is written by itself, and at the end.
func TestRun(t *testing.T) {
	if dbtest.OnServer() {
		t.Skip("a server does not live in a bubble; TestRestart writes and reads there")
	}
	db := dbtest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		n, err := Open(t.Context(), Options{DB: db,
			Acquainted: func(context.Context, mail.AccountID, mail.Address) (bool, error) { return false, nil },
			HasAccount: func(*sqldb.Tx, mail.AccountID) (bool, error) { return true, nil },
			Local:      func(context.Context, mail.Domain) (bool, error) { return false, nil }}, Settings{Bounds: DefaultBounds()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() {
			n.Run(ctx)
			close(done)
		}()
		rows := func() (sum int) {
			err := db.Read(t.Context(), func(tx *sqldb.Tx) error {
				return tx.QueryRow(`SELECT coalesce(sum(messages), 0) FROM sending_day`).Scan(&sum)
			})
			if err != nil {
				t.Error(err)
			}
			return sum
		}
		take := func() {
			if _, err := n.Take(t.Context(), Sender{Account: 7}, 1, nil); err != nil {
				t.Error(err)
			}
		}
		take()
		time.Sleep(FlushEvery)
		synctest.Wait()
		if rows() != 1 {
			t.Errorf("%d after a while", rows())
		}
		take()
		stop()
		<-done
		if rows() != 2 {
			t.Errorf("%d at the end", rows())
		}
	})
}
