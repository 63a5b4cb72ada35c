package imapd

import (
	"cmp"
	"context"
	"slices"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// selected is the mailbox that a session has open, as its client knows it.
type selected struct {
	id       mail.MailboxID
	name     mail.MailboxName // when it was selected
	readOnly bool
	view     *store.View        // what the client has been told; its positions are the sequence numbers
	keep     store.Keep         // of view
	since    mail.ModSeq        // the client was told of all that vanished up to here
	named    store.KeywordNames // the last FLAGS response told these
	namedToo mail.Keywords      // and these, which a response after it has
	covered  mail.Keywords      // some of them: what the last FETCH response had
	wordRoom bool               // the client was told that it can make more
	recent   mail.UIDSet        // messages that are \Recent in this session; empty in rev2
	saved    mail.UIDSet        // "$"; names of messages long gone do no harm (RFC 5182)
	// told are the versions of messages that the client knows already though
	// view does not have them: its own changes, and what FETCH answered.
	told []version
}

// version is a message as it was at one moment.
type version struct {
	uid    mail.UID
	modseq mail.ModSeq
}

func (v version) compare(o version) int {
	return cmp.Or(cmp.Compare(v.uid, o.uid), cmp.Compare(v.modseq, o.modseq))
}

// tell notes that the client knows e.
func (b *selected) tell(e store.Entry) { b.told = append(b.told, version{e.UID, e.ModSeq}) }

// knows returns a function that says whether the client knows an entry. Entries
// must be asked for ascending.
func (b *selected) knows() func(store.Entry) bool {
	if !slices.IsSortedFunc(b.told, version.compare) {
		slices.SortFunc(b.told, version.compare)
	}
	told := b.told
	return func(e store.Entry) bool {
		v := version{e.UID, e.ModSeq}
		for len(told) > 0 && told[0].compare(v) < 0 {
			told = told[1:]
		}
		return len(told) > 0 && told[0] == v
	}
}

// lastUID is the highest UID that the client knows of; 0 in an empty mailbox.
func (b *selected) lastUID() mail.UID { return lastUID(b.view) }

func lastUID(v *store.View) mail.UID {
	if v.Len() == 0 {
		return 0
	}
	return v.At(v.Len()).UID
}

// see makes v what the client has been told of the mailbox.
func (s *session) see(v *store.View) {
	s.box.view = v
	s.srv.cfg.Messages.Keep(&s.box.keep, v, s.conn)
}

// countRecent counts the \Recent messages in view.
func (b *selected) countRecent() uint32 {
	n := 0
	for _, r := range b.recent {
		n += seqAfter(b.view, r.Last) - b.view.SeqCeil(r.First)
	}
	return uint32(n)
}

// seqAfter is the first position in v whose UID is over u.
func seqAfter(v *store.View, u mail.UID) int {
	if u == ^mail.UID(0) {
		return v.Len() + 1
	}
	return v.SeqCeil(u + 1)
}

// sync takes the current view of the mailbox and tells the client what changed.
// Without expunge, messages that vanished keep their numbers for now (RFC 9051
// §7.5.1).
func (s *session) sync(ctx context.Context, expunge bool) error {
	b := s.box
	if b == nil {
		return nil
	}
	now, err := s.currentView(ctx)
	if err != nil {
		return err
	}
	if expunge {
		b.since = now.ModSeq()
	} else {
		now = now.KeepVanished(b.view)
	}
	if now != b.view {
		s.announce(now)
	}
	b.told = nil
	return nil
}

// currentView returns the view of this moment. New messages that are \Recent
// for this session are noted.
func (s *session) currentView(ctx context.Context) (*store.View, error) {
	b := s.box
	now, err := s.srv.cfg.Messages.View(ctx, b.id)
	if err != nil {
		return nil, goneAsBye(err)
	}
	if s.rev2 || b.readOnly || lastUID(now) <= b.lastUID() {
		return now, nil
	}
	return s.takeRecent(ctx)
}

// takeRecent claims the messages that nobody has been told of as \Recent, and
// returns a view that holds them all.
func (s *session) takeRecent(ctx context.Context) (*store.View, error) {
	first, err := s.srv.cfg.Messages.TakeRecent(ctx, s.box.id)
	if err != nil {
		return nil, goneAsBye(err)
	}
	now, err := s.srv.cfg.Messages.View(ctx, s.box.id)
	if err != nil {
		return nil, goneAsBye(err)
	}
	if last := lastUID(now); first != 0 && first <= last {
		s.box.recent.AddRange(first, last)
	}
	return now, nil
}

// goneAsBye turns NotFound of the selected mailbox into the end of the session.
func goneAsBye(err error) error {
	if mail.KindOf(err) == mail.NotFound {
		return &bye{imap.CodeNonExistent, "the selected mailbox was deleted"}
	}
	return err
}

// announce tells the difference between the session's view and now, which
// becomes the session's view.
func (s *session) announce(now *store.View) {
	b := s.box
	s.nameKeywords(now)
	delta := store.Diff(b.view, now)
	for i := len(delta.Vanished) - 1; i >= 0; i-- { // From the end, so that no number shifts.
		if seq, known := b.view.Seq(delta.Vanished[i]); known {
			s.out.Expunge(uint32(seq))
		}
	}
	s.see(now)
	if delta.Added > 0 {
		s.out.Exists(uint32(now.Len()))
		if !s.rev2 {
			s.out.Recent(b.countRecent())
		}
	}
	known := b.knows()
	for seq, e := range now.Seqs(delta.Changed, now) {
		if !known(e) {
			s.tellFlags(seq, e)
		}
	}
}

// tellFlags writes an unsolicited FETCH, which has the UID (RFC 9051 §7.5.2).
func (s *session) tellFlags(seq int, e store.Entry) {
	f := s.fetchWith(seq, e.Keywords)
	f.UID(e.UID)
	s.flags(&f, e)
	f.End()
}

// fetchWith begins the FETCH response of a message whose flags will be told. The
// keywords come out of a view or a row of any moment, and so may be newer than
// what was named or older, freed since: those that the last FLAGS response lacks
// are named before (RFC 9051 §7.3.5).
func (s *session) fetchWith(seq int, k mail.Keywords) imap.Fetched {
	if b := s.box; k != "" && k != b.covered {
		if !b.named.Has(k) && !b.named.Has(k.Without(b.namedToo.Names()...)) {
			s.nameMore(k)
		}
		b.covered = k
	}
	return s.out.Fetch(uint32(seq))
}

// flags writes the flags of e into a response that fetchWith began.
func (s *session) flags(w *imap.Fetched, e store.Entry) {
	w.Flags(e.Flags, e.Keywords, s.box.recent.Contains(e.UID))
}
