//go:build e2e

package milterc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
	"yubin/internal/session/milterc"
	"yubin/internal/world/netx"
)

// The tests of this file ask a milter over Sendmail's libmilter, by Debian's
// python3-milter.
//
//	go test -tags e2e ./internal/session/milterc

func TestLibmilter(t *testing.T) {
	socket := filepath.Join(shortDir(t), "m")
	start(t, socket, "/usr/bin/python3", "testdata/obedient.py", "unix:"+socket)
	f := milterc.New(milterc.Config{Dial: func(ctx context.Context) (*netx.Conn, error) { return netx.Dialer{}.DialUnix(ctx, socket) }})
	const header = "Subject: one\r\n\ttwo\r\nX-Gone: 1\r\nX-Gone: 2\r\nX-Do: "
	for _, c := range []struct {
		name, from, to, do, body string
		want                     string
	}{
		{"refused at MAIL", "reject@a.test", "good@here.test", "", "", "reject 554 5.7.1 not from you, 100% sure go away"},
		{"recipient later", "s@a.test", "later@here.test", "", "", "defer 451 4.7.1 come back"},
		{"recipient never", "s@a.test", "never@here.test", "", "", "reject 0  "},
		{"null sender", "", "good@here.test", "tell", "body\r\n", strings.Join([]string{"continue 0  ",
			"0 0 X-Seen-0: connect client.test 192.0.2.1 mx.test", "0 0 X-Seen-1: helo hi.test TLSv1.3", "0 0 X-Seen-2: mail <> SIZE=9", "0 0 X-Seen-3: i q1",
			"0 0 X-Seen-4: rcpt <good@here.test> NOTIFY=NEVER", `0 0 X-Seen-5: field Subject 'one\n\ttwo'`, "0 0 X-Seen-6: field X-Gone '1'",
			"0 0 X-Seen-7: field X-Gone '2'", "0 0 X-Seen-8: field X-Do 'tell'", "0 0 X-Seen-9: eoh", "0 0 X-Seen-10: body 6"}, "\n")},
		{"everything", "s@a.test", "good@here.test", "all", "body\r\n", "continue 0  \nquarantine looks odd\nfrom bounce@filter.test\nadd added@here.test\nremove good@here.test\n" +
			"0 0 X-Added: one\n\ttwo\n1 0 X-First: first\n2 1 Subject: changed\n2 2 X-Gone:\nbody 280000"},
		{"large", "s@a.test", "good@here.test", "tell", strings.Repeat("0123456789abcd\r\n", 20_000), "body 320000"},
		{"skipped", "s@a.test", "good@here.test", "tell", "skip" + strings.Repeat("0123456789abcd\r\n", 20_000), "X-Seen-10: body 65535"},
		{"discard", "s@a.test", "good@here.test", "discard", "", "discard 0  "},
		{"accept", "s@a.test", "good@here.test", "accept", "", "accept 0  "},
		{"it dies", "s@a.test", "good@here.test", "die", "", "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if got := ask(ctx, t, f, c.from, c.to, header+c.do+"\r\n\r\n", c.body); got != c.want && !(len(c.want) < 30 && strings.HasSuffix(got, c.want)) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// ask has the conversation about one message, and writes what came of it.
func ask(ctx context.Context, t *testing.T, f filter.Filter, from, to, header, body string) string {
	var sender mail.ReversePath
	if from != "" {
		sender = mail.ReversePath(parse(t, from))
	}
	talk, a, err := f.Open(ctx, filter.Connection{Hostname: "mx.test", Client: netip.MustParseAddrPort("192.0.2.1:1025"), Name: "client.test", Hello: "hi.test", TLS: "TLSv1.3", ID: "q1"},
		filter.Sender{ReversePath: sender, Params: []string{"SIZE=9"}})
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	if a.Do == filter.Continue {
		if a, err = talk.Rcpt(ctx, filter.Recipient{Address: parse(t, to), Params: []string{"NOTIFY=NEVER"}}); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	if a.Do != filter.Continue {
		fmt.Fprint(&b, a.Do, " ", a.Reply.Code, " ", a.Reply.Enhanced, " ", a.Reply.Text)
		return b.String()
	}
	var changed bytes.Buffer
	o, err := talk.End(ctx, filter.Message{ReaderAt: strings.NewReader(header + body), Size: int64(len(header + body)), HeaderSize: int64(len(header)),
		NewBody: func() io.Writer { return &changed }})
	if err != nil {
		return "error"
	}
	fmt.Fprint(&b, o.Do, " ", o.Reply.Code, " ", o.Reply.Enhanced, " ", o.Reply.Text)
	if o.Quarantine != "" {
		fmt.Fprint(&b, "\nquarantine ", o.Quarantine)
	}
	if o.Sender != nil {
		fmt.Fprint(&b, "\nfrom ", o.Sender)
	}
	for _, a := range o.Add {
		fmt.Fprint(&b, "\nadd ", a)
	}
	for _, a := range o.Remove {
		fmt.Fprint(&b, "\nremove ", a)
	}
	for _, f := range o.Fields {
		fmt.Fprintf(&b, "\n%d %d %s:%s", f.Kind, f.Index, f.Name, f.Value)
	}
	if changed.Len() > 0 {
		fmt.Fprint(&b, "\nbody ", changed.Len())
	}
	return b.String()
}

func parse(t *testing.T, s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// shortDir is a folder whose path fits a socket's.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "milter")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start runs a program until the test ends, and waits for its socket.
func start(t *testing.T, socket string, command ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for deadline := time.After(time.Minute); ; {
		c, err := netx.Dialer{}.DialUnix(t.Context(), socket)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("it ended: %s", said.String())
		case <-deadline:
			t.Fatalf("no socket: %s", said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
