package smtpd

import (
	"fmt"
	"slices"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/testkit/linear"
)

// Whether a message was here before is asked once for each recipient and each
// Delivered-To field, not for each pair of them.
func TestLoopsAreFoundInLinearTime(t *testing.T) {
	linear.Check(t, 100, func(size int) func() {
		s := &session{client: Client{Profile: LMTP}}
		s.tx.content = &content{}
		for i := range size {
			a := mail.Address{Local: fmt.Sprintf("recipient-%d", i), Domain: "example.org"}
			s.tx.recipients = append(s.tx.recipients, recipient{address: a, accounts: []mail.AccountID{1}})
			s.tx.content.header.DeliveredTo = append(s.tx.content.header.DeliveredTo, fmt.Sprintf("elsewhere-%d@example.org", i))
		}
		return func() {
			if s.findLoops(); slices.ContainsFunc(s.tx.recipients, func(r recipient) bool { return r.refused.Code != 0 }) {
				t.Fatal("a loop was found")
			}
		}
	})
}
