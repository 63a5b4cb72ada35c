package smtpd

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/password"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
	"yubin/internal/testkit/transcript"
	"yubin/internal/world/sqldb"
)

// rooms keeps nothing of accounts.
type rooms struct{}

func (rooms) CreateAccount(*sqldb.Tx, mail.AccountID) error { return nil }
func (rooms) DeleteAccount(*sqldb.Tx, mail.AccountID) error { return nil }

// ourselves is every loopback address.
type ourselves struct{}

func (ourselves) IsOurName(n dns.Name) bool           { return n == "mx.example.org" }
func (ourselves) IsOurAddress(at netip.AddrPort) bool { return at.Addr().IsLoopback() }

// tables is the Router of a server, without a trusted network.
type tables struct{ *route.Router }

func (r tables) Route(ctx context.Context, c *Client, to mail.Address) (route.Routed, error) {
	return r.Router.Route(ctx, route.Question{Recipient: to, Sender: c.ReversePath, Account: c.Principal.Account, Remote: c.Remote.Addr()})
}

func newTables(t *testing.T) tables {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "route.db")})
	must(err)
	t.Cleanup(func() { must(db.Close()) })
	dir, err := directory.Open(ctx, directory.Options{NoFloor: true, DB: db, Accounts: rooms{},
		Cost: password.Cost{Memory: 64, Time: 1, Threads: 1}, ScramIterations: 16, HashMemory: 256})
	must(err)
	_, err = dir.AddDomain(ctx, "example.org")
	must(err)
	_, err = dir.AddAccount(ctx, directory.NewAccount{Address: mail.Address{Local: "alice", Domain: "example.org"}, Password: "x"})
	must(err)
	r, err := route.Open(ctx, route.Options{DB: db, Directory: dir, Hostname: "mx.example.org", Ourselves: ourselves{}, Now: time.Now})
	must(err)
	return tables{r}
}

// The transcripts of the tricks, with the router and the directory that a server has.
func TestNoOpenRelay(t *testing.T) {
	for _, name := range []string{"relay", "relay-tricks", "source-routes"} {
		transcript.Run(t, "testdata/"+name+".txt", func(t *testing.T, f *transcript.File) transcript.Server {
			p := newPost(t, f)
			p.server.cfg.Router = newTables(t)
			return transcript.Server{Serve: p.serve, Do: p.do}
		})
	}
}
