package pop3d

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/engine/store"
)

// Of a large message whose file is damaged nothing is sent.
func TestDamagedFile(t *testing.T) {
	p := newPost(t)
	if err := p.deliver("Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", store.InlineMax/4)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(p.dir, "blobs", "??", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	octets, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	octets[3*store.InlineMax] ^= 1
	if err := os.WriteFile(files[0], octets, 0o600); err != nil {
		t.Fatal(err)
	}
	c := p.logIn()
	if got := c.say("RETR 1"); !strings.HasPrefix(got, "-ERR [SYS/PERM] the message is damaged here") {
		t.Error(got)
	}
	if got := c.say("NOOP"); !strings.HasPrefix(got, "+OK") {
		t.Error(got)
	}
}
