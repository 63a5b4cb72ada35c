package smtpd

import (
	"context"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// chunk is a BDAT whose octets are coming.
type chunk struct {
	left    int64
	last    bool
	started time.Time
	drop    smtp.Reply // why the octets are dropped; Code is 0 if they are not
}

// smallChunk is how many octets a chunk has, unless it is the last one, that is
// not counted against Limits.SmallChunks.
const smallChunk = 1 << 10

// bdat is BDAT (RFC 3030 §2). The reply comes after the octets, so there is
// none here, unless there are too many to wait for.
func (s *session) bdat(_ context.Context, cmd smtp.Command) smtp.Reply {
	c := cmd.(smtp.Bdat)
	if c.Size < smallChunk && !c.Last {
		s.small++
	}
	s.tx.chunk = chunk{left: c.Size, last: c.Last, started: s.srv.cfg.Now()}
	if r, refused := s.refuseChunk(c); refused {
		if c.Size > s.srv.limits.Dropped {
			s.next = hangUp
			return r
		}
		s.tx.chunk.drop = r
	} else if s.tx.content == nil {
		s.begin()
		s.state = chunked
	}
	s.next = readChunk
	return smtp.Reply{}
}

// refuseChunk says why the octets of a BDAT are not wanted.
func (s *session) refuseChunk(c smtp.Bdat) (smtp.Reply, bool) {
	row := &s.srv.commands[smtp.BDAT]
	switch {
	case s.client.Profile == Submission && !s.client.Authenticated:
		return s.loginNeeded(), true
	case s.state&(rcpted|chunked) == 0:
		return s.outOfOrder(row), true
	}
	var before int64
	if s.tx.content != nil {
		before = s.tx.content.size
	}
	if c.Size > s.srv.limits.MessageSize-before {
		return s.tooLarge(), true
	}
	return smtp.Reply{}, false
}

// repairsLines reports whether lines that end in LF alone are taken, and made
// CRLF: from who has logged in, whose program sends a file as it is. Other
// servers must send CRLF: what they mean by an LF is not known (CVE-2023-51764).
func (s *session) repairsLines() bool {
	return s.submits() && s.client.Authenticated
}

// receiveChunk takes octets of the chunk. After an error the session can only
// be closed.
func (s *session) receiveChunk(ctx context.Context, p []byte) error {
	s.tx.chunk.left -= int64(len(p))
	if s.srv.cfg.Now().Sub(s.tx.chunk.started) > s.srv.limits.DataTotal {
		return context.DeadlineExceeded
	}
	if s.tx.chunk.drop.Code != 0 {
		return nil
	}
	if s.tx.mail.Body != mail.BodyBinaryMIME {
		var err error
		if s.repairsLines() {
			p, err = s.tx.content.lines.Repair(p)
		} else {
			err = s.tx.content.lines.Check(p)
		}
		if err != nil {
			return err
		}
	}
	return s.receive(ctx, p)
}

// endChunk is told that all octets of the chunk came. A chunk that fails ends
// the transaction.
func (s *session) endChunk(ctx context.Context) (replies []smtp.Reply, err error) {
	c, m := s.tx.chunk, s.tx.content
	s.next = readCommand
	switch {
	case c.drop.Code != 0:
		return s.failedChunk(c.drop), nil
	case c.last:
		if err := m.lines.End(); err != nil && s.tx.mail.Body != mail.BodyBinaryMIME {
			return nil, err
		}
		return s.endMessage(ctx), nil
	case m.fault.Code != 0:
		s.reject(m.fault, s.tx.addresses(), m.cause)
		return s.failedChunk(m.fault), nil
	}
	s.replies = append(s.replies[:0], status(250, 2, 0, 0, "chunk received"))
	return s.replies, nil
}

// failedChunk refuses a chunk. One that came out of order changes nothing else.
func (s *session) failedChunk(r smtp.Reply) []smtp.Reply {
	s.note(smtp.BDAT, r)
	if s.state&(rcpted|chunked) == 0 || !s.tx.chunk.last || s.client.Profile != LMTP {
		s.replies = append(s.replies[:0], r)
	} else {
		s.answerAll(r)
	}
	if s.state&(rcpted|chunked) != 0 {
		s.reset()
	}
	return s.replies
}
