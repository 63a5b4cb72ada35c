package tlspolicy

import (
	"context"
	"errors"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "tlspolicy", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are seconds since 1970, 0 for none.
func schema() []string {
	return []string{`
	CREATE TABLE tlspolicy (
		domain {text} NOT NULL,
		id {text} NOT NULL, -- of the TXT record when the policy was fetched, or ''
		policy {text} NOT NULL, -- the file, or ''
		fetched {int} NOT NULL,
		expires {int} NOT NULL, -- when the policy is over; 0 if there is none
		next {int} NOT NULL, -- when it may be fetched again
		trouble {int} NOT NULL, -- of the last fetch
		why {text} NOT NULL,
		failed {int} NOT NULL, -- since when fetches fail
		used {int} NOT NULL, -- mail went there
		PRIMARY KEY (domain)
	);
	CREATE INDEX tlspolicy_next ON tlspolicy (next)`}
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromSeconds(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

const columns = `domain, id, policy, fetched, expires, next, trouble, why, failed, used`

// scanner is a row.
type scanner interface{ Scan(...any) error }

// scan reads columns. A row that cannot be read is one without a policy, which is then
// fetched.
func (p *Policies) scan(r scanner) (f Found, err error) {
	var text string
	var trouble int
	var fetched, expires, next, failed, used int64
	if err := r.Scan(&f.Domain, &f.ID, &text, &fetched, &expires, &next, &trouble, &f.Why, &failed, &used); err != nil {
		return f, err
	}
	f.Fetched, f.Expires, f.Next, f.Failed, f.Used = fromSeconds(fetched), fromSeconds(expires), fromSeconds(next), fromSeconds(failed), fromSeconds(used)
	f.Trouble = Trouble(min(max(trouble, 0), int(Unreadable)))
	if text == "" {
		return f, nil
	}
	policy, err := mtasts.Parse([]byte(text))
	if err != nil {
		return Found{Domain: f.Domain, Used: f.Used}, nil
	}
	f.Policy, f.Holds = policy, p.o.Now().Before(f.Expires)
	return f, nil
}

// read is what is known of a domain; no more than its name if that is nothing.
func (p *Policies) read(ctx context.Context, d mail.Domain) (f Found, err error) {
	err = p.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		f, err = p.scan(tx.QueryRow(`SELECT `+columns+` FROM tlspolicy WHERE domain = $1`, d))
		if errors.Is(err, sqldb.ErrNoRows) {
			f, err = Found{Domain: d}, nil
		}
		return err
	})
	return f, err
}

// use is read for mail that goes there, which is remembered once a day. Nothing hangs on
// that: mail does not wait because it cannot be written.
func (p *Policies) use(ctx context.Context, d mail.Domain) (Found, error) {
	f, err := p.read(ctx, d)
	now := p.o.Now()
	if err != nil || now.Sub(f.Used) < usedEvery {
		return f, err
	}
	f.Used = now
	if f.Next.IsZero() { // There is no row.
		return f, nil
	}
	if err := p.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Do(`UPDATE tlspolicy SET used = $2 WHERE domain = $1`, d, now.Unix())
		return nil
	}); err != nil {
		p.o.Log.Debug("that a policy is used cannot be written", "domain", string(d), obs.Err(err))
	}
	return f, nil
}

// write makes the row of a domain be f. What cannot be written is fetched again with the
// next mail.
func (p *Policies) write(ctx context.Context, f Found) {
	text := ""
	if !f.Fetched.IsZero() {
		text = f.Policy.String()
	}
	p.mu.Lock()
	p.made++
	trims := p.made >= trimEvery
	if trims {
		p.made = 0
	}
	p.mu.Unlock()
	if err := p.o.DB.Write(context.WithoutCancel(ctx), func(tx *sqldb.Tx) error {
		tx.Do(`INSERT INTO tlspolicy (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (domain) DO UPDATE SET id = $2, policy = $3, fetched = $4, expires = $5, next = $6, trouble = $7, why = $8,
				failed = $9, used = CASE WHEN tlspolicy.used > $10 THEN tlspolicy.used ELSE $10 END`,
			f.Domain, f.ID, text, seconds(f.Fetched), seconds(f.Expires), seconds(f.Next), int(f.Trouble), f.Why, seconds(f.Failed), seconds(f.Used))
		if trims {
			return trim(tx, MaxRows)
		}
		return nil
	}); err != nil {
		p.o.Log.Warn("what is known of the policy for mail to a domain cannot be written", "domain", string(f.Domain), obs.Err(err))
	}
}

// trim removes what is beyond most rows.
func trim(tx *sqldb.Tx, most int) error {
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM tlspolicy`).Scan(&n); err != nil || n <= most {
		return err
	}
	tx.Do(`DELETE FROM tlspolicy WHERE domain IN (
		SELECT domain FROM tlspolicy ORDER BY CASE WHEN policy = '' THEN 0 ELSE 1 END, used, domain LIMIT $1)`, n-most)
	return nil
}

// lease takes what is due to be fetched anew, for a while.
func (p *Policies) lease(ctx context.Context) (due []mail.Domain, err error) {
	now := p.o.Now()
	err = p.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		due = nil
		rows, err := tx.Query(`SELECT domain FROM tlspolicy WHERE next <= $1 AND expires > $1 AND used > $2 ORDER BY next, domain LIMIT $3`,
			now.Unix(), now.Add(-KeepUnused).Unix(), dueAtOnce)
		if err != nil {
			return err
		}
		var list []mail.Domain
		for rows.Next() {
			var d mail.Domain
			if err := rows.Scan(&d); err != nil {
				rows.Close()
				return err
			}
			list = append(list, d)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		slices.Sort(list) // Who locks several rows does it in this order.
		for _, d := range list {
			n, err := tx.Exec(`UPDATE tlspolicy SET next = $3 WHERE domain = $1 AND next <= $2`, d, now.Unix(), now.Add(leaseTime).Unix())
			if err != nil {
				return err
			}
			if n > 0 {
				due = append(due, d)
			}
		}
		return nil
	})
	return due, err
}

// sweep removes what is over, and of which no failure need be remembered.
func (p *Policies) sweep(ctx context.Context) error {
	now := p.o.Now().Unix()
	return p.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Do(`DELETE FROM tlspolicy WHERE expires <= $1 AND next <= $1`, now)
		return nil
	})
}

// List is what is known of the domains after one in the order of their names, MaxListed
// at most.
func (p *Policies) List(ctx context.Context, after mail.Domain) ([]Found, error) {
	return p.list(ctx, func(Found) bool { return true }, `domain > $1 ORDER BY domain LIMIT $2`, after, MaxListed)
}

// Failing is what is known of domains whose policies hold and could not be fetched anew since
// a moment, MaxListed at most.
func (p *Policies) Failing(ctx context.Context, since time.Time) ([]Found, error) {
	wanted := func(f Found) bool { return f.Holds && f.Trouble != NoTrouble && f.Policy.Mode != mtasts.None }
	return p.list(ctx, wanted, `failed > 0 AND failed <= $1 ORDER BY domain LIMIT $2`, seconds(since), MaxListed)
}

// list reads the rows of a condition that are wanted.
func (p *Policies) list(ctx context.Context, wanted func(Found) bool, where string, args ...any) (list []Found, err error) {
	err = p.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT `+columns+` FROM tlspolicy WHERE `+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			f, err := p.scan(rows)
			if err != nil {
				return err
			}
			if wanted(f) {
				list = append(list, f)
			}
		}
		return rows.Err()
	})
	return list, err
}

// Known is what is known of a domain. NotFound if that is nothing.
func (p *Policies) Known(ctx context.Context, d mail.Domain) (Found, error) {
	f, err := p.read(ctx, d)
	if err == nil && f.Next.IsZero() {
		err = mail.Errorf(mail.NotFound, "nothing is known of a policy of %s", d)
	}
	return f, err
}

// Forget removes what is known of a domain. NotFound if that is nothing.
func (p *Policies) Forget(ctx context.Context, d mail.Domain) error {
	return p.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		n, err := tx.Exec(`DELETE FROM tlspolicy WHERE domain = $1`, d)
		if err == nil && n == 0 {
			err = mail.Errorf(mail.NotFound, "nothing is known of a policy of %s", d)
		}
		return err
	})
}
