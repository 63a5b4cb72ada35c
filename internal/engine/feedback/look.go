package feedback

import (
	"context"
	"errors"
	"maps"
	"slices"

	"yubin/internal/engine/history"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// look tells one batch of what changed in an account; more says that there is more.
func (f *Follower) look(ctx context.Context, account mail.AccountID) (more bool, err error) {
	f.looking.Lock()
	defer f.looking.Unlock()
	from, err := f.where(ctx, account)
	if err != nil {
		return false, err
	}
	list, to, more, err := f.changes(ctx, account, from.at)
	switch {
	case errors.Is(err, store.ErrCannotCalculate):
		return false, f.skip(ctx, account, from)
	case err != nil && mail.KindOf(err) == mail.NotFound:
		delete(f.ahead, account)
		return false, f.forget(ctx, account)
	case err != nil:
		return false, err
	}
	t, err := f.find(ctx, account, list)
	if err == nil {
		err = t.teach(ctx)
	}
	if err != nil {
		return false, err
	}
	err = f.settle(ctx, t, from, to)
	if err == errOvertaken {
		delete(f.ahead, account)
		return true, nil
	}
	return more, err
}

// changes reads some changes after a ModSeq, whole commits.
func (f *Follower) changes(ctx context.Context, account mail.AccountID, since mail.ModSeq) (list []store.Change, to mail.ModSeq, more bool, err error) {
	state := store.ChangeState{ModSeq: since}
	for {
		c, err := f.o.Store.Changes(ctx, account, state, batchChanges)
		if err != nil {
			return nil, 0, false, err
		}
		list, state = append(list, c.List...), c.State
		if !c.More {
			return list, state.ModSeq, false, nil
		}
		if state.Part == 0 {
			return list, state.ModSeq, true, nil
		}
		if n := len(list) - state.Part; n > 0 { // The commits before the one that was cut.
			return list[:n], state.ModSeq, true, nil
		}
	}
}

// skip goes on from now.
func (f *Follower) skip(ctx context.Context, account mail.AccountID, from ahead) error {
	states, err := f.o.Store.AccountStates(ctx, account-1, 1)
	if err != nil {
		return err
	}
	if len(states) == 0 || states[0].Account != account {
		return nil
	}
	f.o.Log.Warn("what somebody did with his mail is not known that far back; it is learned from now on",
		"account", int64(account), "since", int64(from.at), "now", int64(states[0].ModSeq))
	return f.settle(ctx, &findings{f: f, account: account}, from, states[0].ModSeq)
}

// findings are what a look found out.
type findings struct {
	f       *Follower
	account mail.AccountID
	marks   map[mail.EmailID]mark // those that changed; 0 for none any more
	calls   map[label][]mail.EmailID
	deeds   []history.Deed
	placed  bool // what was found could be another thing at another time
}

// find finds out what changes mean.
func (f *Follower) find(ctx context.Context, account mail.AccountID, list []store.Change) (*findings, error) {
	t := &findings{f: f, account: account, marks: make(map[mail.EmailID]mark), calls: make(map[label][]mail.EmailID)}
	if !slices.ContainsFunc(list, func(c store.Change) bool { return c.Email != 0 }) {
		return t, nil
	}
	roles, err := f.o.Store.Roles(ctx, account)
	if err != nil {
		return nil, err
	}
	if err := f.nameThrowaways(ctx, account, list, roles); err != nil {
		return nil, err
	}
	stories := tell(list, roles)
	for some := range slices.Chunk(stories, store.MaxStandings) {
		if err := t.readSome(ctx, some, roles); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// nameThrowaways gives mailboxes without a role that one, if something came into one.
func (f *Follower) nameThrowaways(ctx context.Context, account mail.AccountID, list []store.Change, roles map[mail.MailboxID]mail.Role) error {
	if !slices.ContainsFunc(list, func(c store.Change) bool { return c.Kind == store.EmailAdded && roles[c.Mailbox] == "" }) {
		return nil
	}
	boxes, err := f.o.Store.Mailboxes(ctx, account)
	for _, b := range boxes {
		if role := mail.UsualRole(b.Name); b.Role == "" && (role == mail.RoleJunk || role == mail.RoleTrash) {
			roles[b.ID] = throwaway
		}
	}
	return err
}

// readSome reads stories, with what the store and the marks say of their emails.
func (t *findings) readSome(ctx context.Context, stories []*story, roles map[mail.MailboxID]mail.Role) error {
	var emails, standing []mail.EmailID
	var left []store.Change
	for _, s := range stories {
		emails = append(emails, s.email)
		if s.standing {
			standing = append(standing, s.email)
		}
		if s.left != nil {
			left = append(left, *s.left)
		}
	}
	known, err := t.f.marks(ctx, t.account, emails)
	if err != nil {
		return err
	}
	var now map[mail.EmailID][]store.Standing
	if len(standing) > 0 {
		if now, err = t.f.o.Store.Standings(ctx, t.account, standing); err != nil {
			return err
		}
	}
	var flags map[mail.EmailID]mail.Flags
	if len(left) > 0 {
		if flags, err = t.f.o.Store.LeftWith(ctx, left); err != nil {
			return err
		}
	}
	acts := make(map[mail.EmailID][]history.Act)
	many := 0
	for _, s := range stories {
		seen := &seenNow{now: now[s.email], roles: roles}
		seen.left, seen.known = flags[s.email]
		was := known[s.email]
		is, did := s.read(was, seen)
		t.placed = t.placed || s.placed
		did = slices.DeleteFunc(did, func(a history.Act) bool {
			if a == history.Filed || a == history.DeletedUnread {
				many++
			}
			return many > maxDeeds && (a == history.Filed || a == history.DeletedUnread)
		})
		if len(did) > 0 {
			acts[s.email] = did
		}
		if many > maxDeeds {
			is = is.without(kept) | was&kept
		}
		if l := is.lesson(); l != was.lesson() {
			t.calls[l] = append(t.calls[l], s.email)
		}
		if s.steps[len(s.steps)-1].expunged {
			is = 0
		}
		if is != was {
			t.marks[s.email] = is
		}
	}
	return t.name(ctx, acts)
}

// name finds out with whose mail acts were done.
func (t *findings) name(ctx context.Context, acts map[mail.EmailID][]history.Act) error {
	if len(acts) == 0 {
		return nil
	}
	emails := slices.Sorted(maps.Keys(acts))
	origins, err := t.f.o.Store.Origins(ctx, t.account, emails)
	if err != nil {
		return err
	}
	for _, id := range emails {
		origin, there := origins[id]
		if !there {
			continue
		}
		who := history.Of(origin)
		for _, act := range acts[id] {
			t.deeds = append(t.deeds, history.Deed{Of: who, Act: act})
		}
	}
	return nil
}

// teach has lessons learned and unlearned.
func (t *findings) teach(ctx context.Context) error {
	to := t.f.o.Lessons
	if list := t.calls[none]; len(list) > 0 {
		if err := to.Unlearn(ctx, t.account, list); err != nil {
			return err
		}
	}
	if list := t.calls[wanted]; len(list) > 0 {
		if err := to.LearnKept(ctx, t.account, list); err != nil {
			return err
		}
	}
	for _, l := range []label{junk, ham} {
		if list := t.calls[l]; len(list) > 0 {
			if err := to.Learn(ctx, t.account, list, l == junk); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle writes what was found and moves the cursor. If nothing was, and nothing would
// be by who reads the same again, only memory knows how far it came, for a while.
func (f *Follower) settle(ctx context.Context, t *findings, from ahead, to mail.ModSeq) error {
	if !t.placed && len(t.marks)+len(t.deeds) == 0 && to < from.stored+cursorLag && len(f.ahead) < maxAhead {
		f.ahead[t.account] = ahead{at: to, stored: from.stored}
		return nil
	}
	delete(f.ahead, t.account)
	err := f.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		if err := advance(tx, t.account, from, to); err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(t.marks)) {
			writeMark(tx, t.account, id, t.marks[id])
		}
		if to/cursorLag != from.stored/cursorLag {
			trimMarks(tx, t.account)
		}
		f.o.Acquaintances.Acted(tx, t.account, t.deeds)
		return nil
	})
	if err == nil {
		f.ahead[t.account] = ahead{at: to, stored: to}
	}
	return err
}
