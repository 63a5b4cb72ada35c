// Package linear tests that work grows as its input does, and not with its
// square. Times are compared, so it asks for little: four times the input may
// take ten times as long, where the square of it takes sixteen.
package linear

import (
	"testing"
	"time"
)

const (
	growth = 4
	limit  = 10                    // of the growth of time
	tries  = 5                     // the fastest counts
	enough = 2 * time.Millisecond  // of one measurement, so that the clock is fine enough
	again  = 3                     // measurements of a case that seems to fail: the machine may be busy
	atMost = 20 * time.Millisecond // of one run of the small size; what takes longer is too slow whatever it grows like
)

// Check fails the test if the run that prepare makes for growth times size
// takes far longer than growth times that for size.
func Check(t testing.TB, size int, prepare func(size int) (run func())) {
	t.Helper()
	small, large := prepare(size), prepare(growth*size)
	var ratio float64
	var one time.Duration
	for range again {
		one = Fastest(small)
		ratio = float64(Fastest(large)) / float64(one)
		if ratio <= limit && one <= atMost {
			return
		}
	}
	t.Errorf("size %d takes %v; %d times the size takes %.1f times as long", size, one, growth, ratio)
}

// Fastest is how long run takes, at best.
func Fastest(run func()) time.Duration {
	n := 1
	one := fastest(run, n)
	for ; one < enough; one = fastest(run, n) {
		n *= 2
	}
	return one / time.Duration(n)
}

// fastest is how long n runs take, at best.
func fastest(run func(), n int) time.Duration {
	best := time.Duration(1<<63 - 1)
	for range tries {
		start := time.Now()
		for range n {
			run()
		}
		best = min(best, time.Since(start))
		if best > time.Second {
			break
		}
	}
	return best
}
