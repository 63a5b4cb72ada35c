package admin

import (
	"context"
	"net"
	"os"
	"os/user"
	"strconv"
)

// Caller is who asks.
type Caller struct {
	UID  int    // on this machine; -1 if it is not known
	Name string // of that user
	Via  string // "socket" or "process"
}

type callerKey struct{}

// ConnContext is for the http.Server that serves the socket: its requests know who is
// at the other end, from the system (SO_PEERCRED).
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	caller := Caller{UID: -1, Name: "unknown", Via: "socket"}
	if uid, ok := peer(c); ok {
		caller.UID, caller.Name = uid, nameOf(uid)
	}
	return context.WithValue(ctx, callerKey{}, caller)
}

// byThisProcess is for requests of this process itself.
func byThisProcess(ctx context.Context) context.Context {
	uid := os.Getuid()
	return context.WithValue(ctx, callerKey{}, Caller{UID: uid, Name: nameOf(uid), Via: "process"})
}

func callerOf(ctx context.Context) Caller {
	if c, ok := ctx.Value(callerKey{}).(Caller); ok {
		return c
	}
	return Caller{UID: -1, Name: "unknown", Via: "socket"}
}

func nameOf(uid int) string {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return strconv.Itoa(uid)
	}
	return u.Username
}
