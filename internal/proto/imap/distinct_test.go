package imap

import (
	"strings"
	"testing"
)

// Items that a response can have once are there once, in the order of their
// first.
func TestEqualItemsAreOne(t *testing.T) {
	for _, c := range []struct{ items, want string }{
		{"(UID UID FLAGS UID)", "UID FLAGS"},
		{"(BODY BODY[] BODY)", "BODY BODY[]+"},
		{"(BODY.PEEK[] BODY[])", "BODY[]+"},
		{"(BODY[] BODY.PEEK[])", "BODY[]+"},
		{"(BODY.PEEK[]<0.1> BODY.PEEK[]<0.11> BODY.PEEK[]<0.1>)", "BODY[]<0> BODY[]<0>"},
		{"(BINARY.SIZE[1] BINARY.PEEK[1] BINARY.SIZE[1.1] BINARY.SIZE[1])", "BINARY.SIZE[1] BINARY[1] BINARY.SIZE[1.1]"},
		{"(BODY.PEEK[HEADER.FIELDS (A B)] BODY.PEEK[HEADER.FIELDS (A)] BODY.PEEK[HEADER.FIELDS (A B)])",
			"BODY[HEADER.FIELDS (A B)] BODY[HEADER.FIELDS (A)]"},
	} {
		cmd, err := ParseCommand([]byte("a FETCH 1 "+c.items), Mode{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, it := range cmd.Args.(*Fetch).Items {
			name := string(it.appendResponseName(nil))
			if !it.Peek {
				name += "+"
			}
			got = append(got, name)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: got %s, want %s", c.items, s, c.want)
		}
	}
}
