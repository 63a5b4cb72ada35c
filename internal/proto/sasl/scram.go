package sasl

import (
	"bytes"
	"context"

	"github.com/xdg-go/scram"

	"yubin/internal/mail"
)

// scramExchange is one SCRAM conversation between its messages.
type scramExchange struct {
	*Server
	conv   *scram.ServerConversation
	finish Finish
}

// scramFirst takes client-first-message and answers server-first-message
// (RFC 5802 §5).
func (s *Server) scramFirst(ctx context.Context, response []byte) ([]byte, step, error) {
	x := &scramExchange{Server: s}
	var lookup error // the Authenticator's, and nobody else's
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		var keys scram.StoredCredentials
		keys, lookup = x.keys(ctx, user)
		return keys, lookup
	})
	if err != nil {
		return nil, nil, err
	}
	if s.nonce != nil {
		server.WithNonceGenerator(s.nonce)
	}
	x.conv = s.converse(server, response)
	challenge, err := x.conv.Step(string(response))
	if lookup != nil {
		return nil, nil, lookup
	}
	if err != nil {
		return nil, nil, scramError(challenge)
	}
	return []byte(challenge), x.final, nil
}

// converse starts the conversation, with the binding that the client names.
func (s *Server) converse(server *scram.Server, first []byte) *scram.ServerConversation {
	flag, _, _ := bytes.Cut(first, []byte(","))
	want := bytes.TrimPrefix(flag, []byte("p="))
	cb := s.binding.choose(scram.ChannelBindingType(want))
	if s.plus {
		return server.NewConversationWithChannelBindingRequired(cb)
	}
	return server.NewConversationWithChannelBinding(cb)
}

// keys asks the Authenticator for the keys of user.
func (x *scramExchange) keys(ctx context.Context, user string) (scram.StoredCredentials, error) {
	if err := x.setUser(user); err != nil {
		return scram.StoredCredentials{}, err
	}
	k, finish, err := x.auth.Scram(ctx, user)
	x.finish = finish
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(k.Salt), Iters: k.Iterations},
		StoredKey:  k.StoredKey,
		ServerKey:  k.ServerKey,
	}, err
}

// final takes client-final-message and, if the proof is right, answers
// server-final-message. The protocols served here cannot send data with a
// success, so it is a challenge that the client answers with nothing
// (RFC 4422 §3.6). A failure is told at once, without server-final-message, as
// RFC 5802 §5.1 allows.
func (x *scramExchange) final(ctx context.Context, response []byte) ([]byte, step, error) {
	var challenge string
	proved := false
	p, err := x.finish(ctx, func() bool {
		var err error
		challenge, err = x.conv.Step(string(response))
		proved = err == nil && x.conv.Valid()
		return proved
	})
	switch {
	case err != nil:
		return nil, nil, err
	case !proved:
		return nil, nil, scramError(challenge)
	}
	return []byte(challenge), x.confirm, x.accept(p, x.conv.AuthzID())
}

// confirm takes the empty answer to server-final-message.
func (x *scramExchange) confirm(_ context.Context, response []byte) ([]byte, step, error) {
	if len(response) != 0 {
		return nil, nil, mail.Errorf(mail.Invalid, "nothing may follow the last SCRAM message")
	}
	return nil, nil, nil
}

// scramError turns the server-error that the library chose into ours.
func scramError(serverError string) error {
	switch serverError {
	case scram.ErrServerDoesSupportChannelBinding:
		return mail.Errorf(mail.Forbidden, "channel binding is offered here and must be used; if your client did not see the offer, the connection may be intercepted")
	case scram.ErrChannelBindingNotSupported, scram.ErrUnsupportedChannelBindingType:
		return mail.Errorf(mail.Forbidden, "this type of channel binding is not possible on this connection")
	case scram.ErrChannelBindingsDontMatch:
		return mail.Errorf(mail.Forbidden, "the channel binding does not match; the connection may be intercepted")
	case scram.ErrInvalidProof, scram.ErrOtherError:
		return errBadCredentials()
	}
	return mail.Errorf(mail.Invalid, "this is not a SCRAM message of RFC 5802")
}
