package imapd

import (
	"context"
	"slices"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// knownKeywords are told in FLAGS of every mailbox (RFC 9051 §2.3.2).
func knownKeywords() []string {
	return []string{"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing"}
}

// selectCommand is SELECT and EXAMINE (RFC 9051 §6.3.2, RFC 3501 §6.3.1).
func (s *session) selectCommand(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Select)
	if s.box != nil {
		s.leave()
		s.out.Status("", imap.OK, imap.CodeClosed, "the previous mailbox is closed")
	}
	name, err := mailboxName(args.Mailbox)
	if err != nil {
		return status{}, err
	}
	b := &selected{name: name, readOnly: args.ReadOnly}
	row, err := s.open(ctx, b)
	if err != nil {
		s.leave()
		return status{}, err
	}
	s.describe(b, &row)
	if s.rev2 {
		s.out.List(imap.Listed{Attrs: boxAttrs(&row), Name: string(name), OldName: oldName(args.Mailbox, name)})
	}
	if b.readOnly {
		return okCode(imap.CodeReadOnly, "selected, read-only")
	}
	return okCode(imap.CodeReadWrite, "selected")
}

// open makes b the session's mailbox and fills it. The row may be a little
// older than the view, never newer, so UIDNEXT is raised to fit.
func (s *session) open(ctx context.Context, b *selected) (store.Mailbox, error) {
	row, err := s.srv.cfg.Mailboxes.Mailbox(ctx, s.principal.Account, b.name)
	if err != nil {
		return row, err
	}
	b.id = row.ID
	s.box = b
	view, err := s.firstView(ctx, &row)
	if err != nil {
		return row, err
	}
	s.see(view)
	b.since = view.ModSeq()
	row.UIDNext = max(row.UIDNext, b.lastUID()+1)
	return row, nil
}

// firstView returns the view of a mailbox that is being selected, and notes what
// is \Recent in it: in EXAMINE without taking it from others.
func (s *session) firstView(ctx context.Context, row *store.Mailbox) (*store.View, error) {
	view, err := s.srv.cfg.Messages.View(ctx, row.ID)
	if err == nil && !s.rev2 && row.Recent <= lastUID(view) {
		if s.box.readOnly {
			s.box.recent.AddRange(row.Recent, lastUID(view))
		} else {
			view, err = s.takeRecent(ctx)
		}
	}
	if mail.KindOf(err) == mail.NotFound && err != nil {
		return nil, mail.Errorf(mail.NotFound, "no such mailbox")
	}
	return view, err
}

// describe writes the untagged responses of SELECT.
func (s *session) describe(b *selected, row *store.Mailbox) {
	s.nameKeywords(b.view)
	s.out.Exists(uint32(b.view.Len()))
	if !s.rev2 {
		s.out.Recent(b.countRecent())
		if unseen := b.view.FirstUnseen(); unseen > 0 {
			s.out.Status("", imap.OK, imap.CodeUnseen(mail.SeqNum(unseen)), "first unseen")
		}
	}
	s.out.Status("", imap.OK, imap.CodeUIDValidity(row.UIDValidity), "UIDs are valid")
	s.out.Status("", imap.OK, imap.CodeUIDNext(row.UIDNext), "next UID")
}

// nameKeywords tells the client which flags and keywords apply, if now has others
// than it knows: a keyword is named before any message has it (RFC 9051 §7.3.5).
func (s *session) nameKeywords(now *store.View) {
	b := s.box
	if b.named == now.KeywordNames() {
		return
	}
	b.named, b.namedToo, b.covered = now.KeywordNames(), "", ""
	b.wordRoom = now.KeywordRoom()
	s.tellNames()
}

// nameMore tells the client what it knows and k. When the keywords beyond those
// of a view become too many, only k stays of them.
func (s *session) nameMore(k mail.Keywords) {
	b := s.box
	more, err := b.namedToo.With(k.Names()...)
	if err != nil {
		more = k
	}
	b.namedToo = more
	s.tellNames()
}

// tellNames writes the flags and keywords that are named.
func (s *session) tellNames() {
	b := s.box
	names := flagNames(append(b.named.List(), b.namedToo.Names()...))
	s.out.Flags(names...)
	permanent := slices.Clone(names)
	switch {
	case b.readOnly:
		permanent = nil
	case b.wordRoom:
		permanent = append(permanent, `\*`)
	}
	s.out.Status("", imap.OK, imap.CodePermanentFlags(permanent...), "what can be changed")
}

// flagNames returns the names of the flags that apply in a mailbox of which
// messages have keywords.
func flagNames(keywords []string) []string {
	names := (mail.Seen | mail.Answered | mail.Flagged | mail.Deleted | mail.Draft).AppendNames(nil)
	system := len(names)
	names = append(names, knownKeywords()...)
	for _, n := range keywords {
		if !slices.ContainsFunc(names, func(o string) bool { return strings.EqualFold(o, n) }) {
			names = append(names, n)
		}
	}
	slices.Sort(names[system:])
	return names
}

// closeCommand is CLOSE (RFC 9051 §6.4.1).
func (s *session) closeCommand(ctx context.Context, _ *imap.Command) (status, error) {
	if !s.box.readOnly {
		gone, err := s.srv.cfg.Messages.Expunge(ctx, s.box.id, nil)
		s.expunged += len(gone)
		if err != nil && mail.KindOf(err) != mail.NotFound {
			return status{}, err
		}
	}
	s.leave()
	return ok("closed")
}

// unselect is UNSELECT (RFC 9051 §6.4.2).
func (s *session) unselect(context.Context, *imap.Command) (status, error) {
	s.leave()
	return ok("closed")
}
