package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/journal"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
)

// watching is a watcher of s with a clock and a disk of its own.
func watching(t *testing.T, s *Server, c config.Watch) (w *watcher, now *time.Time, free *uint64) {
	t.Helper()
	now, free = new(time.Time), new(uint64)
	*now, *free = time.Now(), 100<<30
	d := deps()
	d.Now = func() time.Time { return *now }
	w = newWatcher(s.store, config.Config{Hostname: "mx.near.example", Watch: c}, d)
	w.alarm = s.store.watcher.alarm
	w.room = func(string) (uint64, uint64, bool) { return *free, 200 << 30, true }
	w.serving(s, obs.NewRecent(d.Now))
	return w, now, free
}

// TestPostmasterIsTold: once for each cause until it was well for an hour, and once
// more when it gets worse; what was told outlives the watcher.
func TestPostmasterIsTold(t *testing.T) {
	s, _ := near(t, farZone, 1)
	w, now, free := watching(t, s, config.Watch{Mail: true, Summary: -1})
	letters := uint32(0)
	step := func(what string, octets uint64, after time.Duration, want string) {
		t.Helper()
		*free, *now = octets, now.Add(after)
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want != "" {
			letters++
			if text := holding(t, s, "alice@near.example", letters); !strings.Contains(text, want) || !strings.Contains(text, "Auto-Submitted: auto-generated") {
				t.Errorf("%s: no %q in\n%s", what, want, text)
			}
		}
		a, err := s.store.directory.Account(t.Context(), mail.Address{Local: "alice", Domain: "near.example"})
		if err != nil {
			t.Fatal(err)
		}
		box, err := s.store.mail.MailboxByRole(t.Context(), a.ID, mail.RoleInbox)
		if err != nil || box.Exists != letters {
			t.Errorf("%s: %d letters, want %d; %v", what, box.Exists, letters, err)
		}
	}
	step("well", 100<<30, 0, "")
	step("low", 1<<30, time.Minute, "1024 MiB of 200 GiB are free")
	step("still low", 1<<30, time.Minute, "")
	past := *now
	w, now, free = watching(t, s, config.Watch{Mail: true, Summary: -1})
	*now = past
	step("after a restart", 1<<30, time.Minute, "")
	step("full", 50<<20, time.Minute, "Subject: mx.near.example needs a hand: disk")
	step("well", 100<<30, time.Minute, "")
	step("low too soon", 1<<30, 30*time.Minute, "")
	step("well", 100<<30, time.Minute, "")
	step("well for long", 100<<30, watchCalm, "")
	step("low again", 1<<30, time.Minute, "almost full:")
	w.set(config.Watch{Summary: -1})
	step("full, and nobody wants to know", 50<<20, time.Minute, "")
}

// TestSummary: once a day, at its time.
func TestSummary(t *testing.T) {
	s, _ := near(t, farZone, 1)
	w, now, _ := watching(t, s, config.Watch{Summary: 7 * time.Hour})
	*now = time.Date(2031, 3, 5, 6, 59, 0, 0, time.Local)
	w.record(journal.Entry{Kind: journal.Accepted, Filed: make([]journal.Filed, 2)})
	w.record(journal.Entry{Kind: journal.Refused})
	look := func() {
		t.Helper()
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	told := func() time.Time {
		t.Helper()
		all, err := w.alarm.Told(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all[summaryKey].Local()
	}
	look()
	if at := told(); !at.Equal(time.Time{}) {
		t.Errorf("a summary at %v", at)
	}
	for day := range 2 {
		*now = time.Date(2031, 3, 5+day, 7, 1, 0, 0, time.Local)
		look()
		look()
		text := holding(t, s, "alice@near.example", uint32(day+1))
		want := []string{"messages accepted: 1", "copies filed in mailboxes: 2", "recipients or messages refused: 1"}
		if day == 1 {
			want = []string{"messages accepted: 0"}
		}
		for _, line := range append(want, "queue: 0 waiting, 0 held", "disk: 100 GiB of 200 GiB free") {
			if !strings.Contains(text, line) {
				t.Errorf("day %d: no %q in\n%s", day, line, text)
			}
		}
		if at := told(); at.Hour() != 7 || at.Day() != 5+day {
			t.Errorf("day %d: the summary was due at %v", day, at)
		}
	}
}

// TestHealth: live, and ready unless the disk is full; the overview says why.
func TestHealth(t *testing.T) {
	s, _ := near(t, farZone, 1)
	get := func(do http.HandlerFunc) string {
		rec := httptest.NewRecorder()
		do(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		return fmt.Sprint(rec.Code, " ", rec.Body)
	}
	w, _, free := watching(t, s, config.Watch{Summary: -1})
	old := s.store.watcher
	s.store.watcher = w
	defer func() { s.store.watcher = old }()
	if got := get(s.live) + get(s.ready); got != "200 ok\n200 ready\n" {
		t.Errorf("got %q", got)
	}
	*free = 1
	if got := get(s.ready); !strings.HasPrefix(got, "503 the disk of ") || !strings.Contains(got, "is full") {
		t.Errorf("got %q", got)
	}
	w.log.Info("nothing")
	o, err := w.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.State != admin.Trouble || len(o.Concerns) != 1 || o.Concerns[0].Cause != "disk" || len(o.Listeners) == 0 || o.Memory <= 0 || o.Disk.Free != 1 {
		t.Errorf("overview %+v", o)
	}
}
