package store

import "yubin/internal/mail"

// FirstUnseen returns the sequence number of the first message without \Seen, 0
// if there is none. Only the first call looks.
func (v *View) FirstUnseen() int {
	if known := v.unseen.Load(); known > 0 {
		return int(known - 1)
	}
	seq := v.firstUnseen()
	v.unseen.Store(int64(seq) + 1)
	return seq
}

func (v *View) firstUnseen() int {
	for c := range v.numChunks() {
		for i, e := range v.chunk(c) {
			if e.flags()&mail.Seen == 0 {
				return v.start(c) + i + 1
			}
		}
	}
	return 0
}

// KeywordSets lists the sets of keywords that messages have, or had since the
// view was loaded; each once.
func (v *View) KeywordSets() []mail.Keywords { return v.sets[1:len(v.sets):len(v.sets)] }
