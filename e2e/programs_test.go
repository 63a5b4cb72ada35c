package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
)

// run runs a program, bounded in time, and returns what it printed.
func run(t testing.TB, stdin string, name string, args ...string) string {
	t.Helper()
	out, err := try(t, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, tail(out, 3000))
	}
	return out
}

func try(t testing.TB, stdin string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// write puts a file into a scratch folder and returns its path.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// messages reads a whole mailbox by IMAP.
func (s *server) messages(account, mailbox string) [][]byte {
	s.t.Helper()
	c, err := login(s, account)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.IMAP(false, nil, "EXAMINE %q", mailbox); err != nil {
		s.t.Fatal(err)
	}
	var all [][]byte
	_, err = c.IMAP(true, func(r mailclient.Response) {
		if strings.Contains(r.Text, " FETCH ") {
			all = append(all, r.Literals...)
		}
	}, "UID FETCH 1:* BODY.PEEK[]")
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// only returns the one message that has text in it.
func only(t testing.TB, all [][]byte, text string) []byte {
	t.Helper()
	var hits [][]byte
	for _, m := range all {
		if bytes.Contains(m, []byte(text)) {
			hits = append(hits, m)
		}
	}
	if len(hits) != 1 {
		t.Fatalf("%d of %d messages have %q, want one", len(hits), len(all), text)
	}
	return hits[0]
}

const japanese = "From: <alice@yubin.test>\r\nTo: <bob@yubin.test>\r\nSubject: =?UTF-8?B?6YO15L6/?=\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n郵便局が開きました。\r\n"

func TestCurlSubmits(t *testing.T) {
	s := startServer(t)
	file := write(t, "japanese.eml", []byte(japanese))
	credentials := "alice@yubin.test:" + password
	run(t, "", "curl", "-sS", "-k", "--ssl-reqd", "--url", "smtp://"+s.address(portSubmission), "--user", credentials,
		"--mail-from", "alice@yubin.test", "--mail-rcpt", "bob@yubin.test", "-T", file)
	run(t, "", "curl", "-sS", "-k", "--url", "smtps://"+s.address(portSubmissions), "--user", credentials,
		"--mail-from", "alice@yubin.test", "--mail-rcpt", "carol@yubin.test", "--mail-rcpt", "alice@yubin.test", "-T", file)
	for account, with := range map[string]string{"bob": "ESMTPSA", "carol": "ESMTPSA", "alice": "ESMTPSA"} {
		m := only(t, s.messages(account, "INBOX"), "郵便局が開きました。")
		for _, want := range []string{"Return-Path: <alice@yubin.test>\r\n", "Delivered-To: " + account + "@yubin.test\r\n",
			"with " + with, "Message-ID: <", "Date: ", "Subject: =?UTF-8?B?6YO15L6/?=\r\n"} {
			if !bytes.Contains(m, []byte(want)) {
				t.Errorf("the message for %s lacks %q:\n%s", account, want, m)
			}
		}
	}
}

func TestCurlSendsAnAttachmentAndReadsItByIMAPS(t *testing.T) {
	s := startServer(t)
	attachment := bytes.Repeat([]byte("\x00\xff binary \r\n"), 20000)
	run(t, "", "curl", "-sS", "-k", "--url", "smtps://"+s.address(portSubmissions), "--user", "alice@yubin.test:"+password,
		"--mail-from", "alice@yubin.test", "--mail-rcpt", "bob@yubin.test",
		"-F", "=with attachment;type=text/plain", "-F", "=@"+write(t, "資料.bin", attachment)+";encoder=base64",
		"-H", "From: alice@yubin.test", "-H", "To: bob@yubin.test", "-H", "Subject: attachment")
	credentials := "bob@yubin.test:" + password
	read := func(section string) string {
		return run(t, "", "curl", "-sS", "-k", "--url", "imaps://"+s.address(portIMAPS)+"/INBOX;UID=1;SECTION="+section, "--user", credentials)
	}
	if text := strings.TrimSpace(read("1")); text != "with attachment" {
		t.Errorf("part 1 is %.200q", text)
	}
	got, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(strings.TrimSpace(read("2")), "\r\n", ""))
	if err != nil || !bytes.Equal(got, attachment) {
		t.Errorf("the attachment came back as %d octets, %v; %d were sent", len(got), err, len(attachment))
	}
}

func TestCurlIsRefused(t *testing.T) {
	s := startServer(t)
	file := write(t, "m.eml", []byte(japanese))
	send := func(port int, from, rcpt string, flags ...string) string {
		out, err := try(t, "", "curl", append([]string{"-v", "-sS", "-k", "--ssl-reqd", "--url", "smtp://" + s.address(port),
			"--mail-from", from, "--mail-rcpt", rcpt, "-T", file}, flags...)...)
		if err == nil {
			t.Errorf("%v from %s to %s was let through", flags, from, rcpt)
		}
		return out
	}
	submit := func(user, from, rcpt string) string { return send(portSubmission, from, rcpt, "--user", user) }
	for name, tc := range map[string]struct{ out, want string }{
		"wrong password": {submit("alice@yubin.test:wrong", "alice@yubin.test", "bob@yubin.test"), "535 5.7.8"},
		"other sender":   {submit("bob@yubin.test:"+password, "alice@yubin.test", "bob@yubin.test"), "5.7.1"},
		"a stranger":     {send(portMX, "alice@yubin.test", "x@example.org"), "550 5.7.1"},
		"unknown":        {submit("alice@yubin.test:"+password, "alice@yubin.test", "nobody@yubin.test"), "550 5.1.1"},
	} {
		if !strings.Contains(tc.out, tc.want) {
			t.Errorf("%s: no %q in\n%s", name, tc.want, tc.out)
		}
	}
	if n := len(s.messages("bob", "INBOX")); n != 0 {
		t.Errorf("%d messages were kept of those refused", n)
	}
}

func TestCurlSendsToAnInternationalAddress(t *testing.T) {
	s := startServer(t)
	if out, err := tryYubin(t, s, password+"\n", "account", "add", "郵便@yubin.test", "--password-stdin"); err != nil {
		t.Fatalf("account add: %v\n%s", err, out)
	}
	message := "From: <alice@yubin.test>\r\nTo: <郵便@yubin.test>\r\nSubject: 国際化\r\n\r\n本文\r\n"
	run(t, "", "curl", "-sS", "--url", "smtp://"+s.address(portMX), "--mail-from", "差出人@例え.テスト", "--mail-rcpt", "郵便@yubin.test",
		"-T", write(t, "utf8.eml", []byte(message)))
	out := run(t, "", "curl", "-sS", "--url", "imap://"+s.address(portIMAP)+"/INBOX;UID=1", "--user", "郵便@yubin.test:"+password)
	for _, want := range []string{"Return-Path: <差出人@例え.テスト>", "with UTF8SMTP", "Subject: 国際化\r\n\r\n本文\r\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the message lacks %q:\n%s", want, out)
		}
	}
}

func tryYubin(t testing.TB, s *server, stdin string, args ...string) (string, error) {
	return try(t, stdin, binary, append(args, "--data", s.data)...)
}

func TestSwaksSubmits(t *testing.T) {
	s := startServer(t)
	attachment := make([]byte, 25<<20)
	for i := range attachment {
		attachment[i] = byte(i * i >> 7)
	}
	file := write(t, "large.bin", attachment)
	login := []string{"--auth-user", "alice@yubin.test", "--auth-password", password, "--from", "alice@yubin.test", "--to", "bob@yubin.test"}
	run(t, "", "swaks", append(login, "--server", s.address(portSubmission), "--tls", "--body", "plain body")...)
	run(t, "", "swaks", append(login, "--server", s.address(portSubmissions), "--tlsc", "--body", "with attachment",
		"--attach-type", "application/octet-stream", "--attach", "@"+file, "--suppress-data")...)
	run(t, "", "swaks", append(login, "--server", s.address(portSubmission), "--auth", "LOGIN", "--body", "by LOGIN")...)
	all := s.messages("bob", "INBOX")
	only(t, all, "plain body")
	only(t, all, "by LOGIN")
	large := only(t, all, "with attachment")
	_, encoded, _ := bytes.Cut(large, []byte("Content-Transfer-Encoding: BASE64\r\n\r\n"))
	encoded, _, _ = bytes.Cut(encoded, []byte("\r\n\r\n--"))
	got, err := base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(encoded, []byte("\r\n"), nil)))
	if err != nil || sha256.Sum256(got) != sha256.Sum256(attachment) {
		t.Errorf("the attachment came back as %d octets, %v; %d were sent", len(got), err, len(attachment))
	}
}

// mutt with its defaults sends, and opens a mailbox by IMAP and by POP3; it takes
// the strongest mechanism that it sees, whether it can do it or not.
func TestMutt(t *testing.T) {
	s := startServer(t)
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "Mail"), 0o700); err != nil { // It asks for it.
		t.Fatal(err)
	}
	rc := write(t, "muttrc", fmt.Appendf(nil, `set ssl_ca_certificates_file = "%s/tls/self-signed.pem"
set from = "alice@yubin.test"
set record = ""
set smtp_url = "smtps://alice@yubin.test@localhost:%d"
set smtp_pass = "%[3]s"
set imap_user = "alice@yubin.test"
set imap_pass = "%[3]s"
set pop_user = "alice@yubin.test"
set pop_pass = "%[3]s"
`, s.data, s.port(portSubmissions), password))
	mutt := []string{"HOME=" + home, "TERM=xterm", "mutt", "-n", "-F", rc}
	run(t, "hello", "env", append(mutt, "-s", "from mutt", "bob@yubin.test")...)
	only(t, s.messages("bob", "INBOX"), "Subject: from mutt")
	for url, proto := range map[string]string{
		fmt.Sprintf("imaps://localhost:%d/INBOX", s.port(portIMAPS)): "imap",
		fmt.Sprintf("pops://localhost:%d/", s.port(portPOP3S)):       "pop3",
	} {
		run(t, "", "script", "-qec", "env "+strings.Join(mutt, " ")+" -f "+url+" -e 'push <exit>'", "/dev/null")
		if !strings.Contains(s.log.String(), `"msg":"login","proto":"`+proto+`","listen":"`+proto+`s"`) {
			t.Errorf("mutt did not log in by %s", proto)
		}
	}
}

func TestPythonLibraries(t *testing.T) {
	s := startServer(t)
	out := run(t, "", "python3", "testdata/libraries.py", fmt.Sprint(s.offset))
	if !strings.Contains(out, "all is well") {
		t.Errorf("the script ended early:\n%s", out)
	}
}
