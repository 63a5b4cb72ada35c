package lessons_test

import (
	"fmt"
	"testing"

	"yubin/internal/engine/lessons"
	"yubin/internal/mail"
)

// TestJunk: the classifier learns, says the same after a restart, and forgets to the bit.
func TestJunk(t *testing.T) {
	s := newSchool(t)
	open := func() *lessons.Book {
		b, err := lessons.Open(ctx, lessons.Options{DB: s.db, Store: s.store, Learner: lessons.NewJunk()})
		s.must(err)
		return b
	}
	b := open()
	var junk, ham []mail.EmailID
	for i := range 12 {
		junk = append(junk, s.email(me, fmt.Sprintf("cheap pills %d", i)))
		ham = append(ham, s.email(me, fmt.Sprintf("lunch today %d", i)))
	}
	if n := s.score(b, me, "cheap pills"); n != 0 {
		t.Errorf("untaught it says %v", n)
	}
	for i := range junk { // Enough for pages of the site to be written.
		for range 3 {
			s.must(b.Learn(ctx, me, junk[i:i+1], true))
			s.must(b.Unlearn(ctx, me, junk[i:i+1]))
		}
	}
	s.must(b.Learn(ctx, me, junk, true))
	s.must(b.Learn(ctx, me, ham, false))
	pills, lunch := s.score(b, me, "cheap pills"), s.score(b, me, "lunch today")
	if pills <= 0 || lunch >= 0 || s.score(b, you, "cheap pills") <= 0 {
		t.Errorf("pills %v, lunch %v", pills, lunch)
	}
	b = open()
	if n := s.score(b, me, "cheap pills"); n != pills {
		t.Errorf("after a restart it says %v, not %v", n, pills)
	}
	s.must(b.Unlearn(ctx, me, append(ham, junk...)))
	for _, b := range []*lessons.Book{b, open()} {
		if n, m := s.score(b, me, "cheap pills"), s.score(b, you, "lunch today"); n != 0 || m != 0 {
			t.Errorf("unlearned it says %v and %v", n, m)
		}
	}
}
