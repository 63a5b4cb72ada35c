// Package tlspolicy knows what other domains ask of who sends them mail, by MTA-STS (RFC
// 8461): it fetches their policies, keeps them for as long as they say, and has them
// fetched anew long before that.
//
//	state    row                               what counts            who goes on
//	unknown  none                              nothing                whoever has mail for the domain
//	held     policy, expires to come           the policy             Run fetches it anew at next, for
//	                                                                  as long as mail goes there
//	failing  policy or none, failed, why       the policy, if it is   nobody before next; then as above
//	                                           held
//	over     policy, expires gone              nothing                the sweep removes it
//
// A policy holds until its max_age is over, whatever the DNS and the web server of the
// domain say meanwhile (§3.3, §5.1): only a policy that was fetched takes its place. A
// domain of which none can be fetched has none, as RFC 8461 §3.3 wants it; who needs to
// know better (REQUIRETLS) looks at Found.Unsure.
//
// One fetch of a domain runs at a time in one process, MaxFetches of all domains. Who
// fetches ahead moves next on by leaseTime first: if several nodes share the database,
// each row is one node's for that time, and a node that dies leaves it to the others.
//
// Nothing is remembered in memory beside the fetches under way.
package tlspolicy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
	"yubin/internal/world/web"
)

// Times and limits.
const (
	FetchTimeout = 30 * time.Second    // of one policy, with the look-up of its host
	FailAgain    = 5 * time.Minute     // after a fetch that failed, or that a new id asked for, at the earliest (§3.3)
	RefreshEvery = 24 * time.Hour      // a policy is fetched anew (§3.3)
	RefreshAgain = time.Hour           // after that failed
	KeepUnused   = 30 * 24 * time.Hour // since the last mail, a policy is fetched anew
	MaxFetches   = 16                  // at a time
	MaxRows      = 100_000             // about; what was least recently used goes first, what holds nothing before that
	MaxListed    = 1000                // of List

	maxWhy    = 500 // octets that are kept of why a fetch failed
	leaseTime = 2 * FetchTimeout
	usedEvery = 24 * time.Hour // that a policy is used is written
	dueEvery  = time.Minute
	dueAtOnce = 64
	trimEvery = 256 // new rows between two looks at how many there are
)

// Resolver is the part of dns.Resolver that is asked.
type Resolver interface {
	TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error)
}

// Fetcher gets a page by HTTPS, following nothing: *web.Pages.
type Fetcher interface {
	Get(ctx context.Context, host mail.Domain, path string, most int64) (web.Page, error)
}

// Options say what Policies are made of. All are needed but Log.
type Options struct {
	DB       *sqldb.DB
	Resolver Resolver
	Fetcher  Fetcher
	Now      func() time.Time
	Log      *slog.Logger
}

// Policies are those of other domains. Safe for concurrent use.
type Policies struct {
	o     Options
	turns chan struct{} // one is held by each fetch

	mu      sync.Mutex
	flights map[mail.Domain]*flight
	made    int // rows since the last look at how many there are
}

// flight is a fetch under way, for all who wait for it.
type flight struct {
	done  chan struct{}
	found Found // set before done is closed
}

// Open prepares the table.
func Open(ctx context.Context, o Options) (*Policies, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.DB.Migrate(ctx, "tlspolicy", schema()); err != nil {
		return nil, err
	}
	return &Policies{o: o, turns: make(chan struct{}, MaxFetches), flights: map[mail.Domain]*flight{}}, nil
}

// Trouble is why there is no policy, or no new one.
type Trouble uint8

// The kinds of trouble, as RFC 8460 §4.3.2.2 tells them apart.
const (
	NoTrouble   Trouble = iota
	Unfetched           // the page could not be got
	Uncertified         // the certificate of the web server is not to be trusted
	Unreadable          // it is no policy
)

var troubleNames = [...]string{"", "not fetched", "certificate", "not a policy"}

func (t Trouble) String() string { return troubleNames[t] }

// Found is what is known of a domain.
type Found struct {
	Domain  mail.Domain
	Holds   bool          // Policy holds now; without it, it is zero or over
	Policy  mtasts.Policy // the last one
	ID      string        // what the DNS called it when it was fetched; "" if that was not known
	Fetched time.Time
	Expires time.Time
	// Trouble and Why say how the last fetch failed, Failed since when they do.
	Trouble Trouble
	Why     string
	Failed  time.Time
	Next    time.Time // when it is fetched again, if mail goes there
	Used    time.Time // when mail went there last, within a day
	// Unsure says that there may be a policy: the DNS, or the domain's web server, did
	// not say.
	Unsure bool
}

// Policy says what a domain asks for, now. It asks the DNS whether there is something
// new, and fetches it then, which takes FetchTimeout at most. The error is one of our own
// database, which cannot be read; then nobody knows whether there is a policy. What cannot
// be written to it counts all the same, for this once.
func (p *Policies) Policy(ctx context.Context, d mail.Domain) (Found, error) {
	name, err := mtasts.RecordName(d)
	if err != nil {
		return Found{Domain: d}, nil // An address, or a name too long to have one.
	}
	row, err := p.use(ctx, d)
	if err != nil {
		return row, err
	}
	id, err := p.id(ctx, name)
	now := p.o.Now()
	switch {
	case err != nil:
		row.Unsure = !row.Holds && mail.KindOf(err) == mail.Unavailable
		return row, nil
	case row.Holds && row.ID == id:
		return row, nil
	case row.Trouble != NoTrouble && now.Before(row.Next), row.Holds && now.Before(row.Fetched.Add(FailAgain)):
		row.Unsure = !row.Holds
		return row, nil
	}
	return p.fetch(ctx, row, id), nil
}

// Refresh fetches the policy of a domain and keeps it: one that holds whatever the DNS
// says, another if the DNS says that there is one. The error, if that fails, is of what
// the DNS says, or of our own database; of the fetch Found tells.
func (p *Policies) Refresh(ctx context.Context, d mail.Domain) (Found, error) {
	name, err := mtasts.RecordName(d)
	if err != nil {
		return Found{}, err
	}
	row, err := p.read(ctx, d)
	if err != nil {
		return row, err
	}
	id, err := p.id(ctx, name)
	switch {
	case err != nil && !row.Holds:
		return row, err
	case err != nil:
		id = row.ID
	}
	return p.fetch(ctx, row, id), nil
}

// id is that of the policy that the DNS says there is. Of kind Unavailable if it did not
// say, else there is none.
func (p *Policies) id(ctx context.Context, name dns.Name) (string, error) {
	a, err := p.o.Resolver.TXT(ctx, name)
	switch f := dns.FailureOf(err); {
	case f.Temporary():
		return "", mail.Errorf(mail.Unavailable, "%s: %s", name, f)
	case err != nil:
		return "", mail.Errorf(mail.NotFound, "%s: %s", name, f)
	}
	return mtasts.ParseRecord(a.Records)
}

// fetch gets the policy of row's domain, or waits for who is doing that, and returns what
// is known then.
func (p *Policies) fetch(ctx context.Context, row Found, id string) Found {
	p.mu.Lock()
	f, under := p.flights[row.Domain]
	if !under {
		f = &flight{done: make(chan struct{}), found: row}
		p.flights[row.Domain] = f
	}
	p.mu.Unlock()
	if under {
		select {
		case <-f.done:
			return f.found
		case <-ctx.Done():
			row.Unsure = !row.Holds
			return row
		}
	}
	defer func() {
		p.mu.Lock()
		delete(p.flights, row.Domain)
		p.mu.Unlock()
		close(f.done)
	}()
	// Somebody may have tried since row was read.
	if now, err := p.read(ctx, row.Domain); err == nil && (now.Holds && now.Fetched.After(row.Fetched) || now.Trouble != NoTrouble && now.Next.After(row.Next)) {
		now.Unsure = !now.Holds
		f.found = now
		return f.found
	}
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done(): // Too many others: it is tried with the next mail.
		f.found.Unsure = !row.Holds
		return f.found
	}
	policy, trouble, why := p.get(ctx, row.Domain)
	if trouble == Unfetched && errors.Is(ctx.Err(), context.Canceled) { // We gave up ourselves.
		f.found.Unsure = !row.Holds
		return f.found
	}
	now := p.o.Now()
	if trouble == NoTrouble {
		f.found = p.keep(ctx, row, policy, id, now)
	} else {
		f.found = p.fail(ctx, row, trouble, why, now)
	}
	return f.found
}

// get fetches a policy (§3.3).
func (p *Policies) get(ctx context.Context, d mail.Domain) (policy mtasts.Policy, trouble Trouble, why string) {
	host, err := mtasts.HostName(d)
	if err != nil {
		return policy, Unfetched, err.Error()
	}
	page, err := p.o.Fetcher.Get(ctx, host, mtasts.Path, mtasts.MaxSize)
	switch {
	case errors.Is(err, web.ErrCertificate):
		return policy, Uncertified, err.Error()
	case err != nil:
		return policy, Unfetched, err.Error()
	case page.Type != mtasts.MediaType:
		return policy, Unreadable, "what " + string(host) + " has there is not " + mtasts.MediaType
	}
	if policy, err = mtasts.Parse(page.Body); err != nil {
		return policy, Unreadable, err.Error()
	}
	return policy, NoTrouble, ""
}

// keep has a policy that was fetched take the place of what was there.
func (p *Policies) keep(ctx context.Context, row Found, policy mtasts.Policy, id string, now time.Time) Found {
	found := Found{Domain: row.Domain, Holds: true, Policy: policy, ID: id, Fetched: now, Expires: now.Add(policy.MaxAge),
		Next: now.Add(max(FailAgain, min(RefreshEvery, policy.MaxAge/2))), Used: row.Used}
	p.write(ctx, found)
	if !row.Holds || row.Policy.String() != policy.String() {
		p.o.Log.Info("policy for mail to a domain", "domain", string(found.Domain), "mode", policy.Mode.String(), "expires", found.Expires)
	}
	return found
}

// fail remembers that a fetch failed. What holds goes on to hold, and an administrator
// hears of it when it begins, and daily (§10.2), unless nothing is at stake.
func (p *Policies) fail(ctx context.Context, row Found, trouble Trouble, why string, now time.Time) Found {
	found := row
	found.Trouble, found.Why, found.Unsure = trouble, obs.Printable(why[:min(len(why), maxWhy)]), !row.Holds
	if row.Trouble == NoTrouble {
		found.Failed = now
	}
	wait := FailAgain
	if row.Holds {
		wait = RefreshAgain
	}
	found.Next = now.Add(wait)
	p.write(ctx, found)
	const day = 24 * time.Hour
	again := now.Sub(found.Failed)/day > now.Add(-wait).Sub(found.Failed)/day
	if row.Holds && row.Policy.Mode != mtasts.None && (row.Trouble == NoTrouble || again) {
		p.o.Log.Warn("the policy for mail to a domain cannot be fetched anew; it holds until it expires",
			"domain", string(row.Domain), "mode", row.Policy.Mode.String(), "since", found.Failed, "expires", row.Expires, "why", found.Why)
	}
	return found
}

// Run fetches ahead and sweeps until ctx ends.
func (p *Policies) Run(ctx context.Context) {
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for failed := false; ; {
		err := p.Due(ctx)
		if err != nil && ctx.Err() == nil && !failed { // It is told once.
			p.o.Log.Warn("policies for mail to domains cannot be fetched ahead; it goes on in a moment", obs.Err(err))
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Due fetches what is due to be fetched anew, and removes what says nothing any more.
func (p *Policies) Due(ctx context.Context) error {
	due, err := p.lease(ctx)
	if err != nil {
		return err
	}
	var g sync.WaitGroup
	turns := make(chan struct{}, MaxFetches/2) // The others are for mail that waits.
	for _, d := range due {
		turns <- struct{}{}
		g.Go(func() {
			defer func() { <-turns }()
			if _, err := p.Refresh(ctx, d); err != nil { // It is over by now, and the DNS has no other.
				p.o.Log.Debug("a policy for mail to a domain is not fetched anew", "domain", string(d), obs.Err(err))
			}
		})
	}
	g.Wait()
	return p.sweep(ctx)
}
