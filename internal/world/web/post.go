package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"yubin/internal/mail"
)

// Limits of what is handed over.
const (
	postTime   = 30 * time.Second // from the first packet to the end of the answer
	postAnswer = 16 << 10         // octets of an answer that are read
)

// Post sends a body to a place that a stranger named, and returns the status of the
// answer. The error says why there was none: of kind Invalid if the place is none of
// HTTPS at its own port, else Unavailable or, with ErrCertificate, Forbidden.
func (p *Pages) Post(ctx context.Context, place, mediaType string, body []byte) (status int, err error) {
	u, err := url.Parse(place)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Port() != "" && u.Port() != "443" {
		return 0, mail.Errorf(mail.Invalid, "%.100q is no place that is spoken to by HTTPS", place)
	}
	ctx, cancel := context.WithTimeout(ctx, postTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, mail.Errorf(mail.Invalid, "%.100q is no place in the web", place)
	}
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("User-Agent", p.o.Agent)
	answer, err := p.client.Do(r)
	if err != nil {
		return 0, whyNot(ctx, mail.Domain(u.Hostname()), err)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, postAnswer)
	_ = answer.Body.Close()
	return answer.StatusCode, nil
}

// special are networks that are nobody's on the Internet, or lead to one that is not
// seen in the address (RFC 6890, RFC 6052, RFC 3056), beside those that netip knows.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// IsPublic reports whether an address is one on the Internet, and not of this machine or
// the networks around it.
func IsPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
