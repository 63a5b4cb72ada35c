package e2e

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"yubin/internal/testkit/mailclient"
	"yubin/internal/testkit/mailgen"
)

// archiveSize is how many messages the archive has.
func archiveSize() int {
	if os.Getenv("YUBIN_LONG") != "" {
		return 20000
	}
	return 1000
}

// TestArchive sends an archive in by LMTP and reads it by IMAP: every octet,
// the structure, the parts, and the words in every charset.
func TestArchive(t *testing.T) {
	s := startServer(t)
	archive := deliverArchive(t, s, archiveSize())
	c, err := login(s, "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Run("octets", func(t *testing.T) { compareOctets(t, c, archive) })
	t.Run("structure", func(t *testing.T) { compareStructures(t, c, archive) })
	t.Run("parts", func(t *testing.T) { compareParts(t, c, archive) })
	t.Run("search", func(t *testing.T) { searchPhrases(t, c, archive) })
	s.check()
}

func deliverArchive(t *testing.T, s *server, n int) []mailgen.Message {
	t.Helper()
	c, err := mailclient.Dial("127.0.0.1", s.port(portLMTP), false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Reply("220"); err != nil {
		t.Fatal(err)
	}
	if err := c.Command("250", "LHLO archive.test"); err != nil {
		t.Fatal(err)
	}
	g := mailgen.New(1, true)
	archive := make([]mailgen.Message, n)
	for i := range archive {
		archive[i] = g.Next()
		if err := deliver(c, []string{"alice"}, stuff(archive[i].Octets)); err != nil {
			t.Fatalf("message %d (%s): %v", i, archive[i].Kind, err)
		}
	}
	return archive
}

// stuff doubles the dots that begin lines (RFC 5321 §4.5.2).
func stuff(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(b, []byte(".")) {
		b = append([]byte("."), b...)
	}
	return b
}

var trace = regexp.MustCompile(`^Return-Path: <sender@example\.org>\r\nDelivered-To: alice@yubin\.test\r\nReceived: from [^\r]*(\r\n[ \t][^\r]*)*\r\n(\r\n|X-(Mailbox|Stray)-Line: )?$`)

func compareOctets(t *testing.T, c *mailclient.Conn, archive []mailgen.Message) {
	i := 0
	fetch(t, c, "1:*", "BODY.PEEK[]", func(r mailclient.Response) {
		m := archive[i]
		got, sent := r.Literals[0], m.Octets
		if m.Kind == "broken-returned" { // RFC 5321 §4.4: delivery takes Return-Path off, and puts its own before all.
			own, rest, _ := bytes.Cut(got, []byte("\r\n"))
			got = slices.Concat(own, []byte("\r\n"), []byte(without(string(rest), "Return-Path")))
			sent = []byte(without(string(sent), "Return-Path"))
		}
		head, ok := bytes.CutSuffix(got, sent)
		if !ok {
			t.Errorf("message %d (%s) came back with other octets", i, m.Kind)
		} else if !trace.Match(head) {
			t.Errorf("message %d (%s) has the trace %q", i, m.Kind, head)
		}
		i++
	})
	if i != len(archive) {
		t.Errorf("%d messages came back of %d", i, len(archive))
	}
}

func fetch(t *testing.T, c *mailclient.Conn, set, items string, each func(mailclient.Response)) {
	t.Helper()
	_, err := c.IMAP(true, func(r mailclient.Response) {
		if strings.Contains(r.Text, " FETCH ") {
			each(r)
		}
	}, "FETCH %s (%s)", set, items)
	if err != nil {
		t.Fatalf("FETCH %s (%s): %v", set, items, err)
	}
}

func compareStructures(t *testing.T, c *mailclient.Conn, archive []mailgen.Message) {
	i := 0
	fetch(t, c, "1:*", "BODYSTRUCTURE", func(r mailclient.Response) {
		m := archive[i]
		i++
		_, text, _ := strings.Cut(r.Text, "BODYSTRUCTURE ")
		tree, err := readList(text, r.Literals)
		if err != nil {
			t.Errorf("%s: %v in %s", m.Kind, err, text)
		} else if got := typeTree(tree); m.Structure != "" && got != m.Structure {
			t.Errorf("%s has structure %s, want %s", m.Kind, got, m.Structure)
		}
	})
}

// compareParts fetches the parts of one message of each sound kind, and
// compares them with what Go's own MIME reader finds.
func compareParts(t *testing.T, c *mailclient.Conn, archive []mailgen.Message) {
	for i, m := range archive[:mailgen.Kinds()] {
		if m.Structure == "" {
			continue
		}
		for path, want := range leaves(t, m.Octets, "") {
			fetch(t, c, fmt.Sprint(i+1), "BODY.PEEK["+path+"]", func(r mailclient.Response) {
				got := []byte(nil)
				if len(r.Literals) > 0 {
					got = r.Literals[0]
				} else if _, quoted, ok := strings.Cut(r.Text, `] "`); ok {
					got = []byte(strings.TrimSuffix(quoted, `")`))
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s part %s is %.200q, want %.200q", m.Kind, path, got, want)
				}
			})
		}
	}
}

// leaves maps the IMAP part number of each leaf to its octets.
func leaves(t *testing.T, octets []byte, prefix string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	m, err := mail.ReadMessage(bytes.NewReader(octets))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	media, params, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if !strings.HasPrefix(media, "multipart/") {
		all[prefix+"1"] = body
		return all
	}
	addParts(t, body, params["boundary"], prefix, all)
	return all
}

func addParts(t *testing.T, body []byte, boundary, prefix string, all map[string][]byte) {
	t.Helper()
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for n := 1; ; n++ {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		octets, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("%s%d", prefix, n)
		media, params, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		switch {
		case strings.HasPrefix(media, "multipart/"):
			addParts(t, octets, params["boundary"], path+".", all)
		case media == "message/rfc822":
			for sub, leaf := range leaves(t, octets, path+".") {
				all[sub] = leaf
			}
		default:
			all[path] = octets
		}
	}
}

// searchPhrases looks for the phrase of every message that has one, in the
// subject and in the body at once, and must find that message.
func searchPhrases(t *testing.T, c *mailclient.Conn, archive []mailgen.Message) {
	charsets := map[string]bool{}
	for i, m := range archive[:min(len(archive), 400)] {
		if m.Phrase == "" || charsets[m.Kind+m.Charset] {
			continue
		}
		charsets[m.Charset], charsets[m.Kind+m.Charset] = true, true
		literal := fmt.Sprintf("{%d+}\r\n%s", len(m.Phrase), m.Phrase)
		var hits []string
		_, err := c.IMAP(false, func(r mailclient.Response) {
			if found, ok := strings.CutPrefix(r.Text, "* SEARCH"); ok {
				hits = strings.Fields(found)
			}
		}, "SEARCH CHARSET UTF-8 SUBJECT %s BODY %s", literal, literal)
		if err != nil || !slices.Contains(hits, fmt.Sprint(i+1)) {
			t.Errorf("%s in %s: message %d is not among %v; %v", m.Kind, m.Charset, i+1, hits, err)
		}
	}
	if len(charsets) < mailgen.Charsets() {
		t.Logf("charsets seen: %v", charsets)
		t.Errorf("only some of %d charsets came up", mailgen.Charsets())
	}
}
