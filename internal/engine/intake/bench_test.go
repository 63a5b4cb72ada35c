package intake_test

import (
	"testing"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
)

// BenchmarkPlan plans a message for one recipient, and for a hundred.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(map[int]string{1: "one", 100: "hundred"}[n], func(b *testing.B) {
			in := intake.New(intake.Options{})
			var all []intake.Recipient
			for i := range n {
				r := to("ann@here.test", nil)
				r.Route.Accounts = []mail.AccountID{mail.AccountID(i + 1)}
				all = append(all, r)
			}
			m, e := bare(text), from("s@a.test")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := in.Plan(ctx, m, e, all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
