package resolver

import (
	"context"
	"errors"

	"yubin/internal/dns"
)

// proved is a zone that every DNS has and signs.
const proved = dns.Name("arpa")

// Validates reports whether what the servers say is proved by DNSSEC: it asks for what is
// signed everywhere. The error says that they do not answer.
func (r *Resolver) Validates(ctx context.Context) (bool, error) {
	a, err := r.Records(ctx, proved, dns.TypeNS)
	var absent *dns.Error
	switch {
	case err == nil:
		return a.Authentic, nil
	case errors.As(err, &absent) && absent.Failure.NotFound(): // In a DNS of one's own.
		return absent.Authentic, nil
	}
	return false, err
}
