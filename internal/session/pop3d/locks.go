package pop3d

import (
	"sync"

	"yubin/internal/mail"
)

// locks is the set of maildrops in use (RFC 1939 §4). The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[mail.AccountID]struct{}
}

// take locks the maildrop of a, or reports that a session has it.
func (l *locks) take(a mail.AccountID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.held[a]; taken {
		return false
	}
	if l.held == nil {
		l.held = make(map[mail.AccountID]struct{})
	}
	l.held[a] = struct{}{}
	return true
}

// give unlocks what take locked.
func (l *locks) give(a mail.AccountID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, a)
}
