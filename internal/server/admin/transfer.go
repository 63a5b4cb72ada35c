package admin

import (
	"context"
	"net/http"
	"time"

	"yubin/internal/engine/transfer"
	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// Transfers bring mail from elsewhere and out.
type Transfers interface {
	ImportMail(ctx context.Context, in ImportMail, from []*files.Place, progress func(transfer.Progress)) (transfer.Report, error)
	ExportMail(ctx context.Context, in ExportMail, into []*files.Place, progress func(transfer.Progress)) (transfer.Report, error)
	ForgetImports(ctx context.Context, account mail.Address) (messages int64, err error)
}

// ImportMail asks to take mail of a source into an account. The files come with the
// request, one folder for a Maildir; a connection is made by the server.
type ImportMail struct {
	Account    string            `json:"account"`
	Kind       string            `json:"kind"`              // maildir, mbox or imap
	Mailbox    string            `json:"mailbox,omitempty"` // what the only mbox file is called
	Quoting    string            `json:"quoting,omitempty"` // of mbox: mboxrd, mboxo or none
	IMAP       *RemoteIMAP       `json:"imap,omitempty"`
	Rename     map[string]string `json:"rename,omitempty"`
	Skip       []string          `json:"skip,omitempty"`
	Running    bool              `json:"running,omitempty"`     // see transfer.Plan
	RemoveGone bool              `json:"remove_gone,omitempty"` // see transfer.Plan
	DryRun     bool              `json:"dry_run,omitempty"`     // see transfer.Plan
	Train      bool              `json:"train,omitempty"`       // what is junk is learned from what is taken
}

// RemoteIMAP is another server and who logs in there.
type RemoteIMAP struct {
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	Security string `json:"security"` // tls, starttls or none
	Insecure bool   `json:"insecure,omitempty"`
	User     string `json:"user"`
	AuthzID  string `json:"authzid,omitempty"`
	Password string `json:"password"`
	Views    bool   `json:"views,omitempty"`
}

// ExportMail asks to write an account's mail to the folder that comes with the request.
type ExportMail struct {
	Account   string   `json:"account"`
	Kind      string   `json:"kind"`                // maildir or mbox
	Mailboxes []string `json:"mailboxes,omitempty"` // all if none is named
	Layout    string   `json:"layout,omitempty"`    // of a Maildir: maildir++ or fs
}

// TransferLine is a line of the answer: how far it is, or at the end the report,
// beside a failure if it did not come to its end.
type TransferLine struct {
	Progress *transfer.Progress `json:"progress,omitempty"`
	Report   *transfer.Report   `json:"report,omitempty"`
	Failure  *Failure           `json:"failure,omitempty"`
}

// Forgotten says how much of imports is remembered no longer.
type Forgotten struct {
	Messages int64 `json:"messages"`
}

// runTransfer streams the answer of an import or export.
func runTransfer[T any](h *Handler, do func(context.Context, T, []*files.Place, func(transfer.Progress)) (transfer.Report, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := &lines{h: h, w: w, r: r}
		in, err := body[T](r)
		if err != nil {
			l.fail(err, nil)
			return
		}
		places, err := placesOf(r)
		if err != nil {
			l.fail(err, nil)
			return
		}
		report, err := do(r.Context(), in, places, func(p transfer.Progress) {
			if now := time.Now(); now.Sub(l.told) >= progressEvery {
				l.told = now
				l.tell(TransferLine{Progress: &p})
			}
		})
		if err != nil {
			l.fail(err, func(f *Failure) any { return TransferLine{Report: &report, Failure: f} })
			return
		}
		h.Log.Info("mail transferred", "request", r.URL.Path, "messages", report.Taken, "octets", report.Octets, "failed", report.Failed)
		l.tell(TransferLine{Report: &report})
	}
}

// transfers are the routes of this file.
func (h *Handler) transfers() {
	if h.Transfers == nil {
		return
	}
	h.mux.HandleFunc("POST /v1/import", runTransfer(h, h.Transfers.ImportMail))
	h.mux.HandleFunc("POST /v1/export", runTransfer(h, h.Transfers.ExportMail))
	h.mux.HandleFunc("DELETE /v1/imports/{address}", h.answer(h.forgetImports))
}

func (h *Handler) forgetImports(r *http.Request) (any, error) {
	a, err := mail.ParseAddress(r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	n, err := h.Transfers.ForgetImports(r.Context(), a)
	return Forgotten{n}, err
}

// ImportMail has the server take mail. If it fails, the report tells how far it
// came.
func (c *Client) ImportMail(ctx context.Context, in ImportMail, from []*files.Place, progress func(transfer.Progress)) (transfer.Report, error) {
	return c.lending(from...).transfer(ctx, "/v1/import", in, progress)
}

// ExportMail has the server write mail to a folder.
func (c *Client) ExportMail(ctx context.Context, in ExportMail, into *files.Place, progress func(transfer.Progress)) (transfer.Report, error) {
	return c.lending(into).transfer(ctx, "/v1/export", in, progress)
}

func (c *Client) transfer(ctx context.Context, path string, in any, progress func(transfer.Progress)) (out transfer.Report, err error) {
	err = stream(ctx, c, path, in, func(l TransferLine) (over bool, err error) {
		if l.Report != nil {
			out = *l.Report
		}
		switch {
		case l.Failure != nil:
			return true, l.Failure.error()
		case l.Report != nil:
			return true, nil
		case l.Progress != nil:
			progress(*l.Progress)
		}
		return false, nil
	})
	return out, err
}

// ForgetImports has the server forget what was imported into an account.
func (c *Client) ForgetImports(ctx context.Context, address string) (out Forgotten, err error) {
	err = c.call(ctx, http.MethodDelete, "/v1/imports/"+address, nil, &out)
	return out, err
}
