package imapd

import (
	"context"
	"errors"

	"yubin/internal/mail"
	"yubin/internal/proto/imap"
	"yubin/internal/world/netx"
)

// status is the end of a command: a tagged response without its tag.
type status struct {
	cond imap.Cond
	code imap.Code
	text string
}

func ok(text string) (status, error) { return status{imap.OK, "", text}, nil }

func okCode(code imap.Code, text string) (status, error) { return status{imap.OK, code, text}, nil }

func no(code imap.Code, text string) (status, error) { return status{imap.NO, code, text}, nil }

func bad(text string) (status, error) { return status{imap.BAD, "", text}, nil }

// answered is for a command that wrote its tagged response itself.
func answered() (status, error) { return status{}, nil }

// bye ends a session: the text of an untagged BYE.
type bye struct {
	code imap.Code
	text string
}

func (b *bye) Error() string { return b.text }

// errBroken ends a session that can say no more: a literal that was announced
// could not be written to its end, or a TLS handshake failed.
var errBroken = errors.New("imapd: nothing more can be said")

// kindCodes is the table from the kinds of failure to response codes. Conflict
// is a mailbox that cannot go while it has children; nothing else conflicts.
var kindCodes = [...]struct {
	code imap.Code
	text string // for kinds whose own text is not for the client
}{
	mail.Internal:    {imap.CodeServerBug, "internal error; nothing was changed, please try again later"},
	mail.Invalid:     {code: imap.CodeCannot},
	mail.NotFound:    {code: imap.CodeNonExistent},
	mail.Exists:      {code: imap.CodeAlreadyExists},
	mail.Conflict:    {code: imap.CodeHasChildren},
	mail.Forbidden:   {code: imap.CodeNoPerm},
	mail.OverQuota:   {imap.CodeOverQuota, "the account is full; delete what you do not need and empty the trash, or ask for a larger quota"},
	mail.TooLarge:    {code: imap.CodeLimit},
	mail.RateLimited: {code: imap.CodeLimit},
	mail.Unavailable: {code: imap.CodeUnavailable},
}

// statusOf turns a failure into NO. What failed because ctx, the session's, ended is
// told with the reason of that.
func statusOf(ctx context.Context, err error) status {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status{imap.NO, imap.CodeUnavailable, netx.Farewell(ctx)}
	}
	kind := mail.KindOf(err)
	row := kindCodes[kind]
	text := row.text
	var e *mail.Error
	if text == "" && errors.As(err, &e) {
		text = e.Text
	}
	return status{imap.NO, row.code, text}
}

// statusAs is statusOf, but a failure of kind has the response code code: what
// a kind means can depend on the command, as NotFound does for COPY.
func statusAs(ctx context.Context, err error, kind mail.Kind, code imap.Code) status {
	st := statusOf(ctx, err)
	if mail.KindOf(err) == kind {
		st.code = code
	}
	return st
}

// parseStatus turns a command that could not be read into its status.
func parseStatus(e *imap.Error) status {
	switch e.Kind {
	case imap.TooBig:
		return status{imap.NO, imap.CodeTooBig, e.Error()}
	case imap.BadCharset:
		return status{imap.NO, imap.CodeBadCharset("UTF-8", "US-ASCII"), e.Error()}
	case imap.BadMailbox:
		return status{imap.NO, imap.CodeCannot, e.Error()}
	case imap.NoRoom:
		return status{imap.NO, imap.CodeUnavailable, e.Error()}
	}
	return status{imap.BAD, "", e.Error()}
}
