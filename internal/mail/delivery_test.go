package mail

import (
	"net/netip"
	"testing"
)

func TestDecisive(t *testing.T) {
	at := func(o Outcome, text string) Attempt { return Attempt{Outcome: o, Text: text} }
	for _, tt := range []struct {
		result Result
		want   string
	}{
		{Result{Failed, []Attempt{at(Deferred, "a"), at(Failed, "b"), at(Failed, "c"), at(Deferred, "d")}}, "c"},
		{Result{Deferred, []Attempt{at(Deferred, "a"), at(Failed, "b")}}, "a"},
		{Result{Delivered, []Attempt{at(Deferred, "a"), at(Delivered, "b")}}, "b"},
		{Result{Deferred, nil}, ""},
	} {
		if got := tt.result.Decisive(); got.Text != tt.want || got.Outcome != tt.result.Outcome {
			t.Errorf("%+v: %+v", tt.result, got)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		outcome  Outcome
		enhanced string
		want     string
	}{
		{Delivered, "2.1.5", "2.1.5"}, {Delivered, "", "2.0.0"}, {Deferred, "4.2.2", "4.2.2"}, {Deferred, "5.7.8", "4.0.0"},
		{Failed, "5.1.1", "5.1.1"}, {Failed, "", "5.0.0"}, {0, "", "4.0.0"},
	} {
		if got := (Attempt{Outcome: tt.outcome, Enhanced: tt.enhanced}).Status(); got != tt.want {
			t.Errorf("%v %q: %q", tt.outcome, tt.enhanced, got)
		}
	}
}

// TestSite: equal for equal hops, and never for two that must not share.
func TestSite(t *testing.T) {
	host := func(h Domain, port uint16) []HostPort { return []HostPort{{h, port}} }
	hops := []NextHop{
		{Domain: "example.org"},
		{Domain: "example.com"},
		{Domain: "example.org", Port: 2525},
		{Domain: "example.org", TLS: TLSVerified},
		{Domain: "example.org", TLS: TLSNone},
		{Domain: "example.org", ImplicitTLS: true},
		{Domain: "example.org", SourceIPv4: netip.MustParseAddr("192.0.2.1")},
		{Domain: "example.org", SourceIPv6: netip.MustParseAddr("2001:db8::1")},
		{Kind: HopHosts, Hosts: host("example.org", 0)},
		{Kind: HopHosts, Hosts: host("example.org", 25)},
		{Kind: HopLMTP, Hosts: host("example.org", 25)},
		{Kind: HopHosts, Hosts: append(host("example.org", 25), HostPort{"example.com", 25})},
		{Kind: HopHosts, Hosts: host("example.org", 25), Auth: &Credentials{User: "a"}},
		{Kind: HopHosts, Hosts: host("example.org", 25), Auth: &Credentials{User: `a" tls=none`}},
		{Kind: HopHosts, Hosts: host("example.org", 25), Auth: &Credentials{User: "a"}, TLS: TLSNone},
	}
	seen := map[string]int{}
	for i, h := range hops {
		if j, ok := seen[h.Site()]; ok {
			t.Errorf("hops %d and %d are both %q", i, j, h.Site())
		}
		seen[h.Site()] = i
		if again := h; again.Site() != h.Site() {
			t.Errorf("%+v has two sites", h)
		}
	}
	withPassword := NextHop{Auth: &Credentials{"user", "secret"}}
	if other := (NextHop{Auth: &Credentials{"user", "other"}}); withPassword.Site() != other.Site() {
		t.Error("the password is part of the site")
	}
}

func TestNamesOfDelivery(t *testing.T) {
	for policy := TLSOpportunistic; policy <= TLSNone; policy++ {
		if got, ok := ParseTLSPolicy(policy.String()); got != policy || !ok {
			t.Errorf("%v reads back as %v, %v", policy, got, ok)
		}
	}
	if _, ok := ParseTLSPolicy("perhaps"); ok {
		t.Error("a policy that is none was read")
	}
	if got := (NotifySuccess | NotifyDelay).String(); got != "SUCCESS,DELAY" {
		t.Error(got)
	}
	if Notify(0).String() != "" || NotifyNever.String() != "NEVER" || RetHeaders.String() != "HDRS" || Ret(0).String() != "" {
		t.Error("names of DSN parameters are wrong")
	}
	if len(phaseNames) != int(PhaseAnswer)+1 || len(troubleNames) != int(Canceled)+1 || len(outcomeNames) != int(Failed)+1 {
		t.Error("a name is missing")
	}
}

func TestTaken(t *testing.T) {
	for _, a := range []Answer{{}, {Phase: PhaseAnswer, Code: 354}, {Phase: PhaseAnswer, Code: 451}, {Phase: PhaseRcpt, Code: 250},
		{Phase: PhaseAnswer, Trouble: Closed}, {Phase: PhaseAnswer, Trouble: Closed, Code: 250}} {
		if a.Taken() {
			t.Errorf("%+v is taken", a)
		}
	}
	if !(Answer{Phase: PhaseAnswer, Code: 250}).Taken() {
		t.Error("250 is not taken")
	}
}

// TestDemand: RFC 8689 §4.1, §4.2.1, §5.
func TestDemand(t *testing.T) {
	from := ReversePath{Local: "a", Domain: "b.example"}
	for _, c := range []struct {
		o    Outgoing
		want TLSDemand
	}{
		{Outgoing{ReversePath: from}, TLSUnsaid},
		{Outgoing{ReversePath: from, RequireTLS: true}, TLSDemanded},
		{Outgoing{ReversePath: from, TLSOptional: true}, TLSWaived},
		{Outgoing{ReversePath: from, RequireTLS: true, TLSOptional: true}, TLSDemanded},
		{Outgoing{RequireTLS: true}, TLSUnsaid},
		{Outgoing{TLSOptional: true}, TLSWaived},
		{Outgoing{RequireTLS: true, TLSOptional: true}, TLSUnsaid},
	} {
		if got := c.o.Demand(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.o, got, c.want)
		}
	}
}
