package e2e

import (
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// visit asks the web listener with curl; the name leads to this machine.
func (s *server) visit(host, path string, flags ...string) (string, error) {
	port := s.port(portHTTPS)
	args := append([]string{"-sS", "-k", "--fail-with-body", "--max-time", "20", "--resolve", fmt.Sprintf("%s:%d:127.0.0.1", host, port)}, flags...)
	return try(s.t, "", "curl", append(args, fmt.Sprintf("https://%s:%d%s", host, port, path))...)
}

// TestWeb: curl finds what clients find, by both versions of HTTP, and logs in with it.
func TestWeb(t *testing.T) {
	s := startServer(t)
	var config struct {
		Provider struct {
			Incoming []struct {
				Type     string `xml:"type,attr"`
				Hostname string `xml:"hostname"`
				Port     int    `xml:"port"`
				Socket   string `xml:"socketType"`
				Username string `xml:"username"`
			} `xml:"incomingServer"`
		} `xml:"emailProvider"`
	}
	for _, version := range []string{"--http1.1", "--http2"} {
		out, err := s.visit("autoconfig.yubin.test", "/mail/config-v1.1.xml?emailaddress=alice@yubin.test", version)
		if err != nil {
			t.Fatalf("%s: %v\n%s", version, err, out)
		}
		if err := xml.Unmarshal([]byte(out), &config); err != nil || len(config.Provider.Incoming) == 0 {
			t.Fatalf("%s: %v\n%s", version, err, out)
		}
	}
	in := config.Provider.Incoming[0]
	if in.Type != "imap" || in.Socket != "SSL" || in.Hostname != "localhost" || in.Port != s.port(portIMAPS) {
		t.Errorf("the first server is %+v", in)
	}
	user := strings.ReplaceAll(in.Username, "%EMAILADDRESS%", "alice@yubin.test")
	run(t, "", "curl", "-sS", "-k", fmt.Sprintf("imaps://%s:%d/INBOX", in.Hostname, in.Port), "-u", user+":"+password)

	request := write(t, "request.xml", []byte(`<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">`+
		`<Request><EMailAddress>alice@yubin.test</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>`))
	out, err := s.visit("autodiscover.yubin.test", "/autodiscover/autodiscover.xml", "--http2", "-H", "Content-Type: text/xml", "--data-binary", "@"+request)
	if err != nil || !strings.Contains(out, fmt.Sprintf("<Port>%d</Port>", s.port(portSubmissions))) {
		t.Errorf("Autodiscover: %v\n%s", err, out)
	}
	if out, err := s.visit("elsewhere.example", "/setup"); err == nil || !strings.Contains(out, "421") {
		t.Errorf("a name that is not ours: %v\n%s", err, out)
	}
	out, err = try(t, "", "curl", "-sS", "-o", os.DevNull, "-w", "%{http_code} %{redirect_url}", fmt.Sprintf("http://localhost:%d/setup", s.port(portHTTP)))
	if want := fmt.Sprintf("301 https://localhost:%d/setup", s.port(portHTTPS)); err != nil || out != want {
		t.Errorf("without TLS: %v, %q, want %q", err, out, want)
	}
	s.check()
}

// TestWebProfile: OpenSSL finds the profile signed by the certificate of the server, and
// Python reads it as a property list.
func TestWebProfile(t *testing.T) {
	s := startServer(t)
	dir := t.TempDir()
	signed, plain := filepath.Join(dir, "mail.mobileconfig"), filepath.Join(dir, "mail.plist")
	if out, err := s.visit("localhost", "/setup/mail.mobileconfig?address=alice@yubin.test", "-o", signed); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run(t, "", "openssl", "cms", "-verify", "-inform", "DER", "-in", signed, "-CAfile", filepath.Join(s.data, "tls", "self-signed.pem"), "-purpose", "any", "-out", plain)
	out := run(t, "", "python3", "-c", `import plistlib, sys
p = plistlib.load(open(sys.argv[1], "rb"))
a = p["PayloadContent"][0]
print(p["PayloadType"], a["PayloadType"], a["EmailAddress"], a["IncomingMailServerHostName"], a["IncomingMailServerPortNumber"], a["OutgoingMailServerPortNumber"], a["IncomingMailServerUseSSL"])`, plain)
	want := fmt.Sprintf("Configuration com.apple.mail.managed alice@yubin.test localhost %d %d True\n", s.port(portIMAPS), s.port(portSubmissions))
	if out != want {
		t.Errorf("the profile says %q, want %q", out, want)
	}
}

// TestWebHostile: clients that send slowly, or nothing, are let go, and mail goes on meanwhile.
func TestWebHostile(t *testing.T) {
	s := startServer(t)
	var slow []net.Conn
	for i := range 200 {
		c, err := net.Dial("tcp", s.address([]int{portHTTP, portHTTPS}[i%2]))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: local"); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	if out, err := s.visit("localhost", "/setup"); err != nil {
		t.Errorf("beside them: %v\n%s", err, out)
	}
	run(t, "", "curl", "-sS", "-k", fmt.Sprintf("imaps://localhost:%d/INBOX", s.port(portIMAPS)), "-u", "alice@yubin.test:"+password)
	for i, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(60 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("connection %d is not let go: %v", i, err)
		}
	}
	s.check()
}
