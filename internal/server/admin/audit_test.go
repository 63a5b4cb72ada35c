package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/audit"
	"yubin/internal/mail"
)

// kept is an Audit in memory.
type kept struct {
	lines []audit.Line
	err   error
	added func()
}

func (k *kept) Add(_ context.Context, lines ...audit.Line) error {
	if k.added != nil {
		k.added()
	}
	k.lines = append(k.lines, lines...)
	return k.err
}

func (k *kept) List(context.Context, audit.Filter) ([]audit.Line, error) { return k.lines, nil }

// everyPattern is what a server with everything answers.
func everyPattern() *Handler {
	return newHandler(Config{Transfers: struct{ Transfers }{}, Junk: struct{ Junk }{}, Retention: struct{ Retention }{}, Policies: struct{ Policies }{}, Zone: struct{ Zone }{}, Audit: &kept{}})
}

// TestEveryChangeLeavesALine: whatever a request that is no GET is for, a line is kept
// of it before its answer is there, unless it stands among those that change nothing.
func TestEveryChangeLeavesALine(t *testing.T) {
	h, k := everyPattern(), &kept{}
	h.Audit = k
	patterns := h.mux.patterns
	h.mux = &routes{ServeMux: http.NewServeMux()}
	quiet := 0
	for _, pattern := range patterns {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{"name":"x"}`) })
	}
	changes := 0
	for _, pattern := range patterns {
		method, path, _ := strings.Cut(pattern, " ")
		if method == http.MethodGet {
			continue
		}
		path = strings.NewReplacer("{", "", "}", "", "...", "").Replace(path)
		k.lines = nil
		r, err := http.NewRequest(method, "http://yubin"+path, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := inProcess{handler: h}.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if changesNothing[pattern] {
			quiet++
			if len(k.lines) > 0 {
				t.Errorf("%s: %+v", pattern, k.lines)
			}
			continue
		}
		changes++
		if len(k.lines) != 1 || k.lines[0].What == "" || k.lines[0].UID != os.Getuid() || k.lines[0].Via != "process" {
			t.Errorf("%s: %+v", pattern, k.lines)
		} else {
			t.Logf("%s: %s %s", pattern, k.lines[0].What, k.lines[0].Subject)
		}
	}
	if quiet != len(changesNothing) || changes < 20 {
		t.Errorf("%d changes, %d requests that change nothing", changes, quiet)
	}
}

// TestChangesNothing is the list that an entry must be argued onto.
func TestChangesNothing(t *testing.T) {
	for pattern := range changesNothing {
		if !slices.Contains([]string{"POST /v1/judge", "POST /v1/check", "POST /v1/junk/test", "POST /v1/retention/preview", "POST /v1/apply/plan", "POST /v1/selftest"}, pattern) {
			t.Errorf("%s leaves no line: is it true that it changes nothing, and takes nothing away?", pattern)
		}
	}
}

// TestNoSecretsInLines: nothing that a request or an answer has under a name of a secret
// comes into a line, however deep.
func TestNoSecretsInLines(t *testing.T) {
	in := object([]byte(`{"address":"a@b.test","password":"hushed","accounts":[{"hash":"hushed","Password":"hushed"}],
		"auth":{"user":"u","password":"hushed","authToken":"hushed"},"database":"postgres://u:hushed@h/d","passed":3,"usage":{"octets":7}}`))
	got := text(in)
	for _, want := range []string{`"address":"a@b.test"`, `"password":"***"`, `"user":"u"`, `"passed":3`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	if strings.Contains(got, "hushed") || strings.Contains(got, "usage") {
		t.Error(got)
	}
	long := object([]byte(`{"list":[` + strings.Repeat(`{"password":"hushed"},`, 200) + `1]}`))
	if got := text(long); strings.Contains(got, "hushed") || !strings.Contains(got, `"and 151 more"`) {
		t.Error(got)
	}
}

// things is a resource with a GET and a PATCH.
func things(h *Handler) {
	now := map[string]any{"name": "x", "enabled": true, "size": 1}
	show := func(w http.ResponseWriter) { _ = json.NewEncoder(w).Encode(now) }
	h.mux.HandleFunc("GET /v1/things/{name}", func(w http.ResponseWriter, _ *http.Request) { show(w) })
	h.mux.HandleFunc("PATCH /v1/things/{name}", func(w http.ResponseWriter, r *http.Request) {
		now["enabled"] = false
		show(w)
	})
	h.mux.HandleFunc("DELETE /v1/things/{name}/size", func(w http.ResponseWriter, r *http.Request) {
		delete(now, "size")
		_, _ = io.WriteString(w, "{}")
	})
	h.mux.HandleFunc("DELETE /v1/things/{name}", func(w http.ResponseWriter, r *http.Request) { now = nil; show(w) })
	h.mux.HandleFunc("POST /v1/things/stream", func(w http.ResponseWriter, r *http.Request) {
		for _, line := range []string{`{"changed":1}`, `{"changed":2}`, `{"changed":2,"done":true}`} {
			_, _ = io.WriteString(w, line+"\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
	h.mux.HandleFunc("POST /v1/things", func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, h.Log, mail.Errorf(mail.Exists, "there is one"))
	})
}

// TestLinesTellWhatChanged: before and after are what differs; a refusal leaves nothing;
// the last of an answer waits for the line; over the socket it is the caller's.
func TestLinesTellWhatChanged(t *testing.T) {
	k := &kept{}
	h := newHandler(Config{Audit: k})
	things(h)
	c := serve(t, t.TempDir(), h)
	send := func(method, path, body string) string {
		t.Helper()
		resp, err := c.send(t.Context(), method, path, json.RawMessage(body))
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		all, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(all)
	}
	if out := send("PATCH", "/v1/things/x", `{"enabled":false}`); !strings.Contains(out, `"enabled":false`) {
		t.Error(out)
	}
	if out := send("POST", "/v1/things", `{}`); out != "there is one" {
		t.Error(out)
	}
	if out := send("POST", "/v1/things/stream", `{"name":"s"}`); out != "{\"changed\":1}\n{\"changed\":2}\n{\"changed\":2,\"done\":true}\n" {
		t.Errorf("%q", out)
	}
	_ = send("DELETE", "/v1/things/x/size", `{}`)
	_ = send("DELETE", "/v1/things/x", `{}`)
	want := []audit.Line{
		{What: "things change", Subject: "x", Asked: `{"enabled":false}`, Before: `{"enabled":true}`, After: `{"enabled":false}`},
		{What: "things stream", Subject: "s", Asked: `{"name":"s"}`, After: `{"changed":2,"done":true}`},
		{What: "things size remove", Subject: "x", Before: `{"size":1}`},
		{What: "things remove", Subject: "x", Before: `{"enabled":false,"name":"x"}`},
	}
	if len(k.lines) != len(want) {
		t.Fatalf("%+v", k.lines)
	}
	for i, l := range k.lines {
		want[i].UID, want[i].Who, want[i].Via = os.Getuid(), nameOf(os.Getuid()), "socket"
		if l != want[i] {
			t.Errorf("got  %+v\nwant %+v", l, want[i])
		}
	}
}

// TestAnswerWaitsForItsLine: what a change came to is not told before the line is kept.
func TestAnswerWaitsForItsLine(t *testing.T) {
	k := &kept{}
	h := newHandler(Config{Audit: k})
	things(h)
	c := InProcess(h)
	release := make(chan struct{})
	k.added = func() { <-release }
	resp, err := c.send(t.Context(), "POST", "/v1/things/stream", json.RawMessage(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := json.NewDecoder(resp.Body)
	for range 2 {
		var line QueueProgress
		if err := in.Decode(&line); err != nil || line.Done {
			t.Fatalf("%+v, %v", line, err)
		}
	}
	last := make(chan QueueProgress, 1)
	go func() {
		var line QueueProgress
		_ = in.Decode(&line)
		last <- line
	}()
	select {
	case line := <-last:
		t.Errorf("told before: %+v", line)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if line := <-last; !line.Done {
		t.Errorf("%+v", line)
	}
}
