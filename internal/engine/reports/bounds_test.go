package reports

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// from are the fields in front of mail of a reporter who is authenticated.
func from(d string) string {
	return fmt.Sprintf("Authentication-Results: mx.here.test; spf=pass smtp.mailfrom=%s; dmarc=pass header.from=%s\r\nReceived: here\r\n", d, d)
}

// report takes a report with so many records, of mail with these fields in front.
func (h *house) report(prefix, number, domain string, records int) {
	h.t.Helper()
	h.prefix = prefix
	var all []string
	for i := range records {
		all = append(all, record(fmt.Sprintf("192.0.%d.%d", i/250, i%250), 1, "none", "pass", "pass", domain, ""))
	}
	h.take(mailed(document("an organization", number, domain, all...)), "dmarc-reports@here.test")
	h.must(h.readAll(ctx))
}

// kept is how many reports there are about here.test and below, messages of their
// rows, and messages that were only counted.
func (h *house) kept() string {
	h.t.Helper()
	var reports, rows, leftOut int64
	h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error {
		if err := tx.QueryRow(`SELECT count(*) FROM reports_row`).Scan(&rows); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT count(*), coalesce(sum(left_out), 0) FROM reports_received WHERE ours = 'here.test'`).Scan(&reports, &leftOut)
	}))
	return fmt.Sprintf("%d reports, %d rows, %d left out", reports, rows, leftOut)
}

// earlier makes reports that came before, each with so many rows as far as the bounds
// are concerned.
func (h *house) earlier(n int, at time.Time, reporter string, newcomer bool, rows int64) {
	h.t.Helper()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for i := range n {
			tx.Do(`INSERT INTO reports_received (kind, domain, org, number, contact, begins, ends, arrived, policy, fault, messages, left_out, ours, reporter, newcomer, kept)
				VALUES ('dmarc', 'here.test', $1, $2, '', 0, 0, $3, '', '', 0, 0, 'here.test', $4, $5, $6)`,
				fmt.Sprintf("earlier %s %v %d", reporter, newcomer, at.Unix()), fmt.Sprint(i), at.Unix(), reporter, newcomer, rows)
		}
		return nil
	}))
}

// TestFlood: who is not authenticated leaves room for who is, whatever names below
// ours the reports are about, and the log says once what bound was reached.
func TestFlood(t *testing.T) {
	h := newHouse(t)
	for i := range MaxUnproven + 3 {
		h.report("Received: here\r\n", fmt.Sprint(i), fmt.Sprintf("a%d.here.test", i), 1)
	}
	const bound = `msg="DMARC reports are not kept: as many as there may be came within a day" domain=here.test bound="of reporters who are not authenticated" max=50`
	if got, n := h.kept(), strings.Count(h.log.String(), bound); got != "50 reports, 50 rows, 0 left out" || n != 1 || strings.Contains(h.log.String(), "new=false") {
		t.Errorf("%s, told %d times", got, n)
	}
	h.report(from("good.example"), "good", "here.test", 1)
	h.report("Received: here\r\n", "0", "a0.here.test", 1)
	if got := h.kept(); got != "51 reports, 51 rows, 0 left out" || !strings.Contains(h.log.String(), `reporter=good.example messages=1 new=true`) ||
		strings.Count(h.log.String(), "new=false") != 1 {
		t.Errorf("%s\n%s", got, h.log)
	}
	h.pass(24 * time.Hour)
	for i := range MaxUnproven + 1 {
		h.report("Received: here\r\n", fmt.Sprintf("next day %d", i), "here.test", 1)
	}
	if n := strings.Count(h.log.String(), bound); h.kept() != "101 reports, 101 rows, 0 left out" || n != 2 {
		t.Errorf("%s, told %d times", h.kept(), n)
	}
}

// TestShares: each bound of a day, one below and at it.
func TestShares(t *testing.T) {
	yesterday := noon.Add(-24 * time.Hour)
	for name, c := range map[string]struct {
		reports  int // that there are
		reporter string
		newcomer bool
		rows     int64 // of each
		known    bool  // good.example reported before
		want     string
		told     string
	}{
		"a reporter":             {reports: MaxPerReporter, reporter: "good.example", known: true, want: "101 reports, 0 rows, 0 left out", told: `bound="of one reporter" max=100`},
		"nearly":                 {reports: MaxPerReporter - 1, reporter: "good.example", known: true, want: "101 reports, 5 rows, 0 left out"},
		"another":                {reports: MaxPerReporter, reporter: "big.example", known: true, want: "102 reports, 5 rows, 0 left out"},
		"newcomers":              {reports: MaxNewcomers, reporter: "big.example", newcomer: true, want: "500 reports, 0 rows, 0 left out", told: `bound="of reporters who are new" max=500`},
		"known among newcomers":  {reports: MaxNewcomers, reporter: "big.example", newcomer: true, known: true, want: "502 reports, 5 rows, 0 left out"},
		"all":                    {reports: MaxPerDay, reporter: "big.example", known: true, want: "2001 reports, 0 rows, 0 left out", told: `bound="of all reporters" max=2000`},
		"rows of a reporter":     {reports: 1, rows: MaxRowsPerReporter - 2, reporter: "good.example", known: true, want: "3 reports, 2 rows, 3 left out", told: `bound="of one reporter" max=2000`},
		"rows to the last":       {reports: 1, rows: MaxRowsPerReporter - 5, reporter: "good.example", known: true, want: "3 reports, 5 rows, 0 left out"},
		"rows of newcomers":      {reports: 2, rows: MaxRowsNewcomers / 2, reporter: "big.example", newcomer: true, want: "3 reports, 0 rows, 5 left out", told: `bound="of reporters who are new" max=4000`},
		"rows of all":            {reports: 4, rows: MaxRowsPerDay/4 - 1, reporter: "big.example", known: true, want: "6 reports, 4 rows, 1 left out", told: `bound="of all reporters" max=10000`},
		"rows of the unproven":   {reports: 1, rows: MaxRowsUnproven, known: true, want: "3 reports, 5 rows, 0 left out"},
		"and one more of theirs": {reports: 1, rows: MaxRowsUnproven, want: "2 reports, 5 rows, 0 left out"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			if c.known {
				h.earlier(1, yesterday, "good.example", true, MaxRows)
			}
			h.earlier(c.reports, noon, c.reporter, c.newcomer, c.rows)
			h.report(from("good.example"), "1", "here.test", 5)
			got := h.kept()
			if got != c.want || (c.told == "") == strings.Contains(h.log.String(), "level=WARN") || !strings.Contains(h.log.String(), c.told) {
				t.Errorf("%s, log:\n%s", got, h.log)
			}
		})
	}
}

// TestRowsUnproven: who is not authenticated has less room for records.
func TestRowsUnproven(t *testing.T) {
	h := newHouse(t)
	h.report("Received: here\r\n", "1", "here.test", MaxRowsUnproven-5)
	h.report("Received: here\r\n", "2", "here.test", 10)
	h.report("Received: here\r\n", "3", "here.test", 10)
	const bound = `msg="records of DMARC reports are only counted: as many as are kept came within a day" domain=here.test bound="of reporters who are not authenticated" max=500`
	if got, n := h.kept(), strings.Count(h.log.String(), bound); got != "3 reports, 500 rows, 15 left out" || n != 1 {
		t.Errorf("%s, told %d times:\n%s", got, n, h.log)
	}
}

// TestReporter: who is authenticated as what our own fields say.
func TestReporter(t *testing.T) {
	for results, want := range map[string]mail.Domain{
		"":                                      "",
		"dmarc=pass header.from=big.example":    "big.example",
		"dmarc=fail header.from=big.example":    "",
		"spf=pass smtp.mailfrom=big.example":    "",
		"dmarc=pass header.from=\"not a name\"": "",
		"spf=pass smtp.mailfrom=big.example; dmarc=none header.from=big.example":                  "big.example",
		"spf=fail smtp.mailfrom=big.example; dmarc=none header.from=big.example":                  "",
		"spf=pass smtp.mailfrom=else.example; dmarc=none header.from=big.example":                 "",
		"spf=pass smtp.helo=big.example; dmarc=none header.from=big.example":                      "",
		"dkim=pass header.d=big.example; dmarc=none header.from=mail.big.example":                 "mail.big.example",
		"dkim=pass header.d=else.example; dmarc=none header.from=big.example":                     "",
		"dkim=pass header.d=big.example; dmarc=temperror header.from=big.example":                 "",
		"dkim=fail header.d=big.example; dkim=pass header.d=big.example; dmarc=none header.from=": "",
	} {
		prefix := "Received: here\r\nAuthentication-Results: mx.here.test; " + results + "\r\n"
		if got := reporterOf([]byte(prefix)); got != want {
			t.Errorf("%q: %q, want %q", results, got, want)
		}
	}
}
