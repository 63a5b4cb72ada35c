package transfer

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/maildir"
)

// ToMaildir is a Maildir as a Target.
type ToMaildir struct{ w *maildir.Writer }

// NewMaildir makes a Maildir at root, or goes on with one.
func NewMaildir(root *files.Place, l maildir.Layout, c maildir.Codec) (*ToMaildir, error) {
	w, err := maildir.Create(root, l, c)
	if err != nil {
		return nil, err
	}
	return &ToMaildir{w}, nil
}

// Box implements Target.
func (t *ToMaildir) Box(m store.Mailbox) (TargetBox, bool, error) {
	b, err := t.w.Folder(levelsOf(m.Name), m.UIDValidity)
	if err != nil {
		return nil, false, err
	}
	return &toMaildirBox{b, m.UIDNext}, false, nil
}

// Subscribe implements Target.
func (t *ToMaildir) Subscribe(names []mail.MailboxName) error {
	var list [][]string
	for _, n := range names {
		list = append(list, strings.Split(string(n), mail.MailboxSeparator))
	}
	return t.w.Subscribe(list)
}

// Close implements Target.
func (t *ToMaildir) Close() error { return t.w.Close() }

type toMaildirBox struct {
	*maildir.Box
	next mail.UID
}

func (b *toMaildirBox) message(r store.Row) maildir.Message {
	return maildir.Message{UID: r.UID, Flags: r.Flags, Keywords: r.Keywords.Names(), Received: r.Received}
}

func (b *toMaildirBox) Has(r store.Row) bool { return b.Box.Has(b.message(r)) }

func (b *toMaildirBox) Add(r store.Row, write func(io.Writer) error) error {
	b.next = max(b.next, r.UID+1)
	_, err := b.Box.Add(b.message(r), write)
	return err
}

func (b *toMaildirBox) Close() (notes []string, err error) {
	for k := range b.Left {
		notes = append(notes, fmt.Sprintf("the keyword %s is left out: a Maildir has room for %d", k, maildir.MaxKeywords))
	}
	slices.Sort(notes)
	return notes, b.Box.Close(b.next)
}

func (b *toMaildirBox) Drop() { _ = b.Box.Flush() }
