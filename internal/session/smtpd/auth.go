package smtpd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/proto/smtp"
)

// login is an authentication exchange that is going on.
type login struct {
	exchange  *sasl.Server
	mechanism string
}

// mechanisms lists what the client may log in with now; nothing without TLS,
// but on loopback where that is allowed.
func (s *session) mechanisms() []string {
	if s.client.Profile != Submission || s.srv.cfg.Auth == nil || !s.tls.on && !s.plain {
		return nil
	}
	names := sasl.Offer{Scram: s.srv.cfg.Scram == nil || s.srv.cfg.Scram(), Binding: s.tls.on && s.srv.cfg.ChannelBinding,
		Tokens: s.takesTokens(), Clear: true}.Mechanisms()
	if slices.Contains(names, sasl.Plain) {
		names = append(names, sasl.Login)
	}
	return names
}

// takesTokens reports whether the client may log in with a token of OAuth: over TLS alone
// (RFC 7628 §3), also on loopback.
func (s *session) takesTokens() bool {
	return s.client.Profile == Submission && s.tls.on && s.srv.cfg.Tokens != nil && s.srv.cfg.Tokens()
}

// maxCommand is how long a command may be now. Tokens are long, and clients send them with
// the command: of all the others it is still smtp.MaxCommandLine.
func (s *session) maxCommand() int {
	if s.client.Authenticated || !s.takesTokens() {
		return smtp.MaxCommandLine
	}
	return smtp.MaxCommandLine + smtp.MaxAuthLine
}

// isAuth reports whether a line is AUTH with something behind it.
func isAuth(line []byte) bool {
	const auth = "AUTH "
	return len(line) > len(auth) && strings.EqualFold(string(line[:len(auth)]), auth)
}

// auth is AUTH (RFC 4954 §4).
func (s *session) auth(ctx context.Context, cmd smtp.Command) smtp.Reply {
	c := cmd.(smtp.Auth)
	offered := s.mechanisms()
	switch {
	case s.client.Authenticated:
		return status(503, 5, 5, 1, "you are logged in already")
	case len(offered) == 0:
		return status(538, 5, 7, 11, "start TLS first")
	case !slices.Contains(offered, c.Mechanism):
		return status(504, 5, 5, 4, "this mechanism is not offered here")
	}
	var initial []byte
	if c.Initial != nil {
		var err error
		if initial, err = sasl.DecodeInitial(c.Initial); err != nil {
			return s.loginFailed(c.Mechanism, "", err)
		}
	}
	exchange, err := sasl.NewServer(c.Mechanism, s.srv.cfg.Auth(s.client.Remote.Addr()), s.binding())
	if err != nil {
		return s.loginFailed(c.Mechanism, "", err)
	}
	s.login = login{exchange, c.Mechanism}
	return s.exchange(ctx, initial)
}

func (s *session) binding() sasl.Binding {
	if s.tls.binding == nil || !s.srv.cfg.ChannelBinding {
		return sasl.Binding{}
	}
	return s.tls.binding()
}

// authLine takes the client's answer to a challenge.
func (s *session) authLine(ctx context.Context, line []byte) smtp.Reply {
	r := s.answer(ctx, line)
	s.note(smtp.AUTH, r)
	return r
}

func (s *session) answer(ctx context.Context, line []byte) smtp.Reply {
	if x := s.login.exchange; x.Refused() != nil { // The client knows, whatever it answers (RFC 7628 §3.2.3).
		return s.loginFailed(s.login.mechanism, x.User(), x.Refused())
	}
	if sasl.IsCancel(line) {
		s.endLogin()
		return status(501, 5, 7, 0, "cancelled")
	}
	response, err := sasl.DecodeLine(line)
	if err != nil {
		return s.loginFailed(s.login.mechanism, s.login.exchange.User(), err)
	}
	return s.exchange(ctx, response)
}

// authTooLong is for a line beyond all that a mechanism needs.
func (s *session) authTooLong() smtp.Reply {
	s.endLogin()
	r := status(500, 5, 5, 6, "the line is too long")
	s.note(smtp.AUTH, r)
	return r
}

func (s *session) endLogin() { s.login, s.next = login{}, readCommand }

// exchange takes one message of the client.
func (s *session) exchange(ctx context.Context, response []byte) smtp.Reply {
	x := s.login.exchange
	challenge, done, err := x.Next(ctx, response)
	switch {
	case err != nil:
		return s.loginFailed(s.login.mechanism, x.User(), err)
	case !done:
		s.next = readAuth
		return smtp.Reply{Code: 334, Text: string(sasl.AppendChallenge(nil, challenge))}
	}
	s.client.Authenticated, s.client.Principal = true, x.Principal()
	r := status(235, 2, 7, 0, "welcome")
	s.logLogin(s.login.mechanism, x.User(), nil)
	s.endLogin()
	return r
}

// loginFailed ends an exchange with the reply that RFC 4954 §6 has for err.
func (s *session) loginFailed(mechanism, user string, err error) smtp.Reply {
	s.endLogin()
	kind := mail.KindOf(err)
	if kind != mail.Unavailable { // That nobody had time for it is not the client's doing.
		s.authFail++
	}
	var r smtp.Reply
	switch token := (*sasl.TokenRefused)(nil); {
	case errors.As(err, &token):
		r = status(535, 5, 7, 8, replyTo(err).Text)
	case kind == mail.Forbidden, kind == mail.NotFound:
		r = status(535, 5, 7, 8, "user name or password is wrong")
	case kind == mail.Invalid:
		r = status(501, 5, 5, 2, "the authentication exchange is not valid")
	case kind == mail.TooLarge:
		r = status(500, 5, 5, 6, "the line is too long")
	case kind == mail.RateLimited:
		r = status(454, 4, 7, 0, replyTo(err).Text)
	default:
		r = status(454, 4, 7, 0, "logging in does not work just now; try again later")
	}
	s.logLogin(mechanism, user, err)
	return r
}
