package queue

import (
	"bytes"
	"io"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Sizes of what is kept in memory of mail that was accepted a moment ago, so
// that it is carried without being read again; Limits.Fresh bounds all of it.
const (
	maxFreshOctets = 64 << 10 // of one message; a larger one is read
	freshRow       = 500      // about what a row and its part of an item take
)

// Octets are those of a message that is being accepted.
type Octets struct {
	size int64
	all  []byte // or nil, if they are too many
}

// OctetsOf copies the octets of a message, which is complete, if they are few
// enough to be carried from memory.
func OctetsOf(in *store.Incoming) (*Octets, error) {
	o := &Octets{size: in.Size()}
	if o.size > maxFreshOctets {
		return o, nil
	}
	c, err := in.Content()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	o.all = make([]byte, o.size)
	if _, err := io.ReadFull(io.NewSectionReader(c, 0, o.size), o.all); err != nil {
		return nil, err
	}
	return o, nil
}

// kept is what the errands of an item that was just committed share.
type kept struct {
	item    spool.Item
	octets  []byte // without the prefix; nil if they are to be read
	errands int    // that know of it
	cut     bool   // there was no room for all
}

// kept is the item as it would be read.
func (o *Octets) kept(it spool.Item) *kept {
	it.Size = o.size + int64(len(it.Prefix))
	for _, t := range []*time.Time{&it.Arrived, &it.HoldUntil, &it.Expire, &it.DeliverBy.At} {
		*t = fromMillis(millis(*t))
	}
	return &kept{item: it, octets: o.all}
}

// waiting is the row of r as it would be read.
func (r Recipient) waiting(id DeliveryID, due time.Time) Delivery {
	return Delivery{DeliveryID: id, OutgoingRecipient: r.OutgoingRecipient, Site: r.siteName(), Via: r.Via, State: Waiting,
		Due: fromMillis(millis(due))}
}

// fresh is what the rows of an errand said when they were committed. Nobody has
// changed them since: whoever is to change them makes the errand forget it.
type fresh struct {
	*kept
	due []Delivery
}

// open opens the message.
func (f *fresh) open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(f.item.Prefix), bytes.NewReader(f.octets))), nil
}

// take is the job of an errand whose rows are known.
func (f *fresh) take(j *job) {
	n := min(len(f.due), jobRecipients)
	j.item, j.due, j.more = f.item, f.due[:n:n], n == jobRecipients
	if f.octets != nil {
		j.open = mail.Opener(f.open)
	}
}
