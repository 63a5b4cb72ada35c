package imapc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"yubin/internal/engine/transfer"
	"yubin/internal/mail"
)

// Source is the mail of the user that a Client logged in as.
type Source struct {
	Client *Client
	Name   string // of the user and server, for rows: the same each time
	Views  bool   // also mailboxes that show mail of others, as Gmail's "All Mail"

	raw map[string]string // mailbox names as the server writes them, by Folder.Origin
}

// Kind implements transfer.Source.
func (s *Source) Kind() string { return "imap" }

// Parallel implements transfer.Source: there is one connection.
func (s *Source) Parallel() int { return 1 }

// special are the attributes of mailboxes (RFC 6154 §2).
var special = map[string]mail.Role{`\sent`: mail.RoleSent, `\drafts`: mail.RoleDrafts, `\trash`: mail.RoleTrash,
	`\junk`: mail.RoleJunk, `\archive`: mail.RoleArchive, `\all`: mail.RoleAll, `\flagged`: mail.RoleFlagged}

// listed is a response to LIST.
type listed struct {
	attributes []string
	separator  string
	name       string
}

func (l listed) has(attribute string) bool { return slices.Contains(l.attributes, attribute) }

// Folders implements transfer.Source.
func (s *Source) Folders(ctx context.Context) (list []transfer.Folder, problems []transfer.Failure, err error) {
	defer s.Client.watch(ctx)()
	prefix, err := s.Client.namespace()
	if err != nil {
		return nil, nil, err
	}
	found, err := s.Client.listAll(prefix)
	if err != nil {
		return nil, nil, err
	}
	s.raw = make(map[string]string)
	told := make(map[string]bool) // names that are listed by both patterns
	for _, l := range found {
		if l.has(`\noselect`) || l.has(`\nonexistent`) || !s.Views && (l.has(`\all`) || l.has(`\flagged`) || l.has(`\important`)) {
			continue
		}
		f, err := s.folder(l, prefix)
		if err != nil && !told[l.name] {
			told[l.name] = true
			problems = append(problems, transfer.Failure{Folder: printable(l.name), Reason: err.Error()})
		}
		if err != nil {
			continue
		}
		if _, twice := s.raw[f.Origin]; !twice {
			s.raw[f.Origin] = l.name
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b transfer.Folder) int { return slices.Compare(a.Levels, b.Levels) })
	return list, problems, nil
}

// folder reads a name. The prefix of the personal namespace ("INBOX." of Cyrus
// and Courier) is no level of it.
func (s *Source) folder(l listed, prefix string) (f transfer.Folder, err error) {
	raw := l.name
	if rest, below := strings.CutPrefix(raw, prefix); below && rest != "" {
		raw = rest
	}
	levels := []string{raw}
	if l.separator != "" {
		levels = strings.Split(raw, l.separator)
	}
	for i, level := range levels {
		var ok bool
		if levels[i], ok = decodeName(level); !ok {
			return f, mail.Errorf(mail.Invalid, "its name is no modified UTF-7 (RFC 3501 §5.1.3)")
		}
		if levels[i] == "" {
			return f, mail.Errorf(mail.Invalid, "its name has nothing before, between or behind %q, which parts levels", l.separator)
		}
	}
	f = transfer.Folder{Levels: levels, Source: strings.Join(levels, mail.MailboxSeparator), Origin: s.Name + "/" + l.name,
		Subscribed: l.has(`\subscribed`)}
	for _, a := range l.attributes {
		if role := special[a]; role != "" {
			f.Role = role
		}
	}
	return f, nil
}

// namespace is the prefix of the user's own mailboxes.
func (c *Client) namespace() (prefix string, err error) {
	if !c.caps["NAMESPACE"] {
		return "", nil
	}
	err = c.do("NAMESPACE", func(r *response) error {
		if r.word != "NAMESPACE" {
			return nil
		}
		r.space()
		first := true
		if r.peek() != '(' {
			return r.err
		}
		r.list(func() {
			r.list(func() {
				if first {
					prefix, first = r.str(), false
					return
				}
				r.skip(0)
			})
		})
		return r.err
	})
	return prefix, ignoreRefusal(err)
}

func ignoreRefusal(err error) error {
	var no *refusal
	if errors.As(err, &no) {
		return nil
	}
	return err
}

// listAll lists INBOX and what is below the prefix, with attributes and what is
// subscribed.
func (c *Client) listAll(prefix string) (all []listed, err error) {
	take := func(r *response) error {
		if r.word != "LIST" || len(all) >= MaxList {
			return nil
		}
		l := r.listed()
		all = append(all, l)
		return r.err
	}
	options := ""
	if c.caps["LIST-EXTENDED"] {
		options = " RETURN (SUBSCRIBED)"
		if c.caps["SPECIAL-USE"] {
			options = " RETURN (SUBSCRIBED SPECIAL-USE)"
		}
	}
	for _, pattern := range []string{"INBOX", prefix + "*"} {
		if err := c.do("LIST \"\" "+quote(pattern)+options, take); err != nil {
			return nil, err
		}
	}
	if options != "" {
		return all, nil
	}
	return all, c.subscribed(all)
}

// subscribed adds what LSUB tells.
func (c *Client) subscribed(all []listed) error {
	err := c.do(`LSUB "" "*"`, func(r *response) error {
		if r.word != "LSUB" {
			return nil
		}
		l := r.listed()
		for i := range all {
			if all[i].name == l.name && !l.has(`\noselect`) {
				all[i].attributes = append(all[i].attributes, `\subscribed`)
			}
		}
		return r.err
	})
	return ignoreRefusal(err)
}

// listed reads `(\HasNoChildren) "." INBOX.Sent`.
func (r *response) listed() (l listed) {
	r.space()
	r.list(func() { l.attributes = append(l.attributes, strings.ToLower(r.atom())) })
	r.space()
	l.separator = r.str()
	r.space()
	l.name = r.str()
	if strings.EqualFold(l.name, string(mail.Inbox)) {
		l.name = string(mail.Inbox)
	}
	return l
}

// Open implements transfer.Source.
func (s *Source) Open(ctx context.Context, f transfer.Folder) (transfer.Mailbox, error) {
	defer s.Client.watch(ctx)()
	b := &mailbox{c: s.Client}
	err := s.Client.do("EXAMINE "+quote(s.raw[f.Origin]), func(r *response) error {
		switch {
		case r.word == "EXISTS":
			b.exists = r.number
		case r.word == "OK":
			b.code(r)
		}
		return nil
	})
	var no *refusal
	if errors.As(err, &no) {
		return nil, mail.Errorf(mail.Forbidden, "it cannot be opened: %w", err)
	}
	if b.sticky {
		b.validity, b.next = 0, 0
	}
	return b, err
}

// mailbox is an open mailbox.
type mailbox struct {
	c        *Client
	exists   uint64
	validity mail.UIDValidity
	next     mail.UID
	sticky   bool // UIDs do not stay (RFC 4315 §2)
}

// code reads a response code; what is no number is none.
func (b *mailbox) code(r *response) {
	text := strings.TrimPrefix(r.rest(), "[")
	code, _, _ := strings.Cut(text, "]")
	name, value, _ := strings.Cut(code, " ")
	var n uint32
	_, err := fmt.Sscan(value, &n)
	switch {
	case strings.EqualFold(name, "UIDNOTSTICKY"):
		b.sticky = true
	case err != nil:
	case strings.EqualFold(name, "UIDVALIDITY"):
		b.validity = mail.UIDValidity(n)
	case strings.EqualFold(name, "UIDNEXT"):
		b.next = mail.UID(n)
	}
}

func (b *mailbox) Numbering() (mail.UIDValidity, mail.UID) { return b.validity, b.next }

// Problems implements transfer.Mailbox.
func (b *mailbox) Problems() []transfer.Failure { return nil }

func (b *mailbox) Close() error { return nil }

// Messages implements transfer.Mailbox.
func (b *mailbox) Messages(ctx context.Context) (list []transfer.Message, err error) {
	defer b.c.watch(ctx)()
	if b.exists == 0 {
		return nil, nil
	}
	err = b.c.do("UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)", func(r *response) error {
		if r.word != "FETCH" {
			return nil
		}
		var m transfer.Message
		r.fetch(&m, nil)
		if m.UID != 0 {
			m.Key = fmt.Sprintf("%d.%d", b.validity, m.UID)
			m.Where = fmt.Sprintf("UID %d", m.UID)
			list = append(list, m)
		}
		return r.err
	})
	if err != nil {
		return nil, explain(err)
	}
	slices.SortFunc(list, func(a, b transfer.Message) int { return int(int64(a.UID) - int64(b.UID)) })
	return slices.CompactFunc(list, func(a, b transfer.Message) bool { return a.UID == b.UID }), nil
}

// explain makes a refusal one of a mailbox.
func explain(err error) error {
	var no *refusal
	if errors.As(err, &no) {
		return mail.Errorf(mail.Forbidden, "it cannot be read: %w", err)
	}
	return err
}

// fetch reads the items of a FETCH response. body is called for the message's
// octets, with what is known so far.
func (r *response) fetch(m *transfer.Message, body func(io.Reader)) {
	r.space()
	r.list(func() {
		name := strings.ToUpper(r.atom())
		r.space()
		switch {
		case name == "UID":
			m.UID = mail.UID(r.getNumber())
		case name == "RFC822.SIZE":
			m.Size = int64(r.getNumber())
		case name == "FLAGS":
			r.list(func() { r.flag(m) })
		case name == "INTERNALDATE":
			m.Received = r.date()
		case strings.HasPrefix(name, "BODY[]") && body != nil && (r.peek() == '{' || r.peek() == '~'):
			r.announced()
			body(r.body())
			r.resume()
		case strings.HasPrefix(name, "BODY[]") && body != nil:
			body(strings.NewReader(r.str()))
		default:
			r.skip(0)
		}
	})
}

func (r *response) flag(m *transfer.Message) {
	name := r.atom()
	if f, ok := mail.ParseFlag(name); ok {
		m.Flags |= f
	} else if !strings.HasPrefix(name, `\`) && len(m.Keywords) < mail.MaxKeywords {
		m.Keywords = append(m.Keywords, name)
	}
}

func (r *response) date() time.Time {
	text := r.str()
	at, err := time.Parse("_2-Jan-2006 15:04:05 -0700", strings.TrimSpace(text))
	if err != nil {
		r.fail("date")
	}
	return at
}

// Read implements transfer.Mailbox. Some commands are on their way at a time.
// Where the server refuses one, its messages are asked for one by one.
func (b *mailbox) Read(ctx context.Context, list []transfer.Message, each func(int, func(io.Writer) error) error) error {
	defer b.c.watch(ctx)()
	f := &fetching{b: b, at: make(map[mail.UID]int, len(list)), each: each}
	for i, m := range list {
		f.at[m.UID] = i
	}
	refused, err := f.all(list)
	if err != nil {
		return err
	}
	for _, m := range refused {
		if err := f.one(m); err != nil {
			return err
		}
	}
	return nil
}

// all fetches messages, and returns those that were in a command that was
// refused and did not come.
func (f *fetching) all(list []transfer.Message) (refused []transfer.Message, err error) {
	type command struct {
		tag  string
		list []transfer.Message
	}
	var on []command
	for len(list) > 0 || len(on) > 0 {
		if len(list) > 0 && len(on) < fetchAtOnce {
			n := min(messagesAPart, len(list))
			tag, err := f.send(list[:n])
			if err != nil {
				return nil, err
			}
			on, list = append(on, command{tag, list[:n]}), list[n:]
			continue
		}
		var no *refusal
		err := f.b.c.await(on[0].tag, f.take)
		if err != nil && !errors.As(err, &no) {
			return nil, err
		}
		if f.fatal != nil {
			return nil, f.fatal
		}
		for _, m := range on[0].list {
			if _, left := f.at[m.UID]; left && err != nil {
				refused = append(refused, m)
			}
		}
		on = on[1:]
	}
	return refused, nil
}

func (f *fetching) send(list []transfer.Message) (tag string, err error) {
	return f.b.c.send("UID FETCH " + uidSet(list) + " (UID BODY.PEEK[])")
}

// one fetches a message, and tells each if it is refused.
func (f *fetching) one(m transfer.Message) error {
	tag, err := f.send([]transfer.Message{m})
	if err != nil {
		return err
	}
	var no *refusal
	err = f.b.c.await(tag, f.take)
	if errors.As(err, &no) {
		return f.each(f.at[m.UID], func(io.Writer) error { return explain(err) })
	}
	if f.fatal != nil {
		return f.fatal
	}
	return err
}

func uidSet(list []transfer.Message) string {
	var set mail.UIDSet
	for _, m := range list {
		set.Add(m.UID)
	}
	return set.String()
}

// fetching is one Read.
type fetching struct {
	b     *mailbox
	at    map[mail.UID]int
	each  func(int, func(io.Writer) error) error
	fatal error // of each; it ends all
}

// take hands a message over as its octets come; if its UID comes later, after
// that.
func (f *fetching) take(r *response) error {
	if r.word != "FETCH" {
		return nil
	}
	var m transfer.Message
	var held []byte
	r.fetch(&m, func(body io.Reader) {
		if m.UID != 0 {
			f.hand(m.UID, body, &r.err)
			return
		}
		b, err := io.ReadAll(io.LimitReader(body, MaxHeld+1))
		if held = b; err != nil {
			r.err = err
		} else if len(b) > MaxHeld {
			r.fail("UID before a large message")
		}
	})
	if held != nil && r.err == nil {
		f.hand(m.UID, bytes.NewReader(held), &r.err)
	}
	return r.err
}

// hand gives a message to each, once. A failure of the connection goes to lost.
func (f *fetching) hand(uid mail.UID, from io.Reader, lost *error) {
	i, wanted := f.at[uid]
	if !wanted || f.fatal != nil {
		return
	}
	delete(f.at, uid)
	err := f.each(i, func(w io.Writer) error {
		in := &watched{r: from}
		_, err := io.CopyBuffer(struct{ io.Writer }{w}, in, make([]byte, 32<<10))
		if in.err != nil {
			*lost = in.err
		}
		return err
	})
	if f.fatal == nil {
		f.fatal = err
	}
}

// watched remembers that reading failed.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
