package netx

import (
	"context"
	"errors"

	"yubin/internal/mail"
)

// Farewell says to a client why its session ends before its time: the cause of
// ctx if it is a *mail.Error, else that the server shuts down.
func Farewell(ctx context.Context) string {
	var why *mail.Error
	if errors.As(context.Cause(ctx), &why) {
		return why.Text
	}
	return "the server is shutting down"
}
