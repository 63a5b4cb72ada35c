package config

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines knows the line on which each key and each array element begins, by its
// path: names and indices joined by a separator that no key holds.
type lines map[string]int

const pathSeparator = "\x00"

func pathOf(parts ...string) string { return strings.Join(parts, pathSeparator) }

// at returns the line of path, or of the nearest thing around it.
func (l lines) at(path []string) int {
	for n := len(path); n > 0; n-- {
		if line, ok := l[pathOf(path[:n]...)]; ok {
			return line
		}
	}
	return 0
}

// locator fills lines from the syntax tree of a document that has been parsed
// once already, so syntax errors and duplicates are not its concern.
type locator struct {
	parser unstable.Parser
	data   []byte
	found  lines
	tables map[string]int // how many elements each array of tables has so far
	prefix []string       // the table that key-values belong to
}

func locate(data []byte) lines {
	l := &locator{data: data, found: lines{}, tables: map[string]int{}}
	l.parser.Reset(data)
	for l.parser.NextExpression() {
		switch e := l.parser.Expression(); e.Kind {
		case unstable.Table:
			l.prefix = l.resolve(l.keys(e.Key()))
			l.note(l.prefix, firstKey(e))
		case unstable.ArrayTable:
			l.prefix = l.nextElement(l.keys(e.Key()))
			l.note(l.prefix, firstKey(e))
		case unstable.KeyValue:
			l.keyValue(l.prefix, e)
		}
	}
	return l.found
}

func firstKey(e *unstable.Node) *unstable.Node {
	it := e.Key()
	it.Next()
	return it.Node()
}

func (l *locator) keys(it unstable.Iterator) []string {
	var keys []string
	for it.Next() {
		keys = append(keys, string(it.Node().Data))
	}
	return keys
}

// resolve puts the index of its last element after each array of tables in keys.
func (l *locator) resolve(keys []string) []string {
	var path []string
	for _, k := range keys {
		path = append(path, k)
		if n := l.tables[pathOf(path...)]; n > 0 {
			path = append(path, strconv.Itoa(n-1))
		}
	}
	return path
}

func (l *locator) nextElement(keys []string) []string {
	path := append(l.resolve(keys[:len(keys)-1]), keys[len(keys)-1])
	n := l.tables[pathOf(path...)]
	l.tables[pathOf(path...)] = n + 1
	return append(path, strconv.Itoa(n))
}

func (l *locator) keyValue(prefix []string, e *unstable.Node) {
	path := append(append([]string(nil), prefix...), l.keys(e.Key())...)
	l.note(path, firstKey(e))
	l.value(path, e.Value())
}

func (l *locator) value(path []string, v *unstable.Node) {
	it := v.Children()
	for i := 0; it.Next(); i++ {
		child := it.Node()
		switch {
		case v.Kind == unstable.InlineTable:
			l.keyValue(path, child)
		case v.Kind == unstable.Array:
			element := append(append([]string(nil), path...), strconv.Itoa(i))
			l.note(element, child)
			l.value(element, child)
		}
	}
}

// note keeps the line of n, unless the syntax tree does not tell it.
func (l *locator) note(path []string, n *unstable.Node) {
	if n.Raw.Length > 0 {
		l.found[pathOf(path...)] = 1 + bytes.Count(l.data[:n.Raw.Offset], []byte("\n"))
	}
}
