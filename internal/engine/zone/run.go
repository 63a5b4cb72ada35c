package zone

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// every is how often what changes by itself is brought up to date.
const every = 10 * time.Minute

// changing are the kinds that change by themselves: keys are replaced, and the policy
// follows the configuration.
func changing(k Kind) bool { return k == DKIM || k == TLSA || k == STS }

// Run keeps up what Publish began, until ctx is done: keys of DKIM and certificates that
// were replaced, and the id of the policy. What nobody published it leaves alone.
func (z *Zone) Run(ctx context.Context) {
	told := map[mail.Domain]string{} // what the log has heard
	t := time.NewTimer(time.Minute)  // The keys are looked after first.
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if s := z.o.Settings(); s.Automatic && len(s.Zones) > 0 && z.o.Updater != nil {
			z.pass(ctx, told)
		} else {
			z.forgetFailing(nil)
		}
		t.Reset(every)
	}
}

// Failing is a domain whose records could not be kept up.
type Failing struct {
	Domain mail.Domain
	Since  time.Time
	Why    error // of the last try
}

// Failing lists the domains whose records could not be kept up, by name.
func (z *Zone) Failing() (list []Failing) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, f := range z.failing {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Failing) int { return cmp.Compare(a.Domain, b.Domain) })
	return list
}

// note remembers how keeping up a domain ended.
func (z *Zone) note(d mail.Domain, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f, before := z.failing[d]
	switch {
	case err == nil:
		delete(z.failing, d)
		return
	case !before:
		f = Failing{Domain: d, Since: z.o.Now()}
	}
	if z.failing == nil {
		z.failing = map[mail.Domain]Failing{}
	}
	f.Why = err
	z.failing[d] = f
}

// forgetFailing forgets those that nobody keeps up any more.
func (z *Zone) forgetFailing(kept []mail.Domain) {
	z.mu.Lock()
	defer z.mu.Unlock()
	maps.DeleteFunc(z.failing, func(d mail.Domain, _ Failing) bool { return !slices.Contains(kept, d) })
}

// pass brings all domains up to date once.
func (z *Zone) pass(ctx context.Context, told map[mail.Domain]string) {
	domains, err := z.keptUp(ctx)
	local, localErr := z.o.Directory.Names(ctx)
	if err = errors.Join(err, localErr); err != nil {
		z.o.Log.Warn("what is in the DNS could not be brought up to date; it goes on in a while", obs.Err(err))
		return
	}
	domains = slices.DeleteFunc(domains, func(d mail.Domain) bool { return !slices.Contains(local, d) })
	z.forgetFailing(domains)
	for _, d := range domains {
		if ctx.Err() != nil {
			return
		}
		changes, err := z.plan(ctx, d, false, changing)
		if err == nil {
			err = z.apply(ctx, changes)
		}
		if ctx.Err() != nil {
			return
		}
		z.note(d, err)
		switch {
		case err != nil && told[d] != err.Error():
			z.o.Log.Warn("the records of a domain could not be brought up to date in the DNS; it is tried again", "domain", d, obs.Err(err))
			told[d] = err.Error()
		case err == nil:
			delete(told, d)
			for _, c := range changes {
				if c.Action == Adds || c.Action == Removes {
					z.o.Log.Info("the DNS was brought up to date", "domain", d, "action", c.Action.String(), "name", c.Record.Name, "type", c.Record.Type.String())
				}
			}
		}
	}
}
