package judge

// rule is a row of the table: a fact that weighs. When it does, Text tells what was
// seen.
type rule struct {
	name   string
	weight float64
	text   string              // what the rule is about, for the documentation
	find   func(*Facts) string // what was seen, "" if the rule does not hold
}

// rules are all, in the order in which they are documented.
func rules() []rule {
	return nil
}

// applyRules gives the reasons that hold for f.
func applyRules(f *Facts) (reasons []Reason) {
	for _, r := range rules() {
		if seen := r.find(f); seen != "" {
			reasons = append(reasons, Reason{Name: r.name, Text: seen, Weight: r.weight})
		}
	}
	return reasons
}
