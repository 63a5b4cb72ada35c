package server

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"yubin/internal/world/config"
	"yubin/internal/world/obs"
)

// Reloaded says what a reload did: the tables and keys whose changes were taken over,
// and the keys that only a restart changes.
type Reloaded struct{ Changed, NeedRestart []string }

// NotReloaded says that a configuration was asked for that has faults, so that the old one
// stays: in the log, and as a concern until a reload succeeds.
func (s *Server) NotReloaded(why error) {
	s.deps.Log.Error("configuration not reloaded; the old one stays", obs.Err(why))
	s.store.watcher.reloaded(fmt.Sprintf(`the configuration was not read again at %s, and the old one stays: %s; "yubin check-config" says it all. Correct it and reload`,
		s.deps.Now().UTC().Format(time.DateTime+" MST"), brief(why)))
}

// brief is an error in a line.
func brief(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if len(text) > maxBrief {
		text = strings.ToValidUTF8(text[:maxBrief], "") + "…"
	}
	return text
}

// maxBrief is how much of an error a concern has, in octets.
const maxBrief = 300

// Reload applies cfg to a running server, and says in the log what it did. Connections that are open go on as
// they began; those of listeners that are gone are told goodbye. What is left
// of the old configuration: NeedRestart names the keys that only a restart
// changes, the errors that are joined in err tell the listeners and certificates
// that could not be opened.
func (s *Server) Reload(cfg config.Config) (Reloaded, error) {
	r, err := s.reload(cfg)
	changed := "nothing"
	if len(r.Changed) > 0 {
		changed = strings.Join(r.Changed, ", ")
	}
	if len(r.NeedRestart) > 0 {
		s.deps.Log.Warn("some changes need a restart", "keys", strings.Join(r.NeedRestart, ", "))
	}
	if err == nil {
		s.store.watcher.reloaded("")
		s.deps.Log.Info("configuration reloaded", "changed", changed)
		return r, nil
	}
	for _, one := range parts(err) {
		s.deps.Log.Error("a part of the configuration was not taken over", obs.Err(one))
	}
	s.deps.Log.Warn("configuration reloaded but for that part", "changed", changed)
	s.store.watcher.reloaded(fmt.Sprintf("a part of the configuration was not taken over at %s: %s; correct that and reload",
		s.deps.Now().UTC().Format(time.DateTime+" MST"), brief(err)))
	return r, err
}

// parts are the errors that were joined.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, parts(one)...)
	}
	return all
}

func (s *Server) reload(cfg config.Config) (r Reloaded, err error) {
	s.notify(s.deps.Notify.Reloading())
	defer func() { s.notify(s.deps.Notify.Ready()) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	r.NeedRestart = s.keep(&cfg)
	certErr := s.loadCertificates(cfg)
	oauthErr := s.store.setOAuth(cfg.OAuth, s.deps)
	ldapErr := s.store.setSources(cfg, s.deps)
	old := s.cfg
	s.cfg = cfg
	s.services.Store(s.newServices(cfg, s.services.Load()))
	s.slots.SetLimits(s.limits(cfg))
	s.store.keep(cfg)
	s.store.known.Store(&cfg)
	s.store.watcher.set(cfg.Watch)
	s.store.secrets.Reload()
	s.store.certificates.Set(certificateSettings(cfg))
	s.store.warnOfSecrets(s.deps)
	err = errors.Join(certErr, oauthErr, ldapErr, s.store.outgoing.change(cfg, s.deps.Memory), s.changeListeners())
	if certErr != nil {
		s.cfg.TLS, s.cfg.ACME = old.TLS, old.ACME
	}
	if oauthErr != nil {
		s.cfg.OAuth = old.OAuth
	}
	if ldapErr != nil {
		s.cfg.LDAP = old.LDAP
	}
	r.Changed = config.Changed(old, s.cfg)
	s.warn()
	return r, err
}

// keep puts back into cfg what a running server cannot change, and names it.
func (s *Server) keep(cfg *config.Config) (changed []string) {
	if cfg.Hostname != s.cfg.Hostname {
		changed = append(changed, "hostname")
		cfg.Hostname = s.cfg.Hostname
	}
	if cfg.Data != s.cfg.Data {
		changed = append(changed, "data")
		cfg.Data = s.cfg.Data
	}
	if s.cfg.Secrets != cfg.Secrets {
		changed = append(changed, "secrets")
		cfg.Secrets = s.cfg.Secrets
	}
	if s.cfg.Database != cfg.Database {
		changed = append(changed, "database")
		cfg.Database = s.cfg.Database
	}
	if cfg.Postmaster != s.cfg.Postmaster {
		changed = append(changed, "postmaster")
		cfg.Postmaster = s.cfg.Postmaster
	}
	if cfg.Log.Format != s.cfg.Log.Format {
		changed = append(changed, "log.format")
		cfg.Log.Format = s.cfg.Log.Format
	}
	if cfg.ShutdownTimeout != s.cfg.ShutdownTimeout {
		changed = append(changed, "shutdown_timeout")
		cfg.ShutdownTimeout = s.cfg.ShutdownTimeout
	}
	if schedule(cfg.Queue) != schedule(s.cfg.Queue) {
		changed = append(changed, "queue.lifetime, queue.notice_after, queue.history")
		old := s.cfg.Queue
		cfg.Queue.Lifetime, cfg.Queue.NoticeAfter, cfg.Queue.History = old.Lifetime, old.NoticeAfter, old.History
	}
	if !reflect.DeepEqual(cfg.DNSLists, s.cfg.DNSLists) {
		changed = append(changed, "dns_list")
		cfg.DNSLists = s.cfg.DNSLists
	}
	if cfg.Admin != s.cfg.Admin {
		changed = append(changed, "admin.address")
		cfg.Admin = s.cfg.Admin
	}
	return changed
}

// changeListeners closes the listeners that s.cfg does not name and opens those
// it names anew. The caller holds s.mu.
func (s *Server) changeListeners() error {
	if s.running == nil {
		return nil // Stopping.
	}
	wanted := s.listenersOf(s.cfg)
	var kept []*listener
	for _, l := range s.listeners {
		if slices.ContainsFunc(wanted, l.config.Same) {
			kept = append(kept, l)
			continue
		}
		l.cancel()
		// Not left to cancel: its address may be bound again below. The sessions
		// drain meanwhile.
		_ = l.server.Close()
	}
	var errs []error
	for _, want := range wanted {
		if slices.ContainsFunc(kept, func(l *listener) bool { return l.config.Same(want) }) {
			continue
		}
		l, err := s.openListener(s.running, want)
		if s.doesWithout(s.cfg, want, err) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.start(l)
		kept = append(kept, l)
	}
	s.listeners = kept
	return errors.Join(errs...)
}
