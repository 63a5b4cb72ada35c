package signing

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Run looks after the keys until ctx is done: it makes those of new domains, looks
// for records, and takes every step that is due. While another node does, it waits.
func (s *Signing) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.Pass(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Warn("the keys of DKIM could not be looked after; it goes on in a while", obs.Err(err))
		}
		t := time.NewTimer(passEvery)
		select {
		case <-ctx.Done():
		case <-s.kick:
		case <-t.C:
		}
		t.Stop()
	}
	s.release()
}

// Pass does once all that is due, if the lease is ours.
func (s *Signing) Pass(ctx context.Context) error {
	p := s.policyNow()
	if p.Off {
		return nil
	}
	fence, err := s.lease(ctx)
	if err != nil || fence == 0 {
		return err
	}
	domains, err := s.o.Directory.Names(ctx)
	if err == nil {
		err = s.sweep(ctx, domains, p)
	}
	if err != nil {
		return err
	}
	r, err := s.o.Resolver()
	if err != nil {
		return err
	}
	t := tending{Signing: s, p: p, fence: fence, r: r}
	var errs []error
	if p.Zone != "" {
		_, err := t.tend(ctx, Owner{p.Zone, true})
		errs = append(errs, err)
	}
	errs = append(errs, each(ctx, domains, func(d mail.Domain) error {
		_, err := t.tend(ctx, Owner{Name: d})
		return err
	}))
	return errors.Join(errs...)
}

// each does something for all domains, a few at a time.
func each(ctx context.Context, domains []mail.Domain, do func(mail.Domain) error) error {
	var mu sync.Mutex
	var errs []error
	var g sync.WaitGroup
	next := make(chan mail.Domain)
	for range min(lookers, len(domains)) {
		g.Go(func() {
			for d := range next {
				if err := do(d); err != nil {
					mu.Lock()
					if len(errs) < 3 { // More would say the same.
						errs = append(errs, err)
					}
					mu.Unlock()
				}
			}
		})
	}
	for _, d := range domains {
		if ctx.Err() != nil {
			break
		}
		next <- d
	}
	close(next)
	g.Wait()
	return errors.Join(errs...)
}

// lease takes the lease, or keeps it, and returns its fence; 0 while it is
// another's.
func (s *Signing) lease(ctx context.Context) (fence int64, err error) {
	s.mu.Lock()
	ours := s.fence
	s.mu.Unlock()
	now := s.now()
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		lock(tx)
		var until int64
		err := tx.QueryRow(`SELECT until, fence FROM signing_lease WHERE id = 1`).Scan(&until, &fence)
		switch {
		case err == sqldb.ErrNoRows:
			fence = 1
			tx.Do(`INSERT INTO signing_lease (id, owner, until, fence) VALUES (1, $1, $2, 1)`, s.o.Name, millis(now.Add(leaseTime)))
			return nil
		case err != nil:
			return err
		case fence != ours && !s.o.Alone && until > millis(now):
			fence = 0
			return nil
		case fence != ours:
			fence++
		}
		tx.Do(`UPDATE signing_lease SET owner = $1, until = $2, fence = $3 WHERE id = 1`, s.o.Name, millis(now.Add(leaseTime)), fence)
		return nil
	})
	if err == nil {
		s.mu.Lock()
		s.fence = fence
		s.mu.Unlock()
	}
	return fence, err
}

// release gives the lease back. Who is alone takes it whoever has it.
func (s *Signing) release() {
	s.mu.Lock()
	fence := s.fence
	s.fence = 0
	s.mu.Unlock()
	if fence == 0 || s.o.Alone {
		return
	}
	err := s.db.Write(context.Background(), func(tx *sqldb.Tx) error {
		lock(tx)
		_, err := tx.Exec(`UPDATE signing_lease SET until = 0 WHERE id = 1 AND fence = $1`, fence)
		return err
	})
	if err != nil {
		s.o.Log.Warn("the lease on the keys of DKIM could not be given back; it ends by itself", obs.Err(err))
	}
}

// errLease: another node looks after the keys by now.
var errLease = mail.Errorf(mail.Conflict, "another node looks after the keys of DKIM")

// held fails unless the lease is the one with the fence; 0 is of who needs none.
func held(tx *sqldb.Tx, fence int64) error {
	var is int64
	if fence == 0 {
		return nil
	}
	if err := tx.QueryRow(`SELECT fence FROM signing_lease WHERE id = 1`).Scan(&is); err != nil {
		return err
	}
	if is != fence {
		return errLease
	}
	return nil
}

// sweep forgets the keys of domains that are gone, and of a zone that is not the
// site's any more. Those that were made within a day stay for it: their selector names the
// day, and a domain that comes back gets the same keys, not others by the same name.
func (s *Signing) sweep(ctx context.Context, domains []mail.Domain, p Policy) error {
	var gone []int64
	var lost []mail.Domain
	err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
		gone, lost = nil, nil
		keys, err := s.scanKeys(tx.Query(selectKey + ` ORDER BY id`))
		if err != nil {
			return err
		}
		for _, k := range keys {
			_, local := slices.BinarySearch(domains, k.Owner.Name)
			if k.Owner.Zone && k.Owner.Name != p.Zone || !k.Owner.Zone && !local && s.o.Now().Sub(k.Created) > 24*time.Hour {
				gone = append(gone, k.ID)
			}
		}
		rows, err := tx.Query(`SELECT DISTINCT domain FROM signing_sight WHERE domain <> ''`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d mail.Domain
			if err := rows.Scan(&d); err != nil {
				return err
			}
			if _, local := slices.BinarySearch(domains, d); !local {
				lost = append(lost, d)
			}
		}
		return rows.Err()
	})
	if err != nil || len(gone)+len(lost) == 0 {
		return err
	}
	return s.change(ctx, func(tx *sqldb.Tx) error {
		for _, id := range gone {
			remove(tx, id)
		}
		for _, d := range lost {
			tx.Do(`DELETE FROM signing_sight WHERE domain = $1`, d)
		}
		return nil
	})
}
