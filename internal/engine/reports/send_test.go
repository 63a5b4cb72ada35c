package reports

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/dmarcreport"
	"yubin/internal/message"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/sqldb"
)

// seen is a message that was judged, of a domain with that policy record.
func seen(at time.Time, source, domain, record string) Observation {
	rec, ok := dmarc.ParseRecord(record)
	if !ok {
		panic(record)
	}
	return Observation{At: at, Source: netip.MustParseAddr(source), From: mail.Domain(domain), EnvelopeFrom: "bounce.example", Done: dmarcreport.None,
		Verdict: dmarc.Verdict{Result: dmarc.Fail, Domain: dns.Name(domain), Record: &rec, Published: rec.Policy, Policy: rec.Policy},
		SPF:     dmarcreport.Sender{Domain: "bounce.example", Result: "pass"}, To: []mail.Address{address("ann@here.test")}}
}

const reporting = "v=DMARC1; p=reject; rua=mailto:dmarc@far.example!10m"

// letters are the reports in the queue, read again.
func (h *house) letters() (all []string, reports []dmarcreport.Report, records [][]dmarcreport.Record) {
	h.t.Helper()
	all, _ = h.spooled()
	for _, text := range all {
		p := dmarcreport.Attachments(message.Parse([]byte(text)).Root)[0]
		u, err := dmarcreport.Unpack(message.NewDecoder(strings.NewReader(text[p.Body:p.End]), p.Encoding))
		h.must(err)
		var list []dmarcreport.Record
		r, err := dmarcreport.Parse(u, func(rec *dmarcreport.Record) error {
			c := *rec
			c.Reasons, c.Signatures = slices.Clone(rec.Reasons), slices.Clone(rec.Signatures)
			list = append(list, c)
			return nil
		})
		h.must(err)
		reports, records = append(reports, r), append(records, list)
	}
	return all, reports, records
}

// TestSent: what was seen of a day is sent once, after it.
func TestSent(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	}
	h.must(h.Flush(ctx))
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	h.Note(ctx, seen(noon, "2001:db8::1", "far.example", "v=DMARC1; p=none; adkim=s; rua=mailto:dmarc@far.example"))
	passed := seen(noon, "192.0.2.2", "far.example", reporting)
	passed.Verdict.Result, passed.Verdict.SPF, passed.EnvelopeFrom = dmarc.Pass, true, ""
	passed.DKIM = []dmarcreport.Signature{{Domain: "far.example", Selector: "s", Result: "fail"}}
	h.Note(ctx, passed)
	h.Note(ctx, seen(noon.Add(12*time.Hour), "192.0.2.1", "far.example", reporting)) // of the next day
	h.must(h.Flush(ctx))
	h.must(h.SendDue(ctx))
	h.pass(15 * time.Hour) // of a night: half of the time until 06:00 is not over
	h.must(h.SendDue(ctx))
	if len(h.items) > 0 {
		t.Fatal("a report was sent before its time")
	}
	h.pass(8 * time.Minute)
	for range 2 {
		h.must(h.SendDue(ctx))
	}
	all, reports, records := h.letters()
	if len(all) != 1 {
		t.Fatalf("%d reports", len(all))
	}
	_, items := h.spooled()
	m := message.Parse([]byte(all[0]))
	if !items[0].ReversePath.IsNull() || m.MessageID != reports[0].ID+"@mx.here.test" || !strings.Contains(all[0], "Auto-Submitted: auto-generated\r\n") ||
		!strings.Contains(all[0], "To: dmarc@far.example\r\n") || !strings.Contains(all[0], "<postmaster@mx.here.test>\r\n") {
		t.Errorf("the envelope %+v and\n%s", items[0].Outgoing, all[0])
	}
	day := noon.Truncate(24 * time.Hour)
	want := dmarcreport.Report{Organization: "mx.here.test", Contact: "postmaster@mx.here.test", ID: reports[0].ID, Generator: "yubin 1", Begin: day, End: day.Add(24*time.Hour - time.Second),
		Published: dmarcreport.Published{Domain: "far.example", P: "reject", SP: "reject", NP: "reject", DKIM: "r", SPF: "r", Testing: "n", Discovery: "treewalk"}}
	if reports[0] != want { // with the policy that was seen last
		t.Errorf("got  %+v\nwant %+v", reports[0], want)
	}
	var lines []string
	for _, r := range records[0] {
		lines = append(lines, fmt.Sprintf("%v %d %v %v %v %v %s <%s> %v %v", r.Source, r.Count, r.Disposition, r.DKIM, r.SPF, r.Reasons, r.From, r.EnvelopeFrom, r.Sender, r.Signatures))
	}
	slices.Sort(lines)
	wantLines := []string{
		"192.0.2.1 4 none false false [{local_policy }] far.example <bounce.example> {bounce.example pass } []",
		"192.0.2.2 1 pass false true [] far.example <> {bounce.example pass } [{far.example s fail }]",
		"2001:db8::1 1 none false false [] far.example <bounce.example> {bounce.example pass } []",
	}
	if strings.Join(lines, "\n") != strings.Join(wantLines, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(wantLines, "\n"))
	}
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting)) // much too late
	h.must(h.Flush(ctx))
	sent, err := h.SentReports(ctx, "", noon, 10)
	h.must(err)
	if len(sent) != 2 || sent[0].Outcome != "" || sent[0].Due.IsZero() || sent[1].Outcome != "sent to dmarc@far.example" || sent[1].Messages != 6 || !sent[1].Due.IsZero() {
		t.Errorf("sent: %+v", sent)
	}
	h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM reports_seen WHERE day = $1`, dayOf(noon)).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d tuples are left, %v", n, err)
		}
		return nil
	}))
}

// TestNotNoted: what no report is made of.
func TestNotNoted(t *testing.T) {
	h := newHouse(t)
	for name, change := range map[string]func(*Observation){
		"nobody asks":            func(o *Observation) { o.Verdict.Record.Aggregate = nil },
		"no policy":              func(o *Observation) { o.Verdict.Record = nil },
		"the DNS did not answer": func(o *Observation) { o.Verdict.Result = dmarc.TempError },
		"a report to us":         func(o *Observation) { o.To = append(o.To, address("dmarc-reports@here.test")) },
		"a local client":         func(o *Observation) { o.Source = netip.Addr{} },
	} {
		o := seen(noon, "192.0.2.1", "far.example", reporting)
		change(&o)
		h.Note(ctx, o)
		if n := len(h.pending.tuples); n != 0 {
			t.Errorf("%s: %d", name, n)
		}
	}
	h.Set(Settings{Send: false})
	if h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting)); len(h.pending.tuples) != 0 {
		t.Error("it is noted though nothing is sent")
	}
}

// TestDestinations: to whom a report goes, and why not to others (RFC 9990 §4).
func TestDestinations(t *testing.T) {
	h := newHouse(t)
	const far = `_dmarc.far.example. TXT "v=DMARC1; p=none"` + "\n"
	for name, c := range map[string]struct{ zone, rua, want string }{
		"its own":                  {"", "mailto:a@far.example", "sent to a@far.example"},
		"of the same organization": {far, "mailto:a@reports.far.example", "sent to a@reports.far.example"},
		"several, one twice":       {"", "mailto:a@far.example,mailto:b%2Bc@far.example!10m,mailto:A@far.example,mailto:a@far.example", "sent to a@far.example, b+c@far.example"},
		"of another that says nothing": {far, "mailto:a@watch.example",
			"not sent: watch.example does not say that it takes reports about far.example: there is no record at far.example._report._dmarc.watch.example"},
		"of another that agrees": {far + `far.example._report._dmarc.watch.example. TXT "v=DMARC1"`, "mailto:a@watch.example", "sent to a@watch.example"},
		"with another address":   {far + `far.example._report._dmarc.watch.example. TXT "v=DMARC1; rua=mailto:b@watch.example"`, "mailto:a@watch.example", "sent to b@watch.example"},
		"with a victim's": {far + `far.example._report._dmarc.watch.example. TXT "v=DMARC1; rua=mailto:b@victim.example"`, "mailto:a@watch.example",
			"not sent: watch.example sends reports about far.example on to victim.example, which nobody may"},
		"with another record": {far + `far.example._report._dmarc.watch.example. TXT "hello"`, "mailto:a@watch.example,mailto:a@far.example",
			"sent to a@far.example; watch.example does not say that it takes reports about far.example: there is no record at far.example._report._dmarc.watch.example"},
		"by HTTP":       {"", "https://far.example/", `not sent: "https://far.example/" is no address of mail`},
		"no address":    {"", "mailto:far.example", `not sent: "mailto:far.example" is no address of mail`},
		"nobody has it": {"", "mailto:nobody@far.example", "not sent: nobody@far.example: there is no mailbox nobody@far.example here"},
		"more than enough": {"", strings.Repeat("mailto:a@far.example,", 2) + "mailto:b@far.example,mailto:c@far.example,mailto:d@far.example,mailto:e@far.example,mailto:f@far.example",
			"sent to a@far.example, b@far.example, c@far.example, d@far.example, e@far.example"},
	} {
		t.Run(name, func(t *testing.T) {
			h.items, h.now, h.dns.Zone = nil, noon, dnstest.NewZone(c.zone)
			h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(`DELETE FROM reports_day`)
				return err
			}))
			h.Note(ctx, seen(noon, "192.0.2.1", "far.example", "v=DMARC1; p=none; rua="+c.rua))
			h.must(h.Flush(ctx))
			h.pass(24 * time.Hour)
			h.must(h.SendDue(ctx))
			sent, err := h.SentReports(ctx, "far.example", noon, 10)
			h.must(err)
			if len(sent) != 1 || sent[0].Outcome != c.want {
				t.Errorf("%+v", sent)
			}
			if n := len(h.items); n != strings.Count(c.want[:5], "sent ") {
				t.Errorf("%d items", n)
			}
		})
	}
}

// TestDNSIsAway: a report waits until the DNS answers, and not for ever.
func TestDNSIsAway(t *testing.T) {
	h := newHouse(t)
	h.must(h.dns.Add(`_dmarc.far.example. TXT "v=DMARC1; p=none"` + "\n" + `far.example._report._dmarc.watch.example. TXT "v=DMARC1"`))
	name := dns.Name("far.example._report._dmarc.watch.example")
	h.dns.Fail(name, 0, dns.ServFail)
	for _, domain := range []string{"far.example", "slow.example"} {
		h.Note(ctx, seen(noon, "192.0.2.1", domain, "v=DMARC1; p=none; rua=mailto:a@watch.example"))
	}
	h.dns.Fail("slow.example._report._dmarc.watch.example", 0, dns.ServFail)
	h.must(h.Flush(ctx))
	h.pass(24 * time.Hour)
	h.must(h.SendDue(ctx))
	if len(h.items) != 0 {
		t.Fatal("it was sent without an answer")
	}
	h.dns.Fail(name, 0, dns.None)
	for range maxTries {
		h.pass(leaseTime)
		h.must(h.SendDue(ctx))
	}
	sent, err := h.SentReports(ctx, "", noon, 10)
	h.must(err)
	if len(h.items) != 1 || len(sent) != 2 || sent[0].Outcome != "sent to a@watch.example" ||
		!strings.HasPrefix(sent[1].Outcome, "not sent: the DNS does not say whether watch.example takes reports about slow.example") {
		t.Errorf("%+v", sent)
	}
}

// TestOneReport: of several that make a report one sends it, and one that died does
// not keep the others from it.
func TestOneReport(t *testing.T) {
	h := newHouse(t)
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	h.must(h.Flush(ctx))
	h.pass(24 * time.Hour)
	_, found, err := h.take1()
	if err != nil || !found {
		t.Fatal(found, err)
	}
	h.must(h.SendDue(ctx))
	if len(h.items) != 0 {
		t.Fatal("what somebody has taken up was sent by another")
	}
	h.pass(leaseTime)
	// Two have it: the lease of one ended while it slept.
	ready := make(chan struct{})
	var both sync.WaitGroup
	both.Add(2)
	h.block = func() { both.Done(); <-ready }
	var g sync.WaitGroup
	first, _, err := h.take1()
	h.must(err)
	for range 2 {
		g.Go(func() {
			if err := h.sendDMARC(ctx, first); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	close(ready)
	g.Wait()
	h.block = nil
	if len(h.items) != 1 {
		t.Errorf("%d reports", len(h.items))
	}
}

func (h *house) take1() (taken, bool, error) { return h.Reports.take(ctx, DMARC) }

// TestLate: nobody is told of days that are long over, and nothing of them stays.
func TestLate(t *testing.T) {
	h := newHouse(t)
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	h.Note(ctx, seen(noon, "192.0.2.1", "other.example", reporting))
	h.must(h.Flush(ctx))
	h.pass(4 * 24 * time.Hour)
	h.must(h.SendDue(ctx))
	sent, err := h.SentReports(ctx, "", noon, 10)
	h.must(err)
	if len(h.items) > 0 || len(sent) != 2 || sent[0].Outcome != "not sent: too late: the server was away" {
		t.Errorf("%+v", sent)
	}
	h.Note(ctx, seen(h.clock(), "192.0.2.1", "far.example", reporting))
	h.must(h.Flush(ctx))
	h.Set(Settings{Send: false})
	h.pass(10 * 24 * time.Hour)
	h.must(h.Sweep(ctx))
	h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM reports_seen`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d tuples are left, %v", n, err)
		}
		return nil
	}))
}

// TestTooManyTuples: messages beyond the bounds are counted, and no more.
func TestTooManyTuples(t *testing.T) {
	h := newHouse(t)
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	h.must(h.Flush(ctx))
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE reports_day SET tuples = $1`, MaxTuples)
		return err
	}))
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	h.Note(ctx, seen(noon, "192.0.2.2", "far.example", reporting))
	h.must(h.Flush(ctx))
	h.days[DMARC].domains = MaxDomains
	h.Note(ctx, seen(noon, "192.0.2.2", "another.example", reporting))
	h.must(h.Flush(ctx))
	h.pass(24 * time.Hour)
	h.must(h.SendDue(ctx))
	all, _, records := h.letters()
	if len(all) != 1 || len(records[0]) != 1 || records[0][0].Count != 2 || !strings.Contains(all[0], "1 more messages fared in too many ways to be listed.") {
		t.Errorf("%v\n%s", records, all)
	}
	for i := range MaxPending + 5 {
		o := seen(noon, "192.0.2.1", "far.example", reporting)
		o.Source = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		h.Note(ctx, o)
	}
	if n := len(h.pending.tuples); n != MaxPending || h.pending.dropped[DMARC] != 5 {
		t.Errorf("%d pending, %d dropped", n, h.pending.dropped[DMARC])
	}
}

// TestFlushFails: what could not be written is written later, and counted once.
func TestFlushFails(t *testing.T) {
	h := newHouse(t)
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	release := h.db.Hold(&mail.Error{Kind: mail.Unavailable, Text: "not now"})
	if err := h.Flush(ctx); err == nil {
		t.Error("it was written")
	}
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	release()
	h.must(h.Flush(ctx))
	h.must(h.Flush(ctx))
	h.pass(24 * time.Hour)
	h.must(h.SendDue(ctx))
	if _, _, records := h.letters(); len(records) != 1 || records[0][0].Count != 2 {
		t.Errorf("%+v", records)
	}
}

// TestMany: a report of several pages, from tuples of every kind.
func TestMany(t *testing.T) {
	h := newHouse(t)
	const n = 3*recordPage + 7
	for i := range n {
		o := seen(noon, "192.0.2.1", "far.example", reporting)
		o.Source = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		h.Note(ctx, o)
	}
	h.must(h.Flush(ctx))
	h.pass(24 * time.Hour)
	h.must(h.SendDue(ctx))
	all, _, records := h.letters()
	sources := map[netip.Addr]bool{}
	for _, r := range records[0] {
		sources[r.Source] = true
	}
	if len(all) != 1 || len(sources) != n || len(all[0]) > 200<<10 {
		t.Errorf("%d sources in %d octets", len(sources), len(all[0]))
	}
}

// TestRun: it works by itself, and what was noted last is written when it ends.
func TestRun(t *testing.T) {
	h := newHouse(t)
	h.take(mailed(document("big.example", "1", "here.test", record("192.0.2.1", 1, "none", "pass", "pass", "here.test", ""))), "dmarc-reports@here.test")
	run, stop := contextWithStop()
	var g sync.WaitGroup
	g.Go(func() { h.Run(run) })
	for h.waits() > 0 {
		runtime.Gosched()
	}
	h.Note(ctx, seen(noon, "192.0.2.1", "far.example", reporting))
	stop()
	g.Wait()
	sent, err := h.SentReports(ctx, "", noon, 10)
	h.must(err)
	if len(sent) != 1 || len(h.sources("here.test")) != 1 {
		t.Errorf("%+v, %q", sent, h.sources("here.test"))
	}
	if bytes.Contains(h.log.Bytes(), []byte("level=WARN")) {
		t.Error(h.log)
	}
}

// BenchmarkNote is what a message costs at the door that is counted.
func BenchmarkNote(b *testing.B) {
	r := &Reports{pending: newPending()}
	r.Set(Settings{Send: true, Addresses: []string{"dmarc-reports"}})
	o := seen(noon, "192.0.2.1", "far.example", reporting)
	o.DKIM = []dmarcreport.Signature{{Domain: "far.example", Selector: "s1", Result: "pass"}, {Domain: "esp.example", Selector: "s2", Result: "pass"}}
	b.ReportAllocs()
	for b.Loop() {
		r.Note(ctx, o)
	}
}
