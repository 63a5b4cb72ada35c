package heap

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/fstest"

	"yubin/internal/mail"
)

// guest holds a share.
type guest struct {
	Share
	party   Party
	yielded bool
}

func (g *guest) Party() Party { return g.party }
func (g *guest) Yield()       { g.yielded = true }

// network is a stranger's party.
func network(i byte) Party {
	return Party{Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, i, 0}), 24)}
}

func (b *Budget) guest(p Party) *guest {
	g := &guest{party: p}
	g.Init(b, g)
	return g
}

func (g *guest) takes(t *testing.T, n int) {
	t.Helper()
	if err := g.Take(n); err != nil {
		t.Fatalf("%v is refused %d octets", g.party, n)
	}
}

func (g *guest) refused(t *testing.T, n int) {
	t.Helper()
	if err := g.Take(n); mail.KindOf(err) != mail.Unavailable {
		t.Fatalf("%v takes %d octets: %v", g.party, n, err)
	}
}

func TestTheHeaviestGivesWay(t *testing.T) {
	b := NewBudget(1000)
	light, heavy, heaviest := b.guest(network(1)), b.guest(network(2)), b.guest(network(2))
	light.takes(t, 200)
	heavy.takes(t, 300)
	heaviest.takes(t, 500)
	heaviest.refused(t, 1) // It is the heaviest itself, and so gives way.
	if heaviest.yielded || heaviest.Held() != 500 {
		t.Error("who is refused loses what it has")
	}
	light.takes(t, 100)
	if !heaviest.yielded || heavy.yielded {
		t.Error("another than the heaviest gave way")
	}
	heaviest.refused(t, 1)
	if held := b.Stats().Held; held != 1100 {
		t.Errorf("%d held, with what is on its way back", held)
	}
	b.guest(network(3)).refused(t, 100) // The credit is used up.
	heaviest.Close()
	b.guest(network(3)).takes(t, 100)
	light.Close()
	heavy.Close()
	if s := b.Stats(); s.Held != 100 || s.Refused != 4 {
		t.Errorf("in the end %+v", s)
	}
}

func TestAPartyIsHeavyByAllItsShares(t *testing.T) {
	b := NewBudget(1000)
	var crowd []*guest
	for range 10 {
		g := b.guest(network(1))
		g.takes(t, 80)
		crowd = append(crowd, g)
	}
	alone := b.guest(network(2))
	alone.takes(t, 200) // More than anyone of the crowd, less than all.
	alone.takes(t, 10)
	gone := 0
	for _, g := range crowd {
		if g.yielded {
			gone++
		}
	}
	if alone.yielded || gone != 1 {
		t.Errorf("%d of the crowd gave way", gone)
	}
	crowd[9].refused(t, 1) // Its own party is the heaviest and it is as heavy as the others.
}

func TestStrangersGiveWayBeforeAccounts(t *testing.T) {
	b := NewBudget(1000)
	account, stranger := b.guest(Party{Account: 7}), b.guest(network(1))
	account.takes(t, 600)
	stranger.takes(t, 400)
	other := b.guest(Party{Account: 8})
	other.takes(t, 100)
	if account.yielded || !stranger.yielded {
		t.Error("an account gave way to an account though strangers hold more than their part")
	}
	stranger.Close()
	account.takes(t, 300)
	late := b.guest(network(2))
	late.takes(t, 100) // Strangers hold less than their part.
	if !account.yielded || other.yielded {
		t.Error("the largest account does not make room for strangers")
	}
}

func TestMove(t *testing.T) {
	b := NewBudget(1000)
	g, other := b.guest(network(1)), b.guest(network(1))
	g.takes(t, 500)
	other.takes(t, 100)
	g.party = Party{Account: 7}
	g.Move()
	if b.ranks[0].held != 100 || b.ranks[1].held != 500 || g.Held() != 500 {
		t.Errorf("after the login strangers hold %d, accounts %d", b.ranks[0].held, b.ranks[1].held)
	}
}

func TestTakeUpTo(t *testing.T) {
	b := NewBudget(1000)
	g := b.guest(network(1))
	for _, want := range []int{500, 250, 200, 50} {
		if n, err := g.TakeUpTo(min(want, 200), 600); err != nil || n != want {
			t.Fatalf("%d, %v; want %d", n, err, want)
		}
	}
	if n, err := g.TakeUpTo(1, 600); err == nil {
		t.Errorf("%d more than there is", n)
	}
}

func TestNoBudgetIsNoBound(t *testing.T) {
	var s Share
	for _, s := range []*Share{nil, &s} {
		if n, err := s.TakeUpTo(1, 1<<40); n != 1<<40 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		s.Give(5)
		s.Move()
		s.Close()
	}
	if s := (*Budget)(nil).Stats(); s != (BudgetStats{}) {
		t.Errorf("%+v", s)
	}
}

// TestBudgetAdds plays a random game and adds up after each step.
func TestBudgetAdds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := NewBudget(10_000)
	all := make([]*guest, 40)
	for i := range all {
		all[i] = b.guest(network(byte(i % 7)))
	}
	for step := range 20_000 {
		i := rng.IntN(len(all))
		g := all[i]
		switch n := rng.IntN(800); {
		case g.yielded:
			g.Close()
			all[i] = b.guest(network(byte(rng.IntN(7))))
		case n < 400:
			_ = g.Take(n)
		case n < 700:
			g.Give(n)
		case n < 750:
			g.party = Party{Account: int64(n % 5)}
			g.Move()
		default:
			g.Close()
		}
		b.add(t, step, all)
	}
	for _, g := range all {
		g.Close()
	}
	if b.held != 0 || b.leaving != 0 || len(b.parties) != 0 || b.ranks[0].heaviest() != nil || b.ranks[1].heaviest() != nil {
		t.Errorf("in the end %d held, %d leaving, %d parties", b.held, b.leaving, len(b.parties))
	}
}

// add compares what is counted with what all hold.
func (b *Budget) add(t *testing.T, step int, all []*guest) {
	t.Helper()
	var held, leaving int64
	parties := map[Party]int64{}
	for _, g := range all {
		held += g.held
		if g.out {
			leaving += g.held
		} else if g.held > 0 {
			parties[g.party] += g.held
		}
	}
	if held != b.held || leaving != b.leaving || held > b.total+b.total/creditPart || held-leaving > b.total || len(parties) != len(b.parties) {
		t.Fatalf("step %d: %d held, %d leaving, %d parties; counted %d, %d, %d", step, held, leaving, len(parties), b.held, b.leaving, len(b.parties))
	}
	for key, n := range parties {
		if b.parties[key].held != n {
			t.Fatalf("step %d: %v holds %d, counted %d", step, key, n, b.parties[key].held)
		}
	}
}

func TestBudgetAtOnce(t *testing.T) {
	b := NewBudget(5000)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			g := b.guest(network(byte(i)))
			for range 2000 {
				if g.Take(700) == nil {
					g.Give(700)
				}
			}
			g.Close()
		})
	}
	wg.Wait()
	if held := b.Stats().Held; held != 0 {
		t.Errorf("%d held", held)
	}
}

func BenchmarkTakeGive(b *testing.B) {
	g := NewBudget(1 << 20).guest(network(1))
	for b.Loop() {
		if g.Take(4096) != nil {
			b.Fatal("refused")
		}
		g.Give(4096)
	}
}

func TestPlan(t *testing.T) {
	group := func(mib string) fstest.MapFS {
		return fstest.MapFS{
			"proc/self/cgroup":         {Data: []byte("0::/\n")},
			"sys/fs/cgroup/memory.max": {Data: []byte(mib + "\n")},
			"proc/meminfo":             {Data: []byte("MemTotal:       25165824 kB\n")},
		}
	}
	for _, c := range []struct {
		name    string
		root    fstest.MapFS
		goLimit int64
		want    Plan // in MiB, but for the last three
	}{
		{"128 MiB", group("134217728"), 0, Plan{75, 16, 9, 4, 18, 15, 2, 601, 75, smallSocket}},
		{"256 MiB", group("268435456"), 0, Plan{174, 32, 21, 10, 43, 34, 5, 1395, 174, smallSocket}},
		{"1 GiB", group("1073741824"), 0, Plan{833, 64, 104, 52, 208, 166, 8, 6668, 833, smallSocket}},
		{"a machine of 24 GiB", group("max"), 0, Plan{0, 64, 256, 64, 2742, 2194, 8, MostConnections, mostCouriers, 0}},
		{"that machine, GOMEMLIMIT=128MiB", group("max"), 128 << 20, Plan{128, 64, 16, 8, 32, 25, 4, 1024, 128, 0}},
		{"16 MiB", group("16777216"), 0, Plan{4, 8, 4, 2, 8, 0, 0, 64, 8, smallSocket}},
		{"it does not say", nil, 0, Plan{0, 64, 219, 64, 438, 351, 8, 14041, 1755, 0}},
	} {
		p := NewPlan(c.root, c.goLimit)
		for _, n := range []*int64{&p.Limit, &p.Database, &p.Views, &p.Search, &p.Hashes, &p.Sessions, &p.Fresh} {
			*n >>= 20
		}
		if p != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, p, c.want)
		}
	}
}
