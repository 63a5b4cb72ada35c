package sasl

import (
	"context"
	"strings"

	"yubin/internal/mail"
)

// The challenges of LOGIN, which clients compare without case, if at all.
const (
	loginUserPrompt     = "Username:"
	loginPasswordPrompt = "Password:"
)

// plain is the only message of PLAIN: [authzid] NUL authcid NUL passwd
// (RFC 4616 §2).
func (s *Server) plain(ctx context.Context, response []byte) ([]byte, step, error) {
	authzid, rest, ok := strings.Cut(string(response), "\x00")
	user, password, ok2 := strings.Cut(rest, "\x00")
	if !ok || !ok2 || authzid != "" && !validText(authzid, MaxName) {
		return nil, nil, mail.Errorf(mail.Invalid, "a PLAIN message is authzid NUL user NUL password")
	}
	if err := s.setUser(user); err != nil {
		return nil, nil, err
	}
	return nil, nil, s.password(ctx, authzid, password)
}

// loginUser takes the name of LOGIN, asked for or as an initial response.
func (s *Server) loginUser(_ context.Context, response []byte) ([]byte, step, error) {
	if err := s.setUser(string(response)); err != nil {
		return nil, nil, err
	}
	return []byte(loginPasswordPrompt), s.loginPassword, nil
}

func (s *Server) loginPassword(ctx context.Context, response []byte) ([]byte, step, error) {
	return nil, nil, s.password(ctx, "", string(response))
}

// password ends PLAIN and LOGIN.
func (s *Server) password(ctx context.Context, authzid, password string) error {
	if !validText(password, MaxPassword) {
		return mail.Errorf(mail.Invalid, "the password must be 1 to %d octets of UTF-8", MaxPassword)
	}
	p, err := s.auth.Login(ctx, s.user, password)
	if err != nil {
		return err
	}
	return s.accept(p, authzid)
}
