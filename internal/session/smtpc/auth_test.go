package smtpc

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"yubin/internal/mail"
)

// scramHost plays a host that does SCRAM-SHA-256 in clear, as RFC 4954 §4 has
// the last server message in a challenge of its own.
func scramHost(conn net.Conn, password string) error {
	client, err := scram.SHA256.NewClient("user", password, "")
	if err != nil {
		return err
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
	if err != nil {
		return err
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		return err
	}
	conv := server.NewConversation()
	in := bufio.NewScanner(conn)
	say := func(line string) { _, _ = fmt.Fprint(conn, line+"\r\n") }
	say("220 mx")
	for in.Scan() {
		text, isAuth := strings.CutPrefix(in.Text(), "AUTH SCRAM-SHA-256 ")
		switch {
		case strings.HasPrefix(text, "EHLO"):
			say("250-mx\r\n250 AUTH SCRAM-SHA-256")
			continue
		case text == "QUIT":
			say("221 bye")
			return nil
		case conv.Done() && text == "":
			say("235 2.7.0 welcome")
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return err
		}
		answer, err := conv.Step(string(raw))
		if err != nil && !isAuth {
			say("535 5.7.8 wrong")
			continue
		}
		say("334 " + base64.StdEncoding.EncodeToString([]byte(answer)))
	}
	return in.Err()
}

func TestScram(t *testing.T) {
	loopback := netip.MustParseAddrPort("127.0.0.1:9")
	for password, want := range map[string]string{"secret": "", "other": "auth 535 5.7.8 wrong"} {
		c, host := dialFrom(loopback, loopback)
		played := make(chan error, 1)
		go func() { played <- scramHost(host, password) }()
		fault, ok := c.Open(t.Context(), mail.Opening{Name: "client.example", Auth: &mail.Credentials{User: "user", Password: "secret"}})
		got := ""
		if !ok {
			got = describe(fault)
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
		c.Quit(t.Context())
		if err := <-played; err != nil {
			t.Error(err)
		}
	}
}

// TestPasswordsAreNotShown by formatting.
func TestPasswordsAreNotShown(t *testing.T) {
	c := mail.Credentials{User: "user", Password: "secret"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb+verb, c, mail.NextHop{Auth: &c}); strings.Contains(got, "secret") {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}
