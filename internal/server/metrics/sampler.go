package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/engine/queue"
)

// Times of a sampler.
const (
	sampleEvery  = 30 * time.Second // at most as often
	sampleRest   = 50               // times as long as the last one took, at least
	sampleWait   = time.Second      // for a new one, in a scrape
	sampleBudget = time.Minute      // for one
)

// sample is how long the queue was at a moment.
type sample struct {
	queue.Counts
	at time.Time
}

// sampler counts the queue. That is a look at every row, so it is done only
// when somebody asks, in the background, and after a rest in proportion to how
// long the last one took: two hundredths of one core at most. A scrape waits
// for a new sample for a moment and else has the last one.
type sampler struct {
	now  func() time.Time
	read func(context.Context) (queue.Counts, error)
	log  *slog.Logger
	kick chan struct{}

	mu    sync.Mutex
	last  sample
	next  time.Time     // not before
	fresh chan struct{} // closed when the sample that was asked for is there; nil if none was
}

func newSampler(now func() time.Time, read func(context.Context) (queue.Counts, error), log *slog.Logger) *sampler {
	return &sampler{now: now, read: read, log: log, kick: make(chan struct{}, 1)}
}

// get returns the latest sample; ok says that there is one.
func (s *sampler) get() (last sample, ok bool) {
	if fresh := s.ask(); fresh != nil {
		wait := time.NewTimer(sampleWait)
		defer wait.Stop()
		select {
		case <-fresh:
		case <-wait.C:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, !s.last.at.IsZero()
}

// ask asks for a sample unless it is too soon.
func (s *sampler) ask() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh == nil {
		if s.now().Before(s.next) {
			return nil
		}
		s.fresh = make(chan struct{})
		s.kick <- struct{}{} // It has room: there is one for each fresh.
	}
	return s.fresh
}

// run takes the samples that are asked for.
func (s *sampler) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
			s.take(ctx)
		}
	}
}

func (s *sampler) take(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, sampleBudget)
	defer cancel()
	begun := s.now()
	counts, err := s.read(bounded)
	ended := s.now()
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the queue cannot be counted for the metrics", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.last = sample{counts, ended}
	}
	s.next = begun.Add(max(sampleEvery, sampleRest*ended.Sub(begun)))
	close(s.fresh)
	s.fresh = nil
}

// Run counts the queue when it is asked for, until ctx ends.
func (m *Metrics) Run(ctx context.Context) { m.sampler.run(ctx) }

// count is what the sampler reads.
func (m *Metrics) count(ctx context.Context) (queue.Counts, error) {
	q := m.sources.Load().Queue
	if q == nil {
		return queue.Counts{}, nil
	}
	return q.Count(ctx, queue.Filter{})
}

// Waiting is how long the queue was at a moment, counted anew if that is not too soon;
// ok says that it is known.
func (m *Metrics) Waiting() (c queue.Counts, at time.Time, ok bool) {
	s, ok := m.sampler.get()
	return s.Counts, s.at, ok
}
