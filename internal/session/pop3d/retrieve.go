package pop3d

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"yubin/internal/engine/store"
	"yubin/internal/proto/pop3"
	"yubin/internal/world/heap"
)

// topBuffer is how many octets of a message TOP reads at once.
const topBuffer = 8 << 10

// stat is STAT (RFC 1939 §5). Nothing may follow the two numbers.
func (s *session) stat(context.Context, pop3.Command) (answer, error) {
	return ok(fmt.Sprintf("%d %d", s.drop.left, s.drop.octets))
}

// list is LIST.
func (s *session) list(_ context.Context, cmd pop3.Command) (answer, error) {
	return s.scan(cmd, func(dst []byte, m *message) []byte { return strconv.AppendInt(dst, m.size, 10) })
}

// uidl is UIDL (RFC 1939 §7): UID and UIDVALIDITY, eight hexadecimal digits
// each. It is what Dovecot makes unless told otherwise, so who moves from there
// and leaves mail on the server fetches nothing twice.
func (s *session) uidl(_ context.Context, cmd pop3.Command) (answer, error) {
	validity := s.drop.mailbox.UIDValidity
	return s.scan(cmd, func(dst []byte, m *message) []byte { return fmt.Appendf(dst, "%08x%08x", m.uid, validity) })
}

// scan is one line for the message of cmd, or for each if it names none: the
// number and what tell appends.
func (s *session) scan(cmd pop3.Command, tell func([]byte, *message) []byte) (answer, error) {
	if n := cmd.Args.(pop3.Message).Number; n != 0 {
		m, err := s.drop.get(n)
		if err != nil {
			return answer{}, err
		}
		return ok(string(tell(append(strconv.AppendInt(nil, int64(n), 10), ' '), m)))
	}
	return answer{Reply: pop3.OK(s.drop.summary()), lines: func(w *pop3.LineWriter) error {
		var line []byte
		for i := range s.drop.messages {
			m := &s.drop.messages[i]
			if m.deleted {
				continue
			}
			line = append(strconv.AppendInt(line[:0], int64(i)+1, 10), ' ')
			if _, err := w.Write(append(tell(line, m), "\r\n"...)); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// retr is RETR.
func (s *session) retr(ctx context.Context, cmd pop3.Command) (answer, error) {
	n := cmd.Args.(pop3.Message).Number
	m, err := s.drop.get(n)
	if err != nil {
		return answer{}, err
	}
	return s.send(ctx, n, strconv.FormatInt(m.size, 10)+" octets", func(w *pop3.LineWriter, r io.Reader) error {
		s.retrieved++
		_, err := io.Copy(w, r)
		return err
	})
}

// top is TOP.
func (s *session) top(ctx context.Context, cmd pop3.Command) (answer, error) {
	args := cmd.Args.(pop3.Top)
	return s.send(ctx, args.Number, "the top of it", func(w *pop3.LineWriter, r io.Reader) error {
		return copyTop(w, r, pop3.NewTopCutter(args.Lines))
	})
}

// send opens message n and answers with text and what write makes of it.
func (s *session) send(ctx context.Context, n int, text string, write func(*pop3.LineWriter, io.Reader) error) (answer, error) {
	m, err := s.drop.get(n)
	if err != nil {
		return answer{}, err
	}
	c, err := s.drop.content(ctx, n)
	if err != nil {
		return answer{}, err
	}
	if err := c.Verify(0, c.Size()); err != nil {
		return answer{}, errors.Join(err, c.Close())
	}
	var held heap.Hold // for the surrogate
	held.Of(s.conn.Share())
	r := io.Reader(&whole{Content: c})
	if m.ascii {
		if r, err = c.ASCII(held.Grow); err != nil {
			held.Release()
			return answer{}, errors.Join(err, c.Close())
		}
	}
	return answer{Reply: pop3.OK(text), lines: func(w *pop3.LineWriter) (err error) {
		defer held.Release()
		defer func() { err = errors.Join(err, c.Close()) }()
		return write(w, r)
	}}, nil
}

// whole reads a content from its start.
type whole struct {
	*store.Content
	off int64
}

func (c *whole) Read(p []byte) (int, error) {
	n, err := c.ReadAt(p, c.off)
	c.off += int64(n)
	return n, err
}

// copyTop writes as much of r as cut lets through, reading little more.
func copyTop(w io.Writer, r io.Reader, cut *pop3.TopCutter) error {
	buf := make([]byte, topBuffer)
	for {
		n, err := r.Read(buf)
		keep, done := cut.Cut(buf[:n])
		if _, failed := w.Write(buf[:keep]); failed != nil || done {
			return failed
		}
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// dele is DELE.
func (s *session) dele(_ context.Context, cmd pop3.Command) (answer, error) {
	n := cmd.Args.(pop3.Message).Number
	m, err := s.drop.get(n)
	if err != nil {
		return answer{}, err
	}
	s.drop.mark(m)
	return ok("message " + strconv.Itoa(n) + " deleted")
}

// rset is RSET.
func (s *session) rset(context.Context, pop3.Command) (answer, error) {
	s.drop.unmark()
	return ok(s.drop.summary())
}
