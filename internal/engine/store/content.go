package store

import (
	"hash/crc32"
	"io"
	"os"

	"yubin/internal/mail"
)

// Content is the octets of a message: the trace of its recipient, then what was
// received. Reading at offsets is safe for concurrent use.
type Content struct {
	s      *Store
	blob   int64
	prefix []byte
	octets []byte   // if file is nil
	file   *os.File // the same, in a file
	size   int64    // of octets or file
	crc    uint32   // CRC-32C of octets or file
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

func (c *Content) readBody(p []byte, off int64) (int, error) {
	switch {
	case off >= c.size:
		return 0, io.EOF
	case c.file != nil:
		n, err := c.file.ReadAt(p, off)
		if err != nil && err != io.EOF {
			err = &mail.Error{Kind: mail.Unavailable, Text: "cannot read a message file", Err: err}
		}
		return n, err
	}
	n := copy(p, c.octets[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteRange writes the octets from off to end, which must be within the
// message. Short content is written without being copied; no checksum is looked
// at.
func (c *Content) WriteRange(w io.Writer, off, end int64) error {
	trace := int64(len(c.prefix))
	if off < min(trace, end) {
		if _, err := w.Write(c.prefix[off:min(trace, end)]); err != nil {
			return err
		}
		off = trace
	}
	if off >= end {
		return nil
	}
	if c.file == nil && end-trace <= int64(len(c.octets)) {
		_, err := w.Write(c.octets[off-trace : end-trace])
		return err
	}
	_, err := io.CopyN(w, io.NewSectionReader(c, off, end-off), end-off)
	return err
}

// copyBuffer is how much of a file WriteTo holds in memory.
const copyBuffer = 32 << 10

// WriteTo writes the whole message. The checksum of a file is verified on the
// way: if it does not match, everything was written and the error is of kind
// Internal.
func (c *Content) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.prefix)
	if err != nil || c.file == nil {
		if err != nil {
			return int64(n), err
		}
		m, err := w.Write(c.octets)
		return int64(n + m), err
	}
	m, err := c.copyFile(w)
	return int64(n) + m, err
}

func (c *Content) copyFile(w io.Writer) (int64, error) {
	var buf [copyBuffer]byte
	var off int64
	var crc uint32
	for off < c.size {
		n, err := c.readBody(buf[:min(copyBuffer, c.size-off)], off)
		if n == 0 {
			return off, c.damaged(err)
		}
		crc = crc32.Update(crc, castagnoli(), buf[:n])
		m, err := w.Write(buf[:n])
		off += int64(m)
		if err != nil {
			return off, err
		}
	}
	if crc != c.crc {
		return off, c.damaged(nil)
	}
	return off, nil
}

func (c *Content) damaged(err error) error {
	if mail.KindOf(err) == mail.Unavailable && err != nil {
		return err
	}
	e := mail.Errorf(mail.Internal, "blob %d is damaged: its file does not match its checksum", c.blob)
	if c.s != nil {
		c.s.log.Error("store is damaged", "err", e)
	}
	return e
}

// Close gives a file back. It can be called more than once.
func (c *Content) Close() error {
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file, c.size = nil, 0
	return f.Close()
}
