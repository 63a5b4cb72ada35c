package imapd

import (
	"slices"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// roles are the special uses a mailbox can be given (RFC 6154 §2).
func roles() []mail.Role {
	return []mail.Role{mail.RoleDrafts, mail.RoleSent, mail.RoleArchive, mail.RoleJunk, mail.RoleTrash}
}

// roleOf returns the role of a special-use attribute, in any case.
func roleOf(attr string) (mail.Role, bool) {
	for _, r := range roles() {
		if strings.EqualFold(string(imap.RoleAttr(r)), attr) {
			return r, true
		}
	}
	return "", false
}

// listed is one LIST or LSUB response.
type listed struct {
	imap.Listed
	box *store.Mailbox // whose STATUS may follow; nil if it must not
}

// names is what LIST chooses from: the mailboxes of an account and the names it
// subscribed to, each sorted.
type names struct {
	boxes      []store.Mailbox
	subscribed []mail.MailboxName
}

// index maps the names of both lists to what is known of them, in the order of
// the mailboxes, then of the subscriptions without one.
func (n *names) index() []listedName {
	all := make([]listedName, 0, len(n.boxes))
	at := make(map[mail.MailboxName]int, len(n.boxes))
	for i := range n.boxes {
		b := &n.boxes[i]
		at[b.Name] = i
		all = append(all, listedName{name: b.Name, box: b})
	}
	for _, s := range n.subscribed {
		if i, ok := at[s]; ok {
			all[i].subscribed = true
			continue
		}
		at[s] = len(all)
		all = append(all, listedName{name: s, subscribed: true})
	}
	return all
}

// listedName is a mailbox, a subscription, or a level above one.
type listedName struct {
	name       mail.MailboxName
	box        *store.Mailbox // nil if there is no such mailbox
	subscribed bool
}

// list answers LIST (RFC 9051 §6.3.9, RFC 5258, RFC 6154).
func (n *names) list(cmd *imap.List, pause func() error) ([]listed, error) {
	ps := newPatterns(cmd.Reference, cmd.Patterns)
	all := n.index()
	chosen := func(l listedName) bool {
		switch {
		case cmd.Select.Subscribed && !l.subscribed,
			cmd.Select.SpecialUse && (l.box == nil || imap.RoleAttr(l.box.Role) == ""):
			return false
		}
		return l.box != nil || cmd.Select.Subscribed
	}
	var unmatchedBelow map[mail.MailboxName]bool
	if cmd.Select.RecursiveMatch {
		var err error
		if all, unmatchedBelow, err = withParents(all, chosen, ps, pause); err != nil {
			return nil, err
		}
	}
	var out []listed
	for _, l := range all {
		if err := pause(); err != nil {
			return nil, err
		}
		own := chosen(l)
		if (own || unmatchedBelow[l.name]) && ps.match(l.name) {
			_, below := unmatchedBelow[l.name]
			out = append(out, l.response(cmd, own, below))
		}
	}
	return out, nil
}

// withParents finds the names above chosen ones, and for each whether one of
// those below it matches no pattern, so that only CHILDINFO tells of it (RFC
// 9051 §6.3.9.6). It returns all with those names added that are neither
// mailboxes nor subscriptions.
func withParents(all []listedName, chosen func(listedName) bool, ps patterns, pause func() error) (
	[]listedName, map[mail.MailboxName]bool, error) {
	above := map[mail.MailboxName]bool{}
	known := make(map[mail.MailboxName]bool, len(all))
	for _, l := range all {
		known[l.name] = true
	}
	for _, l := range all {
		if err := pause(); err != nil {
			return nil, nil, err
		}
		if !chosen(l) {
			continue
		}
		unmatched := !ps.match(l.name)
		for p := l.name.Parent(); p != ""; p = p.Parent() {
			if was, seen := above[p]; seen && (was || !unmatched) {
				break // Nothing new for those above it either.
			}
			above[p] = unmatched
			if !known[p] {
				known[p] = true
				all = append(all, listedName{name: p})
			}
		}
	}
	return all, above, nil
}

// response makes the LIST response of l. own says that l itself was chosen,
// below that something under it was, under RECURSIVEMATCH.
func (l listedName) response(cmd *imap.List, own, below bool) listed {
	r := listed{Listed: imap.Listed{Name: string(l.name), ChildInfo: below}}
	switch {
	case l.box == nil:
		r.Attrs = append(r.Attrs, imap.AttrNonExistent)
	case own:
		r.box = l.box
	}
	if l.subscribed && (cmd.Select.Subscribed || cmd.Return.Subscribed) {
		r.Attrs = append(r.Attrs, imap.AttrSubscribed)
	}
	if l.box != nil {
		r.Attrs = append(r.Attrs, boxAttrs(l.box)...)
	}
	return r
}

// boxAttrs are the attributes that say what a mailbox is. They cost nothing, so
// every LIST response has them.
func boxAttrs(b *store.Mailbox) []imap.MailboxAttr {
	attrs := []imap.MailboxAttr{imap.AttrHasNoChildren}
	if b.HasChildren {
		attrs[0] = imap.AttrHasChildren
	}
	if use := imap.RoleAttr(b.Role); use != "" {
		attrs = append(attrs, use)
	}
	return attrs
}

// lsub answers LSUB (RFC 3501 §6.3.9): subscriptions that match, and under "%"
// the levels above those that do not, as \Noselect.
func (n *names) lsub(cmd *imap.List, pause func() error) ([]imap.Listed, error) {
	ps := newPatterns(cmd.Reference, cmd.Patterns)
	percent := slices.ContainsFunc(ps, func(p pattern) bool { return p.percent })
	var out []imap.Listed
	seen, exists, above := map[mail.MailboxName]bool{}, map[mail.MailboxName]bool{}, map[mail.MailboxName]bool{}
	for _, s := range n.subscribed {
		seen[s] = true
	}
	for i := range n.boxes {
		exists[n.boxes[i].Name] = true
	}
	for _, s := range n.subscribed {
		if err := pause(); err != nil {
			return nil, err
		}
		if ps.match(s) {
			l := imap.Listed{LSub: true, Name: string(s)}
			if !exists[s] {
				l.Attrs = []imap.MailboxAttr{imap.AttrNoSelect}
			}
			out = append(out, l)
			continue
		}
		for p := s.Parent(); percent && p != "" && !above[p]; p = p.Parent() {
			above[p] = true
			if !seen[p] && ps.match(p) {
				seen[p] = true
				out = append(out, imap.Listed{LSub: true, Name: string(p), Attrs: []imap.MailboxAttr{imap.AttrNoSelect}})
			}
		}
	}
	return out, nil
}
