package admin

import (
	"context"
	"net/http"

	"yubin/internal/mail"
)

// Selftests tries out a running server.
type Selftests interface {
	// Selftest sends mail round as an account; "" is one that is made for it. Errors:
	// Unavailable if no server runs; NotFound if there is no such account; Conflict while
	// another one is on.
	Selftest(ctx context.Context, account string) ([]Test, error)
}

// TestState is what a test came to.
type TestState string

// The states.
const (
	TestOK      TestState = "ok"
	TestWarning TestState = "warning" // it works, and could be better
	TestWrong   TestState = "wrong"
	TestUnknown TestState = "unknown" // it could not be found out
)

// Test is one thing that a selftest looked at.
type Test struct {
	Check string    `json:"check"`           // disk, submission, dns
	About string    `json:"about,omitempty"` // which of its kind: a domain, an address and port
	State TestState `json:"state"`
	Text  string    `json:"text"`
	Mend  string    `json:"mend,omitempty"` // what to do
}

// Selftest asks for one.
type Selftest struct {
	Account string `json:"account,omitempty"`
}

// selftestPath is where.
const selftestPath = "/v1/selftest"

// selftest is POST /v1/selftest.
func (h *Handler) selftest(r *http.Request) (any, error) {
	if h.Selftests == nil {
		return nil, mail.Errorf(mail.Unavailable, "no server runs")
	}
	in, err := body[Selftest](r)
	if err != nil {
		return nil, err
	}
	tests, err := h.Selftests.Selftest(r.Context(), in.Account)
	return Page[Test]{Items: tests}, err
}

// Selftest has the server try itself out.
func (c *Client) Selftest(ctx context.Context, account string) ([]Test, error) {
	var page Page[Test]
	err := c.call(ctx, http.MethodPost, selftestPath, Selftest{account}, &page)
	return page.Items, err
}
