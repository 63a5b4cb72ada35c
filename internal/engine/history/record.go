package history

import "time"

// Act is something that was done with what a correspondent sent, or to him.
type Act uint8

// The acts.
const (
	Received      Act = iota + 1 // a message came
	WrittenTo                    // a message was sent to the address
	Answered                     // what came has the flag \Answered now
	Filed                        // it was moved from INBOX to a mailbox of the account's own
	DeletedUnread                // it was expunged, or moved to Trash, and never seen
	Junked                       // it was called junk
	Cleared                      // it was called not junk
	Unjunked                     // that it is junk was taken back
	Uncleared                    // that it is not was taken back
)

// Record is what is remembered of a name.
type Record struct {
	WrittenTo, Answered, Filed, DeletedUnread, Junk, NotJunk, Received int64

	First, Last time.Time // of whatever was remembered; to the second
}

// of is one act as a Record.
func of(act Act, at time.Time) Record {
	at = time.Unix(at.Unix(), 0).UTC()
	r := Record{First: at, Last: at}
	switch act {
	case Received:
		r.Received = 1
	case WrittenTo:
		r.WrittenTo = 1
	case Answered:
		r.Answered = 1
	case Filed:
		r.Filed = 1
	case DeletedUnread:
		r.DeletedUnread = 1
	case Junked:
		r.Junk = 1
	case Cleared:
		r.NotJunk = 1
	case Unjunked:
		r.Junk = -1
	case Uncleared:
		r.NotJunk = -1
	}
	return r
}

// Plus adds two records of a name.
func (r Record) Plus(o Record) Record {
	r.WrittenTo += o.WrittenTo
	r.Answered += o.Answered
	r.Filed += o.Filed
	r.DeletedUnread += o.DeletedUnread
	r.Junk += o.Junk
	r.NotJunk += o.NotJunk
	r.Received += o.Received
	if r.First.IsZero() || !o.First.IsZero() && o.First.Before(r.First) {
		r.First = o.First
	}
	if o.Last.After(r.Last) {
		r.Last = o.Last
	}
	return r
}

// IsZero reports whether nothing is remembered.
func (r Record) IsZero() bool { return r == Record{} }

// Liked reports whether somebody made something of what came, and called it junk no
// more often than that.
func (r Record) Liked() bool {
	good := r.Answered + r.Filed + r.NotJunk
	return good > 0 && good >= r.Junk
}

// Disliked reports whether what came was called junk more often than anything good.
func (r Record) Disliked() bool { return r.Junk > r.Answered+r.Filed+r.NotJunk }

// Trust is an order: how far who writes is known (design.md, section 11).
type Trust uint8

// The order, from the least.
const (
	Stranger              Trust = iota // nothing is proven, and nothing is known
	AuthenticatedStranger              // his domain is proven, and not known
	KnownToSite                        // others here had proven mail of the address or domain, and did not mind
	KnownToAccount                     // the account had
	Welcome                            // the account's owner wrote to the address
)

var trustNames = [...]string{"stranger", "authenticated stranger", "known to the site", "known to the account", "written to"}

func (t Trust) String() string { return trustNames[t] }

// Trust says how far a correspondent is known. Who was written to is Welcome with
// proof, or without if the address never came with proof: then it is of a domain that
// has none to give.
func (k Known) Trust() Trust {
	known := func(r Records) bool {
		if r.Address.Received+r.Address.WrittenTo > 0 {
			return !r.Address.Disliked()
		}
		return r.Domain.Received > 0 && !r.Domain.Disliked()
	}
	switch {
	case k.Of.Address.WrittenTo > 0 && (k.Authenticated || !k.EverProven):
		return Welcome
	case !k.Authenticated:
		return Stranger
	case known(k.Of):
		return KnownToAccount
	case known(k.Site) && !k.Of.Address.Disliked() && !k.Of.Domain.Disliked():
		return KnownToSite
	}
	return AuthenticatedStranger
}
