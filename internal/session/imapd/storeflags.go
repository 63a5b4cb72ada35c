package imapd

import (
	"context"
	"slices"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// store is STORE and UID STORE (RFC 9051 §6.4.6).
func (s *session) store(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Store)
	b := s.box
	ps, valid := b.resolve(args.Set, cmd.UID)
	switch {
	case !valid:
		return bad("there is no message with that number")
	case b.readOnly:
		return no(imap.CodeReadOnly, "the mailbox is selected read-only")
	}
	change, err := flagChange(args)
	if err != nil {
		return status{}, err
	}
	there, err := s.srv.cfg.Messages.SetFlags(ctx, b.id, b.uids(ps), change)
	if err != nil {
		return status{}, err
	}
	now, err := s.srv.cfg.Messages.View(ctx, b.id)
	if err != nil {
		return status{}, goneAsBye(err)
	}
	s.nameKeywords(now)
	if args.Silent {
		s.noteSilent(there, now, change)
	} else {
		s.tellStored(there, now, cmd.UID)
	}
	if count(ps) > there.Len() { // RFC 2180 §4.2.1
		return okCode(imap.CodeExpungeIssued, "some of the messages were expunged")
	}
	return ok("done")
}

func count(ps spans) int {
	n := 0
	for _, p := range ps {
		n += p.last - p.first + 1
	}
	return n
}

// flagChange turns the arguments of STORE into a change. Flags that nobody can
// set, \Recent and unknown ones with a backslash, are ignored (RFC 9051 §7.1,
// PERMANENTFLAGS).
func flagChange(args *imap.Store) (store.FlagChange, error) {
	keywords, err := mail.ParseKeywords(args.Flags.Keywords...)
	if err != nil {
		return store.FlagChange{}, err
	}
	modes := [...]store.FlagMode{
		imap.StoreReplace: store.FlagsReplace, imap.StoreAdd: store.FlagsAdd, imap.StoreRemove: store.FlagsRemove,
	}
	return store.FlagChange{Mode: modes[args.Mode], Flags: args.Flags.System, Keywords: keywords}, nil
}

// tellStored writes the FETCH responses of STORE.
func (s *session) tellStored(set mail.UIDSet, now *store.View, uid bool) {
	s.box.told = slices.Grow(s.box.told, set.Len())
	for seq, e := range s.box.view.Seqs(set, now) {
		w := s.fetchWith(seq, e.Keywords)
		if uid || s.rev2 {
			w.UID(e.UID)
		}
		s.flags(&w, e)
		w.End()
		s.box.tell(e)
	}
}

// noteSilent notes what the client knows without being told: the messages whose
// flags are now what the change makes of the flags the client knew. If another
// session changed them too, the client is told at the end of the command.
func (s *session) noteSilent(set mail.UIDSet, now *store.View, c store.FlagChange) {
	for seq, e := range s.box.view.Seqs(set, now) {
		if flags, keywords := applied(s.box.view.At(seq), c); flags == e.Flags && keywords == e.Keywords {
			s.box.tell(e)
		}
	}
}

// applied is what c makes of the flags of e.
func applied(e store.Entry, c store.FlagChange) (mail.Flags, mail.Keywords) {
	switch c.Mode {
	case store.FlagsReplace:
		return c.Flags, c.Keywords
	case store.FlagsRemove:
		return e.Flags &^ c.Flags, e.Keywords.Without(c.Keywords.Names()...)
	}
	keywords, err := e.Keywords.With(c.Keywords.Names()...)
	if err != nil {
		return e.Flags, e.Keywords
	}
	return e.Flags | c.Flags, keywords
}
