package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"yubin/internal/testkit/dnstest"
	"yubin/internal/testkit/ldappeer"
	"yubin/internal/testkit/openidtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"yubin": main, "sendmail": main, "mailq": main, "newaliases": main})
}

// TestScripts runs testdata/script: the command line as people type it, in
// processes of its own.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script", nil) }

// runScripts runs the scripts of a folder in an environment with more.
func runScripts(t *testing.T, dir string, more func(e *testscript.Env)) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			if more != nil {
				more(e)
			}
			e.Values[serversKey{}] = map[string]*process{}
			e.Values[heldKey{}] = map[string]*heldConn{}
			e.Values[identityKey{}] = map[string]*openidtest.Provider{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"freeport": freePorts,
			"cert":     makeCert,
			"start":    start,
			"signal":   sendSignal,
			"ready":    awaitReady,
			"stopped":  awaitExit,
			"logged":   logged,
			"greets":   greets,
			"hold":     hold,
			"say":      say,
			"occupy":   occupy,
			"office":   startOffice,
			"names":    serveNames,
			"fetch":    fetch,
			"identity": startIdentity,
			"token":    makeToken,
			"bearer":   bearer,
			"ldap":     serveLDAP,
		},
	})
}

// patience is how long a script waits for a process or connection.
const patience = 20 * time.Second

// exits CODE COMMAND...: runs the command and wants that exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// freeport NAME...: sets the variables to ports that nobody uses.
func freePorts(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer ln.Close() // Only after all are chosen, so that they differ.
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		ts.Setenv(name, port)
	}
}

// names VARIABLE FILE [SECRET]: a name server with the zone in the file, until the script
// ends; the variable is its address and port. With a secret it takes updates of example.org
// by the key yubin.
func serveNames(ts *testscript.TestScript, _ bool, args []string) {
	zone, err := dnstest.ParseZone(ts.ReadFile(args[1]))
	ts.Check(err)
	server, err := dnstest.Listen(zone)
	ts.Check(err)
	ts.Defer(func() { _ = server.Close() })
	if len(args) > 2 {
		server.TakeUpdates("example.org", "yubin", "hmac-sha256", args[2])
	}
	ts.Setenv(args[0], server.Addr().String())
}

// ldap VARIABLE FILE CERT HOST: an LDAP server with the entries in the file, which speaks TLS
// if it is asked to, until the script ends; the variable is its port. CERT is the file in which
// its certificate for HOST is then.
func serveLDAP(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := ldappeer.Parse(ts.ReadFile(args[1]))
	ts.Check(err)
	makeCert(ts, false, args[2:])
	pair, err := tls.LoadX509KeyPair(ts.MkAbs(args[2]), ts.MkAbs(args[2]))
	ts.Check(err)
	peer := ldappeer.New(entries...)
	peer.TLS, peer.Closed = &tls.Config{Certificates: []tls.Certificate{pair}}, true
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = ln.Close(); peer.HangUp() })
	go peer.Serve(ln)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ts.Setenv(args[0], port)
}

// fetch STATUS URL: what the web listener answers goes to the standard output; the name in
// the URL leads to this machine, whatever it is.
func fetch(ts *testscript.TestScript, _ bool, args []string) {
	client := http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // The server's own, made a moment ago.
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				_, port, _ := net.SplitHostPort(address)
				return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
			},
		},
	}
	r, err := client.Get(args[1])
	ts.Check(err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	ts.Check(err)
	if to := r.Header.Get("Location"); to != "" {
		body = []byte(to + "\n")
	}
	_, _ = ts.Stdout().Write(body)
	if strconv.Itoa(r.StatusCode) != args[0] {
		ts.Fatalf("%s: %s, want %s", args[1], r.Status, args[0])
	}
}

// occupy PORT: another program listens there until the script ends.
func occupy(ts *testscript.TestScript, _ bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	ts.Defer(func() { _ = ln.Close() })
}

// cert FILE HOST: writes a certificate for HOST and its key.
func makeCert(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		DNSNames:     []string{args[1]},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ts.Check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

type serversKey struct{}

// process is a server that a script started.
type process struct {
	cmd    *exec.Cmd
	notify *net.UnixConn
	exited chan error
	stdout bytes.Buffer
	stderr bytes.Buffer
}

func processes(ts *testscript.TestScript) map[string]*process {
	return ts.Value(serversKey{}).(map[string]*process)
}

// start NAME ARGUMENTS...: starts yubin with the arguments and waits until it
// tells the service manager that it is ready.
func start(ts *testscript.TestScript, _ bool, args []string) {
	// The path of a socket is short; that of a script's folder is not.
	dir, err := os.MkdirTemp("", "yubin")
	ts.Check(err)
	socket := filepath.Join(dir, "notify")
	p := &process{exited: make(chan error, 1)}
	p.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	ts.Check(err)
	p.cmd = exec.Command("yubin", args[1:]...)
	p.cmd.Path, err = exec.LookPath("yubin")
	ts.Check(err)
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "HOME="+ts.Getenv("HOME"))
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	ts.Check(p.cmd.Start())
	ts.Defer(func() {
		_ = p.cmd.Process.Kill()
		_ = p.notify.Close()
		_ = os.RemoveAll(dir)
	})
	go func() {
		p.exited <- p.cmd.Wait()
		_ = p.notify.Close()
	}()
	processes(ts)[args[0]] = p
	p.await(ts, "READY=1")
}

// await reads what the process tells the service manager, up to word.
func (p *process) await(ts *testscript.TestScript, word string) {
	ts.Check(p.notify.SetReadDeadline(time.Now().Add(patience)))
	for buf := make([]byte, 4096); ; {
		n, err := p.notify.Read(buf)
		if err != nil {
			ts.Fatalf("it never said %s: %v\n%s", word, err, p.stderr.String())
		}
		if strings.Contains(string(buf[:n]), word) {
			return
		}
	}
}

// signal NAME HUP|TERM|INT: sends a signal.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	s := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT}[args[1]]
	ts.Check(processes(ts)[args[0]].cmd.Process.Signal(s))
}

// ready NAME: waits until the server says once more that it is ready.
func awaitReady(ts *testscript.TestScript, _ bool, args []string) {
	processes(ts)[args[0]].await(ts, "READY=1")
}

// stopped NAME CODE: waits for the end of the server and its exit code.
func awaitExit(ts *testscript.TestScript, _ bool, args []string) {
	p := processes(ts)[args[0]]
	select {
	case <-p.exited:
		if code := strconv.Itoa(p.cmd.ProcessState.ExitCode()); code != args[1] {
			ts.Fatalf("exit code %s, want %s\n%s", code, args[1], p.stderr.String())
		}
	case <-time.After(patience):
		ts.Fatalf("it does not end\n%s", p.stderr.String())
	}
}

// logged NAME REGEXP: what the server wrote, once it has stopped, matches.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	p := processes(ts)[args[0]]
	all := p.stdout.String() + p.stderr.String()
	if regexp.MustCompile("(?m)"+args[1]).MatchString(all) == neg {
		ts.Fatalf("output:\n%s", all)
	}
}

// greets PORT REGEXP: a server answers there with such a line; with ! nobody does.
func greets(ts *testscript.TestScript, neg bool, args []string) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+args[0], patience)
	if neg {
		if err == nil {
			_ = c.Close()
			ts.Fatalf("somebody listens on port %s", args[0])
		}
		return
	}
	ts.Check(err)
	defer c.Close()
	readMatch(ts, bufio.NewReader(c), c, args[1])
}

func readMatch(ts *testscript.TestScript, in *bufio.Reader, c net.Conn, pattern string) {
	ts.Check(c.SetReadDeadline(time.Now().Add(patience)))
	line, err := in.ReadString('\n')
	ts.Check(err)
	if !regexp.MustCompile(pattern).MatchString(line) {
		ts.Fatalf("got %q, want %s", line, pattern)
	}
}

// heldConn is a connection that a script keeps open.
type heldConn struct {
	conn net.Conn
	in   *bufio.Reader
}

type heldKey struct{}

// hold PORT REGEXP: opens a connection and keeps it; wants such a greeting.
func hold(ts *testscript.TestScript, _ bool, args []string) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+args[0], patience)
	ts.Check(err)
	ts.Defer(func() { _ = c.Close() })
	h := &heldConn{c, bufio.NewReader(c)}
	ts.Value(heldKey{}).(map[string]*heldConn)[args[0]] = h
	readMatch(ts, h.in, c, args[1])
}

// say PORT LINE REGEXP: sends the line, unless it is empty, on the connection
// held open and wants such an answer.
func say(ts *testscript.TestScript, _ bool, args []string) {
	h := ts.Value(heldKey{}).(map[string]*heldConn)[args[0]]
	if args[1] != "" {
		_, err := h.conn.Write([]byte(args[1] + "\r\n"))
		ts.Check(err)
	}
	readMatch(ts, h.in, h.conn, args[2])
}
