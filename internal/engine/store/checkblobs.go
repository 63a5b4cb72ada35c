package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// checkWindow is how many emails or blobs are counted at a time: a few octets of
// memory each.
const checkWindow = 1 << 20

// emails compares, window by window, how many memberships each email has with
// what expunged says. There is no index for it: each window is a pass
// over all memberships, in slices. What seems wrong may only have changed
// meanwhile: that is looked at again, account by account, on one snapshot.
func (c *checker) emails() error {
	var last int64
	if err := c.one(&last, `SELECT max(id) FROM email`); err != nil {
		return err
	}
	for first := int64(1); first <= last; first += checkWindow {
		w := emailWindow{checker: c, first: first, had: make([]presence, min(checkWindow, last-first+1))}
		if err := w.check(); err != nil {
			return err
		}
	}
	return nil
}

// presence is where an email is found: in how many places, and whether it is
// among those expunged.
type presence struct {
	members uint32
	dead    bool
}

// emailWindow are emails that are checked together.
type emailWindow struct {
	*checker
	first    int64
	had      []presence
	suspects map[mail.AccountID]map[int64]*presence
}

func (w *emailWindow) at(email int64) *presence {
	if i := email - w.first; i >= 0 && i < int64(len(w.had)) {
		return &w.had[i]
	}
	return nil
}

// check looks at all, then at the suspects.
func (w *emailWindow) check() error {
	w.suspects = make(map[mail.AccountID]map[int64]*presence)
	for _, pass := range []func(tx *sqldb.Tx, from progress, at func(email int64) *presence) (progress, error){countMembers, countDead, w.compare} {
		for from := (progress{}); !from.end; {
			err := w.s.db.Read(w.ctx, func(tx *sqldb.Tx) (err error) {
				from, err = pass(tx, from, w.at)
				return err
			})
			if err == nil {
				err = w.ctx.Err()
			}
			if err != nil {
				return err
			}
		}
	}
	for account, list := range w.suspects {
		err := w.s.db.Read(w.ctx, func(tx *sqldb.Tx) error { return w.judge(tx, account, list) })
		if err != nil {
			return err
		}
	}
	return nil
}

// progress is how far a pass is that reads a table in slices by its key.
type progress struct {
	first, second int64
	last          int64 // to be read; 0 is all
	end           bool
}

// countMembers counts the next memberships of emails.
func countMembers(tx *sqldb.Tx, from progress, at func(email int64) *presence) (progress, error) {
	last := from.last
	if last == 0 {
		last = math.MaxInt64
	}
	rows, err := tx.Query(`SELECT place, entries FROM membership WHERE place > $1 AND place <= $2 ORDER BY place`, from.first, last)
	if err != nil {
		return from, err
	}
	defer rows.Close()
	var list []member
	for n := 0; rows.Next(); n++ {
		if n > 0 && from.last == 0 && tx.Enough() {
			return from, nil
		}
		var octets sqldb.Borrowed
		if err := rows.Scan(&from.first, &octets); err != nil {
			return from, err
		}
		read, err := appendMembers(list[:0], from.first, octets)
		if err != nil {
			continue // It was reported.
		}
		list = read
		for _, m := range list {
			if p := at(int64(m.email)); p != nil {
				p.members++
			}
		}
	}
	from.end = true
	return from, rows.Err()
}

// countDead notes which emails are among the next of those expunged.
func countDead(tx *sqldb.Tx, from progress, at func(email int64) *presence) (progress, error) {
	rows, err := tx.Query(`SELECT at, email FROM expunged WHERE (at, email) > ($1, $2) ORDER BY at, email`, from.first, from.second)
	if err != nil {
		return from, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n > 0 && n%rowSlice == 0 && tx.Enough() {
			return from, nil
		}
		if err := rows.Scan(&from.first, &from.second); err != nil {
			return from, err
		}
		if p := at(from.second); p != nil {
			p.dead = true
		}
	}
	from.end = true
	return from, rows.Err()
}

const emailColumns = `SELECT e.id, e.account, e.thread, b.id IS NULL FROM email e
	LEFT JOIN blob b ON b.id = e.blob `

// emailRow is what Check reads of an email.
type emailRow struct {
	id, thread int64
	account    mail.AccountID
	blobless   bool
}

func (e *emailRow) targets() []any {
	return []any{&e.id, &e.account, &e.thread, &e.blobless}
}

// right says whether an email is where its rows say.
func (e *emailRow) right(p *presence) bool {
	return p.dead == (p.members == 0)
}

// compare compares the next emails with where they were found.
func (w *emailWindow) compare(tx *sqldb.Tx, from progress, at func(email int64) *presence) (progress, error) {
	from.first = max(from.first, w.first-1)
	rows, err := tx.Query(emailColumns+`WHERE e.id > $1 AND e.id < $2 ORDER BY e.id`, from.first, w.first+int64(len(w.had)))
	if err != nil {
		return from, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n > 0 && n%rowSlice == 0 && tx.Enough() {
			return from, nil
		}
		var e emailRow
		if err := rows.Scan(e.targets()...); err != nil {
			return from, err
		}
		from.first = e.id
		if e.blobless {
			w.problem("email without its blob: email %d", e.id)
		}
		if e.thread == e.id || e.thread < 0 { // Its own is 0. Numbers are not in the order of time.
			w.problem("thread is a wrong number: email %d", e.id)
		}
		if e.right(at(e.id)) {
			continue
		}
		if w.suspects[e.account] == nil {
			w.suspects[e.account] = make(map[int64]*presence)
		}
		w.suspects[e.account][e.id] = &presence{}
	}
	from.end = true
	return from, rows.Err()
}

// judge looks at suspects of an account on one snapshot.
func (w *emailWindow) judge(tx *sqldb.Tx, account mail.AccountID, suspects map[int64]*presence) error {
	at := func(email int64) *presence { return suspects[email] }
	rows, err := tx.Query(`SELECT mailbox FROM tally WHERE account = $1 AND mailbox > 0
		UNION SELECT mailbox FROM doomed WHERE account = $1 AND mailbox > 0`, int64(account))
	if err != nil {
		return err
	}
	var boxes []mail.MailboxID
	for rows.Next() {
		var id mail.MailboxID
		if err := rows.Scan(&id); err != nil {
			rows.Close()
			return err
		}
		boxes = append(boxes, id)
	}
	rows.Close()
	for _, id := range boxes {
		if _, err := countMembers(tx, progress{first: place(id, 0), last: place(id, maxUID)}, at); err != nil {
			return err
		}
	}
	for from := (progress{}); !from.end; {
		if from, err = countDead(tx, from, at); err != nil {
			return err
		}
	}
	for id, p := range suspects {
		var e emailRow
		err := tx.QueryRow(emailColumns+`WHERE e.id = $1`, id).Scan(e.targets()...)
		if err == sqldb.ErrNoRows {
			continue // It was purged meanwhile.
		}
		if err != nil {
			return err
		}
		if !e.right(p) {
			w.problem("memberships are miscounted: email %d has %d, expunged %v", id, p.members, p.dead)
		}
	}
	return nil
}

// blobRow is what Check reads of a blob.
type blobRow struct {
	id, size, crc int64
	sha           []byte
	key           int64 // 0 without
	file          string
	sums          []byte
	form          []byte
	length        int64 // of content; -1 without
	octets        []byte
}

// blobs checks the reference counts, then the octets of each blob.
func (c *checker) blobs() error {
	var last int64
	if err := c.one(&last, `SELECT max(id) FROM blob`); err != nil {
		return err
	}
	for first := int64(1); first <= last; first += checkWindow {
		w := refsWindow{checker: c, first: first, counts: make([]uint32, min(checkWindow, last-first+1))}
		if err := w.check(); err != nil {
			return err
		}
	}
	for after := int64(0); ; {
		slice, err := c.blobSlice(after)
		if err != nil || len(slice) == 0 {
			return err
		}
		for _, b := range slice {
			if err := c.blob(b); err != nil {
				return err
			}
		}
		after = slice[len(slice)-1].id
	}
}

// blobSlice reads the next blobs; their octets only for a deep check.
func (c *checker) blobSlice(after int64) (slice []blobRow, err error) {
	const head = `SELECT b.id, b.size, b.crc32c, b.sha256, b.key, b.file, b.sums, b.form, coalesce(length(c.octets), -1), `
	const rest = ` FROM blob b LEFT JOIN content c ON c.blob = b.id WHERE b.id > $1 ORDER BY b.id LIMIT 64`
	q := head + "NULL" + rest
	if c.deep {
		q = head + "c.octets" + rest
	}
	err = c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(q, after)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b blobRow
			if err := rows.Scan(&b.id, &b.size, &b.crc, &b.sha, &b.key, &b.file, &b.sums, &b.form, &b.length, &b.octets); err != nil {
				return err
			}
			slice = append(slice, b)
		}
		return rows.Err()
	})
	return slice, err
}

func (c *checker) blob(b blobRow) error {
	if form, err := message.ParseForm(b.form); err != nil || form.Check() != nil {
		c.problem("form is unreadable: blob %d", b.id)
	}
	if b.key != 0 && (len(b.sha) != sha256.Size || b.key != blobKey(mail.BlobID(b.sha))) {
		c.problem("key does not belong to the hash: blob %d", b.id)
	}
	if b.file != "" {
		return c.blobFile(b)
	}
	if b.length != b.size {
		c.problem("content has %d octets of %d: blob %d", b.length, b.size, b.id)
		return nil
	}
	if c.deep {
		sum := sha256.Sum256(b.octets)
		if !bytes.Equal(sum[:], b.sha) || int64(crc32.Checksum(b.octets, castagnoli())) != b.crc {
			c.problem("octets do not match their checksum: blob %d", b.id)
		}
	}
	return nil
}

func (c *checker) blobFile(b blobRow) error {
	f, err := c.s.blobs.Open(b.file)
	switch {
	case err == nil:
		defer f.Close()
	case mail.KindOf(err) == mail.NotFound || mail.KindOf(err) == mail.Invalid:
		return c.missingFile(b)
	default:
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != b.size {
		c.problem("file has %d octets of %d: blob %d %s", st.Size(), b.size, b.id, b.file)
		return nil
	}
	if !c.deep {
		return nil
	}
	sha := sha256.New()
	var sums []byte
	var block [sumBlock]byte
	for {
		n, err := io.ReadFull(f, block[:])
		if n > 0 {
			sha.Write(block[:n])
			sums = binary.BigEndian.AppendUint32(sums, crc32.Checksum(block[:n], castagnoli()))
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(sums, b.sums) || !bytes.Equal(sha.Sum(nil), b.sha) {
		c.problem("octets do not match their checksum: blob %d %s", b.id, b.file)
	}
	return nil
}

// missingFile reports a file that is not there, unless its blob was purged
// since it was read.
func (c *checker) missingFile(b blobRow) error {
	var n int
	err := c.one(&n, `SELECT count(*) FROM blob WHERE id = $1 AND file = $2`, b.id, b.file)
	if err == nil && n > 0 {
		c.problem("file is missing: blob %d %s", b.id, b.file)
	}
	return err
}
