package admin

import (
	"context"
	"fmt"
	"testing"

	"yubin/internal/engine/backup"
	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// copies tells progress, if it is to, and ends as told.
type copies struct {
	progress bool
	err      error
}

func (c copies) Backup(_ context.Context, into *files.Place, progress func(backup.Progress)) (backup.Snapshot, error) {
	if c.progress {
		progress(backup.Progress{Phase: "database", Done: 1, Total: 2})
	}
	return backup.Snapshot{ID: into.Path()}, c.err
}

func (c copies) PutBack(_ context.Context, from *files.Place, snapshot string, w backup.Wanted, progress func(backup.Progress)) (Returned, error) {
	if c.progress {
		progress(backup.Progress{Phase: "messages", Done: 1, Total: 2})
	}
	return Returned{Snapshot: fmt.Sprint(from.Path(), " ", snapshot, " ", w.Address, " ", w.Mailbox, " ", w.UID)}, c.err
}

// TestBackupStreams: progress comes as it is told, then the result or the
// failure, with its kind, whether anything was sent before it or not.
func TestBackupStreams(t *testing.T) {
	for _, told := range []bool{false, true} {
		for _, fails := range []error{nil, mail.Errorf(mail.Conflict, "another yubin uses /b")} {
			c := InProcess(newHandler(Config{Backups: copies{told, fails}}))
			heard := 0
			hear := func(p backup.Progress) { heard += int(p.Total) }
			s, err := c.Backup(context.Background(), files.Into("/b"), hear)
			wantEnd(t, err, fails)
			out, err := c.PutBack(context.Background(), files.From("/b"), PutBack{Snapshot: "s", Account: "a@example.org", Mailbox: "inbox", UID: 3}, hear)
			wantEnd(t, err, fails)
			if fails == nil && (s.ID != "/b" || out.Snapshot != "/b s a@example.org INBOX 3") {
				t.Errorf("got %q and %q", s.ID, out.Snapshot)
			}
			if told != (heard == 4) {
				t.Errorf("progress told %v, heard %d", told, heard)
			}
		}
	}
	c := InProcess(newHandler(Config{Backups: copies{}}))
	for _, bad := range []PutBack{{Account: "nobody"}, {Account: "a@example.org", Mailbox: "a//b"}, {Account: "a@example.org", Into: "\x01"}} {
		if _, err := c.PutBack(context.Background(), files.From("/b"), bad, nil); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func wantEnd(t *testing.T, got, want error) {
	t.Helper()
	if want == nil && got != nil || want != nil && (mail.KindOf(got) != mail.KindOf(want) || got.Error() != want.Error()) {
		t.Errorf("ended with %v, want %v", got, want)
	}
}
