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

// yubin learns all messages of a half in order, or only those that it is wrong about.
func (b *bench) yubin() ([]row, error) {
	all, online := row{name: "yubin, learning all", at: 5}, row{name: "yubin, learning from mistakes only", at: 5}
	for _, r := range []*row{&all, &online} {
		learned := 0
		for _, s := range b.splits {
			site := junk.NewSite()
			start := proc.SelfCPU()
			for _, i := range s.learn {
				m := &b.all[i]
				f := features(m)
				if r == &online {
					if score := junk.ScoreOf(site, nil, f).LogOdds; m.junk == (score > 0) && score != 0 {
						continue
					}
				}
				learned++
				junk.Learn(site, nil, f, m.junk)
			}
			middle := proc.SelfCPU()
			for _, i := range s.ask {
				m := &b.all[i]
				score := junk.ScoreOf(site, nil, features(m))
				r.answers = append(r.answers, answer{score.Site, m})
			}
			r.learn += (middle - start)
			r.ask += (proc.SelfCPU() - middle)
		}
		r.learn /= max(1, time.Duration(len(b.splits)*len(b.splits[0].learn)))
		r.ask /= max(1, time.Duration(len(b.splits)*len(b.splits[0].ask)))
		r.memory = junk.SitePages * 1024 * 16
		r.name += fmt.Sprintf(" (%d a half)", learned/len(b.splits))
	}
	b.showWorst(&all)
	return []row{all, online}, nil
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
