package junk

import (
	"bytes"
	"fmt"
	"math"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yubin/internal/engine/extract"
	"yubin/internal/message"
)

// featuresOf are those of a message of text.
func featuresOf(text string) *Features {
	return FeaturesOf(extract.Read(strings.NewReader(text), message.Parse([]byte(text)).Root))
}

// letter writes a message of random words: some of both kinds, some of its own kind only.
func letter(r *rand.Rand, junk bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: someone%d@example.org\r\nSubject: word%d\r\n\r\n", r.Intn(50), r.Intn(100))
	for range 40 {
		kind := "ham"
		if junk {
			kind = "spam"
		}
		if r.Intn(3) > 0 {
			kind = "word"
		}
		fmt.Fprintf(&b, "%s%d ", kind, r.Intn(100))
	}
	return b.String()
}

func TestLearns(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	site := NewSite()
	if s := ScoreOf(site, NewAccount(), featuresOf(letter(r, true))); s != (Score{}) {
		t.Errorf("knows something before it learned: %+v", s)
	}
	Learn(site, nil, featuresOf(letter(r, true)), true)
	if s := ScoreOf(site, nil, featuresOf(letter(r, false))); s.LogOdds > 1 {
		t.Errorf("one lesson makes it sure: %+v", s)
	}
	for range 200 {
		junk := r.Intn(2) == 0
		Learn(site, nil, featuresOf(letter(r, junk)), junk)
	}
	for range 50 {
		ham, spam := ScoreOf(site, nil, featuresOf(letter(r, false))), ScoreOf(site, nil, featuresOf(letter(r, true)))
		if ham.LogOdds > -1 || spam.LogOdds < 1 || ham.LogOdds < -MaxScore || spam.LogOdds > MaxScore {
			t.Errorf("ham %+v, spam %+v", ham, spam)
		}
	}
	if c := site.Counts(); c.Junk+c.Ham < 20 || c.Junk+c.Ham > 201 || c.Junk == 0 || c.Ham == 0 {
		t.Errorf("counts %+v", c)
	}
	for range 50 { // What it knows well teaches it nothing, and leaves no trace.
		f := featuresOf(letter(r, true))
		before := ScoreOf(site, nil, f)
		if l := Learn(site, nil, f, true); before.Site >= clearJunk != l.Empty() || !l.Junk() {
			t.Errorf("score %+v, empty %v", before, l.Empty())
		}
	}
}

// What an account says of its mail counts for it at once, against the whole site.
func TestAccountDiffers(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	site, account := NewSite(), NewAccount()
	for range 100 {
		junk := r.Intn(2) == 0
		Learn(site, nil, featuresOf(letter(r, junk)), junk)
	}
	odd, other := featuresOf(letter(r, true)), NewAccount()
	for range 4 {
		Learn(site, other, odd, true)
		Learn(site, account, odd, false)
	}
	if s := ScoreOf(site, account, odd); s.LogOdds > -2 || s.Account > -1 {
		t.Errorf("who wants it: %+v", s)
	}
	if s := ScoreOf(site, other, odd); s.LogOdds < 2 || s.Account < 1 {
		t.Errorf("who does not: %+v", s)
	}
	if s := ScoreOf(site, NewAccount(), featuresOf(letter(r, true))); s.LogOdds < 1 {
		t.Errorf("others' scores changed: %+v", s)
	}
}

// known is all that a model says, as it is saved.
func known(s *Site, a *Account) string {
	var b []byte
	for n := Head; n < SitePages; n++ {
		b = append(s.AppendPage(b, n), '\n')
	}
	for n := Head; n < AccountPages; n++ {
		b = append(a.AppendPage(b, n), '\n')
	}
	return string(b)
}

// Whatever is learned and unlearned in whatever order, what is left is what the lessons that are left
// say, to the bit.
func TestUnlearn(t *testing.T) {
	letters := make([]*Features, 12)
	r := rand.New(rand.NewSource(3))
	for i := range letters {
		letters[i] = featuresOf(letter(r, i%2 == 0))
	}
	rapid.Check(t, func(t *rapid.T) {
		site, account := NewSite(), NewAccount()
		var lessons []Lesson
		t.Repeat(map[string]func(*rapid.T){
			"learn": func(t *rapid.T) {
				f := letters[rapid.IntRange(0, len(letters)-1).Draw(t, "letter")]
				lessons = append(lessons, Learn(site, account, f, rapid.Bool().Draw(t, "junk")))
			},
			"unlearn": func(t *rapid.T) {
				if len(lessons) == 0 {
					t.Skip("nothing learned")
				}
				i := rapid.IntRange(0, len(lessons)-1).Draw(t, "lesson")
				l, err := ParseLesson(lessons[i].Append(nil))
				if err != nil || !bytes.Equal(l.Append(nil), lessons[i].Append(nil)) {
					t.Fatalf("a lesson is not what was written: %v", err)
				}
				Unlearn(site, account, l)
				lessons = append(lessons[:i], lessons[i+1:]...)
			},
		})
		again, own := NewSite(), NewAccount()
		for _, i := range rapid.Permutation(indices(len(lessons))).Draw(t, "order") {
			Apply(again, own, lessons[i])
		}
		if known(site, account) != known(again, own) {
			t.Fatal("what is left is not what the lessons say")
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// A model that was saved and read again says the same, with what was learned after it from lessons.
func TestPages(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	site, account := NewSite(), NewAccount()
	savedSite, savedAccount := NewSite(), NewAccount()
	for range 5 {
		var lessons []Lesson
		for range 10 {
			junk := r.Intn(2) == 0
			lessons = append(lessons, Learn(site, account, featuresOf(letter(r, junk)), junk))
		}
		for _, n := range site.Dirty() {
			if err := savedSite.SetPage(n, site.AppendPage(nil, n)); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range lessons[:5] { // An account can as well be brought up to date by its lessons.
			Apply(nil, savedAccount, l)
		}
		for _, l := range lessons[5:] {
			l, _ := ParseLesson(l.Append(nil))
			Apply(nil, savedAccount, l)
		}
		if site.Dirty() != nil || len(account.Dirty()) == 0 {
			t.Errorf("dirty: site %v, account %v", site.Dirty(), account.Dirty())
		}
		if known(site, account) != known(savedSite, savedAccount) {
			t.Error("saved is not what was learned")
		}
	}
	site.MarkDirty(7)
	site.MarkDirty(Head)
	if got := site.Dirty(); !reflect.DeepEqual(got, []int{Head, 7}) {
		t.Errorf("dirty %v", got)
	}
	for _, bad := range [][]byte{{2}, {1, 0xff}, {1, 0xff, 0xff, 1, 0}} {
		if savedSite.SetPage(0, bad) == nil || savedAccount.SetPage(0, bad) == nil || savedSite.SetPage(Head, bad) == nil || savedAccount.SetPage(Head, bad) == nil {
			t.Errorf("page %x is taken", bad)
		}
	}
	if savedSite.SetPage(SitePages, nil) == nil || savedAccount.SetPage(AccountPages, nil) == nil {
		t.Error("a page that does not exist is taken")
	}
}

// The features of a message never change, or what was learned is lost: the hashes stand here.
func TestFeaturesStay(t *testing.T) {
	const text = "From: \"A. Writer\" <a.writer@mail.example.org>\r\nTo: b@example.net\r\nSubject: =?utf-8?B?6YO15L6/?= now FREE!!!\r\n" +
		"Date: Tue, 1 Jul 2025 10:00:00 +0200\r\nMessage-ID: <123.abc@mail.example.org>\r\nContent-Type: text/html; charset=utf-8\r\nMIME-Version: 1.0\r\n\r\n" +
		"<p>Buy <b>now</b> at <a href='http://shop.example/buy?x=1'>www.bank.example</a>, \u0421\u043a\u043e\u0440\u043e \uff21\uff22 \u90f5\u4fbf\u5c40 $$$</p>"
	f := featuresOf(text)
	var sum uint32
	for _, x := range f.list {
		sum = sum*31 + x.hash
	}
	if len(f.list) != wantFeatures || sum != wantSum {
		t.Errorf("%d features with sum %d; were %d with %d", len(f.list), sum, wantFeatures, wantSum)
	}
	for i, x := range featuresOf(text).list {
		if f.list[i] != x {
			t.Fatal("not alike twice")
		}
	}
}

const (
	wantFeatures = 118
	wantSum      = 2860724581
)

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"Hello, WORLD 1.5 don't a-b":            "hello world 1.5 don't a-b",
		"FREE!!!!!! $$ 50%":                     "free !!!! !! $$ 50 %",
		"v\u200bi\u00adagra":                    "viagra",
		"\uff26\uff32\uff25\uff25 \u041f\u0420": "free \u043f\u0440",
		"\u90f5\u4fbf\u5c40 a":                  "\u90f5\u4fbf \u4fbf\u5c40 \u5c40 a",
		strings.Repeat("x", 50):                 strings.Repeat("x", maxWord),
		" .,;":                                  "",
	} {
		rest := text
		for one := range strings.FieldsSeq(want) {
			w := nextWord(rest, seed('w'))
			kind := byte('w')
			if w.dense {
				kind = 'c'
			}
			if !w.some || w.hash != mixString(seed(kind), one) {
				t.Errorf("%q: no %q where %q is left", text, one, rest)
			}
			rest = rest[w.size:]
		}
		if w := nextWord(rest, seed('w')); w.some {
			t.Errorf("%q: %q is left", text, rest)
		}
	}
}

// A site with 1,000 accounts that learned much stays below 64 MiB.
func TestSize(t *testing.T) {
	site := SitePages * pageSlots * (16 + 4)
	account := AccountPages * pageSlots * 4
	if slotSize := reflect.TypeFor[slot]().Size(); slotSize != 16 {
		t.Errorf("a slot has %d octets", slotSize)
	}
	if all := site + 1000*(account+int(reflect.TypeFor[Account]().Size())); all > 64<<20 {
		t.Errorf("%d octets", all)
	}
}

func FuzzParseLesson(f *testing.F) {
	site, account := NewSite(), NewAccount()
	f.Add(Learn(site, account, featuresOf("Subject: a\r\n\r\nb c d"), true).Append(nil))
	f.Add([]byte{1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLesson(b)
		if err != nil {
			return
		}
		again, err := ParseLesson(l.Append(nil))
		if err != nil || !bytes.Equal(l.Append(nil), again.Append(nil)) {
			t.Errorf("a lesson is not what was written: %v", err)
		}
		s, a := NewSite(), NewAccount()
		Apply(s, a, l)
		Unlearn(s, a, l)
		if known(s, a) != known(NewSite(), NewAccount()) {
			t.Error("something is left")
		}
	})
}

func FuzzFeatures(f *testing.F) {
	f.Add("Subject: a\r\n\r\nb \u90f5\u4fbf <c> http://a.b/c")
	f.Fuzz(func(t *testing.T, text string) {
		x := featuresOf(text)
		if len(x.list) > MaxFeatures {
			t.Errorf("%d features", len(x.list))
		}
		site := NewSite()
		Learn(site, nil, x, true)
		if s := ScoreOf(site, nil, x); math.IsNaN(s.LogOdds) || s.LogOdds < -MaxScore || s.LogOdds > MaxScore {
			t.Errorf("score %+v", s)
		}
	})
}

func benchmarkLetter() string {
	r := rand.New(rand.NewSource(5))
	var b strings.Builder
	b.WriteString("From: a@b.example\r\nTo: c@d.example\r\nSubject: a usual one\r\nDate: Tue, 1 Jul 2025 10:00:00 +0000\r\nMessage-ID: <1@b.example>\r\n\r\n")
	for b.Len() < 4096 {
		fmt.Fprintf(&b, "word%d of ", r.Intn(1000))
	}
	return b.String()
}

func BenchmarkFeatures(b *testing.B) {
	text := benchmarkLetter()
	c := extract.Read(strings.NewReader(text), message.Parse([]byte(text)).Root)
	b.ReportAllocs()
	for b.Loop() {
		FeaturesOf(c)
	}
}

func BenchmarkScore(b *testing.B) {
	f := featuresOf(benchmarkLetter())
	site, account := NewSite(), NewAccount()
	Learn(site, account, f, true)
	b.ReportMetric(float64(f.Len()), "features")
	b.ReportMetric(float64(len(Learn(site, account, f, false).Append(nil))), "octets/lesson")
	b.ReportAllocs()
	for b.Loop() {
		ScoreOf(site, account, f)
	}
}

// A score by the gists is that by the slots themselves, within what nobody can tell apart, also after lessons
// were taken back and pages read again.
func TestGists(t *testing.T) {
	r := rand.New(rand.NewSource(11))
	site, account := NewSite(), NewAccount()
	var lessons []Lesson
	for i := range 400 {
		junk := i%3 == 0
		lessons = append(lessons, Learn(site, account, featuresOf(letter(r, junk)), junk))
	}
	for _, l := range lessons[100:200] {
		Unlearn(site, account, l)
	}
	again := NewSite()
	for page := Head; page < SitePages; page++ {
		if err := again.SetPage(page, site.AppendPage(nil, page)); err != nil {
			t.Fatal(err)
		}
	}
	worst := 0.0
	for i := range 200 {
		f := featuresOf(letter(r, i%2 == 0))
		v := site.see(f)
		got := ScoreOf(site, account, f)
		if got != ScoreOf(again, account, f) {
			t.Fatal("pages that were read again say something else")
		}
		own := account.own(f, &v)
		worst = max(worst, math.Abs(got.Site-v.says)/(1+math.Abs(v.says)), math.Abs(got.Account-own)/(1+math.Abs(own)))
		if math.Abs(v.says) < 0.01 {
			t.Fatalf("the letters say nothing: %v", v.says)
		}
	}
	if worst > 0.05 {
		t.Errorf("differs by a share of %v", worst)
	}
	for n, k := range map[uint32]slot{1: {weight: 5 << 21, junk: 1}, 2: {weight: -5 << 21, ham: 1 << 31}, 3: {weight: -3, junk: 1 << 31, ham: 1}} {
		site.gist(n, k)
		if g := site.gists[n]; g.weight() != max(-maxWeight, min(maxWeight, k.weight)) || g%gistKinds == 0 {
			t.Errorf("gist of %+v: weight %d, kind %d", k, g.weight(), g%gistKinds)
		}
	}
}
