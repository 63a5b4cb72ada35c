package straceread

import (
	"strings"
	"testing"
)

const trace = `7   openat(AT_FDCWD</d>, "/d/a", O_RDWR|O_CREAT, 0600) = 4</d/a>
7   pwrite64(4</d/a>, "\0\1\377\n\"x\"7", 7, 32 <unfinished ...>
8   write(9<TCP:[127.0.0.1:25->127.0.0.1:40000]>, "250 ok\r\n", 8) = 8
8   --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL} ---
7   <... pwrite64 resumed>) = 7
8   fdatasync(4</d/a>) = -1 EIO (Input/output error) (INJECTED)
8   ftruncate(4</d/a>, 4096) = 0
8   read(9<TCP:[127.0.0.1:25->127.0.0.1:40000]>, "", 16) = 0
8   +++ exited with 0 +++
`

func TestParse(t *testing.T) {
	calls, err := Parse(strings.NewReader(trace))
	if err != nil || len(calls) != 6 {
		t.Fatalf("%d calls, %v", len(calls), err)
	}
	opened, acked, wrote, synced, cut := calls[0], calls[1], calls[2], calls[3], calls[4]
	if opened.Name != "openat" || opened.Strings[0] != "/d/a" || !strings.Contains(opened.Args, "O_CREAT") || opened.Result != 4 {
		t.Errorf("openat: %+v", opened)
	}
	if acked.On != "TCP:[127.0.0.1:25->127.0.0.1:40000]" || acked.Data() != "250 ok\r\n" {
		t.Errorf("write: %+v", acked)
	}
	if wrote.Data() != "\x00\x01\xff\n\"x\"7" || wrote.Last != 32 || wrote.Begin != 2 || wrote.End != 5 || wrote.On != "/d/a" {
		t.Errorf("pwrite64: %+v", wrote)
	}
	if synced.Result != -1 || !wrote.Before(synced) || wrote.Before(acked) {
		t.Errorf("fdatasync: %+v", synced)
	}
	if cut.Last != 4096 || cut.Result != 0 {
		t.Errorf("ftruncate: %+v", cut)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"7 write(4, \"x", "7 write(4) = what", `7 write(4, "x) = 1`, "7 nothing here"} {
		if _, err := Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
