package pop3d

import (
	"context"
	"errors"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/proto/pop3"
	"yubin/internal/proto/sasl"
)

// mayLogIn reports whether credentials may cross this connection.
func (s *session) mayLogIn() bool {
	_, secure := s.conn.TLS()
	return secure || s.srv.cfg.AllowPlainLoopback && s.conn.Loopback()
}

// mechanisms lists what AUTH takes now.
func (s *session) mechanisms() []string {
	if !s.mayLogIn() {
		return nil
	}
	_, secure := s.conn.TLS()
	return sasl.Offer{Scram: s.srv.cfg.Scram == nil || s.srv.cfg.Scram(), Binding: secure && s.srv.cfg.ChannelBinding,
		Tokens: s.takesTokens(), Clear: true}.Mechanisms()
}

// takesTokens reports whether the client may log in with a token of OAuth: over TLS alone
// (RFC 7628 §3), also on loopback.
func (s *session) takesTokens() bool {
	_, secure := s.conn.TLS()
	return secure && s.srv.cfg.Tokens != nil && s.srv.cfg.Tokens()
}

// mayStartTLS reports whether STLS would be taken.
func (s *session) mayStartTLS() bool {
	_, secure := s.conn.TLS()
	return s.listener.TLS != nil && !secure
}

var errNeedsTLS = mail.Errorf(mail.Invalid, "passwords are only taken over TLS; use STLS first")

// stls is STLS (RFC 2595 §4). Octets that came behind the command have ended the
// session (CVE-2011-0411); what was said before is forgotten.
func (s *session) stls(context.Context, pop3.Command) (answer, error) {
	if s.utf8 {
		return answer{}, mail.Errorf(mail.Invalid, "STLS must come before UTF8")
	}
	return answer{Reply: pop3.OK("begin the handshake"), then: func() error {
		s.user = ""
		if err := s.conn.Handshake(s.listener.TLS, tlsTimeout); err != nil {
			return &lost{err}
		}
		return nil
	}}, nil
}

// userName is USER. It says nothing about whether the account exists.
func (s *session) userName(_ context.Context, cmd pop3.Command) (answer, error) {
	if !s.mayLogIn() {
		return answer{}, errNeedsTLS
	}
	s.user = cmd.Args.(pop3.User).Name
	return ok("the password, please")
}

// pass is PASS.
func (s *session) pass(ctx context.Context, cmd pop3.Command) (answer, error) {
	user := s.user
	if s.user = ""; user == "" {
		return answer{}, mail.Errorf(mail.Invalid, "USER comes first")
	}
	p, err := s.authenticator().Login(ctx, user, cmd.Args.(pop3.Pass).Password)
	return s.admit(ctx, "PASS", user, p, err)
}

// auth is AUTH (RFC 5034 §4). Quirk: without a mechanism it lists them, as
// Outlook expects from before CAPA.
func (s *session) auth(ctx context.Context, cmd pop3.Command) (answer, error) {
	args, offered := cmd.Args.(pop3.Auth), s.mechanisms()
	switch {
	case args.Mechanism == "":
		return listing("mechanisms follow", offered), nil
	case len(offered) == 0:
		return answer{}, errNeedsTLS
	case !slices.Contains(offered, args.Mechanism):
		return answer{}, mail.Errorf(mail.NotFound, "this mechanism is not offered here")
	}
	exchange, err := sasl.NewServer(args.Mechanism, s.authenticator(), s.binding())
	if err != nil {
		return answer{}, err
	}
	if err := s.converse(ctx, exchange, args.Initial); err != nil {
		var l *lost
		if errors.As(err, &l) || mail.KindOf(err) == mail.Invalid {
			return answer{}, err
		}
		return s.admit(ctx, args.Mechanism, exchange.User(), mail.Principal{}, err)
	}
	return s.admit(ctx, args.Mechanism, exchange.User(), exchange.Principal(), nil)
}

// converse carries the messages of a SASL exchange to its end.
func (s *session) converse(ctx context.Context, exchange *sasl.Server, initial []byte) (err error) {
	var response []byte
	if initial != nil {
		if response, err = sasl.DecodeInitial(initial); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := exchange.Next(ctx, response)
		if done || err != nil {
			return err
		}
		response, err = s.ask(challenge)
		if l := (*lost)(nil); exchange.Refused() != nil && !errors.As(err, &l) {
			return exchange.Refused() // The client knows, whatever it answers (RFC 7628 §3.2.3).
		}
		if err != nil {
			return err
		}
	}
}

// ask sends a challenge and reads the answer.
func (s *session) ask(challenge []byte) ([]byte, error) {
	_, _ = s.conn.Write(append(sasl.AppendChallenge([]byte("+ "), challenge), "\r\n"...))
	if err := s.conn.Flush(); err != nil {
		return nil, &lost{err}
	}
	line, err := s.conn.ReadLine(sasl.MaxLine)
	switch {
	case err != nil:
		return nil, &lost{err}
	case sasl.IsCancel(line):
		return nil, mail.Errorf(mail.Invalid, "cancelled")
	}
	return sasl.DecodeLine(line)
}

func (s *session) authenticator() sasl.Authenticator {
	return s.srv.cfg.Login(s.conn.Remote().Addr())
}

func (s *session) binding() sasl.Binding {
	st, secure := s.conn.TLS()
	if !secure || !s.srv.cfg.ChannelBinding {
		return sasl.Binding{}
	}
	return sasl.TLSBinding(st, s.conn.Certificate())
}

// admit ends a login: err is why it failed, or nil.
func (s *session) admit(ctx context.Context, mech, user string, p mail.Principal, err error) (answer, error) {
	if err == nil && p.Account == 0 {
		err = mail.Errorf(mail.Internal, "login without a principal")
	}
	if err == nil {
		err = s.open(ctx, p)
	}
	if err == nil {
		s.conn.LimitReads(0)
		s.logLogin(mech, p.Address.String(), nil)
		return ok(s.drop.summary())
	}
	s.logLogin(mech, user, err)
	a := answer{Reply: s.replyTo(ctx, err)}
	if mail.KindOf(err) == mail.Forbidden {
		if s.failures++; s.failures >= maxLoginFailures {
			a.then = func() error { return &dismissal{"too many failed logins"} }
		}
	}
	return a, nil
}

// open locks and reads the maildrop of p and enters the Transaction state.
func (s *session) open(ctx context.Context, p mail.Principal) error {
	if !s.srv.locks.take(p.Account) {
		return mail.Errorf(mail.Conflict, "another POP3 session has this maildrop; try again when it has ended")
	}
	drop, err := openMaildrop(ctx, s.srv.cfg.Maildrops, p.Account, s.utf8, s.conn.Share())
	if err != nil {
		s.srv.locks.give(p.Account)
		return err
	}
	s.principal, s.drop, s.state = p, drop, transaction
	return nil
}
