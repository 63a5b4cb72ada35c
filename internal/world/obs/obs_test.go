package obs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestLoggerFormats(t *testing.T) {
	tests := []struct {
		name string
		o    LogOptions
		json bool
	}{
		{"terminal", LogOptions{Terminal: true}, false},
		{"no terminal", LogOptions{}, true},
		{"text asked for", LogOptions{Format: FormatText}, false},
		{"JSON on a terminal", LogOptions{Format: FormatJSON, Terminal: true}, true},
		{"auto", LogOptions{Format: FormatAuto, Terminal: true}, false},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		log := NewLogger(&b, tt.o)
		log.Debug("no")
		log.Info("login", KeyUser, "a@example.org", Err(errors.New("bad")), "password", Secret("hunter2"))
		line := b.String()
		if strings.Count(line, "\n") != 1 || strings.Contains(line, "hunter2") || !strings.Contains(line, "***") {
			t.Errorf("%s: wrote %q", tt.name, line)
		}
		var m map[string]any
		err := json.Unmarshal(b.Bytes(), &m)
		if (err == nil) != tt.json {
			t.Errorf("%s: JSON = %v, want %v: %q", tt.name, err == nil, tt.json, line)
		}
		if tt.json && (m[KeyUser] != "a@example.org" || m[KeyErr] != "bad" || m["time"] == nil) {
			t.Errorf("%s: fields %v", tt.name, m)
		}
	}
}

func TestLoggerNoTimeAndLevel(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	level.Set(slog.LevelWarn)
	log := NewLogger(&b, LogOptions{NoTime: true, Leveler: &level})
	log.Info("dropped")
	level.Set(slog.LevelInfo)
	log.Info("kept", slog.Group("g", slog.Int("time", 3)))
	if got, want := b.String(), `{"level":"INFO","msg":"kept","g":{"time":3}}`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoggerDurations(t *testing.T) {
	for terminal, want := range map[bool]string{false: `"took":0.004862}`, true: "took=4.862097ms"} {
		var b bytes.Buffer
		NewLogger(&b, LogOptions{Terminal: terminal}).Info("accepted", KeyTook, 4862097*time.Nanosecond)
		if !strings.HasSuffix(b.String(), want+"\n") {
			t.Errorf("%q does not end in %q", b.String(), want)
		}
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]slog.Level{"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := ParseLevel(s); err != nil || got != want {
			t.Errorf("ParseLevel(%q) = %v, %v", s, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil || !strings.Contains(err.Error(), `"loud"`) {
		t.Errorf("ParseLevel(loud): %v", err)
	}
	if f, err := ParseFormat("JSON"); err != nil || f != FormatJSON {
		t.Errorf("ParseFormat(JSON) = %v, %v", f, err)
	}
	if _, err := ParseFormat("xml"); err == nil {
		t.Error("ParseFormat(xml) is accepted")
	}
}

func TestSecretPrints(t *testing.T) {
	s := Secret("hunter2")
	for _, verb := range []string{"%v", "%s", "%#v", "%+v"} {
		if got := fmt.Sprintf(verb, s); got != "***" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

// manager is a service manager's end of NOTIFY_SOCKET.
func manager(t *testing.T, name string) func() string {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return func() string {
		b := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestNotifier(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for _, name := range []string{path, "@yubin-test-" + strconv.FormatInt(time.Now().UnixNano(), 36)} {
		next := manager(t, name)
		n := NewNotifier(name)
		n.now = func() time.Duration { return 1234567 * time.Microsecond }
		steps := []struct {
			say  func() error
			want string
		}{
			{n.Ready, "READY=1\n"},
			{n.Reloading, "RELOADING=1\nMONOTONIC_USEC=1234567\n"},
			{n.Alive, "WATCHDOG=1\n"},
			{func() error { return n.Status("3 sessions\nREADY=1") }, "STATUS=3 sessions READY=1\n"},
			{n.Stopping, "STOPPING=1\n"},
		}
		for _, s := range steps {
			if err := s.say(); err != nil {
				t.Fatal(err)
			}
			if got := next(); got != s.want {
				t.Errorf("manager heard %q, want %q", got, s.want)
			}
		}
	}
}

func TestNotifierOfNobody(t *testing.T) {
	n := NewNotifier("")
	for _, say := range []func() error{n.Ready, n.Reloading, n.Stopping, n.Alive} {
		if err := say(); err != nil {
			t.Error(err)
		}
	}
	gone := NewNotifier(filepath.Join(t.TempDir(), "none"))
	if err := gone.Ready(); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("a missing socket: %v", err)
	}
}

func TestMonotonic(t *testing.T) {
	a, b := monotonic(), monotonic()
	if a <= 0 || b < a {
		t.Errorf("monotonic: %v, then %v", a, b)
	}
}
