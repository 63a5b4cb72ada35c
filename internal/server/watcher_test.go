package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/journal"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/queue"
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
	trace, err := admin.InProcess(s.Admin()).Trace(t.Context(), "postmaster@mx.near.example", time.Time{}, 10)
	if err != nil || len(trace.Messages) != 1 || trace.Messages[0].Came.Service != admin.OwnService || trace.Messages[0].Came.Filed[0].Account != "alice@near.example" {
		t.Errorf("its trace: %+v, %v", trace.Messages, err)
	}
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

// causesOf are what needs a hand now, with the texts.
func causesOf(t *testing.T, w *watcher) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, c := range w.concerns(t.Context()) {
		all[c.Cause] = c.Text
	}
	return all
}

// TestPausesAreConcerns: that of all mail at once, others when they may be forgotten.
func TestPausesAreConcerns(t *testing.T) {
	s, _ := near(t, farZone, 1)
	w, now, _ := watching(t, s, config.Watch{Summary: -1})
	q := s.store.outgoing.queue
	pause := func(scope queue.Scope, name, why string) {
		t.Helper()
		if err := q.Pause(t.Context(), scope, name, why); err != nil {
			t.Fatal(err)
		}
	}
	pause(queue.PauseAll, "", "spam?")
	pause(queue.PauseSite, "mx:far.example", "")
	if got := causesOf(t, w); len(got) != 1 || !strings.HasPrefix(got["paused:all"], "all outgoing mail is paused since ") ||
		!strings.HasSuffix(got["paused:all"], ` (spam?): "yubin queue resume --all" lets it go out`) {
		t.Errorf("at once: %q", got)
	}
	*now = now.Add(pauseForgotten + time.Minute)
	if got := causesOf(t, w); len(got) != 2 || !strings.Contains(got["paused:site mx:far.example"], `mail to far.example via mx is paused since `) ||
		!strings.Contains(got["paused:site mx:far.example"], `"yubin queue resume --site 'far.example via mx'"`) {
		t.Errorf("after a day: %q", got)
	}
	o, err := w.Overview(t.Context())
	if err != nil || len(o.Pauses) != 2 || o.State != admin.Warning {
		t.Errorf("overview: %+v, %v", o.Pauses, err)
	}
	if err := q.Resume(t.Context(), queue.PauseAll, ""); err != nil {
		t.Fatal(err)
	}
	if err := q.Resume(t.Context(), queue.PauseSite, "mx:far.example"); err != nil {
		t.Fatal(err)
	}
	if got := causesOf(t, w); len(got) != 0 {
		t.Errorf("resumed: %q", got)
	}
}

// TestReloadIsAConcern: until one succeeds.
func TestReloadIsAConcern(t *testing.T) {
	s, c := near(t, farZone, 1)
	w, _, _ := watching(t, s, config.Watch{Summary: -1})
	s.store.watcher = w
	s.NotReloaded(fmt.Errorf("yubin.toml:3: hostname must be a domain name\nyubin.toml:4: more"))
	if got := causesOf(t, w)["configuration"]; !strings.Contains(got, "the old one stays: yubin.toml:3: hostname must be a domain name; yubin.toml:4: more;") {
		t.Errorf("faulty: %q", got)
	}
	broken := c
	broken.Listeners = append(slices.Clone(c.Listeners), config.Listener{Protocol: config.IMAP, Address: "192.0.2.1:143", TLS: config.TLSNone})
	if _, err := s.Reload(broken); err == nil {
		t.Fatal("a listener on an address of others opened")
	}
	if got := causesOf(t, w)["configuration"]; !strings.Contains(got, "a part of the configuration was not taken over at ") || !strings.Contains(got, "192.0.2.1") {
		t.Errorf("a part: %q", got)
	}
	if _, err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	if got := causesOf(t, w); len(got) != 0 {
		t.Errorf("well: %q", got)
	}
}

// TestRefusedLoginIsAConcern: a smarthost that does not take our password is told of with
// its first answer.
func TestRefusedLoginIsAConcern(t *testing.T) {
	far, farConfig := far(t)
	s, c := near(t, farZone, 1)
	w, _, _ := watching(t, s, config.Watch{Summary: -1})
	client := admin.InProcess(s.Admin())
	if _, err := client.SetRoute(t.Context(), admin.Route{Name: "smart", To: []string{"*"}, Action: "smtp", TLS: "none", User: "carol@far.example", Password: "wrong",
		Hosts: []string{listenerOf(far, farConfig, "submission").String()}}); err != nil {
		t.Fatal(err)
	}
	submit(t, listenerOf(s, c, "submission"), "bob@else.example", "lunch")
	var got map[string]string
	for end := time.Now().Add(30 * time.Second); len(got) == 0 && time.Now().Before(end); runtime.Gosched() {
		got = causesOf(t, w)
	}
	if text := got["route:smart"]; !strings.HasPrefix(text, "no mail goes out by the route smart since ") || !strings.Contains(text, ": the login there is refused: user name or password is wrong; it waits.") {
		t.Errorf("got %q", got)
	}
}

// TestThresholdsOfConfiguration: what the configuration takes for the defaults of engines
// is so.
func TestThresholdsOfConfiguration(t *testing.T) {
	if config.DefaultJunk != judge.DefaultJunk || config.DefaultRefuse != judge.DefaultRefuse || config.DefaultLifetime != queue.DefaultLifetime {
		t.Error("the configuration checks bounds against other defaults than those of the engines")
	}
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
	if got := get(s.ready); !strings.HasPrefix(got, "503 the disk of ") || !strings.Contains(got, "is full but for 0 MiB of 200 GiB: mail is taken until") {
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
