package store

import "context"

// SweepCopies is the part of Sweep that takes copies back.
func (s *Store) SweepCopies(ctx context.Context) error { return s.sweepCopies(ctx) }
