package signing

import (
	"strings"
	"testing"

	"yubin/internal/engine/spool"
	"yubin/internal/mailauth/arc"
)

// TestForwardIsSealed: what goes on in a domain's name carries what was found when it
// came, and the next who forwards it extends the chain.
func TestForwardIsSealed(t *testing.T) {
	s := ready(t, "a.example")
	text := "Authentication-Results: " + string(s.o.Hostname) + ";\r\n\tdkim=pass header.d=c.example;\r\n\tdmarc=pass header.from=c.example\r\n" +
		"Received: from there\r\nFrom: x@c.example\r\nTo: list@a.example\r\nSubject: hello\r\n\r\nHello\r\n"
	it := spool.Item{ID: 1, SignFor: "a.example"}
	once, err := s.Sign(t.Context(), it, opener(text), false)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(message string) arc.Verdict {
		v, err := arc.Verify(t.Context(), s.dns, strings.NewReader(message), arc.Options{Now: s.time()})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := verify(string(once) + text); v.Result != arc.Pass || len(v.Sets) != 1 || !strings.Contains(string(v.Sets[0].Results), "dmarc=pass header.from=c.example") {
		t.Fatalf("the seal: %s, %s\n%s", v.Result, v.Reason, once)
	}
	found := "Authentication-Results: " + string(s.o.Hostname) + "; arc=pass; dkim=fail header.d=c.example\r\n"
	again := found + string(once) + text
	it.ID = 2
	twice, err := s.Sign(t.Context(), it, opener(again), false)
	if err != nil {
		t.Fatal(err)
	}
	if v := verify(string(twice) + again); v.Result != arc.Pass || len(v.Sets) != 2 {
		t.Errorf("two seals: %s, %s", v.Result, v.Reason)
	}
	// Nobody checked it: nothing to seal.
	it.ID = 3
	bare := strings.TrimPrefix(text, text[:strings.Index(text, "Received")])
	fields, err := s.Sign(t.Context(), it, opener(bare), false)
	if err != nil || strings.Contains(string(fields), "ARC-") || !strings.Contains(string(fields), "DKIM-Signature") {
		t.Errorf("a message that nobody checked: %v\n%s", err, fields)
	}
}
