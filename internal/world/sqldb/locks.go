package sqldb

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"yubin/internal/mail"
)

// LockWord says what a lock is on.
type LockWord int

// What can be locked, in the order in which a transaction does it. Within a
// word, the lower key first.
const (
	Directory LockWord = iota + 1 // all of who has what address; no key
	Domain                        // its name
	Account                       // its id
	Item                          // of the spool: its id
	Name                          // of anything else: what it is, then what it is called
)

var lockNames = []string{"", "directory", "domain", "account", "item", "name"}

func (w LockWord) String() string { return lockNames[w] }

// lockWord is the word with that name, or zero.
func lockWord(name string) LockWord { return LockWord(max(0, slices.Index(lockNames, name))) }

// lockOrder watches in tests that a transaction locks in the order of the words.
// The nil lockOrder watches nothing.
type lockOrder struct {
	held []lockKey
}

type lockKey struct {
	word LockWord
	key  []any // integers as int64, all else as text
}

// next tells of a lock that a transaction is about to take.
func (o *lockOrder) next(word LockWord, key []Value) error {
	if o == nil {
		return nil
	}
	k := lockKey{word: word}
	for _, part := range key {
		k.key = append(k.key, plain(part))
	}
	for _, h := range o.held {
		if h.compare(k) == 0 {
			return nil
		}
	}
	for _, h := range o.held {
		if h.compare(k) > 0 {
			return mail.Errorf(mail.Internal, "%v is locked after %v: two transactions could wait for each other", k, h)
		}
	}
	o.held = append(o.held, k)
	return nil
}

func (k lockKey) String() string {
	return strings.TrimSpace(fmt.Sprintln(append([]any{k.word}, k.key...)...))
}

func (k lockKey) compare(l lockKey) int {
	if c := cmp.Compare(k.word, l.word); c != 0 {
		return c
	}
	return slices.CompareFunc(k.key, l.key, func(a, b any) int {
		x, isNumber := a.(int64)
		y, isToo := b.(int64)
		switch {
		case isNumber && isToo:
			return cmp.Compare(x, y)
		case isNumber != isToo:
			return map[bool]int{true: -1, false: 1}[isNumber]
		}
		return strings.Compare(a.(string), b.(string))
	})
}

// plain is a part of a key as an int64 or as text.
func plain(part Value) any {
	if part.Kind == Int {
		return part.Int
	}
	return string(part.Octets)
}
