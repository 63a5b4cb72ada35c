package obs

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestRecentReasons: of a warning that is told for several reasons the latest are
// remembered, each once.
func TestRecentReasons(t *testing.T) {
	r := NewRecent(time.Now)
	log := slog.New(r.Handler(slog.DiscardHandler))
	for _, why := range []string{"a", "b", "a", "c", "d", strings.Repeat("é", maxReason)} {
		log.Warn("the configuration needs a hand", KeyReason, why)
	}
	got := r.List()[0]
	if want := "c; d; " + strings.Repeat("é", maxReason/2) + "…"; got.Reason != want || got.Count != 6 {
		t.Errorf("%d× %s", got.Count, got.Reason)
	}
	log.Error("disk", Err(errors.New("full")), KeyReason, "x")
	log.Error("disk", Err(errors.New("slow")))
	for _, w := range r.List() {
		if w.Message == "disk" && w.Reason != "slow" {
			t.Errorf("of an error: %s", w.Reason)
		}
	}
}

// TestRecent: warnings of a day, those alike counted as one, whatever the level of the log.
func TestRecent(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := NewRecent(func() time.Time { return now })
	var out strings.Builder
	log := slog.New(r.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))).With("a", 1).WithGroup("g")
	log.Info("nothing")
	log.Warn("disk", Err(errors.New("full")))
	now = now.Add(20 * time.Hour)
	log.Warn("disk")
	log.Error("other")
	show := func() (s string) {
		for _, w := range r.List() {
			s += fmt.Sprintf("%s %d× %v (%s); ", w.Message, w.Count, w.Level, w.Reason)
		}
		return s
	}
	if got, want := show(), "disk 2× WARN (); other 1× ERROR (); "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if s := out.String(); strings.Contains(s, "disk") || !strings.Contains(s, "other") {
		t.Errorf("log: %s", s)
	}
	now = now.Add(10 * time.Hour)
	if got, want := show(), "disk 1× WARN (); other 1× ERROR (); "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	now = now.Add(15 * time.Hour)
	if got := show(); got != "" {
		t.Errorf("after a day: %s", got)
	}
	for i := range 3 * maxRecent {
		now = now.Add(time.Second)
		log.Warn(fmt.Sprint("w", i))
	}
	list := r.List()
	if len(list) != maxRecent || list[0].Message != fmt.Sprint("w", 3*maxRecent-1) {
		t.Errorf("%d are remembered, the latest is %s", len(list), list[0].Message)
	}
}
