package dns

import (
	"net/netip"
	"testing"

	"yubin/internal/mail"
)

func TestListCode(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.2":           "127.0.0.2",
		"127.0.0.2-127.0.0.3": "127.0.0.2 127.0.0.3",
		"&8":                  "127.0.0.10",
		"any":                 "127.0.0.2 127.0.0.3 127.0.0.10",
		"127.0.0.3-127.0.0.2": "Invalid", "10.0.0.1": "Invalid", "&0": "Invalid", "&256": "Invalid", "": "Invalid", "::ffff:127.0.0.2": "Invalid",
	} {
		c, err := ParseListCode(in)
		got := ""
		for _, a := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.10", "127.255.255.1", "::1"} {
			if err == nil && c.Matches(netip.MustParseAddr(a)) {
				got += " " + a
			}
		}
		if err != nil && mail.KindOf(err) == mail.Invalid {
			got = " Invalid"
		}
		if got != " "+want {
			t.Errorf("%s:%s, want %s", in, got, want)
		}
	}
}

// FuzzListCode: no text brings the reader down; what is read is of 127.0.0.0/8.
func FuzzListCode(f *testing.F) {
	for _, s := range []string{"127.0.0.2", "127.0.0.2-127.0.0.9", "&8", "any", "10.0.0.1", "&0", "127.0.0.9-127.0.0.2", "::ffff:127.0.0.2", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseListCode(s)
		if err != nil {
			if mail.KindOf(err) != mail.Invalid {
				t.Fatal(err)
			}
			return
		}
		c.Matches(netip.MustParseAddr("127.0.0.2"))
		if c.Bits == 0 && (!listCodes.Contains(c.From) || c.To.Less(c.From)) {
			t.Fatalf("%q: %+v", s, c)
		}
	})
}
