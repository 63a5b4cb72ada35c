package pop3d

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/testkit/transcript"
	"yubin/internal/world/blob"
	"yubin/internal/world/certs/certstest"
	"yubin/internal/world/netx"
	"yubin/internal/world/sqldb"
)

// The accounts of a post.
const (
	anna mail.AccountID = iota + 1
	bob
	name // 名@example.org
)

// post is a POP3 server over a real store, for one test.
type post struct {
	t      testing.TB
	ctx    context.Context
	stop   context.CancelFunc
	dir    string
	db     *sqldb.DB
	store  *store.Store
	later  atomic.Int64 // nanoseconds that the store's clock is ahead
	faulty *faulty
	server *Server
	tls    *tls.Config
	listen Listener
	secure bool // TLS from the start
	log    logBuffer

	mu     sync.Mutex
	conns  map[*netx.Conn]struct{}
	served sync.WaitGroup
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newPost(t testing.TB) *post {
	t.Helper()
	p := &post{t: t, conns: map[*netx.Conn]struct{}{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.openStore()
	p.faulty = &faulty{Store: p.store}
	p.tls = certstest.New("mail.example.org").Server()
	inner := p.tls.GetCertificate
	p.tls.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := inner(h)
		netx.NoteCertificate(h.Context(), c)
		return c, err
	}
	p.listen = Listener{Name: "test", TLS: p.tls}
	start := time.Now()
	p.server = New(Config{
		Hostname: "mail.example.org", Version: "yubin-test", Maildrops: p.faulty,
		Login:              func(from netip.Addr) sasl.Authenticator { return passwords{from} },
		AllowPlainLoopback: true, ChannelBinding: true,
		Now: func() time.Time { return start },
		Log: slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{ReplaceAttr: noTime})),
	})
	t.Cleanup(p.close)
	return p
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func (p *post) openStore() {
	p.t.Helper()
	dir := p.t.TempDir()
	p.dir = dir
	var err error
	if p.db, err = sqldb.Open(p.ctx, sqldb.Options{Path: filepath.Join(dir, "store.db"), Readers: 2}); err != nil {
		p.t.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.store, err = store.Open(p.ctx, store.Options{DB: p.db, Blobs: blobs, Now: func() time.Time { return time.Now().Add(time.Duration(p.later.Load())) }}); err != nil {
		p.t.Fatal(err)
	}
	for _, a := range []mail.AccountID{anna, bob, name} {
		if err := p.db.Write(p.ctx, func(tx *sqldb.Tx) error { return p.store.CreateAccount(tx, a) }); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *post) close() {
	p.stop()
	p.drain()
	p.served.Wait()
	if err := p.store.Check(context.Background(), func(problem string) { p.t.Error(problem) }); err != nil {
		p.t.Error(err)
	}
	if err := p.db.Close(); err != nil {
		p.t.Error(err)
	}
}

// serve runs one connection as netx.Server does.
func (p *post) serve(raw net.Conn) {
	p.served.Add(1)
	defer p.served.Done()
	c := netx.NewConn(raw, time.Minute, time.Minute)
	defer func() { _ = c.Close() }()
	p.track(c, true)
	defer p.track(c, false)
	l := p.listen
	if p.secure {
		if err := c.Handshake(p.tls, time.Minute); err != nil {
			p.t.Error(err)
			return
		}
		l.TLS = nil
	}
	p.server.Serve(p.ctx, c, l)
}

func (p *post) track(c *netx.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.conns, c); open {
		p.conns[c] = struct{}{}
	}
}

func (p *post) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Drain()
	}
}

// do is what transcripts can do beside talking.
func (p *post) do(verb, args string) (string, error) {
	switch verb {
	case "deliver":
		return "", p.deliver(args)
	case "deliver-raw":
		text, err := strconv.Unquote(`"` + args + `"`)
		if err != nil {
			return "", err
		}
		return "", p.deliver(text)
	case "uids":
		return p.uids()
	case "expunge":
		uid, err := strconv.Atoi(args)
		if err != nil {
			return "", err
		}
		_, err = p.store.ExpungeAny(p.ctx, p.inbox(), mail.UIDs(mail.UID(uid)))
		return "", err
	case "sweep": // A week and a day later.
		p.later.Store(int64(8 * 24 * time.Hour))
		return "", p.store.Sweep(p.ctx)
	case "fail":
		p.faulty.call.Store(args)
		return "", nil
	case "settle": // Sessions whose client has gone end by themselves.
		p.served.Wait()
		return "", nil
	case "shutdown":
		p.stop()
		p.drain()
		return "", nil
	case "log":
		return p.log.String(), nil
	}
	return "", fmt.Errorf("no such thing to do")
}

func (p *post) inbox() mail.MailboxID {
	p.t.Helper()
	m, err := p.store.MailboxByRole(context.Background(), anna, mail.RoleInbox)
	if err != nil {
		p.t.Fatal(err)
	}
	return m.ID
}

// deliver files a message in anna's INBOX, as it is.
func (p *post) deliver(text string) error {
	in := p.store.NewIncoming()
	defer in.Close()
	if _, err := in.Write([]byte(text)); err != nil {
		return err
	}
	_, err := p.store.Deliver(p.ctx, store.Posting{Message: in, Filings: []store.Filing{{Account: anna, Role: mail.RoleInbox, Received: time.Unix(1e9, 0).UTC()}}})
	return err
}

func (p *post) uids() (string, error) {
	v, err := p.store.View(context.Background(), p.inbox())
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, e := range v.All() {
		fmt.Fprintln(&b, e.UID)
	}
	return b.String(), nil
}

// faulty is a store of which one call can fail.
type faulty struct {
	*store.Store
	call atomic.Value // string
	rows atomic.Int64 // calls of RowsSince
}

func (f *faulty) fails(call string) error {
	if f.call.Load() == call {
		return mail.Errorf(mail.Unavailable, "the disk is away")
	}
	return nil
}

func (f *faulty) MailboxByRole(ctx context.Context, a mail.AccountID, r mail.Role) (store.Mailbox, error) {
	if err := f.fails("MailboxByRole"); err != nil {
		return store.Mailbox{}, err
	}
	return f.Store.MailboxByRole(ctx, a, r)
}

func (f *faulty) View(ctx context.Context, id mail.MailboxID) (*store.View, error) {
	if err := f.fails("View"); err != nil {
		return nil, err
	}
	return f.Store.View(ctx, id)
}

func (f *faulty) RowsSince(ctx context.Context, id mail.MailboxID, since mail.ModSeq, uids []mail.UID, need store.Need, most int) ([]store.Row, int, error) {
	f.rows.Add(1)
	err := f.fails("Rows")
	if len(uids) > 1 && err == nil {
		err = f.fails("Rows of many")
	}
	if err != nil {
		return nil, 0, err
	}
	return f.Store.RowsSince(ctx, id, since, uids, need, most)
}

func (f *faulty) ExpungeAny(ctx context.Context, id mail.MailboxID, uids mail.UIDSet) ([]mail.UID, error) {
	if err := f.fails("ExpungeAny"); err != nil {
		return nil, err
	}
	return f.Store.ExpungeAny(ctx, id, uids)
}

// passwords knows three people.
type passwords struct{ from netip.Addr }

func (passwords) account(user string) (mail.Principal, string) {
	p, password := mail.Principal{}, ""
	switch strings.ToLower(user) {
	case "anna@example.org":
		p.Account, password = anna, "secret"
	case "bob@example.org":
		p.Account, password = bob, "hidden"
	case "名@example.org":
		p.Account, password = name, "é space"
	}
	p.Address, _ = mail.ParseAddress(user)
	return p, password
}

func (w passwords) Login(_ context.Context, user, password string) (mail.Principal, error) {
	switch user {
	case "slow@example.org":
		return mail.Principal{}, mail.Errorf(mail.RateLimited, "too many failed logins; wait a minute")
	case "broken@example.org":
		return mail.Principal{}, fmt.Errorf("sql: no such table: directory_account")
	}
	p, right := w.account(user)
	if right == "" || right != password || !w.from.IsValid() {
		return mail.Principal{}, mail.Errorf(mail.Forbidden, "user name or password is wrong")
	}
	return p, nil
}

func (w passwords) Bearer(_ context.Context, user, token string) (mail.Principal, error) {
	switch token {
	case "token-of-anna":
		p, _ := w.account("anna@example.org")
		return p, nil
	case "away":
		return mail.Principal{}, mail.Errorf(mail.Unavailable, "the identity provider cannot be asked")
	}
	return mail.Principal{}, refusedToken("the token has expired")
}

// refusedToken is what a server says of a token that it does not take.
func refusedToken(why string) error {
	return &mail.Error{Kind: mail.Forbidden, Text: "the token is not taken", Err: &directory.Unproven{Why: why,
		Err: &sasl.TokenRefused{Status: "invalid_token", Scope: "mail", Configuration: "https://id.example/.well-known/openid-configuration"}}}
}

func (w passwords) Scram(_ context.Context, user string) (sasl.StoredKeys, sasl.Finish, error) {
	p, right := w.account(user)
	client, err := scram.SHA256.NewClient(user, right, "")
	if err != nil {
		return sasl.StoredKeys{}, nil, err
	}
	k, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt of eight and more", Iters: 4096})
	return sasl.StoredKeys{Salt: []byte(k.Salt), Iterations: k.Iters, Keys: []sasl.Key{{StoredKey: k.StoredKey, ServerKey: k.ServerKey}}},
		func(_ context.Context, proved func() int) (mail.Principal, error) {
			if proved() < 0 {
				return mail.Principal{}, mail.Errorf(mail.Forbidden, "user name or password is wrong")
			}
			return p, nil
		}, err
}

func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata/*.txt", func(t *testing.T, f *transcript.File) transcript.Server {
		p := newPost(t)
		p.secure = f.Setting("tls", "") == "implicit"
		p.server.cfg.Tokens = func() bool { return f.Setting("tokens", "no") == "yes" }
		return transcript.Server{Serve: p.serve, Do: p.do}
	})
}
