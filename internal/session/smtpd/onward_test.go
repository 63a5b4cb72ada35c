package smtpd

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// Every parameter that the language knows is offered somewhere, and MX offers no
// more than what strangers may use: no reports, unless they are trusted.
func TestParametersAreOffered(t *testing.T) {
	offered := func(profile string, tls bool) smtp.Params {
		s := newPost(t, settings(t, "set profile "+strings.Replace(profile, " trusted", "\nset reports yes", 1))).server.newSession(Client{}, false)
		s.tls.on = tls
		return s.offered()
	}
	const all = smtp.ParamORCPT<<1 - 1
	const reports = smtp.ParamRet | smtp.ParamEnvID | smtp.ParamNotify | smtp.ParamORCPT | smtp.ParamBy
	const submission = smtp.ParamHoldFor | smtp.ParamHoldUntil | smtp.ParamAuth
	for _, test := range []struct {
		profile string
		tls     bool
		want    smtp.Params
	}{
		{"submission", true, all},
		{"submission", false, all &^ smtp.ParamRequireTLS},
		{"mx trusted", true, all &^ submission},
		{"mx", true, all &^ submission &^ reports},
		{"lmtp", true, smtp.ParamSize | smtp.ParamBody | smtp.ParamUTF8 | smtp.ParamPriority | smtp.ParamRequireTLS},
	} {
		if got := offered(test.profile, test.tls); got != test.want {
			t.Errorf("%s offers %b, want %b", test.profile, got, test.want)
		}
	}
}

// wide is a Router for which every address is an alias with many others behind it.
type wide int

func (n wide) Route(context.Context, *Client, mail.Address) (routed route.Routed, err error) {
	for i := range int(n) {
		routed.Onward = append(routed.Onward, elsewhere(mail.Address{Local: fmt.Sprint("a", i), Domain: "other.example"}))
	}
	return routed, nil
}

// What the queue cannot take in one message is refused at RCPT, not at the end.
func TestWideAliases(t *testing.T) {
	p := newPost(t, settings(t, "set reports yes"))
	p.server.cfg.Router = wide(queue.MaxRecipients - 1)
	s := p.server.newSession(Client{}, false)
	for _, step := range []struct{ say, want string }{
		{"EHLO a", "250 "}, {"MAIL FROM:<a@remote.example>", "250 "},
		{"RCPT TO:<x@example.org> NOTIFY=SUCCESS", "250 "},
		{"RCPT TO:<y@example.org>", "452 4.5.3 "},
		{"DATA", "354 "},
	} {
		r := s.command(context.Background(), []byte(step.say), false)
		if got := fmt.Sprint(r.Code, " ", r.Enhanced, " ", r.Text); !strings.HasPrefix(got, step.want) {
			t.Fatalf("%s: %s", step.say, got)
		}
	}
	if err := s.receive(context.Background(), []byte("Subject: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if r := s.endMessage(context.Background())[0]; r.Code != 250 {
		t.Fatal(r)
	}
	if len(p.queued) != 1+queue.MaxRecipients || p.queued[queue.MaxRecipients] != "to x@example.org expanded notify=SUCCESS" {
		t.Errorf("%d lines, the last is %q", len(p.queued), p.queued[len(p.queued)-1])
	}
}
