package queue

import (
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// defaultRetry is the waits between attempts: quick first, for greylisting and
// restarts, then ever longer. Deviation from RFC 5321 §4.5.4.1, which wants 30
// minutes in general: a site that does not answer at all is spared by probing
// it with one message, whatever is due.
func defaultRetry() []time.Duration {
	return []time.Duration{
		1 * time.Minute, 3 * time.Minute, 6 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
		time.Hour, time.Hour, 2 * time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour,
	}
}

// jitter is the part by which a wait is longer or shorter at random, so that
// mail that failed together does not come together again.
const jitter = 0.2

func (s *Schedule) setDefaults() {
	if len(s.Retry) == 0 {
		s.Retry = defaultRetry()
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&s.Lifetime, DefaultLifetime}, {&s.NoticeAfter, DefaultNoticeAfter}, {&s.Gather, DefaultGather}, {&s.History, DefaultHistory}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
}

// expire returns when an item is given up: mail held for a time lives from then on.
func (s *Schedule) expire(it spool.Item) time.Time {
	from := it.Arrived
	if it.HoldUntil.After(from) {
		from = it.HoldUntil
	}
	return from.Add(s.Lifetime)
}

// next returns when mail deferred so many times, this one included, is tried
// again: at the latest when it expires or when its sender wants to hear of it.
func (q *Queue) next(it spool.Item, deferrals int, now time.Time) time.Time {
	table := q.o.Schedule.Retry
	wait := table[min(max(deferrals, 1), len(table))-1]
	wait += time.Duration(float64(wait) * jitter * (2*q.o.Rand() - 1))
	return q.bound(it, now.Add(max(wait, time.Second)), now)
}

func (q *Queue) bound(it spool.Item, at, now time.Time) time.Time {
	for _, limit := range []time.Time{it.Expire, it.DeliverBy.At} {
		if limit.After(now) && limit.Before(at) {
			at = limit
		}
	}
	return at
}

// returned reports whether no attempt may be made any more (RFC 2852 §4.1.3).
func returned(it spool.Item, now time.Time) bool {
	return it.DeliverBy.Return && !it.DeliverBy.At.After(now)
}

// expired reports whether one more deferral is the end.
func expired(it spool.Item, now time.Time) bool {
	return !it.Expire.After(now) || returned(it, now)
}

// late reports whether the sender is to hear of a delay.
func (q *Queue) late(it spool.Item, now time.Time) bool {
	if by := it.DeliverBy; !by.At.IsZero() && !by.Return && !by.At.After(now) {
		return true
	}
	after := q.o.Schedule.NoticeAfter
	from := it.Arrived
	if it.HoldUntil.After(from) {
		from = it.HoldUntil
	}
	return after > 0 && now.Sub(from) >= after
}

// wantsFailure, wantsDelay and wantsSuccess are RFC 3461 §5.2.6, §5.2.5 and
// §5.2.2, the last with RFC 2852 §4.1.4.
func wantsFailure(n mail.Notify) bool { return n == 0 || n&mail.NotifyFailure != 0 }

func wantsDelay(n mail.Notify) bool { return n == 0 || n&mail.NotifyDelay != 0 }

func wantsSuccess(it spool.Item, d Delivery, a mail.Attempt, final bool) bool {
	by := it.DeliverBy
	switch {
	case d.Notify&mail.NotifyNever != 0:
		return false
	case d.Notify&mail.NotifySuccess != 0 && !a.DSN:
		return true
	case by.At.IsZero() || final:
		return false
	}
	return by.Trace || !by.Return && !a.DeliverBy && a.At.Before(by.At)
}
