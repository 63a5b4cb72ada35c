package signing

import (
	"context"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
)

// maxRemembered is of how many domains is remembered what they sign with.
const maxRemembered = 8192

// remembered is what a domain signs with, and since when that is known.
type remembered struct {
	keys []known // open
	at   time.Time
}

// signersOf are the keys that a domain signs with, one of each algorithm at most: the
// zone's before its own.
func signersOf(h holding) (list []known) {
	all := append(slices.Clone(h.shared), h.own...)
	for _, a := range Algorithms {
		if i := slices.IndexFunc(all, func(k known) bool { return k.Algorithm == a && k.signs() }); i >= 0 {
			list = append(list, all[i])
		}
	}
	return list
}

// signersFor are the keys with which mail of a domain is signed, open; none if it is
// not signed. They are remembered. An error is temporary.
func (s *Signing) signersFor(ctx context.Context, d mail.Domain) ([]known, error) {
	now := s.o.Now()
	s.mu.Lock()
	r, ok := s.signers[d]
	epoch, p := s.epoch, s.policy
	s.mu.Unlock()
	if ok && now.Sub(r.at) < rememberIt {
		return r.keys, nil
	}
	if p.Off {
		return nil, nil
	}
	h, err := s.read(ctx, Owner{Name: d}, p)
	if err != nil {
		return nil, err
	}
	r = remembered{keys: signersOf(h), at: now}
	s.warn(h.own...)
	s.warn(h.shared...)
	for i := range r.keys {
		signer, err := s.open(r.keys[i].Key)
		if err == nil {
			r.keys[i].private, err = dkim.NewPrivateKey(signer)
		}
		if err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == epoch { // Else somebody changed the rows since they were read.
		if s.signers == nil || len(s.signers) >= maxRemembered {
			s.signers = map[mail.Domain]remembered{}
		}
		s.signers[d] = r
	}
	return r.keys, nil
}
