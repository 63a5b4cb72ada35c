package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

func BenchmarkDeliverTo(b *testing.B) {
	for _, recipients := range []int{1, 20} {
		b.Run(fmt.Sprintf("recipients=%d", recipients), func(b *testing.B) {
			h := benchHouse(b)
			octets := benchBody(0)[:4000]
			var n atomic.Int64
			b.ResetTimer()
			cpu := cpuTime()
			each(8, b.N, func() {
				i := n.Add(1)
				var to []store.Filing
				for k := range recipients {
					to = append(to, h.inbox(mail.AccountID((i*7919+int64(k)*31)%benchAccounts+1)))
				}
				h.deliver(fmt.Sprintf("X-Number: %d\r\n%s", i, octets), to...)
			})
			b.StopTimer()
			b.ReportMetric(float64(cpuTime()-cpu)/1000/float64(b.N), "cpu-µs/op")
		})
	}
}
