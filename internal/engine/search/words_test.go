package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"yubin/internal/message"
	"yubin/internal/testkit/linear"
)

// However many patterns there are, those are found that a text contains, in
// whatever pieces it comes.
func TestMachineFindsWhatIsThere(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	letters := func(most int) string {
		b := make([]byte, 1+r.IntN(most))
		for i := range b {
			b[i] = "abc"[r.IntN(3)]
		}
		return string(b)
	}
	found := 0
	for range 300 {
		var w words
		patterns := map[string]int{}
		for range maxPlain + 1 + r.IntN(60) {
			p := letters(9)
			patterns[p] = w.add(p, inAny)
		}
		w.ready()
		m := newMatcher(&w)
		for range 3 {
			m.reset()
			texts := []string{letters(60), letters(60)}
			for _, text := range texts {
				m.begin(inAny)
				for len(text) > 0 {
					n := 1 + r.IntN(len(text))
					m.piece([]byte(text[:n]), n == len(text))
					text = text[n:]
				}
			}
			left := 0
			for p, key := range patterns {
				want := strings.Contains(texts[0], p) || strings.Contains(texts[1], p)
				if m.found[key] != want {
					t.Fatalf("%q in %q: %v", p, texts, !want)
				}
				if want {
					found++
				} else {
					left++
				}
			}
			if m.left != left {
				t.Fatalf("%d left, want %d", m.left, left)
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d found: the test tells little", found)
	}
}

// Keys are met in the kind of text that they are for, also when there are so
// many that the machine looks for them.
func TestManyKeysInTheirPlaces(t *testing.T) {
	for _, many := range []int{0, 3 * maxPlain} {
		keys := []Criteria{
			{Op: Header, Field: "Subject", Text: "second"}, {Op: Header, Field: "SUBJECT", Text: "first"}, {Op: Header, Field: "to", Text: "first"},
			{Op: Header, Field: "To", Text: ""}, {Op: Header, Field: "Cc", Text: ""}, {Op: Body, Text: "second"}, {Op: Text, Text: "second"},
			{Op: Leaves, Text: "INNER"}, {Op: Body, Text: "subject: inner"}, {Op: Leaves, Text: "subject: inner"},
		}
		for i := range many {
			keys = append(keys, Criteria{Op: Text, Text: fmt.Sprint("absent ", i)}, Criteria{Op: Header, Field: "X", Text: fmt.Sprint(i)})
		}
		got := ""
		for i := range 10 {
			got += map[bool]string{true: "t", false: "f"}[lookAmong(keys, i)]
		}
		if got != "ttftfftttf" {
			t.Errorf("with %d other keys: %s", many, got)
		}
	}
}

const twoSubjects = "Subject: first\r\nTo: x\r\nSubject: second\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
	"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n--b--\r\n"

// lookAmong says whether twoSubjects meets the key at i of a program that has all.
func lookAmong(keys []Criteria, i int) bool {
	p := Compile(Criteria{Op: Or, Keys: keys})
	root := message.Parse([]byte(twoSubjects)).Root
	s := &subject{run: &run{program: p, pause: context.Background().Err}, opened: &octets{content: strings.NewReader(twoSubjects), root: root}}
	n := p.compile(keys[i], newFolder())
	return n.matchContent(s)
}

func needles(n int, text func(i int) string) *words {
	var w words
	for i := range n {
		w.add(text(i), inLeaf)
	}
	w.ready()
	return &w
}

// Looking for many texts takes hardly longer than looking for few, even for such
// as are made to be found, or nearly so, at every octet.
func TestManyTextsInLinearTime(t *testing.T) {
	text := []byte(strings.Repeat(strings.Repeat("a", 250)+"b", 1000))
	for name, text1 := range map[string]func(i int) string{
		"absent": func(i int) string { return fmt.Sprintf("absent%d", i) },
		"nested": func(i int) string { return strings.Repeat("a", i+1) },
		"nearly": func(i int) string { return strings.Repeat("a", i%240) + fmt.Sprint("c", i) },
	} {
		t.Run(name, func(t *testing.T) {
			took := func(size int) time.Duration {
				m := newMatcher(needles(size, text1))
				return linear.Fastest(func() {
					m.reset()
					m.begin(inAny) // As in a header: what is found there counts for nothing.
					m.piece(text, true)
					if m.left == 0 {
						t.Fatal("found where it is not looked for")
					}
				})
			}
			if few, many := took(maxPlain+1), took(60*maxPlain); many > 20*few {
				t.Errorf("%d take %v, %d take %v", maxPlain+1, few, 60*maxPlain, many)
			}
		})
	}
}

// One pass over a header answers for all HEADER keys.
func TestManyFieldsInOnePass(t *testing.T) {
	linear.Check(t, 250, func(size int) func() {
		var msg strings.Builder
		var w words
		for i := range size {
			fmt.Fprintf(&msg, "X-%d: value %d\r\n", i, i)
			w.add(fmt.Sprintf("other %d", i), w.field(fmt.Sprintf("x-%d", i)))
		}
		w.ready()
		header := msg.String() + "\r\n"
		m := newMatcher(&w)
		return func() {
			o := &octets{content: strings.NewReader(header), root: &message.Part{Body: int64(len(header))}}
			m.reset()
			if o.matchFields(m); m.left != size {
				t.Fatalf("%d of %d not found", m.left, size)
			}
		}
	})
}
