package intake_test

import (
	"context"
	"testing"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
)

// paths gives all that goes on a reverse-path that says whether the sender was proven.
type paths struct{}

func (paths) ReversePath(_ context.Context, _ mail.ReversePath, proven bool, at mail.Domain) mail.ReversePath {
	if proven {
		return mail.ReversePath{Local: "proven", Domain: at}
	}
	return mail.ReversePath{Local: "stranger", Domain: at}
}

// finds judges that the sender is proven, or not.
type finds bool

func (f finds) Judge(context.Context, *intake.Message, intake.Envelope, []intake.Recipient) intake.Judgement {
	return intake.Judgement{SenderProven: bool(f)}
}

// TestProven: what goes on in the name of a domain here has a reverse-path of its own,
// by whether its sender is believed.
func TestProven(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*intake.Envelope)
		want string
	}{
		"a client that is believed":       {func(*intake.Envelope) {}, "proven"},
		"a stranger, and no judge":        {func(e *intake.Envelope) { e.Stranger = true }, "stranger"},
		"who has logged in":               {func(e *intake.Envelope) { e.Account = ann }, "proven"},
		"who has logged in, and a filter": {func(e *intake.Envelope) { e.Account, e.Judge = ann, finds(false) }, "proven"},
		"a judge finds it proven":         {func(e *intake.Envelope) { e.Stranger, e.Judge = true, finds(true) }, "proven"},
		"a judge does not":                {func(e *intake.Envelope) { e.Stranger, e.Judge = true, finds(false) }, "stranger"},
		"from the queue":                  {func(e *intake.Envelope) { e.FromQueue = true }, "stranger"},
		"who had logged in, of the queue": {func(e *intake.Envelope) { e.FromQueue, e.Account = true, ann }, "proven"},
	} {
		e := from("s@a.test")
		c.set(&e)
		r := to("x@here.test", nil, "x@else.test")
		r.Route.Onward[0].Forward = "here.test"
		p, err := intake.New(intake.Options{Forwards: paths{}}).Plan(ctx, bare(text), e, []intake.Recipient{r})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Items[0].ReversePath; got.Local != c.want || got.Domain != "here.test" {
			t.Errorf("%s: it goes on from %s", name, got)
		}
	}
}
