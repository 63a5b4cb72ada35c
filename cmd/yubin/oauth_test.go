package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"yubin/internal/testkit/openidtest"
)

type identityKey struct{}

// identity VARIABLE FILE: a provider of identities until the script ends; the variable is its
// URL, the file gets who signed its certificate.
func startIdentity(ts *testscript.TestScript, _ bool, args []string) {
	p := openidtest.New()
	ts.Defer(p.Close)
	ts.Value(identityKey{}).(map[string]*openidtest.Provider)[""] = p
	ts.Setenv(args[0], p.Issuer)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), p.RootPEM, 0o600))
}

// token FILE ADDRESS [CLAIM=VALUE...]: has it make a token for the address; "opaque" instead of
// claims makes one that only it can read.
func makeToken(ts *testscript.TestScript, _ bool, args []string) {
	p := ts.Value(identityKey{}).(map[string]*openidtest.Provider)[""]
	claims := openidtest.Claims{}
	for _, a := range args[2:] {
		name, value, _ := strings.Cut(a, "=")
		claims[name] = value
	}
	token := p.Token(args[1], claims)
	if len(args) == 3 && args[2] == "opaque" {
		token = p.Opaque(args[1], nil)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(token+"\n"), 0o600))
}

// bearer PORT FILE REGEXP...: logs in by IMAP with the token in the file, over TLS, and wants
// such answers, line by line; a challenge as text, and answered as RFC 7628 says.
func bearer(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := tls.Dial("tcp", "127.0.0.1:"+args[0], &tls.Config{InsecureSkipVerify: true})
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(patience)))
	in := bufio.NewReader(conn)
	_, err = in.ReadString('\n')
	ts.Check(err)
	say := func(line string) string {
		_, err := conn.Write([]byte(line + "\r\n"))
		ts.Check(err)
		got, err := in.ReadString('\n')
		ts.Check(err)
		return strings.TrimSpace(got)
	}
	response := "n,,\x01auth=Bearer " + strings.TrimSpace(ts.ReadFile(args[1])) + "\x01\x01"
	got := say("a AUTHENTICATE OAUTHBEARER " + base64.StdEncoding.EncodeToString([]byte(response)))
	for i, want := range args[2:] {
		if i > 0 {
			got = say("AQ==")
		}
		if challenge, is := strings.CutPrefix(got, "+ "); is {
			text, err := base64.StdEncoding.DecodeString(challenge)
			ts.Check(err)
			got = string(text)
		}
		if !regexp.MustCompile(want).MatchString(got) {
			ts.Fatalf("got %q, want %s", got, want)
		}
	}
}
