package main

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"yubin/bench/proc"
	"yubin/internal/engine/extract"
	"yubin/internal/engine/junk"
	"yubin/internal/message"
)

func features(m *mail) *junk.Features {
	return junk.FeaturesOf(extract.Read(bytes.NewReader(m.octets), message.Parse(m.octets).Root))
}

// lessons are which messages yubin is given to learn, by what it says of them when they arrive.
var lessons = []struct {
	name  string
	wants func(m *mail, score float64) bool
}{
	{"given all", func(*mail, float64) bool { return true }},
	{"given junk below 5 and ham above 0", func(m *mail, score float64) bool { return m.junk && score < threshold || !m.junk && score > 0 }},
	{"given what is in the wrong folder", func(m *mail, score float64) bool { return m.junk != (score >= threshold) }},
}

// threshold is from where mail goes into Junk by default.
const threshold = 5

// yubin learns a half in order of arrival.
func (b *bench) yubin() ([]row, error) {
	var rows []row
	for _, how := range lessons {
		r := row{at: threshold, memory: junk.SitePages * 1024 * 16}
		given, learned := 0, 0
		for _, s := range b.splits {
			site := junk.NewSite()
			start := proc.SelfCPU()
			for _, i := range s.learn {
				m := &b.all[i]
				f := features(m)
				if !how.wants(m, junk.ScoreOf(site, nil, f).LogOdds) {
					continue
				}
				given++
				if !junk.Learn(site, nil, f, m.junk).Empty() {
					learned++
				}
			}
			middle := proc.SelfCPU()
			for _, i := range s.ask {
				m := &b.all[i]
				r.answers = append(r.answers, answer{junk.ScoreOf(site, nil, features(m)).Site, m})
			}
			r.learn += middle - start
			r.ask += proc.SelfCPU() - middle
		}
		halves := len(b.splits)
		r.learn /= time.Duration(halves * len(b.splits[0].learn))
		r.ask /= time.Duration(halves * len(b.splits[0].ask))
		r.name = fmt.Sprintf("yubin, %s (%d of %d, %d taught it something)", how.name, given/halves, len(b.splits[0].learn), learned/halves)
		rows = append(rows, r)
	}
	b.showWorst(&rows[0])
	return rows, nil
}

// showWorst shows the messages that a contestant is most wrong about.
func (b *bench) showWorst(r *row) {
	byScore := slices.Clone(r.answers)
	slices.SortFunc(byScore, func(a, b answer) int {
		if a.score > b.score {
			return -1
		}
		return 1
	})
	for _, junk := range []bool{false, true} {
		n := 0
		for _, a := range byScore {
			if n < b.worst && a.mail.junk == junk {
				n++
				fmt.Printf("%6.2f %s\n", a.score, a.mail.name)
			}
		}
		slices.Reverse(byScore)
	}
}
