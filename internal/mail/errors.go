package mail

import (
	"errors"
	"fmt"
)

// Kind is why an operation failed. The list is closed: each protocol has one
// table from Kind to its own codes. Anything that is not an *Error is Internal.
type Kind uint8

// The kinds of failure.
const (
	Internal    Kind = iota // our fault; temporary for the other side
	Invalid                 // the request can never be right
	NotFound                // no such thing
	Exists                  // such a thing is there already
	Conflict                // the thing changed, or is in use
	Forbidden               // the principal may not
	OverQuota               // the account is full
	TooLarge                // over a named limit
	RateLimited             // too often; try later
	Unavailable             // a resource is gone for now: disk full, shutting down
)

var kindNames = [...]string{"internal", "invalid", "not found", "exists", "conflict", "forbidden",
	"over quota", "too large", "rate limited", "unavailable"}

func (k Kind) String() string { return kindNames[k] }

// Error is a failure of a known Kind. Text is for the person who asked: what
// happened and what to do, no internals. Err is the cause, for the log.
type Error struct {
	Kind Kind
	Text string
	Err  error
}

func (e *Error) Error() string { return e.Text }

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error. A %w in format sets the cause, as in fmt.Errorf; its
// text is then part of Text too.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Text: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the outermost *Error that err wraps, or Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
