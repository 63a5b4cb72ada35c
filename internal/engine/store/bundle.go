package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// state is what changes of a message in a mailbox: an Entry with the numbers of
// its keywords.
type state struct {
	UID    mail.UID
	Flags  mail.Flags
	ModSeq mail.ModSeq
	words  words
}

// member is a membership: a message in a mailbox. All but the state never changes.
type member struct {
	state
	email    mail.EmailID
	blob     int64 // of the email, as the rest
	size     int64 // prefix and octets
	lacking  int64 // octets of CR and LF that its lines lack
	ascii    int64 // see the table email
	received int64 // seconds
	zone     int64 // minutes east of UTC
	saved    int64 // seconds
}

// Sizes of bundles. Three fit into a page of the database, and one that grew
// fits as well.
const (
	bundleOctets    = 1200             // one that has as many gets no more
	maxBundleOctets = 3 * bundleOctets // one that grew beyond is cut
	bundleFormat    = 1                // its first octet
)

// bundle is a row of membership: neighbours in a mailbox, ascending by UID.
//
// Octets: bundleFormat, then of each member UID, flags (one octet), ModSeq,
// email, blob, size, lacking, ascii and 1, received, saved less received, zone, how many octets
// its keywords have and those, see words. Numbers are varints; those after ascii can
// be negative. A member's octets do not depend on what stands before it.
type bundle struct {
	place   int64
	members []member
}

// place is the key of a bundle: the mailbox, then a UID that is no higher than
// those in the bundle and higher than those in the one before.
func place(id mail.MailboxID, uid mail.UID) int64 { return int64(id)<<32 | int64(uid) }

func placeMailbox(place int64) mail.MailboxID { return mail.MailboxID(place >> 32) }

func appendMember(b []byte, m *member) []byte {
	b = binary.AppendUvarint(b, uint64(m.UID))
	b = append(b, byte(m.Flags))
	b = binary.AppendUvarint(b, uint64(m.ModSeq))
	b = binary.AppendUvarint(b, uint64(m.email))
	b = binary.AppendUvarint(b, uint64(m.blob))
	b = binary.AppendUvarint(b, uint64(m.size))
	b = binary.AppendUvarint(b, uint64(m.lacking))
	b = binary.AppendUvarint(b, uint64(m.ascii+1))
	b = binary.AppendVarint(b, m.received)
	b = binary.AppendVarint(b, m.saved-m.received)
	b = binary.AppendVarint(b, m.zone)
	b = binary.AppendUvarint(b, uint64(len(m.words)))
	return append(b, m.words...)
}

// memberReader is a cursor over the octets of a bundle. The first error sticks.
type memberReader struct {
	octets []byte
	last   words // many are the same
	failed bool
}

func (r *memberReader) uvarint() uint64 {
	if len(r.octets) > 0 && r.octets[0] < 0x80 {
		n := r.octets[0]
		r.octets = r.octets[1:]
		return uint64(n)
	}
	n, size := binary.Uvarint(r.octets)
	if size <= 0 {
		r.octets, r.failed = nil, true
		return 0
	}
	r.octets = r.octets[size:]
	return n
}

func (r *memberReader) varint() int64 {
	n := r.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (r *memberReader) flags() mail.Flags {
	if len(r.octets) == 0 {
		r.failed = true
		return 0
	}
	f := mail.Flags(r.octets[0])
	r.octets = r.octets[1:]
	return f
}

func (r *memberReader) words() words {
	n := r.uvarint()
	if n == 0 {
		return ""
	}
	if n > uint64(len(r.octets)) {
		r.octets, r.failed = nil, true
		return ""
	}
	if string(r.octets[:n]) != string(r.last) {
		r.last = words(r.octets[:n])
	}
	r.octets = r.octets[n:]
	return r.last
}

// skip passes over n varints.
func (r *memberReader) skip(n int) {
	for i, b := range r.octets {
		if b >= 0x80 {
			continue
		}
		if n--; n == 0 {
			r.octets = r.octets[i+1:]
			return
		}
	}
	r.octets, r.failed = nil, true
}

func (r *memberReader) next(m *member) {
	m.UID = mail.UID(r.uvarint())
	m.Flags = r.flags()
	m.ModSeq = mail.ModSeq(r.uvarint())
	m.email = mail.EmailID(r.uvarint())
	m.blob = int64(r.uvarint())
	m.size = int64(r.uvarint())
	m.lacking = int64(r.uvarint())
	m.ascii = int64(r.uvarint()) - 1
	m.received = r.varint()
	m.saved = m.received + r.varint()
	m.zone = r.varint()
	m.words = r.words()
}

// nextState is next for who wants the state alone. fixed are the octets of what
// never changes.
func (r *memberReader) nextState(e *state) (fixed []byte) {
	e.UID = mail.UID(r.uvarint())
	e.Flags = r.flags()
	e.ModSeq = mail.ModSeq(r.uvarint())
	fixed = r.octets
	r.skip(8)
	fixed = fixed[:len(fixed)-len(r.octets)]
	e.words = r.words()
	return fixed
}

// emailOf is the email of a member of which nextState gave fixed.
func emailOf(fixed []byte) mail.EmailID {
	id, _ := binary.Uvarint(fixed)
	return mail.EmailID(id)
}

// appendState appends a member of which nextState gave fixed.
func appendState(b []byte, e *state, fixed []byte) []byte {
	b = binary.AppendUvarint(b, uint64(e.UID))
	b = append(b, byte(e.Flags))
	b = binary.AppendUvarint(b, uint64(e.ModSeq))
	b = append(b, fixed...)
	b = binary.AppendUvarint(b, uint64(len(e.words)))
	return append(b, e.words...)
}

func readMembers(octets []byte) memberReader {
	r := memberReader{octets: octets}
	r.failed = r.uvarint() != bundleFormat || len(r.octets) == 0
	return r
}

func (r *memberReader) more() bool { return len(r.octets) > 0 && !r.failed }

func damagedBundle(place int64) error {
	text := fmt.Sprintf("mailbox %d: what is kept of its messages from UID %d on is damaged", placeMailbox(place), uint32(place))
	return &mail.Error{Kind: mail.Internal, Text: text,
		Err: &sqldb.Unreadable{Row: fmt.Sprintf("mailbox %d", placeMailbox(place)), Err: errors.New(text)}}
}

// memberOctets is about what a member takes.
const memberOctets = 24

// appendMembers reads the octets of a bundle.
func appendMembers(list []member, place int64, octets []byte) ([]member, error) {
	r := readMembers(octets)
	list = slices.Grow(list, len(octets)/memberOctets+1)
	for r.more() {
		list = append(list, member{})
		r.next(&list[len(list)-1])
	}
	if r.failed {
		return nil, damagedBundle(place)
	}
	return list, nil
}

// eachBundle calls fn with the octets of the bundles of a range of UIDs, at
// most limit of them. fn must not write memberships, nor keep octets.
func eachBundle(tx *sqldb.Tx, id mail.MailboxID, r mail.UIDRange, limit int, fn func(place int64, octets []byte) error) error {
	rows, err := tx.Query(`SELECT place, entries FROM membership
		WHERE place >= coalesce((SELECT max(place) FROM membership WHERE place BETWEEN $1 AND $2), $2) AND place <= $3
		ORDER BY place LIMIT $4`, place(id, 0), place(id, r.First), place(id, r.Last), limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var octets sqldb.Borrowed
		if err := rows.Scan(&at, &octets); err != nil {
			return err
		}
		if err := fn(at, octets); err != nil {
			return err
		}
	}
	return rows.Err()
}

// packed is a bundle as the database has it.
type packed struct {
	place  int64
	octets []byte
}

// loadBundles returns what eachBundle gives. The octets stand in all, from its
// beginning, and all is returned to be used again.
func loadBundles(tx *sqldb.Tx, id mail.MailboxID, r mail.UIDRange, limit int, all []byte) (list []packed, _ []byte, err error) {
	all = all[:0]
	err = eachBundle(tx, id, r, limit, func(place int64, octets []byte) error {
		had := len(all)
		all = append(all, octets...)
		list = append(list, packed{place, all[had:len(all):len(all)]})
		return nil
	})
	return list, all, err
}

// eachMember calls fn for the members of a range of UIDs and those beside it
// in their bundles, ascending. fn must not write memberships, nor keep m.
func eachMember(tx *sqldb.Tx, id mail.MailboxID, r mail.UIDRange, fn func(m *member) error) error {
	var list []member
	return eachBundle(tx, id, r, everyBundle, func(place int64, octets []byte) (err error) {
		if list, err = appendMembers(list[:0], place, octets); err != nil {
			return err
		}
		for i := range list {
			if err := fn(&list[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachState is eachMember with their states alone.
func eachState(tx *sqldb.Tx, id mail.MailboxID, r mail.UIDRange, fn func(e *state) error) error {
	var last words
	return eachBundle(tx, id, r, everyBundle, func(place int64, octets []byte) error {
		var e state
		m := readMembers(octets)
		m.last = last
		for m.more() {
			if m.nextState(&e); m.failed {
				break
			}
			if err := fn(&e); err != nil {
				return err
			}
		}
		if m.failed {
			return damagedBundle(place)
		}
		last = m.last
		return nil
	})
}

// everyBundle is a limit for eachBundle: none.
const everyBundle = 1 << 40

// allUIDs is a range for eachBundle.
func allUIDs() mail.UIDRange { return mail.UIDRange{First: 0, Last: maxUID} }

// lastBundle is how large the last bundle of a mailbox is; place is 0 if there is none.
type lastBundle struct {
	known       bool // else the rest says nothing
	place, size int64
}

// lastBundleColumn is the last bundle of the mailbox of t in one number, the UID of its
// place and its size, which one look finds; NULL if there is none.
const lastBundleColumn = `(SELECT ((place & 4294967295) << 31) + length(entries) FROM membership
	WHERE place BETWEEN t.mailbox << 32 AND (t.mailbox << 32) + 4294967295 ORDER BY place DESC LIMIT 1)`

// readLastBundle reads what lastBundleColumn gave, 0 for NULL.
func readLastBundle(id mail.MailboxID, n int64) lastBundle {
	if n == 0 {
		return lastBundle{known: true}
	}
	return lastBundle{true, place(id, mail.UID(n>>31)), n & (1<<31 - 1)}
}

// addMembers puts members behind all others of a mailbox: some into the last
// bundle if there is room, the rest into new ones. What the last bundle holds is not
// read for it, which makes an arrival cheaper than a row of its own would be; how
// large it is, is read unless it is known.
func addMembers(tx *sqldb.Tx, id mail.MailboxID, last lastBundle, list []member) error {
	if !last.known {
		err := tx.QueryRow(`SELECT place, length(entries) FROM membership WHERE place BETWEEN $1 AND $2 ORDER BY place DESC LIMIT 1`,
			place(id, 0), place(id, maxUID)).Scan(&last.place, &last.size)
		if err != nil && err != sqldb.ErrNoRows {
			return err
		}
	}
	if last.place != 0 && last.size < bundleOctets {
		octets, n := pack(make([]byte, 0, 64), list, bundleOctets/2)
		tx.Do(`UPDATE membership SET entries = CAST(entries || $1 AS {blob}) WHERE place = $2`, octets, last.place)
		list = list[n:]
	}
	insertMembers(tx, id, list)
	return nil
}

// pack adds members to octets until they are so many and returns how many it took.
func pack(octets []byte, list []member, enough int) ([]byte, int) {
	n := 0
	for n < len(list) && len(octets) < enough {
		octets = appendMember(octets, &list[n])
		n++
	}
	return octets, n
}

// insertMembers makes bundles of members.
func insertMembers(tx *sqldb.Tx, id mail.MailboxID, list []member) {
	for len(list) > 0 {
		octets, n := pack([]byte{bundleFormat}, list, bundleOctets)
		tx.Do(`INSERT INTO membership (place, entries) VALUES ($1, $2)`, place(id, list[0].UID), octets)
		list = list[n:]
	}
}

func updateBundle(tx *sqldb.Tx, at int64, octets []byte) {
	tx.Do(`UPDATE membership SET entries = $1 WHERE place = $2`, octets, at)
}

// write replaces what a bundle holds in the database.
func (b *bundle) write(tx *sqldb.Tx) {
	if len(b.members) == 0 {
		tx.Do(`DELETE FROM membership WHERE place = $1`, b.place)
		return
	}
	octets := append(make([]byte, 0, maxBundleOctets), bundleFormat)
	for i := range b.members {
		octets = appendMember(octets, &b.members[i])
	}
	if len(octets) <= maxBundleOctets {
		updateBundle(tx, b.place, octets)
		return
	}
	octets, n := pack(append(octets[:0], bundleFormat), b.members, bundleOctets)
	updateBundle(tx, b.place, octets)
	insertMembers(tx, placeMailbox(b.place), b.members[n:])
}
