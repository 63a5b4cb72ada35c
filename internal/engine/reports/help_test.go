package reports

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

var ctx = context.Background()

// noon is within a day of which reports are made.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// house is a post office with one account, reports and a clock that a test turns. It
// must check clean at the end.
type house struct {
	*Reports
	t     *testing.T
	db    *sqldb.DB
	store *store.Store
	spool *spool.Spool
	in    *intake.Intake
	dns   *dnstest.Fake
	log   *bytes.Buffer

	prefix string // fields in front of what is taken

	mu    sync.Mutex
	now   time.Time // zero: that of the system
	items []spool.ItemID
	posts []string       // what was handed over by HTTPS, to whom
	says  map[string]int // what servers answer to that; 0 is that they cannot be reached
	block func()         // called before a commit; may be nil
	ways  map[mail.Address]route.Routed
}

func newHouse(t *testing.T) *house {
	t.Helper()
	return newHouseAt(t, noon)
}

func newHouseAt(t *testing.T, now time.Time) *house {
	t.Helper()
	h := &house{t: t, db: dbtest.Open(t), dns: dnstest.NewFake(""), log: new(bytes.Buffer), now: now, prefix: "Received: here\r\n", ways: map[mail.Address]route.Routed{}}
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"), rand.Reader)
	h.must(err)
	h.store, err = store.Open(ctx, store.Options{DB: h.db, Blobs: blobs, Holders: []store.Holder{spool.Held, Held}})
	h.must(err)
	h.spool, err = spool.Open(ctx, spool.Options{DB: h.db, Store: h.store})
	h.must(err)
	q, err := queue.Open(ctx, queue.Options{DB: h.db, Store: h.store, Spool: h.spool, Router: h, Now: h.clock, Rand: func() float64 { return 0.5 },
		Name: "test", Alone: true})
	h.must(err)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.CreateAccount(tx, 1) }))
	log := slog.New(slog.NewTextHandler(h.log, nil))
	h.Reports, err = Open(ctx, Options{DB: h.db, Octets: h.store, Domains: h, Router: h, Intake: h, Resolver: h.dns, Poster: h, Hostname: "mx.here.test",
		Version: "1", Now: h.clock, Rand: func() float64 { return 0.5 }, Log: log}, Settings{Addresses: []string{"dmarc-reports", "tls-reports", "other@there.test"}, Send: true})
	h.must(err)
	h.in = intake.New(intake.Options{Store: h.store, Queue: q, Keeper: h.Reports})
	t.Cleanup(func() {
		for _, check := range []func(context.Context, func(string)) error{h.store.CheckDeep, h.spool.Check, h.Check} {
			h.must(check(ctx, func(problem string) { t.Error("check: " + problem) }))
		}
	})
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v (%v)", err, errors.Unwrap(err))
	}
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now.IsZero() {
		return time.Now()
	}
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// IsLocal: here.test and near.test are ours.
func (h *house) IsLocal(_ context.Context, d mail.Domain) (bool, error) {
	return d == "here.test" || d == "near.test", nil
}

// Route is what a test says, else to the exchangers of the domain.
func (h *house) Route(_ context.Context, q route.Question) (route.Routed, error) {
	if w, ok := h.ways[q.Recipient]; ok {
		return w, nil
	}
	if q.Recipient.Local == "nobody" {
		return route.Routed{}, mail.Errorf(mail.NotFound, "there is no mailbox %s here", q.Recipient)
	}
	return route.Routed{Onward: []route.Onward{{Address: q.Recipient, Hop: mail.NextHop{Kind: mail.HopMX, Domain: q.Recipient.Domain}}}}, nil
}

// NextHop is never asked: nothing runs.
func (h *house) NextHop(context.Context, queue.Question) (queue.Hop, error) {
	return queue.Hop{}, mail.Errorf(mail.Internal, "nothing is carried here")
}

// Post is a server that takes reports by HTTPS.
func (h *house) Post(_ context.Context, uri, mediaType string, body []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	status := h.says[uri]
	if status == 0 {
		return 0, mail.Errorf(mail.Unavailable, "nobody is there")
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(z)
	h.posts = append(h.posts, uri+" "+mediaType+" "+string(text))
	return status, err
}

// Begin is that of the intake.
func (h *house) Begin(taps ...intake.Tap) *intake.Message { return h.in.Begin(taps...) }

// Plan is that of the intake.
func (h *house) Plan(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) (*intake.Plan, error) {
	return h.in.Plan(ctx, m, e, to)
}

// Commit is that of the intake, and remembers the items.
func (h *house) Commit(ctx context.Context, p *intake.Plan, also ...intake.Also) (intake.Receipt, error) {
	if h.block != nil {
		h.block()
	}
	r, err := h.in.Commit(ctx, p, also...)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items = append(h.items, r.Items...)
	return r, err
}

// spooled are the messages in the queue, with their envelopes.
func (h *house) spooled() (all []string, items []spool.Item) {
	h.t.Helper()
	for _, id := range h.items {
		var it spool.Item
		h.must(h.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
			it, err = h.spool.Item(tx, id)
			return err
		}))
		c, err := h.spool.Content(ctx, it)
		h.must(err)
		var b strings.Builder
		_, err = c.WriteTo(&b)
		h.must(err)
		h.must(c.Close())
		all, items = append(all, b.String()), append(items, it)
	}
	return all, items
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// take brings a message in as the door does, for recipients with no mailbox.
func (h *house) take(octets string, to ...string) {
	h.t.Helper()
	var all []intake.Recipient
	for _, s := range to {
		a := address(s)
		all = append(all, intake.Recipient{Address: a, Route: h.ways[a]})
	}
	m := h.in.Begin()
	defer m.Close()
	_, err := io.WriteString(m, octets)
	h.must(err)
	p, err := h.in.Plan(ctx, m, intake.Envelope{Item: spool.Item{
		Outgoing: mail.Outgoing{ReversePath: mail.ReversePath(address("bob@far.example"))}, MessageID: "1@far.example", Transaction: "abc-1",
		Arrived: h.clock(), Prefix: []byte(h.prefix)}}, all)
	h.must(err)
	_, err = h.in.Commit(ctx, p)
	h.must(err)
}

// waits counts what arrived and is not read.
func (h *house) waits() (n int) {
	h.t.Helper()
	h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error { return tx.QueryRow(`SELECT count(*) FROM reports_arrival`).Scan(&n) }))
	return n
}

// record is one of a report that is received: its fields as words, in the order of
// the format below.
func record(source string, count int, disposition, dkim, spf, from, results string) string {
	return fmt.Sprintf(`<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>%s</disposition><dkim>%s</dkim><spf>%s</spf>
		</policy_evaluated></row><identifiers><header_from>%s</header_from></identifiers><auth_results>%s</auth_results></record>`,
		source, count, disposition, dkim, spf, from, results)
}

// document is a report about a domain, of the day before noon.
func document(org, number, domain string, records ...string) string {
	day := noon.Truncate(24*time.Hour).Unix() - secondsOfDay
	return fmt.Sprintf(`<feedback><report_metadata><org_name>%s</org_name><email>x@y.example</email><report_id>%s</report_id>
		<date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>
		<policy_published><domain>%s</domain><p>none</p></policy_published>%s</feedback>`, org, number, day, day+secondsOfDay-1, domain, strings.Join(records, ""))
}

// mailed is a document in the mail that brings it.
func mailed(document string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, document)
	_ = z.Close()
	text := base64.StdEncoding.EncodeToString(b.Bytes())
	lines := slices.Collect(func(yield func(string) bool) {
		for len(text) > 0 {
			n := min(76, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	})
	return "From: reporter@big.example\r\nSubject: Report Domain: x\r\nMIME-Version: 1.0\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Join(lines, "\r\n") + "\r\n"
}

func contextWithStop() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }

// rfcSample is the report of RFC 8460 Appendix B.
func rfcSample(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../mailauth/tlsrpt/testdata/rfc8460.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
