package store

import (
	"context"
	"errors"

	"yubin/internal/mail"
)

// SweepCopies is the part of Sweep that takes copies back.
func (s *Store) SweepCopies(ctx context.Context) error { return s.sweepCopies(ctx) }

// SweepKeywords is the part of Sweep that removes keywords of mailboxes that are gone.
func (s *Store) SweepKeywords(ctx context.Context) error { return s.sweepKeywords(ctx) }

// Tidy does what Run does once in an hour with rows that are no longer wanted.
func (s *Store) Tidy(ctx context.Context) error {
	return errors.Join(s.sweepKeywords(ctx), s.sweepTombstones(ctx), s.joinBundles(ctx))
}

// EmailRuns is how many statements reach members with these emails, and how many
// members those count.
func EmailRuns(emails ...mail.EmailID) (runs int, members int64) {
	var list []member
	for _, e := range emails {
		list = append(list, member{email: e})
	}
	all := emailRuns(list, func(a, b *member) bool { return true })
	for _, r := range all {
		members += r.emails() * r.each
	}
	return len(all), members
}
