package judge

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"yubin/internal/engine/intake"
)

// Reason is one thing that weighs in a verdict.
type Reason struct {
	Name   string  `json:"name"` // stable: letters, digits and hyphens
	Text   string  `json:"text"` // a sentence without its full stop, in printable ASCII
	Weight float64 `json:"weight"`

	sender bool // it is about who wrote, as DMARC is
	floor  bool // it says where a message goes at least
}

// Verdict is what is thought of a message for one account.
type Verdict struct {
	Action  intake.Action
	Score   float64
	Reasons []Reason // the heaviest first
	Unknown []string // what could not be found out
	Limits  Thresholds

	floor  intake.Action // the least that is done, whatever the score
	second bool          // refused below the threshold: DMARC, and a second reason
}

// Thresholds are the scores from which on something is done.
type Thresholds struct {
	Junk   float64 // into Junk
	Refuse float64 // not taken
}

// The default thresholds.
const (
	DefaultJunk   = 5
	DefaultRefuse = 15
)

func (t Thresholds) withDefaults() Thresholds {
	return Thresholds{Junk: cmp.Or(t.Junk, DefaultJunk), Refuse: cmp.Or(t.Refuse, DefaultRefuse)}
}

// secondReason is what the reasons that have nothing to do with who wrote must come
// to if a message that its owner wants refused is to be (RFC 9989 §7.4).
const secondReason = 3

// weigh makes a verdict of reasons: the sum of their weights, by the thresholds. A
// floor says where a message goes at least.
func weigh(reasons []Reason, floor intake.Action, t Thresholds) Verdict {
	v := Verdict{Reasons: slices.Clone(reasons), Limits: t, floor: floor}
	slices.SortStableFunc(v.Reasons, func(a, b Reason) int { return cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)) })
	other, owner := 0.0, false
	for _, r := range v.Reasons {
		if v.Score += r.Weight; !r.sender {
			other += r.Weight
		}
		owner = owner || r.Name == "dmarc-reject"
	}
	v.Score = math.Round(v.Score*10) / 10
	switch {
	case v.Score >= t.Refuse:
		v.Action = intake.Refuse
	case owner && other >= secondReason:
		v.Action, v.second = intake.Refuse, true
	case v.Score >= t.Junk:
		v.Action = intake.Junk
	}
	v.Action = max(v.Action, floor)
	return v
}

// maxShown is how many reasons the field of a copy tells.
const maxShown = 24

// Word is what is done, for people.
func (v Verdict) Word() string {
	switch v.Action {
	case intake.Junk:
		return "junk"
	case intake.Refuse:
		return "refuse"
	case intake.Defer:
		return "later"
	}
	return "deliver"
}

// String is the verdict on one line: the action, the score, each reason with its
// weight.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, score %.1f (junk from %.1f, refused from %.1f)", v.Word(), v.Score, v.Limits.Junk, v.Limits.Refuse)
	switch {
	case v.second:
		fmt.Fprintf(&b, ", as its owner wishes and other reasons weigh %.1f or more", float64(secondReason))
	case v.floor == v.Action && v.floor == intake.Junk && v.Score < v.Limits.Junk, v.floor == v.Action && v.floor == intake.Refuse && v.Score < v.Limits.Refuse:
		b.WriteString(", whatever the score")
	}
	for i, r := range v.Reasons {
		if i == maxShown {
			fmt.Fprintf(&b, "; and %d more", len(v.Reasons)-maxShown)
			break
		}
		fmt.Fprintf(&b, "; %s %+.1f: %s", r.Name, r.Weight, r.Text)
	}
	for _, u := range v.Unknown {
		b.WriteString("; not known: " + u)
	}
	return b.String()
}
