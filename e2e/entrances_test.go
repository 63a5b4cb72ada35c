package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"yubin/internal/testkit/mailclient"
	"yubin/internal/testkit/mailgen"
)

// TestEntrancesReadAlike: a message reads alike whether it came by DATA, BDAT or
// LMTP, was appended, or was imported from a Maildir or an mbox file.
func TestEntrancesReadAlike(t *testing.T) {
	s := startServer(t)
	g := mailgen.New(21, false)
	var all []sample
	for len(all) < 2*mailgen.Kinds() {
		all = append(all, sample{Message: g.Next()})
	}
	lines := len(all) // what DATA and mbox files can carry
	for range mailgen.ExactKinds() {
		all = append(all, sample{Message: g.NextExact()})
	}
	c := newMover(t, "127.0.0.1", s.port(portIMAP), "alice@yubin.test", password)
	take := func(entrance string, n int, bring func(sample) error) {
		for _, m := range all[:n] {
			if err := bring(m); err != nil {
				t.Fatalf("%s of %s: %v", entrance, m.Kind, err)
			}
		}
		if entrance != "append" {
			c.do(nil, "CREATE %s", entrance)
			c.do(nil, "SELECT INBOX")
			c.do(nil, "MOVE 1:* %s", entrance)
		}
	}
	c.do(nil, "CREATE append")
	take("append", len(all), func(m sample) error {
		_, err := c.Append("append", "", m.Octets)
		return err
	})
	take("lmtp", lines, newDeliverer(t, s.port(portLMTP), "LHLO", false))
	take("data", lines, newDeliverer(t, s.port(portMX), "EHLO", false))
	take("bdat", len(all), newDeliverer(t, s.port(portMX), "EHLO", true))
	importFiles(t, s, all[:lines])
	readings := map[string][]reading{}
	for entrance, n := range map[string]int{"append": len(all), "lmtp": lines, "data": lines, "bdat": len(all), "maildir": lines, "mboxfile": lines} {
		c.do(nil, "EXAMINE %s", entrance)
		for i := range n {
			readings[entrance] = append(readings[entrance], reader{c}.read(strconv.Itoa(i+1)))
		}
	}
	for entrance, list := range readings {
		for i, got := range list {
			if got["BODY[]"] != got["BODY[HEADER]"]+got["BODY[TEXT]"] {
				t.Errorf("%s: of %s BODY[] is not HEADER and TEXT", entrance, all[i].Kind)
			}
			want := readings["append"][i]
			if all[i].Kind == "broken-returned" && strings.Contains("lmtp data bdat", entrance) { // RFC 5321 §4.4: delivery takes Return-Path off.
				for _, item := range []string{"BODY[HEADER]", "BODY[1.MIME]"} {
					if a, b := without(got[item], traceFields...), without(want[item], traceFields...); a != b {
						t.Errorf("%s: %s of %s is %q, appended %q", entrance, item, all[i].Kind, a, b)
					}
				}
				continue
			}
			shown := strings.ReplaceAll(string(all[i].Octets), "\x00", "\x80") // RFC 9051 §9: no literal has NUL
			head, ok := strings.CutSuffix(got["BODY[]"], shown)
			if !ok {
				t.Errorf("%s: %s has other octets", entrance, all[i].Kind)
			}
			for item, value := range want {
				read := got[item]
				switch item {
				case "BODY[]", "RFC822.SIZE":
					continue
				case "BODY[HEADER]", "BODY[1.MIME]":
					read = strings.TrimPrefix(read, head)
				}
				if read != value {
					t.Errorf("%s: %s of %s is %.300q, appended %.300q", entrance, item, all[i].Kind, read, value)
				}
			}
		}
	}
	s.check()
}

// newDeliverer returns what delivers to alice with DATA, or in chunks with BDAT.
func newDeliverer(t *testing.T, port int, hello string, chunks bool) func(sample) error {
	t.Helper()
	c, err := mailclient.Dial("127.0.0.1", port, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Reply("220"); err != nil {
		t.Fatal(err)
	}
	if err := c.Command("250", "%s entrances.test", hello); err != nil {
		t.Fatal(err)
	}
	return func(m sample) error {
		if !chunks {
			return deliver(c, []string{"alice"}, stuff(m.Octets))
		}
		if err := c.Command("250", "MAIL FROM:<sender@example.org> BODY=BINARYMIME"); err != nil {
			return err
		}
		if err := c.Command("250", "RCPT TO:<alice@yubin.test>"); err != nil {
			return err
		}
		half := len(m.Octets) / 2
		for i, chunk := range [][]byte{m.Octets[:half], m.Octets[half:]} {
			fmt.Fprintf(c.W, "BDAT %d%s\r\n%s", len(chunk), [...]string{"", " LAST"}[i], chunk)
			if err := c.Flush(); err != nil {
				return err
			}
			if err := c.Reply("250"); err != nil {
				return err
			}
		}
		return nil
	}
}

// importFiles takes the messages from a Maildir and an mbox file.
func importFiles(t *testing.T, s *server, all []sample) {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"cur", "new", "tmp", ".maildir/cur", ".maildir/new", ".maildir/tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	uids, file := "3 V1 N1000\n", bytes.Buffer{}
	for i, m := range all {
		octets := bytes.ReplaceAll(m.Octets, []byte("\r\n"), []byte("\n"))
		name := fmt.Sprintf("%d.a", 1000+i)
		put(t, filepath.Join(root, ".maildir/cur", name+":2,S"), string(octets))
		uids += fmt.Sprintf("%d :%s\n", i+1, name)
		fmt.Fprintf(&file, "From x@y Mon Jan  1 10:00:%02d 2024\n%s\n", i%60, quoted.ReplaceAll(octets, []byte(">$0")))
	}
	put(t, filepath.Join(root, ".maildir/dovecot-uidlist"), uids)
	put(t, filepath.Join(root, "mboxfile"), file.String())
	for _, args := range [][]string{{"import", "maildir", "alice@yubin.test", root}, {"import", "mbox", "alice@yubin.test", filepath.Join(root, "mboxfile")}} {
		if out, err := s.yubin(args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
}

// quoted are the lines that mboxrd quotes.
var quoted = regexp.MustCompile(`(?m)^>*From `)
