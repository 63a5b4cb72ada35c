package smtpd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/bans"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/filter"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/route"
	"yubin/internal/engine/sending"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/testkit/transcript"
	"yubin/internal/world/netx"
)

// The people of the tests. Alice and Bob have accounts; team is both of them;
// gone has an account that is removed before a message for it has come, and staff
// is Bob and that one; sales is Alice, with any subaddress; away is forwarded; crowd is Alice and two
// addresses elsewhere; what goes to void is thrown away.
const (
	alice mail.AccountID = 1
	bob   mail.AccountID = 2
	gone  mail.AccountID = 3
)

// people is a Router, Identities and Authenticator.
type people struct{}

func (people) Route(_ context.Context, c *Client, to mail.Address) (route.Routed, error) {
	if to.Domain != "example.org" {
		if !c.Authenticated && !trusted(c) {
			return route.Routed{}, mail.Errorf(mail.Forbidden, "relaying denied")
		}
		return route.Routed{Onward: []route.Onward{elsewhere(to)}}, nil
	}
	local, detail, _ := strings.Cut(to.Key().Local, "+")
	switch local {
	case "alice", "sales", "postmaster", "ünal":
		return route.Routed{Accounts: []mail.AccountID{alice}, Detail: detail}, nil
	case "bob":
		return route.Routed{Accounts: []mail.AccountID{bob}}, nil
	case "gone":
		return route.Routed{Accounts: []mail.AccountID{gone}, Names: []mail.Address{{Local: "gone", Domain: "example.org"}}}, nil
	case "staff":
		return route.Routed{Accounts: []mail.AccountID{bob, gone}, Names: []mail.Address{{Local: "bob", Domain: "example.org"},
			{Local: "gone", Domain: "example.org"}}}, nil
	case "team":
		return route.Routed{Accounts: []mail.AccountID{alice, bob}}, nil
	case "away":
		return route.Routed{Onward: []route.Onward{elsewhere(mail.Address{Local: "Alice", Domain: "away.example"})}}, nil
	case "crowd":
		a, b := mail.Address{Local: "a", Domain: "one.example"}, mail.Address{Local: "b", Domain: "two.example"}
		return route.Routed{Accounts: []mail.AccountID{alice}, Onward: []route.Onward{elsewhere(a), elsewhere(b)}}, nil
	case "void":
		return route.Routed{Discard: "trash"}, nil
	case "spam":
		return route.Routed{}, &mail.Error{Kind: mail.Forbidden, Text: "we want no more of this", Err: &route.Refusal{Route: "spam", Enhanced: "5.7.27"}}
	case "full":
		return route.Routed{}, mail.Errorf(mail.OverQuota, "the mailbox is full")
	case "broken":
		return route.Routed{}, errors.New("a secret of the database")
	case "busy":
		return route.Routed{}, mail.Errorf(mail.RateLimited, "too much mail for this address")
	}
	return route.Routed{}, mail.Errorf(mail.NotFound, "nobody here is called %s", local)
}

// trusted is the network that may relay.
func trusted(c *Client) bool {
	return c.Profile == MX && c.Remote.IsValid() && c.Remote.Addr().String() == "192.0.2.25"
}

func elsewhere(a mail.Address) route.Onward {
	return route.Onward{Address: a, Hop: mail.NextHop{Domain: a.Domain}}
}

func (people) MayUse(_ context.Context, p mail.Principal, a mail.Address) (bool, error) {
	key := a.Key()
	local, _, _ := strings.Cut(key.Local, "+")
	own := map[mail.AccountID][]string{alice: {"alice", "sales"}, bob: {"bob"}}
	return key.Domain == "example.org" && slices.Contains(own[p.Account], local), nil
}

func (people) Login(_ context.Context, user, password string) (mail.Principal, error) {
	switch {
	case user == "alice@example.org" && password == "wonder":
		return principal("alice", alice), nil
	case user == "busy@example.org":
		return mail.Principal{}, mail.Errorf(mail.RateLimited, "too many attempts")
	case user == "broken@example.org":
		return mail.Principal{}, errors.New("a secret of the database")
	}
	return mail.Principal{}, mail.Errorf(mail.Forbidden, "wrong")
}

func (people) Bearer(_ context.Context, user, token string) (mail.Principal, error) {
	switch {
	case token == "token-of-alice" && (user == "" || user == "alice@example.org"), len(token) > 8000:
		return principal("alice", alice), nil
	case token == "away":
		return mail.Principal{}, mail.Errorf(mail.Unavailable, "the identity provider cannot be asked")
	}
	return mail.Principal{}, refusedToken("the token has expired")
}

// refusedToken is what a server says of a token that it does not take.
func refusedToken(why string) error {
	return &mail.Error{Kind: mail.Forbidden, Text: "the token is not taken", Err: &directory.Unproven{Why: why,
		Err: &sasl.TokenRefused{Status: "invalid_token", Scope: "mail", Configuration: "https://id.example/.well-known/openid-configuration"}}}
}

func principal(local string, id mail.AccountID) mail.Principal {
	return mail.Principal{Account: id, Address: mail.Address{Local: local, Domain: "example.org"}}
}

// machine is Users of whom one connects: alice, who may write as alice@example.org, root,
// who may write as anybody, www, who is the account of Alice, or busy, who sent too much.
type machine string

func (m machine) User(context.Context, *netx.Conn) (User, error) {
	switch m {
	case "ghost":
		return User{}, mail.Errorf(mail.Unavailable, "this system does not say who you are")
	case "www":
		return User{ID: 33, Login: "www", Domain: "example.org", Principal: principal("alice", alice)}, nil
	}
	return User{ID: 1000, Login: string(m), Domain: "example.org", Principal: principal(string(m), 0), Trusted: m == "root"}, nil
}

func (m machine) MayUse(_ context.Context, u User, a mail.Address) (bool, error) {
	return a.Key() == u.Principal.Address, nil
}

func (m machine) Take(User) error {
	if m == "busy" {
		return mail.Errorf(mail.RateLimited, "you sent 5 messages within an hour, as many as a user may")
	}
	return nil
}

// cupboard is an Intake that keeps mail in memory.
type cupboard struct {
	mu      sync.Mutex
	stored  map[mail.AccountID][]string
	queued  []string // items and their recipients, as text
	trace   string   // of the last item
	relayed string   // content of the same
	items   spool.ItemID
	begun   []*intake.Message
	broken  error // of Write
	refuse  error // of Commit
	rooms   map[mail.AccountID]error
}

// Room is what a test said of an account; a message of more than 1000 octets has none.
func (c *cupboard) Room(_ context.Context, id mail.AccountID, octets int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if octets > 1000 {
		return full(nil)
	}
	return c.rooms[id]
}

func full(cause error) error {
	return &mail.Error{Kind: mail.OverQuota, Text: "the mailbox is full", Err: cause}
}

// Begin begins a message that a test can make fail.
func (c *cupboard) Begin(taps ...intake.Tap) *intake.Message {
	return c.begin(intake.NewMessage(new(store.Store).NewIncoming(), append(taps, c)...))
}

func (c *cupboard) begin(m *intake.Message) *intake.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = append(c.begun, m)
	return m
}

// open counts the messages that were begun and not closed.
func (c *cupboard) open() (n int) {
	for _, m := range c.begun {
		if _, err := m.Write(nil); err == nil {
			n++
		}
	}
	return n
}

// Tap fails if writing is to.
func (c *cupboard) Tap([]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// Plan is the real one.
func (c *cupboard) Plan(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) (*intake.Plan, error) {
	return intake.New(intake.Options{}).Plan(ctx, m, e, to)
}

// Commit keeps what the plan says. The account gone is gone.
func (c *cupboard) Commit(_ context.Context, p *intake.Plan, _ ...intake.Also) (intake.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return intake.Receipt{}, c.refuse
	}
	if slices.ContainsFunc(p.Filings, func(f intake.Filing) bool { return f.Account == gone }) {
		p = p.Without(map[mail.AccountID]error{gone: mail.Errorf(mail.NotFound, "no such account")})
	}
	r := intake.Receipt{Plan: p}
	if len(p.Filings)+len(p.Items) == 0 && len(p.Refusals) > 0 {
		return r, p.Refusals[0].Err
	}
	octets, err := contentOf(p.Message)
	if err != nil {
		return r, err
	}
	for _, f := range p.Filings {
		if f.Role != mail.RoleInbox || f.Received.IsZero() {
			return r, errors.New("an incomplete filing")
		}
		c.stored[f.Account] = append(c.stored[f.Account], string(p.Message.Before(f.Prefix))+octets)
		r.Filed = append(r.Filed, store.Filed{Mailbox: mail.MailboxID(f.Account), UID: mail.UID(len(c.stored[f.Account]))})
	}
	for _, it := range p.Items {
		c.items++
		c.queue(c.items, it, octets)
		r.Items = append(r.Items, c.items)
	}
	return r, nil
}

func contentOf(m *intake.Message) (string, error) {
	c, err := m.Content()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	_, err = c.WriteTo(&b)
	return b.String(), errors.Join(err, c.Close())
}

// queue writes down what was spooled.
func (c *cupboard) queue(id spool.ItemID, it intake.Item, octets string) {
	c.relayed, c.trace = octets, string(it.Prefix)
	words := []string{fmt.Sprintf("item %d from=<%s>", id, it.ReversePath)}
	add := func(when bool, format string, args ...any) {
		if when {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(it.Body != mail.Body7Bit, "body=%d", it.Body)
	add(it.UTF8, "utf8")
	add(it.RequireTLS, "requiretls")
	add(it.Demand() == mail.TLSWaived, "tlsoptional")
	add(it.Ret != 0, "ret=%v", it.Ret)
	add(it.EnvID != "", "envid=%q", it.EnvID)
	add(it.Priority != 0, "priority=%d", it.Priority)
	add(!it.DeliverBy.At.IsZero(), "by=%s,%v,%v", it.DeliverBy.At.Format(time.RFC3339), it.DeliverBy.Return, it.DeliverBy.Trace)
	add(!it.HoldUntil.IsZero(), "hold=%s", it.HoldUntil.Format(time.RFC3339))
	add(it.Account != 0, "account=%d", it.Account)
	add(it.SignFor != "", "signfor=%s", it.SignFor)
	add(it.Language != "", "lang=%s", it.Language)
	words = append(words, "trans="+it.Transaction, "mid="+it.MessageID)
	c.queued = append(c.queued, strings.Join(words, " "))
	for _, r := range it.Recipients {
		words = []string{"to " + r.Address.String()}
		add(!r.Filed && !r.Expanded, "site=%s", r.Site)
		add(r.Hold.By != "", "held=%s %q", r.Hold.By, r.Hold.Note)
		add(r.Filed, "filed")
		add(r.Expanded, "expanded")
		add(r.Notify != 0, "notify=%v", r.Notify)
		add(r.ORCPT != "", "orcpt=%s", r.ORCPT)
		c.queued = append(c.queued, strings.Join(words, " "))
	}
}

// post is a Server with all that it stands on.
type post struct {
	*cupboard
	server   *Server
	log      bytes.Buffer
	ctx      context.Context
	shutdown context.CancelFunc
	implicit bool
	look     func(mail.AccountID) ([]string, error) // what is stored
	mu       sync.Mutex
	conns    []*netx.Conn
	entries  []string
	offences []string
	meter    meter
}

// offended writes down what strangers did.
func (p *post) offended(from netip.Addr, what bans.Offence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offences = append(p.offences, from.String()+" "+what.String())
}

// meter is a Sending that lets an account write to two strangers, and a third with the time, and
// holds what goes to more than one recipient. Who is called friend is no stranger.
type meter struct {
	mu    sync.Mutex
	words []string
	fresh int
}

func (m *meter) May(_ context.Context, who sending.Sender, to mail.Address, before int) (isNew bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if isNew = to.Local != "friend"; isNew && m.fresh+before >= 2 {
		return true, mail.Errorf(mail.RateLimited, "this account wrote to 2 new recipients in this hour, as many as it may; go on at 04:00 UTC")
	}
	return isNew, nil
}

func (m *meter) Take(_ context.Context, who sending.Sender, recipients int, fresh []mail.Address) (taken sending.Taken, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fresh += len(fresh)
	m.words = append(m.words, fmt.Sprintf("account %d of %s from %s: %d recipients, new %v", who.Account, who.Domain, who.From, recipients, fresh))
	if recipients > 1 {
		taken.Hold = "much more than usual"
	}
	return taken, nil
}

// record writes an entry of the journal down.
func (p *post) record(e journal.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := map[journal.Kind]string{journal.Accepted: "accepted", journal.Refused: "refused"}[e.Kind]
	p.entries = append(p.entries, fmt.Sprintf("%s %s session=%s trans=%s hello=%s tls=%s user=%s from=<%s> to=%v mid=%s size=%d item=%d filed=%v reply=%d %s %s",
		kind, e.Service, e.Session, e.Transaction, e.Hello, e.TLS, e.User, e.ReversePath, e.Recipients, e.MessageID, e.Size, e.Item, e.Filed,
		e.Code, e.Enhanced, e.Text))
	if e.At.IsZero() {
		p.entries = append(p.entries, "and it has no time")
	}
}

// lockedWriter lets the sessions of a test log at the same time.
type lockedWriter struct{ p *post }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.log.Write(b)
}

var certificate = sync.OnceValue(func() *tls.Config {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.org"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
})

func newPost(t testing.TB, f *transcript.File) *post {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &post{
		cupboard: &cupboard{stored: map[mail.AccountID][]string{}, rooms: map[mail.AccountID]error{}},
		ctx:      ctx, shutdown: cancel,
		implicit: f.Setting("implicit", "no") == "yes",
	}
	p.look = func(id mail.AccountID) ([]string, error) {
		p.cupboard.mu.Lock()
		defer p.cupboard.mu.Unlock()
		return p.stored[id], nil
	}
	cfg := Config{
		Profile:    map[string]Profile{"mx": MX, "submission": Submission, "lmtp": LMTP, "local": Local}[f.Setting("profile", "mx")],
		Hostname:   "mx.example.org",
		Postmaster: mail.Address{Local: "postmaster", Domain: "example.org"},
		TLS:        certificate,
		Auth:       func(netip.Addr) sasl.Authenticator { return scramPeople{} },
		Users:      machine(f.Setting("user", "alice")),
		Router:     people{}, Identities: people{}, Intake: p.cupboard, Room: p.cupboard,
		AllowPlainLoopback: true, ChannelBinding: true,
		Limits:     limitsOf(t, f.Setting("limits", "")),
		Log:        slog.New(slog.NewTextHandler(lockedWriter{p}, &slog.HandlerOptions{ReplaceAttr: noTime})),
		Now:        func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		NewID:      counter(),
		Language:   func(context.Context, mail.Principal) string { return "ja" },
		Record:     p.record,
		Reports:    func(netip.Addr) bool { return f.Setting("reports", "no") == "yes" },
		HideClient: f.Setting("hides", "no") == "yes",
		Offended:   p.offended,
		OurPostmaster: func(_ context.Context, a mail.Address) bool {
			return a.Key() == mail.Address{Local: "postmaster", Domain: "example.org"}
		},
	}
	if f.Setting("sending", "free") == "bounded" {
		cfg.Sending = &p.meter
	}
	if f.Setting("tokens", "no") == "yes" {
		cfg.Tokens = func() bool { return true }
	}
	if f.Setting("tls", "yes") == "no" {
		cfg.TLS = nil
	}
	if f.Setting("clock", "still") == "real" {
		cfg.Now = time.Now
	}
	if f.Setting("filters", "no") == "yes" {
		panel, err := filter.New(filter.Options{Filters: []filter.Setting{{Name: "wordy", Filter: wordy{}, Down: filter.Accept}}, Begin: func() *intake.Message { return p.cupboard.Begin() },
			Log: cfg.Log, Now: cfg.Now})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Filters = panel
	}
	p.server = New(cfg)
	t.Cleanup(func() {
		cancel()
		if n := p.open(); n != 0 {
			t.Errorf("%d messages were begun and never closed", n)
		}
	})
	return p
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "took" {
		return slog.Attr{}
	}
	return a
}

func counter() func() string {
	var mu sync.Mutex
	n := 0
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return "id" + strconv.Itoa(n)
	}
}

// limitsOf reads "errors=3 size=1000".
func limitsOf(t testing.TB, text string) (l Limits) {
	for word := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "size":
			l.MessageSize = int64(n)
		case "dropped":
			l.Dropped = int64(n)
		case "copies":
			l.Copies = n
		default:
			fields := map[string]*int{"header": &l.HeaderSize, "hops": &l.Hops, "recipients": &l.Recipients, "transactions": &l.Transactions,
				"errors": &l.Errors, "refusals": &l.Refusals, "small": &l.SmallChunks, "idle": &l.Idle, "logins": &l.AuthFailures}
			*fields[name] = n
		}
	}
	return l
}

func (p *post) serve(raw net.Conn) {
	c := netx.NewConn(raw, 0, time.Minute)
	defer c.Close()
	if p.implicit && c.Handshake(certificate(), time.Minute) != nil {
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	p.server.Serve(p.ctx, c)
}

// do is for the "do" lines of transcripts.
func (p *post) do(name, args string) (string, error) {
	switch name {
	case "stored", "count": // of whom
		all, err := p.look(map[string]mail.AccountID{"alice": alice, "bob": bob}[args])
		if name == "count" {
			return strconv.Itoa(len(all)), err
		}
		return strings.Join(all, "=====\n"), err
	case "spooled":
		p.cupboard.mu.Lock()
		defer p.cupboard.mu.Unlock()
		return strings.Join(p.queued, "\n"), nil
	case "trace": // of what was spooled last
		p.cupboard.mu.Lock()
		defer p.cupboard.mu.Unlock()
		return p.cupboard.trace, nil
	case "relayed": // the content of that
		p.cupboard.mu.Lock()
		defer p.cupboard.mu.Unlock()
		return strings.ReplaceAll(p.cupboard.relayed, "\r\n", "\n"), nil
	case "offences":
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.Join(p.offences, "\n"), nil
	case "counted": // by the meter
		p.meter.mu.Lock()
		defer p.meter.mu.Unlock()
		return strings.Join(p.meter.words, "\n"), nil
	case "journal":
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.Join(p.entries, "\n"), nil
	case "disk": // full, ok
		p.fail(&p.broken, args == "full", mail.Errorf(mail.Unavailable, "no room on disk"))
	case "deliver": // fails, ok
		p.fail(&p.refuse, args == "fails", errors.New("a secret of the database"))
	case "room": // alice or bob: ok, full, long
		who, state, _ := strings.Cut(args, " ")
		p.cupboard.mu.Lock()
		defer p.cupboard.mu.Unlock()
		p.rooms[map[string]mail.AccountID{"alice": alice, "bob": bob}[who]] = map[string]error{"full": full(nil), "long": full(store.ErrLongFull)}[state]
	case "shutdown":
		p.shutdown()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			c.Drain()
		}
	case "log":
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.log.String(), nil
	default:
		return "", fmt.Errorf("this suite cannot %q", name)
	}
	return "", nil
}

func (c *cupboard) fail(where *error, on bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *where = nil; on {
		*where = err
	}
}

func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata/*.txt", func(t *testing.T, f *transcript.File) transcript.Server {
		p := newPost(t, f)
		return transcript.Server{Serve: p.serve, Do: p.do, Patience: 3 * time.Second}
	})
}
