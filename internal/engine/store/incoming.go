package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"sync"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/blob"
	"yubin/internal/world/heap"
)

// Incoming is a message being received. It hashes and parses as the octets
// come; up to InlineMax stay in memory, if there is memory, and more go to a file. Not safe for
// concurrent use.
type Incoming struct {
	s      *Store
	buf    []byte    // pooled; all octets, or those not in file yet
	held   heap.Hold // for buf, the parser and what it made
	file   *blob.File
	name   string // of the file once it is kept
	size   int64
	ends   message.LineEnds
	sha    hash.Hash
	crc    uint32 // of the block that is coming
	sums   []byte // of the blocks before it
	parser *message.Parser
	msg    *message.Message
	id     mail.BlobID
	taken  bool // the store has it
	parsed int  // octets that the parser or msg takes
}

// NewIncoming starts to receive a message. Close it.
func (s *Store) NewIncoming() *Incoming {
	return &Incoming{s: s, sha: sha256.New(), parser: message.NewParser()}
}

// CountFor makes what in holds in memory count for s from now on.
func (in *Incoming) CountFor(s *heap.Share) { in.held.Of(s) }

// hold counts what is held, and size octets for the buffer.
func (in *Incoming) hold(size int) error {
	if in.parser != nil {
		in.parsed = in.parser.Memory()
	}
	return in.held.Grow(size + in.parsed)
}

// Sizes of the buffer of an Incoming: it grows with the message.
const (
	smallBuffer  = 4 << 10
	mediumBuffer = 16 << 10
)

var (
	smallPool  = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	mediumPool = sync.Pool{New: func() any { return new([mediumBuffer]byte) }}
	largePool  = sync.Pool{New: func() any { return new([InlineMax]byte) }}
)

// newBuffer returns an empty buffer for n octets, or as many as there may be.
func newBuffer(n int) []byte {
	switch {
	case n <= smallBuffer:
		return smallPool.Get().(*[smallBuffer]byte)[:0]
	case n <= mediumBuffer:
		return mediumPool.Get().(*[mediumBuffer]byte)[:0]
	}
	return largePool.Get().(*[InlineMax]byte)[:0]
}

func freeBuffer(b []byte) {
	switch b = b[:cap(b)]; len(b) {
	case smallBuffer:
		smallPool.Put((*[smallBuffer]byte)(b))
	case mediumBuffer:
		mediumPool.Put((*[mediumBuffer]byte)(b))
	case InlineMax:
		largePool.Put((*[InlineMax]byte)(b))
	}
}

// castagnoli makes the table of CRC-32C; the library caches it.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Write adds octets. It fails only when the disk does, with kind Unavailable.
func (in *Incoming) Write(p []byte) (int, error) {
	if in.msg != nil {
		return 0, mail.Errorf(mail.Internal, "octets after the end of a message")
	}
	in.sha.Write(p)
	in.sum(p)
	_, _ = in.parser.Write(p)
	in.size += int64(len(p))
	in.ends.Count(p)
	if err := in.hold(cap(in.buf)); err != nil {
		return 0, err
	}
	return len(p), in.keep(p)
}

// sum adds p to the checksums.
func (in *Incoming) sum(p []byte) {
	for at := in.size; len(p) > 0; {
		if at > 0 && at%sumBlock == 0 {
			in.endBlock()
		}
		n := min(int64(len(p)), sumBlock-at%sumBlock)
		in.crc = crc32.Update(in.crc, castagnoli(), p[:n])
		p, at = p[n:], at+n
	}
}

func (in *Incoming) endBlock() {
	in.sums = binary.BigEndian.AppendUint32(in.sums, in.crc)
	in.crc = 0
}

// keep puts p into the buffer, and the buffer into a file when it is full and may
// not grow.
func (in *Incoming) keep(p []byte) error {
	for len(p) > 0 {
		if len(in.buf) == cap(in.buf) && !in.grow(len(p)) {
			if err := in.spill(); err != nil {
				return err
			}
		}
		n := min(len(p), cap(in.buf)-len(in.buf))
		in.buf = append(in.buf, p[:n]...)
		p = p[n:]
	}
	return nil
}

// grow makes room for more octets in a larger buffer; false if there is none, or
// no memory for it.
func (in *Incoming) grow(more int) bool {
	if cap(in.buf) == InlineMax {
		return false
	}
	buf := newBuffer(max(len(in.buf)+more, 4*len(in.buf)))
	if !in.held.Try(cap(buf) + in.parsed) {
		freeBuffer(buf)
		if in.buf != nil {
			return false
		}
		buf = newBuffer(0)
	}
	buf = append(buf, in.buf...)
	freeBuffer(in.buf)
	in.buf = buf
	return true
}

func (in *Incoming) spill() (err error) {
	if in.file == nil {
		if in.file, err = in.s.blobs.Create(); err != nil {
			return err
		}
		in.s.arriving.Store(in.file.Name(), true)
	}
	_, err = in.file.Write(in.buf)
	in.buf = in.buf[:0]
	return err
}

// Size returns how many octets came.
func (in *Incoming) Size() int64 { return in.size }

// Header returns what is known of the header, once its end is: at the latest
// after Finish.
func (in *Incoming) Header() (message.Header, bool) {
	if in.msg != nil {
		return in.msg.Header, true
	}
	return in.parser.Header()
}

// HeaderSize returns how many octets the header has, or has so far.
func (in *Incoming) HeaderSize() int64 {
	if in.msg != nil {
		return in.msg.Header.Size
	}
	return in.parser.HeaderSize()
}

// BetweenFields is that of message.Parser; false after Finish.
func (in *Incoming) BetweenFields() bool { return in.msg == nil && in.parser.BetweenFields() }

// Before returns prefix as it must stand before the octets, so that they read as
// they do alone. Valid after Finish.
func (in *Incoming) Before(prefix []byte) []byte {
	if lead := in.msg.Header.Lead; len(prefix) > 0 && lead != "" {
		return append(prefix[:len(prefix):len(prefix)], lead...)
	}
	return prefix
}

// Finish ends the message: it is parsed, and synced if it is in a file. It can
// be called again and gives the same.
func (in *Incoming) Finish() (*message.Message, error) {
	if in.msg != nil {
		return in.msg, nil
	}
	if in.file != nil && in.name == "" {
		if err := in.spill(); err != nil {
			return nil, err
		}
		name, err := in.file.Keep()
		if err != nil {
			return nil, err
		}
		in.name = name
		in.endBlock()
	}
	in.sha.Sum(in.id[:0])
	msg := in.parser.Finish()
	if err := in.hold(cap(in.buf)); err != nil {
		return nil, err
	}
	in.msg, in.parser = msg, nil
	return in.msg, nil
}

// Blob returns the name of the octets. Valid after Finish.
func (in *Incoming) Blob() mail.BlobID { return in.id }

// Content gives the octets received, without any prefix, for who must look at
// them before they are delivered. Valid from Finish to Close; the caller
// closes it before that.
func (in *Incoming) Content() (*Content, error) {
	if _, err := in.Finish(); err != nil {
		return nil, err
	}
	c := &Content{s: in.s, octets: in.buf, size: in.size, sums: in.sums}
	if in.name != "" {
		f, err := in.s.blobs.Open(in.name)
		if err != nil {
			return nil, err
		}
		c.file, c.octets = f, nil
	}
	return c, nil
}

// Close drops what Deliver did not take. It can be called more than once.
func (in *Incoming) Close() {
	in.held.Release()
	freeBuffer(in.buf)
	in.buf = nil
	if in.file == nil {
		return
	}
	defer in.s.arriving.Delete(in.file.Name())
	if in.taken {
		return
	}
	if in.name == "" {
		in.file.Drop()
	} else if err := in.s.blobs.Remove(in.name); err != nil {
		in.s.log.Warn("a message file stays until it is swept", "file", in.name, "err", err)
	}
	in.file = nil
}

// inline returns the octets if they go into the database.
func (in *Incoming) inline() []byte {
	if in.file != nil {
		return nil
	}
	if in.buf == nil {
		return []byte{}
	}
	return in.buf
}

// ValidPrefix reports whether b can stand in front of a message.
func ValidPrefix(b []byte) bool {
	return len(b) <= MaxPrefix && (len(b) == 0 || bytes.HasSuffix(b, []byte("\r\n")))
}
