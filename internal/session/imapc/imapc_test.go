package imapc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/transfer"
	"yubin/internal/mail"
	"yubin/internal/world/netx"
)

// step is a command that the server waits for, without its tag, and what it
// answers; "TAG" there is the command's.
type step struct{ command, answer string }

// serve plays a server and returns a connection to it.
func serve(t *testing.T, greeting string, steps ...step) *netx.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- play(ln, greeting, steps) }()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = raw.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = ln.Close()
	})
	return netx.NewOutgoing(raw)
}

func play(ln net.Listener, greeting string, steps []step) error {
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	fmt.Fprint(c, greeting)
	for _, s := range steps {
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("no %q: %w", s.command, err)
		}
		tag, command, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if s.command != "" && command != s.command { // "" is for what is no command.
			return fmt.Errorf("the client says %q, want %q", command, s.command)
		}
		fmt.Fprint(c, strings.ReplaceAll(s.answer, "TAG", tag))
	}
	_, _ = io.Copy(io.Discard, in)
	return nil
}

const hello = "* OK ready\r\n"

func capabilities(names string) step {
	return step{"CAPABILITY", "* CAPABILITY IMAP4rev1 " + names + "\r\nTAG OK\r\n"}
}

func open(t *testing.T, conn *netx.Conn, l Login) (*Client, error) {
	t.Helper()
	c, err := Open(context.Background(), conn, Config{Security: Plain, Now: time.Now}, l)
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

// TestLogins: how the client logs in where which mechanisms are offered.
func TestLogins(t *testing.T) {
	secret := "AGFubmEAcHc=" // \0anna\0pw
	for name, c := range map[string]struct {
		login Login
		steps []step
		kind  mail.Kind // of the failure
		fails bool
	}{
		"SASL-IR": {Login{User: "anna", Password: "pw"}, []step{capabilities("AUTH=PLAIN SASL-IR"), {"AUTHENTICATE PLAIN " + secret, "TAG OK\r\n"}, capabilities("")}, 0, false},
		"LOGIN":   {Login{User: `a"n\`, Password: "pw"}, []step{capabilities(""), {`LOGIN "a\"n\\" "pw"`, "* CAPABILITY X\r\nTAG OK\r\n"}, capabilities("")}, 0, false},
		"refused": {Login{User: "anna", Password: "pw"}, []step{capabilities("AUTH=PLAIN SASL-IR"), {"AUTHENTICATE PLAIN " + secret, "TAG NO [AUTHENTICATIONFAILED] no\r\n"}}, mail.Forbidden, true},
		"a master user": {Login{User: "boss", AuthzID: "anna", Password: "pw"}, []step{capabilities("AUTH=PLAIN SASL-IR"),
			{"AUTHENTICATE PLAIN YW5uYQBib3NzAHB3", "TAG OK\r\n"}, capabilities("")}, 0, false},
		"no PLAIN for a master user": {Login{User: "boss", AuthzID: "anna", Password: "pw"}, []step{capabilities("")}, mail.Unavailable, true},
		"LOGINDISABLED":              {Login{User: "anna", Password: "pw"}, []step{capabilities("LOGINDISABLED")}, mail.Unavailable, true},
		"a line in the password":     {Login{User: "anna", Password: "p\r\nw"}, []step{capabilities("")}, mail.Invalid, true},
		"BYE":                        {Login{User: "anna", Password: "pw"}, []step{{"CAPABILITY", "* BYE too many\r\n"}}, mail.Unavailable, true},
		"another language":           {Login{User: "anna", Password: "pw"}, []step{{"CAPABILITY", "220 mx ESMTP\r\n"}}, mail.Unavailable, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, serve(t, hello, c.steps...), c.login)
			if (err != nil) != c.fails || c.fails && mail.KindOf(err) != c.kind {
				t.Errorf("%v, kind %v", err, mail.KindOf(err))
			}
		})
	}
}

// TestPlainWithPrompt: the secret waits for "+".
func TestPlainWithPrompt(t *testing.T) {
	conn := serve(t, hello, capabilities("AUTH=PLAIN"), step{"AUTHENTICATE PLAIN", "+ \r\n"}, step{"", "y2 OK\r\n"}, capabilities(""))
	if _, err := open(t, conn, Login{User: "anna", Password: "pw"}); err != nil {
		t.Fatal(err)
	}
}

// anna logs in without ado.
func anna(t *testing.T, caps string, steps ...step) *Source {
	t.Helper()
	c, err := open(t, serve(t, "* PREAUTH ready\r\n", append([]step{capabilities(caps)}, steps...)...), Login{})
	if err != nil {
		t.Fatal(err)
	}
	return &Source{Client: c, Name: "anna@test"}
}

func TestFolders(t *testing.T) {
	for name, c := range map[string]struct {
		caps  string
		steps []step
		want  string
	}{
		"Dovecot": {"NAMESPACE LIST-EXTENDED SPECIAL-USE", []step{
			{"NAMESPACE", "* NAMESPACE ((\"\" \".\")) NIL ((\"shared.\" \".\" \"X\" (\"a\")))\r\nTAG OK\r\n"},
			{`LIST "" "INBOX" RETURN (SUBSCRIBED SPECIAL-USE)`, "* LIST (\\Subscribed) \".\" INBOX\r\nTAG OK\r\n"},
			{`LIST "" "*" RETURN (SUBSCRIBED SPECIAL-USE)`, "* LIST (\\HasChildren \\Noselect) \".\" Work\r\n* LIST () \".\" Work.&ZeVnLIqe-\r\n" +
				"* LIST (\\Sent) \".\" Gesendet\r\n* LIST () \".\" {5}\r\na\\\"b \r\n* LIST () \".\" INBOX\r\n* LIST () \".\" bad&name\r\nTAG OK\r\n"},
		}, "[INBOX:inbox+ Gesendet:sent Work/日本語: a\\\"b :] [{bad&name  its name is no modified UTF-7 (RFC 3501 §5.1.3)}]"},
		"names without a level, listed twice": {"", []step{
			{`LIST "" "INBOX"`, "* LIST () \"/\" INBOX\r\n* LIST () \"/\" /abs\r\n* LIST () \"/\" &\r\nTAG OK\r\n"},
			{`LIST "" "*"`, "* LIST () \"/\" /abs\r\n* LIST () \"/\" a//b\r\n* LIST () \"/\" a/\r\n* LIST () \"/\" &\r\nTAG OK\r\n"},
			{`LSUB "" "*"`, "TAG NO\r\n"},
		}, `[INBOX:] [{/abs  its name has nothing before, between or behind "/", which parts levels} {&  its name is no modified UTF-7 (RFC 3501 §5.1.3)} ` +
			`{a//b  its name has nothing before, between or behind "/", which parts levels} {a/  its name has nothing before, between or behind "/", which parts levels}]`},
		"Cyrus, without extensions": {"NAMESPACE", []step{
			{"NAMESPACE", "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\nTAG OK\r\n"},
			{`LIST "" "INBOX"`, "* LIST () \".\" INBOX\r\nTAG OK\r\n"},
			{`LIST "" "INBOX.*"`, "* LIST () \".\" \"INBOX.Sent Items\"\r\n* LIST () \".\" INBOX.a/b.c\r\nTAG OK\r\n"},
			{`LSUB "" "*"`, "* LSUB () \".\" INBOX.a/b.c\r\nTAG OK\r\n"},
		}, "[INBOX: Sent Items: a/b/c:+] []"},
		"no hierarchy": {"", []step{
			{`LIST "" "INBOX"`, "* LIST () NIL inbox\r\nTAG OK\r\n"},
			{`LIST "" "*"`, "* LIST (\\All) \"/\" \"[Gmail]/All Mail\"\r\nTAG OK\r\n"},
			{`LSUB "" "*"`, "TAG NO\r\n"},
		}, "[INBOX:] []"},
	} {
		t.Run(name, func(t *testing.T) {
			list, problems, err := anna(t, c.caps, c.steps...).Folders(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range list {
				role := string(f.Role)
				if f.Source == "INBOX" && name == "Dovecot" {
					role = "inbox"
				}
				s := f.Source + ":" + role
				if f.Subscribed {
					s += "+"
				}
				got = append(got, s)
			}
			if text := fmt.Sprint(got, problems); !sameWords(text, c.want) {
				t.Errorf("%s, want %s", text, c.want)
			}
		})
	}
}

// sameWords compares without regard to order.
func sameWords(a, b string) bool {
	for w := range strings.FieldsSeq(strings.Trim(b, "[]")) {
		if !strings.Contains(a, strings.Trim(w, "[]")) {
			return false
		}
	}
	return len(a) == len(b)
}

// opened is a mailbox with messages 1 to 3.
func opened(t *testing.T, steps ...step) transfer.Mailbox {
	t.Helper()
	s := anna(t, "", append([]step{
		{`LIST "" "INBOX"`, "* LIST () \"/\" INBOX\r\nTAG OK\r\n"},
		{`LIST "" "*"`, "TAG OK\r\n"}, {`LSUB "" "*"`, "TAG OK\r\n"},
		{`EXAMINE "INBOX"`, "* 3 EXISTS\r\n* OK [UIDVALIDITY 77] x\r\n* OK [UIDNEXT 40] y\r\n* FLAGS (\\Seen)\r\nTAG OK [READ-ONLY]\r\n"},
	}, steps...)...)
	list, _, err := s.Folders(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Open(context.Background(), list[0])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMessages(t *testing.T) {
	m := opened(t, step{"UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
		"* 1 FETCH (UID 5 FLAGS (\\Seen $Junk \\Recent) INTERNALDATE \" 2-Nov-2026 01:02:03 +0100\" RFC822.SIZE 10)\r\n" +
			"* 4 EXISTS\r\n* 3 FETCH (FLAGS ())\r\n" +
			"* 2 FETCH (RFC822.SIZE 7 MODSEQ (12) X (a (\"b\" {3}\r\n(\"x)) FLAGS () UID 9 INTERNALDATE \"22-Nov-2026 01:02:03 +0000\")\r\nTAG OK\r\n"})
	list, err := m.Messages(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	v, next := m.Numbering()
	got := fmt.Sprint(v, next)
	for _, x := range list {
		got += fmt.Sprintf("; %s %d %v %v %s %d", x.Key, x.UID, x.Flags.AppendNames(nil), x.Keywords, x.Received.Format(time.RFC3339), x.Size)
	}
	if want := "77 40; 77.5 5 [\\Seen] [$Junk] 2026-11-02T01:02:03+01:00 10; 77.9 9 [] [] 2026-11-22T01:02:03Z 7"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestRead: messages in any order, with the UID before or behind, as literals or
// not; one is gone, one is refused.
func TestRead(t *testing.T) {
	m := opened(t,
		step{"UID FETCH 5,9,11:13 (UID BODY.PEEK[])", "* 1 FETCH (UID 5 BODY[] {8}\r\nA: )\r\n\r\n)\r\n* 3 FETCH (BODY[] {4}\r\nB\r\n\r UID 11)\r\n" +
			"* 9 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (UID 9 BODY[] \"quoted\" FLAGS ())\r\nTAG NO [SERVERBUG] broken\r\n"},
		step{"UID FETCH 12 (UID BODY.PEEK[])", "TAG NO [SERVERBUG] broken\r\n"},
		step{"UID FETCH 13 (UID BODY.PEEK[])", "TAG OK\r\n"},
		step{"UID FETCH 5 (UID BODY.PEEK[])", "* 1 FETCH (UID 5 BODY[] {8}\r\nA: )\r\n\r\n)\r\nTAG OK\r\n"})
	got := map[mail.UID]string{}
	list := []transfer.Message{{UID: 5}, {UID: 9}, {UID: 11}, {UID: 12}, {UID: 13}}
	err := m.Read(context.Background(), list, func(i int, read func(io.Writer) error) error {
		var b bytes.Buffer
		if err := read(&b); err != nil {
			b.WriteString("error " + err.Error())
		}
		got[list[i].UID] = b.String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[mail.UID]string{5: "A: )\r\n\r\n", 9: "quoted", 11: "B\r\n\r", 12: "error it cannot be read: [SERVERBUG] broken"}
	if !maps.Equal(got, want) {
		t.Errorf("%#v\nwant\n%#v", got, want)
	}
	stop := errors.New("the store is full")
	if err := m.Read(context.Background(), list[:1], func(int, func(io.Writer) error) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// TestCut: a connection that breaks in a message is a failure of all, not of the
// message.
func TestCut(t *testing.T) {
	m := opened(t, step{"UID FETCH 5 (UID BODY.PEEK[])", "* 1 FETCH (UID 5 BODY[] {700}\r\nA: "})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := m.Read(ctx, []transfer.Message{{UID: 5}}, func(_ int, read func(io.Writer) error) error {
		return read(writer(func(p []byte) { cancel() }))
	})
	if mail.KindOf(err) != mail.Unavailable {
		t.Error(err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// octets is a source of responses.
type octets struct{ *bufio.Reader }

func (o octets) ReadLine(limit int) ([]byte, error) {
	line, err := o.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("* 1 FETCH (UID 5 FLAGS (\\Seen $Junk) INTERNALDATE \" 2-Nov-2026 01:02:03 +0100\" RFC822.SIZE 10 BODY[] {3}\r\nabc)\r\n"))
	f.Add([]byte("* LIST (\\Sent) \".\" {5}\r\nabcde\r\ny1 OK done {3}\r\n"))
	f.Add([]byte("* 2 FETCH (X (a (\"b\" {3}\r\n(\"x)) BODY[] \"quoted\" UID 9)\r\n* NAMESPACE ((\"\" \".\")) NIL NIL\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := octets{bufio.NewReader(bytes.NewReader(b))}
		for {
			line, err := in.ReadLine(MaxLine)
			if err != nil {
				return
			}
			r := &response{src: in, line: string(line)}
			r.head("y1")
			switch r.word {
			case "FETCH":
				var m transfer.Message
				r.fetch(&m, func(body io.Reader) {
					if _, err := io.Copy(io.Discard, body); err != nil {
						r.err = err
					}
				})
			case "LIST":
				r.listed()
			default:
				(&mailbox{}).code(r)
			}
			if r.finish() != nil {
				return
			}
		}
	})
}
