package imapd

import (
	"context"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// fetchBatch is how many messages FETCH asks the store for at once; the store
// may give fewer, by their size.
const fetchBatch = 256

// FETCH of more messages than gatherFrom writes in pieces of about gatherSize
// octets.
const (
	gatherFrom = 8
	gatherSize = 64 << 10
)

// fetch is FETCH and UID FETCH (RFC 9051 §6.4.5).
func (s *session) fetch(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Fetch)
	ps, valid := s.box.resolve(args.Set, cmd.UID)
	if !valid {
		return bad("there is no message with that number")
	}
	f := newFetcher(s, args.Items, cmd.UID)
	if ps.count() > gatherFrom && s.conn.Share().Take(gatherSize) == nil {
		defer s.conn.Share().Give(gatherSize)
		buf := s.srv.gather.Get().(*[gatherSize]byte)
		s.out.Gather(buf[:])
		defer s.srv.gather.Put(buf)
		defer s.out.Scatter()
	}
	if f.cheap {
		f.fromView(ps)
		return ok("done")
	}
	f.work = s.newWork(ctx)
	f.work.begun = true
	if err := f.all(ctx, ps); err != nil {
		return status{}, err
	}
	return f.status()
}

// fetcher carries out one FETCH.
type fetcher struct {
	s      *session
	work   *work
	items  []imap.FetchItem
	names  *fieldNames // of HEADER.FIELDS in items; nil without
	octets int         // of messages that are read at a time
	need   store.Need
	cheap  bool // the view has all that is asked for
	flags  bool // FLAGS was asked for
	seen   bool // \Seen is to be set

	gone       bool // a message was expunged that the client was not told of, and is not kept any more
	unreadable bool // what the store has of a message is damaged
	unknownCTE bool // BINARY of a part in an unknown transfer encoding
	notLeaf    bool // BINARY of a part that has parts
}

func newFetcher(s *session, items []imap.FetchItem, byUID bool) *fetcher {
	f := &fetcher{s: s, items: items, cheap: true}
	uid := false
	for _, it := range items {
		f.need |= needOf(it)
		f.seen = f.seen || !it.Peek && !s.box.readOnly
		switch it.Kind {
		case imap.FetchFlags:
			f.flags = true
		case imap.FetchUID:
			uid = true
		default:
			f.cheap = false
		}
	}
	if byUID && !uid { // RFC 9051 §6.4.9
		f.items = append([]imap.FetchItem{{Kind: imap.FetchUID, Peek: true}}, items...)
	}
	f.names = newFieldNames(f.items)
	return f
}

// needOf says what the store must read for an item.
func needOf(it imap.FetchItem) store.Need {
	switch it.Kind {
	case imap.FetchEnvelope, imap.FetchBodyStructure, imap.FetchBodyStructureBasic:
		return store.NeedForm
	case imap.FetchRFC822:
		return store.NeedContent
	case imap.FetchBody:
		if isWhole(it.Section) {
			return store.NeedContent
		}
		return store.NeedForm | store.NeedContent
	case imap.FetchBinary, imap.FetchBinarySize, imap.FetchRFC822Header, imap.FetchRFC822Text:
		return store.NeedForm | store.NeedContent
	}
	return 0
}

// fromView answers from the view alone.
func (f *fetcher) fromView(ps spans) {
	b := f.s.box
	for seq, e := range b.entries(ps) {
		if f.s.out.Err() != nil {
			return
		}
		w := f.begin(seq, e, false)
		for i := range f.items {
			if f.items[i].Kind == imap.FetchUID {
				w.UID(e.UID)
			} else {
				f.s.flags(&w, e)
			}
		}
		w.End()
		f.s.fetched++
	}
}

// batch answers for uids. If the store gives no rows because one message is
// damaged, they are read one by one, and that one is left out.
func (f *fetcher) batch(ctx context.Context, uids []mail.UID) error {
	for len(uids) > 0 {
		rows, more, err := f.s.srv.cfg.Messages.RowsSince(ctx, f.s.box.id, f.s.box.since, uids, f.need, f.octets)
		done := len(uids) - more
		switch {
		case err == nil:
			err = f.rows(ctx, rows, uids[:done])
		case fatal(err) || ctx.Err() != nil || f.need == 0:
			return err
		case len(uids) > 1:
			done = 1
			err = f.batch(ctx, uids[:1])
		default:
			return f.skipDamaged(ctx, uids, err)
		}
		if err != nil || done == 0 {
			return err
		}
		uids = uids[done:]
	}
	return nil
}

// skipDamaged leaves out a message that cannot be read, unless it is the store
// that cannot read.
func (f *fetcher) skipDamaged(ctx context.Context, uids []mail.UID, why error) error {
	if _, _, err := f.s.srv.cfg.Messages.RowsSince(ctx, f.s.box.id, f.s.box.since, uids, 0, f.octets); err != nil {
		return err
	}
	f.unreadable = true
	f.s.logFailure("FETCH", why)
	return nil
}

// rows answers for uids, of which there are rows, and closes what they hold.
func (f *fetcher) rows(ctx context.Context, rows []store.Row, uids []mail.UID) error {
	defer closeRows(rows)
	for len(rows) > 0 {
		some := rows[:f.atOnce(rows)]
		rows = rows[len(some):]
		changed, err := f.markSeen(ctx, some)
		if err != nil {
			return err
		}
		for i := range some {
			row := &some[i]
			for ; len(uids) > 0 && uids[0] <= row.UID; uids = uids[1:] {
				if uids[0] < row.UID {
					f.lost(uids[0])
				}
			}
			e, marked := changed[row.UID]
			if marked {
				row.Entry = e
			} else if seq, known := f.s.box.view.Seq(row.UID); row.Gone && known {
				row.Entry = f.s.box.view.At(seq)
			}
			if err := f.row(row, marked); err != nil {
				return err
			}
			if err := f.s.out.Err(); err != nil {
				return err
			}
			if err := f.work.Err(); err != nil {
				return err
			}
		}
	}
	for _, uid := range uids {
		f.lost(uid)
	}
	return nil
}

// seenOctets is of how many octets of messages \Seen is set at once: they are read
// before, as it is not set of what cannot be read.
const seenOctets = 4 << 20

// atOnce is how many of rows get \Seen at once.
func (f *fetcher) atOnce(rows []store.Row) int {
	if !f.seen {
		return len(rows)
	}
	n, octets := 1, rows[0].Size
	for ; n < len(rows); n++ {
		if octets += rows[n].Size; octets > seenOctets {
			break
		}
	}
	return n
}

// lost answers for a message that is not kept any more: its octets are NIL (RFC
// 2180 §4.1.3).
func (f *fetcher) lost(uid mail.UID) {
	b := f.s.box
	seq, known := b.view.Seq(uid)
	if !known {
		return
	}
	f.gone = true
	e := b.view.At(seq)
	w := f.begin(seq, e, false)
	for _, it := range f.items {
		switch it.Kind {
		case imap.FetchUID:
			w.UID(uid)
		case imap.FetchFlags:
			f.s.flags(&w, e)
		case imap.FetchBody, imap.FetchBinary, imap.FetchRFC822, imap.FetchRFC822Header, imap.FetchRFC822Text:
			w.Nil(it)
		}
	}
	w.End()
}

func closeRows(rows []store.Row) {
	for i := range rows {
		if c := rows[i].Content; c != nil {
			_ = c.Close()
		}
	}
}

// markSeen sets \Seen of those rows that lack it and can be read, if the items
// ask for it, and returns their new entries.
func (f *fetcher) markSeen(ctx context.Context, rows []store.Row) (map[mail.UID]store.Entry, error) {
	var unseen mail.UIDSet
	for i := range rows {
		if !f.seen || rows[i].Gone || rows[i].Flags&mail.Seen != 0 {
			continue
		}
		m := fetchedMessage{f: f, row: &rows[i]}
		ready, err := m.ready()
		if err != nil {
			return nil, err
		}
		if ready {
			unseen.Add(rows[i].UID)
		}
	}
	if len(unseen) == 0 {
		return nil, nil
	}
	add := store.FlagChange{Mode: store.FlagsAdd, Flags: mail.Seen}
	there, err := f.s.srv.cfg.Messages.SetFlags(ctx, f.s.box.id, unseen, add)
	if err != nil {
		return nil, err
	}
	now, err := f.s.srv.cfg.Messages.View(ctx, f.s.box.id)
	if err != nil {
		return nil, goneAsBye(err)
	}
	f.s.nameKeywords(now)
	changed := make(map[mail.UID]store.Entry, there.Len())
	for _, e := range now.Seqs(there, now) {
		changed[e.UID] = e
	}
	return changed, nil
}

// row writes the FETCH response of one message. marked says that its flags just
// changed, so that they belong into the response (RFC 9051 §6.4.5), after it was
// found ready.
func (f *fetcher) row(row *store.Row, marked bool) error {
	b := f.s.box
	seq, known := b.view.Seq(row.UID)
	if !known {
		return nil
	}
	m := &fetchedMessage{f: f, row: row}
	if marked {
		m.open()
	} else if ready, err := m.ready(); !ready {
		return err
	}
	w := f.begin(seq, row.Entry, marked)
	m.w = &w
	for i := range f.items {
		if err := m.item(i); err != nil {
			return err
		}
	}
	if marked && !f.flags {
		f.s.flags(&w, row.Entry)
	}
	w.End()
	f.s.fetched++
	if (marked || f.flags) && b.view.At(seq).ModSeq != row.ModSeq {
		b.tell(row.Entry)
	}
	return nil
}

// begin begins the response of a message. marked says that its flags are told
// whether they were asked for or not.
func (f *fetcher) begin(seq int, e store.Entry, marked bool) imap.Fetched {
	if f.flags || marked {
		return f.s.fetchWith(seq, e.Keywords)
	}
	return f.s.out.Fetch(uint32(seq))
}

// status ends the command.
func (f *fetcher) status() (status, error) {
	switch {
	case f.unreadable:
		return no(imap.CodeServerBug, "some of the messages could not be read")
	case f.unknownCTE:
		return no(imap.CodeUnknownCTE, "a part has a transfer encoding that is not known here")
	case f.notLeaf:
		return no(imap.CodeCannot, "BINARY is only for parts without parts of their own")
	case f.gone:
		return okCode(imap.CodeExpungeIssued, "some of the messages were expunged and are not kept any more")
	}
	return ok("done")
}
