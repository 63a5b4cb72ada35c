package imapd

import (
	"context"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// copyCommand is COPY, MOVE and their UID forms (RFC 9051 §6.4.7, §6.4.8).
func (s *session) copyCommand(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Copy)
	ps, valid := s.box.resolve(args.Set, cmd.UID)
	switch {
	case !valid:
		return bad("there is no message with that number")
	case args.Move && s.box.readOnly:
		return no(imap.CodeReadOnly, "the mailbox is selected read-only")
	}
	dest, err := s.destination(ctx, args.Mailbox)
	if err != nil {
		return statusAs(ctx, err, mail.NotFound, imap.CodeTryCreate), nonKind(err)
	}
	if args.Move {
		return s.move(ctx, ps, dest)
	}
	return s.copy(ctx, ps, dest)
}

// nonKind is err if it is no *mail.Error that a status can tell in full.
func nonKind(err error) error {
	if mail.KindOf(err) == mail.Internal {
		return err
	}
	return nil
}

// destination finds the mailbox that messages are to go to.
func (s *session) destination(ctx context.Context, given string) (store.Mailbox, error) {
	name, err := mailboxName(given)
	if err != nil {
		return store.Mailbox{}, err
	}
	return s.srv.cfg.Mailboxes.Mailbox(ctx, s.principal.Account, name)
}

// copy copies all that is there, or nothing.
func (s *session) copy(ctx context.Context, ps spans, dest store.Mailbox) (status, error) {
	if len(ps) == 0 {
		return ok("no messages, nothing copied")
	}
	done, err := s.srv.cfg.Messages.Copy(ctx, s.box.id, s.box.uids(ps), dest.ID)
	switch {
	case err != nil:
		return statusAs(ctx, err, mail.NotFound, imap.CodeTryCreate), nonKind(err)
	case len(done.Source) == 0:
		return okCode(imap.CodeExpungeIssued, "the messages were expunged, nothing copied")
	case len(done.Source) < count(ps):
		return okCode(imap.CodeCopyUID(done.UIDValidity, done.Source, done.Dest), "copied; some of the messages were expunged")
	}
	return okCode(imap.CodeCopyUID(done.UIDValidity, done.Source, done.Dest), "copied")
}

// move tells COPYUID before the EXPUNGE responses that the end of the command
// brings (RFC 9051 §6.4.8).
func (s *session) move(ctx context.Context, ps spans, dest store.Mailbox) (status, error) {
	if len(ps) == 0 {
		return ok("no messages, nothing moved")
	}
	done, err := s.srv.cfg.Messages.Move(ctx, s.box.id, s.box.uids(ps), dest.ID)
	if len(done.Source) > 0 {
		s.out.Status("", imap.OK, imap.CodeCopyUID(done.UIDValidity, done.Source, done.Dest), "moved")
	}
	if err != nil {
		return statusAs(ctx, err, mail.NotFound, imap.CodeTryCreate), nonKind(err)
	}
	if len(done.Source) < count(ps) {
		return okCode(imap.CodeExpungeIssued, "some of the messages were expunged")
	}
	return ok("done")
}

// expunge is EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9). The responses
// come with the changes that the end of the command tells.
func (s *session) expunge(ctx context.Context, cmd *imap.Command) (status, error) {
	if s.box.readOnly {
		return no(imap.CodeReadOnly, "the mailbox is selected read-only")
	}
	var only mail.UIDSet
	if args, byUID := cmd.Args.(*imap.Expunge); byUID {
		if only = s.box.uidSet(args.Set); len(only) == 0 { // "$" without messages; nil would mean all.
			return ok("nothing to expunge")
		}
	}
	gone, err := s.srv.cfg.Messages.Expunge(ctx, s.box.id, only)
	s.expunged += len(gone)
	if err != nil {
		return status{}, goneAsBye(err)
	}
	return ok("done")
}
