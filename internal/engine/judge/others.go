package judge

import (
	"yubin/internal/engine/filter"
	"yubin/internal/engine/intake"
)

// Hear takes what filters of others say, before the message is judged: their facts weigh with
// all else, and a message that one of them wants kept aside goes into Junk at least.
func (c *Case) Hear(r filter.Result) { c.heard = r }

// others are the reasons of filters.
func (c *Case) others() (reasons []Reason, floor intake.Action) {
	for _, f := range c.heard.Facts {
		reasons = append(reasons, Reason{Name: f.Name, Text: printable(f.Text), Weight: f.Weight})
	}
	if c.heard.Quarantine != "" {
		reasons = append(reasons, Reason{Name: "kept-aside", Text: "a filter wants it kept aside: " + printable(c.heard.Quarantine), floor: true})
		floor = intake.Junk
	}
	return reasons, floor
}
