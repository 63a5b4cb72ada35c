package server

import (
	"cmp"
	"context"
	"path/filepath"

	"yubin/internal/engine/signing"
	"yubin/internal/mail"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
	"yubin/internal/world/resolver"
	"yubin/internal/world/secrets"
)

// openSecrets reads the key that seals secrets. The data folder remembers where it is,
// for commands that know nothing of the configuration.
func (s *Store) openSecrets(cfg config.Config, d Deps) error {
	paths := cfg.SecretsPaths()
	if cfg.Secrets == "" && cfg.Folder == "" {
		at, err := s.folder.Secrets()
		if err != nil {
			return err
		}
		if at != "" {
			paths = []string{at}
		}
	}
	remember := func(path string) {
		if path == s.folder.Path(secrets.FileName) {
			path = ""
		} else if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		if err := s.folder.SetSecrets(path); err != nil {
			d.Log.Warn("the data folder cannot remember where its key is", obs.Err(err))
		}
	}
	s.secrets = secrets.Open(secrets.Options{Paths: paths, Made: func(path string) {
		d.Log.Info("a key was made that seals secrets in the database; no backup has it, so keep a copy of it", obs.KeyFile, path)
		remember(path)
	}})
	if path := s.secrets.Path(); path != "" && cfg.Folder != "" {
		remember(path)
	}
	s.warnOfSecrets(d)
	return nil
}

// warnOfSecrets tells that the key cannot be used. The server works without it.
func (s *Store) warnOfSecrets(d Deps) {
	if err := s.secrets.Err(); err != nil {
		d.Log.Error("mail leaves without DKIM signatures until this is repaired and the configuration is reloaded", obs.Err(err))
	}
}

// openSigning opens the keys of DKIM.
func (s *Store) openSigning(ctx context.Context, cfg config.Config, d Deps) (err error) {
	s.outgoing.dns.Store(&cfg.DNS)
	s.outgoing.signing, err = signing.Open(ctx, signing.Options{
		DB: s.db, Secrets: s.secrets, Directory: s.directory, Hostname: cfg.Hostname, Reports: cfg.Postmaster.Domain,
		Resolver: func() (signing.Resolver, error) { // The usual one remembers that a record was not there.
			up, err := upstream(*s.outgoing.dns.Load())
			if err != nil {
				return nil, err
			}
			return resolver.New(resolver.Options{Upstream: up, Now: d.Now})
		},
		Now: d.Now, Log: d.Log, Name: string(cfg.Hostname), Alone: true, Policy: signingPolicy(cfg),
	})
	return err
}

// signingPolicy is what of cfg is about keys. Where mail is captured none leaves.
func signingPolicy(cfg config.Config) signing.Policy {
	return signing.Policy{Off: cfg.DKIM.Off || cfg.Capture != mail.Address{}, Zone: cfg.DKIM.Zone, Rotate: cfg.DKIM.Rotate,
		Keep: cmp.Or(cfg.Queue.Lifetime, signing.DefaultKeep)}
}
