package route

import (
	"sync"
	"testing"

	"yubin/internal/mail"
)

// FuzzPattern: what is read is written in one form, which reads as the same.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"*", "bob@example.org", `"a b"@x.example`, ".example.org", "example.org", "[192.0.2.1]", "ö+x@bücher.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePattern(s)
		if err != nil {
			return
		}
		if again, err := ParsePattern(p.String()); err != nil || again != p {
			t.Errorf("%q: %+v, then %+v, %v", s, p, again, err)
		}
	})
}

// FuzzHost: the same of hosts.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"mx.example:25", "192.0.2.1", "[2001:db8::1]:25", "[IPv6:::1]", "[::ffff:192.0.2.1]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s)
		if err != nil {
			return
		}
		if again, err := ParseHost(HostText(h)); err != nil || again != h {
			t.Errorf("%q: %+v, then %+v, %v", s, h, again, err)
		}
	})
}

// TestChangesUnderLoad: whoever asks while tables change gets an answer of one
// of the tables, and the new one as soon as the change has returned.
func TestChangesUnderLoad(t *testing.T) {
	h := open(t)
	h.set("a", "else.example", "")
	q := ask("x@else.example", "", loggedIn)
	stop := make(chan struct{})
	var g sync.WaitGroup
	for range 2 {
		g.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := tell(h.Route(t.Context(), q)); got != "a>x@else.example" && got != "forbidden: no mail for a" {
					t.Error(got)
					return
				}
			}
		})
	}
	for range 20 {
		h.set("a", "else.example", "", reject)
		h.want(q, "forbidden: no mail for a")
		h.set("a", "else.example", "")
		h.want(q, "a>x@else.example")
	}
	close(stop)
	g.Wait()
	if _, err := h.SetRoute(t.Context(), Route{Name: "a", Action: "fax"}); mail.KindOf(err) != mail.Invalid {
		t.Error(err)
	}
	h.want(q, "a>x@else.example") // a refused change changes nothing
}

// TestExplainKnowsTheCouriers' port and capture.
func TestExplainKnowsTheCouriers(t *testing.T) {
	h, fake := world(t)
	h.o.Port, h.o.Captured = 2525, addr("captured@yubin.test")
	steps, err := h.Explain(t.Context(), ask("x@single.example", "alice", loggedIn), fake)
	h.must(err)
	last, host := steps[len(steps)-1], steps[len(steps)-3]
	if last.Says != "captured for captured@yubin.test: this server lets no mail out" || host.About != "host" || host.Says[:36] != "single.example: 198.51.100.4:2525 (T" {
		t.Errorf("%+v", steps)
	}
}
