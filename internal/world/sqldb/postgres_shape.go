package sqldb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"sync"
	"sync/atomic"
	"unicode/utf8"

	"yubin/internal/mail"
)

// Types of PostgreSQL, by their numbers in its catalog.
const (
	typeBool    = 16
	typeBytea   = 17
	typeChar    = 18
	typeName    = 19
	typeInt8    = 20
	typeInt2    = 21
	typeInt4    = 23
	typeText    = 25
	typeOID     = 26
	typeFloat4  = 700
	typeFloat8  = 701
	typeUnknown = 705
	typeBPChar  = 1042
	typeVarchar = 1043
	typeNumeric = 1700
	typeVoid    = 2278
)

// shape is a statement as the server understood it. It has the same name on all
// connections.
type shape struct {
	query   string // as the engine wrote it
	sql     string // as the server has it
	name    string
	params  []uint32 // types
	columns []uint32
	lock    LockWord // on the rows that a SELECT finds
}

// shapeKey is a statement of an engine; returning asks for the ids of an INSERT.
type shapeKey struct {
	query     string
	returning bool
}

// maxShapes is how many statements a database remembers, and a connection has
// prepared. Engines use a fixed set.
const (
	maxShapes   = 2048
	maxPrepared = 512
)

type shapes struct {
	known sync.Map // shapeKey to *shape
	count atomic.Int64
	named atomic.Int64
}

func (s *shapes) find(k shapeKey) *shape {
	if found, ok := s.known.Load(k); ok {
		return found.(*shape)
	}
	return nil
}

// draft is a shape that the server has not seen yet. The types of its parameters
// are those of the arguments where the text may leave them open.
func (s *shapes) draft(k shapeKey, args []Value) (*shape, error) {
	sql, lock, err := postgresWords.expand(k.query, " FOR UPDATE")
	if err != nil {
		return nil, err
	}
	if k.returning {
		sql += " RETURNING id"
	}
	d := &shape{query: k.query, sql: sql, lock: lock, name: "s" + strconv.FormatInt(s.named.Add(1), 36)}
	for _, v := range args {
		d.params = append(d.params, map[Kind]uint32{Int: typeInt8, Real: typeFloat8}[v.Kind])
	}
	return d, nil
}

// keep remembers a shape, instead of any other if there are too many.
func (s *shapes) keep(k shapeKey, d *shape) {
	if _, there := s.known.LoadOrStore(k, d); there {
		return
	}
	if s.count.Add(1) <= maxShapes {
		return
	}
	s.known.Range(func(other, _ any) bool {
		if other == k {
			return true
		}
		s.known.Delete(other)
		s.count.Add(-1)
		return false
	})
}

// appendArgument appends an argument as Bind has it: its length, then its octets in
// the server's binary form.
func appendArgument(dst []byte, kind uint32, v Value) ([]byte, error) {
	be := binary.BigEndian
	switch v.Kind {
	case Null:
		return be.AppendUint32(dst, math.MaxUint32), nil
	case Int:
		switch kind {
		case typeInt8:
			return be.AppendUint64(be.AppendUint32(dst, 8), uint64(v.Int)), nil
		case typeInt4, typeOID:
			if kind == typeInt4 && int64(int32(v.Int)) == v.Int || kind == typeOID && int64(uint32(v.Int)) == v.Int {
				return be.AppendUint32(be.AppendUint32(dst, 4), uint32(v.Int)), nil
			}
		case typeInt2:
			if int64(int16(v.Int)) == v.Int {
				return be.AppendUint16(be.AppendUint32(dst, 2), uint16(v.Int)), nil
			}
		case typeBool:
			b := byte(0)
			if v.Int != 0 {
				b = 1
			}
			return append(be.AppendUint32(dst, 1), b), nil
		case typeFloat8:
			return be.AppendUint64(be.AppendUint32(dst, 8), math.Float64bits(float64(v.Int))), nil
		}
	case Real:
		if kind == typeFloat8 {
			return be.AppendUint64(be.AppendUint32(dst, 8), math.Float64bits(v.Real)), nil
		}
	case Text, Octets:
		switch kind {
		case typeText, typeVarchar, typeName, typeBPChar, typeUnknown:
			if v.Kind == Octets && (!utf8.Valid(v.Octets) || bytes.IndexByte(v.Octets, 0) >= 0) {
				return dst, mail.Errorf(mail.Invalid, "text that is not UTF-8 cannot be stored")
			}
			return appendOctets(dst, v.Octets)
		case typeBytea:
			return appendOctets(dst, v.Octets)
		}
	}
	return dst, mail.Errorf(mail.Internal, "%v does not fit the type %d that PostgreSQL gave the parameter; say CAST($n AS …)", v.Kind, kind)
}

func appendOctets(dst, octets []byte) ([]byte, error) {
	if len(octets) > math.MaxInt32/2 {
		return dst, mail.Errorf(mail.Internal, "%d octets cannot be stored", len(octets))
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(octets))), octets...), nil
}

// column makes a value of a column in the server's binary form; nil is NULL.
func column(kind uint32, b []byte) (Value, error) {
	if b == nil {
		return Value{}, nil
	}
	be := binary.BigEndian
	switch {
	case (kind == typeInt8) && len(b) == 8:
		return Value{Kind: Int, Int: int64(be.Uint64(b))}, nil
	case kind == typeInt4 && len(b) == 4:
		return Value{Kind: Int, Int: int64(int32(be.Uint32(b)))}, nil
	case kind == typeOID && len(b) == 4:
		return Value{Kind: Int, Int: int64(be.Uint32(b))}, nil
	case kind == typeInt2 && len(b) == 2:
		return Value{Kind: Int, Int: int64(int16(be.Uint16(b)))}, nil
	case kind == typeBool && len(b) == 1:
		return Value{Kind: Int, Int: int64(b[0])}, nil
	case kind == typeFloat8 && len(b) == 8:
		return Value{Kind: Real, Real: math.Float64frombits(be.Uint64(b))}, nil
	case kind == typeFloat4 && len(b) == 4:
		return Value{Kind: Real, Real: float64(math.Float32frombits(be.Uint32(b)))}, nil
	case kind == typeNumeric:
		return numeric(b)
	case kind == typeBytea:
		return Value{Kind: Octets, Octets: b}, nil
	case kind == typeVoid:
		return Value{}, nil
	}
	switch kind {
	case typeText, typeVarchar, typeName, typeChar, typeBPChar, typeUnknown:
		return Value{Kind: Text, Octets: b}, nil
	}
	return Value{}, fmt.Errorf("a column of the type %d: say CAST(… AS TEXT) or BIGINT", kind)
}

// numeric reads what sums are: an integer if it is whole and has room, else a float.
func numeric(b []byte) (Value, error) {
	const negative, special = 0x4000, 0xC000
	if len(b) < 8 {
		return Value{}, fmt.Errorf("a number of %d octets", len(b))
	}
	be := binary.BigEndian
	digits, weight, sign := int(be.Uint16(b)), int(int16(be.Uint16(b[2:]))), be.Uint16(b[4:])
	if sign&special == special || len(b) != 8+2*digits {
		return Value{}, fmt.Errorf("a number that is none")
	}
	whole, fits, real := int64(0), weight < 5, 0.0
	for i := range max(digits, weight+1) {
		d := int64(0)
		if i < digits {
			d = int64(be.Uint16(b[8+2*i:]))
		}
		real += float64(d) * math.Pow(10_000, float64(weight-i))
		switch {
		case i > weight:
			fits = fits && d == 0
		case whole > (math.MaxInt64-d)/10_000:
			fits = false
		default:
			whole = whole*10_000 + d
		}
	}
	if sign == negative {
		whole, real = -whole, -real
	}
	if fits {
		return Value{Kind: Int, Int: whole}, nil
	}
	return Value{Kind: Real, Real: real}, nil
}
