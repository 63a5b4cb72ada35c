package dns

import (
	"errors"
	"time"
)

// Failure is why a lookup gave no records. The list is closed.
//
// RFC 5321 §5.1 makes permanent only what the DNS says for certain: the first
// three below. Everything else is temporary: the message waits and the lookup
// is tried again.
type Failure uint8

// The failures.
const (
	None      Failure = iota // there are records
	NXDomain                 // the name does not exist, with any type (RFC 2308 §2.1)
	NoData                   // the name exists and has no such record (RFC 2308 §2.2)
	BadName                  // the name can never be asked for: an address literal, no valid address
	Timeout                  // no server answered in time
	ServFail                 // the server could not find out; so also an answer that DNSSEC shows to be false
	Refused                  // the server will not say, is lame, or does not understand
	Malformed                // what came back is no answer to the question
	// Loop is a chain of aliases that is endless or too long. It is temporary
	// since many servers say ServFail to the same, and since it is a mistake
	// that its makers repair; the name itself does exist.
	Loop
	Unreachable // no server could be spoken to at all
	Canceled    // the caller gave up
)

var failureNames = [...]string{"found", "no such domain", "no such record", "not a name that can be looked up",
	"no answer in time", "the name server failed", "the name server refused", "the answer is malformed",
	"the aliases form a loop", "no name server can be reached", "canceled"}

func (f Failure) String() string { return failureNames[f] }

// NotFound reports whether the DNS says for certain that there is no record.
func (f Failure) NotFound() bool { return f == NXDomain || f == NoData }

// Temporary reports whether the same lookup may succeed later.
func (f Failure) Temporary() bool { return f > BadName }

// Error is a lookup that gave no records.
type Error struct {
	Failure Failure
	Name    Name // as asked
	Type    Type
	// Authentic says that DNSSEC proved the absence; only when NotFound.
	Authentic bool
	// Expires is until when the failure is remembered.
	Expires time.Time
	// Detail says more, for the log and the operator; may be empty. It holds
	// nothing that a stranger wrote.
	Detail string
	Err    error // the cause, may be nil
}

func (e *Error) Error() string {
	s := e.Type.String() + " of " + e.Name.String() + ": " + e.Failure.String()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// FailureOf returns the failure of the outermost *Error in err. No error is
// None; an error of another kind is ServFail, that is, temporary.
func FailureOf(err error) Failure {
	var e *Error
	switch {
	case err == nil:
		return None
	case errors.As(err, &e):
		return e.Failure
	}
	return ServFail
}
