package search

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// letter is a message as the model knows it.
type letter struct {
	subject, body string
	sent          time.Time // zero: no Date field
	received      time.Time
}

func (l letter) String() string {
	date := ""
	if !l.sent.IsZero() {
		date = "Date: " + l.sent.Format(time.RFC1123Z) + "\r\n"
	}
	return "Subject: " + l.subject + "\r\n" + date + "\r\n" + l.body + "\r\n"
}

// office is a mailbox in a real store, filled with letters.
type office struct {
	*store.Store
	id      mail.MailboxID
	letters []letter // of UID n at n-1
}

func newOffice(t *testing.T) *office {
	ctx := t.Context()
	db := dbtest.Open(t)
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"), rand.Reader)
	must(t, err)
	s, err := store.Open(ctx, store.Options{DB: db, Blobs: blobs})
	must(t, err)
	must(t, db.Write(ctx, func(tx *sqldb.Tx) error { return s.CreateAccount(tx, 1) }))
	box, err := s.Mailbox(ctx, 1, mail.Inbox)
	must(t, err)
	return &office{Store: s, id: box.ID}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var vocabulary = []string{"apple", "Banana", "CHERRY", "плод", "果物"}

// fill delivers n letters and copies them until there are many.
func (o *office) fill(t *testing.T, r *mrand.Rand, n, many int) {
	for range n {
		l := letter{
			subject:  vocabulary[r.IntN(len(vocabulary))],
			body:     strings.Repeat(vocabulary[r.IntN(len(vocabulary))]+" ", 1+r.IntN(40)),
			received: time.Date(2026, 1, 1+r.IntN(4), r.IntN(24), 0, 0, 0, time.FixedZone("", 3600*(r.IntN(20)-10))),
		}
		if r.IntN(4) > 0 {
			l.sent = time.Date(2026, 1, 1+r.IntN(4), r.IntN(24), 0, 0, 0, time.FixedZone("", 3600*(r.IntN(20)-10)))
		}
		in := o.NewIncoming()
		_, err := in.Write([]byte(l.String()))
		must(t, err)
		_, err = o.Deliver(t.Context(), store.Posting{Message: in, Filings: []store.Filing{{Account: 1, Mailbox: o.id, Received: l.received}}})
		must(t, err)
		in.Close()
		o.letters = append(o.letters, l)
	}
	for have := len(o.letters); have < many; have *= 2 {
		_, err := o.Copy(t.Context(), o.id, mail.UIDSet{{First: 1, Last: mail.UID(have)}}, o.id)
		must(t, err)
		o.letters = append(o.letters, o.letters...)
	}
	for i, f := range []store.FlagChange{{Flags: mail.Seen}, {Flags: mail.Flagged | mail.Seen}, {Keywords: "Word"}} {
		set := mail.UIDSet{{First: mail.UID(1 + 50*i), Last: mail.UID(400 + 100*i)}}
		_, err := o.SetFlags(t.Context(), o.id, set, f)
		must(t, err)
	}
}

// randomCriteria makes a tree.
func randomCriteria(r *mrand.Rand, depth int) Criteria {
	day := time.Date(2026, 1, 1+r.IntN(5), 0, 0, 0, 0, time.UTC)
	word := vocabulary[r.IntN(len(vocabulary))]
	switch n := r.IntN(15); {
	case depth > 0 && n < 3:
		return Criteria{Op: []Op{And, Or}[r.IntN(2)], Keys: []Criteria{
			randomCriteria(r, depth-1), randomCriteria(r, depth-1), randomCriteria(r, depth-1)}}
	case depth > 0 && n < 5:
		return Criteria{Op: Not, Keys: []Criteria{randomCriteria(r, depth-1)}}
	case n < 6:
		return Criteria{Op: UIDs, Set: mail.UIDSet{{First: mail.UID(1 + r.IntN(300)), Last: mail.UID(300 + r.IntN(900))}}}
	case n < 7:
		return Criteria{Op: HasFlag, Flag: []mail.Flags{mail.Seen, mail.Flagged, mail.Seen | mail.Flagged}[r.IntN(3)]}
	case n < 8:
		return Criteria{Op: HasKeyword, Keyword: []string{"word", "other"}[r.IntN(2)]}
	case n < 9:
		return Criteria{Op: []Op{Before, On, Since}[r.IntN(3)], Day: day}
	case n < 10:
		return Criteria{Op: []Op{SentBefore, SentOn, SentSince}[r.IntN(3)], Day: day}
	case n < 11:
		return Criteria{Op: []Op{Larger, Smaller}[r.IntN(2)], Size: int64(60 + r.IntN(200))}
	case n < 12:
		return Criteria{Op: Header, Field: []string{"subject", "Date", "X-None"}[r.IntN(3)], Text: []string{word, ""}[r.IntN(2)]}
	case n < 13:
		return Criteria{Op: Body, Text: word}
	case n < 14:
		return Criteria{Op: Text, Text: word}
	}
	return Criteria{Op: All}
}

// matches is what c means, spelled out.
func (o *office) matches(c Criteria, e store.Entry) bool {
	l := o.letters[e.UID-1]
	has := func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(c.Text))
	}
	day := func(t time.Time) string { return t.Format(time.DateOnly) }
	switch c.Op {
	case And:
		return !slices.ContainsFunc(c.Keys, func(k Criteria) bool { return !o.matches(k, e) })
	case Or:
		return slices.ContainsFunc(c.Keys, func(k Criteria) bool { return o.matches(k, e) })
	case Not:
		return !o.matches(c.Keys[0], e)
	case UIDs:
		return c.Set.Contains(e.UID)
	case HasFlag:
		return e.Flags&c.Flag == c.Flag
	case HasKeyword:
		return e.Keywords.Has(c.Keyword)
	case Before:
		return day(l.received) < day(c.Day)
	case On:
		return day(l.received) == day(c.Day)
	case Since:
		return day(l.received) >= day(c.Day)
	case SentBefore:
		return !l.sent.IsZero() && day(l.sent) < day(c.Day)
	case SentOn:
		return !l.sent.IsZero() && day(l.sent) == day(c.Day)
	case SentSince:
		return !l.sent.IsZero() && day(l.sent) >= day(c.Day)
	case Larger:
		return int64(len(l.String())) > c.Size
	case Smaller:
		return int64(len(l.String())) < c.Size
	case Header:
		switch c.Field {
		case "subject":
			return has(l.subject)
		case "Date":
			return !l.sent.IsZero() && has(l.sent.Format(time.RFC1123Z))
		}
		return false
	case Body:
		return has(l.body)
	case Text:
		return has("Subject: "+l.subject) || has(l.body)
	}
	return true
}

func (o *office) source() *Source { return NewSource(o, 0) }

func (o *office) search(ctx context.Context, c Criteria) (seqs []int, err error) {
	v, err := o.View(ctx, o.id)
	if err != nil {
		return nil, err
	}
	err = Compile(c).Run(ctx, o.source(), o.id, v.All(), func(seq int, _ store.Entry) { seqs = append(seqs, seq) })
	return seqs, err
}

func TestAgainstTheModel(t *testing.T) {
	r := mrand.New(mrand.NewPCG(3, 4))
	o := newOffice(t)
	o.fill(t, r, 20, 1280)
	v, err := o.View(t.Context(), o.id)
	must(t, err)
	some := 0
	for range 60 {
		c := randomCriteria(r, 3)
		var want []int
		for seq, e := range v.All() {
			if o.matches(c, e) {
				want = append(want, seq)
			}
		}
		got, err := o.search(t.Context(), c)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Fatalf("%+v\ngot  %v\nwant %v", c, got, want)
		}
		if len(want) > 0 && len(want) < v.Len() {
			some++
		}
	}
	if some < 20 {
		t.Errorf("only %d programs matched some and not all: the test tells little", some)
	}
}

// reads counts what a program asks the store for.
type reads struct {
	*office
	mu            sync.Mutex // two batches are read side by side
	rows, content int
	fail          error
}

func (r *reads) RowsSince(ctx context.Context, id mail.MailboxID, since mail.ModSeq, uids []mail.UID, need store.Need, most int) ([]store.Row, int, error) {
	if r.fail != nil {
		return nil, 0, r.fail
	}
	rows, more, err := r.office.RowsSince(ctx, id, since, uids, need, most)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows += len(rows); need&store.NeedContent != 0 {
		r.content += len(rows)
	}
	return rows, more, err
}

func TestReadsNoMoreThanItMust(t *testing.T) {
	r := mrand.New(mrand.NewPCG(5, 6))
	o := newOffice(t)
	o.fill(t, r, 10, 1280)
	v, err := o.View(t.Context(), o.id)
	must(t, err)
	few := Criteria{Op: UIDs, Set: mail.UIDSet{{First: 600, Last: 602}}}
	text := Criteria{Op: Text, Text: "nowhere"}
	for _, c := range []struct {
		name          string
		criteria      Criteria
		rows, content int
	}{
		{"flags", Criteria{Op: Not, Keys: []Criteria{{Op: HasFlag, Flag: mail.Seen}}}, 0, 0},
		{"size", Criteria{Op: Larger, Size: 10}, v.Len(), 0},
		{"few by text", Criteria{Op: And, Keys: []Criteria{text, few}}, 3, 3},
		{"text or all", Criteria{Op: Or, Keys: []Criteria{text, {Op: All}}}, 0, 0},
		{"size before text", Criteria{Op: And, Keys: []Criteria{text, {Op: Larger, Size: 1 << 20}}}, v.Len(), 0},
	} {
		counted := &reads{office: o}
		must(t, Compile(c.criteria).Run(t.Context(), NewSource(counted, 0), o.id, v.All(), func(int, store.Entry) {}))
		if counted.rows != c.rows || counted.content != c.content {
			t.Errorf("%s: %d rows, %d with content; want %d, %d", c.name, counted.rows, counted.content, c.rows, c.content)
		}
	}
	broken := &reads{office: o, fail: mail.Errorf(mail.Unavailable, "gone")}
	if err := Compile(text).Run(t.Context(), NewSource(broken, 0), o.id, v.All(), func(int, store.Entry) {}); mail.KindOf(err) != mail.Unavailable {
		t.Errorf("a store that fails: %v", err)
	}
}

func TestCancel(t *testing.T) {
	r := mrand.New(mrand.NewPCG(7, 8))
	o := newOffice(t)
	o.fill(t, r, 10, 1280)
	ctx, cancel := context.WithCancel(t.Context())
	v, err := o.View(ctx, o.id)
	must(t, err)
	seen := 0
	err = Compile(Criteria{Op: Body, Text: "a"}).Run(ctx, o.source(), o.id, v.All(), func(int, store.Entry) {
		if seen++; seen == 5 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
}

// Messages that another session expunged since the view was taken are searched
// while they are kept.
func TestGoneMessages(t *testing.T) {
	r := mrand.New(mrand.NewPCG(9, 1))
	o := newOffice(t)
	o.fill(t, r, 4, 4)
	v, err := o.View(t.Context(), o.id)
	must(t, err)
	_, err = o.ExpungeAny(t.Context(), o.id, mail.UIDs(2))
	must(t, err)
	now, err := o.View(t.Context(), o.id)
	must(t, err)
	for since, want := range map[mail.ModSeq]string{v.ModSeq(): "[1 1 2 2 3 3 4 4]", now.ModSeq(): "[1 1 3 3 4 4]"} {
		var got []string
		must(t, Compile(Criteria{Op: Larger, Size: 1}).Run(t.Context(), o.source().Since(since), o.id, v.All(), func(seq int, e store.Entry) {
			got = append(got, fmt.Sprint(seq, e.UID))
		}))
		if fmt.Sprint(got) != want {
			t.Errorf("since %d: got %v, want %v", since, got, want)
		}
	}
}
