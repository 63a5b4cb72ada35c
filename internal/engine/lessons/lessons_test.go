package lessons_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yubin/internal/engine/extract"
	"yubin/internal/engine/lessons"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

const me, you mail.AccountID = 1, 2

var ctx = context.Background()

// counter is a Learner that counts the words of subjects: more of junk, or less of it.
// A lesson is what it saw, and says how surprised it was, which depends on what it knew.
type counter struct {
	models map[mail.AccountID]map[string]int64
	dirty  map[mail.AccountID]bool
}

func newCounter() *counter {
	return &counter{map[mail.AccountID]map[string]int64{}, map[mail.AccountID]bool{}}
}

func (c *counter) Features(x *extract.Content) lessons.Features { return strings.Fields(x.Subject) }

func scopes(account mail.AccountID) []mail.AccountID {
	return slices.Compact([]mail.AccountID{0, account})
}

func (c *counter) Score(account mail.AccountID, f lessons.Features) (sum float64) {
	for _, word := range f.([]string) {
		for _, id := range scopes(account) {
			sum += float64(c.models[id][word])
		}
	}
	return sum
}

func (c *counter) add(id mail.AccountID, word string, n int64) {
	if c.models[id] == nil {
		c.models[id] = map[string]int64{}
	}
	if c.models[id][word] += n; c.models[id][word] == 0 {
		delete(c.models[id], word)
	}
	c.dirty[id] = true
}

func (c *counter) Learn(account mail.AccountID, f lessons.Features, junk, site bool) []byte {
	n := int64(1000)
	if score := int64(c.Score(account, f)); score > 0 == junk {
		n = 1 + 1000/(2+max(score, -score))
	}
	if !junk {
		n = -n
	}
	lesson := binary.AppendVarint(nil, n)
	if site {
		lesson = append(lesson, "site "...)
	}
	for _, word := range f.([]string) {
		lesson = append(lesson, word+" "...)
	}
	_ = c.change(account, lesson, 1)
	return lesson
}

func (c *counter) Unlearn(account mail.AccountID, lesson []byte) error {
	return c.change(account, lesson, -1)
}

// change does what a lesson says, or with -1 the opposite.
func (c *counter) change(account mail.AccountID, lesson []byte, sign int64) error {
	n, size := binary.Varint(lesson)
	if size <= 0 {
		return errors.New("no lesson")
	}
	words := strings.Fields(string(lesson[size:]))
	ids := []mail.AccountID{account}
	if len(words) > 0 && words[0] == "site" {
		ids, words = scopes(account), words[1:]
	}
	for _, id := range ids {
		for _, word := range words {
			c.add(id, word, sign*n)
		}
	}
	return nil
}

func (c *counter) Dirty() (pages []lessons.Page) {
	delete(c.dirty, 0)
	for id := range c.dirty {
		pages = append(pages, lessons.Page{Account: id, Octets: []byte(fmt.Sprint(c.models[id]))})
	}
	clear(c.dirty)
	return pages
}

func (c *counter) Load(account mail.AccountID, pages []lessons.Page) error {
	c.Forget(account)
	c.models[account] = map[string]int64{}
	for _, p := range pages {
		text, ok := strings.CutPrefix(string(p.Octets), "map[")
		if !ok {
			return errors.New("no page")
		}
		for _, pair := range strings.Fields(strings.TrimSuffix(text, "]")) {
			word, n, _ := strings.Cut(pair, ":")
			var number int64
			if _, err := fmt.Sscan(n, &number); err != nil {
				return err
			}
			c.models[account][word] = number
		}
	}
	return nil
}

func (c *counter) SitePages() []lessons.Page {
	return []lessons.Page{{Octets: []byte(fmt.Sprint(c.models[0]))}}
}

func (c *counter) Replay(lesson []byte, learned bool) error {
	if !learned {
		return c.change(0, lesson, -1)
	}
	return c.change(0, lesson, 1)
}

func (c *counter) Forget(account mail.AccountID) {
	delete(c.models, account)
	delete(c.dirty, account)
}

// school is a Book over a store.
type school struct {
	*lessons.Book
	t      testing.TB
	db     *sqldb.DB
	store  *store.Store
	now    time.Time
	serial int
	last   *counter // of the Book that was opened last
}

func newSchool(t testing.TB) *school {
	s := &school{t: t, db: dbtest.Open(t), now: time.Unix(1_800_000_000, 0)}
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"), rand.Reader)
	s.must(err)
	s.store, err = store.Open(ctx, store.Options{DB: s.db, Blobs: blobs})
	s.must(err)
	s.Book = s.open()
	s.must(s.db.Write(ctx, func(tx *sqldb.Tx) error {
		return errors.Join(s.store.CreateAccount(tx, me), s.store.CreateAccount(tx, you))
	}))
	return s
}

// open opens another Book, as another process does.
func (s *school) open() *lessons.Book {
	s.t.Helper()
	s.last = newCounter()
	b, err := lessons.Open(ctx, lessons.Options{DB: s.db, Store: s.store, Learner: s.last, Fresh: func() lessons.Learner { return newCounter() }, Now: func() time.Time { return s.now }})
	s.must(err)
	return b
}

// problems is what a check finds.
func (s *school) problems() (list []string) {
	s.t.Helper()
	b, err := lessons.Open(context.Background(), lessons.Options{DB: s.db, Store: s.store, Learner: newCounter(), Fresh: func() lessons.Learner { return newCounter() }})
	if err == nil {
		err = b.Check(context.Background(), func(p string) { list = append(list, p) })
	}
	s.must(err)
	return list
}

func (s *school) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// email is one of an account, with a subject.
func (s *school) email(account mail.AccountID, subject string) mail.EmailID {
	s.t.Helper()
	s.serial++
	in := s.store.NewIncoming()
	defer in.Close()
	_, err := fmt.Fprintf(in, "Subject: %s\r\nMessage-ID: <%d@example.org>\r\n\r\nbody\r\n", subject, s.serial)
	s.must(err)
	filed, err := s.store.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{{Account: account, Role: mail.RoleInbox,
		Prefix: []byte("Subject: ours\r\n"), Received: s.now}}})
	s.must(err)
	return filed[0].Email
}

func (s *school) sample(subject string) lessons.Sample {
	s.t.Helper()
	x, err := s.Read([]byte("Subject: " + subject + "\r\n\r\nbody\r\n"))
	s.must(err)
	return x
}

func (s *school) score(b *lessons.Book, account mail.AccountID, subject string) float64 {
	s.t.Helper()
	x, err := b.Read([]byte("Subject: " + subject + "\r\n\r\nbody\r\n"))
	s.must(err)
	n, err := b.Test(ctx, account, x)
	s.must(err)
	return n
}

func (s *school) stats(account mail.AccountID, want string) {
	s.t.Helper()
	st, err := s.Stats(ctx, account)
	s.must(err)
	if got := fmt.Sprintf("%d junk, %d ham, %d lessons", st.Junk, st.Ham, st.Lessons); got != want {
		s.t.Errorf("%d was taught %s, want %s", account, got, want)
	}
}

// pages are all models, as somebody reads them who begins anew.
func (s *school) pages() string {
	s.t.Helper()
	b := s.open()
	s.score(b, me, "x")
	s.score(b, you, "x")
	return fmt.Sprint(s.last.models)
}

// nothing is what pages says of models that know nothing.
const nothing = "map[0:map[] 1:map[] 2:map[]]"

func TestLearn(t *testing.T) {
	s := newSchool(t)
	a, b := s.email(me, "buy pills"), s.email(me, "lunch today")
	if n := s.score(s.Book, me, "pills"); n != 0 {
		t.Errorf("untaught it says %v", n)
	}
	s.must(s.Learn(ctx, me, []mail.EmailID{a}, true))
	s.must(s.Learn(ctx, me, []mail.EmailID{b, 99999}, false))
	s.stats(me, "1 junk, 1 ham, 2 lessons")
	s.stats(lessons.Site, "1 junk, 1 ham, 2 lessons")
	if mine, yours := s.score(s.Book, me, "pills"), s.score(s.Book, you, "pills"); mine != 2*yours || yours <= 0 || s.score(s.Book, me, "ours") != 0 {
		t.Errorf("scores %v and %v", mine, yours)
	}
	taught := s.pages()
	s.must(s.Learn(ctx, me, []mail.EmailID{a, a}, true))
	if s.pages() != taught {
		t.Error("it was learned twice")
	}
	other := s.open()
	if one, two := s.score(s.Book, me, "pills lunch"), s.score(other, me, "pills lunch"); one != two {
		t.Errorf("anew it says %v, not %v", two, one)
	}

	s.must(s.Learn(ctx, me, []mail.EmailID{a}, false))
	s.stats(me, "0 junk, 2 ham, 2 lessons")
	s.must(s.Unlearn(ctx, me, []mail.EmailID{b, a, a, 12345}))
	s.stats(me, "0 junk, 0 ham, 0 lessons")
	if got := s.pages(); got != nothing {
		t.Errorf("what is left: %s", got)
	}
}

// TestLearnKept: of mail that was kept only that is learned which is taken for junk.
func TestLearnKept(t *testing.T) {
	s := newSchool(t)
	pills, lunch, tea := s.email(me, "buy pills"), s.email(me, "lunch pills"), s.email(me, "tea")
	s.must(s.LearnKept(ctx, me, []mail.EmailID{lunch, tea, 99999}))
	s.stats(me, "0 junk, 0 ham, 0 lessons")
	if got := s.pages(); got != nothing {
		t.Errorf("it was taught %s", got)
	}
	s.must(s.Learn(ctx, me, []mail.EmailID{pills}, true))
	s.must(s.LearnKept(ctx, me, []mail.EmailID{lunch, tea}))
	s.stats(me, "1 junk, 1 ham, 2 lessons")
	taught := s.pages()
	s.must(s.LearnKept(ctx, me, []mail.EmailID{lunch, lunch}))
	if s.pages() != taught {
		t.Error("it was learned twice")
	}
	s.must(s.Learn(ctx, me, []mail.EmailID{lunch}, true))
	s.stats(me, "2 junk, 0 ham, 2 lessons")
	s.must(s.LearnKept(ctx, me, []mail.EmailID{lunch}))
	s.stats(me, "1 junk, 1 ham, 2 lessons")
	s.must(s.Unlearn(ctx, me, []mail.EmailID{lunch}))
	s.must(s.LearnKept(ctx, me, []mail.EmailID{pills})) // By itself it says nothing.
	s.stats(me, "0 junk, 0 ham, 0 lessons")
	if got := s.pages(); got != nothing {
		t.Errorf("what is left: %s", got)
	}
}

// TestTaught: nobody teaches the site more than MaxTaught messages a day, whatever is taken back
// between; what goes beyond is their own.
func TestTaught(t *testing.T) {
	s := newSchool(t)
	var ids []mail.EmailID
	for i := range lessons.MaxTaught + 5 {
		ids = append(ids, s.email(me, fmt.Sprintf("word%d pills", i)))
	}
	s.must(s.Learn(ctx, me, ids[:10], true))
	s.must(s.Unlearn(ctx, me, ids[:10]))
	s.must(s.Learn(ctx, me, ids, true))
	s.stats(lessons.Site, "90 junk, 0 ham, 105 lessons")
	s.stats(me, "105 junk, 0 ham, 105 lessons")
	s.must(s.Learn(ctx, you, []mail.EmailID{s.email(you, "pills")}, true))
	s.stats(lessons.Site, "91 junk, 0 ham, 106 lessons")
	s.must(s.Learn(ctx, me, ids[100:], false)) // The other way.
	s.stats(me, "100 junk, 5 ham, 105 lessons")
	s.stats(lessons.Site, "91 junk, 0 ham, 106 lessons")
	s.now = s.now.Add(24 * time.Hour)
	s.must(s.Learn(ctx, me, ids[100:], true))
	s.stats(lessons.Site, "96 junk, 0 ham, 106 lessons")
	s.must(s.Unlearn(ctx, me, ids))
	s.stats(lessons.Site, "1 junk, 0 ham, 1 lessons")
	s.stats(me, "0 junk, 0 ham, 0 lessons")
	if n := s.score(s.Book, lessons.Site, "word3"); n != 0 {
		t.Errorf("what was taken back counts %v", n)
	}
	if list := s.problems(); len(list) > 0 {
		t.Error(list)
	}
}

// TestTwoBooks: two processes that learn in turns never undo each other's lessons.
func TestTwoBooks(t *testing.T) {
	s := newSchool(t)
	one, two := s.Book, s.open()
	for i := range 6 {
		b := []*lessons.Book{one, two}[i%2]
		s.must(b.Learn(ctx, mail.AccountID(1+i%2), []mail.EmailID{s.email(mail.AccountID(1+i%2), fmt.Sprintf("word%d pills", i))}, true))
	}
	s.stats(lessons.Site, "6 junk, 0 ham, 6 lessons")
	s.now = s.now.Add(lessons.FreshFor)
	for i := range 6 {
		if n := s.score(one, lessons.Site, fmt.Sprintf("word%d", i)); n <= 0 || n != s.score(two, lessons.Site, fmt.Sprintf("word%d", i)) {
			t.Errorf("word%d has %v", i, n)
		}
	}
}

func TestTrain(t *testing.T) {
	s := newSchool(t)
	x, y := s.sample("buy pills"), s.sample("lunch")
	s.must(s.Train(ctx, lessons.Site, []lessons.Sample{x, x}, true))
	s.must(s.Train(ctx, me, []lessons.Sample{y}, false))
	s.stats(lessons.Site, "1 junk, 1 ham, 2 lessons")
	s.stats(me, "0 junk, 1 ham, 1 lessons")
	s.must(s.Untrain(ctx, lessons.Site, []lessons.Sample{x, y}))
	s.stats(lessons.Site, "0 junk, 1 ham, 1 lessons")
	if _, err := s.Read(make([]byte, lessons.MaxSample+1)); mail.KindOf(err) != mail.TooLarge || err == nil {
		t.Errorf("a sample that is too large: %v", err)
	}
}

// TestFailedCommit: what was not committed is not known.
func TestFailedCommit(t *testing.T) {
	s := newSchool(t)
	a, b := s.email(me, "buy pills"), s.email(me, "pills")
	s.must(s.Learn(ctx, me, []mail.EmailID{a}, true))
	before, pages := s.score(s.Book, me, "pills"), s.pages()
	s.must(s.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`ALTER TABLE lesson RENAME TO lesson_hidden`)
		return err
	}))
	if err := s.Learn(ctx, me, []mail.EmailID{b}, true); err == nil {
		t.Error("it did not fail")
	}
	s.must(s.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`ALTER TABLE lesson_hidden RENAME TO lesson`)
		return err
	}))
	if n := s.score(s.Book, me, "pills"); n != before || s.pages() != pages {
		t.Errorf("it says %v, not %v", n, before)
	}
	s.must(s.Learn(ctx, me, []mail.EmailID{b}, true))
	s.stats(me, "2 junk, 0 ham, 2 lessons")
}

func TestDrop(t *testing.T) {
	s := newSchool(t)
	s.must(s.Learn(ctx, me, []mail.EmailID{s.email(me, "pills")}, true))
	s.must(s.Learn(ctx, you, []mail.EmailID{s.email(you, "pills")}, true))
	if list, err := s.Accounts(ctx, 0, 10); err != nil || !slices.Equal(list, []mail.AccountID{me, you}) {
		t.Errorf("accounts %v, %v", list, err)
	}
	s.must(s.db.Write(ctx, func(tx *sqldb.Tx) error { s.Drop(tx, me); return nil }))
	s.stats(me, "0 junk, 0 ham, 0 lessons")
	s.stats(you, "1 junk, 0 ham, 1 lessons")
	s.stats(lessons.Site, "2 junk, 0 ham, 1 lessons")
	if mine, site := s.score(s.Book, me, "pills"), s.score(s.Book, lessons.Site, "pills"); mine != site || site == 0 {
		t.Errorf("it says %v, the site %v", mine, site)
	}
}

// TestDamagedModel: a page that cannot be read is no reason to stop.
func TestDamagedModel(t *testing.T) {
	s := newSchool(t)
	s.must(s.Learn(ctx, me, []mail.EmailID{s.email(me, "pills")}, true))
	s.must(s.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE lesson_page SET octets = $1 WHERE account = 1`, []byte("?"))
		return err
	}))
	other := s.open()
	if n := s.score(other, me, "pills"); n != s.score(other, lessons.Site, "pills") {
		t.Errorf("it says %v", n)
	}
	s.must(other.Learn(ctx, me, []mail.EmailID{s.email(me, "more pills")}, true))
}

// TestManyModels: those in memory are bounded, and come back when they are asked.
func TestManyModels(t *testing.T) {
	s := newSchool(t)
	s.must(s.Learn(ctx, me, []mail.EmailID{s.email(me, "pills")}, true))
	want := s.score(s.Book, me, "pills")
	for i := range lessons.MaxModels + 50 {
		s.now = s.now.Add(time.Millisecond)
		s.score(s.Book, mail.AccountID(1000+i), "pills")
	}
	if got := s.score(s.Book, me, "pills"); got != want {
		t.Errorf("it says %v, not %v", got, want)
	}
}

// TestModel: whatever is learned and taken back in whatever order, when all is taken
// back the models are as they were.
func TestModel(t *testing.T) {
	s := newSchool(t)
	emails := map[mail.AccountID][]mail.EmailID{}
	for i := range 6 {
		account := mail.AccountID(1 + i%2)
		emails[account] = append(emails[account], s.email(account, fmt.Sprintf("a%d b%d c", i, i/2)))
	}
	rapid.Check(t, func(rt *rapid.T) {
		labels := map[mail.AccountID]map[mail.EmailID]bool{me: {}, you: {}}
		books := []*lessons.Book{s.Book, s.open()}
		rt.Repeat(map[string]func(*rapid.T){
			"learn": func(rt *rapid.T) {
				account := mail.AccountID(rapid.IntRange(1, 2).Draw(rt, "account"))
				id, junk := rapid.SampledFrom(emails[account]).Draw(rt, "email"), rapid.Bool().Draw(rt, "junk")
				s.must(rapid.SampledFrom(books).Draw(rt, "book").Learn(ctx, account, []mail.EmailID{id}, junk))
				labels[account][id] = junk
			},
			"kept": func(rt *rapid.T) {
				account := mail.AccountID(rapid.IntRange(1, 2).Draw(rt, "account"))
				id := rapid.SampledFrom(emails[account]).Draw(rt, "email")
				s.must(rapid.SampledFrom(books).Draw(rt, "book").LearnKept(ctx, account, []mail.EmailID{id}))
				delete(labels[account], id)
				st, err := s.Stats(ctx, account)
				if s.must(err); int(st.Lessons) > len(labels[account]) {
					labels[account][id] = false
				}
			},
			"unlearn": func(rt *rapid.T) {
				account := mail.AccountID(rapid.IntRange(1, 2).Draw(rt, "account"))
				id := rapid.SampledFrom(emails[account]).Draw(rt, "email")
				s.must(rapid.SampledFrom(books).Draw(rt, "book").Unlearn(ctx, account, []mail.EmailID{id}))
				delete(labels[account], id)
			},
		})
		for _, account := range []mail.AccountID{me, you} {
			junk := 0
			for _, is := range labels[account] {
				if is {
					junk++
				}
			}
			s.stats(account, fmt.Sprintf("%d junk, %d ham, %d lessons", junk, len(labels[account])-junk, len(labels[account])))
			s.must(s.Unlearn(ctx, account, emails[account]))
		}
		if got := s.pages(); got != nothing {
			rt.Fatalf("what is left: %s", got)
		}
	})
}

// TestCheck: nothing is found after all was learned and taken back in turn, and each
// damage is.
func TestCheck(t *testing.T) {
	s := newSchool(t)
	b := s.open()
	s.must(b.Train(ctx, 1, []lessons.Sample{s.sample("cheap pills"), s.sample("lunch today")}, true))
	s.must(b.Untrain(ctx, 1, []lessons.Sample{s.sample("lunch today")}))
	s.must(b.Train(ctx, 2, []lessons.Sample{s.sample("lunch today")}, false))
	s.must(b.Train(ctx, lessons.Site, []lessons.Sample{s.sample("cheap watches")}, true))
	if got := s.problems(); len(got) != 0 {
		t.Errorf("found %q", got)
	}
	for _, damage := range [][2]string{
		{`UPDATE lesson_model SET junk = junk - 1 WHERE account = 1`, `UPDATE lesson_model SET junk = junk + 1 WHERE account = 1`},
		{`UPDATE lesson SET junk = 7 WHERE account = 2`, `UPDATE lesson SET junk = 0 WHERE account = 2`},
		{`UPDATE lesson_log SET version = version + 1000`, `UPDATE lesson_log SET version = version - 1000`},
		{`UPDATE lesson SET account = 3 WHERE account = 2`, `UPDATE lesson SET account = 2 WHERE account = 3`},
	} {
		write := func(q string) {
			s.must(s.db.Write(ctx, func(tx *sqldb.Tx) error { _, err := tx.Exec(q); return err }))
		}
		write(damage[0])
		if got := s.problems(); len(got) != 1 {
			t.Errorf("%s: found %q", damage[0], got)
		}
		write(damage[1])
	}
}
