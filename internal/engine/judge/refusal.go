package judge

import "yubin/internal/mail"

// Refusal is why a message is not taken, as its sender is told: what was seen, and
// what to do. It is of kind mail.Forbidden.
type Refusal struct {
	Enhanced mail.Enhanced // RFC 7372, RFC 3463
	Text     string
	Later    bool // it may be taken if it comes again
}

func (r *Refusal) Error() string { return r.Text }

// Unwrap has the refusal a kind.
func (r *Refusal) Unwrap() error {
	if r.Later {
		return &mail.Error{Kind: mail.RateLimited, Text: r.Text}
	}
	return &mail.Error{Kind: mail.Forbidden, Text: r.Text}
}
