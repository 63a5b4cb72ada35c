package e2e

import (
	"fmt"
	"strings"
)

// node is a value of an IMAP response: an atom or string, or a list.
type node struct {
	text string
	list []node
	leaf bool
}

// String shows a value; NIL is one that is not there.
func (n node) String() string {
	if n.leaf {
		return n.text
	}
	var parts []string
	for _, c := range n.list {
		parts = append(parts, c.String())
	}
	return "(" + strings.Join(parts, " ") + ")"
}

// readList reads the parenthesized list at the start of s. literals are what
// stood for each "{n}".
func readList(s string, literals [][]byte) (node, error) {
	r := &listReader{s: s, literals: literals}
	n := r.value()
	if r.err == nil && n.leaf {
		r.err = fmt.Errorf("no list")
	}
	return n, r.err
}

type listReader struct {
	s        string
	literals [][]byte
	err      error
}

func (r *listReader) value() node {
	r.s = strings.TrimLeft(r.s, " ")
	switch {
	case r.s == "":
		r.err = fmt.Errorf("the text ends too early")
		return node{}
	case r.s[0] == '(':
		return r.list()
	case r.s[0] == '"':
		return r.quoted()
	case r.s[0] == '{':
		return r.literal()
	}
	end := strings.IndexAny(r.s, " )(")
	if end < 0 {
		end = len(r.s)
	}
	n := node{text: r.s[:end], leaf: true}
	r.s = r.s[end:]
	return n
}

func (r *listReader) list() node {
	var n node
	r.s = r.s[1:]
	for r.err == nil {
		r.s = strings.TrimLeft(r.s, " ")
		if strings.HasPrefix(r.s, ")") {
			r.s = r.s[1:]
			return n
		}
		n.list = append(n.list, r.value())
	}
	return n
}

func (r *listReader) quoted() node {
	var b strings.Builder
	for i := 1; i < len(r.s); i++ {
		switch r.s[i] {
		case '"':
			r.s = r.s[i+1:]
			return node{text: b.String(), leaf: true}
		case '\\':
			i++
		}
		if i < len(r.s) {
			b.WriteByte(r.s[i])
		}
	}
	r.err = fmt.Errorf("a quoted string has no end")
	return node{}
}

func (r *listReader) literal() node {
	end := strings.IndexByte(r.s, '}')
	if end < 0 || len(r.literals) == 0 {
		r.err = fmt.Errorf("a literal is missing")
		return node{}
	}
	n := node{text: string(r.literals[0]), leaf: true}
	r.s, r.literals = r.s[end+1:], r.literals[1:]
	return n
}

// typeTree renders a BODYSTRUCTURE as mailgen does.
func typeTree(n node) string {
	if len(n.list) == 0 {
		return "?"
	}
	if !n.list[0].leaf {
		var parts []string
		i := 0
		for ; i < len(n.list) && !n.list[i].leaf; i++ {
			parts = append(parts, typeTree(n.list[i]))
		}
		return "multipart/" + strings.ToLower(n.list[i].text) + "(" + strings.Join(parts, ",") + ")"
	}
	name := strings.ToLower(n.list[0].text + "/" + n.list[1].text)
	if name == "message/rfc822" && len(n.list) > 8 {
		return name + "(" + typeTree(n.list[8]) + ")"
	}
	return name
}
