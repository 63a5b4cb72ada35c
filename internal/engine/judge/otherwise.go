package judge

import (
	"fmt"
	"strings"

	"yubin/internal/engine/intake"
)

// Otherwise says what would have to be different for the message to be delivered: the
// fewest of its reasons that would have to go, the heaviest first. "" if it is.
func (v Verdict) Otherwise() string {
	if v.Action == intake.Accept {
		return ""
	}
	score := v.Score
	var without []string
	for _, r := range v.Reasons {
		must := v.floor > intake.Accept && r.floor
		if r.Weight <= 0 && !must || score < v.Limits.Junk && !must {
			continue
		}
		score -= r.Weight
		without = append(without, r.Name)
	}
	switch {
	case len(without) == 0:
		return "nothing in the message decided this"
	case score >= v.Limits.Junk:
		return fmt.Sprintf("it would still have a score of %.1f without any of %s", score, strings.Join(without, ", "))
	}
	return fmt.Sprintf("it would be delivered, with a score of %.1f, without %s", score, strings.Join(without, " and "))
}
