package search

import (
	"cmp"
	"slices"
)

// machine finds many patterns in one pass over a text, in time that does not
// grow with their number (Aho and Corasick, 1975). Its nodes are the beginnings
// of the patterns; node 0 is the empty one.
type machine struct {
	root  [256]int32 // the node of each octet
	edges []edge     // of the other nodes: a hash table, half empty
	shift uint32     // 32 less the bits of its size
	fail  []int32    // of a node: the longest other one that it ends with
	ends  []int32    // of a node: the longest pattern that it ends with, itself too, as a node; 0 without
	short []int32    // of a node that is a pattern: the next longest
	word  []int32    // of such a node: the number of the pattern
}

// edge leads from a node by an octet to another. The key of none is 0.
type edge struct {
	key uint32 // node<<8 | octet
	to  int32
}

func newMachine(patterns [][]byte) *machine {
	size := 1
	for _, p := range patterns {
		size += len(p)
	}
	m := &machine{shift: 32 - 4}
	for 1<<(32-m.shift) < 2*size {
		m.shift--
	}
	m.edges = make([]edge, 1<<(32-m.shift))
	nodes := []node0{{}}
	m.word = append(m.word, empty)
	for i, p := range patterns {
		nodes = m.grow(nodes, p, int32(i))
	}
	m.link(nodes)
	return m
}

// node0 is what is known of a node while a machine is built.
type node0 struct {
	parent int32
	depth  int32
	octet  byte
}

// grow adds the nodes of a pattern.
func (m *machine) grow(nodes []node0, pattern []byte, number int32) []node0 {
	at := int32(0)
	for i, c := range pattern {
		next := m.next(at, c)
		if next == 0 {
			next = int32(len(nodes))
			nodes = append(nodes, node0{parent: at, depth: int32(i + 1), octet: c})
			m.word = append(m.word, empty)
			if at == 0 {
				m.root[c] = next
			} else {
				key := uint32(at)<<8 | uint32(c)
				*m.edge(key) = edge{key, next}
			}
		}
		at = next
	}
	m.word[at] = number
	return nodes
}

// edge returns where the edge with key is, or belongs.
func (m *machine) edge(key uint32) *edge {
	for i := key * 2654435769 >> m.shift; ; i++ {
		e := &m.edges[int(i)&(len(m.edges)-1)]
		if e.key == key || e.key == 0 {
			return e
		}
	}
}

// next returns the node that c leads to, 0 without.
func (m *machine) next(node int32, c byte) int32 {
	if node == 0 {
		return m.root[c]
	}
	return m.edge(uint32(node)<<8 | uint32(c)).to
}

// step returns the longest node that node and then c end with.
func (m *machine) step(node int32, c byte) int32 {
	for {
		if next := m.next(node, c); next != 0 || node == 0 {
			return next
		}
		node = m.fail[node]
	}
}

// link fills in what nodes end with, the short ones first.
func (m *machine) link(nodes []node0) {
	m.fail, m.ends, m.short = make([]int32, len(nodes)), make([]int32, len(nodes)), make([]int32, len(nodes))
	order := make([]int32, 0, len(nodes))
	for i := 1; i < len(nodes); i++ {
		order = append(order, int32(i))
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(nodes[a].depth, nodes[b].depth) })
	for _, n := range order {
		if node := nodes[n]; node.depth > 1 {
			m.fail[n] = m.step(m.fail[node.parent], node.octet)
		}
		m.short[n] = m.ends[m.fail[n]]
		m.ends[n] = m.short[n]
		if m.word[n] != empty {
			m.ends[n] = n
		}
	}
}

// skip says that a node was found in a text already, and which is the next
// shorter pattern that was not, as far as is known.
type skip struct {
	text uint32
	to   int32
}

// run looks at the window with the machine of the words, and empties it.
func (m *matcher) run() {
	machine := m.words.machine
	for _, c := range m.window {
		m.node = machine.step(m.node, c)
		if machine.ends[m.node] == 0 {
			continue
		}
		for n := m.unseen(machine.ends[m.node]); n != 0; n = m.unseen(machine.short[n]) {
			m.skips[n] = skip{m.text, machine.short[n]}
			m.hit(machine.word[n])
		}
	}
	m.window = m.window[:0]
}

// unseen returns the first of n and the patterns it ends with that was not found
// in this text.
func (m *matcher) unseen(n int32) int32 {
	for m.skips[n].text == m.text {
		s := &m.skips[n]
		if next := m.skips[s.to]; next.text == m.text {
			s.to = next.to // Shortens the way for the next one.
		}
		n = s.to
	}
	return n
}
