package store

import (
	"context"
	"errors"
)

// SweepCopies is the part of Sweep that takes copies back.
func (s *Store) SweepCopies(ctx context.Context) error { return s.sweepCopies(ctx) }

// SweepKeywords is the part of Sweep that removes keywords of mailboxes that are gone.
func (s *Store) SweepKeywords(ctx context.Context) error { return s.sweepKeywords(ctx) }

// Tidy does what Run does once in an hour with rows that are no longer wanted.
func (s *Store) Tidy(ctx context.Context) error {
	return errors.Join(s.sweepKeywords(ctx), s.sweepTombstones(ctx), s.joinBundles(ctx))
}
