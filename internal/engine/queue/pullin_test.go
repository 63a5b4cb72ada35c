package queue

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
)

// TestClockSetBack: what was put off while the clock was ahead is tried soon
// after it is right again, save what its sender holds.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		h := newHouse(t, false)
		h.options = func(o *Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		}
		h.open()
		defer h.close()
		h.answers(func(mail.NextHop, mail.OutgoingRecipient) mail.Attempt { return tempfail() })
		h.run()
		h.send("soon", from("s@a.test"), to("x@b.test"))
		held := from("s@a.test")
		held.HoldUntil = time.Now().Add(90 * time.Hour)
		h.send("held", held, to("x@c.test"))
		h.pass(time.Second)
		ahead.Store(int64(48 * time.Hour))
		h.pass(3 * passEvery)
		h.answers(nil)
		ahead.Store(0)
		h.passSoon() // A clock of the system has the passes go on: their times are monotonic.
		h.pass(time.Minute)
		h.want("sent", h.gotBy("soon x@b.test"), 1)
		h.want("sent although held", h.gotBy("held x@c.test"), 0)
		h.pass(90 * time.Hour)
		h.want("sent", h.gotBy("held x@c.test"), 1)
	})
}
