package courier

import (
	"testing"

	"yubin/internal/mail"
)

// answers is every answer that a conversation can give.
func answers() []mail.Answer {
	var all []mail.Answer
	for phase := mail.PhaseConnect; phase <= mail.PhaseAnswer; phase++ {
		for trouble := mail.Closed; trouble <= mail.Canceled; trouble++ {
			all = append(all, mail.Answer{Phase: phase, Trouble: trouble, Enhanced: "4.0.0"})
		}
		for _, code := range []int{250, 354, 421, 450, 451, 452, 500, 521, 530, 535, 550, 552, 554, 556} {
			all = append(all, mail.Answer{Phase: phase, Code: code})
		}
	}
	return all
}

// TestClassifyKeepsTheRules that no row may break.
func TestClassifyKeepsTheRules(t *testing.T) {
	for _, a := range answers() {
		for _, demands := range []bool{false, true} {
			v := classify(a, demands)
			if (v.outcome == mail.Delivered) != a.Taken() {
				t.Errorf("%+v: %v", a, v.outcome)
			}
			if v.outcome == 0 {
				t.Errorf("%+v has no outcome", a)
			}
			if a.Phase == mail.PhaseAnswer && v.next == nextHost {
				t.Errorf("%+v: the message is sent twice", a)
			}
			if lost := a.Phase == mail.PhaseAnswer && (a.Trouble != mail.NoTrouble || a.Code == 354); v.lost != lost && a.Trouble != mail.Unreadable && a.Trouble != mail.Unsendable {
				t.Errorf("%+v: lost is %v", a, v.lost)
			}
			if v.lost && v.outcome != mail.Deferred {
				t.Errorf("%+v: lost and %v", a, v.outcome)
			}
			if a.Trouble == mail.NoTrouble && a.Code/100 == 4 && v.outcome != mail.Deferred && !(demands && a.Phase == mail.PhaseTLS) {
				t.Errorf("%+v: a temporary answer is %v", a, v.outcome)
			}
			if a.Phase == mail.PhaseRcpt && a.Trouble == mail.NoTrouble && a.Code >= 400 && a.Code != 421 && v.next != settled {
				t.Errorf("%+v: a definite answer goes on to another host", a)
			}
			switch a.Trouble {
			case mail.Closed, mail.TimedOut, mail.Garbled, mail.Canceled, mail.Unreadable:
				if v.outcome != mail.Deferred {
					t.Errorf("%+v: %v", a, v.outcome)
				}
			}
			if a.Trouble == mail.Canceled && v.next != stop {
				t.Errorf("%+v: goes on", a)
			}
		}
	}
}

// TestEveryRuleIsUsed: a row that no answer reaches is a mistake.
func TestEveryRuleIsUsed(t *testing.T) {
	used := map[int]bool{}
	for _, a := range answers() {
		for _, demands := range []bool{false, true} {
			for i, r := range rules {
				if r.fits(a, demands) {
					used[i] = true
					break
				}
			}
		}
	}
	for i := range rules {
		if !used[i] {
			t.Errorf("no answer reaches row %d: %+v", i, rules[i])
		}
	}
}

func TestClassify(t *testing.T) {
	code := func(p mail.Phase, c int) mail.Answer { return mail.Answer{Phase: p, Code: c} }
	trouble := func(p mail.Phase, k mail.Trouble) mail.Answer { return mail.Answer{Phase: p, Trouble: k} }
	for _, tt := range []struct {
		answer  mail.Answer
		demands bool
		want    verdict
	}{
		{trouble(mail.PhaseConnect, mail.Closed), false, verdict{mail.Deferred, nextHost, false}},
		{code(mail.PhaseGreeting, 450), false, verdict{mail.Deferred, nextHost, false}},
		{code(mail.PhaseGreeting, 554), false, verdict{mail.Failed, nextHost, false}},
		{code(mail.PhaseTLS, 454), false, verdict{mail.Deferred, nextHost, false}},
		{code(mail.PhaseTLS, 454), true, verdict{mail.Failed, nextHost, false}},
		{trouble(mail.PhaseTLS, mail.Unverified), true, verdict{mail.Failed, nextHost, false}},
		{trouble(mail.PhaseTLS, mail.TimedOut), true, verdict{mail.Deferred, nextHost, false}},
		{code(mail.PhaseAuth, 535), false, verdict{mail.Deferred, nextHost, false}},
		{code(mail.PhaseMail, 452), false, verdict{mail.Deferred, nextHost, false}},
		{code(mail.PhaseMail, 550), false, verdict{mail.Failed, settled, false}},
		{code(mail.PhaseMail, 421), false, verdict{mail.Deferred, nextHost, false}},
		{trouble(mail.PhaseMail, mail.Lacking), false, verdict{mail.Failed, nextHost, false}},
		{code(mail.PhaseRcpt, 450), false, verdict{mail.Deferred, settled, false}},
		{code(mail.PhaseRcpt, 550), false, verdict{mail.Failed, settled, false}},
		{code(mail.PhaseRcpt, 552), false, verdict{mail.Deferred, settled, false}},
		{mail.Answer{Phase: mail.PhaseRcpt, Code: 552, Enhanced: "5.5.3"}, false, verdict{mail.Deferred, settled, false}},
		{mail.Answer{Phase: mail.PhaseRcpt, Code: 552, Enhanced: "5.2.2"}, false, verdict{mail.Failed, settled, false}},
		{code(mail.PhaseData, 451), false, verdict{mail.Deferred, nextHost, false}},
		{code(mail.PhaseData, 554), false, verdict{mail.Failed, settled, false}},
		{code(mail.PhaseContent, 552), false, verdict{mail.Failed, settled, false}},
		{trouble(mail.PhaseContent, mail.Closed), false, verdict{mail.Deferred, nextHost, false}},
		{trouble(mail.PhaseContent, mail.Unsendable), false, verdict{mail.Failed, stop, false}},
		{trouble(mail.PhaseMail, mail.Unreadable), false, verdict{mail.Deferred, stop, false}},
		{code(mail.PhaseAnswer, 250), false, verdict{mail.Delivered, settled, false}},
		{code(mail.PhaseAnswer, 421), false, verdict{mail.Deferred, settled, false}},
		{code(mail.PhaseAnswer, 554), false, verdict{mail.Failed, settled, false}},
		{trouble(mail.PhaseAnswer, mail.Closed), false, verdict{mail.Deferred, settled, true}},
		{trouble(mail.PhaseAnswer, mail.Canceled), false, verdict{mail.Deferred, stop, true}},
	} {
		if got := classify(tt.answer, tt.demands); got != tt.want {
			t.Errorf("%+v (demands TLS: %v): %+v, want %+v", tt.answer, tt.demands, got, tt.want)
		}
	}
}
