package netx

import (
	"context"
	"errors"

	"yubin/internal/mail"
)

// ShownOut is why the session of ctx has to end while others go on: what Retire or
// Dismiss was told. It is nil as long as nobody called them, and when the server
// shuts down. Nothing that the client asks for may begin after it.
func ShownOut(ctx context.Context) *mail.Error {
	var why *mail.Error
	if errors.As(context.Cause(ctx), &why) {
		return why
	}
	return nil
}

// Farewell says to a client why its session ends before its time: it is shown out,
// or the server shuts down.
func Farewell(ctx context.Context) string {
	if why := ShownOut(ctx); why != nil {
		return why.Text
	}
	return "the server is shutting down"
}
