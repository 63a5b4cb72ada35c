package message

import "testing"

func TestCompleteAddresses(t *testing.T) {
	full := func(local string) string { return local + "@h.test" }
	for _, c := range []struct{ in, want string }{
		{"root (Cron Daemon)", "root@h.test (Cron Daemon)"},
		{"root", "root@h.test"},
		{"Charlie Root <root>, alice@x.test, bob", "Charlie Root <root@h.test>, alice@x.test, bob@h.test"},
		{"\"a, b\" < root >, \"odd one\"", "\"a, b\" < root@h.test >, odd one@h.test"},
		{"friends: bob, <carl>;, dave", "friends: bob@h.test, <carl@h.test>;, dave@h.test"},
		{"undisclosed-recipients:;", "undisclosed-recipients:;"},
		{"Cron Daemon", "Cron Daemon"},
		{"a@b.test (c), <>", "a@b.test (c), <>"},
		{"(only a comment)", "(only a comment)"},
		{"\"Cron <x>\" <root> (why), (a) b (c)", "\"Cron <x>\" <root@h.test> (why), (a) b@h.test (c)"},
		{"root,\r\n alice", "root@h.test, alice@h.test"},
		{"<root", "<root"},
		{"\"", "\""},
		{"", ""},
		{"=?utf-8?q?a,_b?= <bob>", "=?utf-8?q?a,_b?= <bob@h.test>"},
		{"@x.test", "@x.test"},
	} {
		if got := string(CompleteAddresses([]byte(c.in), full)); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// Whatever the list, what was completed once is complete.
func FuzzCompleteAddresses(f *testing.F) {
	f.Add("root, Bob <bob> (x), g: a@b.test;")
	f.Add("\"a\\\"b\" <c> <d>, e(")
	f.Fuzz(func(t *testing.T, in string) {
		full := func(string) string { return "x@h.test" }
		once := string(CompleteAddresses([]byte(in), full))
		if twice := string(CompleteAddresses([]byte(once), full)); twice != once {
			t.Errorf("%q became %q, then %q", in, once, twice)
		}
	})
}
