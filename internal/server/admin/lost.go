package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"yubin/internal/mail"
)

// Limits of restoring.
const (
	MaxLost        = 10000 // messages that one answer lists
	MaxSearch      = 1000  // octets of words
	MaxSearchWords = 32
)

// Lost puts back what was expunged.
type Lost interface {
	// RestoreMail tells each message of a dry run, and with progress how many are back.
	RestoreMail(ctx context.Context, account mail.Address, in RestoreMail, found func(LostMessage), progress func(int)) (RestoredMail, error)
}

// RestoreMail asks to put back what was expunged from an account: all that meets each
// of what is given.
type RestoreMail struct {
	Mailbox string     `json:"mailbox,omitempty"` // the last it was in, as that is called or was when it was deleted
	Since   *time.Time `json:"since,omitempty"`   // when it was expunged
	Until   *time.Time `json:"until,omitempty"`
	Search  string     `json:"search,omitempty"` // words; each is in the header or the text
	Into    string     `json:"into,omitempty"`   // the mailbox for all; else each goes where it was
	DryRun  bool       `json:"dry_run,omitempty"`
}

// LostMessage is a message that can be restored.
type LostMessage struct {
	Expunged time.Time `json:"expunged"`
	Mailbox  string    `json:"mailbox"`        // "" if it is not known any more how it was called
	Gone     bool      `json:"gone,omitempty"` // the mailbox is
	From     string    `json:"from"`
	Subject  string    `json:"subject"`
	Received time.Time `json:"received"`
	Octets   int64     `json:"octets"`
}

// RestoredMail says what was put back, or of a dry run would be.
type RestoredMail struct {
	Account  string `json:"account"`
	Messages int    `json:"messages"`
	Octets   int64  `json:"octets"`
	Into     string `json:"into,omitempty"` // where what was in mailboxes that are gone went, if any was
	DryRun   bool   `json:"dry_run,omitempty"`
	More     bool   `json:"more,omitempty"` // of a dry run: there are more than MaxLost, which were not looked at
	Keep     int64  `json:"keep"`           // seconds for which what is expunged can be restored
}

// RestoreLine is a line of the answer: a message that was found, how many are back, or at
// the end what was done, beside a failure if it did not come to its end.
type RestoreLine struct {
	Found    *LostMessage  `json:"found,omitempty"`
	Progress *int          `json:"progress,omitempty"`
	Restored *RestoredMail `json:"restored,omitempty"`
	Failure  *Failure      `json:"failure,omitempty"`
}

func (h *Handler) lost() {
	if h.Lost != nil {
		h.mux.HandleFunc("POST /v1/accounts/{address}/restore", h.restoreMail)
	}
}

func (h *Handler) restoreMail(w http.ResponseWriter, r *http.Request) {
	l := &lines{h: h, w: w, r: r}
	address, err := pathAddress(r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	in, err := body[RestoreMail](r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	out, err := h.Lost.RestoreMail(r.Context(), address, in,
		func(m LostMessage) { l.tell(RestoreLine{Found: &m}) },
		func(n int) {
			if l.due() {
				l.tell(RestoreLine{Progress: &n})
			}
		})
	if err != nil && mail.KindOf(err) == mail.OverQuota && out.Messages > 0 { // Part of it is done.
		f := failureOf(err)
		h.Log.Info("mail restored until there was no room", "account", address.String(), "messages", out.Messages, "octets", out.Octets)
		l.tell(RestoreLine{Restored: &out, Failure: &f})
		return
	}
	if err != nil {
		l.fail(err, func(f *Failure) any { return RestoreLine{Restored: &out, Failure: f} })
		return
	}
	if !in.DryRun {
		h.Log.Info("mail restored", "account", address.String(), "messages", out.Messages, "octets", out.Octets)
	}
	l.tell(RestoreLine{Restored: &out})
}

// RestoreMail has the server put back what was expunged. If it fails, what is returned
// tells how far it came.
func (c *Client) RestoreMail(ctx context.Context, address string, in RestoreMail, found func(LostMessage), progress func(int)) (out RestoredMail, err error) {
	err = stream(ctx, c, "/v1/accounts/"+url.PathEscape(address)+"/restore", in, func(l RestoreLine) (over bool, err error) {
		if l.Restored != nil {
			out = *l.Restored
		}
		switch {
		case l.Failure != nil:
			return true, l.Failure.error()
		case l.Found != nil:
			found(*l.Found)
		case l.Progress != nil:
			progress(*l.Progress)
		}
		return l.Restored != nil, nil
	})
	return out, err
}
