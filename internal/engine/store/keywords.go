package store

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// MaxBoxKeywords is how many different keywords the messages of one mailbox can
// have, twice as many as Cyrus allows.
const MaxBoxKeywords = 256

// words is a set of keywords by their numbers in a mailbox: number n is bit n%8
// of octet n/8. The last octet is not zero; the empty set is "".
type words string

// numbers yields the numbers in w, ascending.
func (w words) numbers(yield func(int) bool) {
	for i := range len(w) {
		for b := w[i]; b != 0; b &= b - 1 {
			if !yield(8*i + bits.TrailingZeros8(b)) {
				return
			}
		}
	}
}

func (w words) count() (n int) {
	for i := range len(w) {
		n += bits.OnesCount8(w[i])
	}
	return n
}

// with returns w and o together.
func (w words) with(o words) words {
	if len(w) < len(o) {
		w, o = o, w
	}
	b := []byte(w)
	for i := range len(o) {
		b[i] |= o[i]
	}
	if string(b) == string(w) {
		return w
	}
	return words(b)
}

// without returns w less o.
func (w words) without(o words) words {
	b := []byte(w)
	for i := range min(len(b), len(o)) {
		b[i] &^= o[i]
	}
	if string(b) == string(w) {
		return w
	}
	return trimWords(b)
}

func trimWords(b []byte) words {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return words(b)
}

// wordsOf makes a set of numbers.
func wordsOf(numbers ...int) words {
	if len(numbers) == 0 {
		return ""
	}
	b := make([]byte, slices.Max(numbers)/8+1)
	for _, n := range numbers {
		b[n/8] |= 1 << (n % 8)
	}
	return words(b)
}

// allWords are all numbers.
func allWords() words { return words(bytes.Repeat([]byte{0xff}, MaxBoxKeywords/8)) }

// names are the keywords of a mailbox at one moment, by number: "" is free. They
// never change.
type names struct {
	list []string
	last atomic.Pointer[spelled]

	mu     sync.Mutex
	known  map[words]mail.Keywords
	octets int // of known
}

type spelled struct {
	words    words
	keywords mail.Keywords
}

// maxSpelled is how many octets of spelled sets are kept beside names: a mailbox
// has few different ones, unless somebody means to have many.
const maxSpelled = 64 << 10

func newNames(list []string) *names { return &names{list: list} }

// number finds a keyword, in any case.
func (n *names) number(name string) int {
	return slices.IndexFunc(n.list, func(o string) bool { return strings.EqualFold(o, name) })
}

// keywords spells a set.
func (n *names) keywords(w words) mail.Keywords {
	if w == "" {
		return ""
	}
	if last := n.last.Load(); last != nil && last.words == w {
		return last.keywords
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	k, ok := n.known[w]
	if !ok {
		k = n.spell(w)
		if n.octets += len(k) + len(w) + 64; n.octets > maxSpelled || n.known == nil {
			n.known, n.octets = make(map[words]mail.Keywords), len(k)+len(w)+64
		}
		n.known[w] = k
	}
	n.last.Store(&spelled{w, k})
	return k
}

func (n *names) spell(w words) mail.Keywords {
	list := make([]string, 0, w.count())
	for number := range w.numbers {
		if number < len(n.list) && n.list[number] != "" {
			list = append(list, n.list[number])
		}
	}
	return mail.SortedKeywords(list)
}

// has says whether every number in w has a name.
func (n *names) has(w words) bool {
	for number := range w.numbers {
		if number >= len(n.list) || n.list[number] == "" {
			return false
		}
	}
	return true
}

// free returns a number without a name, or -1.
func (n *names) free() int {
	if i := slices.Index(n.list, ""); i >= 0 {
		return i
	}
	if len(n.list) < MaxBoxKeywords {
		return len(n.list)
	}
	return -1
}

// named returns n with a name at a number; "" frees it.
func (n *names) named(number int, name string) *names {
	list := slices.Clone(n.list)
	for len(list) <= number {
		list = append(list, "")
	}
	list[number] = name
	return newNames(list)
}

// readNames reads the keywords of a mailbox, which may be gone.
func readNames(tx *sqldb.Tx, id mail.MailboxID) (*names, error) {
	rows, err := tx.Query(`SELECT number, name FROM keyword WHERE mailbox = $1 ORDER BY number`, int64(id))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var number int
		var name string
		if err := rows.Scan(&number, &name); err != nil {
			return nil, err
		}
		if number < 0 || number >= MaxBoxKeywords {
			return nil, mail.Errorf(mail.Internal, "mailbox %d: a keyword has the number %d", id, number)
		}
		for len(list) <= number {
			list = append(list, "")
		}
		list[number] = name
	}
	return newNames(list), rows.Err()
}

// names reads the keywords of a mailbox, once.
func (l *ledger) names(b *tally) (*names, error) {
	if b.names != nil {
		return b.names, nil
	}
	n, err := readNames(l.tx, b.id)
	if err == nil {
		b.names = n
	}
	return n, err
}

// keywordsFull is the cause of an error: the mailbox has no number left.
type keywordsFull struct{ mailbox mail.MailboxID }

func (*keywordsFull) Error() string { return "no number for a keyword is left" }

func errNoKeywordRoom(id mail.MailboxID) error {
	return &mail.Error{Kind: mail.TooLarge, Text: fmt.Sprintf("a mailbox has at most %d different keywords", MaxBoxKeywords), Err: &keywordsFull{id}}
}

// words gives numbers in b to keywords. What finds no room is left out and makes
// full true.
func (l *ledger) words(b *tally, k mail.Keywords) (w words, full bool, err error) {
	if k == "" {
		return "", false, nil
	}
	n, err := l.names(b)
	if err != nil {
		return "", false, err
	}
	var numbers []int
	for _, name := range k.Names() {
		number := n.number(name)
		if number < 0 {
			if number = n.free(); number < 0 {
				full = true
				continue
			}
			_, err := l.tx.Exec(`INSERT INTO keyword (mailbox, number, name) VALUES ($1, $2, $3)`, int64(b.id), number, name)
			if err != nil {
				return "", false, err
			}
			n = n.named(number, name)
			b.names = n
		}
		numbers = append(numbers, number)
	}
	return wordsOf(numbers...), full, nil
}

// known is words for keywords that b has already; others are left out.
func (l *ledger) known(b *tally, k mail.Keywords) (words, error) {
	if k == "" {
		return "", nil
	}
	n, err := l.names(b)
	if err != nil {
		return "", err
	}
	var numbers []int
	for _, name := range k.Names() {
		if number := n.number(name); number >= 0 {
			numbers = append(numbers, number)
		}
	}
	return wordsOf(numbers...), nil
}

// translator gives sets of one mailbox as another has them. Keywords for which
// that has no room are left out: a message is not kept from going to Trash, or
// from being restored, by what it is tagged with.
func (l *ledger) translator(from *names, to *tally) func(words) (words, error) {
	seen := map[words]words{"": ""}
	return func(w words) (words, error) {
		if t, ok := seen[w]; ok {
			return t, nil
		}
		t, _, err := l.words(to, from.keywords(w))
		if err == nil && len(seen) < maxTranslated {
			seen[w] = t
		}
		return t, err
	}
}

// maxTranslated is how many sets a translator remembers.
const maxTranslated = 1024
