package heap

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// world is a Keeper's that is not real.
type world struct {
	state
	percent int
	given   int
}

func (w *world) keeper() *Keeper {
	return &Keeper{slack: 64 << 20, percent: 100, read: func() state { return w.state },
		setPercent: func(n int) { w.percent = n }, giveBack: func() { w.given++ }}
}

func TestPercentFollowsWhatIsLive(t *testing.T) {
	w := &world{}
	k := w.keeper()
	for _, c := range []struct {
		live    int64
		percent int
	}{
		{0, 1600},
		{1 << 20, 1600},
		{16 << 20, 500},
		{17 << 20, 500}, // not worth a change
		{64 << 20, 200},
		{1 << 30, 106},
		{16 << 20, 500},
	} {
		w.live = c.live
		if k.look(); w.percent != c.percent {
			t.Errorf("with %d live: %d %%, want %d", c.live, w.percent, c.percent)
		}
	}
}

func TestMemoryIsGivenBackOnceItIsQuiet(t *testing.T) {
	w := &world{}
	k := w.keeper()
	for i, c := range []struct {
		allocates uint64
		given     int
	}{
		{10 << 20, 0}, // busy
		{10 << 20, 0},
		{1000, 1}, // over
		{1000, 1}, // nothing since
		{2 << 20, 1},
		{1000, 1}, // too little to be worth it
		{3 << 20, 1},
		{0, 2},
	} {
		w.allocated += c.allocates
		if k.look(); w.given != c.given {
			t.Errorf("look %d: given back %d times, want %d", i, w.given, c.given)
		}
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{state: state{live: 16 << 20, allocated: 100 << 20}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w.keeper().Run(ctx)
		if w.percent != 500 || w.given != 1 {
			t.Errorf("%d %%, given back %d times", w.percent, w.given)
		}
	})
}

var kept []byte

func TestReadHeap(t *testing.T) {
	before := readHeap()
	kept = make([]byte, 32<<20)
	runtime.GC()
	after := readHeap()
	if after.allocated-before.allocated < 32<<20 || after.live < 32<<20 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	kept = nil
}
