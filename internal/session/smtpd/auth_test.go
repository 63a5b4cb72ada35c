package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/testkit/memnet"
	"yubin/internal/testkit/transcript"
)

// scramPeople adds the keys of alice's password.
type scramPeople struct{ people }

func (scramPeople) Scram(_ context.Context, user string) (sasl.StoredKeys, sasl.Finish, error) {
	client, err := scram.SHA256.NewClient(user, "wonder", "")
	if err != nil {
		return sasl.StoredKeys{}, nil, err
	}
	keys, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salty salty salt", Iters: 4096})
	return sasl.StoredKeys{Salt: []byte(keys.Salt), Iterations: keys.Iters, Keys: []sasl.Key{{StoredKey: keys.StoredKey, ServerKey: keys.ServerKey}}},
		func(_ context.Context, proved func() int) (mail.Principal, error) {
			proved()
			return principal("alice", alice), nil
		}, err
}

// talker is a client that is not written down in a transcript.
type talker struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// say sends a line and returns the last line of the reply.
func (k *talker) say(line string) string {
	k.t.Helper()
	if _, err := io.WriteString(k.conn, line+"\r\n"); err != nil {
		k.t.Fatal(err)
	}
	return k.reply()
}

func (k *talker) reply() string {
	k.t.Helper()
	for {
		got, err := k.in.ReadString('\n')
		if err != nil {
			k.t.Fatal(err)
		}
		if len(got) < 4 || got[3] != '-' {
			return strings.TrimSuffix(got, "\r\n")
		}
	}
}

func (k *talker) startTLS() {
	k.say("STARTTLS")
	t := tls.Client(k.conn, &tls.Config{InsecureSkipVerify: true, ServerName: "mx.example.org"})
	if err := t.Handshake(); err != nil {
		k.t.Fatal(err)
	}
	k.conn, k.in = t, bufio.NewReader(t)
}

func submissionTalker(t *testing.T) (*talker, *post) {
	t.Helper()
	f, err := transcript.Parse("submission", "# RFC 4954\nset profile submission\n")
	if err != nil {
		t.Fatal(err)
	}
	p := newPost(t, f)
	ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.serve(theirs)
	}()
	t.Cleanup(func() {
		_ = ours.Close()
		<-done
	})
	k := &talker{t, ours, bufio.NewReader(ours)}
	k.reply()
	k.say("EHLO client.example")
	k.startTLS()
	k.say("EHLO client.example")
	return k, p
}

func scramExchange(k *talker, mechanism string, conversation *scram.ClientConversation) string {
	first, err := conversation.Step("")
	if err != nil {
		k.t.Fatal(err)
	}
	reply := k.say("AUTH " + mechanism + " " + base64.StdEncoding.EncodeToString([]byte(first)))
	for strings.HasPrefix(reply, "334 ") {
		challenge, err := base64.StdEncoding.DecodeString(reply[4:])
		if err != nil {
			k.t.Fatal(err)
		}
		answer, err := conversation.Step(string(challenge))
		if err != nil {
			return k.say("*")
		}
		reply = k.say(base64.StdEncoding.EncodeToString([]byte(answer)))
	}
	return reply
}

func TestScram(t *testing.T) {
	for password, want := range map[string]string{"wonder": "235 2.7.0", "wander": "535 5.7.8"} {
		k, _ := submissionTalker(t)
		client, err := scram.SHA256.NewClient("alice@example.org", password, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := scramExchange(k, "SCRAM-SHA-256", client.NewConversation()); !strings.HasPrefix(got, want) {
			t.Errorf("with %q: %q, want %s", password, got, want)
		}
	}
}

func TestScramPlusBindsToTLS(t *testing.T) {
	for _, right := range []bool{true, false} {
		k, _ := submissionTalker(t)
		st := k.conn.(*tls.Conn).ConnectionState()
		binding, err := scram.NewTLSExporterBinding(&st)
		if err != nil {
			t.Fatal(err)
		}
		want := "235 2.7.0"
		if !right {
			binding.Data[0]++
			want = "535 5.7.8"
		}
		client, err := scram.SHA256.NewClient("alice@example.org", "wonder", "")
		if err != nil {
			t.Fatal(err)
		}
		got := scramExchange(k, "SCRAM-SHA-256-PLUS", client.NewConversationWithChannelBinding(binding))
		if !strings.HasPrefix(got, want) {
			t.Errorf("with the right binding %v: %q, want %s", right, got, want)
		}
	}
}
