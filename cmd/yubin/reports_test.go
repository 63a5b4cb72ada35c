package main

import (
	"strings"
	"testing"
	"time"

	"yubin/internal/server/admin"
)

// TestReported: what people see of reports.
func TestReported(t *testing.T) {
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	d := admin.ReportedDomain{Domain: "example.org", Reports: 31, Organizations: 6, Messages: 1204, Passed: 1182, Begin: day, End: day.AddDate(0, 0, 28),
		Policy: "p=none", Advice: "p=none stops nobody"}
	none := admin.ReportedDomain{Domain: "here.test", Reports: 1, Organizations: 1, Policy: "p=reject", Reported: "p=none; sp=reject"}
	var b strings.Builder
	writeReported(&b, []admin.ReportedDomain{d, none})
	writeSources(&b, admin.DMARC{Domains: []admin.ReportedDomain{d}, Sources: []admin.ReportedSource{
		{Address: "192.0.2.25", Host: "mail.example.org", Messages: 1182, Passed: 1182, SPF: 1182, DKIM: 1181, Delivered: 1182},
		{Address: "203.0.113.7", Messages: 22, Delivered: 2, Junk: 5, Rejected: 15, Advice: "it sends as you"},
	}}, 3)
	want := `DOMAIN       REPORTS  FROM  MESSAGES  PASSED  POLICY
example.org  31       6     1204      98.1 %  p=none
here.test    1        1     0         -       p=reject (reported: p=none; sp=reject)
example.org: p=none stops nobody
example.org: 98.1 % of 1204 messages passed, 2026-11-01 to 2026-11-29 (reports: 31, from 6 organizations)
policy: p=none
p=none stops nobody

SOURCE       HOST              MESSAGES  SPF    DKIM    DELIVERED  JUNK  REFUSED
192.0.2.25   mail.example.org  1182      100 %  99.9 %  1182       0     0
203.0.113.7  -                 22        0.0 %  0.0 %   2          5     15
... and 3 more with fewer messages; see --limit

203.0.113.7: it sends as you
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestReportedTLS: what people see of reports about TLS.
func TestReportedTLS(t *testing.T) {
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	d := admin.TLSDomain{Domain: "example.org", Reports: 31, Organizations: 2, Sessions: 5629, Failed: 303, Begin: day, End: day.AddDate(0, 0, 28), Policies: "sts testing"}
	var b strings.Builder
	writeTLSDomains(&b, []admin.TLSDomain{d})
	writeTLSSources(&b, admin.TLSReports{Domains: []admin.TLSDomain{d}, Sources: []admin.TLSSource{
		{Organization: "Company-X\x1b[31m", Policy: "sts testing", Result: "certificate-expired", Host: "mx1.example.org", Sessions: 5600, Failed: 300,
			Since: day, Last: day.AddDate(0, 0, 3), Advice: "renew it"},
		{Organization: "Y", Policy: "sts testing", Result: "certificate-expired", Host: "mx1.example.org", Sessions: 20, Failed: 3, Since: day, Last: day, Advice: "renew it"},
		{Organization: "Z", Policy: "tlsa", Sessions: 9, Since: day, Last: day},
	}}, 2)
	want := `DOMAIN       REPORTS  FROM  SESSIONS  FAILED  POLICY
example.org  31       2     5629      303     sts testing
example.org: 303 of 5629 sessions failed, 2026-11-01 to 2026-11-29 (reports: 31, from 2 organizations)

REPORTER             POLICY       RESULT               HOST             SESSIONS  FAILED  SINCE       LAST
Company-X\u001b[31m  sts testing  certificate-expired  mx1.example.org  5600      300     2026-11-01  2026-11-04
Y                    sts testing  certificate-expired  mx1.example.org  20        3       2026-11-01  2026-11-01
Z                    tlsa         success              -                9         0       2026-11-01  2026-11-01
... and 2 more with fewer failures; see --limit

certificate-expired: renew it
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
