//go:build postgres

package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// These tests need a server: scripts/with-postgres go test -tags postgres.

// TestRoundTrips: a delivery is three round trips, whatever the number of recipients.
func TestRoundTrips(t *testing.T) {
	db := openTest(t)
	if err := db.Migrate(ctx, "tally", []string{`CREATE TABLE tally (account {int} NOT NULL PRIMARY KEY, n {int} NOT NULL, size {int} NOT NULL) {clustered};
		CREATE TABLE email (id {id}, account {int} NOT NULL, size {int} NOT NULL)`}); err != nil {
		t.Fatal(err)
	}
	const accounts = 20
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		for a := range accounts {
			tx.Do(`INSERT INTO tally (account, n, size) VALUES ($1, 0, 0)`, a)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for run := range 3 {
		before := db.Traffic().RoundTrips
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { return deliver(tx, 0, accounts, []byte("hello")) }); err != nil {
			t.Fatal(err)
		}
		trips := db.Traffic().RoundTrips - before
		if run > 0 && trips != 3 {
			t.Errorf("delivery %d took %d round trips", run, trips)
		}
	}
	for run := range 3 {
		before := db.Traffic().RoundTrips
		err := db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT n FROM tally WHERE account = $1`, 1).Scan(new(int))
		})
		if err != nil {
			t.Fatal(err)
		}
		if trips := db.Traffic().RoundTrips - before; run > 0 && trips != 1 {
			t.Errorf("read %d of one row took %d round trips", run, trips)
		}
	}
}

// TestWritersCount: many who read and then write are right if they lock, by a row
// or by a name; who locks in another order than others is run again.
func TestWritersCount(t *testing.T) {
	o := dbtest.Options(t)
	o.CheckLocks = false
	db := ready(t, o)
	if err := db.Migrate(ctx, "tally", []string{`CREATE TABLE tally (account {int} NOT NULL PRIMARY KEY, n {int} NOT NULL) {clustered}`}); err != nil {
		t.Fatal(err)
	}
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Do(`INSERT INTO tally (account, n) VALUES (1, 0), (2, 0), (3, 0)`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const writes = 60 // By three: more stand in each other's way more often than Write bears.
	var hooks atomic.Int64
	each(3, writes, func() {
		first := 1 + rand.Int64N(2)
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			tx.OnCommit(func() { hooks.Add(1) })
			for _, a := range []int64{first, 3 - first} {
				var n int64
				if err := tx.QueryRow(`SELECT n FROM tally WHERE account = $1 {lock account}`, a).Scan(&n); err != nil {
					return err
				}
				tx.Do(`UPDATE tally SET n = $2 WHERE account = $1`, a, n+1)
				if _, err := tx.Exec(`SELECT pg_sleep(0.002)`); err != nil { // So that the others come, however slow they are.
					return err
				}
			}
			tx.Lock(sqldb.Name, "three")
			var n int64
			if err := tx.QueryRow(`SELECT n FROM tally WHERE account = 3`).Scan(&n); err != nil {
				return err
			}
			tx.Do(`UPDATE tally SET n = $1 WHERE account = 3`, n+1)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	var least, most int64
	err = db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT min(n), max(n) FROM tally`).Scan(&least, &most)
	})
	if err != nil || least != writes || most != writes || hooks.Load() != writes {
		t.Errorf("%d writes counted %d to %d, %d hooks, %v", writes, least, most, hooks.Load(), err)
	}
	if db.Traffic().Again == 0 {
		t.Error("nobody stood in the way of anybody")
	}
}

// TestLargeResults: more rows than are fetched at a time come one by one, also while
// other results are read and changes are made; who stops early costs nothing more.
func TestLargeResults(t *testing.T) {
	db := openTest(t)
	const rows = 3000
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		for i := range rows {
			tx.Do(insert, fmt.Appendf(nil, "%05d%s", i, strings.Repeat("x", i%700)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(ctx, func(tx *sqldb.Tx) error {
		outer, err := tx.Query(`SELECT octets FROM content ORDER BY octets`)
		if err != nil {
			return err
		}
		n := 0
		for ; outer.Next(); n++ {
			var octets sqldb.Borrowed
			if err := outer.Scan(&octets); err != nil {
				return err
			}
			if want := fmt.Sprintf("%05d", n); string(octets[:5]) != want || len(octets) != 5+n%700 {
				return fmt.Errorf("row %d is %.10q of %d octets", n, octets, len(octets))
			}
			before := string(octets)
			switch n % 100 {
			case 3:
				inner, err := tx.Query(`SELECT octets FROM content ORDER BY octets DESC`)
				if err != nil {
					return err
				}
				for range n / 10 {
					if !inner.Next() {
						return errors.New("the inner result ended")
					}
				}
				inner.Close()
			case 5:
				tx.Do(`UPDATE content SET octets = octets WHERE octets = $1`, []byte("none"))
				if err := tx.QueryRow(`SELECT octets FROM content LIMIT 1`).Scan(new(string)); err != nil {
					return err
				}
			}
			if string(octets) != before {
				return fmt.Errorf("row %d became %.10q when others were read", n, octets)
			}
		}
		if n != rows {
			t.Errorf("%d rows", n)
		}
		return outer.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMuchAtOnce: a transaction that sends much while much is sent to it comes to an end.
func TestMuchAtOnce(t *testing.T) {
	db := openTest(t)
	big := []byte(strings.Repeat("x", 1<<20))
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Do(insert, big)
		var answers []*sqldb.Answer
		for range 20 {
			answers = append(answers, tx.Ask(`SELECT octets || $1 FROM content LIMIT 1`, big))
			tx.Do(insert, big)
		}
		for _, a := range answers {
			var got []byte
			if err := a.Scan(&got); err != nil {
				return err
			}
			if len(got) != 2<<20 {
				t.Errorf("%d octets", len(got))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestManyChanges: changes that nobody asks after do not wait in memory without end.
func TestManyChanges(t *testing.T) {
	db := openTest(t)
	octets := make([]byte, 64<<10)
	rows := 0
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		before := db.Traffic().RoundTrips
		for range 100 {
			tx.Do(insert, octets)
		}
		if trips := db.Traffic().RoundTrips - before; trips < 5 || trips > 10 {
			t.Errorf("6 MiB took %d round trips", trips)
		}
		return tx.QueryRow(`SELECT count(*) FROM content`).Scan(&rows)
	})
	if err != nil || rows != 100 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestTwoMigrate: two processes that begin at once make the tables once.
func TestTwoMigrate(t *testing.T) {
	o := dbtest.Options(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			db, err := sqldb.Open(ctx, o)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			err = db.Migrate(ctx, "test", []string{`CREATE TABLE content (id {id}, octets {blob} NOT NULL)`, `CREATE TABLE more (a {int}); CREATE INDEX more_a ON more (a)`})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestRefusedServers: what would lose mail, or cannot be used, is refused, and told.
func TestRefusedServers(t *testing.T) {
	with := func(u, more string) string { return u + "&" + more }
	for name, c := range map[string]struct {
		url, says string
		unsafe    bool
		kind      mail.Kind
	}{
		"no fsync":   {dbtest.URL(), "fsync", false, mail.Invalid},
		"no commit":  {with(dbtest.URL(), "synchronous_commit=off"), "synchronous_commit = on", false, mail.Invalid},
		"read-only":  {with(dbtest.URL(), "default_transaction_read_only=on"), "read-only", true, mail.Invalid},
		"schema":     {with(dbtest.URL(), "search_path=a,b"), "search_path", true, mail.Invalid},
		"nonsense":   {"postgres://%zz", "URL", true, mail.Invalid},
		"not there":  {"postgres://yubin:secret@127.0.0.1:1/yubin?sslmode=disable", "cannot be reached", true, mail.Unavailable},
		"unknown db": {strings.Replace(dbtest.URL(), "/yubin?", "/nothing?", 1), "cannot be reached", true, mail.Unavailable},
	} {
		if name == "no commit" && os.Getenv("YUBIN_TEST_FSYNC") == "" {
			c.says = "fsync = on" // It is looked at first.
		}
		begun := time.Now()
		db, err := sqldb.Open(ctx, sqldb.Options{URL: c.url, Unsafe: c.unsafe, Patience: 300 * time.Millisecond})
		if err == nil {
			db.Close()
			t.Errorf("%s: was taken", name)
			continue
		}
		if mail.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) || strings.Contains(fmt.Sprint(err, errors.Unwrap(err)), "secret") {
			t.Errorf("%s: %v (%v)", name, err, mail.KindOf(err))
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// TestWhyNotReached: why no connection came about is one line that says each cause once.
func TestWhyNotReached(t *testing.T) {
	for name, c := range map[string]struct{ url, says string }{
		"not there": {"postgres://yubin:secret@127.0.0.1:1/yubin",
			"failed to connect to `user=yubin database=yubin`: 127.0.0.1:1 (127.0.0.1): dial error: dial tcp 127.0.0.1:1: connect: connection refused"},
		"unknown db": {strings.NewReplacer("/yubin?", "/nothing?", "sslmode=disable", "sslmode=prefer").Replace(dbtest.URL()),
			`database "nothing" does not exist (SQLSTATE 3D000)`},
	} {
		_, err := sqldb.Open(ctx, sqldb.Options{URL: c.url, Unsafe: true, Patience: 300 * time.Millisecond})
		why := fmt.Sprint(errors.Unwrap(err))
		if !strings.HasSuffix(why, c.says) || strings.Count(why, ": FATAL")+strings.Count(why, ": dial error") != 1 ||
			strings.ContainsAny(why, "\n\t") || strings.Contains(why, "secret") || strings.Contains(why, "TLS") {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// ledger writes numbered rows from many goroutines, and knows what each Write said.
type ledger struct {
	t    *testing.T
	db   *sqldb.DB
	next atomic.Int64
	mu   sync.Mutex
	kept map[int64]bool // by number: Write returned nil
	lost int            // Writes that failed
}

func (l *ledger) write(ctx context.Context) error {
	n := l.next.Add(1)
	err := l.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.QueryRow(`SELECT count(*) FROM content WHERE id < 0`).Scan(new(int)); err != nil {
			return err
		}
		tx.Do(insert, fmt.Append(nil, n))
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept = map[int64]bool{}
	}
	l.kept[n] = err == nil
	if err != nil {
		l.lost++
		if mail.KindOf(err) != mail.Unavailable {
			l.t.Errorf("write %d: %v: %v", n, err, errors.Unwrap(err))
		}
	}
	return err
}

// check compares what is there with what was said.
func (l *ledger) check() {
	l.t.Helper()
	there := map[string]int{}
	for _, s := range strings.Fields(contents(l.t, l.db)) {
		there[s]++
	}
	for n, kept := range l.kept {
		if got := there[fmt.Sprint(n)]; kept && got != 1 || !kept && got != 0 {
			l.t.Errorf("row %d, acknowledged %v, is there %d times", n, kept, got)
		}
	}
}

// weather opens a database by way of a proxy.
func weather(t *testing.T, change ...func(*sqldb.Options)) (*ledger, *dbtest.Proxy) {
	t.Helper()
	p := dbtest.NewProxy(t)
	o := dbtest.OnURL(t, p.URL())
	for _, c := range change {
		c(&o)
	}
	return &ledger{t: t, db: ready(t, o)}, p
}

// TestCutInCommit: wherever in a COMMIT the connection ends, what was done is there
// once, and Write says so.
func TestCutInCommit(t *testing.T) {
	l, p := weather(t)
	for _, cut := range []dbtest.Cut{dbtest.BeforeCommit, dbtest.InCommit, dbtest.AfterCommit} {
		for range 5 {
			p.CutNext(cut)
			if err := l.write(ctx); err != nil {
				t.Errorf("cut %d: %v: %v", cut, err, errors.Unwrap(err))
			}
		}
	}
	l.check()
	if again := l.db.Traffic().Again; again < 5 {
		t.Errorf("run again %d times", again)
	}
}

// TestSlicesOfAFarServer: the way to the server is not what a slice has its time for.
func TestSlicesOfAFarServer(t *testing.T) {
	p := dbtest.NewProxy(t)
	p.Delay(5 * time.Millisecond)
	defer p.Delay(0)
	o := dbtest.OnURL(t, p.URL())
	o.Slice = time.Millisecond
	db := ready(t, o)
	trips := 0
	err := db.Slices().Write(ctx, func(tx *sqldb.Tx) error {
		for trips = 0; !tx.Enough() && trips < 1000; trips++ {
			var n int
			if err := tx.QueryRow(`SELECT 1`).Scan(&n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || trips < 10 || trips > 100 {
		t.Errorf("%d trips in a slice, %v", trips, err)
	}
}

// TestCutsUnderLoad: connections that end at any moment lose and double nothing.
func TestCutsUnderLoad(t *testing.T) {
	l, p := weather(t)
	var n atomic.Int64
	each(12, 600, func() {
		switch i := n.Add(1); {
		case i%100 == 0:
			p.CutAll()
		case i%20 == 0:
			p.CutNext(dbtest.Cut(1 + i/20%3))
		}
		_ = l.write(ctx)
	})
	p.CutNext(dbtest.Never)
	l.check()
	if l.lost > 30 { // Who was cut twice.
		t.Errorf("%d of 600 writes were refused", l.lost)
	}
}

// TestServerKilled: a server that dies and comes back under load loses and doubles
// nothing that was acknowledged, and everything heals by itself.
func TestServerKilled(t *testing.T) {
	l := &ledger{t: t, db: openTest(t)}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = l.write(ctx)
				}
			}
		})
	}
	for range 3 {
		before := l.next.Load()
		for l.next.Load() < before+200 {
			_ = l.write(ctx)
		}
		if out, err := exec.Command(os.Getenv("YUBIN_TEST_POSTGRES"), "restart", "-m", "immediate").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	before := l.next.Load()
	for l.next.Load() < before+200 {
		_ = l.write(ctx)
	}
	close(stop)
	wg.Wait()
	l.check()
	t.Logf("%d writes, %d refused, %d run again", l.next.Load(), l.lost, l.db.Traffic().Again)
}

// TestServerAway: while the server refuses, everybody hears it within the patience, hardly
// anybody knocks, and it heals by itself.
func TestServerAway(t *testing.T) {
	l, p := weather(t, func(o *sqldb.Options) { o.Patience = 500 * time.Millisecond })
	p.Refuse(true)
	p.CutAll()
	before := p.Attempts()
	var wg sync.WaitGroup
	begun := time.Now()
	for range 300 {
		wg.Go(func() {
			if err := l.write(ctx); mail.KindOf(err) != mail.Unavailable {
				t.Errorf("while it refuses: %v", err)
			}
		})
	}
	wg.Wait()
	took, knocked := time.Since(begun), p.Attempts()-before
	if took > 3*time.Second {
		t.Errorf("300 writes waited %v", took)
	}
	if knocked > 40 {
		t.Errorf("300 writes made %d attempts to connect in %v", knocked, took)
	}
	p.Refuse(false)
	for begun = time.Now(); l.write(ctx) != nil; {
		if time.Since(begun) > 5*time.Second {
			t.Fatal("it does not heal")
		}
	}
	l.check()
}

// TestServerSilent: a server that says nothing any more costs a bounded time.
func TestServerSilent(t *testing.T) {
	l, p := weather(t, func(o *sqldb.Options) { o.Timeout, o.Patience = 300*time.Millisecond, 300*time.Millisecond })
	if err := l.write(ctx); err != nil {
		t.Fatal(err)
	}
	p.Silence(true)
	begun := time.Now()
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if err := l.write(ctx); mail.KindOf(err) != mail.Unavailable {
				t.Errorf("while it is silent: %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("40 writes took %v", took)
	}
	p.Silence(false)
	for begun = time.Now(); l.write(ctx) != nil; {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("it does not heal")
		}
	}
}

// ordinary opens the database of o as a role that is not the server's owner, and
// has at most so many connections.
func ordinary(t *testing.T, o sqldb.Options, db *sqldb.DB, connections int) *sqldb.DB {
	t.Helper()
	schema := schemaOf(t, o)
	role := "role_" + schema
	each := func(statements ...string) {
		t.Helper()
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			for _, q := range statements {
				if _, err := tx.Exec(fmt.Sprintf(q, role, schema)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	each(fmt.Sprintf(`CREATE ROLE %%[1]s LOGIN CONNECTION LIMIT %d`, connections), `GRANT ALL ON SCHEMA %[2]s TO %[1]s`,
		`GRANT ALL ON ALL TABLES IN SCHEMA %[2]s TO %[1]s`, `GRANT ALL ON ALL SEQUENCES IN SCHEMA %[2]s TO %[1]s`)
	t.Cleanup(func() { each(`DROP OWNED BY %[1]s`, `DROP ROLE %[1]s`) })
	o.URL = strings.Replace(o.URL, "//yubin@", "//"+role+"@", 1)
	other, err := sqldb.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return other
}

// TestFewConnections: a server that gives fewer connections than the pool may have is
// used with those.
func TestFewConnections(t *testing.T) {
	o := dbtest.Options(t)
	few := ordinary(t, o, ready(t, o), 3)
	l := &ledger{t: t, db: few}
	each(30, 600, func() { _ = l.write(ctx) })
	l.check()
	if l.lost > 0 {
		t.Errorf("%d of 600 writes were refused", l.lost)
	}
}

// TestLittlePrivilege: who may not read the server's control file still learns what
// became of a COMMIT, and who may not make a schema hears what to do.
func TestLittlePrivilege(t *testing.T) {
	p := dbtest.NewProxy(t)
	o := dbtest.OnURL(t, p.URL())
	db := ready(t, o)
	may := func(statement string) {
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { _, err := tx.Exec(statement); return err }); err != nil {
			t.Fatal(err)
		}
	}
	may(`REVOKE EXECUTE ON FUNCTION pg_control_checkpoint() FROM PUBLIC`)
	t.Cleanup(func() { may(`GRANT EXECUTE ON FUNCTION pg_control_checkpoint() TO PUBLIC`) })
	l := &ledger{t: t, db: ordinary(t, o, db, 20)}
	for _, cut := range []dbtest.Cut{dbtest.BeforeCommit, dbtest.InCommit, dbtest.AfterCommit} {
		p.CutNext(cut)
		if err := l.write(ctx); err != nil {
			t.Errorf("cut %d: %v", cut, err)
		}
	}
	l.check()
	o.URL = strings.Replace(o.URL, "//yubin@", "//role_"+schemaOf(t, o)+"@", 1)
	o.URL = strings.Replace(o.URL, "search_path="+schemaOf(t, o), "search_path=not_there", 1)
	other, err := sqldb.Open(ctx, o)
	if err == nil {
		other.Close()
	}
	if mail.KindOf(err) != mail.Forbidden || !strings.Contains(err.Error(), "CREATE SCHEMA not_there") {
		t.Errorf("a schema that it may not make: %v", err)
	}
}

// schemaOf is the schema of a test's database.
func schemaOf(t *testing.T, o sqldb.Options) string {
	t.Helper()
	_, rest, _ := strings.Cut(o.URL, "search_path=")
	name, _, _ := strings.Cut(rest, "&")
	if name == "" {
		t.Fatal("no schema")
	}
	return name
}

// TestServerErrors: what the server says has the kind that the same has on SQLite, and
// its words are in the log alone.
func TestServerErrors(t *testing.T) {
	db := openTest(t)
	for code, want := range map[string]mail.Kind{
		"53100": mail.Unavailable, // disk full
		"53200": mail.Unavailable, // out of memory
		"53300": mail.Unavailable, // too many connections
		"55P03": mail.Unavailable, // lock not available
		"57014": mail.Unavailable, // statement timeout
		"57P03": mail.Unavailable, // starting up
		"58030": mail.Unavailable, // I/O error
		"25006": mail.Unavailable, // read-only
		"23505": mail.Exists,
		"22021": mail.Invalid,
		"XX001": mail.Internal,
		"42P01": mail.Internal,
		"P0001": mail.Internal,
	} {
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			tx.Do(insert, []byte("x"))
			_, err := tx.Exec(`DO $body$ BEGIN RAISE EXCEPTION 'secret words' USING ERRCODE = '` + code + `'; END $body$`)
			return err
		})
		if mail.KindOf(err) != want || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v: %v", code, mail.KindOf(err), err)
		}
		if code != "23505" && code != "22021" && !strings.Contains(fmt.Sprint(errors.Unwrap(err)), "secret words") {
			t.Errorf("%s: the log does not hear what the server said: %v", code, errors.Unwrap(err))
		}
	}
	if got := contents(t, db); got != "" {
		t.Errorf("contents %q", got)
	}
}

// TestRunsAreBounded: who always stands in somebody's way is not run for ever.
func TestRunsAreBounded(t *testing.T) {
	db := openTest(t)
	for _, passesOver := range []bool{false, true} {
		runs, hooks := 0, 0
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			runs++
			tx.OnCommit(func() { hooks++ })
			_, err := tx.Exec(`DO $body$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $body$`)
			if passesOver {
				return nil
			}
			return err
		})
		if mail.KindOf(err) != mail.Unavailable || runs != 12 || hooks != 0 {
			t.Errorf("%d runs, %d hooks, %v", runs, hooks, err)
		}
	}
}

// TestBusyIsBounded: who waits for a lock, or for one of the connections, hears so in
// time.
func TestBusyIsBounded(t *testing.T) {
	o := dbtest.Options(t)
	o.Timeout, o.Connections = 500*time.Millisecond, 2
	db := ready(t, o)
	lock := func(tx *sqldb.Tx) error {
		tx.Lock(sqldb.Name, "x")
		return tx.QueryRow(`SELECT 1`).Scan(new(int))
	}
	begun := time.Now()
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := lock(tx); err != nil {
			return err
		}
		var wg sync.WaitGroup
		for range 4 { // One has a connection and waits for the lock, three for the connection.
			wg.Go(func() {
				if err := db.Write(ctx, lock); mail.KindOf(err) != mail.Unavailable {
					t.Errorf("beside the lock: %v", err)
				}
			})
		}
		for sqldb.Connections(db) < 2 {
		}
		c, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if err := db.Write(c, lock); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("whose context ends: %v", err)
		}
		wg.Wait()
		return nil
	})
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if err != nil {
		t.Errorf("who has the lock: %v", err)
	}
	if err := db.Write(ctx, lock); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestFarServer: with 2 ms each way, a transaction takes its round trips and little more.
func TestFarServer(t *testing.T) {
	l, p := weather(t)
	if err := l.write(ctx); err != nil {
		t.Fatal(err)
	}
	p.Delay(2 * time.Millisecond)
	before, begun := l.db.Traffic().RoundTrips, time.Now()
	if err := l.write(ctx); err != nil {
		t.Fatal(err)
	}
	took, trips := time.Since(begun), l.db.Traffic().RoundTrips-before
	if trips != 2 || took < 8*time.Millisecond {
		t.Errorf("%d round trips, %v", trips, took)
	}
}

// TestSlicesLeaveRoom: long operations have a quarter of the connections, so others
// have the rest however many there are.
func TestSlicesLeaveRoom(t *testing.T) {
	o := dbtest.Options(t)
	o.Connections, o.Slice = 8, time.Nanosecond
	db := ready(t, o)
	var at, most, others atomic.Int64
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			op := db.LongSlices()
			for range 20 {
				err := op.Write(ctx, func(tx *sqldb.Tx) error {
					for n := at.Add(1); n > most.Load(); {
						most.Store(n)
					}
					defer at.Add(-1)
					if !tx.Enough() {
						t.Error("a nanosecond is not enough")
					}
					_, err := tx.Exec(`SELECT pg_sleep(0.002)`)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	each(4, 100, func() {
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, "x") }); err != nil {
			t.Error(err)
		}
		others.Add(1)
	})
	wg.Wait()
	if most.Load() > 2 || others.Load() != 100 {
		t.Errorf("%d slices at a time, %d other writes", most.Load(), others.Load())
	}
}

// TestValues: every number and octet that a server may give is what it is.
func TestValues(t *testing.T) {
	db := openTest(t)
	ints := map[string]int64{
		`CAST(-5 AS SMALLINT)`: -5, `CAST(-70000 AS INTEGER)`: -70000, `CAST(-9223372036854775808 AS {int})`: -9223372036854775808,
		`CAST(7 AS oid)`: 7, `1 = 1`: 1, `1 = 2`: 0, `CAST(0 AS NUMERIC)`: 0, `CAST(9223372036854775807 AS NUMERIC)`: 9223372036854775807,
		`CAST(-120000 AS NUMERIC)`: -120000, `sum(CAST(100000000 AS {int})) * 10000`: 1_000_000_000_000, `CAST(12345.0 AS NUMERIC(10,2))`: 12345,
	}
	floats := map[string]float64{`CAST(0.5 AS NUMERIC)`: 0.5, `CAST(-12345.25 AS NUMERIC)`: -12345.25, `CAST(0.0001 AS NUMERIC)`: 0.0001,
		`CAST(2.5 AS DOUBLE PRECISION)`: 2.5, `CAST(2.5 AS REAL)`: 2.5, `CAST(1e19 AS NUMERIC)`: 1e19}
	err := db.Read(ctx, func(tx *sqldb.Tx) error {
		for expression, want := range ints {
			var got int64
			if err := tx.QueryRow(`SELECT ` + expression).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %d, %v", expression, got, err)
			}
		}
		for expression, want := range floats {
			var got float64
			if err := tx.QueryRow(`SELECT ` + expression).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %v, %v", expression, got, err)
			}
		}
		if err := tx.QueryRow(`SELECT CAST('NaN' AS NUMERIC)`).Scan(new(float64)); err == nil {
			t.Error("what is no number passed")
		}
		if err := tx.QueryRow(`SELECT now()`).Scan(new(string)); err == nil {
			t.Error("a time passed for text")
		}
		var n int
		var f float64
		var s string
		err := tx.QueryRow(`SELECT CAST($1 AS SMALLINT), CAST($2 AS DOUBLE PRECISION), CAST($3 AS TEXT)`, 3, 1.5, "x").Scan(&n, &f, &s)
		if n != 3 || f != 1.5 || s != "x" {
			t.Error(n, f, s)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
