package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"yubin/internal/mail"
)

// SecondFactor is what there is to tell of that of an account.
type SecondFactor struct {
	Enabled bool       `json:"enabled"`
	Since   *time.Time `json:"since,omitempty"`
	Left    int        `json:"left"` // recovery codes
}

// NewSecondFactor is one that was made: told this once.
type NewSecondFactor struct {
	Secret string   `json:"secret"`      // for an app, in base32
	Link   string   `json:"secret_link"` // the same as an otpauth URL
	Codes  []string `json:"recovery_codes"`
}

// RecoveryCodes are new ones: told this once.
type RecoveryCodes struct {
	Codes []string `json:"recovery_codes"`
}

// Verification is a code of an app, or a recovery code.
type Verification struct {
	Code string `json:"code"`
}

// Verified says that a code was right, and of which kind.
type Verified struct {
	Recovery bool `json:"recovery"`
}

func (h *Handler) secondFactorRoutes() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"GET /v1/accounts/{address}/totp":         h.showSecondFactor,
		"PUT /v1/accounts/{address}/totp":         h.enableSecondFactor,
		"DELETE /v1/accounts/{address}/totp":      h.disableSecondFactor,
		"POST /v1/accounts/{address}/totp/codes":  h.newRecoveryCodes,
		"POST /v1/accounts/{address}/totp/verify": h.verifySecondFactor,
	}
}

func (h *Handler) showSecondFactor(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	f, err := h.Accounts.SecondFactor(r.Context(), address)
	return SecondFactor{Enabled: !f.Since.IsZero(), Since: given(f.Since), Left: f.Codes}, err
}

func (h *Handler) enableSecondFactor(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	made, err := h.Accounts.EnableSecondFactor(r.Context(), address)
	return NewSecondFactor(made), err
}

func (h *Handler) disableSecondFactor(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	return done{}, h.Accounts.DisableSecondFactor(r.Context(), address)
}

func (h *Handler) newRecoveryCodes(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	codes, err := h.Accounts.NewRecoveryCodes(r.Context(), address)
	return RecoveryCodes{codes}, err
}

func (h *Handler) verifySecondFactor(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	in, err := body[Verification](r)
	if err != nil {
		return nil, err
	}
	a, err := h.Accounts.Account(r.Context(), address)
	if err != nil {
		return nil, err
	}
	recovery, err := h.Accounts.VerifySecondFactor(r.Context(), a.ID, in.Code)
	if mail.KindOf(err) == mail.NotFound {
		err = mail.Errorf(mail.NotFound, "%s has no second factor", address)
	}
	return Verified{recovery}, err
}

func totpPath(address string) string { return "/v1/accounts/" + url.PathEscape(address) + "/totp" }

// SecondFactor tells of the second factor of an account.
func (c *Client) SecondFactor(ctx context.Context, address string) (f SecondFactor, err error) {
	err = c.call(ctx, http.MethodGet, totpPath(address), nil, &f)
	return f, err
}

// EnableSecondFactor makes one.
func (c *Client) EnableSecondFactor(ctx context.Context, address string) (made NewSecondFactor, err error) {
	err = c.call(ctx, http.MethodPut, totpPath(address), nil, &made)
	return made, err
}

// DisableSecondFactor takes it away.
func (c *Client) DisableSecondFactor(ctx context.Context, address string) error {
	return c.call(ctx, http.MethodDelete, totpPath(address), nil, nil)
}

// NewRecoveryCodes makes new ones in place of all that there are.
func (c *Client) NewRecoveryCodes(ctx context.Context, address string) (made RecoveryCodes, err error) {
	err = c.call(ctx, http.MethodPost, totpPath(address)+"/codes", nil, &made)
	return made, err
}

// VerifySecondFactor uses a code.
func (c *Client) VerifySecondFactor(ctx context.Context, address, code string) (v Verified, err error) {
	err = c.call(ctx, http.MethodPost, totpPath(address)+"/verify", Verification{code}, &v)
	return v, err
}
