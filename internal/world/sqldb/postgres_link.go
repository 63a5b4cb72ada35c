package sqldb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"yubin/internal/mail"
)

// link is one connection. Not safe for concurrent use.
//
// What is put on it stays in memory until flush, or until a query wants its first
// row: then all of it travels at once, closed by a Sync, and the server answers
// each in turn. After the first that fails it skips the rest.
type link struct {
	db    *postgres
	conn  net.Conn
	front *pgproto3.Frontend // reads; what is sent is in out
	pid   uint32
	epoch int       // of the pool when it was opened
	life  life      // of the server when it was opened
	since time.Time // unused

	out      []byte     // not sent yet
	owed     []owed     // in the order in which the server answers
	head     int        // of owed: before it all is answered
	sent     int        // of owed: before it all is sent
	awaits   bool       // a Sync was sent whose ReadyForQuery has not come
	writing  chan error // tells how the rest of what was sent went; nil for none
	prepared map[*shape]struct{}
	portals  int   // names given in this transaction
	status   byte  // of the transaction, as the server says
	patient  bool  // the server may take long over an answer
	answered bool  // something was answered in this transaction
	lost     error // nothing can be done with it any more
}

// owed is what the server has to answer to one message that was put.
type owed struct {
	shape *shape  // nil for the end of a portal or a statement
	parse bool    // the statement was not known to be prepared
	into  *portal // takes the rows and the end; nil drops them
}

// sentAtOnce is how much is written before the answers are read: more is written
// beside that, as the server might answer before it has read all.
const sentAtOnce = 32 << 10

func newLink(db *postgres, c *pgconn.PgConn, epoch int) (*link, error) {
	h, err := c.Hijack()
	if err != nil {
		return nil, err
	}
	l := &link{db: db, conn: h.Conn, front: h.Frontend, pid: h.PID, epoch: epoch, status: 'I', prepared: map[*shape]struct{}{}}
	if l.life, err = l.asksLife(); err != nil {
		l.close()
		return nil, err
	}
	db.lives.see(l.life)
	return l, nil
}

// close says good-bye, if anybody listens.
func (l *link) close() {
	if l.lost == nil {
		_ = l.conn.SetDeadline(time.Now().Add(time.Second))
		out, _ := (&pgproto3.Terminate{}).Encode(nil)
		_, _ = l.conn.Write(out)
		l.lost = net.ErrClosed
	}
	_ = l.conn.Close()
}

// lose makes the link one that was lost.
func (l *link) lose(err error) error {
	if l.lost == nil {
		l.lost = &lost{err}
		_ = l.conn.Close()
	}
	if l.writing != nil {
		<-l.writing
		l.writing = nil
	}
	l.awaits, l.out = false, nil
	l.sent = len(l.owed)
	l.skip(l.lost)
	return l.lost
}

// message begins a message of the protocol; endMessage puts its length in.
func (l *link) message(kind byte) int {
	l.out = append(l.out, kind, 0, 0, 0, 0)
	return len(l.out) - 4
}

func (l *link) endMessage(at int) {
	binary.BigEndian.PutUint32(l.out[at:], uint32(len(l.out)-at))
}

func (l *link) text(s string) { l.out = append(append(l.out, s...), 0) }

// put puts one execution of a statement. Its rows and its end go into p, which may
// be nil; at most rows of them if that is not 0. An error is about an argument,
// and then nothing is put.
func (l *link) put(s *shape, args []Value, p *portal, rows uint32) error {
	name := ""
	if p != nil {
		name = p.name
	}
	o := owed{shape: s, into: p}
	_, there := l.prepared[s]
	if !there {
		l.makeRoom()
	}
	before := len(l.out)
	if !there {
		o.parse = true
		l.parse(s)
		l.prepared[s] = struct{}{}
	}
	at := l.message('B')
	l.text(name)
	l.text(s.name)
	l.out = append(l.out, 0, 1, 0, 1) // All arguments are in binary form.
	l.out = binary.BigEndian.AppendUint16(l.out, uint16(len(s.params)))
	for i, kind := range s.params {
		var err error
		if i >= len(args) {
			err = mail.Errorf(mail.Internal, "argument $%d is missing", i+1)
		} else if l.out, err = appendArgument(l.out, kind, args[i]); err != nil {
			err = argument(i+1, err)
		}
		if err != nil {
			l.out = l.out[:before]
			if o.parse {
				delete(l.prepared, s)
			}
			return err
		}
	}
	l.out = append(l.out, 0, 1, 0, 1) // So are all columns.
	l.endMessage(at)
	l.execute(name, rows)
	l.owed = append(l.owed, o)
	return nil
}

func (l *link) parse(s *shape) {
	at := l.message('P')
	l.text(s.name)
	l.text(s.sql)
	l.out = binary.BigEndian.AppendUint16(l.out, uint16(len(s.params)))
	for _, kind := range s.params {
		l.out = binary.BigEndian.AppendUint32(l.out, kind)
	}
	l.endMessage(at)
}

func (l *link) execute(portal string, rows uint32) {
	at := l.message('E')
	l.text(portal)
	l.out = binary.BigEndian.AppendUint32(l.out, rows)
	l.endMessage(at)
}

// drop puts the end of a portal ('P') or of a statement ('S').
func (l *link) drop(what byte, name string) {
	at := l.message('C')
	l.out = append(l.out, what)
	l.text(name)
	l.endMessage(at)
	l.owed = append(l.owed, owed{})
}

// makeRoom drops a prepared statement if there are too many.
func (l *link) makeRoom() {
	if len(l.prepared) < maxPrepared {
		return
	}
	for s := range l.prepared {
		if !l.waitsFor(s) {
			l.drop('S', s.name)
			delete(l.prepared, s)
			return
		}
	}
}

func (l *link) waitsFor(s *shape) bool {
	for _, o := range l.owed[l.head:] {
		if o.shape == s {
			return true
		}
	}
	return false
}

// know returns the shape of a statement, and asks the server if nobody did yet.
func (l *link) know(k shapeKey, args []Value) (*shape, error) {
	if s := l.db.shapes.find(k); s != nil {
		return s, nil
	}
	if err := l.flush(); err != nil { // What was put may make what the statement is about.
		return nil, err
	}
	s, err := l.db.shapes.draft(k, args)
	if err != nil {
		return nil, err
	}
	l.makeRoom()
	l.prepared[s] = struct{}{}
	l.parse(s)
	at := l.message('D')
	l.out = append(l.out, 'S')
	l.text(s.name)
	l.endMessage(at)
	l.owed = append(l.owed, owed{shape: s, parse: true})
	if err := l.flush(); err != nil {
		return nil, err
	}
	l.db.shapes.keep(k, s)
	return s, nil
}

// flush sends what was put and waits until all of it is answered. The error is of
// the first that failed.
func (l *link) flush() error {
	if l.lost != nil {
		return l.lost
	}
	if err := l.settle(); err != nil {
		return err
	}
	if l.sent == len(l.owed) {
		return nil
	}
	l.db.trips.Add(1)
	begun := time.Now()
	if err := l.send(); err != nil {
		return err
	}
	if err := l.receive(nil); err != nil {
		return err
	}
	l.db.travelled(time.Since(begun))
	return nil
}

// settle reads what is still coming in, and keeps it for who wants it.
func (l *link) settle() error {
	if !l.awaits {
		return nil
	}
	return l.receive(nil)
}

// send sends what was put.
func (l *link) send() error {
	at := l.message('S')
	l.endMessage(at)
	limit := l.db.o.Timeout + min(graceTime, l.db.o.Timeout)
	if l.patient {
		limit = patientTime
	}
	if err := l.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return l.lose(err)
	}
	l.awaits, l.sent = true, len(l.owed)
	if len(l.out) <= sentAtOnce {
		_, _ = l.conn.Write(l.out) // If that fails, the server may have said why: receive finds it.
		l.out = l.out[:0]
		return nil
	}
	rest := l.out
	l.out = nil
	l.writing = make(chan error, 1)
	go func(done chan error) {
		_, err := l.conn.Write(rest)
		done <- err
	}(l.writing)
	return nil
}

// receive reads answers: until the first row for want, or until all that was sent
// is answered. The error is of the first statement that failed.
func (l *link) receive(want *portal) error {
	var failed error
	for {
		m, err := l.front.Receive()
		if err != nil {
			var said *refusal
			if errors.As(failed, &said) && said.fatal {
				err = failed
			}
			return l.lose(err)
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			l.answered = true
			if p := l.first().into; p != nil {
				if p == want {
					p.take(m.Values)
					return nil
				}
				p.keep(m.Values)
			}
		case *pgproto3.ParseComplete:
			if l.head < l.sent {
				l.owed[l.head].parse = false
			}
		case *pgproto3.CommandComplete:
			l.answered = true
			if p := l.first().into; p != nil {
				p.ends(m.CommandTag)
			}
			l.pop()
		case *pgproto3.EmptyQueryResponse:
			if p := l.first().into; p != nil {
				p.ends(nil)
			}
			l.pop()
		case *pgproto3.PortalSuspended:
			if p := l.first().into; p != nil {
				p.suspended, p.coming = true, false
			}
			l.pop()
		case *pgproto3.CloseComplete:
			l.pop()
		case *pgproto3.ParameterDescription:
			l.first().shape.params = append([]uint32(nil), m.ParameterOIDs...)
		case *pgproto3.RowDescription:
			s := l.first().shape
			for _, f := range m.Fields {
				s.columns = append(s.columns, f.DataTypeOID)
			}
			l.pop()
		case *pgproto3.NoData:
			l.pop()
		case *pgproto3.ErrorResponse:
			r := newRefusal(m)
			if failed == nil {
				failed = r
				if s := l.first().shape; s != nil {
					failed = &inStatement{s.query, r}
				}
			}
			l.skip(failed)
			if r.fatal {
				return l.lose(failed)
			}
		case *pgproto3.ReadyForQuery:
			l.status, l.awaits = m.TxStatus, false
			if l.writing != nil {
				err := <-l.writing
				l.writing = nil
				if err != nil {
					return l.lose(err)
				}
			}
			return failed
		case *pgproto3.BindComplete, *pgproto3.NoticeResponse, *pgproto3.ParameterStatus, *pgproto3.NotificationResponse:
		default:
			return l.lose(fmt.Errorf("the server sent %T", m))
		}
	}
}

// first is what the next answer is about.
func (l *link) first() owed {
	if l.head == l.sent {
		return owed{shape: &shape{}}
	}
	return l.owed[l.head]
}

func (l *link) pop() {
	if l.head < l.sent {
		l.owed[l.head] = owed{}
		l.head++
	}
	if l.head == len(l.owed) {
		l.owed, l.head, l.sent = l.owed[:0], 0, 0
	}
}

// skip gives up what was sent, as the server skips it after err.
func (l *link) skip(err error) {
	for _, o := range l.owed[l.head:l.sent] {
		if o.parse {
			delete(l.prepared, o.shape)
		}
		if o.into != nil {
			o.into.fails(err)
		}
	}
	l.owed = append(l.owed[:0], l.owed[l.sent:]...)
	l.head, l.sent = 0, 0
}

// forget gives up what was not sent.
func (l *link) forget() {
	for _, o := range l.owed[l.sent:] {
		if o.parse {
			delete(l.prepared, o.shape)
		}
	}
	l.owed, l.out = l.owed[:l.sent], l.out[:0]
}

// inStatement is an error with the statement that it is of.
type inStatement struct {
	query string
	err   error
}

func (a *inStatement) Error() string { return fmt.Sprintf("%v in %q", a.err, a.query) }

func (a *inStatement) Unwrap() error { return a.err }

// leave ends the transaction, if there is one, without waiting for the answer.
func (l *link) leave() {
	l.forget()
	if _ = l.settle(); l.lost != nil {
		return
	}
	l.patient, l.answered, l.portals = false, false, 0
	if l.status == 'I' {
		return
	}
	_ = l.put(rollbackShape, nil, nil, 0)
	_ = l.send()
}

// rest waits for the end of a transaction that leave did not wait for.
func (l *link) rest() error {
	if l.lost != nil {
		return l.lost
	}
	if l.awaits {
		_ = l.conn.SetDeadline(time.Now().Add(graceTime))
	}
	if err := l.settle(); err != nil {
		return err
	}
	l.answered = false
	if l.status != 'I' {
		return l.lose(fmt.Errorf("the transaction did not end"))
	}
	return nil
}

// ask runs one statement outside of a transaction and returns its first row.
func (l *link) ask(query string, args ...any) ([]Value, error) {
	values, err := appendValues(nil, args)
	if err != nil {
		return nil, err
	}
	s, err := l.know(shapeKey{query: query}, values)
	if err != nil {
		return nil, err
	}
	p := newPortal(l, s)
	if err := l.put(s, values, p, 0); err != nil {
		return nil, err
	}
	if err := l.flush(); err != nil {
		return nil, err
	}
	more, err := p.step()
	if !more {
		return nil, err
	}
	var row []Value
	for i := range s.columns {
		v, err := p.value(i)
		if err != nil {
			return nil, err
		}
		v.Octets = append([]byte(nil), v.Octets...)
		row = append(row, v)
	}
	return row, nil
}

// What every transaction says, by names that no engine's statement has.
var (
	beginShape    = &shape{query: "BEGIN", name: "begin", sql: "BEGIN ISOLATION LEVEL READ COMMITTED"}
	snapshotShape = &shape{query: "BEGIN", name: "snapshot", sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
	commitShape   = &shape{query: "COMMIT", name: "commit", sql: "COMMIT"}
	rollbackShape = &shape{query: "ROLLBACK", name: "rollback", sql: "ROLLBACK"}
	whoShape      = &shape{query: "BEGIN", name: "who", sql: "SELECT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)", columns: []uint32{typeInt8}}
	lockShape     = &shape{query: "a lock", name: "lock", sql: "SELECT pg_advisory_xact_lock($1)", params: []uint32{typeInt8}, columns: []uint32{typeVoid}}
)

// portal is the result of one execution of a statement.
type portal struct {
	l     *link
	shape *shape
	name  string // empty for one that is read in one go

	row       [][]byte   // the current one
	octets    []byte     // of it
	ahead     [][][]byte // rows that were read before they were wanted
	coming    bool       // rows may be coming in
	suspended bool       // the server has more
	done      bool
	dropped   bool  // nobody wants the rows
	undone    bool  // it was a COMMIT, and the server rolled back
	changed   int64 // rows
	err       error

	rows, size int64 // that were given, and how many octets
}

func newPortal(l *link, s *shape) *portal { return &portal{l: l, shape: s, coming: true} }

// Rows that are fetched at a time, and octets at most, about.
const (
	firstRows   = 64
	leastRows   = 16
	mostRows    = 10_000
	fetchOctets = 1 << 20
)

func (p *portal) fails(err error) {
	p.err, p.coming, p.suspended, p.done = err, false, false, true
}

func (p *portal) ends(tag []byte) {
	p.coming, p.suspended, p.done = false, false, true
	p.undone = string(tag) == "ROLLBACK"
	n, _ := strconv.ParseInt(string(tag[bytes.LastIndexByte(tag, ' ')+1:]), 10, 64)
	p.changed = n
}

// keep keeps a row that came before it was wanted.
func (p *portal) keep(row [][]byte) {
	if p.dropped {
		return
	}
	kept := make([][]byte, len(row))
	copyRow(kept, row, nil)
	p.ahead = append(p.ahead, kept)
}

// take makes row the current one. It is the link's until that receives more, which
// may be for another result; so it is copied to where the one before was.
func (p *portal) take(row [][]byte) {
	if cap(p.row) < len(row) {
		p.row = make([][]byte, len(row))
	}
	p.row = p.row[:len(row)]
	p.octets = copyRow(p.row, row, p.octets[:0])
}

// copyRow copies a row into dst, its octets into all, which it returns.
func copyRow(dst, row [][]byte, all []byte) []byte {
	n := 1 // So that what is empty is not nil, which is NULL.
	for _, b := range row {
		n += len(b)
	}
	if all = slices.Grow(all, n); all == nil {
		all = []byte{} // What is empty is not NULL.
	}
	for i, b := range row {
		dst[i] = nil
		if b != nil {
			all = append(all, b...)
			dst[i] = all[len(all)-len(b) : len(all) : len(all)]
		}
	}
	return all
}

func (p *portal) step() (bool, error) {
	for {
		switch {
		case len(p.ahead) > 0:
			p.row, p.ahead = p.ahead[0], p.ahead[1:]
			p.count()
			return true, nil
		case p.err != nil:
			return false, p.err
		case p.coming:
			p.row = p.row[:0]
			if err := p.l.receive(p); err != nil {
				return false, err
			}
			if len(p.row) > 0 {
				p.count()
				return true, nil
			}
		case p.suspended:
			if err := p.more(); err != nil {
				return false, err
			}
		default:
			return false, nil
		}
	}
}

func (p *portal) count() {
	p.rows++
	for _, b := range p.row {
		p.size += int64(len(b))
	}
}

// more asks for further rows, as many as fit fetchOctets if they are like those before.
func (p *portal) more() error {
	if p.name == "" { // Who wanted one row has it.
		p.suspended, p.done = false, true
		return nil
	}
	if err := p.l.settle(); err != nil {
		return err
	}
	n := max(leastRows, min(mostRows, fetchOctets/max(1, p.size/max(1, p.rows))))
	p.suspended, p.coming = false, true
	p.l.execute(p.name, uint32(n))
	p.l.owed = append(p.l.owed, owed{shape: p.shape, into: p})
	p.l.db.trips.Add(1)
	return p.l.send()
}

func (p *portal) width() int { return len(p.shape.columns) }

func (p *portal) value(i int) (Value, error) { return column(p.shape.columns[i], p.row[i]) }

// end gives up what has not been read.
func (p *portal) end() {
	p.dropped, p.ahead = true, nil
	if p.l.lost != nil {
		return
	}
	if p.coming && p.l.awaits {
		_ = p.l.settle()
	}
	if p.name != "" && p.l.lost == nil && p.l.status == 'T' {
		p.l.drop('P', p.name)
	}
}
