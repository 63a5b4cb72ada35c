package imapd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/notify"
	"yubin/internal/engine/password"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/testkit/transcript"
	"yubin/internal/world/blob"
	"yubin/internal/world/heap"
	"yubin/internal/world/netx"
	"yubin/internal/world/sqldb"
)

// house is a server with a real store and directory in a folder of its own. It
// has the accounts alice@example.org and bob@example.org, whose password is
// "secret".
type house struct {
	t     testing.TB
	store *store.Store
	db    *sqldb.DB
	dir   *directory.Directory
	path  string // of the data
	hub   notify.Hub
	srv   *Server
	cert  tls.Certificate
	alice mail.AccountID
	fail  *faults
	later time.Duration // than the time of the other tests
	far   bool          // clients are not on loopback
	ctx   context.Context
	drain context.CancelFunc
	log   *strings.Builder

	mu     sync.Mutex
	conns  []*netx.Conn
	budget *heap.Budget // of sessions; nil for no bound
}

// faults is the store with failures that tests ask for.
type faults struct {
	*store.Store
	door    *intake.Intake
	deliver error // what File says
	rows    error // what Rows says where content is asked for

	mu            sync.Mutex
	before, after func() // what others do once before rows are read, and before they are told
}

func (f *faults) Begin(taps ...intake.Tap) *intake.Message { return f.door.Begin(taps...) }

func (f *faults) File(ctx context.Context, m *intake.Message, to ...store.Filing) ([]store.Filed, error) {
	if f.deliver != nil {
		return nil, f.deliver
	}
	return f.door.File(ctx, m, to...)
}

func (f *faults) RowsSince(ctx context.Context, id mail.MailboxID, since mail.ModSeq, uids []mail.UID, need store.Need, most int) ([]store.Row, int, error) {
	if f.rows != nil && need&store.NeedContent != 0 {
		return nil, 0, f.rows
	}
	f.mu.Lock() // Batches are read side by side.
	before, after := f.before, f.after
	f.before, f.after = nil, nil
	f.mu.Unlock()
	if before != nil {
		before()
	}
	if after != nil {
		defer after()
	}
	return f.Store.RowsSince(ctx, id, since, uids, need, most)
}

// login is the directory for a client at an address.
type login struct {
	*directory.Directory
	from directory.Client
}

func (l login) Login(ctx context.Context, user, password string) (mail.Principal, error) {
	return l.Directory.Login(ctx, user, password, l.from)
}

func (l login) Bearer(ctx context.Context, user, token string) (mail.Principal, error) {
	v := directory.Voucher{Name: "id.example", Domains: []mail.Domain{"example.org"}}
	return l.Vouched(ctx, user, token, l.from, v, func(context.Context) (directory.Vouched, error) {
		name, right := strings.CutPrefix(token, "token-of-")
		switch {
		case token == "away":
			return directory.Vouched{}, mail.Errorf(mail.Unavailable, "the identity provider cannot be asked")
		case !right:
			return directory.Vouched{}, refusedToken("the token has expired")
		}
		return directory.Vouched{Address: mail.Address{Local: name, Domain: "example.org"}, Via: "a token"}, nil
	})
}

// refusedToken is what a server says of a token that it does not take.
func refusedToken(why string) error {
	return &mail.Error{Kind: mail.Forbidden, Text: "the token is not taken", Err: &directory.Unproven{Why: why,
		Err: &sasl.TokenRefused{Status: "invalid_token", Scope: "mail", Configuration: "https://id.example/.well-known/openid-configuration"}}}
}

func (l login) Scram(ctx context.Context, user string) (sasl.StoredKeys, sasl.Finish, error) {
	s, err := l.Directory.Scram(ctx, user, l.from)
	if err != nil {
		return sasl.StoredKeys{}, nil, err
	}
	keys := sasl.StoredKeys{Salt: s.Salt, Iterations: s.Iterations}
	for _, k := range s.Keys {
		keys.Keys = append(keys.Keys, sasl.Key(k))
	}
	return keys, s.Finish, nil
}

// lockedLog collects log lines of several goroutines.
type lockedLog struct {
	mu sync.Mutex
	b  *strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func newHouse(t testing.TB, change ...func(*Config)) *house {
	t.Helper()
	h := &house{t: t, log: &strings.Builder{}}
	h.ctx, h.drain = context.WithCancel(context.Background())
	h.openStore()
	h.cert = selfSigned(t)
	cfg := Config{
		Hostname: "mail.example.org", Mailboxes: h.fail, Messages: h.fail, Intake: h.fail, Notifier: &h.hub,
		Login: func(from netip.Addr) sasl.Authenticator {
			return login{h.dir, directory.Client{Protocol: directory.IMAP, Addr: from}}
		},
		AllowPlainLoopback: true, ChannelBinding: true, MaxMessage: 1 << 20, Now: h.now,
		Log: slog.New(slog.NewTextHandler(&lockedLog{b: h.log}, nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	h.srv = New(cfg)
	return h
}

func (h *house) now() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).Add(h.later) }

func (h *house) openStore() {
	h.t.Helper()
	dir := h.t.TempDir()
	h.path = dir
	var err error
	if h.db, err = sqldb.Open(h.ctx, sqldb.Options{Path: filepath.Join(dir, "yubin.db")}); err != nil {
		h.t.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), rand.Reader)
	h.must(err)
	h.store, err = store.Open(h.ctx, store.Options{DB: h.db, Blobs: blobs, Now: h.now, Publish: h.hub.Publish,
		Quotas: quotas{h}})
	h.must(err)
	h.fail = &faults{Store: h.store, door: intake.New(intake.Options{Store: h.store})}
	h.dir, err = directory.Open(h.ctx, directory.Options{
		DB: h.db, Accounts: h.store, NoRateLimit: true, NoFloor: true, ScramIterations: 4096,
		Cost: password.Cost{Memory: 64, Time: 1, Threads: 1},
	})
	h.must(err)
	h.t.Cleanup(func() {
		h.must(h.store.Check(context.Background(), func(p string) { h.t.Error("check: " + p) }))
		h.must(h.db.Close())
	})
	_, err = h.dir.AddDomain(h.ctx, "example.org")
	h.must(err)
	h.alice = h.account("alice")
	h.account("bob")
}

// quotas is the directory of a house, which is opened after its store.
type quotas struct{ h *house }

func (q quotas) Quota(ctx context.Context, id mail.AccountID) (mail.Quota, error) {
	return q.h.dir.Quota(ctx, id)
}

func (q quotas) QuotaIn(tx *sqldb.Tx, id mail.AccountID) (mail.Quota, error) {
	return q.h.dir.QuotaIn(tx, id)
}

func (h *house) account(local string) mail.AccountID {
	a, err := h.dir.AddAccount(h.ctx, directory.NewAccount{
		Address: mail.Address{Local: local, Domain: "example.org"}, Password: "secret",
	})
	h.must(err)
	return a.ID
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.org"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// near is a connection over loopback.
type near struct{ net.Conn }

func (near) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000} }
func (near) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 143} }

// nearTCP is near of which the system can be asked.
type nearTCP struct{ *net.TCPConn }

func (nearTCP) RemoteAddr() net.Addr { return near{}.RemoteAddr() }
func (nearTCP) LocalAddr() net.Addr  { return near{}.LocalAddr() }

// serve runs a session over c; listener settings are those of port 143.
func (h *house) serve(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok && !h.far {
		c = nearTCP{tcp}
	} else if !h.far {
		c = near{c}
	}
	conn := netx.NewConn(c, 0, time.Minute)
	conn.Share().Init(h.budget, conn)
	h.mu.Lock()
	h.conns = append(h.conns, conn)
	h.mu.Unlock()
	h.srv.Serve(h.ctx, conn, Listener{Name: "imap", TLS: &tls.Config{Certificates: []tls.Certificate{h.cert}}})
	_ = conn.Close()
}

// inbox files octets, with CRLF for LF, in a mailbox of alice.
func (h *house) deliver(mailbox mail.MailboxName, octets string, flags mail.Flags) mail.UID {
	h.t.Helper()
	box, err := h.store.Mailbox(h.ctx, h.alice, mailbox)
	h.must(err)
	in := h.store.NewIncoming()
	defer in.Close()
	_, err = in.Write([]byte(strings.ReplaceAll(octets, "\n", "\r\n")))
	h.must(err)
	filed, err := h.store.Deliver(h.ctx, store.Posting{Message: in, Filings: []store.Filing{{
		Account: h.alice, Mailbox: box.ID, Flags: flags,
		Received: time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600)),
	}}})
	h.must(err)
	return filed[0].UID
}

// simple is a small message.
func simple(subject string) string {
	return "From: Sender <sender@example.com>\nTo: alice@example.org\nSubject: " + subject +
		"\nDate: Tue, 3 Feb 2026 04:05:06 +0100\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@example.com>\n\nbody of " + subject + "\n"
}

// do carries out the "do" lines of transcripts:
//
//	deliver MAILBOX SUBJECT    a small message arrives in alice's mailbox
//	fill N                     "message 1" to "message N" arrive in INBOX
//	file NAME                  the message testdata/messages/NAME arrives in INBOX
//	expunge UID                another client expunges a message of INBOX
//	delete MAILBOX             another client deletes a mailbox
//	diskfull / diskok          deliveries fail, or no more
//	quota OCTETS               alice may hold so much
//	drain                      the server begins to shut down
func (h *house) do(name, args string) (string, error) {
	switch name {
	case "deliver":
		box, subject, _ := strings.Cut(args, " ")
		h.deliver(mail.MailboxName(box), simple(subject), 0)
	case "fill":
		var n int
		if _, err := fmt.Sscan(args, &n); err != nil {
			return "", err
		}
		for i := range n {
			h.deliver(mail.Inbox, simple(fmt.Sprintf("message %d", i+1)), 0)
		}
	case "file":
		h.deliver(mail.Inbox, h.testMessage(args), 0)
	case "expunge":
		return "", h.expungeElsewhere(args)
	case "delete":
		return "", h.store.DeleteMailbox(h.ctx, h.alice, mail.MailboxName(args))
	case "diskfull":
		h.fail.deliver = mail.Errorf(mail.Unavailable, "the disk is full")
	case "diskok":
		h.fail.deliver = nil
	case "quota":
		var n int64
		if _, err := fmt.Sscan(args, &n); err != nil {
			return "", err
		}
		return "", h.dir.SetQuota(h.ctx, mail.Address{Local: "alice", Domain: "example.org"}, directory.AllowanceChange{Octets: &n})
	case "drain":
		h.drain()
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, c := range h.conns {
			c.Drain()
		}
	default:
		return "", fmt.Errorf("unknown do %q", name)
	}
	return "", nil
}

func (h *house) expungeElsewhere(args string) error {
	var uid mail.UID
	if _, err := fmt.Sscan(args, &uid); err != nil {
		return err
	}
	box, err := h.store.Mailbox(h.ctx, h.alice, mail.Inbox)
	if err == nil {
		_, err = h.store.ExpungeAny(h.ctx, box.ID, mail.UIDs(uid))
	}
	return err
}

func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata/*.txt", func(t *testing.T, f *transcript.File) transcript.Server {
		h := newHouse(t, func(c *Config) { c.Tokens = func() bool { return f.Setting("tokens", "no") == "yes" } })
		h.far = f.Setting("from", "loopback") != "loopback"
		return transcript.Server{Serve: h.serve, Do: h.do}
	})
}

// testMessage reads a message of testdata, whose lines end in LF there.
func (h *house) testMessage(name string) string {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "messages", name))
	h.must(err)
	return string(b)
}
