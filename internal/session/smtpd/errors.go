package smtpd

import (
	"context"
	"errors"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/netx"
)

// refusal is what the table of kinds holds.
type refusal struct {
	code     int
	enhanced mail.Enhanced
	text     string // where the error has none that may be shown
}

// refusals is the table from kinds of error to replies. Kinds that are missing,
// and errors without a kind, are Internal.
var refusals = map[mail.Kind]refusal{
	mail.Internal:    {451, mail.Enhanced{Class: 4, Subject: 3}, "something went wrong here; try again later"},
	mail.Invalid:     {553, mail.Enhanced{Class: 5, Subject: 1, Detail: 3}, "the address is not valid"},
	mail.NotFound:    {550, mail.Enhanced{Class: 5, Subject: 1, Detail: 1}, "nobody here has this address"},
	mail.Exists:      {451, mail.Enhanced{Class: 4, Subject: 3}, "try again later"},
	mail.Conflict:    {451, mail.Enhanced{Class: 4, Subject: 3}, "try again later"},
	mail.Forbidden:   {550, mail.Enhanced{Class: 5, Subject: 7, Detail: 1}, "not allowed"},
	mail.OverQuota:   {452, mail.Enhanced{Class: 4, Subject: 2, Detail: 2}, "the mailbox is full"},
	mail.TooLarge:    {552, mail.Enhanced{Class: 5, Subject: 3, Detail: 4}, "the message is too large"},
	mail.RateLimited: {451, mail.Enhanced{Class: 4, Subject: 7, Detail: 1}, "too much at once; try again later"},
	mail.Unavailable: {452, mail.Enhanced{Class: 4, Subject: 3, Detail: 1}, "no room or no service just now; try again later"},
}

// replyTo is the reply that tells err. The text of the error is used where it
// is meant for the client.
func replyTo(err error) smtp.Reply {
	kind := mail.KindOf(err)
	r, ok := refusals[kind]
	if !ok {
		kind, r = mail.Internal, refusals[mail.Internal]
	}
	var e *mail.Error
	if kind != mail.Internal && errors.As(err, &e) && e.Text != "" {
		r.text = e.Text
	}
	if errors.Is(err, store.ErrLongFull) {
		r.code, r.enhanced = 552, mail.Enhanced{Class: 5, Subject: 2, Detail: 2}
	}
	if errors.Is(err, directory.ErrSource) {
		r.code, r.enhanced = 451, mail.Enhanced{Class: 4, Subject: 3}
	}
	if errors.Is(err, intake.ErrLoop) {
		r.code, r.enhanced = 554, mail.Enhanced{Class: 5, Subject: 4, Detail: 6}
	}
	var judged *judge.Refusal
	if errors.As(err, &judged) {
		r.enhanced = judged.Enhanced
	}
	if own, ok := ruled(err); ok {
		r.enhanced, r.code = own, int(own.Class)*100+50
	}
	return smtp.Reply{Code: r.code, Enhanced: r.enhanced, Text: r.text}
}

// farewell tells why the session ends before its time.
func farewell(ctx context.Context) smtp.Reply {
	if why := netx.ShownOut(ctx); why != nil && why.Kind == mail.Forbidden {
		return status(421, 4, 7, 0, why.Text) // RFC 3463 §3.8; the password may be right again in the next one.
	}
	return status(421, 4, 3, 2, netx.Farewell(ctx))
}

// cutShort is r, or the farewell if r says that something failed for now and the
// session is at its end: that is why it failed, or the only thing that still matters.
func cutShort(ctx context.Context, r smtp.Reply) smtp.Reply {
	if r.Code/100 == 4 && ctx.Err() != nil {
		return farewell(ctx)
	}
	return r
}

// ruled is the code that an operator gave a route that refuses.
func ruled(err error) (mail.Enhanced, bool) {
	var rule *route.Refusal
	if !errors.As(err, &rule) {
		return mail.Enhanced{}, false
	}
	e, ok := mail.ParseEnhanced(rule.Enhanced)
	return e, ok && e.Class != 2
}

// status makes a Reply.
func status(code int, class, subject, detail uint16, text string) smtp.Reply {
	return smtp.Reply{Code: code, Enhanced: mail.Enhanced{Class: class, Subject: subject, Detail: detail}, Text: text}
}
