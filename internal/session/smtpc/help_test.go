package smtpc

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/memnet"
	"yubin/internal/testkit/smtppeer"
	"yubin/internal/world/certs/certstest"
	"yubin/internal/world/netx"
)

// cert is what the hosts of these tests show.
var cert = certstest.New("mx.example.net")

// letter is the content where a test names none: 37 octets, with a dot to stuff.
const letter = "Subject: x\r\n\r\nHello\r\n.dotted\r\n..end\r\n"

// act is one method call of a client, and what must come of it.
type act struct {
	words []string // open, send, quit and their settings
	want  []string
	line  int
}

// play is a transcript: lines with > call the client, lines with = say what
// must come of the call above, everything else is the script of the host.
type play struct {
	title  string
	acts   []act
	script string
}

func parsePlay(t testing.TB, path string) play {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	title, rest, _ := strings.Cut(string(text), "\n")
	if !strings.HasPrefix(title, "# ") || !strings.Contains(title, "RFC") && !strings.Contains(title, "CVE") {
		t.Fatalf("%s: the first line must be \"# RFC ... §...\"", path)
	}
	p := play{title: title}
	var script strings.Builder
	script.WriteString("\n")
	for i, line := range strings.Split(rest, "\n") {
		switch {
		case strings.HasPrefix(line, "> "):
			p.acts = append(p.acts, act{words: strings.Fields(line[2:]), line: i + 2})
			line = ""
		case strings.HasPrefix(line, "= "):
			last := &p.acts[len(p.acts)-1]
			last.want = append(last.want, line[2:])
			line = ""
		}
		script.WriteString(line + "\n")
	}
	p.script = script.String()
	return p
}

// TestTranscripts plays testdata/*.txt.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			p := parsePlay(t, path)
			synctest.Test(t, func(t *testing.T) { p.run(t) })
		})
	}
}

func (p play) run(t *testing.T) {
	c, host := dial(netip.AddrPort{})
	peer := smtppeer.New(host, cert.Server())
	played := make(chan error, 1)
	go func() { played <- peer.Play(p.script) }()
	for _, a := range p.acts {
		got := a.do(t, c)
		if fmt.Sprint(got) != fmt.Sprint(a.want) {
			t.Errorf("line %d: %s\n  got:  %s\n  want: %s", a.line, strings.Join(a.words, " "), strings.Join(got, "\n        "), strings.Join(a.want, "\n        "))
		}
	}
	c.Quit(t.Context())
	if err := <-played; err != nil {
		t.Error(err)
	}
}

// now is the time of DELIVERBY in tests.
func now() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

func dial(from netip.AddrPort) (*Client, *memnet.Conn) { return dialFrom(from, netip.AddrPort{}) }

func dialFrom(from, to netip.AddrPort) (*Client, *memnet.Conn) {
	ours, theirs := memnet.Pipe(from, to)
	cfg := Config{TLS: &tls.Config{RootCAs: cert.Client("", 0).RootCAs}, Now: now}
	return New(netx.NewOutgoing(ours), cfg), theirs
}

func (a act) do(t *testing.T, c *Client) []string {
	switch a.words[0] {
	case "open":
		return open(t, c, a.words[1:])
	case "send":
		tx := transactionOf(t, a.words[1:])
		var got []string
		for _, ans := range c.Send(t.Context(), tx) {
			got = append(got, describe(ans))
		}
		return got
	case "state":
		k := c.Connection()
		version, cipher, _ := strings.Cut(k.TLS, " TLS_")
		if (version == "") != (cipher == "") {
			t.Errorf("TLS is told as %q", k.TLS)
		}
		k.TLS = version // Which cipher suite depends on the hardware.
		return []string{fmt.Sprintf("%+v", k)}
	case "quit":
		c.Quit(t.Context())
		return nil
	}
	t.Fatalf("line %d: no such call", a.line)
	return nil
}

// describe writes an answer on one line.
func describe(a mail.Answer) string {
	if a == (mail.Answer{}) {
		return "not tried"
	}
	out := a.Phase.String()
	if a.Trouble != mail.NoTrouble {
		out += " " + a.Trouble.String()
	}
	if a.Code != 0 {
		out += " " + strconv.Itoa(a.Code)
	}
	if a.Enhanced != "" {
		out += " " + a.Enhanced
	}
	if a.Trouble == mail.NoTrouble {
		out += " " + strings.ReplaceAll(a.Text, "\n", "|")
	}
	return out
}

func open(t *testing.T, c *Client, words []string) []string {
	o := mail.Opening{Name: "client.example", Host: "mx.example.net"}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "lmtp":
			o.LMTP = true
		case "implicit":
			o.ImplicitTLS = true
		case "host":
			o.Host = value
		case "tls":
			o.TLS, _ = mail.ParseTLSPolicy(value)
		case "auth":
			user, password, _ := strings.Cut(value, ":")
			o.Auth = &mail.Credentials{User: user, Password: password}
		default:
			t.Fatalf("no setting %q", w)
		}
	}
	if fault, ok := c.Open(t.Context(), o); !ok {
		return []string{describe(fault)}
	}
	return nil
}

// transactionOf reads the settings of a send.
func transactionOf(t testing.TB, words []string) mail.Transaction {
	t.Helper()
	tx := mail.Transaction{}
	content := letter
	address := func(s string) mail.Address {
		if s == "" {
			return mail.Address{}
		}
		a, err := mail.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	size := int64(-1)
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "from":
			tx.ReversePath = mail.ReversePath(address(value))
		case "to":
			for one := range strings.SplitSeq(value, ",") {
				tx.Recipients = append(tx.Recipients, mail.OutgoingRecipient{Address: address(one)})
			}
		case "orcpt":
			tx.Recipients[len(tx.Recipients)-1].ORCPT = value
		case "notify":
			for i, name := range []string{"SUCCESS", "FAILURE", "DELAY", "NEVER"} {
				if strings.Contains(value, name) {
					tx.Recipients[len(tx.Recipients)-1].Notify |= 1 << i
				}
			}
		case "ret":
			tx.Ret = map[string]mail.Ret{"FULL": mail.RetFull, "HDRS": mail.RetHeaders}[value]
		case "envid":
			tx.EnvID = value
		case "8bit":
			tx.Body = mail.Body8BitMIME
		case "binary":
			tx.Body = mail.BodyBinaryMIME
		case "utf8":
			tx.UTF8 = true
		case "requiretls":
			tx.RequireTLS = true
		case "priority":
			n, _ := strconv.Atoi(value)
			tx.Priority = int8(n)
		case "by":
			d, err := time.ParseDuration(strings.TrimRight(value, ";RNT"))
			if err != nil {
				t.Fatal(err)
			}
			tx.DeliverBy = mail.DeliverBy{At: now().Add(d), Return: strings.Contains(value, "R"), Trace: strings.Contains(value, "T")}
		case "size":
			size, _ = strconv.ParseInt(value, 10, 64)
		case "content":
			text, err := strconv.Unquote(`"` + value + `"`)
			if err != nil {
				t.Fatal(err)
			}
			content = strings.ReplaceAll(text, "_", " ")
		case "many":
			n, _ := strconv.Atoi(value)
			content = strings.Repeat("0123456789 0123456789 0123456789 0123456789 012345678\r\n", n)
		default:
			t.Fatalf("no setting %q", w)
		}
	}
	if tx.Size = size; size < 0 {
		tx.Size = int64(len(content))
	}
	tx.Content = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	return tx
}
