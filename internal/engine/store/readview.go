package store

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// A mailbox of partsFrom messages or more is read in viewParts parts.
const (
	partsFrom = 8192
	viewParts = 4
)

// contextEvery is how many messages are read between looks at the context.
const contextEvery = 4096

// moment is where a mailbox stands. Whatever changes its messages changes modseq.
type moment struct {
	modseq   mail.ModSeq
	uidnext  uint64
	messages int64
}

func readMoment(tx *sqldb.Tx, id mail.MailboxID) (m moment, err error) {
	err = tx.QueryRow(`SELECT t.modseq, t.uidnext, t.messages FROM mailbox m JOIN tally t ON t.account = m.account AND t.mailbox = m.id
		WHERE m.id = $1`, id).Scan(&m.modseq, &m.uidnext, &m.messages)
	if err == sqldb.ErrNoRows {
		err = errNoMailbox()
	}
	return m, err
}

// sizeOf is whose a mailbox is, and about how many octets its view takes.
func (s *Store) sizeOf(ctx context.Context, id mail.MailboxID) (a mail.AccountID, octets int64, err error) {
	var messages int64
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT t.account, t.messages FROM mailbox m JOIN tally t ON t.account = m.account AND t.mailbox = m.id
			WHERE m.id = $1`, id).Scan(&a, &messages)
	})
	if err == sqldb.ErrNoRows {
		err = errNoMailbox()
	}
	return a, viewOctets(messages), err
}

// viewReader makes a view of what it reads.
type viewReader struct {
	view *View
	sets map[words]uint32 // index into view.sets
}

func newViewReader(tx *sqldb.Tx, id mail.MailboxID) (*viewReader, moment, error) {
	at, err := readMoment(tx, id)
	if err != nil {
		return nil, at, err
	}
	n, err := readNames(tx, id)
	return &viewReader{view: &View{modseq: at.modseq, sets: []words{""}, names: n}, sets: map[words]uint32{"": 0}}, at, err
}

// readView reads the view of a mailbox from the database.
func (s *Store) readView(ctx context.Context, id mail.MailboxID) (*View, map[words]uint32, error) {
	r, large, err := s.readWhole(ctx, id, partsFrom)
	if large && err == nil {
		r, err = s.readParts(ctx, id)
	}
	if err == nil && r == nil {
		r, _, err = s.readWhole(ctx, id, maxUID)
	}
	if err != nil {
		return nil, nil, err
	}
	return r.view, r.sets, nil
}

// readWhole reads from one snapshot. A mailbox with as many messages as large
// is not read.
func (s *Store) readWhole(ctx context.Context, id mail.MailboxID, large int64) (r *viewReader, tooLarge bool, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		reader, at, err := newViewReader(tx, id)
		if tooLarge = at.messages >= large; tooLarge || err != nil {
			return err
		}
		r = reader
		return r.read(ctx, tx, id, allUIDs())
	})
	return r, tooLarge, err
}

// readParts reads parts of a mailbox side by side: the rows of a mailbox that
// grew slowly are scattered over the file, and from a cold disk that takes a
// third less of the time. Each part has a snapshot of its own. If the mailbox
// changed between them, the result is nil.
func (s *Store) readParts(ctx context.Context, id mail.MailboxID) (*viewReader, error) {
	var parts [viewParts]*viewReader
	g, ctx := errgroup.WithContext(ctx)
	for i := range parts {
		g.Go(func() error {
			return s.db.Read(ctx, func(tx *sqldb.Tx) error {
				reader, at, err := newViewReader(tx, id)
				if err != nil {
					return err
				}
				parts[i] = reader
				return reader.read(ctx, tx, id, part(at.uidnext, i))
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := parts[0]
	for _, p := range parts[1:] {
		if p.view.modseq != all.view.modseq {
			return nil, nil
		}
		all.join(p)
	}
	return all, nil
}

// part is the i-th of viewParts parts of the UIDs below next.
func part(next uint64, i int) mail.UIDRange {
	bound := func(i int) mail.UID { return mail.UID(next * uint64(i) / viewParts) }
	r := mail.UIDRange{First: bound(i), Last: bound(i + 1)}
	if r.Last > 0 {
		r.Last--
	}
	return r
}

// read reads the messages in a range of UIDs.
func (r *viewReader) read(ctx context.Context, tx *sqldb.Tx, id mail.MailboxID, uids mail.UIDRange) error {
	v := r.view
	return eachState(tx, id, uids, func(e *state) error {
		if e.UID < uids.First || e.UID > uids.Last {
			return nil
		}
		v.push(entry{uint64(e.ModSeq), uint32(e.UID), r.set(e.words)<<8 | uint32(e.Flags)})
		if v.count%contextEvery == 0 {
			return ctx.Err()
		}
		return nil
	})
}

// set returns the index of a set of keywords.
func (r *viewReader) set(k words) uint32 {
	if k == "" {
		return 0
	}
	i, ok := r.sets[k]
	if !ok {
		i = uint32(len(r.view.sets))
		r.view.sets = append(r.view.sets, k)
		r.sets[k] = i
	}
	return i
}

// join puts what p read, whose UIDs are higher, behind what r has. Its chunks are taken over.
func (r *viewReader) join(p *viewReader) {
	to := make([]uint32, len(p.view.sets)) // r's index of each set of p
	for i, k := range p.view.sets {
		to[i] = r.set(k)
	}
	same := slices.IsSorted(to) && int(to[len(to)-1]) == len(to)-1
	for c := range p.view.numChunks() {
		chunk := p.view.chunk(c)
		for i := range chunk {
			if same {
				break
			}
			chunk[i].bits = to[chunk[i].set()]<<8 | uint32(chunk[i].flags())
		}
		r.view.pushChunk(chunk)
	}
}
