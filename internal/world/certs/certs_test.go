package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// world is a folder of certificate files and a clock.
type world struct {
	t      *testing.T
	folder string
	now    time.Time
	log    bytes.Buffer
}

func newWorld(t *testing.T) *world {
	return &world{t: t, folder: t.TempDir(), now: time.Now()}
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

// write puts a new certificate for host and its key into two files.
func (w *world) write(name, host string) Files {
	w.t.Helper()
	text, err := makeSelfSigned(host, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	f := Files{Cert: w.path(name + ".crt"), Key: w.path(name + ".key")}
	i := bytes.Index(text, []byte("-----BEGIN PRIVATE KEY"))
	w.put(f.Cert, text[:i])
	w.put(f.Key, text[i:])
	return f
}

// put replaces a file as renewal programs do: with a new one.
func (w *world) put(name string, text []byte) {
	w.t.Helper()
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open(files ...Files) *Certs {
	w.t.Helper()
	c, err := Open(Options{Files: files, Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// shown returns the first name of the certificate that a client of name sees.
func shown(t *testing.T, c *Certs, name string) string {
	t.Helper()
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	go func() { _ = tls.Server(server, c.Server()).Handshake() }()
	var first string
	tc := tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true,
		VerifyConnection: func(st tls.ConnectionState) error {
			first = st.PeerCertificates[0].DNSNames[0]
			return nil
		}})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return first
}

func TestChoiceByServerName(t *testing.T) {
	w := newWorld(t)
	c := w.open(w.write("a", "mail.example.org"), w.write("b", "mail.example.net"), w.write("c", "*.example.com"))
	tests := []struct{ name, want string }{
		{"mail.example.org", "mail.example.org"},
		{"mail.example.net", "mail.example.net"},
		{"MAIL.example.NET", "mail.example.net"},
		{"imap.example.com", "*.example.com"},
		{"a.b.example.com", "mail.example.org"},
		{"unknown.example", "mail.example.org"},
		{"", "mail.example.org"},
	}
	for _, tt := range tests {
		if got := shown(t, c, tt.name); got != tt.want {
			t.Errorf("a client of %q sees %q, want %q", tt.name, got, tt.want)
		}
	}
	infos := c.List()
	if len(infos) != 3 || infos[1].Names[0] != "mail.example.net" || infos[1].NotAfter.Before(w.now) {
		t.Errorf("List: %+v", infos)
	}
}

func TestRenewedFilesAreReadAgain(t *testing.T) {
	w := newWorld(t)
	files := w.write("a", "old.example.org")
	c := w.open(files)
	w.write("a", "new.example.org")
	if got := shown(t, c, ""); got != "old.example.org" {
		t.Errorf("within checkEvery: %q", got)
	}
	w.now = w.now.Add(checkEvery)
	if got := shown(t, c, ""); got != "new.example.org" {
		t.Errorf("after checkEvery: %q", got)
	}
	if log := w.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, files.Cert) {
		t.Errorf("log of the renewal: %q", log)
	}
	w.write("a", "third.example.org")
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := shown(t, c, ""); got != "third.example.org" {
		t.Errorf("after Reload: %q", got)
	}
}

// TestFaultsLooks: who watches the server sees a renewal that no client came for.
func TestFaultsLooks(t *testing.T) {
	w := newWorld(t)
	files := w.write("a", "old.example.org")
	c := w.open(files)
	w.write("a", "new.example.org")
	w.now = w.now.Add(checkEvery)
	if list := c.Faults(); len(list) != 0 || c.List()[0].Names[0] != "new.example.org" {
		t.Errorf("faults %v, and %v is in use", list, c.List()[0].Names)
	}
	w.put(files.Key, nil)
	w.now = w.now.Add(checkEvery)
	if list := c.Faults(); len(list) != 1 || !strings.Contains(w.log.String(), "does not load") {
		t.Errorf("faults %v, log %s", list, w.log.String())
	}
}

func TestBrokenRenewalKeepsTheOld(t *testing.T) {
	w := newWorld(t)
	files := w.write("a", "old.example.org")
	c := w.open(files)
	key, err := os.ReadFile(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	w.write("a", "new.example.org")
	newKey, err := os.ReadFile(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	faults := []func(){
		func() { w.put(files.Key, key) },               // of another certificate
		func() { w.put(files.Key, []byte("nothing")) }, // not PEM
		func() { w.put(files.Key, nil) },
		func() { _ = os.Remove(files.Key) },
	}
	for i, break_ := range faults {
		break_()
		w.log.Reset()
		for range 3 {
			w.now = w.now.Add(checkEvery)
			if got := shown(t, c, ""); got != "old.example.org" {
				t.Errorf("fault %d: %q is shown", i, got)
			}
		}
		if log := w.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, files.Key) {
			t.Errorf("fault %d: want one line that names the key file, got %q", i, log)
		}
		if err := c.Reload(); err == nil || !strings.Contains(err.Error(), files.Key) {
			t.Errorf("fault %d: Reload says %v", i, err)
		}
		if list := c.Faults(); len(list) != 1 || list[0].Files != files || !strings.Contains(list[0].Err.Error(), files.Key) {
			t.Errorf("fault %d: Faults says %v", i, list)
		}
	}
	w.put(files.Key, newKey)
	w.now = w.now.Add(checkEvery)
	if got := shown(t, c, ""); got != "new.example.org" {
		t.Errorf("after the key came: %q", got)
	}
}

func TestOpenTellsAllFaults(t *testing.T) {
	w := newWorld(t)
	good := w.write("good", "a.example.org")
	bad := w.write("bad", "b.example.org")
	w.put(bad.Cert, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	missing := Files{Cert: w.path("missing.crt"), Key: good.Key}
	_, err := Open(Options{Files: []Files{good, bad, missing}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatal("Open accepts broken files")
	}
	for _, want := range []string{bad.Cert, "must be PEM and belong together", missing.Cert + " does not exist: correct the path"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if _, err := Open(Options{Now: time.Now}); err == nil {
		t.Error("Open accepts no certificate at all")
	}
}

func TestServerConfig(t *testing.T) {
	w := newWorld(t)
	cfg := w.open(w.write("a", "mail.example.org")).Server("pop3")
	if cfg.MinVersion != tls.VersionTLS12 || cfg.SessionTicketsDisabled || cfg.NextProtos[0] != "pop3" {
		t.Errorf("config: min %x, tickets disabled %v, ALPN %v", cfg.MinVersion, cfg.SessionTicketsDisabled, cfg.NextProtos)
	}
	for _, tt := range []struct {
		offer []string
		ok    bool
	}{{nil, true}, {[]string{"pop3", "imap"}, true}, {[]string{"http/1.1"}, false}} {
		client, server := net.Pipe()
		go func() { _ = tls.Server(server, cfg).Handshake(); _ = server.Close() }()
		err := tls.Client(client, &tls.Config{InsecureSkipVerify: true, NextProtos: tt.offer}).Handshake()
		if (err == nil) != tt.ok {
			t.Errorf("ALPN offer %v: %v", tt.offer, err)
		}
		_ = client.Close()
	}
}

func TestSelfSigned(t *testing.T) {
	w := newWorld(t)
	folder := w.path("tls")
	files, err := SelfSigned(folder, "mail.example.org", w.now)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(files.Key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key file: %v, %v", info.Mode(), err)
	}
	leaf := w.leaf(files)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	for _, name := range []string{"mail.example.org", "localhost", "127.0.0.1", "::1"} {
		opts := x509.VerifyOptions{Roots: pool, DNSName: name, CurrentTime: w.now.AddDate(15, 0, 0)}
		if _, err := leaf.Verify(opts); err != nil {
			t.Errorf("not good for %s in 15 years: %v", name, err)
		}
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("%d files in the folder, want 1", len(entries))
	}
}

func TestSelfSignedIsKeptUntilItMustChange(t *testing.T) {
	w := newWorld(t)
	serial := func(host string, now time.Time) string {
		t.Helper()
		files, err := SelfSigned(w.folder, host, now)
		if err != nil {
			t.Fatal(err)
		}
		return w.leaf(files).SerialNumber.String()
	}
	first := serial("mail.example.org", w.now)
	if serial("mail.example.org", w.now.AddDate(10, 0, 0)) != first || serial("", w.now) != first {
		t.Error("made anew without need")
	}
	second := serial("mx.example.org", w.now)
	if second == first {
		t.Error("kept for another host name")
	}
	if serial("mx.example.org", w.now.AddDate(selfSignedYears, 0, -1)) == second {
		t.Error("kept to its last day")
	}
	for _, host := range []string{"192.0.2.1", "2001:db8::1", "localhost", ""} {
		if a := serial(host, w.now); serial(host, w.now) != a {
			t.Errorf("host %q: made anew each time", host)
		}
	}
}

func TestSelfSignedFaults(t *testing.T) {
	w := newWorld(t)
	w.put(w.path(selfSignedFile), []byte("my notes"))
	_, err := SelfSigned(w.folder, "mail.example.org", w.now)
	if err == nil || !strings.Contains(err.Error(), "delete "+w.path(selfSignedFile)) {
		t.Errorf("a file that is no certificate: %v", err)
	}
	if b, _ := os.ReadFile(w.path(selfSignedFile)); string(b) != "my notes" {
		t.Error("a file that is no certificate was overwritten")
	}
	w.put(w.path("file"), nil)
	_, err = SelfSigned(w.path("file"), "mail.example.org", w.now)
	if err == nil || !strings.Contains(err.Error(), w.path("file")) {
		t.Errorf("a folder that is a file: %v", err)
	}
	if _, err = SelfSigned(w.path("new"), "mäil.example.org", w.now); err == nil || !strings.Contains(err.Error(), "mäil") {
		t.Errorf("a host name that no certificate can hold: %v", err)
	}
}

func (w *world) leaf(f Files) *x509.Certificate {
	w.t.Helper()
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	return pair.Leaf
}

// TestOddFiles: what is no regular file, or is too large, is refused at once.
func TestOddFiles(t *testing.T) {
	dir := t.TempDir()
	large, fifo := filepath.Join(dir, "large"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(large, make([]byte, MaxFile+1), 0o600), syscall.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{large: "has over 1048576 octets", fifo: "is no regular file", dir: "is a folder", "/dev/zero": "is no regular file"} {
		_, err := Open(Options{Files: []Files{{Cert: name, Key: name}}, Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), "certificate file "+name+" "+want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
