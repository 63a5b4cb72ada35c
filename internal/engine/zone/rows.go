package zone

import (
	"context"
	"slices"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "zone", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are milliseconds since 1970.
func schema() []string {
	return []string{`
	CREATE TABLE zone_record (
		name {text} NOT NULL, -- of what was put into a zone
		type {int} NOT NULL,
		value {text} NOT NULL,
		kind {text} NOT NULL, -- what it is for
		domain {text} NOT NULL, -- for which it was put there; '' for the host, which all share
		since {int} NOT NULL,
		PRIMARY KEY (name, type, value)
	) {clustered}`}
}

// maxValue is how long the value of a record may be that is remembered, in octets: what
// both databases take in a key.
const maxValue = 1500

// maxRows is how many records of a domain are remembered.
const maxRows = 1000

// row is a record that was put into a zone.
type row struct {
	dns.ZoneRecord
	kind   string
	domain mail.Domain
}

func (r row) is(o dns.ZoneRecord) bool {
	return r.Name == o.Name && r.Type == o.Type && r.Value == o.Value
}

// scope is the domain of the row of a record: "" if it is one of the host.
func (w Wanted) scope(r Record) mail.Domain {
	switch {
	case r.Kind == Address, r.Kind == SPFHost, r.Kind == TLSA, r.Kind == CAA, r.Kind == DKIM && !r.Name.Within(dns.Name(w.Domain)):
		return ""
	}
	return w.Domain
}

// published are the records that were put into zones for a domain, and for the host.
func (z *Zone) published(ctx context.Context, d mail.Domain) (list []row, err error) {
	err = z.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT name, type, value, kind, domain FROM zone_record WHERE domain = $1 OR domain = '' ORDER BY name, type, value LIMIT $2`, d, maxRows)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r := row{ZoneRecord: dns.ZoneRecord{TTL: TTL}}
			if err := rows.Scan(&r.Name, &r.Type, &r.Value, &r.kind, &r.domain); err != nil {
				return err
			}
			list = append(list, r)
		}
		return rows.Err()
	})
	return list, err
}

// keptUp are the domains for which something was put into a zone.
func (z *Zone) keptUp(ctx context.Context) (list []mail.Domain, err error) {
	err = z.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT DISTINCT domain FROM zone_record WHERE domain <> '' ORDER BY domain`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d mail.Domain
			if err := rows.Scan(&d); err != nil {
				return err
			}
			list = append(list, d)
		}
		return rows.Err()
	})
	return list, err
}

// mean remembers records that are about to be put into a zone.
func (z *Zone) mean(ctx context.Context, list []row) error {
	if len(list) == 0 {
		return nil
	}
	if i := slices.IndexFunc(list, func(r row) bool { return len(r.Value) > maxValue }); i >= 0 {
		return mail.Errorf(mail.TooLarge, "the record of %s is over %d octets", list[i].Name, maxValue)
	}
	now := z.o.Now().UTC().Truncate(time.Millisecond).UnixMilli()
	return z.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		for _, r := range list {
			tx.Do(`INSERT INTO zone_record (name, type, value, kind, domain, since) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (name, type, value) DO UPDATE SET kind = excluded.kind, domain = excluded.domain`, r.Name, r.Type, r.Value, r.kind, r.domain, now)
		}
		return nil
	})
}

// forget drops rows of records that are not in a zone any more.
func (z *Zone) forget(ctx context.Context, list []dns.ZoneRecord) error {
	if len(list) == 0 {
		return nil
	}
	return z.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		for _, r := range list {
			tx.Do(`DELETE FROM zone_record WHERE name = $1 AND type = $2 AND value = $3`, r.Name, r.Type, r.Value)
		}
		return nil
	})
}
