package turns

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
)

// work takes a turn and works for some time in steps.
func work(t *testing.T, table *Table, id mail.AccountID, d time.Duration, done func()) {
	turn, err := table.Take(t.Context(), id)
	if err != nil {
		t.Error(err)
		return
	}
	defer turn.End()
	for range d / time.Millisecond {
		time.Sleep(time.Millisecond) // In a bubble: what takes a processor in truth.
		if err := turn.Pass(t.Context()); err != nil {
			t.Error(err)
		}
	}
	done()
}

// Who has much to do does not keep another account waiting, nor does it take
// all there is.
func TestAccountsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(2, 1)
		begun := time.Now()
		for range 50 {
			go work(t, table, 1, time.Second, func() {})
		}
		synctest.Wait()
		if table.taken != 1 {
			t.Errorf("one account has %d turns", table.taken)
		}
		for _, id := range []mail.AccountID{2, 3} {
			go work(t, table, id, 100*time.Millisecond, func() {
				if took := time.Since(begun); took > 500*time.Millisecond {
					t.Errorf("account %d is done after %v", id, took)
				}
			})
		}
		synctest.Wait()
		if table.taken != 2 {
			t.Errorf("%d turns of 2 are taken", table.taken)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if took := time.Since(begun); len(table.accounts)+len(table.waiting)+table.taken != 0 {
			t.Errorf("after %v: %d accounts, %d wait, %d turns taken", took, len(table.accounts), len(table.waiting), table.taken)
		}
	})
}

// Within an account all go on, each for a slice.
func TestSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(1, 1)
		var ends []time.Duration
		begun := time.Now()
		for _, d := range []time.Duration{time.Second, 50 * time.Millisecond, 20 * time.Millisecond} {
			go work(t, table, 1, d, func() { ends = append(ends, time.Since(begun)) })
			synctest.Wait()
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(ends) != 3 || !slices.IsSorted(ends) || ends[0] > 100*time.Millisecond || ends[1] > 200*time.Millisecond {
			t.Errorf("the short ones end at %v", ends)
		}
	})
}

// lazy is a context that is only done when it is asked.
type lazy struct {
	context.Context
	err error
}

func (l *lazy) Err() error { return l.err }

// Who gives up leaves no trace, whether the turn was given or not.
func TestWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(1, 1)
		first, err := table.Take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		left := &lazy{Context: context.Background()}
		gone := errors.New("gone")
		go func() {
			if _, err := table.Take(left, 2); err != gone {
				t.Errorf("Take ends with %v", err)
			}
		}()
		synctest.Wait()
		left.err = gone
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if len(table.waiting) != 0 || len(table.accounts) != 1 {
			t.Errorf("%d wait, %d accounts are known", len(table.waiting), len(table.accounts))
		}
		if err := first.Pass(left); err != gone {
			t.Errorf("Pass ends with %v", err)
		}
		first.End()
		first.End() // Does nothing.
		if table.taken != 0 || len(table.accounts) != 0 {
			t.Errorf("%d turns are taken", table.taken)
		}
		if again, err := table.Take(t.Context(), 3); err != nil {
			t.Error(err)
		} else {
			again.End()
		}
	})
}
