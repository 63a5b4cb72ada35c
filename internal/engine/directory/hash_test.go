package directory

import (
	"strings"
	"testing"
)

// The test of the reference implementation (phc-winner-argon2, test.c).
const referenceHash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestHash(t *testing.T) {
	h, err := parseHash(referenceHash)
	if err != nil || !h.fits("password") || h.fits("passwore") || h.fits("") {
		t.Errorf("%s, %v", h, err)
	}
	if got := newHash("password", []byte("somesalt"), Cost{Memory: 64 << 10, Time: 2, Threads: 1}).String(); got != referenceHash {
		t.Errorf("%s, want %s", got, referenceHash)
	}
}

// The keys of the user of RFC 7677 §3, as PostgreSQL writes them.
func TestScramText(t *testing.T) {
	salt := []byte("\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81")
	k, err := deriveScram("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if k.String() != want {
		t.Errorf("%s, want %s", k, want)
	}
	if back, err := parseScram(want); err != nil || back.String() != want {
		t.Errorf("%s, %v", back, err)
	}
}

func TestParseHashRefuses(t *testing.T) {
	good := newHash("x", []byte("0123456789abcdef"), Cost{Memory: 64, Time: 2, Threads: 1}).String()
	for _, r := range [][2]string{
		{"argon2id", "argon2i"}, {"v=19", "v=16"}, {"m=64", "m=7"}, {"m=64", "m=9999999"}, {"m=64", "m=064"}, {"m=64", "m=-1"},
		{"t=2", "t=0"}, {"t=2", "t=99"}, {"p=1", "p=0"}, {"p=1", "p=9"}, {"p=1", "p=1,x=1"}, {",p=1", ""}, {"m=64,t=2", "t=2,m=64"},
		{"$MDEy", "$MDEy\n"}, {"MDEyMzQ1Njc4OWFiY2RlZg", "MDEy"}, {"MDEyMzQ1Njc4OWFiY2RlZg", "MDEyMzQ1Njc4OWFiY2RlZg=="}, {"$argon", "argon"},
		{"MDEyMzQ1Njc4OWFiY2RlZg", strings.Repeat("MDEy", 30)},
	} {
		bad := strings.Replace(good, r[0], r[1], 1)
		if bad == good {
			t.Fatalf("%q is not in %s", r[0], good)
		}
		if _, err := parseHash(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, err := parseHash(good + strings.Repeat("A", maxHashText)); err == nil {
		t.Error("a long text was read")
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(referenceHash)
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Fatalf("%q came back as %q", s, h)
		}
		if h.cost.Memory > maxCostMemory || h.cost.Time > maxCostTime || h.cost.Threads > maxCostThreads || h.cost.Time < 1 || h.cost.Threads < 1 {
			t.Fatalf("cost %+v", h.cost)
		}
	})
}

func FuzzParseScram(f *testing.F) {
	k, err := deriveScram("pencil", []byte("0123456789abcdef"), 4096)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.String())
	f.Add("SCRAM-SHA-256$1:$:")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := parseScram(s); err == nil && k.String() != s {
			t.Fatalf("%q came back as %q", s, k)
		}
	})
}

func FuzzPrepare(f *testing.F) {
	f.Add("I\u00adX")
	f.Add("\u0627\u0031")
	f.Fuzz(func(t *testing.T, s string) {
		once, err := prepare(s, MaxPassword)
		if err != nil {
			return
		}
		if twice, err := prepare(once, 32*MaxPassword); err != nil || twice != once {
			t.Fatalf("%q: %q, then %q, %v", s, once, twice, err)
		}
	})
}

func TestBounded(t *testing.T) {
	b := newBounded[int, int](8)
	b.put(0, 7)
	for i := 1; i < 100; i++ {
		b.put(i, i)
		if v, ok := b.get(0); !ok || v != 7 {
			t.Fatalf("0, used all the time, was forgotten at %d", i)
		}
		if b.len() > 8 {
			t.Fatalf("%d entries", b.len())
		}
	}
	if _, ok := b.get(50); ok {
		t.Error("50 was not forgotten")
	}
}

// What was read before a change must not be remembered after it.
func TestCacheRefusesStaleValues(t *testing.T) {
	c := newCache[string, int](8)
	_, epoch, _ := c.get("a")
	c.clear()
	c.put("a", 1, epoch)
	if _, _, ok := c.get("a"); ok {
		t.Error("a stale value was remembered")
	}
	_, epoch, _ = c.get("a")
	c.put("a", 2, epoch)
	for i := range 6 {
		c.put(string(rune('b'+i)), i, epoch)
	}
	if v, _, ok := c.get("a"); !ok || v != 2 {
		t.Errorf("a = %d, %v", v, ok)
	}
}
