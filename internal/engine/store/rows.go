package store

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// Rows reads messages of a mailbox: rows, in the order of uids, for a prefix of
// uids, as many as MaxRows and MaxRowOctets allow and at least one; more is how
// many uids are left to ask for. UIDs that are not there are left out. uids
// must ascend. With NeedContent the caller closes every Content. If it fails,
// it gives no rows.
func (s *Store) Rows(ctx context.Context, id mail.MailboxID, uids []mail.UID, need Need) (rows []Row, more int, err error) {
	return s.rows(ctx, reader{s: s, mailbox: id, need: need, uids: uids, most: MaxRowOctets})
}

// RowsSince is Rows for a client that was told of all changes up to since: it
// also gives messages that were expunged or moved away after that, as long as
// they are kept; of those, Flags and Keywords are not known. It gives most octets
// of caches and content, about, or a single row.
func (s *Store) RowsSince(ctx context.Context, id mail.MailboxID, since mail.ModSeq, uids []mail.UID, need Need, most int) (rows []Row, more int, err error) {
	return s.rows(ctx, reader{s: s, mailbox: id, since: since, gone: true, need: need, uids: uids, most: int64(most)})
}

func (s *Store) rows(ctx context.Context, r reader) (rows []Row, more int, err error) {
	r.zones = make(map[int64]*time.Location)
	if err := s.db.Read(ctx, r.read); err != nil {
		return nil, 0, err
	}
	if r.need&NeedContent != 0 {
		r.contents = make([]Content, len(r.rows))
	}
	for i := range r.rows {
		if err := r.complete(i); err != nil {
			r.closeContents()
			return nil, 0, err
		}
	}
	return r.rows, len(r.uids), nil
}

// reader is one call of Rows.
type reader struct {
	s       *Store
	mailbox mail.MailboxID
	gone    bool // those that left after since are read too
	since   mail.ModSeq
	need    Need
	uids    []mail.UID // not read yet
	account mail.AccountID
	lost    []Lost // uids are of these, of the account; nil: of the mailbox
	rows    []Row
	blobs   []blobPart // of each row
	octets  int64      // of what is being read
	most    int64      // of them
	zones   map[int64]*time.Location
	names   *names
	forms   []byte // of rows, side by side

	contents []Content // of each row, with NeedContent
}

// blobPart is what the rows of blob, email and content gave.
type blobPart struct {
	id      int64
	size    int64
	crc     int64
	file    string
	sums    []byte
	octets  []byte
	form    []byte
	read    sqldb.Borrowed // what becomes form
	prefix  []byte
	missing bool
}

// read reads the memberships, then what else is needed, a table at a time.
func (r *reader) read(tx *sqldb.Tx) error {
	asked := r.uids
	most := min(len(asked), MaxRows)
	r.rows, r.blobs = make([]Row, 0, most), make([]blobPart, 0, most)
	members := r.readMembers
	if r.lost != nil {
		members = r.readLost
	}
	if err := members(tx); err != nil {
		return err
	}
	found := len(r.rows)
	for _, f := range fillers() {
		if r.need&f.need == 0 {
			continue
		}
		if err := r.fill(tx, &f, f.query(r.need)); err != nil {
			return err
		}
	}
	if n := len(r.rows); n < found {
		next, has := slices.BinarySearch(asked, r.rows[n-1].UID)
		if has {
			next++
		}
		r.uids = asked[next:]
	}
	r.dropMissing()
	return nil
}

// readMembers reads the memberships of as many uids as one call gives.
func (r *reader) readMembers(tx *sqldb.Tx) error {
	for len(r.uids) > 0 && len(r.rows) < MaxRows {
		n := 1
		for n < min(len(r.uids), MaxRows-len(r.rows)) && r.uids[n]-r.uids[n-1] <= spanGap && r.uids[n] > r.uids[n-1] {
			n++
		}
		if err := r.readSpan(tx, r.uids[:n]); err != nil {
			return err
		}
		r.uids = r.uids[n:]
	}
	return nil
}

// readSpan reads the memberships of uids that are near each other.
func (r *reader) readSpan(tx *sqldb.Tx, uids []mail.UID) error {
	span := mail.UIDRange{First: uids[0], Last: uids[len(uids)-1]}
	had, wanted := len(r.rows), uids
	err := eachMember(tx, r.mailbox, span, func(m *member) (err error) {
		if m.words != "" && r.names == nil {
			if r.names, err = readNames(tx, r.mailbox); err != nil {
				return err
			}
		}
		for len(uids) > 0 && uids[0] < m.UID {
			uids = uids[1:]
		}
		if len(uids) > 0 && uids[0] == m.UID {
			e := Entry{UID: m.UID, Flags: m.Flags, ModSeq: m.ModSeq}
			if m.words != "" {
				e.Keywords = r.names.keywords(m.words)
			}
			r.take(m, e)
		}
		return nil
	})
	if err != nil || !r.gone || len(r.rows)-had == len(wanted) {
		return err
	}
	return r.readGone(tx, span, wanted, had)
}

// readGone adds those of uids that left the mailbox after since to the rows from
// had on, which are those that are there.
func (r *reader) readGone(tx *sqldb.Tx, span mail.UIDRange, uids []mail.UID, had int) error {
	there := len(r.rows)
	err := eachBuried(tx, r.mailbox, r.since, span, func(m *member) {
		_, is := slices.BinarySearchFunc(r.rows[had:there], m.UID, func(row Row, uid mail.UID) int { return cmp.Compare(row.UID, uid) })
		if _, asked := slices.BinarySearch(uids, m.UID); asked && !is {
			r.take(m, Entry{UID: m.UID})
			r.rows[len(r.rows)-1].Gone = true
		}
	})
	if err != nil || len(r.rows) == there {
		return err
	}
	sort.Sort(byUID{r.rows[had:], r.blobs[had:]})
	return nil
}

// byUID sorts rows, with what belongs to each.
type byUID struct {
	rows  []Row
	blobs []blobPart
}

func (b byUID) Len() int           { return len(b.rows) }
func (b byUID) Less(i, j int) bool { return b.rows[i].UID < b.rows[j].UID }
func (b byUID) Swap(i, j int) {
	b.rows[i], b.rows[j] = b.rows[j], b.rows[i]
	b.blobs[i], b.blobs[j] = b.blobs[j], b.blobs[i]
}

func (r *reader) take(m *member, e Entry) {
	r.rows = append(r.rows, Row{Entry: e, Email: m.email, Size: m.size, Lacking: m.lacking, ASCII: m.ascii,
		Received: r.time(m.received, m.zone), Saved: time.Unix(m.saved, 0).UTC()})
	r.blobs = append(r.blobs, blobPart{id: m.blob})
}

// dropMissing leaves out the rows of which a part was not found: Check says so.
func (r *reader) dropMissing() {
	kept := 0
	for i := range r.rows {
		if !r.blobs[i].missing {
			r.rows[kept], r.blobs[kept] = r.rows[i], r.blobs[i]
			kept++
		}
	}
	r.rows, r.blobs = r.rows[:kept], r.blobs[:kept]
}

func (r *reader) time(seconds, zone int64) time.Time {
	if zone == 0 {
		return time.Unix(seconds, 0).UTC()
	}
	loc := r.zones[zone]
	if loc == nil {
		loc = time.FixedZone("", int(zone*60))
		r.zones[zone] = loc
	}
	return time.Unix(seconds, 0).In(loc)
}

// complete makes what does not come out of the database as it is.
func (r *reader) complete(i int) (err error) {
	row, b := &r.rows[i], &r.blobs[i]
	if r.need&NeedForm != 0 {
		form, err := message.ParseForm(b.form)
		if err != nil {
			return r.s.internal("blob %d has an unreadable form: %w", b.id, err)
		}
		row.Form = form.Behind(row.Size - b.size)
	}
	if r.need&NeedContent != 0 {
		row.Content, err = r.s.content(b, &r.contents[i])
	}
	return err
}

func (r *reader) closeContents() {
	for i := range r.rows {
		if c := r.rows[i].Content; c != nil {
			c.Close()
		}
	}
}
