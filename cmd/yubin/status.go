package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/obs"
)

// Exit codes of yubin status, as monitoring wants them; all is well with exitOK.
const (
	statusWarning = 1
	statusTrouble = 2 // or no server runs
	statusUnknown = 3 // it cannot be told
)

// A screen that is drawn again and again: what fits into a small terminal.
const (
	screenWidth   = 80
	screenHeight  = 24
	shownWarnings = 6 // what a screen shows of them
	statusWait    = 20 * time.Second
)

type statusCmd struct {
	place
	Watch bool          `help:"Show it again and again, until Ctrl-C." short:"w"`
	Every time.Duration `help:"How often, with --watch." default:"2s" placeholder:"TIME"`
}

// Help tells the exit codes.
func (c *statusCmd) Help() string {
	return "The exit code is 0 if all is well, 1 for a warning, 2 if something does not work or no server runs, 3 if it cannot be told."
}

// Run shows how the server is.
func (c *statusCmd) Run(e *env) error {
	if c.Every < 100*time.Millisecond || c.Every > time.Hour {
		return usagef("--every is from 100ms to 1h")
	}
	at, _, err := e.configured(c.place)
	if err != nil {
		e.tellError(err)
		return &exitCode{code: statusUnknown}
	}
	s := statusScreen{e: e, folder: at.Data, now: time.Now}
	if !c.Watch {
		return s.show(e.stdout, false)
	}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		err := s.redraw()
		select {
		case <-e.ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// statusScreen shows the server of a data folder.
type statusScreen struct {
	e      *env
	folder string
	now    func() time.Time
}

// redraw shows it anew: on a terminal in the place of what was there.
func (s *statusScreen) redraw() error {
	if out, ok := s.e.out.(*os.File); s.e.json || !ok || !isTerminal(out) {
		err := s.show(s.e.stdout, false)
		if !s.e.json {
			fmt.Fprintln(s.e.stdout)
		}
		return err
	}
	var page bytes.Buffer
	err := s.show(obs.Printing(&page), true)
	lines := strings.Split(strings.TrimRight(page.String(), "\n"), "\n")
	if len(lines) > screenHeight-1 {
		lines = append(lines[:screenHeight-2], "…")
	}
	var out strings.Builder
	out.WriteString("\x1b[H") // Home; each line is cleared to its end, and then what is below.
	for _, line := range lines {
		out.WriteString(cut(line, screenWidth-1) + "\x1b[K\n")
	}
	out.WriteString("\x1b[J")
	_, failed := io.WriteString(s.e.out, out.String())
	return cmp.Or(failed, err)
}

// shownStatus is an overview, or that there is none.
type shownStatus struct {
	Running bool         `json:"running"`
	State   admin.Health `json:"state"`         // ok, warning, critical or unknown
	Why     string       `json:"why,omitempty"` // of one that is not known, or does not run
	*admin.Overview
}

// ask finds how the server is.
func (s *statusScreen) ask() shownStatus {
	ctx, cancel := context.WithTimeout(s.e.ctx, statusWait)
	defer cancel()
	client, err := admin.Dial(ctx, s.folder)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return shownStatus{State: admin.Trouble, Why: "no server runs on " + s.folder + `; "systemctl start yubin" starts one that is installed, "yubin serve" any`}
	case errors.Is(err, fs.ErrPermission):
		return shownStatus{State: "unknown", Why: "the server at " + s.folder + " may be asked by its own user and root only"}
	case err != nil:
		return shownStatus{State: "unknown", Why: "the server at " + s.folder + " cannot be reached: " + err.Error()}
	}
	defer client.Close()
	o, err := client.Overview(ctx)
	if mail.KindOf(err) == mail.Unavailable && err != nil {
		return shownStatus{State: admin.Trouble, Why: err.Error()}
	}
	if err != nil {
		return shownStatus{State: "unknown", Why: "the server at " + s.folder + " does not answer: " + err.Error()}
	}
	return shownStatus{Running: true, State: o.State, Overview: &o}
}

// show writes it to w. The error is the exit code.
func (s *statusScreen) show(w io.Writer, small bool) error {
	st := s.ask()
	switch {
	case s.e.json:
		if err := json.NewEncoder(w).Encode(st); err != nil {
			return err
		}
	case st.Overview == nil:
		writeLine(w, "%s: %s", st.State, st.Why)
	default:
		s.text(w, *st.Overview, small)
	}
	switch st.State {
	case admin.Well:
		return nil
	case admin.Warning:
		return &exitCode{code: statusWarning}
	case admin.Trouble:
		return &exitCode{code: statusTrouble}
	}
	return &exitCode{code: statusUnknown}
}

func (s *statusScreen) text(w io.Writer, o admin.Overview, small bool) {
	now := s.now()
	writeLine(w, "%s: yubin %s at %s runs since %s (%s), process %d", o.State, o.Version, o.Hostname, moment(o.Started), length(now.Sub(o.Started)), o.Process)
	for _, c := range o.Concerns {
		writeLine(w, "%s: %s", c.State, c.Text)
	}
	var t table
	for i, l := range o.Listeners {
		name := ""
		if i == 0 {
			name = "listeners"
		}
		t.add(name, fmt.Sprintf("%s on %s, TLS %s, %s", l.Service, l.Address, l.TLS, count(l.Open, "connection", "connections")))
	}
	t.add("queue", queueWords(o, now))
	for _, p := range o.Pauses {
		t.add("paused", pauseWords(p, now))
	}
	t.add("accepted", last(o.Accepted, now))
	t.add("delivered", last(o.Delivered, now))
	if d := o.Disk; d != nil {
		t.add("disk", fmt.Sprintf("%s of %s free", octets(int64(d.Free)), octets(int64(d.Total)))+databaseWords(o.Database))
	}
	t.add("memory", octets(o.Memory))
	for _, c := range o.Certificates {
		t.add("certificate", certificateWords(c, now))
	}
	t.add("warnings", warningWords(o.Warnings))
	shown := o.Warnings
	if small && len(shown) > shownWarnings {
		shown = shown[:shownWarnings]
	}
	for _, l := range shown {
		text := fmt.Sprintf("%d× %s", l.Count, l.Message)
		if l.Reason != "" {
			text += ": " + l.Reason
		}
		t.add("", fmt.Sprintf("%s ago  %s", length(now.Sub(l.Last)), text))
	}
	t.write(w)
}

func queueWords(o admin.Overview, now time.Time) string {
	q := o.Queue
	switch {
	case q == nil:
		return "not counted yet"
	case q.Total == 0:
		return "empty"
	}
	s := fmt.Sprintf("%d waiting", q.Waiting)
	if q.Parked > 0 {
		s += fmt.Sprintf(" (%d for sites that are down or paused)", q.Parked)
	}
	if q.Active > 0 {
		s += fmt.Sprintf(", %d being sent", q.Active)
	}
	if q.Held > 0 {
		s += fmt.Sprintf(", %d held", q.Held)
	}
	return s + "; the oldest came " + length(now.Sub(q.Oldest)) + " ago"
}

// pauseWords is what is paused, since when, and why.
func pauseWords(p admin.QueuePause, now time.Time) string {
	s := what(p) + ", for " + length(now.Sub(p.Since))
	if p.Why != "" {
		s += ": " + oneLine(p.Why)
	}
	return s
}

func last(at, now time.Time) string {
	if at.IsZero() {
		return "none since the start"
	}
	return "last " + length(now.Sub(at)) + " ago"
}

func databaseWords(n int64) string {
	if n == 0 {
		return ""
	}
	return "; the database has " + octets(n)
}

func certificateWords(c admin.Certificate, now time.Time) string {
	names := strings.Join(c.Names, ", ")
	if len(c.Names) > 3 {
		names = strings.Join(c.Names[:3], ", ") + fmt.Sprintf(" and %d more", len(c.Names)-3)
	}
	if !c.Ends.After(now) {
		return names + ": expired " + length(now.Sub(c.Ends)) + " ago"
	}
	return names + ": ends in " + length(c.Ends.Sub(now))
}

func warningWords(list []admin.LoggedWarning) string {
	if len(list) == 0 {
		return "none in the last 24 hours"
	}
	n, errs := 0, 0
	for _, l := range list {
		if n += l.Count; l.Level == slog.LevelError.String() {
			errs += l.Count
		}
	}
	s := fmt.Sprintf("%d in the last 24 hours", n)
	if errs > 0 {
		s += ", errors among them: " + strconv.Itoa(errs)
	}
	return s
}
