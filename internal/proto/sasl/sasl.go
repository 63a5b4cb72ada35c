// Package sasl is the server side of SASL (RFC 4422): the mechanisms PLAIN
// (RFC 4616), LOGIN (the de-facto one), SCRAM-SHA-256 and SCRAM-SHA-256-PLUS
// (RFC 5802, RFC 7677) with the channel bindings tls-exporter (RFC 9266),
// tls-unique and tls-server-end-point (RFC 5929), OAUTHBEARER (RFC 7628) and
// XOAUTH2 (the de-facto one before it), and the base64 lines in which SMTP,
// IMAP and POP3 carry them.
//
// It does not prepare names and passwords (SASLprep, RFC 4013): protocols also
// have logins that are not SASL, so the Authenticator does that for all. It
// does not decide where a mechanism may be used: see Mechanisms.
package sasl

import (
	"context"
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
)

// Names of the mechanisms, as NewServer and the protocols spell them.
const (
	Plain           = "PLAIN"
	Login           = "LOGIN"
	ScramSHA256     = "SCRAM-SHA-256"
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS"
	OAuthBearer     = "OAUTHBEARER"
	XOAuth2         = "XOAUTH2"
)

// Limits on what a client sends, in octets.
const (
	MaxMessage  = 4096 // one decoded message; of those that carry a token, MaxTokenMessage
	MaxName     = 512  // authentication or authorization identity; RFC 4616 §2 asks for 255
	MaxPassword = 1024
)

// StoredKeys is what a server keeps of the passwords of a user for SCRAM (RFC 5802 §3):
// one salt and count for all, as they are told before it is known which one is meant, and a
// key for each.
type StoredKeys struct {
	Salt       []byte
	Iterations int
	Keys       []Key
}

// Key is what is kept of one password.
type Key struct{ StoredKey, ServerKey []byte }

// Authenticator knows the passwords, and who is asked about tokens. Users and passwords come
// to it as valid UTF-8 without NUL, not empty, and otherwise as received. Its errors are
// *mail.Error: Forbidden for bad credentials, RateLimited, or Unavailable.
type Authenticator interface {
	// Login checks a password.
	Login(ctx context.Context, user, password string) (mail.Principal, error)
	// Scram returns the keys of user, and how the login that begins with them
	// is finished. For a user that does not exist it returns keys too, always
	// the same and as many, which no password fits: the client must not see the
	// difference before its proof is refused, nor by the time that takes.
	Scram(ctx context.Context, user string) (StoredKeys, Finish, error)
	// Bearer says whose a token is (RFC 6750); "" is none, of a client that wants to hear
	// what it needs. The user is who the client says to be, and must be the same; "" if it
	// does not say. A Forbidden with the cause *TokenRefused is told to the client.
	Bearer(ctx context.Context, user, token string) (mail.Principal, error)
}

// Finish ends a login by SCRAM, at most once: not if the client went away before.
// It decides whether the client's proof may be looked at; proved looks at it, and says
// which of the keys it fits, or -1. Its errors are those of an Authenticator.
type Finish func(ctx context.Context, proved func() (which int)) (mail.Principal, error)

// Offer is what there is to log in with on a connection.
type Offer struct {
	Scram   bool // there are keys for everybody who may log in
	Binding bool // NewServer will be given a Binding
	Tokens  bool // somebody can be asked about tokens, and the connection has TLS (RFC 7628 §3)
	Clear   bool // passwords may cross the connection as they are: it has TLS, or is loopback
}

// Mechanisms lists what to advertise, the strongest first. LOGIN is left out: SMTP adds it
// after PLAIN for old clients, and NewServer knows it.
func (o Offer) Mechanisms() []string {
	var names []string
	if o.Scram && o.Binding {
		names = append(names, ScramSHA256Plus)
	}
	if o.Scram {
		names = append(names, ScramSHA256)
	}
	if o.Tokens {
		names = append(names, OAuthBearer, XOAuth2)
	}
	if o.Clear {
		names = append(names, Plain)
	}
	return names
}

// Server is one authentication exchange. Not safe for concurrent use.
type Server struct {
	auth      Authenticator
	mech      string
	most      int // octets of a message
	binding   Binding
	greeting  []byte        // the challenge for a client without an initial response
	plus      bool          // channel binding is required
	nonce     func() string // nil means the library's own, from crypto/rand
	next      step
	user      string
	principal mail.Principal
	started   bool
	refused   error // what the exchange ends with, once the client was told of it
}

// step takes one client message and returns the challenge and what comes after
// it; nothing after it means that the client is who it says.
type step func(ctx context.Context, response []byte) (challenge []byte, next step, err error)

// NewServer starts an exchange with the mechanism named mech, in any case. The
// zero Binding means that the connection has no TLS, or that -PLUS is not offered. The error is NotFound for
// an unknown mechanism, Forbidden for a -PLUS one without a binding.
//
// Whether mech may be used on this connection is for the caller to check.
func NewServer(mech string, auth Authenticator, binding Binding) (*Server, error) {
	s := &Server{auth: auth, mech: strings.ToUpper(mech), most: MaxMessage, binding: binding, greeting: []byte{}}
	switch s.mech {
	case Plain:
		s.next = s.plain
	case Login:
		s.next, s.greeting = s.loginUser, []byte(loginUserPrompt)
	case ScramSHA256:
		s.next = s.scramFirst
	case ScramSHA256Plus:
		if binding.IsZero() {
			return nil, mail.Errorf(mail.Forbidden, "%s needs TLS", ScramSHA256Plus)
		}
		s.plus = true
		s.next = s.scramFirst
	case OAuthBearer, XOAuth2:
		s.next, s.most = s.bearer, MaxTokenMessage
	default:
		return nil, mail.Errorf(mail.NotFound, "this authentication mechanism is not known here")
	}
	return s, nil
}

// Next takes the client's next message, decoded; nil at the start means that
// there was no initial response. Unless done or an error, challenge (which may
// be empty) is to be sent and the answer given to Next again. Done means that
// the client has proved to be Principal.
//
// Errors: Invalid for a message that is not of the mechanism, TooLarge beyond
// MaxMessage (MaxTokenMessage), or the Authenticator's. After done or an error the Server is
// used up.
func (s *Server) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	next := s.next
	if next == nil {
		return nil, false, mail.Errorf(mail.Invalid, "the authentication exchange is over")
	}
	if response == nil && !s.started {
		s.started = true
		return s.greeting, false, nil
	}
	s.started, s.next = true, nil
	if len(response) > s.most {
		return nil, false, mail.Errorf(mail.TooLarge, "an authentication message has at most %d octets", s.most)
	}
	challenge, s.next, err = next(ctx, response)
	if err != nil {
		s.next, s.principal = nil, mail.Principal{}
		return nil, false, err
	}
	return challenge, s.next == nil, nil
}

// Refused is what the login failed with if the client was told so in the last challenge: then
// it fails with that, whatever comes now, also if the client gives up (RFC 7628 §3.2.3). Else
// nil.
func (s *Server) Refused() error { return s.refused }

// Principal is who logged in, once Next has said done; before, the zero value.
func (s *Server) Principal() mail.Principal {
	if s.next != nil {
		return mail.Principal{}
	}
	return s.principal
}

// User is the name that the client gave, for the log; "" before it did.
func (s *Server) User() string { return s.user }

// setUser keeps the authentication identity, if it can be one.
func (s *Server) setUser(name string) error {
	if !validText(name, MaxName) {
		return mail.Errorf(mail.Invalid, "the user name must be 1 to %d octets of UTF-8", MaxName)
	}
	s.user = name
	return nil
}

// accept ends the exchange with p, if p may act as authzid: only as itself.
func (s *Server) accept(p mail.Principal, authzid string) error {
	if p.Account == 0 {
		return errBadCredentials()
	}
	if authzid != "" && authzid != s.user {
		a, err := mail.ParseAddress(authzid)
		if err != nil || a.Key() != p.Address.Key() {
			return mail.Errorf(mail.Forbidden, "you cannot act for another account; log in with no authorization identity")
		}
	}
	s.principal = p
	return nil
}

func errBadCredentials() error {
	return mail.Errorf(mail.Forbidden, "user name or password is wrong")
}

// validText accepts 1 to limit octets of UTF-8 without NUL.
func validText(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
