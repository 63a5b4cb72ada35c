package store

import (
	"slices"

	"yubin/internal/mail"
)

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

// KeywordNames are the keywords that messages of a view have, or had not long ago.
// Those of two views of a mailbox are equal if nothing was added between them.
type KeywordNames struct{ names *names }

// KeywordNames returns the names of v.
func (v *View) KeywordNames() KeywordNames { return KeywordNames{v.names} }

// List lists them, in no particular order.
func (n KeywordNames) List() []string {
	return slices.DeleteFunc(slices.Clone(n.names.list), func(name string) bool { return name == "" })
}

// Has says whether all of k are among n.
func (n KeywordNames) Has(k mail.Keywords) bool {
	for _, name := range k.Names() {
		if n.names.number(name) < 0 {
			return false
		}
	}
	return true
}

// KeywordRoom says whether a message can have a keyword that KeywordNames lacks.
func (v *View) KeywordRoom() bool { return v.names.free() >= 0 || v.used().count() < MaxBoxKeywords }

// used are the keywords that messages have.
func (v *View) used() (all words) {
	for _, w := range v.setsInUse() {
		all = all.with(w)
	}
	return all
}

// setsInUse lists the sets of keywords that messages have; each once.
func (v *View) setsInUse() []words {
	has := make([]bool, len(v.sets))
	for c := range v.numChunks() {
		for _, e := range v.chunk(c) {
			has[e.set()] = true
		}
	}
	var list []words
	for i, w := range v.sets {
		if has[i] {
			list = append(list, w)
		}
	}
	return list
}
