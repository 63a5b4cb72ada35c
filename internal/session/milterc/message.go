package milterc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/proto/milter"
)

// End shows the message and hears what is to become of it.
func (t *talk) End(ctx context.Context, m filter.Message) (filter.Outcome, error) {
	defer t.begin(ctx)()
	for _, step := range []func(filter.Message) (filter.Answer, error){t.data, t.header, t.endOfHeader, t.body} {
		if a, err := step(m); err != nil || a.Do != filter.Continue {
			return filter.Outcome{Answer: a}, err
		}
	}
	return t.end(m)
}

func (t *talk) data(filter.Message) (filter.Answer, error) {
	t.macros(milter.Data, "i", t.id)
	t.out = milter.AppendStrings(t.out, milter.Data)
	return t.step(milter.NoData, milter.NoReplyData)
}

func (t *talk) endOfHeader(filter.Message) (filter.Answer, error) {
	t.out = milter.AppendStrings(t.out, milter.EndOfHeader)
	return t.step(milter.NoEndOfHeader, milter.NoReplyEOH)
}

// header shows the fields, with LF where they are folded, as all filters expect it.
func (t *talk) header(m filter.Message) (a filter.Answer, err error) {
	if t.without&milter.NoHeaders != 0 {
		return a, nil
	}
	header := make([]byte, m.HeaderSize)
	if _, err := io.ReadFull(io.NewSectionReader(m, 0, m.HeaderSize), header); err != nil {
		return a, err
	}
	for f := range message.Fields(header) {
		_, raw, _ := bytes.Cut(f.Raw, []byte(":"))
		value := strings.ReplaceAll(string(bytes.TrimRight(raw, "\r\n")), "\r\n", "\n")
		if t.without&milter.HeaderLeadSpace == 0 {
			value = strings.TrimPrefix(value, " ")
		}
		t.out = milter.AppendStrings(t.out, milter.Header, f.Name, value)
		if a, err = t.step(milter.NoHeaders, milter.NoReplyHeader); err != nil || a.Do != filter.Continue {
			return a, err
		}
	}
	return a, nil
}

// body shows the body in pieces, until the filter has seen enough.
func (t *talk) body(m filter.Message) (a filter.Answer, err error) {
	if t.without&milter.NoBody != 0 {
		return a, nil
	}
	piece := make([]byte, min(milter.MaxChunk, m.Size-m.HeaderSize))
	for at := m.HeaderSize; at < m.Size; {
		n, err := m.ReadAt(piece[:min(int64(len(piece)), m.Size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return a, err
		}
		at += int64(n)
		t.out = milter.AppendBody(t.out, piece[:n])
		if t.without&milter.NoReplyBody != 0 {
			if err := t.write(); err != nil {
				return a, err
			}
			continue
		}
		if err := t.flush(); err != nil {
			return a, err
		}
		r, err := t.final(nil)
		if err != nil || r.Kind == milter.Skip {
			return a, err
		}
		if a, err = answer(r); err != nil || a.Do != filter.Continue {
			return a, err
		}
	}
	return a, nil
}

// end is the end of the body: changes, and the last word.
func (t *talk) end(m filter.Message) (filter.Outcome, error) {
	t.macros(milter.EndOfBody, "i", t.id)
	t.out = milter.AppendStrings(t.out, milter.EndOfBody)
	if err := t.flush(); err != nil {
		return filter.Outcome{}, err
	}
	c := changes{talk: t, message: m}
	r, err := t.final(c.take)
	if err != nil {
		return filter.Outcome{}, err
	}
	c.out.Answer, err = answer(r)
	return c.out, err
}

// changes collects what a filter asks for.
type changes struct {
	talk    *talk
	message filter.Message
	out     filter.Outcome
	octets  int // of fields
	body    io.Writer
	written int64 // of the new body
}

// needs is which action a change is one of.
var needs = map[milter.Kind]milter.Action{
	milter.AddRcpt: milter.AddRecipient, milter.AddRcptWith: milter.AddRecipientParam, milter.DelRcpt: milter.DeleteRecipient,
	milter.NewBody: milter.ChangeBody, milter.NewFrom: milter.ChangeFrom, milter.AddHeader: milter.AddHeaders,
	milter.InsHeader: milter.AddHeaders, milter.ChgHeader: milter.ChangeHeaders, milter.Quarantined: milter.Quarantine,
}

// take takes one change. The error is of a filter that does what it did not announce, or
// asks for too much.
func (c *changes) take(r milter.Reply) (err error) {
	if c.talk.actions&needs[r.Kind] == 0 {
		return mail.Errorf(mail.Unavailable, "the filter asks for a change that it did not announce: %q", r.Kind)
	}
	switch r.Kind {
	case milter.AddRcpt, milter.AddRcptWith:
		c.out.Add, err = c.addressed(c.out.Add, r.Value)
	case milter.DelRcpt:
		c.out.Remove, err = c.addressed(c.out.Remove, r.Value)
	case milter.NewFrom:
		var a mail.Address
		if path := bare(r.Value); path != "" {
			if a, err = mail.ParseAddress(path); err != nil {
				return err
			}
		}
		sender := mail.ReversePath(a)
		c.out.Sender = &sender
	case milter.NewBody:
		if c.body == nil {
			c.body = c.message.NewBody()
		}
		if c.written += int64(len(r.Body)); c.written > maxBody(c.message.Size) {
			return mail.Errorf(mail.TooLarge, "the filter makes a body that is too large")
		}
		_, err = c.body.Write(r.Body)
	case milter.Quarantined:
		c.out.Quarantine = r.Text
		if r.Text == "" {
			c.out.Quarantine = "the filter gave no reason"
		}
	default:
		return c.field(r)
	}
	return err
}

// maxBody is how large a new body may be: that of a message of so many octets.
func maxBody(size int64) int64 { return 2*size + 1<<20 }

func (c *changes) addressed(all []mail.Address, s string) ([]mail.Address, error) {
	if len(all) == filter.MaxRecipients {
		return all, mail.Errorf(mail.TooLarge, "the filter changes too many recipients")
	}
	a, err := mail.ParseAddress(bare(s))
	return append(all, a), err
}

// field takes a change of the header.
func (c *changes) field(r milter.Reply) error {
	f := filter.Change{Name: r.Name, Value: r.Value, Index: int(min(r.Index, 1<<20))}
	switch r.Kind {
	case milter.InsHeader:
		f.Kind = filter.InsertField
	case milter.ChgHeader:
		f.Kind = filter.SetField
	}
	if c.talk.without&milter.HeaderLeadSpace == 0 && f.Value != "" {
		f.Value = " " + f.Value
	}
	c.octets += len(f.Name) + len(f.Value)
	if len(c.out.Fields) == filter.MaxChanges || c.octets > filter.MaxFieldBytes {
		return mail.Errorf(mail.TooLarge, "the filter changes too many fields")
	}
	c.out.Fields = append(c.out.Fields, f)
	return nil
}

// bare is a path without its angle brackets.
func bare(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "<"), ">")
}

func number(n uint16) string { return strconv.Itoa(int(n)) }
