package directory

import "testing"

// The keys of the user of RFC 7677 §3.
func TestScramText(t *testing.T) {
	f, err := parseFactors("4096:W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	k, err := deriveScram("pencil", f)
	const want = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if err != nil || k.String() != want {
		t.Errorf("%s, %v, want %s", k, err, want)
	}
	if back, err := parseScram(want); err != nil || back.String() != want {
		t.Errorf("%s, %v", back, err)
	}
}

func FuzzParseScram(f *testing.F) {
	f.Add("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
	f.Add("4096:W22ZaJ0SNY7soEsUEjb6gQ==")
	f.Add("1:")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := parseScram(s); err == nil && s != "" && k.String() != s {
			t.Fatalf("%q came back as %q", s, k)
		}
		if k, err := parseFactors(s); err == nil && k.String() != s {
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
