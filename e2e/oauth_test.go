package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// provider is Zitadel's library for providers of OpenID Connect, running.
type provider struct {
	issuer string
	cert   string // the file of its certificate
	JWT    string // tokens of test-user@zitadel.ch
	Opaque string
}

// startProvider builds e2e/zitadel, a module of its own, and starts it.
func startProvider(t *testing.T) provider {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "zitadel"), ".")
	build.Dir = "zitadel"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	p := provider{cert: filepath.Join(dir, "cert.pem")}
	key := filepath.Join(dir, "key.pem")
	ownCertificate(t, p.cert, key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	p.issuer = "https://" + address
	cmd := exec.Command(filepath.Join(dir, "zitadel"), address, p.cert, key)
	var complaints lockedBuffer
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p)
	}
	if err != nil {
		t.Fatalf("the provider does not start: %v\n%s", err, complaints.String())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return p
}

// ownCertificate writes a certificate for 127.0.0.1, and its key.
func ownCertificate(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A provider that others made, and curl, which speaks OAUTHBEARER and XOAUTH2: tokens open the
// account that they name, in all protocols, and no other.
func TestOAuth(t *testing.T) {
	p := startProvider(t)
	for name, c := range map[string]struct{ token, how string }{
		"JWT":           {p.JWT, `audience = ["jwt"]`},
		"introspection": {p.Opaque, "introspection = true\nclient_id = \"opaque\"\nclient_secret_file = \"secret\"\nscope = \"openid\""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			offset := freeOffset(t)
			listener := func(protocol, profile string, port int) string {
				return fmt.Sprintf("[[listener]]\nprotocol = %q\n%saddress = \"127.0.0.1:%d\"\ntls = \"implicit\"\n", protocol, profile, port+offset)
			}
			text := fmt.Sprintf("hostname = \"mail.example.org\"\ndata = \"data\"\n[tls]\nself_signed = true\n[oauth]\nissuer = %q\ndomains = [\"zitadel.ch\"]\nmake_accounts = true\nroot = %q\n%s\n",
				p.issuer, p.cert, c.how) + listener("imap", "", portIMAPS) + listener("smtp", "profile = \"submission\"\n", portSubmissions) + listener("pop3", "", portPOP3S)
			file := filepath.Join(dir, "yubin.toml")
			for path, content := range map[string]string{file: text, filepath.Join(dir, "secret"): "a secret\n"} {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if out := run(t, c.token+"\n", binary, "oauth", "check", "--config", file, "--token-stdin"); !strings.Contains(out, "token of") || !strings.Contains(out, "test-user@zitadel.ch") {
				t.Errorf("oauth check:\n%s", out)
			}
			run(t, "", binary, "domain", "add", "zitadel.ch", "--config", file)
			s := &server{t: t, offset: offset, log: &lockedBuffer{}, cmd: exec.Command(binary, "serve", "--config", file)}
			s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
			if err := s.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer s.kill()
			if err := s.waitForPort(portPOP3S); err != nil {
				t.Fatalf("%v\n%s", err, s.log.String())
			}
			curl := func(user, token string, args ...string) (string, error) {
				secret := fmt.Sprintf("user = \"%s:\"\noauth2-bearer = %q\n", user, token) // Not in the arguments, where others see it.
				return try(t, secret, "curl", append([]string{"-sS", "-k", "-K", "-"}, args...)...)
			}
			imap, pop, smtp := "imaps://"+s.address(portIMAPS)+"/INBOX", "pop3s://"+s.address(portPOP3S)+"/", "smtps://"+s.address(portSubmissions)
			letter := write(t, "letter", []byte("From: test-user@zitadel.ch\r\nTo: test-user@zitadel.ch\r\nSubject: by token\r\n\r\nHello.\r\n"))
			for i, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
				login := []string{"--login-options", "AUTH=" + mechanism}
				send := append([]string{"--url", smtp, "--mail-from", "test-user@zitadel.ch", "--mail-rcpt", "test-user@zitadel.ch", "-T", letter}, login...)
				if out, err := curl("test-user@zitadel.ch", c.token, send...); err != nil {
					t.Fatalf("%s submission: %v\n%s\n%s", mechanism, err, out, tail(s.log.String(), 2000))
				}
				if out, err := curl("test-user@zitadel.ch", c.token, append([]string{"--url", fmt.Sprintf("%s;UID=%d;SECTION=HEADER", imap, i+1)}, login...)...); err != nil || !strings.Contains(out, "by token") {
					t.Errorf("%s IMAP: %v\n%s", mechanism, err, out)
				}
				if out, err := curl("test-user@zitadel.ch", c.token, append([]string{"--url", pop}, login...)...); err != nil || !strings.HasPrefix(out, "1 ") {
					t.Errorf("%s POP3: %v\n%s", mechanism, err, out)
				}
				for _, wrong := range [][2]string{{"test-user2@zitadel.ch", c.token}, {"test-user@zitadel.ch", c.token[:len(c.token)-8] + "AAAAAAAA"}} {
					for _, url := range []string{imap, pop} {
						if out, err := curl(wrong[0], wrong[1], append([]string{"--url", url}, login...)...); err == nil || !strings.Contains(out, "Login denied") {
							t.Errorf("%s %s as %s: %v\n%s", mechanism, url, wrong[0], err, out)
						}
					}
				}
			}
			s.stop()
			for _, want := range []string{"via=\"token of ", "account made", "the client says that it is"} {
				if log := strings.ReplaceAll(s.log.String(), `"via":"`, `via="`); !strings.Contains(log, want) {
					t.Errorf("the log lacks %s:\n%s", want, tail(log, 4000))
				}
			}
			if strings.Contains(s.log.String(), c.token) {
				t.Error("the token is in the log")
			}
		})
	}
}
