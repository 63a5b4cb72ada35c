// Package linear tests that work grows as its input does, and not with its
// square. What is compared is processor time of the whole test program, so that
// a busy machine does little harm, and it asks for little: four times the input
// may take ten times as long, where the square of it takes sixteen.
package linear

import (
	"syscall"
	"testing"
	"time"
)

const (
	growth = 4
	limit  = 10                   // of the growth of time
	tries  = 5                    // the fastest counts
	enough = 2 * time.Millisecond // of one measurement
	again  = 5                    // measurements of a case that seems to fail
	little = 3 * time.Millisecond // what takes less for the large input is well whatever it grows like
	atMost = 50 * time.Millisecond
)

// Check fails the test if the run that prepare makes for growth times size
// takes far longer than growth times that for size, or both take longer than
// atMost for each size. A measurement that the garbage collector or another
// machine on the same processor made long is made again, and the fastest counts.
func Check(t testing.TB, size int, prepare func(size int) (run func())) {
	t.Helper()
	small, large := prepare(size), prepare(growth*size)
	one, more := took(small, 1), took(large, 1)
	slow := func() bool { return one > atMost && more > growth*atMost }
	for n := 0; more > little && (more > limit*one || slow()); n++ {
		if n == again {
			t.Errorf("size %d takes %v; %d times the size takes %.1f times as long", size, one, growth, float64(more)/float64(one))
			return
		}
		one, more = min(one, Fastest(small)), min(more, Fastest(large))
	}
}

// Fastest is how much processor time run takes, at best.
func Fastest(run func()) time.Duration {
	n := 1
	for took(run, n) < enough {
		n *= 2
	}
	best := took(run, n)
	for range tries - 1 {
		best = min(best, took(run, n))
	}
	return best / time.Duration(n)
}

// took is how much processor time n runs take.
func took(run func(), n int) time.Duration {
	start := used()
	for range n {
		run()
	}
	return used() - start
}

// used is the processor time of the program so far.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // Nothing else than a wrong argument can fail.
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
