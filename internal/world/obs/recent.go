package obs

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxRecent is how many different warnings are remembered, and recentFor how long.
const (
	maxRecent = 100
	recentFor = 24 * time.Hour
)

// Warned is a warning or an error that the log has, as often as it was told in a day.
type Warned struct {
	Level   slog.Level
	Message string
	Reason  string // of the latest, or ""; of those with a reason in a word or two (KeyReason), the latest maxReasons
	Count   int
	Last    time.Time
}

// Recent remembers the warnings of a day: those with the same words are one. Beyond
// maxRecent the one that was told longest ago goes. Safe for concurrent use.
type Recent struct {
	now func() time.Time

	mu   sync.Mutex
	told map[string]*warned
}

// warned counts in hours, so that each ages out alone.
type warned struct {
	Warned
	reasons []string // the latest last
	hours   [24]struct {
		hour  int64
		count int
	}
}

// NewRecent remembers nothing yet.
func NewRecent(now func() time.Time) *Recent {
	return &Recent{now: now, told: map[string]*warned{}}
}

// Handler is h, whose warnings r sees too.
func (r *Recent) Handler(h slog.Handler) slog.Handler { return recentHandler{h, r} }

type recentHandler struct {
	slog.Handler
	recent *Recent
}

func (h recentHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn || h.Handler.Enabled(ctx, l)
}

func (h recentHandler) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelWarn {
		h.recent.add(rec)
	}
	if !h.Handler.Enabled(ctx, rec.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, rec)
}

func (h recentHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return recentHandler{h.Handler.WithAttrs(attrs), h.recent}
}

func (h recentHandler) WithGroup(name string) slog.Handler {
	return recentHandler{h.Handler.WithGroup(name), h.recent}
}

// maxReason is how much of a reason is remembered, in octets, and maxReasons how many that
// differ.
const (
	maxReason  = 200
	maxReasons = 3
)

func (r *Recent) add(rec slog.Record) {
	reason, failed, several := "", false, false
	rec.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key == KeyErr:
			reason, failed, several = a.Value.String(), true, false
		case a.Key == KeyReason && !failed:
			reason, several = a.Value.String(), true
		}
		return true
	})
	if reason = strings.ReplaceAll(reason, "\n", "; "); len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.told[rec.Message]
	if w == nil {
		if len(r.told) >= maxRecent {
			r.dropOldest()
		}
		w = &warned{Warned: Warned{Message: rec.Message}}
		r.told[rec.Message] = w
	}
	w.Level, w.Last = max(w.Level, rec.Level), now
	w.because(reason, several)
	hour := now.Unix() / 3600
	at := &w.hours[hour%24]
	if at.hour != hour {
		at.hour, at.count = hour, 0
	}
	at.count++
}

// because remembers why it was told; several says that other reasons stand beside it.
func (w *warned) because(reason string, several bool) {
	w.reasons = slices.DeleteFunc(w.reasons, func(s string) bool { return s == reason || !several })
	if reason != "" {
		w.reasons = append(w.reasons, reason)
	}
	if n := len(w.reasons); n > maxReasons {
		w.reasons = w.reasons[n-maxReasons:]
	}
	w.Reason = strings.Join(w.reasons, "; ")
}

func (r *Recent) dropOldest() {
	var oldest *warned
	for _, w := range r.told {
		if oldest == nil || w.Last.Before(oldest.Last) {
			oldest = w
		}
	}
	delete(r.told, oldest.Message)
}

// List gives the warnings of the last day, the latest first.
func (r *Recent) List() (list []Warned) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for message, w := range r.told {
		if now.Sub(w.Last) > recentFor {
			delete(r.told, message)
			continue
		}
		one := w.Warned
		for _, h := range w.hours {
			if h.hour > now.Unix()/3600-24 {
				one.Count += h.count
			}
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Warned) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Message, b.Message)) })
	return list
}
