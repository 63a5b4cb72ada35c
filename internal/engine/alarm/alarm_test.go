package alarm

import (
	"context"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// TestAlarm: told once until it is well, and again when it is younger.
func TestAlarm(t *testing.T) {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, dbtest.Options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a, err := Open(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1e12).UTC()
	tell := func(cause string, at time.Time) mail.Kind {
		err := db.Write(ctx, func(tx *sqldb.Tx) error { return a.Tell(tx, cause, at) })
		if err == nil {
			return 0
		}
		return mail.KindOf(err)
	}
	for i, step := range []struct {
		cause string
		at    time.Time
		want  mail.Kind
	}{
		{"disk", at, 0}, {"disk", at, mail.Conflict}, {"queue", at, 0}, {"disk", at.Add(time.Second), 0},
		{"", at, mail.Invalid}, {strings.Repeat("x", maxCause+1), at, mail.Invalid},
	} {
		if got := tell(step.cause, step.at); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	if err := a.Well(ctx, "disk"); err != nil {
		t.Fatal(err)
	}
	told, err := a.Told(ctx)
	if err != nil || len(told) != 1 || !told["queue"].Equal(at) {
		t.Errorf("told %v, %v", told, err)
	}
	if got := tell("disk", at); got != 0 {
		t.Errorf("again: %v", got)
	}
}
