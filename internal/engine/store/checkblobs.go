package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// checkWindow is how many emails or blobs are counted in one snapshot: a few
// octets of memory each.
const checkWindow = 1 << 20

// emails compares, window by window, how many memberships each email has with
// what copies and expunged say. There is no index for it: each window is a pass
// over all memberships.
func (c *checker) emails() error {
	var last int64
	if err := c.one(&last, `SELECT max(id) FROM email`); err != nil {
		return err
	}
	for first := int64(1); first <= last; first += checkWindow {
		err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error { return c.emailWindow(tx, first, first+checkWindow) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) emailWindow(tx *sqldb.Tx, first, end int64) error {
	members, err := tallyMembers(c.ctx, tx, first, end)
	if err != nil {
		return err
	}
	rows, err := tx.Query(`SELECT e.id, e.thread, coalesce(c.members, -1), x.email IS NOT NULL, b.id IS NULL FROM email e
		LEFT JOIN copies c ON c.email = e.id LEFT JOIN blob b ON b.id = e.blob
		LEFT JOIN (SELECT DISTINCT email FROM expunged) x ON x.email = e.id WHERE e.id >= $1 AND e.id < $2`, first, end)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, thread, copies int64
		var dead, blobless bool
		if err := rows.Scan(&id, &thread, &copies, &dead, &blobless); err != nil {
			return err
		}
		n := int64(members[id-first])
		if blobless {
			c.problem("email without its blob: email %d", id)
		}
		if thread > id || thread < 0 {
			c.problem("thread is younger than its email: email %d", id)
		}
		if dead != (n == 0) || copies >= 0 && copies != n || copies < 0 && n > 1 {
			c.problem("memberships are miscounted: email %d has %d, copies says %d, expunged %v", id, n, copies, dead)
		}
	}
	return rows.Err()
}

// tallyWindow counts how often each id from first to end occurs.
func (c *checker) tallyWindow(tx *sqldb.Tx, query string, first, end int64) ([]uint32, error) {
	counts := make([]uint32, end-first)
	rows, err := tx.Query(query, first, end)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for n := 1; rows.Next(); n++ {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		counts[id-first]++
		if n%contextEvery == 0 && c.ctx.Err() != nil {
			return nil, c.ctx.Err()
		}
	}
	return counts, rows.Err()
}

// blobRow is what Check reads of a blob.
type blobRow struct {
	id, size, crc int64
	sha           []byte
	key           int64 // 0 without
	file          string
	sums          []byte
	parts         []byte
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
		err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error { return c.refsWindow(tx, first, first+checkWindow) })
		if err != nil {
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

func (c *checker) refsWindow(tx *sqldb.Tx, first, end int64) error {
	refs, err := c.tallyWindow(tx, `SELECT blob FROM email WHERE blob >= $1 AND blob < $2`, first, end)
	if err == nil {
		err = c.countHeld(tx, refs, first)
	}
	if err != nil {
		return err
	}
	rows, err := tx.Query(`SELECT id, refs FROM blob WHERE id >= $1 AND id < $2`, first, end)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, n int64
		if err := rows.Scan(&id, &n); err != nil {
			return err
		}
		if n != int64(refs[id-first]) {
			c.problem("references are miscounted: blob %d has %d, its row says %d", id, refs[id-first], n)
		}
	}
	return rows.Err()
}

// blobSlice reads the next blobs; their octets only for a deep check.
func (c *checker) blobSlice(after int64) (slice []blobRow, err error) {
	const head = `SELECT b.id, b.size, b.crc32c, b.sha256, b.key, b.file, b.sums, b.parts, coalesce(length(c.octets), -1), `
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
			if err := rows.Scan(&b.id, &b.size, &b.crc, &b.sha, &b.key, &b.file, &b.sums, &b.parts, &b.length, &b.octets); err != nil {
				return err
			}
			slice = append(slice, b)
		}
		return rows.Err()
	})
	return slice, err
}

func (c *checker) blob(b blobRow) error {
	if _, err := message.DecodeStructure(b.parts); err != nil {
		c.problem("structure is unreadable: blob %d: %v", b.id, err)
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
