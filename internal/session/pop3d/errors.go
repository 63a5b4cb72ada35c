package pop3d

import (
	"context"
	"errors"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/pop3"
	"yubin/internal/world/netx"
)

// kindCodes is the table from the kinds of failure to response codes. Conflict
// is a maildrop in use and Forbidden are bad credentials; neither happens after
// login. Being slowed down is not the fault of the credentials, so that clients
// do not ask for others.
var kindCodes = [...]struct {
	code pop3.Code
	text string // for kinds whose own text is not for the client
}{
	mail.Internal:    {pop3.SysTemp, "internal error; please try again later"},
	mail.Invalid:     {},
	mail.NotFound:    {},
	mail.Exists:      {},
	mail.Conflict:    {code: pop3.InUse},
	mail.Forbidden:   {code: pop3.BadAuth},
	mail.OverQuota:   {code: pop3.SysPerm},
	mail.TooLarge:    {},
	mail.RateLimited: {code: pop3.SysTemp},
	mail.Unavailable: {code: pop3.SysTemp},
}

// replyTo turns a failure into -ERR. What failed because ctx, the session's, ended
// is told with the reason of that.
func (s *session) replyTo(ctx context.Context, err error) pop3.Reply {
	row := kindCodes[mail.KindOf(err)]
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		row.code, row.text = pop3.SysTemp, netx.Farewell(ctx)
	}
	if errors.Is(err, store.ErrDamaged) {
		row.code, row.text = pop3.SysPerm, "the message is damaged here; the administrator is told"
	}
	r := pop3.Reply{Code: row.code, Text: row.text}
	var e *mail.Error
	if r.Text == "" && errors.As(err, &e) {
		r.Text = e.Text
	}
	if s.state != authorization && !strings.HasPrefix(string(r.Code), "SYS/") {
		r.Code = pop3.NoCode // The others are defined for logins only.
	}
	return r
}
