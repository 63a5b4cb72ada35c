package queue

import (
	"testing"
	"time"

	"yubin/internal/engine/spool"
)

// BenchmarkOperate: how long an operator waits beside a million waiting rows.
func BenchmarkOperate(b *testing.B) {
	h := outside(b)
	h.send("first", from("s@a.test"), to("x@b.test"))
	h.load(1_000_000, waiting)
	list := func(f Filter) func() {
		return func() {
			_, err := h.List(ctx, f, DeliveryID{}, MaxList)
			h.must(err)
		}
	}
	count := func(f Filter) func() {
		return func() {
			_, err := h.Count(ctx, f)
			h.must(err)
		}
	}
	trace := func(what string) func() {
		return func() {
			_, err := h.Trace(ctx, what, time.Time{}, 0, MaxTrace)
			h.must(err)
		}
	}
	for _, tc := range []struct {
		name string
		do   func()
	}{
		{"list/first page", list(Filter{})},
		{"list/item", list(Filter{Item: 500_000})},
		{"list/held", list(Filter{State: Held})},
		{"list/waiting", list(Filter{State: Waiting})},
		{"list/site", list(Filter{Site: "mx:site7.test"})},
		{"list/recipient", list(Filter{Recipient: address("x999999@site999.test")})},
		{"list/domain", list(Filter{Domain: "site7.test"})},
		{"list/sender", list(Filter{Sender: address("s7@a.test")})},
		{"list/nobody", list(Filter{Sender: address("nobody@a.test")})},
		{"list/older", list(Filter{OlderThan: time.Hour})},
		{"count/all", count(Filter{})},
		{"count/site", count(Filter{Site: "mx:site7.test"})},
		{"count/state", count(Filter{State: Held})},
		{"count/domain", count(Filter{Domain: "site7.test"})},
		{"count/sender", count(Filter{Sender: address("s7@a.test")})},
		{"trace/recipient", trace("x10@site10.test")},
		{"trace/messageid", trace("<first@test>")},
		{"show", func() { _, err := h.Show(ctx, spool.ItemID(500_000)); h.must(err) }},
	} {
		b.Run(tc.name, func(b *testing.B) {
			for b.Loop() {
				tc.do()
			}
		})
	}
}
