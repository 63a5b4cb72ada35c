package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
	"yubin/internal/world/config"
)

// TestServicesOf: what listeners are to clients. Those that only this machine reaches count
// where no other of the protocol does; those without TLS, and for other servers, never.
func TestServicesOf(t *testing.T) {
	c := config.Config{Hostname: "mail.example.org", Listeners: []config.Listener{
		{Protocol: config.SMTP, Profile: config.ProfileMX, Address: ":25", TLS: config.TLSStart},
		{Protocol: config.SMTP, Profile: config.ProfileLMTP, Address: "127.0.0.1:24", TLS: config.TLSStart},
		{Protocol: config.SMTP, Profile: config.ProfileSubmission, Address: "127.0.0.1:587", TLS: config.TLSStart},
		{Protocol: config.SMTP, Profile: config.ProfileSubmission, Address: "[::1]:2587", TLS: config.TLSNone},
		{Protocol: config.IMAP, Address: "127.0.0.1:143", TLS: config.TLSStart},
		{Protocol: config.IMAP, Address: "192.0.2.1:993", TLS: config.TLSImplicit},
		{Protocol: config.POP3, Address: ":0", TLS: config.TLSImplicit},
		{Protocol: config.HTTP, Address: ":443", TLS: config.TLSImplicit},
	}}
	want := []clients.Service{
		{Protocol: clients.IMAP, Host: "mail.example.org", Port: 993, Security: clients.TLS},
		{Protocol: clients.Submission, Host: "mail.example.org", Port: 587, Security: clients.StartTLS},
	}
	if diff := cmp.Diff(want, servicesOf(c)); diff != "" {
		t.Error(diff)
	}
	if got := httpsPort(c); got != 443 {
		t.Errorf("https is at %d", got)
	}
	if got := httpsPort(config.Config{}); got != 0 {
		t.Errorf("without https it is at %d", got)
	}
}

// TestOursOnTheWeb: which names lead here.
func TestOursOnTheWeb(t *testing.T) {
	c := local(t)
	c.Hostname = "mail.yubin.test"
	s, stop := start(t, c)
	defer func() { _ = stop() }()
	ours := s.oursOnTheWeb(c)
	for host, want := range map[mail.Domain]bool{
		"mail.yubin.test": true, "yubin.test": true, "autoconfig.yubin.test": true, "autodiscover.yubin.test": true, "mta-sts.yubin.test": true,
		"www.yubin.test": false, "mta-sts.mail.yubin.test": false, "autoconfig.autoconfig.yubin.test": false, "example.net": false, "autoconfig.": false,
		"127.0.0.1": true, "192.0.2.1": false,
	} {
		if got := ours(t.Context(), host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	c.Open = false
	if s.oursOnTheWeb(c)(t.Context(), "127.0.0.1") {
		t.Error("an address is a name of a server that is not for trying")
	}
}
