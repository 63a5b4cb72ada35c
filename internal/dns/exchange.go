package dns

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
)

// WithImplicitMX turns the outcome of an MX lookup of d into what mail goes by
// (RFC 5321 §5.1): a domain that exists and has no MX record is its own
// exchanger, with preference 0. Every other failure stays as it is: a domain
// that does not exist has no exchanger, and a lookup that failed says nothing.
//
// Only the absence of MX records makes the implicit one: if there are records
// and none can be used, the addresses of d must not be.
func WithImplicitMX(d mail.Domain, a Answer[MX], err error) (Answer[MX], error) {
	var e *Error
	if !errors.As(err, &e) || e.Failure != NoData {
		return a, err
	}
	host, nameErr := NameOf(d)
	if nameErr != nil {
		return Answer[MX]{}, &Error{Failure: BadName, Type: TypeMX, Err: nameErr}
	}
	return Answer[MX]{
		Records: []MX{{Host: host}}, Name: host, Authentic: e.Authentic, Expires: e.Expires,
	}, nil
}

// IsNullMX reports whether records say that the domain takes no mail (RFC 7505
// §3): one record, whose host is the root. The preference should be 0, but
// no host is no host with any other.
func IsNullMX(records []MX) bool {
	return len(records) == 1 && records[0].Host.IsRoot()
}

// MergeAddresses makes one outcome of the lookups of both families, IPv6 first.
// If one has addresses, they are the answer, whatever happened to the other;
// it is authentic if what is in it is. With no addresses at all, a failure that
// is not certain outweighs one that is, and the name does not exist only if
// both say so.
func MergeAddresses(v6 Answer[netip.Addr], err6 error, v4 Answer[netip.Addr], err4 error) (Answer[netip.Addr], error) {
	switch {
	case err6 == nil && err4 == nil:
		return Answer[netip.Addr]{
			Records:   slices.Concat(v6.Records, v4.Records),
			Name:      v6.Name,
			Authentic: v6.Authentic && v4.Authentic,
			Expires:   earlier(v6.Expires, v4.Expires),
		}, nil
	case err6 == nil:
		return v6, nil
	case err4 == nil:
		return v4, nil
	}
	return Answer[netip.Addr]{}, mergeErrors(err6, err4)
}

func mergeErrors(err6, err4 error) error {
	var e6, e4 *Error
	switch {
	case !errors.As(err6, &e6):
		return err6
	case !errors.As(err4, &e4):
		return err4
	case !e4.Failure.NotFound():
		return e4
	case !e6.Failure.NotFound():
		return e6
	}
	merged := *e4
	if e6.Failure == NoData {
		merged.Failure = NoData
	}
	merged.Authentic = e6.Authentic && e4.Authentic
	merged.Expires = earlier(e6.Expires, e4.Expires)
	return &merged
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
