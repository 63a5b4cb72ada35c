package filter

import (
	"context"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
)

// Aside puts a message that a filter wants kept aside into everybody's Junk, where nobody
// else judges it.
type Aside struct{}

// Judge implements intake.Judge.
func (Aside) Judge(_ context.Context, _ *intake.Message, _ intake.Envelope, to []intake.Recipient) intake.Judgement {
	all := make(map[mail.AccountID]intake.Opinion)
	for _, r := range to {
		for _, a := range r.Route.Accounts {
			all[a] = intake.Opinion{Action: intake.Junk}
		}
	}
	return intake.Judgement{Accounts: all}
}
