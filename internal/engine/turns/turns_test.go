package turns

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
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

// counts returns how many turns are taken, and how many accounts are known.
func counts(t *Table) (taken, known, wait int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken, len(t.accounts), len(t.waiting)
}

// Who has much to do has all there is while nobody else wants any, and does not
// keep another account waiting.
func TestAccountsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(2, 1, 2)
		begun := time.Now()
		for range 50 {
			go work(t, table, 1, time.Second, func() {})
		}
		synctest.Wait()
		if taken := table.Taken(1); taken != 2 {
			t.Errorf("an account that is alone has %d turns", taken)
		}
		for _, id := range []mail.AccountID{2, 3} {
			go work(t, table, id, 100*time.Millisecond, func() {
				if took := time.Since(begun); took > 500*time.Millisecond {
					t.Errorf("account %d is done after %v", id, took)
				}
			})
		}
		time.Sleep(Slice + 2*time.Millisecond)
		synctest.Wait()
		if taken, _, _ := counts(table); taken != 2 || table.Taken(1) > table.Each() {
			t.Errorf("%d turns of 2 are taken, %d by the first account", taken, table.Taken(1))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if taken, known, wait := counts(table); taken+known+wait != 0 {
			t.Errorf("in the end %d accounts are known, %d wait, %d turns are taken", known, wait, taken)
		}
	})
}

// Within an account all go on, each for a slice.
func TestSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(1, 1, 1)
		var mu sync.Mutex
		var ends []time.Duration
		begun := time.Now()
		for _, d := range []time.Duration{time.Second, 50 * time.Millisecond, 20 * time.Millisecond} {
			go work(t, table, 1, d, func() {
				mu.Lock()
				defer mu.Unlock()
				ends = append(ends, time.Since(begun))
			})
			synctest.Wait()
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(ends) != 3 || !slices.IsSorted(ends) || ends[0] > 100*time.Millisecond || ends[1] > 200*time.Millisecond {
			t.Errorf("the short ones end at %v", ends)
		}
	})
}

// lazy is a context that is only done when it is asked.
type lazy struct {
	context.Context
	ended atomic.Bool
}

var errGone = errors.New("gone")

func (l *lazy) Err() error {
	if l.ended.Load() {
		return errGone
	}
	return nil
}

// Who gives up leaves no trace, whether the turn was given or not.
func TestWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(1, 1, 1)
		first, err := table.Take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		left := &lazy{Context: context.Background()}
		go func() {
			if _, err := table.Take(left, 2); err != errGone {
				t.Errorf("Take ends with %v", err)
			}
		}()
		synctest.Wait()
		left.ended.Store(true)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if _, known, wait := counts(table); wait != 0 || known != 1 {
			t.Errorf("%d wait, %d accounts are known", wait, known)
		}
		if err := first.Pass(left); err != errGone {
			t.Errorf("Pass ends with %v", err)
		}
		first.End()
		first.End() // Does nothing.
		if taken, known, _ := counts(table); taken+known != 0 {
			t.Errorf("%d turns are taken", taken)
		}
		if again, err := table.Take(t.Context(), 3); err != nil {
			t.Error(err)
		} else {
			again.End()
		}
	})
}
