package imapd

import (
	"context"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// list is LIST and LSUB (RFC 9051 §6.3.9, RFC 3501 §6.3.9).
func (s *session) list(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.List)
	if !args.Extended && args.Patterns[0] == "" { // Asks for the separator.
		s.out.List(imap.Listed{LSub: args.LSub, Attrs: []imap.MailboxAttr{imap.AttrNoSelect}})
		return ok("done")
	}
	n, err := s.names(ctx, args)
	if err != nil {
		return status{}, err
	}
	pause, end, err := s.newWork(ctx).listing(n, args)
	if err != nil {
		return status{}, err
	}
	defer end()
	if args.LSub {
		found, err := n.lsub(args, pause)
		if err != nil {
			return status{}, err
		}
		end()
		for _, l := range found {
			s.out.List(l)
		}
		return ok("done")
	}
	found, err := n.list(args, pause)
	if err != nil {
		return status{}, err
	}
	end()
	for _, l := range found {
		s.out.List(l.Listed)
		if args.Return.Status == nil || l.box == nil {
			continue
		}
		if err := s.tellStatus(ctx, l.box, args.Return.Status); err != nil {
			s.logFailure("LIST STATUS", err) // RFC 9051 §6.3.9.2 lets such a STATUS be dropped.
		}
	}
	return ok("done")
}

// names loads what LIST chooses from.
func (s *session) names(ctx context.Context, args *imap.List) (*names, error) {
	boxes, err := s.srv.cfg.Mailboxes.Mailboxes(ctx, s.principal.Account)
	if err != nil {
		return nil, err
	}
	n := &names{boxes: boxes}
	if args.LSub || args.Select.Subscribed || args.Return.Subscribed {
		n.subscribed, err = s.srv.cfg.Mailboxes.Subscriptions(ctx, s.principal.Account)
	}
	return n, err
}

// statusCommand is STATUS (RFC 9051 §6.3.11).
func (s *session) statusCommand(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Status)
	box, err := s.destination(ctx, args.Mailbox)
	if err != nil {
		return status{}, err
	}
	if err := s.tellStatus(ctx, &box, args.Items); err != nil {
		return status{}, err
	}
	return ok("done")
}

// tellStatus writes a STATUS response.
func (s *session) tellStatus(ctx context.Context, box *store.Mailbox, items []imap.StatusItem) error {
	values := make([]imap.StatusValue, 0, len(items))
	for _, it := range items {
		v := imap.StatusValue{Item: it}
		switch it {
		case imap.StatusMessages:
			v.Value = int64(box.Exists)
		case imap.StatusUIDNext:
			v.Value = int64(box.UIDNext)
		case imap.StatusUIDValidity:
			v.Value = int64(box.UIDValidity)
		case imap.StatusUnseen:
			v.Value = int64(box.Unseen)
		case imap.StatusDeleted:
			v.Value = int64(box.Deleted)
		case imap.StatusSize:
			v.Value = box.Size
		case imap.StatusRecent:
			n, err := s.recentIn(ctx, box)
			if err != nil {
				return err
			}
			v.Value = n
		}
		values = append(values, v)
	}
	s.out.MailboxStatus(string(box.Name), values...)
	return nil
}

// recentIn counts the messages that nobody was told of as \Recent yet.
func (s *session) recentIn(ctx context.Context, box *store.Mailbox) (int64, error) {
	if box.Recent >= box.UIDNext {
		return 0, nil
	}
	view, err := s.srv.cfg.Messages.View(ctx, box.ID)
	if err != nil {
		return 0, err
	}
	return int64(view.Len() + 1 - view.SeqCeil(box.Recent)), nil
}

// create is CREATE (RFC 9051 §6.3.4) with the USE of RFC 6154 §3.
func (s *session) create(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Create)
	name, err := mailboxName(args.Mailbox)
	if err != nil {
		return status{}, err
	}
	role, fault := useOf(args.Use)
	if fault != "" {
		return no(imap.CodeUseAttr, fault)
	}
	box, err := s.srv.cfg.Mailboxes.CreateMailbox(ctx, s.principal.Account, name, role)
	if mail.KindOf(err) == mail.Conflict && err != nil {
		return statusAs(ctx, err, mail.Conflict, imap.CodeUseAttr), nil
	}
	if err != nil {
		return status{}, err
	}
	s.tellOldName(args.Mailbox, name, boxAttrs(&box))
	return ok("created")
}

// useOf returns the role that CREATE asks for, or why it cannot be given. A
// mailbox has one use here.
func useOf(attrs []string) (role mail.Role, fault string) {
	for _, a := range attrs {
		r, known := roleOf(a)
		switch {
		case !known:
			return "", "this special use is not supported"
		case role != "" && r != role:
			return "", "a mailbox has only one special use here"
		}
		role = r
	}
	return role, ""
}

// tellOldName writes the LIST response that says what a name was changed to.
func (s *session) tellOldName(given string, name mail.MailboxName, attrs []imap.MailboxAttr) {
	if old := oldName(given, name); old != "" && s.rev2 {
		s.out.List(imap.Listed{Attrs: attrs, Name: string(name), OldName: old})
	}
}

// deleteCommand is DELETE (RFC 9051 §6.3.5). A session that deletes its own
// mailbox has it closed.
func (s *session) deleteCommand(ctx context.Context, cmd *imap.Command) (status, error) {
	given := cmd.Args.(*imap.Delete).Mailbox
	name, err := mailboxName(given)
	if err != nil {
		return status{}, err
	}
	box, err := s.srv.cfg.Mailboxes.Mailbox(ctx, s.principal.Account, name)
	if err != nil {
		return status{}, err
	}
	if err := s.srv.cfg.Mailboxes.DeleteMailbox(ctx, s.principal.Account, name); err != nil {
		return statusAs(ctx, err, mail.Forbidden, imap.CodeCannot), nonKind(err)
	}
	if s.box != nil && s.box.id == box.ID {
		s.leave()
		s.out.Status("", imap.OK, imap.CodeClosed, "the mailbox is gone")
	}
	s.tellOldName(given, name, []imap.MailboxAttr{imap.AttrNonExistent})
	return ok("deleted")
}

// rename is RENAME (RFC 9051 §6.3.6).
func (s *session) rename(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Rename)
	from, err := mailboxName(args.From)
	if err != nil {
		return status{}, err
	}
	to, err := mailboxName(args.To)
	if err != nil {
		return status{}, err
	}
	if err := s.srv.cfg.Mailboxes.RenameMailbox(ctx, s.principal.Account, from, to); err != nil {
		return statusAs(ctx, err, mail.Conflict, imap.CodeCannot), nonKind(err)
	}
	if oldName(args.From, from) != "" || oldName(args.To, to) != "" {
		s.tellRenamed(ctx, args.From, to)
	}
	return ok("renamed")
}

// tellRenamed writes a LIST response with OLDNAME for names that normalization
// changed.
func (s *session) tellRenamed(ctx context.Context, from string, to mail.MailboxName) {
	if !s.rev2 {
		return
	}
	if box, err := s.srv.cfg.Mailboxes.Mailbox(ctx, s.principal.Account, to); err == nil {
		attrs := boxAttrs(&box)
		if box.Subscribed {
			attrs = append(attrs, imap.AttrSubscribed)
		}
		s.out.List(imap.Listed{Attrs: attrs, Name: string(to), OldName: from})
	}
}

// subscribe is SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8). The name
// need not be a mailbox.
func (s *session) subscribe(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Subscribe)
	name, err := mailboxName(args.Mailbox)
	if err != nil {
		return status{}, err
	}
	if err := s.srv.cfg.Mailboxes.Subscribe(ctx, s.principal.Account, name, args.On); err != nil {
		return status{}, err
	}
	return ok("done")
}
