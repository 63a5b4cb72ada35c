package smtpc

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// mechanism is the client's side of a SASL exchange (RFC 4422).
type mechanism interface {
	// start is the initial response; ok is false if there is none.
	start() (response []byte, ok bool, err error)
	// next answers a challenge.
	next(challenge []byte) ([]byte, error)
	// done looks whether the host may say that we are in.
	done() error
}

// mechanisms lists what we can do, the best first.
var mechanisms = []struct {
	name string
	make func(mail.Credentials) (mechanism, error)
}{
	{"SCRAM-SHA-256", newScram},
	{"PLAIN", func(c mail.Credentials) (mechanism, error) { return plain(c), nil }},
	{"LOGIN", func(c mail.Credentials) (mechanism, error) { return &login{Credentials: c}, nil }},
}

// logIn authenticates if the opening asks for it.
func (c *Client) logIn() (mail.Answer, bool) {
	if c.opening.Auth == nil {
		return mail.Answer{}, true
	}
	if _, on := c.conn.TLS(); !on && !c.conn.Loopback() {
		return c.fail(mail.PhaseAuth, &trouble{kind: mail.Unsafe, text: "without TLS the password would be seen by others"}), false
	}
	for _, m := range mechanisms {
		if slices.Contains(c.offers.mechanisms, m.name) {
			mech, err := m.make(*c.opening.Auth)
			if err != nil {
				return c.fail(mail.PhaseAuth, err), false
			}
			r, err := c.exchange(m.name, mech)
			return c.wants2xx(mail.PhaseAuth, r, err)
		}
	}
	return c.fail(mail.PhaseAuth, &trouble{kind: mail.Lacking, code: "5.7.4",
		text: "the host offers no mechanism of authentication that we have"}), false
}

// exchange is AUTH (RFC 4954 §4).
func (c *Client) exchange(name string, m mechanism) (smtp.Reply, error) {
	cmd := smtp.Auth{Mechanism: name}
	initial, ok, err := m.start()
	if err != nil {
		return smtp.Reply{}, err
	}
	if ok {
		cmd.Initial = encode(initial)
	}
	if err := c.say(cmd); err != nil {
		return smtp.Reply{}, err
	}
	for {
		r, err := c.hearLine(AuthTimeout, MaxAuthLine)
		if err != nil || r.Code != 334 {
			if err == nil && r.Code/100 == 2 {
				err = m.done()
			}
			return r, err
		}
		response, err := c.respond(m, r.Text)
		if err != nil {
			return smtp.Reply{}, err
		}
		if _, err := c.conn.Write(append(response, '\r', '\n')); err != nil {
			return smtp.Reply{}, err
		}
	}
}

// respond answers one challenge. What makes no sense ends the exchange with
// its connection: nothing more is to be said to such a host.
func (c *Client) respond(m mechanism, challenge string) ([]byte, error) {
	text, err := base64.StdEncoding.DecodeString(challenge)
	if err != nil {
		return nil, &trouble{kind: mail.Garbled, text: "the host sent a challenge that is no base64"}
	}
	response, err := m.next(text)
	if err != nil {
		return nil, err
	}
	return encode(response), nil
}

// encode writes base64; an empty response is "=" only with AUTH itself, where
// no mechanism of ours has one.
func encode(b []byte) []byte { return base64.StdEncoding.AppendEncode(nil, b) }

// errTooMany ends an exchange in which the host asks for more than there is.
var errTooMany = &trouble{kind: mail.Garbled, text: "the host asks for more than the mechanism of authentication has"}

// plain is RFC 4616.
type plain mail.Credentials

func (p plain) start() ([]byte, bool, error) {
	return []byte("\x00" + p.User + "\x00" + p.Password), true, nil
}
func (p plain) next([]byte) ([]byte, error) { return nil, errTooMany }
func (p plain) done() error                 { return nil }

// login is LOGIN: the user, then the password, whatever the host calls them.
type login struct {
	mail.Credentials
	asked int
}

func (l *login) start() ([]byte, bool, error) { return nil, false, nil }

func (l *login) next([]byte) ([]byte, error) {
	l.asked++
	switch l.asked {
	case 1:
		return []byte(l.User), nil
	case 2:
		return []byte(l.Password), nil
	}
	return nil, errTooMany
}

func (l *login) done() error { return nil }

// scramSHA256 is RFC 7677. The host must prove that it knows the password too.
type scramSHA256 struct{ *scram.ClientConversation }

func newScram(c mail.Credentials) (mechanism, error) {
	client, err := scram.SHA256.NewClient(c.User, c.Password, "")
	if err != nil {
		return nil, &trouble{kind: mail.Unsafe, code: "4.7.8", text: "the user or the password has characters that are not allowed"}
	}
	return scramSHA256{client.NewConversation()}, nil
}

func (s scramSHA256) start() ([]byte, bool, error) {
	first, err := s.Step("")
	return []byte(first), true, err
}

func (s scramSHA256) next(challenge []byte) ([]byte, error) {
	if s.Done() {
		return nil, errTooMany
	}
	if iterations(string(challenge)) > MaxIterations {
		return nil, &trouble{kind: mail.Garbled, text: "the host asks for too many iterations of SCRAM"}
	}
	response, err := s.Step(string(challenge))
	if err != nil {
		return nil, &trouble{kind: mail.Unverified, code: "4.7.8", text: "the host does not keep to SCRAM, or does not know the password"}
	}
	return []byte(response), nil
}

func (s scramSHA256) done() error {
	if !s.Valid() {
		return &trouble{kind: mail.Unverified, code: "4.7.8", text: "the host let us in without proof that it knows the password"}
	}
	return nil
}

// iterations reads i= of server-first-message (RFC 5802 §7).
func iterations(challenge string) int {
	for attr := range strings.SplitSeq(challenge, ",") {
		if digits, ok := strings.CutPrefix(attr, "i="); ok {
			n, err := strconv.Atoi(digits)
			if err != nil {
				return MaxIterations + 1
			}
			return n
		}
	}
	return 0
}
