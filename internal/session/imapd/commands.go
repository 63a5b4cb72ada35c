package imapd

import (
	"context"

	"yubin/internal/proto/imap"
)

// method is what imapd knows of a verb beside its row in proto/imap.
type method struct {
	run func(*session, context.Context, *imap.Command) (status, error)
	// fresh: the mailbox's changes are told before the command too, so that it
	// sees the flags and messages of this moment.
	fresh bool
}

// methodOf is the table of commands; the zero method for verbs without one.
func methodOf(verb string) method {
	switch verb {
	case "FETCH", "UID FETCH":
		return method{(*session).fetch, true}
	case "NOOP", "CHECK":
		return method{(*session).noop, false}
	case "IDLE":
		return method{(*session).idle, false}
	case "STATUS":
		return method{(*session).statusCommand, false}
	case "SELECT", "EXAMINE":
		return method{(*session).selectCommand, false}
	case "STORE", "UID STORE":
		return method{(*session).store, true}
	case "SEARCH", "UID SEARCH":
		return method{(*session).search, true}
	case "COPY", "UID COPY", "MOVE", "UID MOVE":
		return method{(*session).copyCommand, true}
	case "EXPUNGE", "UID EXPUNGE":
		return method{(*session).expunge, false}
	case "CLOSE":
		return method{(*session).closeCommand, false}
	case "UNSELECT":
		return method{(*session).unselect, false}
	case "APPEND":
		return method{(*session).appendCommand, false}
	}
	return otherMethod(verb)
}

func otherMethod(verb string) method {
	switch verb {
	case "LIST", "LSUB":
		return method{(*session).list, false}
	case "CREATE":
		return method{(*session).create, false}
	case "DELETE":
		return method{(*session).deleteCommand, false}
	case "RENAME":
		return method{(*session).rename, false}
	case "SUBSCRIBE", "UNSUBSCRIBE":
		return method{(*session).subscribe, false}
	case "NAMESPACE":
		return method{(*session).namespace, false}
	case "CAPABILITY":
		return method{(*session).capability, false}
	case "ENABLE":
		return method{(*session).enable, false}
	case "ID":
		return method{(*session).id, false}
	case "STARTTLS":
		return method{(*session).startTLS, false}
	case "AUTHENTICATE":
		return method{(*session).authenticate, false}
	case "LOGIN":
		return method{(*session).login, false}
	case "LOGOUT":
		return method{(*session).logout, false}
	}
	return method{}
}
