package judge

import (
	"context"
	"fmt"
	"math"

	"yubin/internal/engine/extract"
	"yubin/internal/mail"
)

// Classifier knows by what it learned how likely a message is junk: *lessons.Book.
type Classifier interface {
	// Scorer takes up what a message says, for what it returns: a score in log-odds for an
	// account, 0 for the site alone; 0 says that it does not know.
	Scorer(c *extract.Content) func(ctx context.Context, account mail.AccountID) (float64, error)
}

// maxContent is how much what a message says weighs at most.
const maxContent = 8.0

// little is a weight that is not told.
const little = 0.05

// content weighs what the message says.
func (c *Case) content(ctx context.Context, f *Facts, account mail.AccountID) (reasons []Reason) {
	if c.j.o.Classifier == nil {
		return nil
	}
	if c.score == nil {
		c.score = c.j.o.Classifier.Scorer(f.Content)
	}
	score, err := c.score(ctx, account)
	if err != nil {
		c.j.o.Log.Warn("what was learned of junk could not be read; the message is judged without it", "err", err)
		return nil
	}
	score = max(-maxContent, min(maxContent, score))
	if math.Abs(score) < little {
		return nil
	}
	like := "junk"
	if score < 0 {
		like = "what is wanted here"
	}
	chance := 1 / (1 + math.Exp(-score))
	if score < 0 {
		chance = 1 - chance
	}
	return []Reason{{Name: "content", Weight: score,
		Text: fmt.Sprintf("it reads like %s, by what was learned (%.1f %%)", like, 100*chance)}}
}
