package obs

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Format is how log lines look.
type Format string

// The formats.
const (
	FormatAuto Format = "auto" // text on a terminal, else JSON
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// LogOptions of NewLogger.
type LogOptions struct {
	Format   Format     // "" is FormatAuto
	Level    slog.Level // lines below it are dropped; a *slog.LevelVar in Leveler wins
	Leveler  slog.Leveler
	Terminal bool // the writer is a terminal
	NoTime   bool // leave the time out, for the journal, which has its own
}

// NewLogger returns a logger that writes to w, one Write per line; whatever the
// values hold, the line is Printable. Lines of a Stranger are bounded. Durations
// are seconds in JSON, and have their unit in text.
func NewLogger(w io.Writer, o LogOptions) *slog.Logger {
	opts := &slog.HandlerOptions{Level: o.Level}
	if o.Leveler != nil {
		opts.Level = o.Leveler
	}
	w = Printing(w) // The handlers write one line at a time, under a lock.
	text := o.Format == FormatText || o.Format != FormatJSON && o.Terminal
	opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case o.NoTime && len(groups) == 0 && a.Key == slog.TimeKey:
			return slog.Attr{}
		case !text && a.Value.Kind() == slog.KindDuration:
			return slog.Float64(a.Key, a.Value.Duration().Round(time.Microsecond).Seconds())
		case a.Value.Kind() == slog.KindAny:
			if err, is := a.Value.Any().(error); is && err != nil {
				return slog.String(a.Key, Reason(err))
			}
		}
		return a
	}
	if text {
		return slog.New(newBounded(slog.NewTextHandler(w, opts)))
	}
	return slog.New(newBounded(slog.NewJSONHandler(w, opts)))
}

// ParseLevel reads "debug", "info", "warn" or "error".
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", s)
}

// ParseFormat reads a Format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(strings.ToLower(s)); f {
	case FormatAuto, FormatText, FormatJSON:
		return f, nil
	}
	return "", fmt.Errorf("log format %q is none of auto, text, json", s)
}
