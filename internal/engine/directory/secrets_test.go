package directory

import "testing"

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
