package reports

import (
	"strings"
	"sync"

	"yubin/internal/mail"
	"yubin/internal/mailauth/authres"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// Limits of what is kept of a kind that came within a day about one domain of ours and all
// below it. Anybody can send reports, of any number of domains: so each reporter has
// a share, those who cannot be told from each other have one in common, and those
// nobody heard of before leave most of it to the others.
const (
	MaxPerDay      = 2000   // reports: some hundreds are what the largest domains get
	MaxRowsPerDay  = 10_000 // different records; the others' messages are only counted
	MaxPerReporter = 100
	// MaxRowsPerReporter leaves a reporter one report of the largest size.
	MaxRowsPerReporter = MaxRows
	MaxUnproven        = 50 // of reporters who are not authenticated, together
	MaxRowsUnproven    = 500
	MaxNewcomers       = 500 // of reporters of whom none was kept before that day, together
	MaxRowsNewcomers   = 4000
)

// reporterOf is the domain in From of a message, if it is authenticated as our own
// fields in front of it say: by DMARC, or, where there is no policy, by a signature or
// a sender of that domain or one above or below. Else it is "".
func reporterOf(prefix []byte) mail.Domain { return proven(prefix, false) }

// signerOf is the domain in From of a message, if it or one above or below signed the
// message as our own fields say (RFC 8460 §3). Else it is "".
func signerOf(prefix []byte) mail.Domain { return proven(prefix, true) }

// proven is the domain in From that is authenticated, by a signature alone if signed.
func proven(prefix []byte, signed bool) mail.Domain {
	for f := range message.Fields(prefix) {
		if !strings.EqualFold(f.Name, authres.FieldName) {
			continue
		}
		results, err := authres.Parse(f.Value)
		if err != nil {
			continue
		}
		if d := authenticated(results.Results, signed); d != "" {
			return d
		}
	}
	return ""
}

func authenticated(results []authres.Result, signed bool) mail.Domain {
	var from mail.Domain
	for _, one := range results {
		if one.Method != "dmarc" {
			continue
		}
		d, err := mail.ParseDomain(one.Get("header", "from"))
		switch {
		case err != nil:
			return ""
		case one.Value == "pass" && !signed:
			return d
		case one.Value != "none" && one.Value != "pass":
			return ""
		}
		from = d
	}
	for _, one := range results {
		name := ""
		switch {
		case one.Method == "dkim":
			name = one.Get("header", "d")
		case one.Method == "spf" && !signed:
			name = one.Get("smtp", "mailfrom")
		}
		d, err := mail.ParseDomain(name)
		if one.Value == "pass" && err == nil && from != "" && (isBelow(d, from) || isBelow(from, d)) {
			return from
		}
	}
	return ""
}

// bound is one of the limits of a day that is reached.
type bound struct {
	name     string // in words
	max      int64
	reporter mail.Domain // whom alone it is about; "" if it is about several
}

// room is what may be kept of a report.
type room struct {
	newcomer bool
	rows     int64
	noReport bound // why none is kept; zero if it is
	noRows   bound // why no more rows are
}

// roomFor counts what came within the day before arrived about a domain of ours.
func roomFor(tx *sqldb.Tx, kind Kind, ours, reporter mail.Domain, arrived int64) (r room, err error) {
	since := arrived - secondsOfDay
	if reporter != "" {
		var known int64
		if err := tx.QueryRow(`SELECT count(*) FROM (SELECT 1 AS one FROM reports_received WHERE kind = $1 AND ours = $2 AND reporter = $3 AND arrived <= $4 LIMIT 1) AS earlier`,
			kind, ours, reporter, since).Scan(&known); err != nil {
			return r, err
		}
		r.newcomer = known == 0
	}
	var all, own, fresh struct{ reports, rows int64 }
	err = tx.QueryRow(`SELECT count(*), coalesce(sum(kept), 0),
		coalesce(sum(CASE WHEN reporter = $4 THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN reporter = $4 THEN kept ELSE 0 END), 0),
		coalesce(sum(newcomer), 0), coalesce(sum(newcomer * kept), 0)
		FROM reports_received WHERE kind = $1 AND ours = $2 AND arrived > $3`, kind, ours, since, reporter).
		Scan(&all.reports, &all.rows, &own.reports, &own.rows, &fresh.reports, &fresh.rows)
	if err != nil {
		return r, err
	}
	r.rows = MaxRows
	take := func(b bound, reports, maxReports, rows, maxRows int64) {
		if b.max = maxReports; reports >= maxReports && r.noReport.max == 0 {
			r.noReport = b
		}
		if left := max(0, maxRows-rows); left < r.rows {
			b.max = maxRows
			r.rows, r.noRows = left, b
		}
	}
	switch {
	case reporter == "":
		take(bound{name: "of reporters who are not authenticated"}, own.reports, MaxUnproven, own.rows, MaxRowsUnproven)
	default:
		take(bound{name: "of one reporter", reporter: reporter}, own.reports, MaxPerReporter, own.rows, MaxRowsPerReporter)
	}
	if r.newcomer {
		take(bound{name: "of reporters who are new"}, fresh.reports, MaxNewcomers, fresh.rows, MaxRowsNewcomers)
	}
	take(bound{name: "of all reporters"}, all.reports, MaxPerDay, all.rows, MaxRowsPerDay)
	return r, nil
}

// told remembers what bounds were told of in the log, each once until a day is over.
// The zero told remembers none. Safe for concurrent use.
type told struct {
	mu   sync.Mutex
	when map[toldOf]int64
}

type toldOf struct {
	what string
	ours mail.Domain
	bound
}

// maxTold is how many bounds are remembered; of more is not told.
const maxTold = 1000

// first reports whether something is to be told of, now.
func (t *told) first(of toldOf, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for known, when := range t.when {
		if now-when >= secondsOfDay {
			delete(t.when, known)
		}
	}
	if _, known := t.when[of]; known || len(t.when) >= maxTold {
		return false
	}
	if t.when == nil {
		t.when = map[toldOf]int64{}
	}
	t.when[of] = now
	return true
}

// tellBounds says in the log what bound a report met, each once a day.
func (r *Reports) tellBounds(got *received, now int64) {
	for _, one := range []struct {
		what string
		bound
	}{
		{got.kind.String() + " reports are not kept: as many as there may be came within a day", got.room.noReport},
		{"records of " + got.kind.String() + " reports are only counted: as many as are kept came within a day", got.room.noRows},
	} {
		if one.max == 0 || !r.told.first(toldOf{one.what, got.ours, one.bound}, now) {
			continue
		}
		r.o.Log.Warn(one.what, "domain", got.ours, "bound", one.name, "max", one.max, "reporter", or(string(got.reporter), "not authenticated"),
			"organization", got.org)
	}
}
