package search

import (
	"bytes"
	"strings"
)

// where is the kind of text that something is looked for in: a header field by
// its number in words, or one of these.
type where int32

const (
	inAny  where = -1 - iota // any text of the message
	inBody                   // leaves, and header fields of embedded messages
	inLeaf                   // leaves
)

// words are texts that are looked for in the octets of messages, all of them in
// one pass. Each pair of a text and a where is a key with a number.
type words struct {
	patterns [][]byte // distinct folded texts; none is empty
	numbers  map[string]int32
	keys     map[sought]int32
	fields   map[string]where // by name in lower case
	of       []int32          // how many keys a pattern has
	longest  int              // octets of a pattern
	machine  *machine         // looks for all patterns at once; nil if they are few
}

// sought is a pattern by its number, or empty, in a kind of text.
type sought struct {
	pattern int32
	in      where
}

const empty int32 = -1

// maxPlain is how many patterns are looked for one after the other, which is
// faster as long as there are few.
const maxPlain = 16

// add returns the number of the key that looks for folded.
func (w *words) add(folded string, in where) int {
	if w.keys == nil {
		w.keys, w.numbers = make(map[sought]int32), make(map[string]int32)
	}
	s := sought{empty, in}
	if folded != "" {
		n, known := w.numbers[folded]
		if !known {
			n = int32(len(w.patterns))
			w.numbers[folded] = n
			w.patterns, w.of = append(w.patterns, []byte(folded)), append(w.of, 0)
			w.longest = max(w.longest, len(folded))
		}
		s.pattern = n
	}
	n, known := w.keys[s]
	if !known {
		n = int32(len(w.keys))
		w.keys[s] = n
		if s.pattern != empty {
			w.of[s.pattern]++
		}
	}
	return int(n)
}

// field returns where the values of the fields called name are.
func (w *words) field(name string) where {
	if w.fields == nil {
		w.fields = make(map[string]where)
	}
	name = strings.ToLower(name)
	in, known := w.fields[name]
	if !known {
		in = where(len(w.fields))
		w.fields[name] = in
	}
	return in
}

// ready is called when all is added.
func (w *words) ready() {
	if len(w.patterns) > maxPlain {
		w.machine = newMachine(w.patterns)
	}
}

// matcher looks for words in the texts of a message, which come in pieces.
type matcher struct {
	words *words
	found []bool // by the number of the key
	left  int    // keys not found yet
	open  []int32
	hits  []uint32 // by the number of the pattern: the text it was found in last
	text  uint32   // the number of this text
	in    []where  // what it is

	fold   *folder
	window []byte // folded text; without a machine its first octets are the end of the last piece
	node   int32  // of the machine
	skips  []skip // by its nodes
	buf    []byte // for who reads pieces
}

func newMatcher(w *words) *matcher {
	m := &matcher{words: w, fold: newFolder(), hits: make([]uint32, len(w.patterns)), open: make([]int32, len(w.patterns))}
	if w.machine != nil {
		m.skips = make([]skip, len(w.machine.fail))
	}
	return m
}

// reset begins a new message.
func (m *matcher) reset() {
	m.found = make([]bool, len(m.words.keys))
	m.left = len(m.found)
	copy(m.open, m.words.of)
	for _, in := range [...]where{inAny, inBody, inLeaf} { // Every message has such a text.
		m.meet(sought{empty, in})
	}
}

func (m *matcher) meet(s sought) {
	n, there := m.words.keys[s]
	if !there || m.found[n] {
		return
	}
	m.found[n] = true
	m.left--
	if s.pattern != empty {
		m.open[s.pattern]--
	}
}

// begin begins a text, which is all that in says.
func (m *matcher) begin(in ...where) {
	m.in = in
	if m.text++; m.text == 0 { // It went round.
		m.text = 1
		clear(m.hits)
		clear(m.skips)
	}
	m.window, m.node = m.window[:0], 0
	m.fold.cut()
	for _, w := range in {
		m.meet(sought{empty, w})
	}
}

// piece looks at the next piece of the text; last ends it.
func (m *matcher) piece(piece []byte, last bool) {
	m.window = m.fold.append(m.window, piece, last)
	if m.words.machine != nil {
		m.run()
		return
	}
	for p, octets := range m.words.patterns {
		if m.open[p] > 0 && m.hits[p] != m.text && bytes.Contains(m.window, octets) {
			m.hit(int32(p))
		}
	}
	keep := min(len(m.window), max(m.words.longest-1, 0))
	m.window = append(m.window[:0], m.window[len(m.window)-keep:]...)
}

// hit is told that a pattern is in this text.
func (m *matcher) hit(pattern int32) {
	m.hits[pattern] = m.text
	for _, w := range m.in {
		m.meet(sought{pattern, w})
	}
}
