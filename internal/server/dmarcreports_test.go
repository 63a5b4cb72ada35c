package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/server/admin"
	"yubin/internal/world/sqldb"
)

// TestDMARCReportComes: what others report by mail, to an address that nobody has,
// is told by administration; the address is for that alone.
func TestDMARCReportComes(t *testing.T) {
	s, c := near(t, farZone+"203.0.113.7.in-addr.arpa. PTR liar.far.example.\n7.113.0.203.in-addr.arpa. PTR host7.far.example.\nhost7.far.example. A 203.0.113.7\n", 1)
	client := admin.InProcess(s.Admin())
	p := dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	for _, line := range []string{"EHLO client.test", "MAIL FROM:<noreply@far.example>", "RCPT TO:<DMARC-reports@near.example>"} {
		p.say(line, "250 ")
	}
	p.say("RCPT TO:<nobody@near.example>", "550 5.1.1 ")
	p.say("DATA", "354 ")
	now := time.Now().Unix()
	p.say("Subject: Report domain: near.example\r\nContent-Type: text/xml\r\n\r\n"+strings.ReplaceAll(fmt.Sprintf(`<feedback><report_metadata><org_name>far.example</org_name>
<report_id>1</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>
<policy_published><domain>near.example</domain><p>reject</p></policy_published>
<record><row><source_ip>203.0.113.7</source_ip><count>3</count><policy_evaluated><disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>near.example</header_from></identifiers><auth_results><spf><domain>near.example</domain><result>softfail</result></spf></auth_results></record>
</feedback>`, now-86400, now), "\n", "\r\n")+"\r\n.", "250 ")
	p.say("QUIT", "221 ")
	var got admin.DMARC
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for len(got.Domains) == 0 { // It is read in the background.
		var err error
		if got, err = client.DMARCReports(ctx, "near.example", time.Now().Add(-time.Hour), true); err != nil {
			t.Fatal(err)
		}
	}
	want := admin.ReportedSource{Address: "203.0.113.7", Host: "host7.far.example", Messages: 3, Rejected: 3, Reporters: 1,
		Advice: "it sends as you and is not in your SPF, nor does it sign: if it is yours, add it to the SPF record of near.example and have it sign; else it is forged, and your policy stopped it"}
	if got.Domains[0].Messages != 3 || got.Domains[0].Policy != "no record" || got.Domains[0].Reported != "p=reject" || len(got.Sources) != 1 || got.Sources[0] != want {
		t.Errorf("got %+v", got)
	}
	steps, err := client.Explain(t.Context(), admin.Asked{Address: "dmarc-reports@near.example"})
	if err != nil || !strings.Contains(fmt.Sprint(steps), "accepted for the reports in it") {
		t.Errorf("%v, %v", steps, err)
	}
	if err := s.store.mail.CheckDeep(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
		t.Error(err)
	}
	c.Reports.Addresses = nil
	if _, err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	p = dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	for _, line := range []string{"EHLO client.test", "MAIL FROM:<noreply@far.example>"} {
		p.say(line, "250 ")
	}
	p.say("RCPT TO:<dmarc-reports@near.example>", "550 5.1.1 ")
}

// TestDMARCReportIsMade: what a stranger sends is counted for the domain in whose name
// it is, which asks for reports.
func TestDMARCReportIsMade(t *testing.T) {
	_, c := near(t, farZone+`_dmarc.far.example. TXT "v=DMARC1; p=none; rua=mailto:dmarc@far.example"`+"\n", 1)
	c.Judge.Local, c.Reports.Send = true, true
	c.Data = t.TempDir()
	s, stop := start(t, c)
	client := admin.InProcess(s.Admin())
	_, err := client.AddDomain(t.Context(), "near.example")
	if err == nil {
		_, err = client.AddAccount(t.Context(), admin.NewAccount{Address: "alice@near.example", Password: "secret", AllowWeakPassword: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"alice", "dmarc-reports"} { // Of mail for reports nothing is reported.
		p := dial(t, listenerOf(s, c, "smtp"))
		p.say("", "220 ")
		for _, line := range []string{"EHLO client.test", "MAIL FROM:<bob@far.example>", "RCPT TO:<" + to + "@near.example>"} {
			p.say(line, "250 ")
		}
		p.say("DATA", "354 ")
		p.say("From: bob@far.example\r\nSubject: hello\r\n\r\nhello\r\n.", "250 ")
		p.say("QUIT", "221 ")
	}
	if err := stop(); err != nil { // What was counted is written at last.
		t.Fatal(err)
	}
	st, err := OpenStore(t.Context(), c.Data, deps())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	sent, err := admin.InProcess(st.Admin()).SentReports(t.Context(), "", time.Now().Add(-48*time.Hour))
	if err != nil || len(sent) != 1 || sent[0].Domain != "far.example" || sent[0].Messages != 1 || sent[0].Due.IsZero() {
		t.Errorf("%+v, %v", sent, err)
	}
}

// TestDMARCReporter: who reports is who the judge at the door found authenticated.
func TestDMARCReporter(t *testing.T) {
	_, c := near(t, farZone+`_dmarc.far.example. TXT "v=DMARC1; p=reject"`+"\n"+`far.example. TXT "v=spf1 ip4:127.0.0.0/8 -all"`+"\n", 1)
	c.Judge.Local = true
	c.Data = t.TempDir()
	s, stop := start(t, c)
	client := admin.InProcess(s.Admin())
	if _, err := client.AddDomain(t.Context(), "near.example"); err != nil {
		t.Fatal(err)
	}
	p := dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	for _, line := range []string{"EHLO client.test", "MAIL FROM:<noreply@far.example>", "RCPT TO:<dmarc-reports@near.example>"} {
		p.say(line, "250 ")
	}
	p.say("DATA", "354 ")
	now := time.Now().Unix()
	p.say(fmt.Sprintf("From: noreply@far.example\r\nSubject: Report domain: near.example\r\nContent-Type: text/xml\r\n\r\n<feedback><report_metadata><org_name>far</org_name>\r\n"+
		"<report_id>1</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>\r\n"+
		"<policy_published><domain>near.example</domain><p>none</p></policy_published>\r\n"+
		"<record><row><source_ip>203.0.113.7</source_ip><count>3</count><policy_evaluated><disposition>none</disposition></policy_evaluated></row>\r\n"+
		"<identifiers><header_from>near.example</header_from></identifiers><auth_results></auth_results></record></feedback>\r\n.", now-86400, now), "250 ")
	p.say("QUIT", "221 ")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for reporter := ""; reporter != "far.example"; { // It is read in the background.
		err := s.store.db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT reporter FROM reports_received WHERE ours = 'near.example'`).Scan(&reporter)
		})
		if err != nil && err != sqldb.ErrNoRows {
			t.Fatal(err)
		}
		if err == nil && reporter != "far.example" {
			t.Fatalf("the reporter is %q", reporter)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
