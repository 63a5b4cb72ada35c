package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
)

var ctx = context.Background()

// desk is a journal in a folder, with a clock and a log of its own.
type desk struct {
	*Journal
	t    testing.TB
	path string
	now  time.Time
	log  bytes.Buffer
}

func newDesk(t testing.TB) *desk {
	d := &desk{t: t, path: filepath.Join(t.TempDir(), "journal"), now: time.Date(2026, 7, 25, 12, 0, 0, 0, time.UTC)}
	d.open()
	return d
}

func (d *desk) open() {
	d.t.Helper()
	j, err := Open(d.path, Options{Now: func() time.Time { return d.now }, Log: slog.New(slog.NewTextHandler(&d.log, nil))})
	if err != nil {
		d.t.Fatal(err)
	}
	d.Journal = j
}

func (d *desk) add(e Entry) {
	e.At = d.now
	d.Add(e)
}

func (d *desk) find(needle string, since time.Time, limit int) []Entry {
	d.t.Helper()
	found, err := d.Find(ctx, needle, since, limit)
	if err != nil {
		d.t.Fatal(err)
	}
	return found
}

// finds compares the Message-IDs of what is found.
func (d *desk) finds(needle string, want ...string) {
	d.t.Helper()
	var got []string
	for _, e := range d.find(needle, time.Time{}, 100) {
		got = append(got, e.MessageID)
	}
	if !reflect.DeepEqual(got, want) {
		d.t.Errorf("%q: found %q, want %q", needle, got, want)
	}
}

func (d *desk) names() (names []string) {
	d.t.Helper()
	files, err := d.files.list()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.name())
	}
	return names
}

func (d *desk) wantNames(want ...string) {
	d.t.Helper()
	if got := d.names(); !reflect.DeepEqual(got, want) {
		d.t.Errorf("files %q, want %q", got, want)
	}
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func taken(id, from string, to ...string) Entry {
	e := Entry{Kind: Accepted, MessageID: id, Code: 250, Enhanced: "2.0.0", Text: "ok"}
	if from != "" {
		e.ReversePath = mail.ReversePath(address(from))
	}
	for _, r := range to {
		e.Recipients = append(e.Recipients, address(r))
	}
	return e
}

// full is an entry without a zero field.
func full() Entry {
	return Entry{At: time.UnixMilli(1790000000123), Kind: Refused, Service: "submission", Session: "s1", Transaction: "s1.2",
		Remote: netip.MustParseAddrPort("[2001:db8::1]:4711"), Hello: `we"ird\hello` + "\x01", TLS: "TLS1.3 AES", User: "alice@example.org",
		ReversePath: mail.ReversePath(address("Alice@example.org")),
		Recipients:  []mail.Address{address(`"a \"b\" c"@example.org`), address("Ünal@bücher.example")},
		MessageID:   "<Mixed.Case@Host>", Size: 4096, Took: 1500 * time.Microsecond, Item: 7,
		Filed: []Filed{{1, 2, 3, ""}, {4, 5, 6, "an \"archive\""}}, Code: 550, Enhanced: "5.1.1", Text: "nobody\nhere"}
}

// TestLine: what is written is read again, and is JSON.
func TestLine(t *testing.T) {
	for _, e := range []Entry{full(), {At: time.UnixMilli(1), Kind: Accepted}} {
		text := appendLine(nil, &e)
		if !json.Valid(text) || bytes.Count(text, []byte("\n")) != 1 {
			t.Errorf("no line of JSON: %s", text)
		}
		got, ok := parseLine(text)
		if !ok || !reflect.DeepEqual(got, e) {
			t.Errorf("%s\n got %+v\nwant %+v", text, got, e)
		}
	}
}

// TestBounds: no text or list of a stranger makes a line long or wrong.
func TestBounds(t *testing.T) {
	long := strings.Repeat("\xff€\"", 5000)
	e := Entry{Kind: Accepted, Service: long, Session: long, Transaction: long, Hello: long, TLS: long, User: long, MessageID: long, Enhanced: long, Text: long}
	for i := range 3 * MaxRecipients {
		e.Recipients = append(e.Recipients, address(fmt.Sprintf("%s%04d@%s.example", strings.Repeat("X", 60), i, strings.Repeat("y", 60))))
		e.Filed = append(e.Filed, Filed{1, 2, 3, ""})
	}
	text := appendLine(nil, &e)
	if len(text) > findChunk/4 {
		t.Errorf("a line has %d octets", len(text))
	}
	got, ok := parseLine(text)
	if !ok || len(got.Recipients) != MaxRecipients || len(got.Filed) != MaxRecipients || len(got.Text) > MaxText || len(got.Text) < MaxText-3 {
		t.Errorf("got %v, %d recipients, %d octets", ok, len(got.Recipients), len(got.Text))
	}
}

func TestFind(t *testing.T) {
	d := newDesk(t)
	d.add(taken("<one@x>", "Alice@example.org", "bob@example.com"))
	d.now = d.now.Add(time.Second)
	two := taken("<Two@x>", "", "ALICE@example.org")
	two.Session, two.Transaction = "sess9", "sess9.1"
	d.add(two)
	d.now = d.now.Add(time.Second)
	three := taken("<three@x>", "carol@example.net", "bob@example.com", "Bücher@bücher.example")
	three.Text = `talks of "alice@example.org" only`
	d.add(three)
	d.finds("alice@EXAMPLE.org", "<Two@x>", "<one@x>")
	d.finds("aLiCe@example.org", "<Two@x>", "<one@x>")
	d.finds("bob@example.com", "<three@x>", "<one@x>")
	d.finds("<bob@example.com>", "<three@x>", "<one@x>")
	d.finds("bÜcher@bücher.example", "<three@x>")
	d.finds("Two@x", "<Two@x>")
	d.finds(" <Two@x> ", "<Two@x>")
	d.finds("two@x")
	d.finds("sess9", "<Two@x>")
	d.finds("sess9.1", "<Two@x>")
	d.finds("sess")
	d.finds("ob@example.com")
	d.finds("nobody@example.com")
	if got := d.find("bob@example.com", d.now, 10); len(got) != 1 {
		t.Errorf("since now: %d", len(got))
	}
	if got := d.find("bob@example.com", time.Time{}, 1); len(got) != 1 || got[0].MessageID != "<three@x>" {
		t.Errorf("the newest: %+v", got)
	}
	for _, bad := range []string{"", " <> ", strings.Repeat("x", MaxNeedle+1)} {
		if _, err := d.Find(ctx, bad, time.Time{}, 1); err == nil {
			t.Errorf("%q can be sought", bad)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.Find(over, "x@y", time.Time{}, 1); err != context.Canceled {
		t.Errorf("canceled: %v", err)
	}
}

// TestReopened: what one process wrote the next finds, whether it runs or not.
func TestReopened(t *testing.T) {
	d := newDesk(t)
	d.finds("alice@example.org")
	d.add(taken("<one@x>", "alice@example.org"))
	d.flush()
	d.open()
	d.finds("alice@example.org", "<one@x>")
	d.add(taken("<two@x>", "alice@example.org"))
	d.finds("alice@example.org", "<two@x>", "<one@x>")
	d.wantNames("2026-07-25-0001.jsonl")
}

// TestTorn: a crash or a power loss leaves half a line, or zeros; only they are lost.
func TestTorn(t *testing.T) {
	for _, tail := range []string{`{"t":1790000000123,"k":1,"from":"alice@example.org`, strings.Repeat("\x00", 4096),
		strings.Repeat("\x00", findChunk+100), strings.Repeat(`"alice@example.org"`, findChunk/10), "\n\n", `{"k":1,"from":"alice@example.org"}`} {
		d := newDesk(t)
		d.add(taken("<before@x>", "alice@example.org"))
		d.flush()
		path := filepath.Join(d.path, "2026-07-25-0001.jsonl")
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(tail); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		d.open()
		d.now = d.now.Add(time.Second)
		d.add(taken("<after@x>", "alice@example.org"))
		found := d.find("alice@example.org", time.Unix(1, 0), 10)
		if len(found) != 2 || found[0].MessageID != "<after@x>" || found[1].MessageID != "<before@x>" {
			t.Errorf("%.60q: found %+v", tail, found)
		}
	}
}

// TestUnreadableLine: a line that is no entry, or has an address that is none, is left
// out, and the log tells of it.
func TestUnreadableLine(t *testing.T) {
	d := newDesk(t)
	d.add(taken("<one@x>", "alice@example.org", "bob@x"))
	d.add(taken("<two@x>", "alice@example.org", "carl@x"))
	d.add(taken("<three@x>", "alice@example.org", "dora@x"))
	d.flush()
	path := filepath.Join(d.path, "2026-07-25-0001.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"carl@x"`), []byte(`"carl @x"`), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	d.finds("bob@x", "<one@x>")
	if strings.Contains(d.log.String(), "cannot be read") {
		t.Errorf("log %s", d.log.String())
	}
	d.finds("alice@example.org", "<three@x>", "<one@x>")
	if !strings.Contains(d.log.String(), "cannot be read") || !strings.Contains(d.log.String(), "lines=1") {
		t.Errorf("log %s", d.log.String())
	}
}

// TestChunks: lines that lie across the pieces that are read at once are found,
// in order.
func TestChunks(t *testing.T) {
	d := newDesk(t)
	const n = 20000
	pad := strings.Repeat("p", 900)
	for i := range n {
		e := taken(fmt.Sprintf("<%d@x>", i), "alice@example.org")
		e.Text = pad
		d.now = d.now.Add(time.Millisecond)
		d.add(e)
		if i%1000 == 0 {
			d.flush()
		}
	}
	found := d.find("alice@example.org", time.Time{}, n+1)
	if len(found) != n {
		t.Fatalf("found %d of %d", len(found), n)
	}
	for i, e := range found {
		if want := fmt.Sprintf("<%d@x>", n-1-i); e.MessageID != want {
			t.Fatalf("entry %d is %s, want %s", i, e.MessageID, want)
		}
	}
}

// TestTimes: of a big file only the part of the time that is asked for is read,
// with all that is in it, also beside what is no line.
func TestTimes(t *testing.T) {
	for _, junk := range []string{"", strings.Repeat("\x00", 3<<20), strings.Repeat("junk\n", 100_000)} {
		d := newDesk(t)
		begin := d.now
		const n = 6000
		for i := range n { // Six hours.
			e := taken(fmt.Sprintf("<%d@x>", i), "alice@example.org")
			e.Transaction, e.Text = fmt.Sprintf("tx%d", i), strings.Repeat("p", 500)
			d.add(e)
			d.now = d.now.Add(3600 * time.Millisecond)
			if i%1000 == 999 {
				d.flush()
				if _, err := d.files.out.WriteString(junk + "\n"); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, i := range []int{0, 1, 999, 1000, 2500, n - 1} {
			at := begin.Add(time.Duration(i) * 3600 * time.Millisecond)
			if got := len(d.find("alice@example.org", at, n)); got != n-i {
				t.Errorf("%d bytes of junk: %d since entry %d, want %d", len(junk), got, i, n-i)
			}
			e, err := d.Came(ctx, fmt.Sprintf("tx%d", i), at.Add(time.Minute))
			if err != nil || e.MessageID != fmt.Sprintf("<%d@x>", i) {
				t.Errorf("%d bytes of junk: %d came as %q, %v", len(junk), i, e.MessageID, err)
			}
		}
		if _, err := d.Came(ctx, "tx5", d.now); mail.KindOf(err) != mail.NotFound {
			t.Errorf("what came long before: %v", err)
		}
	}
}

// TestBoundsAreNarrow: a search in a short time reads little.
func TestBoundsAreNarrow(t *testing.T) {
	d := newDesk(t)
	for range 20000 {
		e := taken("<x@x>", "alice@example.org")
		e.Text = strings.Repeat("p", 500)
		d.add(e)
		d.now = d.now.Add(2 * time.Second)
		d.flush()
	}
	f, err := os.Open(filepath.Join(d.path, d.names()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	middle := d.now.Add(-20000 * time.Second)
	s := search{since: middle, until: middle.Add(time.Minute)}
	begin, end, err := s.bounds(f)
	if err != nil || end-begin < 3000*600 || end-begin > 4500*700 {
		t.Errorf("from %d to %d, %v", begin, end, err)
	}
}

// TestDays: each day has a file, each big one is followed by another, and old
// ones go.
func TestDays(t *testing.T) {
	d := newDesk(t)
	if err := os.WriteFile(filepath.Join(d.path, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.files.max = 300
	for i := range 4 {
		d.add(taken(fmt.Sprintf("<%d@x>", i), "alice@example.org"))
		d.flush()
		d.add(taken(fmt.Sprintf("<%d+@x>", i), "alice@example.org", "bob@example.org", "carol@example.org"))
		d.flush()
		d.now = d.now.Add(24 * time.Hour)
	}
	d.wantNames("2026-07-25-0001.jsonl", "2026-07-26-0001.jsonl", "2026-07-27-0001.jsonl", "2026-07-28-0001.jsonl")
	d.add(taken("<4@x>", "alice@example.org"))
	d.flush()
	d.files.max = 1
	d.add(taken("<4+@x>", "alice@example.org"))
	d.flush()
	d.wantNames("2026-07-25-0001.jsonl", "2026-07-26-0001.jsonl", "2026-07-27-0001.jsonl", "2026-07-28-0001.jsonl",
		"2026-07-29-0001.jsonl", "2026-07-29-0002.jsonl")
	if got := d.find("alice@example.org", d.now.Add(-24*time.Hour), 100); len(got) != 4 {
		t.Errorf("since yesterday: %d entries", len(got))
	}
	d.now = d.now.Add(28*24*time.Hour + time.Hour)
	d.sweep()
	d.wantNames("2026-07-27-0001.jsonl", "2026-07-28-0001.jsonl", "2026-07-29-0001.jsonl", "2026-07-29-0002.jsonl")
	if begins, err := d.Begins(); err != nil || begins.Format(time.DateOnly) != "2026-07-27" {
		t.Errorf("begins %v, %v", begins, err)
	}
	if err := d.files.sweep(time.Time{}, func(int64) int64 { return 200 }); err != nil {
		t.Fatal(err)
	}
	d.wantNames("2026-07-29-0002.jsonl")
	if _, err := os.Stat(filepath.Join(d.path, "notes.txt")); err != nil {
		t.Error(err)
	}
}

// TestShareOfFreeSpace: the files take no more than their share of what the disk
// has free, the oldest go first, and it goes on when there is room again.
func TestShareOfFreeSpace(t *testing.T) {
	d := newDesk(t)
	free := uint64(1 << 40)
	d.o.Free = func(string) (uint64, bool) { return free, true }
	for i := range 4 {
		for range 50 {
			d.add(taken(fmt.Sprintf("<%d@x>", i), "alice@example.org"))
		}
		d.flush()
		d.now = d.now.Add(24 * time.Hour)
	}
	total := func() (n int64) {
		files, err := d.files.list()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			n += f.size
		}
		return n
	}
	d.sweep()
	all := total()
	d.wantNames("2026-07-25-0001.jsonl", "2026-07-26-0001.jsonl", "2026-07-27-0001.jsonl", "2026-07-28-0001.jsonl")
	// There is room for half: FreeShare times that, less what they have.
	free = uint64(all/2*FreeShare - all + FreeShare)
	d.sweep()
	d.wantNames("2026-07-27-0001.jsonl", "2026-07-28-0001.jsonl")
	free = 0
	d.sweep()
	if n := total(); n != 0 {
		t.Errorf("on a full disk there are %d octets", n)
	}
	d.add(taken("<new@x>", "alice@example.org"))
	d.flush()
	if len(d.find("<new@x>", time.Time{}, 10)) != 1 {
		t.Error("after all files went, nothing is written any more")
	}
}

// TestRun: what is added is on disk a second later, and all of it at the end.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "journal")
		j, err := Open(path, Options{Now: time.Now, Keep: 48 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		run, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(run) })
		written := func() (n int64) {
			files, err := j.files.list()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				text, err := os.ReadFile(filepath.Join(path, f.name()))
				if err != nil {
					t.Fatal(err)
				}
				n += countLines(text)
			}
			return n
		}
		e := taken("<one@x>", "alice@example.org")
		j.Add(e)
		<-time.After(flushEvery + time.Millisecond)
		synctest.Wait()
		if n := written(); n != 1 {
			t.Errorf("%d entries are written after a second", n)
		}
		for j.mu.Lock(); len(j.buf) < flushAt; j.mu.Lock() {
			j.mu.Unlock()
			j.Add(e)
		}
		j.mu.Unlock()
		synctest.Wait()
		if n := written(); n < 1000 {
			t.Errorf("%d entries are written when the buffer is full", n)
		}
		for range 4 * 24 {
			j.Add(e)
			<-time.After(time.Hour)
		}
		synctest.Wait()
		if files, _ := j.files.list(); len(files) > 4 {
			t.Errorf("%d files are kept", len(files))
		}
		before := written()
		j.Add(e)
		cancel()
		wg.Wait()
		if n := written(); n != before+1 {
			t.Errorf("%d entries at the end, want %d", n, before+1)
		}
	})
}

// TestConcurrent: many add and seek at once; nothing is lost or torn.
func TestConcurrent(t *testing.T) {
	d := newDesk(t)
	run, cancel := context.WithCancel(ctx)
	var writer, adders sync.WaitGroup
	writer.Go(func() { d.Run(run) })
	const each = 2000
	for i := range 8 {
		adders.Go(func() {
			for k := range each {
				e := taken(fmt.Sprintf("<%d.%d@x>", i, k), "alice@example.org", fmt.Sprintf("r%d@example.com", i))
				e.At = d.now
				d.Add(e)
				if k%500 == 0 {
					_ = d.find("alice@example.org", time.Time{}, 10)
				}
			}
		})
	}
	adders.Wait()
	cancel()
	writer.Wait()
	d.open()
	for i := range 8 {
		if got := d.find(fmt.Sprintf("r%d@example.com", i), time.Time{}, each+1); len(got) != each {
			t.Errorf("found %d of %d", len(got), each)
		}
	}
}

// TestDropped: what the buffer or the disk cannot take is dropped and told, once
// a minute; then all is well again.
func TestDropped(t *testing.T) {
	d := newDesk(t)
	e := taken("<one@x>", "alice@example.org")
	e.Text = strings.Repeat("x", 1000)
	for range maxBuffer/1000 + 100 {
		d.add(e)
	}
	if d.dropped == 0 || len(d.buf) > maxBuffer {
		t.Errorf("%d dropped, %d octets wait", d.dropped, len(d.buf))
	}
	d.flush()
	if !strings.Contains(d.log.String(), "entries of the journal were dropped") {
		t.Errorf("log: %s", d.log.String())
	}
	d.log.Reset()
	// Its folder becomes a file: nothing can be written.
	d.files.close()
	if err := os.RemoveAll(d.path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.add(e)
	d.flush()
	if d.log.Len() > 0 {
		t.Errorf("told within the minute: %s", d.log.String())
	}
	d.now = d.now.Add(2 * time.Minute)
	d.add(e)
	d.flush()
	if !strings.Contains(d.log.String(), "entries=2") || !strings.Contains(d.log.String(), "not a directory") {
		t.Errorf("log: %s", d.log.String())
	}
	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
	d.add(taken("<well@x>", "carol@example.org"))
	d.finds("carol@example.org", "<well@x>")
}

// FuzzLine: whatever a file holds, reading it neither panics nor yields an entry
// that is not written alike.
func FuzzLine(f *testing.F) {
	e := full()
	f.Add(appendLine(nil, &e))
	f.Add([]byte(`{"t":1,"k":2,"ip":"x","filed":[1,2]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, ok := parseLine(text)
		if !ok {
			return
		}
		once := appendLine(nil, &e)
		again, ok := parseLine(once)
		if !ok {
			t.Fatalf("%q became %q", text, once)
		}
		if twice := appendLine(nil, &again); !bytes.Equal(once, twice) {
			t.Errorf("%q then %q", once, twice)
		}
	})
}

func typical() Entry {
	return Entry{At: time.UnixMilli(1790000000123), Kind: Accepted, Service: "mx", Session: "d1k3j5h7", Transaction: "d1k3j5h7.1",
		Remote: netip.MustParseAddrPort("192.0.2.1:4711"), Hello: "mail.example.net", TLS: "TLS1.3 TLS_AES_128_GCM_SHA256",
		ReversePath: mail.ReversePath(address("alice@example.net")), Recipients: []mail.Address{address("bob@example.org")},
		MessageID: "<20260725120000.12345@mail.example.net>", Size: 4096, Took: 1500 * time.Microsecond,
		Filed: []Filed{{1, 2, 3, ""}}, Code: 250, Enhanced: "2.0.0", Text: "taken as d1k3j5h7.1"}
}

func BenchmarkAdd(b *testing.B) {
	j, err := Open(b.TempDir(), Options{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	e := typical()
	b.ReportAllocs()
	for b.Loop() {
		j.Add(e)
		if len(j.buf) > flushAt {
			j.mu.Lock()
			j.buf = j.buf[:0]
			j.mu.Unlock()
		}
	}
}

// BenchmarkAddAndWrite counts the writing too.
func BenchmarkAddAndWrite(b *testing.B) {
	j, err := Open(b.TempDir(), Options{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	e := typical()
	for b.Loop() {
		j.Add(e)
		if len(j.buf) > flushAt {
			j.flush()
		}
	}
}

// BenchmarkFind looks for one in a million.
func BenchmarkFind(b *testing.B) {
	d := newDesk(b)
	const n = 1_000_000
	for i := range n {
		e := typical()
		e.ReversePath.Local = fmt.Sprintf("sender%d", i%5000)
		e.Recipients[0].Local = fmt.Sprintf("r%d", i)
		e.MessageID = fmt.Sprintf("<%d.%d@mail.example.net>", i, i*7919)
		d.add(e)
		if len(d.buf) > flushAt {
			d.flush()
		}
	}
	d.flush()
	for _, what := range []string{"r3@example.org", "sender77@example.net", "<17.134623@mail.example.net>", "nobody@example.org"} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				_ = d.find(what, time.Time{}, 1000)
			}
		})
	}
}
