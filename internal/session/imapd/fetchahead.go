package imapd

import (
	"context"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/heap"
)

// maxAhead bounds how many FETCH of a server read ahead at a time: each holds
// up to aheadOf+2 times what one call of Rows gives. The others read and write
// in turn.
const maxAhead = 8

// leastRows is how many octets of messages FETCH holds at a time when memory is
// short.
const leastRows = 128 << 10

// aheadOf is how many batches are read at a time: reading costs a few times
// what writing does.
const aheadOf = 2

// all answers for the messages at ps, batch by batch. The next batches are read
// while one is being written.
func (f *fetcher) all(ctx context.Context, ps spans) error {
	share := f.s.conn.Share()
	want := min(store.MaxRowOctets, ps.count()*store.InlineMax)
	octets, err := share.TakeUpTo(min(leastRows, want), want)
	if err != nil {
		return err
	}
	defer share.Give(octets)
	f.octets = octets
	var ahead heap.Hold
	ahead.Of(share)
	defer ahead.Release()
	if ps.count() > fetchBatch && ahead.Try((aheadOf+1)*octets) {
		select {
		case f.s.srv.ahead <- struct{}{}:
			defer func() { <-f.s.srv.ahead }()
			return f.inParallel(ctx, ps)
		default:
		}
	}
	for uids := range f.s.box.batches(ps, fetchBatch) {
		if err := f.batch(ctx, uids); err != nil {
			return err
		}
	}
	return nil
}

// readRows is what one call of Rows gave for uids.
type readRows struct {
	uids []mail.UID
	rows []store.Row
	err  error
}

// inParallel has other goroutines read while this one writes.
func (f *fetcher) inParallel(ctx context.Context, ps spans) error {
	reading, stop := context.WithCancel(ctx)
	batches := make(chan (<-chan readRows), aheadOf-1)
	go f.readAhead(reading, ps, batches)
	defer func() { // Nothing of the session is used once this returns.
		stop()
		for read := range batches {
			closeUnused(read)
		}
	}()
	for read := range batches {
		if err := f.takeAll(ctx, read); err != nil {
			stop()
			closeUnused(read)
			return err
		}
	}
	return ctx.Err()
}

func closeUnused(read <-chan readRows) {
	for r := range read {
		closeRows(r.rows)
	}
}

// takeAll answers for what is read of one batch.
func (f *fetcher) takeAll(ctx context.Context, read <-chan readRows) error {
	for r := range read {
		if err := f.take(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// take answers for what was read. What failed is tried again the careful way.
func (f *fetcher) take(ctx context.Context, r readRows) error {
	if r.err != nil {
		return f.batch(ctx, r.uids)
	}
	return f.rows(ctx, r.rows, r.uids)
}

// readAhead has the messages at ps read, a goroutine for each batch, and closes
// out at the end. Those it is ahead of who takes from out are few, as out holds
// few.
func (f *fetcher) readAhead(ctx context.Context, ps spans, out chan<- (<-chan readRows)) {
	defer close(out)
	for uids := range f.s.box.batches(ps, fetchBatch) {
		if ctx.Err() != nil {
			return
		}
		read := make(chan readRows)
		go f.readBatch(ctx, uids, read)
		out <- read
	}
}

// readBatch reads the messages of uids and closes out at the end. Who takes from
// out closes the rows.
func (f *fetcher) readBatch(ctx context.Context, uids []mail.UID, out chan<- readRows) {
	defer close(out)
	for len(uids) > 0 && ctx.Err() == nil {
		rows, more, err := f.s.srv.cfg.Messages.RowsSince(ctx, f.s.box.id, f.s.box.since, uids, f.need, f.octets)
		done := len(uids) - more
		if err != nil || done == 0 {
			done = len(uids)
		}
		out <- readRows{uids[:done:done], rows, err}
		uids = uids[done:]
	}
}
