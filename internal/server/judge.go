package server

import (
	"net/netip"

	"yubin/internal/engine/judge"
	"yubin/internal/mail"
	"yubin/internal/world/config"
)

// strangers judges the mail of those whom this site does not know.
type strangers struct {
	judge  *judge.Judge
	trusts func(netip.Addr) bool
	local  bool // clients on this machine are strangers too
}

// Open begins a case, unless the client is trusted.
func (s strangers) Open(client judge.Client, sender mail.ReversePath) *judge.Case {
	if !client.Remote.IsValid() || client.Remote.IsLoopback() && !s.local || s.trusts(client.Remote) {
		return nil
	}
	return s.judge.Open(client, sender)
}

// policies are those of c.
func policies(c config.Judge) judge.Policies {
	p := judge.Policies{
		Thresholds: judge.Thresholds{Junk: c.Junk, Refuse: c.Refuse},
		TrustedARC: c.TrustedARC, KnownLists: c.KnownLists, RefuseOwn: make(map[mail.Domain]bool),
	}
	for _, d := range c.RefuseOwn {
		p.RefuseOwn[d] = true
	}
	return p
}
