package imapd

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/proto/imap"
	"yubin/internal/proto/sasl"
)

// startTLS is STARTTLS (RFC 9051 §6.2.1). Octets that came behind the command have
// ended the session (CVE-2011-0411).
func (s *session) startTLS(_ context.Context, cmd *imap.Command) (status, error) {
	s.out.Status(cmd.Tag, imap.OK, "", "begin the handshake")
	if err := s.conn.Handshake(s.listener.TLS, tlsTimeout); err != nil {
		return status{}, errBroken
	}
	return answered()
}

// login is LOGIN (RFC 9051 §6.2.3).
func (s *session) login(ctx context.Context, cmd *imap.Command) (status, error) {
	if !s.plainAllowed() {
		return no(imap.CodePrivacyRequired, "passwords are only taken over TLS; use STARTTLS")
	}
	args := cmd.Args.(*imap.Login)
	p, err := s.authenticator().Login(ctx, args.User, args.Password)
	return s.admit(ctx, "LOGIN", args.User, p, err)
}

// authenticate is AUTHENTICATE (RFC 9051 §6.2.2, RFC 4959).
func (s *session) authenticate(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Authenticate)
	if !s.offersMechanism(args.Mechanism) {
		if args.Mechanism == sasl.Plain {
			return no(imap.CodePrivacyRequired, "passwords are only taken over TLS; use STARTTLS")
		}
		return no(imap.CodeCannot, "this mechanism is not offered here")
	}
	exchange, err := sasl.NewServer(args.Mechanism, s.authenticator(), s.binding())
	if err != nil {
		return status{}, err
	}
	done, response := false, args.Initial
	for {
		var challenge []byte
		if challenge, done, err = exchange.Next(ctx, response); done || err != nil {
			break
		}
		var cancelled bool
		response, cancelled, err = s.ask(challenge)
		if refused := exchange.Refused(); refused != nil && (err == nil || !fatal(err)) {
			err = refused // The client knows, whatever it answers (RFC 7628 §3.2.3).
			break
		}
		if err != nil {
			return saslFault(err)
		}
		if cancelled {
			return bad("cancelled")
		}
	}
	if mail.KindOf(err) == mail.Invalid && err != nil {
		return bad("that is not a message of " + args.Mechanism)
	}
	return s.admit(ctx, args.Mechanism, exchange.User(), exchange.Principal(), err)
}

// ask sends a challenge and reads the answer.
func (s *session) ask(challenge []byte) (response []byte, cancelled bool, err error) {
	s.out.Continue(string(sasl.AppendChallenge(nil, challenge)))
	if err := s.conn.Flush(); err != nil {
		return nil, false, ofConn(err)
	}
	line, err := s.conn.ReadLine(sasl.MaxLine)
	if err != nil {
		return nil, false, ofConn(err)
	}
	if sasl.IsCancel(line) {
		return nil, true, nil
	}
	response, err = sasl.DecodeLine(line)
	return response, false, err
}

// saslFault answers a line that is no answer to a challenge.
func saslFault(err error) (status, error) {
	if fatal(err) {
		return status{}, err
	}
	return bad("that is not base64")
}

// admit ends a login: err is why it failed, or nil.
func (s *session) admit(ctx context.Context, mech, user string, p mail.Principal, err error) (status, error) {
	if err == nil && p.Account == 0 {
		err = mail.Errorf(mail.Internal, "login without a principal")
	}
	if err == nil {
		s.principal = p
		s.conn.SetReadTimeout(idleTimeout)
		s.conn.LimitReads(0)
		s.logLogin(mech, p.Address.String(), nil)
		return okCode(imap.CodeCapability(s.offers()...), "welcome")
	}
	s.logLogin(mech, user, err)
	st := statusAs(ctx, err, mail.Forbidden, imap.CodeAuthenticationFailed)
	if mail.KindOf(err) == mail.Unavailable { // That nobody had time for it is not the client's doing.
		st.code = imap.CodeUnavailable
		return st, nil
	}
	if s.failures++; s.failures >= maxLoginFailures {
		return status{}, &bye{st.code, "too many failed logins"}
	}
	return st, nil
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
