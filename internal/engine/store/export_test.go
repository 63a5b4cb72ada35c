package store

import "context"

// SweepCopies is the part of Sweep that takes copies back.
func (s *Store) SweepCopies(ctx context.Context) error { return s.sweepCopies(ctx) }

// SweepKeywords is the part of Sweep that removes keywords of mailboxes that are gone.
func (s *Store) SweepKeywords(ctx context.Context) error { return s.sweepKeywords(ctx) }
