package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const mbsyncConfig = `IMAPAccount yubin
Host 127.0.0.1
Port %d
User alice@yubin.test
Pass yubin-local
SSLType None
AuthMechs LOGIN

IMAPStore far
Account yubin

MaildirStore near
Path %[2]s/
Inbox %[2]s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
CopyArrivalDate yes
SyncState *
`

// device is a Maildir that mbsync keeps in step with alice's mailboxes.
type device struct {
	t      *testing.T
	dir    string
	config string
}

func newDevice(t *testing.T, s *server) *device {
	dir := filepath.Join(t.TempDir(), "mail")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &device{t, dir, write(t, "mbsyncrc", fmt.Appendf(nil, mbsyncConfig, s.port(portIMAP), dir))}
}

func (d *device) sync() {
	d.t.Helper()
	run(d.t, "", "mbsync", "-c", d.config, "-a")
}

// files lists the messages of a mailbox: "subject flags".
func (d *device) files(mailbox string) []string {
	d.t.Helper()
	var all []string
	for _, path := range d.paths(mailbox) {
		b, err := os.ReadFile(path)
		if err != nil {
			d.t.Fatal(err)
		}
		_, flags, _ := strings.Cut(filepath.Base(path), ":2,")
		_, subject, _ := strings.Cut(string(b), "Subject: ")
		subject, _, _ = strings.Cut(subject, "\n")
		all = append(all, strings.TrimSpace(subject)+" "+flags)
	}
	slices.Sort(all)
	return all
}

func (d *device) paths(mailbox string) []string {
	var all []string
	for _, sub := range []string{"cur", "new"} {
		found, err := filepath.Glob(filepath.Join(d.dir, mailbox, sub, "*"))
		if err != nil {
			d.t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// path finds the message with that subject.
func (d *device) path(mailbox, subject string) string {
	d.t.Helper()
	for _, p := range d.paths(mailbox) {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), "Subject: "+subject+"\n") {
			return p
		}
	}
	d.t.Fatalf("no message %q in %s", subject, mailbox)
	return ""
}

// setFlags renames a message to have these Maildir flags.
func (d *device) setFlags(mailbox, subject, flags string) {
	d.t.Helper()
	old := d.path(mailbox, subject)
	name, _, _ := strings.Cut(filepath.Base(old), ":2,")
	if err := os.Rename(old, filepath.Join(d.dir, mailbox, "cur", name+":2,"+flags)); err != nil {
		d.t.Fatal(err)
	}
}

// add puts a new message into a mailbox.
func (d *device) add(mailbox, subject string) {
	d.t.Helper()
	body := "From: <alice@yubin.test>\nMessage-ID: <" + subject + "@device>\nSubject: " + subject + "\n\nwritten here\n"
	if err := os.WriteFile(filepath.Join(d.dir, mailbox, "cur", subject+".device:2,S"), []byte(body), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// TestMbsyncTwoDevices changes mail on two devices and at the server, and
// syncs until all three are the same.
func TestMbsyncTwoDevices(t *testing.T) {
	s := startServer(t)
	for i := range 30 {
		run(t, "", "swaks", "--server", s.address(portMX), "--from", "x@example.org", "--to", "alice@yubin.test",
			"--header", fmt.Sprintf("Subject: m%02d", i), "--body", "body", "--silent", "2")
	}
	a, b := newDevice(t, s), newDevice(t, s)
	a.sync()
	b.sync()
	if got := len(a.files("INBOX")); got != 30 || !slices.Equal(a.files("INBOX"), b.files("INBOX")) {
		t.Fatalf("the devices begin with %d messages:\n%v\n%v", got, a.files("INBOX"), b.files("INBOX"))
	}
	a.setFlags("INBOX", "m01", "FS")
	a.setFlags("INBOX", "m02", "ST")
	a.add("Sent", "from-a")
	b.setFlags("INBOX", "m03", "RS")
	b.add("INBOX", "from-b")
	if err := os.Rename(b.path("INBOX", "m04"), filepath.Join(b.dir, "Archive", "cur", "moved.device:2,S")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		a.sync()
		b.sync()
	}
	for _, mailbox := range []string{"INBOX", "Sent", "Archive", "Drafts", "Junk", "Trash"} {
		if x, y := a.files(mailbox), b.files(mailbox); !slices.Equal(x, y) {
			t.Errorf("%s differs:\n%v\n%v", mailbox, x, y)
		}
	}
	inbox := a.files("INBOX")
	for _, want := range []string{"m01 FS", "m03 RS", "from-b S"} {
		if !slices.Contains(inbox, want) {
			t.Errorf("INBOX lacks %q: %v", want, inbox)
		}
	}
	if len(inbox) != 29 || !slices.Equal(a.files("Archive"), []string{"m04 S"}) || !slices.Equal(b.files("Sent"), []string{"from-a S"}) {
		t.Errorf("INBOX %v, Archive %v, Sent %v", inbox, a.files("Archive"), b.files("Sent"))
	}
	if n := len(s.messages("alice", "INBOX")); n != 29 {
		t.Errorf("the server has %d messages in INBOX", n)
	}
	s.check()
}

// TestMbsyncOverTLS checks the certificate that localserve makes.
func TestMbsyncOverTLS(t *testing.T) {
	s := startServer(t)
	d := newDevice(t, s)
	config, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), fmt.Sprint("Port ", s.port(portIMAP)), fmt.Sprint("Port ", s.port(portIMAPS)), 1)
	text = strings.Replace(text, "SSLType None\nAuthMechs LOGIN", "SSLType IMAPS\nCertificateFile "+filepath.Join(s.data, "tls", "self-signed.pem"), 1)
	text = strings.Replace(text, "Host 127.0.0.1", "Host localhost", 1)
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.sync()
	if _, err := os.Stat(filepath.Join(d.dir, "Drafts")); err != nil {
		t.Error(err)
	}
}

const getmailConfig = `[retriever]
type = SimplePOP3SSLRetriever
server = 127.0.0.1
port = %d
username = bob@yubin.test
password = yubin-local

[destination]
type = MDA_external
path = /usr/bin/tee
arguments = ("-a", "%s")
allow_root_commands = true
ignore_stderr = true

[options]
read_all = false
delete = %s
`

func TestGetmailTakesByPOP3(t *testing.T) {
	s := startServer(t)
	for i := range 5 {
		run(t, "", "swaks", "--server", s.address(portMX), "--from", "x@example.org", "--to", "bob@yubin.test",
			"--header", fmt.Sprintf("Subject: p%d", i), "--body", ".dots\n..\n.", "--silent", "2")
	}
	box, state := filepath.Join(t.TempDir(), "mbox"), t.TempDir()
	take := func(remove string) int {
		config := write(t, "getmailrc", fmt.Appendf(nil, getmailConfig, s.port(portPOP3S), box, remove))
		run(t, "", "getmail", "--getmaildir", state, "--rcfile", config)
		b, err := os.ReadFile(box)
		if err != nil {
			t.Error(err)
		}
		return strings.Count(string(b), "\nSubject: p")
	}
	if n := take("false"); n != 5 {
		t.Errorf("the first run took %d messages", n)
	}
	if n := take("true"); n != 5 {
		t.Errorf("the second run took messages again: %d", n)
	}
	if n := len(s.messages("bob", "INBOX")); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestFetchmailTakesByPOP3(t *testing.T) {
	s := startServer(t)
	run(t, "", "swaks", "--server", s.address(portMX), "--from", "x@example.org", "--to", "bob@yubin.test",
		"--header", "Subject: for fetchmail", "--body", "hello", "--silent", "2")
	box := filepath.Join(t.TempDir(), "mbox")
	config := write(t, "fetchmailrc", fmt.Appendf(nil,
		"poll 127.0.0.1 service %d protocol pop3 auth password user bob@yubin.test password %s ssl no sslcertck mda \"cat >> %s\" nokeep\n",
		s.port(portPOP3S), password, box))
	run(t, "", "fetchmail", "-f", config, "--idfile", filepath.Join(t.TempDir(), "ids"), "--pidfile", filepath.Join(t.TempDir(), "pid"))
	b, err := os.ReadFile(box)
	if err != nil || !strings.Contains(string(b), "Subject: for fetchmail") {
		t.Errorf("fetchmail kept %q, %v", b, err)
	}
	if n := len(s.messages("bob", "INBOX")); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}
