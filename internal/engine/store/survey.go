package store

import "yubin/internal/mail"

// FirstWithout returns the sequence number of the first message without any of
// flags, 0 if there is none.
func (v *View) FirstWithout(flags mail.Flags) int {
	for c := range v.numChunks() {
		for i, e := range v.chunk(c) {
			if e.flags()&flags == 0 {
				return v.start(c) + i + 1
			}
		}
	}
	return 0
}

// KeywordSets lists the sets of keywords that messages have, or had since the
// view was loaded; each once.
func (v *View) KeywordSets() []mail.Keywords { return v.sets[1:len(v.sets):len(v.sets)] }
