package imapc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"yubin/internal/engine/transfer"
	"yubin/internal/mail"
)

// maxFound bounds what Find returns.
const maxFound = 100

// Find opens a mailbox, to change it, and returns its messages with a Message-ID. The error is
// NotFound if there is no such mailbox.
func (c *Client) Find(ctx context.Context, mailbox, messageID string) (found []mail.UID, err error) {
	defer c.watch(ctx)()
	if strings.ContainsAny(mailbox+messageID, "\x00\r\n") {
		return nil, mail.Errorf(mail.Invalid, "a name has a character that IMAP cannot carry")
	}
	var no *refusal
	if err := c.do("SELECT "+quote(mailbox), nil); errors.As(err, &no) {
		return nil, mail.Errorf(mail.NotFound, "%s cannot be opened: %w", mailbox, err)
	} else if err != nil {
		return nil, err
	}
	err = c.do("UID SEARCH HEADER MESSAGE-ID "+quote(messageID), func(r *response) error {
		if r.word != "SEARCH" {
			return nil
		}
		for r.space(); !r.atEnd() && len(found) < maxFound; r.space() {
			found = append(found, mail.UID(r.getNumber()))
		}
		return r.err
	})
	return found, explain(err)
}

// Take reads a message of the mailbox that Find opened, of at most limit octets, and removes it
// there.
func (c *Client) Take(ctx context.Context, uid mail.UID, limit int64) (text []byte, err error) {
	defer c.watch(ctx)()
	var set mail.UIDSet
	set.Add(uid)
	err = c.do("UID FETCH "+set.String()+" (UID BODY.PEEK[])", func(r *response) error {
		if r.word != "FETCH" {
			return nil
		}
		var m transfer.Message
		var body bytes.Buffer
		r.fetch(&m, func(from io.Reader) {
			if _, err := io.Copy(&body, io.LimitReader(from, limit)); err != nil && r.err == nil {
				r.err = err
			}
		})
		if m.UID == uid {
			text = body.Bytes()
		}
		return r.err
	})
	if err != nil {
		return nil, explain(err)
	}
	if err := c.do("UID STORE "+set.String()+` +FLAGS.SILENT (\Deleted)`, nil); err != nil {
		return nil, explain(err)
	}
	return text, explain(c.do("UID EXPUNGE "+set.String(), nil))
}
