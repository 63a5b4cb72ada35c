package feedback

import (
	"slices"
	"strings"

	"yubin/internal/engine/history"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// story is what happened to an email between two looks, commit by commit.
type story struct {
	email mail.EmailID
	steps []step

	standing bool          // it is to be known how it stands now
	placed   bool          // and where: what it says could be another thing later
	left     *store.Change // how it was expunged, if that is of interest
}

// step is what one commit did to an email.
type step struct {
	at       mail.ModSeq
	created  bool // it came to be, in Junk
	flagged  bool
	expunged bool // it left the last mailbox
	into     []mail.Role
	from     []mail.Role
}

// tell reads changes, which are whole commits, and gives what they say of emails that
// something may be learned from, in the order in which they come.
func tell(list []store.Change, roles map[mail.MailboxID]mail.Role) (all []*story) {
	of := make(map[mail.EmailID]*story)
	at := func(c store.Change) (*story, *step) {
		s := of[c.Email]
		if s == nil {
			s = &story{email: c.Email}
			of[c.Email] = s
			all = append(all, s)
		}
		if n := len(s.steps); n == 0 || s.steps[n-1].at != c.ModSeq {
			s.steps = append(s.steps, step{at: c.ModSeq})
		}
		return s, &s.steps[len(s.steps)-1]
	}
	for i := range list {
		c := list[i]
		role := roles[c.Mailbox]
		switch c.Kind {
		case store.EmailCreated:
			if role == mail.RoleJunk {
				s, step := at(c)
				s.standing, s.placed, step.created = true, true, true
			}
		case store.EmailAdded:
			s, step := at(c)
			step.into = append(step.into, role)
			if role == mail.RoleTrash {
				s.standing, s.placed = true, true
			}
		case store.EmailRemoved:
			s, step := at(c)
			step.from = append(step.from, role)
			if role == mail.RoleJunk {
				s.standing, s.placed = true, true
			}
		case store.EmailFlagged:
			s, step := at(c)
			s.standing, step.flagged = true, true
		case store.EmailDestroyed:
			s, step := at(c)
			step.expunged = true
			s.left = nil
			if readThere(role) {
				s.left = &list[i]
			}
		}
	}
	return all
}

// readThere says that a mailbox is one whose mail is read, so that it means something
// if some was not.
func readThere(role mail.Role) bool {
	switch role {
	case mail.RoleJunk, mail.RoleTrash, mail.RoleDrafts, mail.RoleSent:
		return false
	}
	return true
}

// throwaway is the role that a mailbox without one is taken to have, if it is called as
// one for junk or trash usually is: what is moved there is not kept.
const throwaway mail.Role = "throwaway"

// keptThere says that a mailbox is one into which people file what they want to keep.
func keptThere(role mail.Role) bool {
	switch role {
	case "", mail.RoleArchive, mail.RoleFlagged:
		return true
	}
	return false
}

// seenNow is what a look saw of an email.
type seenNow struct {
	now   []store.Standing
	left  mail.Flags // when it was expunged
	known bool       // left is
	roles map[mail.MailboxID]mail.Role
}

// words is what the keywords of an email call it now; unclear if they contradict each
// other, or there is no email.
func (s *seenNow) words() (l label, clear bool) {
	var isJunk, isHam bool
	for _, st := range s.now {
		for _, name := range st.Keywords.Names() {
			switch keywordLabel(name) {
			case junk:
				isJunk = true
			case ham:
				isHam = true
			}
		}
	}
	switch {
	case len(s.now) == 0 || isJunk && isHam:
		return none, false
	case isJunk:
		return junk, true
	case isHam:
		return ham, true
	}
	return none, true
}

// keywordLabel is what a keyword says. $Junk and $NotJunk are IANA's.
// Quirk: Thunderbird sets Junk and NonJunk, Apple Mail Junk and NotJunk beside them.
func keywordLabel(name string) label {
	switch strings.ToLower(name) {
	case "$junk", "junk":
		return junk
	case "$notjunk", "notjunk", "nonjunk":
		return ham
	}
	return none
}

// elsewhere says whether an email is in a mailbox that is neither Junk nor Trash.
func (s *seenNow) elsewhere() bool {
	return slices.ContainsFunc(s.now, func(st store.Standing) bool {
		role := s.roles[st.Mailbox]
		return role != mail.RoleJunk && role != mail.RoleTrash
	})
}

// answered says whether an email has \Answered anywhere.
func (s *seenNow) answered() bool {
	return slices.ContainsFunc(s.now, func(st store.Standing) bool { return st.Flags&mail.Answered != 0 })
}

// answeredAsMail says whether an email has \Answered where other people's mail is that
// is not junk, or was.
func (s *seenNow) answeredAsMail() bool {
	return slices.ContainsFunc(s.now, func(st store.Standing) bool {
		role := s.roles[st.Mailbox]
		return st.Flags&mail.Answered != 0 && (readThere(role) || role == mail.RoleTrash)
	})
}

// unreadInTrash says whether an email is in Trash without ever having been seen.
func (s *seenNow) unreadInTrash() bool {
	for _, st := range s.now {
		if st.Flags&mail.Seen != 0 {
			return false
		}
	}
	return slices.ContainsFunc(s.now, func(st store.Standing) bool { return s.roles[st.Mailbox] == mail.RoleTrash })
}

// read goes through a story with what is known of the email, and gives what is known
// then and what its owner did. The mark of an email that is gone is what it was called.
func (s *story) read(m mark, seen *seenNow) (now mark, acts []history.Act) {
	was := m.called()
	lastFlagged := -1
	for i, st := range s.steps {
		if st.flagged {
			lastFlagged = i
		}
	}
	once := func(bit mark, act history.Act) {
		if !m.has(bit) {
			m = m.with(bit)
			acts = append(acts, act)
		}
	}
	for i, st := range s.steps {
		words, clear := seen.words()
		if st.created && words == junk {
			m = m.wordIs(junk) // Who put it there said so.
		}
		m = st.moved(m, seen)
		if i == lastFlagged {
			if clear && words != m.word() {
				m = reworded(m, words)
			}
			if seen.answered() {
				once(answered, history.Answered)
			}
			if seen.answeredAsMail() {
				m = m.with(kept)
			}
		}
		if slices.Contains(st.from, mail.RoleInbox) && slices.ContainsFunc(st.into, keptThere) {
			once(filed, history.Filed)
			m = m.with(kept)
		}
		if slices.Contains(st.into, mail.RoleTrash) && !slices.Contains(st.from, mail.RoleJunk) && m.called() != junk && seen.unreadInTrash() {
			once(unread, history.DeletedUnread)
		}
		if st.expunged && s.left != nil && i == len(s.steps)-1 && seen.known && seen.left&mail.Seen == 0 && m.called() != junk {
			once(unread, history.DeletedUnread)
		}
	}
	if is := m.called(); is != was {
		acts = append(acts, renamed(was, is)...)
	}
	return m, acts
}

// moved says how an email is called after a commit that moved it.
func (st *step) moved(m mark, seen *seenNow) mark {
	fromJunk := slices.Contains(st.from, mail.RoleJunk)
	switch {
	case fromJunk && slices.Contains(st.into, mail.RoleJunk):
		// It only got another number there.
	case slices.Contains(st.into, mail.RoleJunk):
		m = m.callIt(junk).without(copied)
		if len(st.from) == 0 {
			m = m.with(copied)
		}
	case fromJunk && len(st.into) == 0 && m.has(copied):
		m = m.callIt(none).without(copied)
	case fromJunk && len(st.into) == 0:
		if seen.elsewhere() {
			m = m.callIt(ham)
		}
	case fromJunk:
		m = m.without(copied)
		if slices.ContainsFunc(st.into, func(r mail.Role) bool { return r != mail.RoleTrash }) {
			m = m.callIt(ham)
		}
	case len(st.from) > 0 && len(st.into) == 0:
		m = m.without(copied) // What is left of it is the copy.
	}
	return m
}

// reworded says how an email is called after its keywords changed.
func reworded(m mark, words label) mark {
	switch was := m.word(); {
	case words != none:
		m = m.callIt(words).without(copied)
	case was == junk:
		m = m.callIt(ham).without(copied)
	case m.called() == ham: // $NotJunk was taken back.
		m = m.callIt(none)
	}
	return m.wordIs(words)
}

// renamed is what it means that an email is called otherwise.
func renamed(was, is label) (acts []history.Act) {
	switch was {
	case junk:
		acts = append(acts, history.Unjunked)
	case ham:
		acts = append(acts, history.Uncleared)
	}
	switch is {
	case junk:
		acts = append(acts, history.Junked)
	case ham:
		acts = append(acts, history.Cleared)
	}
	return acts
}
