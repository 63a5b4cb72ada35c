package server

import (
	"context"
	"iter"
	"strings"
	"time"

	"yubin/internal/engine/search"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/server/admin"
)

// restorer puts back what was expunged.
type restorer struct {
	s   *Store
	now func() time.Time
}

// RestoreMail implements admin.Lost.
func (l restorer) RestoreMail(ctx context.Context, account mail.Address, in admin.RestoreMail, found func(admin.LostMessage), progress func(int)) (admin.RestoredMail, error) {
	out := admin.RestoredMail{Account: account.String(), DryRun: in.DryRun, Keep: int64(l.s.mail.Retention().Expunged / time.Second)}
	r := restoring{s: l.s.mail, out: &out, in: in, found: found}
	q, err := r.query(l.now())
	if err != nil {
		return out, err
	}
	a, err := l.s.directory.Account(ctx, account)
	if err != nil {
		return out, err
	}
	r.account = a.ID
	for {
		list, next, err := l.s.mail.Lost(ctx, r.account, q)
		if err == nil {
			err = r.page(ctx, list)
		}
		if err != nil || next == nil || out.More {
			return out, err
		}
		progress(out.Messages)
		q.After = *next
	}
}

// restoring is one RestoreMail.
type restoring struct {
	s       *store.Store
	account mail.AccountID
	in      admin.RestoreMail
	out     *admin.RestoredMail
	found   func(admin.LostMessage)
	words   *search.Program // nil: whatever they say
	into    mail.MailboxName
}

// query reads what was asked for. What is expunged from now on is not meant.
func (r *restoring) query(now time.Time) (q store.LostQuery, err error) {
	q.Until = now
	if r.in.Since != nil {
		q.Since = *r.in.Since
	}
	if r.in.Until != nil && r.in.Until.Before(now) {
		q.Until = *r.in.Until
	}
	if q.Since.After(q.Until) {
		return q, mail.Errorf(mail.Invalid, "nothing was expunged since %s: that is later than the end", q.Since.Format(time.DateTime))
	}
	if r.in.Mailbox != "" {
		if q.Mailbox, err = mail.ParseMailboxName(r.in.Mailbox); err != nil {
			return q, err
		}
	}
	if r.in.Into != "" {
		if r.into, err = mail.ParseMailboxName(r.in.Into); err != nil {
			return q, err
		}
	}
	words := strings.Fields(r.in.Search)
	if len(r.in.Search) > admin.MaxSearch || len(words) > admin.MaxSearchWords {
		return q, mail.Errorf(mail.TooLarge, "at most %d words of %d octets together can be searched for", admin.MaxSearchWords, admin.MaxSearch)
	}
	if len(words) > 0 {
		all := search.Criteria{Op: search.And}
		for _, w := range words {
			all.Keys = append(all.Keys, search.Criteria{Op: search.Text, Text: w})
		}
		r.words = search.Compile(all)
	}
	return q, nil
}

// page restores what is meant of a page, or tells of it.
func (r *restoring) page(ctx context.Context, list []store.Lost) error {
	if r.words != nil {
		var err error
		if list, err = r.matching(ctx, list); err != nil {
			return err
		}
	}
	if r.in.DryRun {
		return r.tell(ctx, list)
	}
	n, err := r.s.Restore(ctx, r.account, list, r.into)
	r.out.Messages += n
	if n < len(list) { // The account is full, or somebody else was there first.
		list = list[:n]
	}
	r.count(list)
	return err
}

// count adds up what was restored, or would be.
func (r *restoring) count(list []store.Lost) {
	for _, l := range list {
		r.out.Octets += l.Size
		if !l.There && r.into == "" {
			r.out.Into = string(store.RestoredName)
		}
	}
}

// matching are those of a list that have the words.
func (r *restoring) matching(ctx context.Context, list []store.Lost) (some []store.Lost, err error) {
	entries := func(yield func(int, store.Entry) bool) {
		for i := range list {
			if !yield(i, store.Entry{UID: mail.UID(i + 1)}) {
				return
			}
		}
	}
	source := search.NewSource(lostRows{r.s, r.account, list}, 0)
	err = r.words.Run(ctx, source, 0, iter.Seq2[int, store.Entry](entries), func(i int, _ store.Entry) { some = append(some, list[i]) })
	return some, err
}

// lostRows reads lost messages as those of a mailbox are searched.
type lostRows struct {
	s       *store.Store
	account mail.AccountID
	list    []store.Lost
}

func (l lostRows) RowsSince(ctx context.Context, _ mail.MailboxID, _ mail.ModSeq, uids []mail.UID, need store.Need, most int) ([]store.Row, int, error) {
	return l.s.LostRows(ctx, l.account, l.list, uids, need, most)
}

// tell tells of a list, up to admin.MaxLost in all.
func (r *restoring) tell(ctx context.Context, list []store.Lost) error {
	if room := admin.MaxLost - r.out.Messages; len(list) > room {
		list, r.out.More = list[:room], true
	}
	r.count(list)
	r.out.Messages += len(list)
	uids := make([]mail.UID, len(list))
	for i := range list {
		uids[i] = mail.UID(i + 1)
	}
	return r.headers(ctx, list, uids)
}

// headers tells what is in the headers of a list. A message that is damaged has none.
func (r *restoring) headers(ctx context.Context, list []store.Lost, uids []mail.UID) error {
	for len(uids) > 0 {
		rows, more, err := r.s.LostRows(ctx, r.account, list, uids, store.NeedForm, store.MaxRowOctets)
		damaged := err != nil && mail.KindOf(err) == mail.Internal
		switch {
		case damaged && len(uids) == 1:
			r.found(lostMessage(list[uids[0]-1], message.Form{}))
			return nil
		case damaged:
			if err := r.headers(ctx, list, uids[:1]); err != nil {
				return err
			}
			uids = uids[1:]
			continue
		case err != nil:
			return err
		}
		for _, row := range rows {
			r.found(lostMessage(list[row.UID-1], row.Form))
		}
		uids = uids[len(uids)-more:]
	}
	return nil
}

func lostMessage(l store.Lost, form message.Form) admin.LostMessage {
	m := admin.LostMessage{Expunged: l.Expunged.UTC(), Mailbox: string(l.Name), Gone: !l.There, Received: l.Received, Octets: l.Size}
	if !form.IsZero() {
		e := form.Envelope()
		m.From, m.Subject = search.Addresses(e.From), message.DecodeText(e.Subject.Octets())
	}
	return m
}
