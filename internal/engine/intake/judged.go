package intake

import (
	"context"

	"yubin/internal/mail"
)

// Action is what somebody who judges a message would have done with it.
type Action uint8

// The actions.
const (
	Accept Action = iota // what the account wishes
	Junk                 // it goes into Junk
	Defer                // it is not taken now
	Refuse               // it is not taken
)

var actionNames = [...]string{"accept", "junk", "defer", "refuse"}

func (a Action) String() string { return actionNames[a] }

// Judge thinks of one message, whose octets and client it saw. It has no error:
// what it cannot find out it does not weigh.
type Judge interface {
	Judge(ctx context.Context, m *Message, e Envelope, to []Recipient) Judgement
}

// Judgement is what a judge thinks.
type Judgement struct {
	Prefix    []byte                     // fields before every copy, and before what goes on: what was found
	Accounts  map[mail.AccountID]Opinion // of each account to which a recipient leads
	Elsewhere Opinion                    // of those who are elsewhere
	// SenderProven says that the domain of the reverse-path authenticated it: a report may
	// go there.
	SenderProven bool
}

// Opinion is what is to be done for one account.
type Opinion struct {
	Action Action
	Prefix []byte // fields before its copies, which say why; none of them leaves this server
	Why    error  // with Defer and Refuse: what the client is told
}

// agree makes one answer of all opinions. It is an error if nobody is to have the
// message: that of who would have it later, else the first. If somebody is to have
// it, those who would not find it in Junk: a refusal by judgement never becomes a
// report to a sender who may be forged.
func (j *Judgement) agree(to []Recipient, loops []bool) error {
	var refused, deferred error
	for i, r := range to {
		if loops[i] {
			continue
		}
		all := make([]Opinion, 0, len(r.Route.Accounts)+1)
		for _, a := range r.Route.Accounts {
			all = append(all, j.Accounts[a])
		}
		if len(r.Route.Onward) > 0 {
			all = append(all, j.Elsewhere)
		}
		for _, o := range all {
			switch {
			case o.Action == Refuse && o.Why != nil:
				if refused == nil {
					refused = o.Why
				}
			case o.Action == Defer && o.Why != nil:
				if deferred == nil {
					deferred = o.Why
				}
			default:
				j.soften()
				return nil
			}
		}
	}
	if deferred != nil {
		return deferred
	}
	return refused
}

// soften has those who would refuse the message get it in Junk, and those who would
// wait get it now.
func (j *Judgement) soften() {
	for a, o := range j.Accounts {
		switch o.Action {
		case Refuse:
			o.Action = Junk
		case Defer:
			o.Action = Accept
		}
		j.Accounts[a] = o
	}
}
