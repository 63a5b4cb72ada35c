package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/sqldb"
)

// TestTLSReportComes: what others report of TLS by mail, to an address that nobody has, is
// told by administration.
func TestTLSReportComes(t *testing.T) {
	s, c := near(t, farZone, 1)
	client := admin.InProcess(s.Admin())
	p := dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	for _, line := range []string{"EHLO client.test", "MAIL FROM:<>", "RCPT TO:<TLS-reports@near.example>"} {
		p.say(line, "250 ")
	}
	p.say("DATA", "354 ")
	day := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	p.say(strings.ReplaceAll(fmt.Sprintf(`From: noreply@far.example
Subject: Report Domain: near.example Submitter: far.example Report-ID: <1@far.example>
TLS-Report-Domain: near.example
TLS-Report-Submitter: far.example
MIME-Version: 1.0
Content-Type: multipart/report; report-type="tlsrpt"; boundary=b

--b
Content-Type: text/plain

a report
--b
Content-Type: application/tlsrpt+json

{"organization-name":"Far","date-range":{"start-datetime":"%[1]sT00:00:00Z","end-datetime":"%[1]sT23:59:59Z"},"contact-info":"a@far.example","report-id":"1",
"policies":[{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: enforce"],"policy-domain":"near.example","mx-host":["mx.near.example"]},
"summary":{"total-successful-session-count":3,"total-failure-session-count":2},
"failure-details":[{"result-type":"certificate-expired","receiving-mx-hostname":"mx.near.example","failed-session-count":2}]}]}
--b--`, day), "\n", "\r\n")+"\r\n.", "250 ")
	p.say("QUIT", "221 ")
	var got admin.TLSReports
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for len(got.Domains) == 0 { // It is read in the background.
		var err error
		if got, err = client.TLSReports(ctx, "near.example", time.Now().Add(-48*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	begin, err := time.Parse(time.DateOnly, day)
	if err != nil {
		t.Fatal(err)
	}
	end := begin.Add(24*time.Hour - time.Second)
	if want := (admin.TLSDomain{Domain: "near.example", Reports: 1, Organizations: 1, Sessions: 5, Failed: 2, Begin: begin, End: end, Policies: "sts enforce"}); got.Domains[0] != want {
		t.Errorf("got  %+v\nwant %+v", got.Domains[0], want)
	}
	want := admin.TLSSource{Organization: "Far", Policy: "sts enforce", Result: "certificate-expired", Host: "mx.near.example", Sessions: 5, Failed: 2, Since: begin, Last: end,
		Advice: "the certificate of mx.near.example has ended: renew it, and see that the server uses the new one; until then such mail does not come"}
	if len(got.Sources) != 1 || got.Sources[0] != want {
		t.Errorf("got  %+v\nwant %+v", got.Sources, want)
	}
	steps, err := client.Explain(t.Context(), admin.Asked{Address: "tls-reports@near.example"})
	if err != nil || !strings.Contains(fmt.Sprint(steps), "accepted for the reports in it") {
		t.Errorf("%v, %v", steps, err)
	}
	if err := s.store.mail.CheckDeep(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
		t.Error(err)
	}
}

// TestTLSIsCounted: what TLS came to with the host of another domain is counted for that
// domain, as the courier saw it.
func TestTLSIsCounted(t *testing.T) {
	there, farConfig := far(t)
	s, c := near(t, farZone, portOf(listenerOf(there, farConfig, "smtp")), func(c *config.Config) { c.Reports.Send = true })
	arrived := arrival(t, there, "carol@far.example")
	submit(t, listenerOf(s, c, "submission"), "carol@far.example", "hello")
	arrived()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var tuple string
	for tuple == "" { // The courier tells it, and it is written some seconds later.
		if err := s.store.reports.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		err := s.store.db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT tuple FROM reports_seen WHERE kind = 'tls' AND domain = 'far.example'`).Scan(&tuple)
		})
		if err != nil && err != sqldb.ErrNoRows {
			t.Fatal(err)
		}
	}
	if want := `{"Policy":{"Type":3,"Strings":null,"Domain":"far.example","MXHosts":null}}`; tuple != want {
		t.Errorf("got %s, want %s", tuple, want)
	}
}
