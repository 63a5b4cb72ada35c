package sasl

import (
	"bytes"
	"context"
	"crypto/sha256"

	"github.com/xdg-go/scram"

	"yubin/internal/mail"
)

// scramExchange is one SCRAM conversation between its messages.
type scramExchange struct {
	*Server
	conv   *scram.ServerConversation
	keys   []Key
	inUse  Key // the octets that conv has: each of keys in turn
	finish Finish
}

// scramFirst takes client-first-message and answers server-first-message
// (RFC 5802 §5).
func (s *Server) scramFirst(ctx context.Context, response []byte) ([]byte, step, error) {
	x := &scramExchange{Server: s}
	var lookup error // the Authenticator's, and nobody else's
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		var keys scram.StoredCredentials
		keys, lookup = x.lookup(ctx, user)
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

// lookup asks the Authenticator for the keys of user. The library takes one.
func (x *scramExchange) lookup(ctx context.Context, user string) (scram.StoredCredentials, error) {
	if err := x.setUser(user); err != nil {
		return scram.StoredCredentials{}, err
	}
	k, finish, err := x.auth.Scram(ctx, user)
	x.keys, x.finish = k.Keys, finish
	x.inUse = Key{make([]byte, sha256.Size), make([]byte, sha256.Size)}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(k.Salt), Iters: k.Iterations},
		StoredKey:  x.inUse.StoredKey,
		ServerKey:  x.inUse.ServerKey,
	}, err
}

// prove says which of the keys the client's proof fits, or -1, and what the library
// answers: the conversation is ended once for each, a copy of it with other keys.
func (x *scramExchange) prove(response []byte) (which int, challenge string) {
	for i, k := range x.keys {
		copy(x.inUse.StoredKey, k.StoredKey)
		copy(x.inUse.ServerKey, k.ServerKey)
		conv := *x.conv
		var err error
		if challenge, err = conv.Step(string(response)); err == nil && conv.Valid() {
			return i, challenge
		}
	}
	return -1, challenge
}

// final takes client-final-message and, if the proof is right, answers
// server-final-message. The protocols served here cannot send data with a
// success, so it is a challenge that the client answers with nothing
// (RFC 4422 §3.6). A failure is told at once, without server-final-message, as
// RFC 5802 §5.1 allows.
func (x *scramExchange) final(ctx context.Context, response []byte) ([]byte, step, error) {
	which, challenge := -1, ""
	p, err := x.finish(ctx, func() int {
		which, challenge = x.prove(response)
		return which
	})
	switch {
	case err != nil:
		return nil, nil, err
	case which < 0:
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
