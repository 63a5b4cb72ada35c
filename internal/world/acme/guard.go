package acme

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"yubin/internal/mail"
)

// What ends an operation, whatever the server says.
var (
	errRedirect = errors.New("it leads elsewhere, which no authority does")
	errPlain    = errors.New("it names a place that is not https")
	errRequests = fmt.Errorf("it has us ask over %d times", MaxRequests)
	errAnswer   = fmt.Errorf("an answer has over %d octets", MaxAnswer)
	errTraffic  = fmt.Errorf("its answers have over %d octets together", MaxTraffic)
)

// operation is what one call of a Client has spent.
type operation struct {
	now func() time.Time

	mu       sync.Mutex
	requests int
	octets   int64
	again    time.Time // the Retry-After of the last answer that was an error
	broke    error     // the first limit that it ran into
}

type operationKey struct{}

// operation begins one that ends in time.
func (c *Client) operation(ctx context.Context, limit time.Duration) (context.Context, *operation, context.CancelFunc) {
	op := &operation{now: c.o.Now}
	ctx, cancel := context.WithTimeoutCause(context.WithValue(ctx, operationKey{}, op), limit, fmt.Errorf("it was not over after %s", limit))
	return ctx, op, cancel
}

// stop remembers why an operation ends.
func (op *operation) stop(err error) error {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.broke == nil {
		op.broke = err
	}
	return err
}

// guard bounds what an operation makes of requests and answers.
type guard struct {
	next *http.Transport
	now  func() time.Time
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	op, _ := r.Context().Value(operationKey{}).(*operation)
	if op == nil {
		return nil, errors.New("a request of no operation")
	}
	op.mu.Lock()
	op.requests++
	broke, over := op.broke, op.requests > MaxRequests
	op.mu.Unlock()
	switch {
	case broke != nil:
		return nil, broke
	case over:
		return nil, op.stop(errRequests)
	case r.URL.Scheme != "https":
		return nil, op.stop(errPlain)
	}
	answer, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		op.mu.Lock()
		op.again = retryAfter(answer.Header.Get("Retry-After"), g.now())
		op.mu.Unlock()
	}
	answer.Body = &bounded{ReadCloser: answer.Body, op: op}
	return answer, nil
}

// bounded is the body of an answer.
type bounded struct {
	io.ReadCloser
	op *operation
	n  int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	b.op.mu.Lock()
	b.op.octets += int64(n)
	all := b.op.octets
	b.op.mu.Unlock()
	switch {
	case b.n > MaxAnswer:
		return 0, b.op.stop(errAnswer)
	case all > MaxTraffic:
		return 0, b.op.stop(errTraffic)
	}
	return n, err
}

// retryAfter reads the field (RFC 9110 §10.2.3): seconds or a date, a week at most. Zero if
// there is none.
func retryAfter(field string, now time.Time) time.Time {
	var at time.Time
	if seconds, err := strconv.Atoi(field); err == nil && seconds >= 0 {
		at = now.Add(min(time.Duration(min(seconds, int(maxWait/time.Second)))*time.Second, maxWait))
	} else if date, err := http.ParseTime(field); err == nil {
		at = date
	}
	switch {
	case at.IsZero() || at.Before(now):
		return time.Time{}
	case at.After(now.Add(maxWait)):
		at = now.Add(maxWait)
	}
	return at.UTC()
}

// fault is an error for people of what went wrong while something was done. It is of kind
// Forbidden or RateLimited if the authority refused it (*Refusal), else Unavailable.
func (op *operation) fault(doing string, err error) error {
	op.mu.Lock()
	broke, again := op.broke, op.again
	op.mu.Unlock()
	var refused acme.Problem
	switch {
	case broke != nil:
		return mail.Errorf(mail.Unavailable, "%s: the authority's server is no good: %w", doing, broke)
	case errors.As(err, &refused):
		return refusal(doing, refused, again)
	case errors.Is(err, context.DeadlineExceeded):
		return &mail.Error{Kind: mail.Unavailable, Text: doing + ": the authority does not come to an end", Err: err}
	}
	if own := (*mail.Error)(nil); errors.As(err, &own) { // A solver's.
		return &mail.Error{Kind: own.Kind, Text: doing + ": " + own.Text, Err: err}
	}
	return &mail.Error{Kind: mail.Unavailable, Text: doing + ": " + reason(err), Err: err}
}

// refusal is what an authority said no with, in its own words.
func refusal(doing string, p acme.Problem, again time.Time) error {
	r := &Refusal{Type: cut(strings.TrimPrefix(p.Type, "urn:ietf:params:acme:error:")), Detail: cut(p.Detail), Again: again}
	for i, sub := range p.Subproblems {
		if i == maxSubs || len(r.Detail) > maxText {
			break
		}
		r.Detail = cut(r.Detail + "; " + sub.Identifier.Value + ": " + sub.Detail)
	}
	kind := mail.Forbidden
	switch {
	case r.Type == "rateLimited":
		kind = mail.RateLimited
	case p.Status >= http.StatusInternalServerError:
		kind = mail.Unavailable
	}
	return &mail.Error{Kind: kind, Text: doing + ": the authority says: " + r.Error(), Err: r}
}

// reason says in few words why a server was not reached, or not understood.
func reason(err error) string {
	var at *url.Error
	if errors.As(err, &at) {
		host := at.URL
		if u, err := url.Parse(at.URL); err == nil {
			host = u.Host
		}
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return fmt.Sprintf("%s cannot be reached: %s", cut(host), cut(op.Err.Error()))
		}
		return fmt.Sprintf("%s: %s", cut(host), cut(at.Err.Error()))
	}
	return "the answer of the authority's server makes no sense: " + cut(err.Error())
}

// cut is at most maxText octets of a text.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// isProblem reports whether err is an authority's problem of one of the types.
func isProblem(err error, types ...string) bool {
	var p acme.Problem
	return errors.As(err, &p) && slices.Contains(types, p.Type)
}
