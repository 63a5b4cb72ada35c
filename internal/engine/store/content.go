package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// sumBlock is how many octets of a file have a checksum of their own.
const sumBlock = InlineMax

// Content is the octets of a message: the prefix of its recipient, then what was
// received. Reading at offsets is safe for concurrent use. Nothing is given out
// that does not match its checksum: octets in the database are compared when
// they are read, those of a file block by block whenever they are. What is
// damaged gives an error of kind Internal, and is logged once.
type Content struct {
	s      *Store
	blob   int64
	prefix []byte
	octets []byte // if file is nil
	size   int64  // of octets or file
	sums   []byte // of file
	file   *os.File

	mu    sync.Mutex
	block []byte // of file, pooled; it matches its checksum
	at    int64  // where block begins
}

// open opens the file, if there is one, or else compares octets with their
// checksum.
func (c *Content) open(file string, crc int64) error {
	if file == "" {
		if int64(len(c.octets)) != c.size || crc32.Checksum(c.octets, castagnoli()) != uint32(crc) {
			return c.s.damagedBlob(c.blob, "its content does not match its checksum")
		}
		return nil
	}
	f, err := c.s.blobs.Open(file)
	if mail.KindOf(err) == mail.NotFound && err != nil {
		return c.s.damagedBlob(c.blob, "its file is missing")
	}
	c.file = f
	return err
}

// Verify says whether the octets from off to end can be read, so that nobody
// begins to give out what is damaged. Those of a file are read for it.
func (c *Content) Verify(off, end int64) error {
	if c.file == nil {
		return nil
	}
	prefix := int64(len(c.prefix))
	return c.eachBlock(max(off-prefix, 0), min(end-prefix, c.size), func([]byte) error { return nil })
}

// eachBlock calls fn with the octets of the file from off to end, a block at a
// time. fn must not keep them.
func (c *Content) eachBlock(off, end int64, fn func([]byte) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for off < end {
		if err := c.load(off); err != nil {
			return err
		}
		b := c.block[off-c.at : min(end-c.at, int64(len(c.block)))]
		if err := fn(b); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// load reads the block that off is in, if it is not the one at hand.
func (c *Content) load(off int64) error {
	n := off / sumBlock
	if c.block != nil && c.at == n*sumBlock {
		return nil
	}
	block := c.block
	if block == nil {
		block = newBuffer(InlineMax)
	}
	c.block = nil
	block = block[:min(sumBlock, c.size-n*sumBlock)]
	_, err := c.file.ReadAt(block, n*sumBlock)
	if err == nil && int64(len(c.sums)) >= 4*n+4 && crc32.Checksum(block, castagnoli()) == binary.BigEndian.Uint32(c.sums[4*n:]) {
		c.block, c.at = block, n*sumBlock
		return nil
	}
	freeBuffer(block)
	if err != nil && err != io.EOF {
		return &mail.Error{Kind: mail.Unavailable, Text: "cannot read a message file", Err: err}
	}
	return c.s.damagedBlob(c.blob, "its file does not match its checksum")
}

// Size returns the octets of the whole message.
func (c *Content) Size() int64 { return int64(len(c.prefix)) + c.size }

// ReadAt implements io.ReaderAt.
func (c *Content) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, mail.Errorf(mail.Internal, "negative offset in a message")
	}
	if off < int64(len(c.prefix)) {
		n = copy(p, c.prefix[off:])
	}
	if n == len(p) {
		return n, nil
	}
	m, err := c.readBody(p[n:], off+int64(n)-int64(len(c.prefix)))
	return n + m, err
}

func (c *Content) readBody(p []byte, off int64) (n int, err error) {
	if off >= c.size {
		return 0, io.EOF
	}
	end := min(c.size, off+int64(len(p)))
	if c.file == nil {
		n = copy(p, c.octets[off:])
	} else {
		err = c.eachBlock(off, end, func(b []byte) error {
			n += copy(p[n:], b)
			return nil
		})
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// WriteRange writes the octets from off to end, which must be within the
// message. They are not copied.
func (c *Content) WriteRange(w io.Writer, off, end int64) error {
	_, err := c.writeRange(w, off, end)
	return err
}

func (c *Content) writeRange(w io.Writer, off, end int64) (written int64, err error) {
	if end > c.Size() {
		return 0, io.ErrUnexpectedEOF
	}
	prefix := int64(len(c.prefix))
	write := func(b []byte) error {
		n, err := w.Write(b)
		written += int64(n)
		return err
	}
	if off < min(prefix, end) {
		if err := write(c.prefix[off:min(prefix, end)]); err != nil {
			return written, err
		}
		off = prefix
	}
	switch {
	case off >= end:
		return written, nil
	case c.file == nil:
		return written, write(c.octets[off-prefix : end-prefix])
	}
	return written, c.eachBlock(off-prefix, end-prefix, write)
}

// WriteTo writes the whole message.
func (c *Content) WriteTo(w io.Writer) (int64, error) { return c.writeRange(w, 0, c.Size()) }

// ASCII reads what stands for the message in ASCII: see message.Surrogate. The
// content is read twice, once here; hold is told how many octets of memory that and
// the reader take.
func (c *Content) ASCII(hold func(octets int) error) (io.Reader, error) {
	p := message.NewParser()
	body := io.NewSectionReader(c, int64(len(c.prefix)), c.size)
	if _, err := io.Copy(heldParser{p, hold}, body); err != nil {
		return nil, err
	}
	s := p.Finish().Surrogate
	if err := hold(s.Memory()); err != nil {
		return nil, err
	}
	n := message.PrefixSize(c.prefix)
	prefix, _ := message.SurrogateFields(c.prefix[:n])
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(prefix), bytes.NewReader(c.prefix[n:]), s.Reader(body)), nil
}

// heldParser is a Parser whose memory is accounted for.
type heldParser struct {
	*message.Parser
	hold func(octets int) error
}

func (h heldParser) Write(b []byte) (int, error) {
	if err := h.hold(h.Memory()); err != nil {
		return 0, err
	}
	return h.Parser.Write(b)
}

// Close gives a file back. It can be called more than once.
func (c *Content) Close() error {
	if c.file == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.block != nil {
		freeBuffer(c.block)
		c.block = nil
	}
	f := c.file
	c.file, c.size = nil, 0
	return f.Close()
}

// ErrDamaged is the cause (errors.Is) of an error about octets that are not what
// they were.
var ErrDamaged = errors.New("store: octets are damaged")

// damages are the blobs that were told to be damaged.
type damages struct {
	mu   sync.Mutex
	told map[int64]bool
}

// maxDamages is how many are remembered; whoever has more hears of some again.
const maxDamages = 4096

// damagedBlob is an error for who wanted a blob, and is logged once.
func (s *Store) damagedBlob(blob int64, why string) error {
	err := &mail.Error{Kind: mail.Internal, Text: fmt.Sprintf("blob %d is damaged: %s", blob, why), Err: ErrDamaged}
	s.damages.mu.Lock()
	defer s.damages.mu.Unlock()
	if s.damages.told[blob] {
		return err
	}
	if s.damages.told == nil || len(s.damages.told) >= maxDamages {
		s.damages.told = make(map[int64]bool)
	}
	s.damages.told[blob] = true
	s.log.Error("a message is damaged and is not given out; yubin check --deep lists all that are, a backup may have it", "blob", blob, "err", err)
	return err
}
