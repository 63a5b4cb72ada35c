package store

import (
	"context"
	"hash/crc32"
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
	r := reader{s: s, mailbox: id, need: need, uids: uids, query: rowQuery(need), zones: make(map[int64]*time.Location)}
	if err := s.db.Read(ctx, r.read); err != nil {
		return nil, 0, err
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
	need    Need
	query   string
	uids    []mail.UID // not read yet
	rows    []Row
	blobs   []blobPart // of each row
	octets  int64
	zones   map[int64]*time.Location
}

// blobPart is what the columns of blob, email and content gave.
type blobPart struct {
	id     int64
	size   int64
	crc    int64
	file   string
	octets []byte
	trace  []byte
}

// Needs that are answered by a join.
const (
	needBlob  = NeedEnvelope | NeedBodyStructure | NeedParts | NeedPreview | NeedContent
	needEmail = NeedThread | NeedContent
)

// rowQuery builds the query for what is needed: the membership alone if that is
// enough.
func rowQuery(need Need) string {
	cols := "m.uid, m.modseq, m.flags, nullif(m.keywords, ''), m.email, m.blob, m.size, m.received, m.zone, m.saved"
	from := " FROM membership m"
	if need&needBlob != 0 {
		from += " JOIN blob b ON b.id = m.blob"
	}
	if need&needEmail != 0 {
		from += " JOIN email e ON e.id = m.email"
	}
	if need&NeedContent != 0 {
		from += " LEFT JOIN content c ON c.blob = m.blob"
	}
	for _, c := range needColumns {
		if need&c.need != 0 {
			cols += ", " + c.columns
		}
	}
	return "SELECT " + cols + from + " WHERE m.mailbox = $1 AND m.uid BETWEEN $2 AND $3 ORDER BY m.uid"
}

// needColumns are the columns of each need, in the order of target.
var needColumns = [...]struct {
	need    Need
	columns string
}{
	{NeedEnvelope, "b.envelope"},
	{NeedBodyStructure, "b.bodystructure"},
	{NeedParts, "b.parts, b.size"},
	{NeedThread, "CASE e.thread WHEN 0 THEN e.id ELSE e.thread END"},
	{NeedPreview, "b.preview"},
	{NeedContent, "b.size, b.crc32c, b.file, e.trace, c.octets"},
}

// targets are what a row of rowQuery is scanned into.
func (r *reader) targets(row *Row, b *blobPart, received, zone, saved *int64) []any {
	t := []any{&row.UID, &row.ModSeq, &row.Flags, &row.Keywords, &row.Email, &b.id, &row.Size, received, zone, saved}
	for _, c := range needColumns {
		if r.need&c.need == 0 {
			continue
		}
		switch c.need {
		case NeedEnvelope:
			t = append(t, &row.Envelope)
		case NeedBodyStructure:
			t = append(t, &row.BodyStructure)
		case NeedParts:
			t = append(t, &row.Parts, &b.size)
		case NeedThread:
			t = append(t, &row.Thread)
		case NeedPreview:
			t = append(t, &row.Preview)
		case NeedContent:
			t = append(t, &b.size, &b.crc, &b.file, &b.trace, &b.octets)
		}
	}
	return t
}

func (r *reader) read(tx *sqldb.Tx) error {
	for len(r.uids) > 0 && !r.full() {
		if err := r.readSpan(tx); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) full() bool { return len(r.rows) >= MaxRows || r.octets >= MaxRowOctets }

// readSpan reads the next uids that are near each other with one query.
func (r *reader) readSpan(tx *sqldb.Tx) error {
	n := 1
	for n < len(r.uids) && n < MaxRows && r.uids[n]-r.uids[n-1] <= spanGap && r.uids[n] > r.uids[n-1] {
		n++
	}
	rows, err := tx.Query(r.query, int64(r.mailbox), int64(r.uids[0]), int64(r.uids[n-1]))
	if err != nil {
		return err
	}
	defer rows.Close()
	span := r.uids[:n]
	for !r.full() && len(span) > 0 && rows.Next() {
		var row Row
		var b blobPart
		var received, zone, saved int64
		if err := rows.Scan(r.targets(&row, &b, &received, &zone, &saved)...); err != nil {
			return err
		}
		for len(span) > 0 && span[0] < row.UID {
			span = span[1:]
		}
		if len(span) == 0 || span[0] != row.UID {
			continue
		}
		span = span[1:]
		row.Received, row.Saved = r.time(received, zone), time.Unix(saved, 0).UTC()
		r.take(row, b)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if !r.full() {
		span = nil // What is left of it is not in the mailbox.
	}
	r.uids = r.uids[n-len(span):]
	return nil
}

func (r *reader) take(row Row, b blobPart) {
	r.rows = append(r.rows, row)
	r.blobs = append(r.blobs, b)
	r.octets += int64(len(row.Envelope) + len(row.BodyStructure) + len(row.Parts) + len(row.Preview) + len(b.octets) + len(b.trace))
	if b.file != "" {
		r.octets += InlineMax // Open files are bounded too.
	}
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
	if r.need&NeedParts != 0 {
		if row.Parts, err = shiftParts(row.Parts, row.Size-b.size); err != nil {
			return r.s.internal("blob %d has an unreadable structure: %w", b.id, err)
		}
	}
	if r.need&NeedContent != 0 {
		row.Content, err = r.content(b)
	}
	return err
}

// shiftParts makes the offsets of a structure count from the start of the trace.
func shiftParts(parts []byte, trace int64) ([]byte, error) {
	if trace == 0 {
		return parts, nil
	}
	root, err := message.DecodeStructure(parts)
	if err != nil {
		return nil, err
	}
	root.Shift(trace)
	return message.AppendStructure(nil, root), nil
}

func (r *reader) content(b *blobPart) (*Content, error) {
	c := &Content{s: r.s, blob: b.id, prefix: b.trace, octets: b.octets, size: b.size, crc: uint32(b.crc)}
	if b.file != "" {
		f, err := r.s.blobs.Open(b.file)
		if mail.KindOf(err) == mail.NotFound && err != nil {
			return nil, r.s.internal("blob %d: its file is missing: %w", b.id, err)
		}
		c.file = f
		return c, err
	}
	if int64(len(b.octets)) != b.size || crc32.Checksum(b.octets, castagnoli()) != uint32(b.crc) {
		return nil, r.s.internal("blob %d is damaged: its content does not match its checksum", b.id)
	}
	return c, nil
}

func (r *reader) closeContents() {
	for i := range r.rows {
		if c := r.rows[i].Content; c != nil {
			c.Close()
		}
	}
}
