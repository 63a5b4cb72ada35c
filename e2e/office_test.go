package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"yubin/internal/testkit/mailclient"
)

// office is a yubin with a domain of its own, at an address of a corner.
type office struct {
	server
	net  *corner
	host string
	// How the test reaches it.
	at                     string
	submission, imap, mail int
	close                  func() // checks and stops it, once
}

// open starts a `yubin localserve` that carries mail to other hosts. Its domain
// has the accounts alice and bob. Whoever connects to port 25 of host's address
// reaches it.
func (n *corner) open(host string, flags ...string) *office {
	n.t.Helper()
	o := &office{server: server{t: n.t, data: filepath.Join(scratch(n.t), "data"), log: &lockedBuffer{}}, net: n, host: host}
	o.populate()
	for range 5 { // Another program may take a port meanwhile.
		o.offset = freeOffset(n.t)
		o.at, o.submission, o.imap, o.mail = "127.0.0.1", o.port(portSubmission), o.port(portIMAP), o.port(portMX)
		args := []string{"localserve", "--data", o.data, "--listen-offset", strconv.Itoa(o.offset), "--verbose", "--dsn", "all", "--deliver", "--resolver", n.nameserver() + ":53"}
		if o.serve(append(args, flags...)) {
			forward(n.t, n.address(host)+":25", o.server.address(portMX))
			return o
		}
	}
	n.t.Fatalf("%s did not start:\n%s", host, o.log)
	return nil
}

// populate makes the domain of the office and its accounts.
func (o *office) populate() {
	o.t.Helper()
	o.must("", "domain", "add", o.domain())
	for _, account := range []string{"alice", "bob"} {
		o.must(password+"\n", "account", "add", o.person(account), "--password-stdin")
	}
}

const officeConfig = `
hostname = %[1]q
postmaster = "alice@%[2]s"
data = %[3]q
[[certificate]]
cert = "cert.pem"
key = "key.pem"
[[listener]]
protocol = "smtp"
address = "%[4]s:25"
tls = %[5]q
[[listener]]
protocol = "smtp"
profile = "submission"
address = "%[4]s:587"
[[listener]]
protocol = "imap"
address = "%[4]s:143"
[limits]
dsn = "all"
quota_grace = "0s"
[log]
level = "debug"
`

// openProperly starts a `yubin serve` with a certificate of the tests'
// authority; its mx listener has that tls, and its configuration more. It only
// receives, unless routes name the hosts: to a yubin that is not for trying, all
// addresses of this machine are its own.
func (n *corner) openProperly(host, tls string, more ...string) *office {
	n.t.Helper()
	dir := scratch(n.t)
	o := &office{server: server{t: n.t, data: filepath.Join(dir, "data"), log: &lockedBuffer{}}, net: n, host: host}
	o.at, o.submission, o.imap, o.mail = n.address(host), 587, 143, 25
	n.certify(dir, host, "autoconfig."+o.domain())
	file := filepath.Join(dir, "yubin.toml")
	put(n.t, file, fmt.Sprintf(officeConfig, host, o.domain(), o.data, o.at, tls)+strings.Join(more, ""))
	o.populate()
	if !o.serve([]string{"serve", "--config", file}) {
		n.t.Fatalf("%s did not start:\n%s", host, o.log)
	}
	return o
}

// serve starts the server and reports whether it serves.
func (o *office) serve(args []string) bool {
	o.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+o.net.authority())
	cmd.Stdout, cmd.Stderr = o.log, o.log
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go p.wait()
	o.close = sync.OnceFunc(func() { o.end(p) })
	o.t.Cleanup(o.close)
	eventually(o.t, func() error {
		select {
		case <-p.ended:
			return nil
		default:
		}
		if p.serving = strings.Contains(o.log.String(), `"msg":"serving"`); !p.serving {
			return errors.New("the server does not say that it serves")
		}
		return nil
	})
	return p.serving
}

// process is a server's.
type process struct {
	cmd     *exec.Cmd
	serving bool
	ended   chan struct{}
	err     error // once ended is closed
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

// end checks what the server keeps and stops it.
func (o *office) end(p *process) {
	if p.serving {
		o.check()
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
	if p.serving && p.err != nil {
		o.t.Errorf("%s did not stop cleanly: %v", o.host, p.err)
	}
	if o.t.Failed() {
		o.t.Logf("the end of the log of %s:\n%s", o.host, tail(o.events(), 8000))
	}
}

// events is its log without what our own looking caused.
func (o *office) events() string {
	var b strings.Builder
	for line := range strings.Lines(o.log.String()) {
		if !strings.Contains(line, `"proto":"imap"`) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// forward carries connections to from on to another address.
func forward(t testing.TB, from, to string) {
	t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go splice(in, to)
		}
	}()
}

func splice(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(in, out)
}

func (o *office) domain() string { return strings.TrimPrefix(o.host, "mx.") }

// person is the address of an account.
func (o *office) person(account string) string { return account + "@" + o.domain() }

// must runs a subcommand on the data folder.
func (o *office) must(stdin string, args ...string) string {
	o.t.Helper()
	out, err := tryYubin(o.t, &o.server, stdin, args...)
	if err != nil {
		o.t.Fatalf("yubin %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// inbox reads all messages of an account's INBOX.
func (o *office) inbox(account string) ([][]byte, error) { return o.mailbox(account, "INBOX") }

// mailbox reads all messages of a mailbox of an account.
func (o *office) mailbox(account, name string) (all [][]byte, err error) {
	c, err := mailclient.Dial(o.at, o.imap, false)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Line(); err != nil {
		return nil, err
	}
	for _, command := range []string{"LOGIN " + o.person(account) + " " + password, "EXAMINE " + name} {
		if _, err := c.IMAP(false, nil, "%s", command); err != nil {
			return nil, err
		}
	}
	_, err = c.IMAP(true, func(r mailclient.Response) {
		if strings.Contains(r.Text, " FETCH ") {
			all = append(all, r.Literals...)
		}
	}, "UID FETCH 1:* BODY.PEEK[]")
	return all, err
}

// arrived waits for the letter in the account's INBOX, where it must be once
// and as it was sent, and returns it.
func (o *office) arrived(account string, l letter) []byte {
	o.t.Helper()
	got := o.awaits(account, l.id())
	compare(o.t, got, l.octets)
	return got
}

// awaits waits for the one message in the account's INBOX that contains text.
func (o *office) awaits(account, text string) []byte {
	o.t.Helper()
	return o.awaitsIn(account, "INBOX", text)
}

// awaitsIn is awaits for another mailbox.
func (o *office) awaitsIn(account, mailbox, text string) (got []byte) {
	o.t.Helper()
	eventually(o.t, func() error {
		all, err := o.mailbox(account, mailbox)
		if err != nil {
			return err
		}
		got, err = single(all, text)
		return err
	})
	return got
}
