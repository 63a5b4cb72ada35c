package smtpc

import (
	"errors"
	"io"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// data sends the content as DATA wants it (RFC 5321 §4.1.1.4).
func (tx *transaction) data() {
	w := smtp.NewDataWriter(tx.c.conn)
	if err := tx.pour(w); err != nil {
		tx.interrupted(mail.PhaseContent, err)
		return
	}
	tx.c.bound(BlockTimeout)
	if err := errors.Join(w.Close(), tx.c.conn.Flush()); err != nil {
		tx.interrupted(mail.PhaseAnswer, err)
		return
	}
	tx.end()
}

// chunk sends the content as one chunk (RFC 3030 §2).
func (tx *transaction) chunk() {
	tx.c.bound(BlockTimeout)
	err := tx.c.say(smtp.Bdat{Size: tx.Size, Last: true})
	if err == nil {
		err = tx.pour(tx.c.conn)
	}
	if err == nil {
		err = tx.c.conn.Flush()
	}
	switch {
	case err == nil:
		tx.end()
	case tx.whole:
		tx.interrupted(mail.PhaseAnswer, err)
	default:
		tx.interrupted(mail.PhaseContent, err)
	}
}

// pour copies the content to w. The last octets do not leave before it is sure
// that they are the last, as many as the envelope says and, unless declared
// binary, with no CR or LF by itself. After an error the content is incomplete
// at the host, if whole is not set.
func (tx *transaction) pour(w io.Writer) error {
	slowest := time.Now().Add(BlockTimeout + time.Duration(tx.Size/SlowestRate)*time.Second)
	var check smtp.LineChecker
	buf := make([]byte, min(ContentBlock, tx.Size+1)) // One more, to see the end.
	for left := tx.Size; !tx.whole; {
		n, err := io.ReadFull(tx.content, buf)
		left -= int64(n)
		if err := tx.examine(&check, buf[:n], left, err); err != nil {
			return err
		}
		if tx.c.conn.Buffered() > 0 {
			return errEarly
		}
		tx.c.conn.Bound(earlier(time.Now().Add(BlockTimeout), slowest))
		tx.whole = left == 0
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

// examine looks at the next octets, of which readErr came with the last; left
// is how many are still to come.
func (tx *transaction) examine(check *smtp.LineChecker, b []byte, left int64, readErr error) error {
	atEnd := readErr == io.EOF || errors.Is(readErr, io.ErrUnexpectedEOF)
	switch {
	case left < 0, readErr != nil && !atEnd, atEnd && left > 0:
		return unreadable
	case left == 0 && !atEnd && !tx.ended():
		return unreadable
	case tx.Body == mail.BodyBinaryMIME:
		return nil
	case check.Check(b) != nil, left == 0 && check.End() != nil:
		return errBare
	}
	return nil
}

// ended reports whether nothing is behind the last octet that the envelope
// announces.
func (tx *transaction) ended() bool {
	var one [1]byte
	n, err := io.ReadFull(tx.content, one[:])
	return n == 0 && err == io.EOF
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// errBare: such a content would have to be changed, or would be taken for two
// messages by hosts that are less strict.
var errBare = &trouble{kind: mail.Unsendable, code: "5.6.0", text: "the message has a CR or LF that does not end a line, which SMTP does not allow"}

// errEarly is an answer before the content ended. A refusal counts. Anything
// else is no answer to this message: were it taken for one, a host that is out
// of step would lose mail.
var errEarly = &trouble{kind: mail.Garbled, text: "the host answered before it had the whole message"}

// interrupted is said when the content could not go out in full, or not surely.
// The host may have refused it meanwhile, which is then the answer.
func (tx *transaction) interrupted(phase mail.Phase, err error) {
	var ours *trouble
	if tx.c.ctx.Err() == nil && (err == errEarly || !errors.As(err, &ours)) {
		if r, ok := tx.lastWords(); ok && !r.Positive() {
			tx.c.broken = true
			tx.conclude(answer(phase, r))
			return
		}
	}
	tx.settle(phase, err)
}

// lastWords returns a reply that is there or comes soon though our side of the
// connection no longer works.
func (tx *transaction) lastWords() (smtp.Reply, bool) {
	tx.c.bound(EarlyTimeout)
	for {
		line, err := tx.c.conn.ReadLine(MaxReplyLine)
		if err != nil {
			return smtp.Reply{}, false
		}
		if r, done, err := tx.c.parser.Line(line); done || err != nil {
			return r, err == nil
		}
	}
}

// end hears the answer to the whole message; by LMTP each recipient that was
// accepted has its own (RFC 2033 §4.2).
func (tx *transaction) end() {
	for _, i := range tx.accepted {
		r, err := tx.c.hear(AnswerTimeout)
		if err == nil && r.Code/100 == 3 {
			err = unexpected(mail.PhaseAnswer, r)
		}
		if err != nil {
			tx.settle(mail.PhaseAnswer, err)
			return
		}
		tx.c.dirty = tx.c.dirty && r.Code/100 != 2
		if !tx.c.opening.LMTP {
			tx.conclude(answer(mail.PhaseAnswer, r))
			return
		}
		tx.answers[i] = answer(mail.PhaseAnswer, r)
	}
}
