package imapd

import (
	"context"
	"errors"
	"io"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// appendCommand is APPEND (RFC 9051 §6.3.12, RFC 3516 §4.4). What can be refused
// is refused before the client sends the message.
func (s *session) appendCommand(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Append)
	filing, refusal := s.prepareAppend(ctx, args)
	if refusal.cond != "" {
		if err := s.in.RefuseAppend(args); err != nil {
			return appendFault(err)
		}
		return refusal, nil
	}
	if !args.Literal.NonSync {
		if err := s.proceed(); err != nil {
			return status{}, err
		}
	}
	in := s.srv.cfg.Intake.Begin()
	defer in.Close()
	in.CountFor(s.conn.Share())
	writeErr, err := s.receive(in, args.Literal.Size)
	if err == nil {
		err = s.in.FinishAppend(args)
	}
	switch {
	case err != nil:
		return appendFault(err)
	case writeErr != nil:
		return appendStatus(ctx, writeErr)
	}
	return s.deliver(ctx, in, filing, args)
}

// prepareAppend finds out where the message goes, or why it does not.
func (s *session) prepareAppend(ctx context.Context, args *imap.Append) (store.Filing, status) {
	if size := args.Literal.Size; size > s.srv.cfg.MaxMessage {
		return store.Filing{}, status{imap.NO, imap.CodeTooBig, "the message is too big"}
	} else if size == 0 {
		return store.Filing{}, status{imap.NO, imap.CodeCannot, "the message is empty"}
	}
	keywords, err := mail.ParseKeywords(args.Flags.Keywords...)
	if err != nil {
		return store.Filing{}, statusOf(ctx, err)
	}
	box, err := s.destination(ctx, args.Mailbox)
	if err != nil {
		s.logFailure("APPEND", err)
		return store.Filing{}, statusAs(ctx, err, mail.NotFound, imap.CodeTryCreate)
	}
	if err := s.srv.cfg.Intake.Room(ctx, s.principal.Account, args.Literal.Size); err != nil {
		s.logFailure("APPEND", err)
		return store.Filing{}, statusOf(ctx, err)
	}
	return store.Filing{
		Account: s.principal.Account, Mailbox: box.ID, Only: true,
		Flags: args.Flags.System, Keywords: keywords, Received: s.received(args.Date),
	}, status{}
}

// received is the internal date of a message: given, or now.
func (s *session) received(given time.Time) time.Time {
	if given.IsZero() {
		return s.srv.cfg.Now()
	}
	return given
}

// receive reads the literal into in. When that fails (writeErr) the rest is read
// and dropped, so that the conversation can go on; err is of the connection.
// Quirk: NUL, which only a literal8 may have, is taken in any literal: clients
// copy messages that came with it from another server.
func (s *session) receive(in io.Writer, size int64) (writeErr, err error) {
	for size > 0 {
		piece, err := s.conn.Peek()
		if err != nil {
			return nil, ofConn(err)
		}
		piece = piece[:min(int64(len(piece)), size)]
		if writeErr == nil {
			_, writeErr = in.Write(piece)
		}
		s.conn.Discard(len(piece))
		size -= int64(len(piece))
	}
	return writeErr, nil
}

// deliver files the message.
func (s *session) deliver(ctx context.Context, in *intake.Message, filing store.Filing, args *imap.Append) (status, error) {
	filed, err := s.srv.cfg.Intake.File(ctx, in, filing)
	if err != nil {
		s.logFailure("APPEND", err)
		return statusAs(ctx, err, mail.NotFound, imap.CodeTryCreate), nil
	}
	s.appended++
	return okCode(imap.CodeAppendUID(filed[0].UIDValidity, filed[0].UID), "done")
}

// appendStatus answers a message that could not be kept. Nothing of it was.
func appendStatus(ctx context.Context, err error) (status, error) {
	if mail.KindOf(err) == mail.TooLarge {
		return statusAs(ctx, err, mail.TooLarge, imap.CodeTooBig), nil
	}
	return statusAs(ctx, err, mail.NotFound, imap.CodeTryCreate), nil
}

// appendFault answers a command that goes on wrongly behind the message.
func appendFault(err error) (status, error) {
	var e *imap.Error
	if !errors.As(err, &e) {
		return status{}, ofConn(err)
	}
	if e.Close {
		return status{}, &bye{imap.CodeTooBig, e.Error()}
	}
	return parseStatus(e), nil
}
