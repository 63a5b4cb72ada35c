package feedback_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// modelLetter is a letter and how its owner called it last: "", junk or ham.
type modelLetter struct {
	*letter
	called string
	word   string // that its keywords say
	copied bool
	kept   bool // it was answered or filed
}

// TestModel: whatever is done to letters, however often it is looked at them, and
// whatever fails in between, what is known in the end is what was said last.
func TestModel(t *testing.T) {
	h := newHouse(t)
	rapid.Check(t, func(rt *rapid.T) {
		clear(h.pupil.knows)
		var list []*modelLetter
		names := []mail.MailboxName{"INBOX", "Junk", "Trash", "Archive", "Friends"}
		look := func() {
			failures := rapid.IntRange(0, 3).Draw(rt, "failures")
			h.pupil.fails = func() bool { failures--; return failures >= 0 && failures%2 == 0 }
			for h.Look(ctx, me) != nil {
			}
			h.pupil.fails = nil
		}
		some := func() *modelLetter {
			i := rapid.IntRange(0, len(list)-1).Draw(rt, "letter")
			return list[i]
		}
		from := func(l *modelLetter) (mail.MailboxName, bool) {
			var in []mail.MailboxName
			for name := range l.at {
				in = append(in, name)
			}
			if len(in) == 0 {
				return "", false
			}
			slices.Sort(in)
			return rapid.SampledFrom(in).Draw(rt, "from"), true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"comes": func(*rapid.T) {
				if len(list) < 6 {
					to := rapid.SampledFrom(names[:2]).Draw(rt, "to")
					list = append(list, &modelLetter{letter: h.comes(to, 0, "")})
				}
			},
			"move": func(*rapid.T) {
				if len(list) == 0 {
					return
				}
				l := some()
				a, ok := from(l)
				b := rapid.SampledFrom(names).Draw(rt, "to")
				if _, there := l.at[b]; !ok || there && a != b {
					return
				}
				l.move(a, b)
				if a == "INBOX" && (b == "Archive" || b == "Friends") {
					l.kept = true
				}
				switch {
				case a == b:
				case b == "Junk":
					l.called, l.copied = "junk", false
				case a == "Junk":
					if l.copied = false; b != "Trash" {
						l.called = "ham"
					}
				}
			},
			"copy": func(*rapid.T) {
				if len(list) == 0 {
					return
				}
				l := some()
				a, ok := from(l)
				b := rapid.SampledFrom(names).Draw(rt, "to")
				if _, there := l.at[b]; !ok || there {
					return
				}
				if l.copy(a, b); b == "Junk" {
					l.called, l.copied = "junk", true
				}
			},
			"expunge": func(*rapid.T) {
				if len(list) == 0 {
					return
				}
				l := some()
				a, ok := from(l)
				if !ok {
					return
				}
				l.expunge(a)
				switch {
				case len(l.at) == 0:
				case a != "Junk":
					l.copied = false
				case l.copied:
					l.called, l.copied = "", false
				default:
					for name := range l.at {
						if name != "Trash" {
							l.called = "ham"
						}
					}
				}
				look() // Where it is otherwise is seen as it is at a look.
			},
			"word": func(*rapid.T) {
				if len(list) == 0 {
					return
				}
				l := some()
				a, ok := from(l)
				if !ok || len(l.at) > 1 { // Keywords of copies can contradict each other.
					return
				}
				look() // Keywords are seen as they are at a look.
				word := rapid.SampledFrom([]string{"", "junk", "ham"}).Draw(rt, "word")
				l.flag(a, store.FlagsReplace, 0, map[string]mail.Keywords{"junk": "$Junk", "ham": "$NotJunk"}[word])
				switch {
				case word == l.word:
				case word != "":
					l.called, l.copied = word, false
				case l.word == "junk":
					l.called, l.copied = "ham", false
				case l.called == "ham":
					l.called = ""
				}
				l.word = word
				look()
			},
			"seen": func(*rapid.T) { // Flags say nothing of junk.
				if len(list) == 0 {
					return
				}
				l := some()
				if a, ok := from(l); ok {
					l.flag(a, store.FlagsAdd, mail.Seen, "")
				}
			},
			"answer": func(*rapid.T) {
				if len(list) == 0 {
					return
				}
				l := some()
				if a, ok := from(l); ok && len(l.at) == 1 && a != "Junk" {
					look() // Flags, too, are seen as they are at a look.
					l.flag(a, store.FlagsAdd, mail.Answered, "")
					l.kept = true
					look()
				}
			},
			"look":    func(*rapid.T) { look() },
			"restart": func(*rapid.T) { h.begin() },
		})
		look()
		want := map[mail.EmailID]bool{}
		for _, l := range list {
			if l.called != "" || l.kept {
				want[l.email] = l.called == "junk"
			}
		}
		if got := fmt.Sprint(h.pupil.knows); got != fmt.Sprint(want) {
			rt.Fatalf("known %s, want %v", got, want)
		}
	})
}

// TestManySessions: sessions move the same letters about at the same time, while
// somebody looks; in the end all is as one who reads the changes from the first to the
// last would call them.
func TestManySessions(t *testing.T) {
	h := newHouse(t)
	const letters, sessions, moves = 20, 4, 60
	for range letters {
		h.comes("INBOX", 0, "")
	}
	names := []mail.MailboxName{"INBOX", "Junk", "Trash", "Friends"}
	running, stop := context.WithCancel(ctx)
	var follower, all sync.WaitGroup
	follower.Go(func() { h.Run(running) })
	for i := range sessions {
		all.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(i)))
			for range moves {
				from, to := h.boxes[names[r.IntN(len(names))]], h.boxes[names[r.IntN(len(names))]]
				v, err := h.store.View(ctx, from)
				if err != nil {
					t.Error(err)
					return
				}
				var set mail.UIDSet
				for _, e := range v.All() {
					if r.IntN(3) == 0 {
						set.Add(e.UID)
					}
				}
				if _, err := h.store.Move(ctx, from, set, to); err != nil {
					t.Error(err)
				}
				if r.IntN(10) == 0 {
					if err := h.Look(ctx, me); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	h.look()
	stop()
	follower.Wait()

	want := map[mail.EmailID]bool{}
	changes, err := h.store.Changes(ctx, me, store.ChangeState{}, 0)
	if h.must(err); changes.More {
		t.Fatal("there are more changes")
	}
	type departure struct {
		email mail.EmailID
		from  mail.MailboxID
		at    mail.ModSeq
	}
	gone := map[departure]bool{}
	for _, c := range changes.List {
		if c.Kind == store.EmailRemoved {
			gone[departure{c.Email, c.Mailbox, c.ModSeq}] = true
		}
	}
	for _, c := range changes.List {
		if c.Kind != store.EmailAdded {
			continue
		}
		fromJunk := gone[departure{c.Email, h.boxes["Junk"], c.ModSeq}]
		switch {
		case c.Mailbox == h.boxes["Junk"] && !fromJunk:
			want[c.Email] = true
		case fromJunk && c.Mailbox != h.boxes["Junk"] && c.Mailbox != h.boxes["Trash"]:
			want[c.Email] = false
		case c.Mailbox == h.boxes["Friends"] && gone[departure{c.Email, h.boxes["INBOX"], c.ModSeq}]:
			if _, called := want[c.Email]; !called {
				want[c.Email] = false
			}
		}
	}
	if got := fmt.Sprint(h.pupil.knows); got != fmt.Sprint(want) || len(want) == 0 {
		t.Errorf("known %s, want %v", got, want)
	}
}
