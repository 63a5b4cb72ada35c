package server

import (
	"context"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/world/certs"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
)

// warnEvery is how often a server that runs says again what of its configuration
// somebody should see to: certificates come to their end by themselves.
const warnEvery = 24 * time.Hour

// maxForeign is how many accounts are named that SCRAM does not work for.
const maxForeign = 3

// Certificates are those in use.
func (s *Server) Certificates() []certs.Info {
	c := s.certs.Load()
	if c == nil {
		return nil
	}
	return c.List()
}

// warn says in the log what of the configuration somebody should see to. The caller
// holds s.mu, or nothing runs yet.
func (s *Server) warn() {
	if s.cfg.Open {
		return // Nobody but this machine speaks to it.
	}
	for _, w := range s.cfg.Warnings(s.deps.Now()) {
		s.deps.Log.Warn("the configuration needs a hand", "line", w.Line, obs.KeyReason, w.Text)
	}
	if text := s.store.postmasterWarning(context.Background(), s.cfg.Postmaster); text != "" {
		s.deps.Log.Warn("the configuration needs a hand", obs.KeyReason, text)
	}
	if text := s.store.scramWarning(context.Background(), &s.cfg); text != "" {
		s.deps.Log.Warn("the configuration needs a hand", obs.KeyReason, text)
	}
}

// warnDaily is warn once a day until ctx is done.
func (s *Server) warnDaily(ctx context.Context) {
	tick := time.NewTicker(warnEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.mu.Lock()
			s.warn()
			s.mu.Unlock()
		}
	}
}

// scramWarning says for whom SCRAM does not work, or "".
func (s *Store) scramWarning(ctx context.Context, c *config.Config) string {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	var names []string
	list, err := s.directory.Foreign(ctx, maxForeign)
	for _, a := range list {
		names = append(names, a.String())
	}
	if err != nil {
		return ""
	}
	return c.NoScram(names)
}

// postmasterWarning says what is wrong with the postmaster of the configuration, or
// "". What the database cannot tell is not told.
func (s *Store) postmasterWarning(ctx context.Context, postmaster mail.Address) string {
	if postmaster.IsZero() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	w, err := s.directory.Way(ctx, postmaster)
	if err != nil || w.Found != directory.FoundNothing && w.Found != directory.FoundPostmaster {
		return ""
	}
	return config.NobodyIsPostmaster(postmaster)
}
