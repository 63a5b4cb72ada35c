package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// answer is what a contestant says of a message that it did not learn: the higher, the
// more it is junk.
type answer struct {
	score float64
	mail  *mail
}

// row is a contestant's result, of all halves together.
type row struct {
	name    string
	answers []answer
	at      float64       // score from which it calls a message junk by itself
	learn   time.Duration // processor time per message
	ask     time.Duration
	memory  int64 // octets
}

// bounds of ham called junk at which the junk that is caught is compared.
var bounds = []float64{0.0005, 0.001, 0.002, 0.005, 0.01}

// caught says how much of the junk has a score that at most so much of the ham has.
func (r *row) caught(bound float64) float64 {
	scores := slices.Clone(r.answers)
	slices.SortFunc(scores, func(a, b answer) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	ham, junk := 0, 0
	for _, a := range scores {
		if a.mail.junk {
			junk++
		} else {
			ham++
		}
	}
	wrong, right, best := 0, 0, 0
	for i := 0; i < len(scores); {
		for at := scores[i].score; i < len(scores) && scores[i].score == at; i++ { // Equal scores go together.
			if scores[i].mail.junk {
				right++
			} else {
				wrong++
			}
		}
		if float64(wrong) > bound*float64(ham) {
			break
		}
		best = right
	}
	return float64(best) / float64(junk)
}

// itself says how much ham and junk a contestant calls junk by its own threshold.
func (r *row) itself() (ham, junk float64) {
	var hams, junks, wrong, right float64
	for _, a := range r.answers {
		is := a.score >= r.at
		switch {
		case a.mail.junk && is:
			junks, right = junks+1, right+1
		case a.mail.junk:
			junks++
		case is:
			hams, wrong = hams+1, wrong+1
		default:
			hams++
		}
	}
	return wrong / hams, right / junks
}

func printRows(w io.Writer, rows []row) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // To a terminal.
	say("| | caught at 0.05 %% | at 0.1 %% of ham called junk | at 0.2 %% | at 0.5 %% | at 1 %% | by itself: ham called junk, junk caught | learns in | asked | memory |\n")
	say("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		say("| %s |", r.name)
		for _, b := range bounds {
			say(" %.2f %% |", 100*r.caught(b))
		}
		ham, junk := r.itself()
		say(" %.2f %%, %.1f %% | %s | %s | %d MiB |\n", 100*ham, 100*junk, short(r.learn), short(r.ask), (r.memory+1<<19)>>20)
	}
}

func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.0f ms", float64(d)/1e6)
}
