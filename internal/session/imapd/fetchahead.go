package imapd

import (
	"context"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// maxAhead bounds how many FETCH of a server read ahead at a time: each holds
// two of what one call of Rows gives. The others read and write in turn.
const maxAhead = 16

// all answers for the messages at ps, batch by batch. The next batch is read
// while one is being written.
func (f *fetcher) all(ctx context.Context, ps spans) error {
	if ps.count() > fetchBatch {
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

// inParallel has one goroutine read while this one writes.
func (f *fetcher) inParallel(ctx context.Context, ps spans) error {
	reading, stop := context.WithCancel(ctx)
	read := make(chan readRows)
	go f.readAhead(reading, ps, read)
	defer func() { // Nothing of the session is used once this returns.
		stop()
		for r := range read {
			closeRows(r.rows)
		}
	}()
	for r := range read {
		if err := f.take(ctx, r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// take answers for what was read. What failed is tried again the careful way.
func (f *fetcher) take(ctx context.Context, r readRows) error {
	if r.err != nil {
		return f.batch(ctx, r.uids)
	}
	f.gone = f.gone || len(r.rows) < len(r.uids)
	return f.rows(ctx, r.rows)
}

// readAhead reads the messages at ps and closes out at the end. Who takes from
// out closes the rows.
func (f *fetcher) readAhead(ctx context.Context, ps spans, out chan<- readRows) {
	defer close(out)
	for uids := range f.s.box.batches(ps, fetchBatch) {
		for len(uids) > 0 {
			if ctx.Err() != nil {
				return
			}
			rows, more, err := f.s.srv.cfg.Messages.Rows(ctx, f.s.box.id, uids, f.need)
			done := len(uids) - more
			if err != nil || done == 0 {
				done = len(uids)
			}
			out <- readRows{uids[:done:done], rows, err}
			uids = uids[done:]
		}
	}
}
