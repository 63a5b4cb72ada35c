package search

import (
	"context"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/testkit/mailgen"
)

// archive is stored mail in memory.
type archive struct {
	octets [][]byte // of UID n at n-1
	forms  []message.Form
	reads  int // rows with a form
	mu     sync.Mutex
}

func newArchive(t *testing.T, n int, seed uint64) *archive {
	t.Helper()
	a := &archive{}
	g := mailgen.New(seed, false)
	for range n {
		m := g.Next().Octets
		a.octets, a.forms = append(a.octets, m), append(a.forms, formOf(t, m))
	}
	return a
}

func formOf(t *testing.T, m []byte) message.Form {
	t.Helper()
	form, err := message.ParseForm(message.AppendForm(nil, message.Parse(m)))
	must(t, err)
	return form
}

func (a *archive) RowsSince(_ context.Context, _ mail.MailboxID, _ mail.ModSeq, uids []mail.UID, need store.Need, _ int) (rows []store.Row, more int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range uids {
		m := a.octets[u-1]
		row := store.Row{Entry: store.Entry{UID: u}, Size: int64(len(m)), Received: time.Date(2026, 1, int(u)%28+1, 0, 0, 0, 0, time.UTC)}
		if need&store.NeedForm != 0 {
			row.Form = a.forms[u-1]
			a.reads++
		}
		rows = append(rows, row)
	}
	return rows, 0, nil
}

func (a *archive) entries(yield func(int, store.Entry) bool) {
	for i := range a.octets {
		if !yield(i+1, store.Entry{UID: mail.UID(i + 1)}) {
			return
		}
	}
}

func (a *archive) search(t *testing.T, src *Source, c Criteria) (uids []mail.UID) {
	t.Helper()
	must(t, Compile(c).Run(t.Context(), src, 1, a.entries, func(_ int, e store.Entry) { uids = append(uids, e.UID) }))
	return uids
}

// factsIn are the facts that the octets of a message tell.
func factsIn(m []byte) facts {
	known, fold := facts{whole: true}, newFolder()
	parsed := message.Parse(m)
	if parsed.Repeats {
		known.there = repeated
	}
	if !parsed.Date.IsZero() {
		known.sent = dayOf(parsed.Date)
	}
	e := parsed.Envelope
	for p, list := range [...][]message.MailAddress{partFrom: e.From, partTo: e.To, partCc: e.Cc, partBcc: e.Bcc} {
		known.add(part(p), []byte(addressText(list)), len(list) > 0, fold)
	}
	known.add(partSubject, []byte(message.DecodeText(e.Subject)), e.Subject != nil, fold)
	known.add(partMessageID, []byte(message.DecodeText(e.MessageID)), e.MessageID != nil, fold)
	return known
}

// addressText is how a list is searched: "Name <local@domain>, Group: <a@b>;".
func addressText(list []message.MailAddress) string {
	var members []string
	text := ""
	for _, a := range list {
		switch a.Group {
		case message.GroupStart:
			text = strings.Join(append(members, message.DecodeText(a.Mailbox)+": "), ", ")
			members = nil
		case message.GroupEnd:
			members = []string{text + strings.Join(members, ", ") + ";"}
		default:
			member := "<" + message.DecodeText(a.Mailbox) + "@" + message.DecodeText(a.Host) + ">"
			if len(a.Name) > 0 {
				member = message.DecodeText(a.Name) + " " + member
			}
			members = append(members, member)
		}
	}
	return strings.Join(members, ", ")
}

func meets(known facts, c Criteria) bool {
	n := Compile(c).root
	return n.matchEnvelope(&known)
}

// randomKey looks for a piece of what some message has.
func (a *archive) randomKey(r *mrand.Rand) Criteria {
	e := message.Parse(a.octets[r.IntN(len(a.octets))]).Envelope
	day := time.Date(1998, 3, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.IntN(600))
	switch n := r.IntN(8); n {
	case 0, 1, 2:
		return Criteria{Op: []Op{SentBefore, SentOn, SentSince}[n], Day: day}
	}
	texts := map[string]string{
		"From": addressText(e.From), "To": addressText(e.To), "Cc": addressText(e.Cc),
		"Subject": message.DecodeText(e.Subject), "Message-ID": message.DecodeText(e.MessageID), "Bcc": "",
	}
	field := []string{"From", "To", "Cc", "Subject", "Message-ID", "Bcc"}[r.IntN(6)]
	text := texts[field]
	if text != "" {
		from := r.IntN(len(text))
		text = text[from:min(len(text), from+1+r.IntN(8))]
	}
	if r.IntN(2) == 0 {
		text = strings.ToUpper(text)
	}
	if !utf8.ValidString(text) {
		text = ""
	}
	return Criteria{Op: Envelope, Field: field, Text: text}
}

// What the kept envelopes answer, remembered or not, is what the octets say:
// of mail of all programs and charsets, sound and broken.
func TestEnvelopesAnswerAsOctetsDo(t *testing.T) {
	r := mrand.New(mrand.NewPCG(11, 12))
	a := newArchive(t, 400, 99)
	var told []facts
	for _, m := range a.octets {
		told = append(told, factsIn(m))
	}
	fresh, kept := NewSource(a, 0), NewSource(a, 1<<20)
	some := 0
	for range 100 {
		c := a.randomKey(r)
		var want []mail.UID
		for i, known := range told {
			if meets(known, c) {
				want = append(want, mail.UID(i+1))
			}
		}
		for _, src := range []*Source{fresh, kept} {
			if got := a.search(t, src, c); !slices.Equal(got, want) {
				t.Fatalf("%+v: got %v, want %v", c, got, want)
			}
		}
		if len(want) > 0 && len(want) < len(a.octets) {
			some++
		}
	}
	if some < 40 {
		t.Errorf("only %d keys matched some and not all: the test tells little", some)
	}
}

// What the store keeps of a message is what is searched.
func TestEnvelopesOfTheStore(t *testing.T) {
	o := newOffice(t)
	o.fill(t, mrand.New(mrand.NewPCG(1, 2)), 30, 30)
	v, err := o.View(t.Context(), o.id)
	must(t, err)
	for _, word := range vocabulary {
		var got, want []int
		c := Criteria{Op: Envelope, Field: "subject", Text: strings.ToUpper(word)}
		must(t, Compile(c).Run(t.Context(), o.source(), o.id, v.All(), func(seq int, _ store.Entry) { got = append(got, seq) }))
		for i, l := range o.letters {
			if l.subject == word {
				want = append(want, i+1)
			}
		}
		if !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s: got %v, want %v", word, got, want)
		}
	}
}

func TestAddressText(t *testing.T) {
	head := "From: \"Doe, Jane\" <jane@a.example> (office)\r\nTo: Team: a@b.example, =?utf-8?q?J=C3=BCrgen?= <j@c.example>;, d@e.example\r\n\r\n"
	for _, c := range []struct {
		field, text string
		want        bool
	}{
		{"From", "doe, jane <JANE@A.example>", true},
		{"from", `"doe`, false},
		{"From", "", true},
		{"To", "team: <a@b.example>, jürgen <j@c.example>;, <d@e.example>", true},
		{"To", "JÜRGEN <", true},
		{"Cc", "", false},
		{"Subject", "", false},
	} {
		if got := meets(factsIn([]byte(head)), Criteria{Op: Envelope, Field: c.field, Text: c.text}); got != c.want {
			t.Errorf("%s %q: %v", c.field, c.text, got)
		}
	}
}

// What is remembered is not read again; what is new is.
func TestRemembers(t *testing.T) {
	a := newArchive(t, 1500, 5)
	all := a.octets
	src := NewSource(a, 4<<20)
	key := Criteria{Op: Envelope, Field: "Subject", Text: "no such thing"}
	for _, n := range []int{1000, 1000, 1500, 1500} {
		a.octets = all[:n]
		a.search(t, src, key)
	}
	if a.reads != len(all) {
		t.Errorf("%d envelopes read, want %d", a.reads, len(all))
	}
	if got := a.search(t, src, Criteria{Op: Larger, Size: 1}); len(got) != len(all) || a.reads != len(all) {
		t.Errorf("sizes: %d found, %d read", len(got), a.reads)
	}
}

// The bound holds, for one mailbox and for many.
func TestMemoryIsBounded(t *testing.T) {
	const bound = 100 << 10
	a := newArchive(t, 1500, 6)
	src := NewSource(a, bound)
	key := Criteria{Op: Envelope, Field: "Subject", Text: "no such thing"}
	for id := range mail.MailboxID(5) {
		must(t, Compile(key).Run(t.Context(), src, id+1, a.entries, func(int, store.Entry) {}))
		sum := int64(0)
		for _, b := range src.cache.boxes {
			sum += b.memory
		}
		if src.cache.memory > bound || src.cache.memory < bound/2 || sum != src.cache.memory {
			t.Errorf("after %d mailboxes: %d octets noted, %d in boxes", id+1, src.cache.memory, sum)
		}
		if src.cache.boxes[id+1] == nil || src.cache.boxes[id+1].memory == 0 {
			t.Error("nothing of the mailbox used last is remembered")
		}
	}
}

func TestRemembersForMany(t *testing.T) {
	a := newArchive(t, 600, 8)
	src := NewSource(a, 64<<10)
	c := Criteria{Op: Envelope, Field: "From", Text: "@"}
	want := fmt.Sprint(a.search(t, NewSource(a, 0), c))
	var wg sync.WaitGroup
	for id := range mail.MailboxID(4) {
		wg.Go(func() {
			for range 5 {
				var uids []mail.UID
				err := Compile(c).Run(t.Context(), src, id%2, a.entries, func(_ int, e store.Entry) { uids = append(uids, e.UID) })
				if err != nil || fmt.Sprint(uids) != want {
					t.Errorf("%v, %d found", err, len(uids))
				}
			}
		})
	}
	wg.Wait()
}

// A search of several batches finds in order, and ends with what failed.
func TestManyBatches(t *testing.T) {
	const n = 5*batch + 7
	a := &archive{octets: make([][]byte, n)}
	for i := range n {
		a.forms = append(a.forms, formOf(t, fmt.Appendf(nil, "Subject: number %d\n\n", i%3)))
	}
	c := Criteria{Op: Envelope, Field: "Subject", Text: "number 2"}
	var want []mail.UID
	for uid := mail.UID(3); uid <= n; uid += 3 {
		want = append(want, uid)
	}
	src := NewSource(a, DefaultMemory)
	for range 2 { // The second time all is remembered.
		if got := a.search(t, src, c); !slices.Equal(got, want) || a.reads != n {
			t.Errorf("found %d messages, not %d, after reading %d", len(got), len(want), a.reads)
		}
	}
	broken := NewSource(&brokenAt{a, 3*batch + 1}, 0)
	found := 0
	err := Compile(c).Run(t.Context(), broken, 1, a.entries, func(int, store.Entry) { found++ })
	if mail.KindOf(err) != mail.Unavailable || found != batch {
		t.Errorf("%d found before the failure: %v", found, err)
	}
}

// brokenAt is an archive that fails from a UID on.
type brokenAt struct {
	*archive
	uid mail.UID
}

func (b *brokenAt) RowsSince(ctx context.Context, id mail.MailboxID, since mail.ModSeq, uids []mail.UID, need store.Need, most int) ([]store.Row, int, error) {
	if uids[len(uids)-1] >= b.uid {
		return nil, 0, mail.Errorf(mail.Unavailable, "gone")
	}
	return b.archive.RowsSince(ctx, id, since, uids, need, most)
}
