package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// abilities are what a peer can do, and how it says so.
type abilities struct {
	utf8    bool     // SMTPUTF8
	mixed   bool     // its reports are not multipart/report, and lack some fields
	orcpt   string   // what its report makes of "first+2Bname"
	unknown told     // what our bounce quotes when it refuses a recipient
	refused told     // what its bounce says when we refuse one
	trace   []string // of what it got over TLS, if it can
}

// exchange sends all kinds of mail from o to p and back, and compares.
func exchange(t *testing.T, o *office, p *peer, can abilities) {
	for name, test := range map[string]func(*testing.T, *office, *peer, abilities){
		"several recipients":         sendSeveral,
		"eight bits":                 sendEightBit,
		"international":              sendInternational,
		"large":                      sendLarge,
		"success is reported":        sendForReport,
		"unknown is bounced":         sendToUnknown,
		"it sends":                   peerSends,
		"it sends to an unknown":     peerSendsToUnknown,
		"it wants success reported":  peerSendsForReport,
		"it sends eight bits, large": peerSendsLarge,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, p := *o, *p
			o.t, p.t = t, t
			test(t, &o, &p, can)
		})
	}
}

var queueID = regexp.MustCompile(`(?s)^.*?\bby mx\.\S+.*?\bid ([^\s;]+)`)

// sendSeveral: two recipients at one site share a transaction.
func sendSeveral(t *testing.T, o *office, p *peer, can abilities) {
	l := newLetter(t, o.person("alice"), "friend@"+p.domain(), "other@"+p.domain())
	o.post(l)
	var ids []string
	for _, user := range []string{"friend", "other"} {
		got := p.arrived(user, l)
		for _, want := range append(slices.Clone(can.trace), "<"+l.from+">") {
			if !bytes.Contains(got, []byte(want)) {
				t.Errorf("no %q in\n%.1500s", want, got)
			}
		}
		id := queueID.FindSubmatch(got)
		if id == nil {
			t.Fatalf("no queue id in\n%.1500s", got)
		}
		ids = append(ids, string(id[1]))
	}
	if ids[0] != ids[1] {
		t.Errorf("two transactions, %s, for two recipients at one site", ids)
	}
}

func sendEightBit(t *testing.T, o *office, p *peer, _ abilities) {
	l := eightBit(t, o.person("alice"), "friend@"+p.domain())
	o.post(l)
	p.arrived("friend", l)
}

// sendInternational: who knows SMTPUTF8 gets it; to who does not it cannot be
// sent unchanged, so it comes back (RFC 6531 §3.5).
func sendInternational(t *testing.T, o *office, p *peer, can abilities) {
	l := eightBit(t, o.person("alice"), "郵便@"+p.domain())
	if !can.utf8 {
		l = newLetter(t, o.person("alice"), "somebody")
		l.to = []string{"郵便@" + p.domain()}
	}
	l.options += " SMTPUTF8"
	o.post(l)
	if can.utf8 {
		p.arrived("郵便", l)
		return
	}
	r := o.report("alice", l)
	r.check(t, told{"Final-Recipient": "utf-8; 郵便@" + p.domain(), "Action": "failed", "Status": "5.6.", "Remote-Mta": p.host})
	if all := p.mailbox("郵便"); len(all) != 0 {
		t.Errorf("%d messages arrived all the same", len(all))
	}
}

// body is n octets of lines that all differ.
func body(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%07d .. a line of a large message, not shorter than most are; %[1]x\r\n", i)
	}
	return b.Bytes()
}

func sendLarge(t *testing.T, o *office, p *peer, _ abilities) {
	l := newLetter(t, o.person("alice"), "friend@"+p.domain())
	l.octets = append(l.octets, body(10<<20)...)
	o.post(l)
	p.arrived("friend", l)
}

// sendForReport: NOTIFY, RET, ENVID and ORCPT reach the peer, whose report
// reaches the sender.
func sendForReport(t *testing.T, o *office, p *peer, can abilities) {
	l := newLetter(t, o.person("alice"), "friend@"+p.domain())
	l.options, l.notify = " RET=HDRS ENVID=envelope-"+l.id(), " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bname@"+o.domain()
	o.post(l)
	p.arrived("friend", l)
	r := o.reportOf(can, "alice", l)
	want := told{"Action": "delivered", "Status": "2.", "Final-Recipient": "friend@" + p.domain()}
	if !can.mixed {
		want["Original-Recipient"] = can.orcpt + "@" + o.domain()
		if got := r.message.Get("Original-Envelope-Id"); got != "envelope-"+l.id() {
			t.Errorf("the report is about envelope %q, want %q", got, "envelope-"+l.id())
		}
	}
	r.check(t, want)
	if got := r.message.Get("Reporting-MTA"); !strings.Contains(got, p.host) {
		t.Errorf("the report is from %q, want %q", got, p.host)
	}
	if strings.Contains(r.returned, "one with a dot") {
		t.Errorf("RET=HDRS, and the text came back:\n%s", r.returned)
	}
}

// sendToUnknown: those whom the peer refuses are in one bounce, with its words,
// and the others get the message.
func sendToUnknown(t *testing.T, o *office, p *peer, can abilities) {
	l := newLetter(t, o.person("alice"), "nobody@"+p.domain(), "friend@"+p.domain(), "noone@"+p.domain())
	o.post(l)
	p.arrived("friend", l)
	r := o.report("alice", l)
	var want []told
	for _, user := range []string{"nobody@", "noone@"} {
		fields := told{"Action": "failed", "Final-Recipient": user + p.domain(), "Remote-Mta": p.host}
		maps.Copy(fields, can.unknown)
		want = append(want, fields)
		if !strings.Contains(r.text, user+p.domain()) {
			t.Errorf("%s is not in the text:\n%s", user, r.text)
		}
	}
	r.check(t, want...)
	if !strings.Contains(r.returned, strings.TrimSpace(string(l.octets))) {
		t.Errorf("the message did not come back whole:\n%s", r.returned)
	}
}

// peerSends: a message of the peer to two of ours.
func peerSends(t *testing.T, o *office, p *peer, _ abilities) {
	l := newLetter(t, "friend@"+p.domain(), o.person("alice"), o.person("bob"))
	p.post(l)
	for _, account := range []string{"alice", "bob"} {
		got := o.arrived(account, l)
		for _, want := range []string{"Return-Path: <friend@" + p.domain() + ">\r\n", "from " + p.host + " ", "with ESMTPS"} {
			if !bytes.Contains(got, []byte(want)) {
				t.Errorf("no %q in\n%.1500s", want, got)
			}
		}
	}
}

// post gives a letter to the peer to carry.
func (p *peer) post(l letter) {
	p.t.Helper()
	if err := l.hand(p.address(), 25); err != nil {
		p.t.Fatalf("handing to %s: %v", p.name, err)
	}
}

// peerSendsToUnknown: we refuse at RCPT, and the peer tells its sender so.
func peerSendsToUnknown(t *testing.T, o *office, p *peer, can abilities) {
	l := newLetter(t, "friend@"+p.domain(), o.person("nobody"), o.person("bob"))
	p.post(l)
	o.arrived("bob", l)
	r := p.report("friend", l, can)
	want := told{"Action": "failed", "Final-Recipient": o.person("nobody")}
	maps.Copy(want, can.refused)
	r.check(t, want)
	if !strings.Contains(r.text+r.recipients[0].Get("Diagnostic-Code"), "550 5.1.1 there is no mailbox") {
		t.Errorf("the report does not quote our refusal:\n%s\n%v", r.text, r.recipients)
	}
}

// peerSendsForReport: the peer hands the wish for a report on, and we report.
func peerSendsForReport(t *testing.T, o *office, p *peer, _ abilities) {
	l := newLetter(t, "friend@"+p.domain(), o.person("alice"))
	l.options, l.notify = " RET=HDRS ENVID=envelope-"+l.id(), " NOTIFY=SUCCESS"
	p.post(l)
	o.arrived("alice", l)
	r := p.report("friend", l, abilities{})
	r.check(t, told{"Action": "delivered", "Status": "2.", "Final-Recipient": o.person("alice")})
	if got := r.message.Get("Reporting-MTA"); !strings.Contains(got, "localhost") {
		t.Errorf("the report is from %q", got)
	}
	if got := r.message.Get("Original-Envelope-Id"); got != "envelope-"+l.id() {
		t.Errorf("the report is about envelope %q", got)
	}
}

func peerSendsLarge(t *testing.T, o *office, p *peer, _ abilities) {
	l := eightBit(t, "friend@"+p.domain(), o.person("alice"))
	l.octets = append(l.octets, body(10<<20)...)
	p.post(l)
	o.arrived("alice", l)
}
