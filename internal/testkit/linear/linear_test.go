package linear

import (
	"fmt"
	"testing"
)

// failures is a test that notes what it is told.
type failures struct {
	testing.TB
	told []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.told = append(f.told, fmt.Sprintf(format, args...))
}

func TestCheck(t *testing.T) {
	sum := 0
	for _, c := range []struct {
		name  string
		steps func(n int) int
		fails bool
	}{
		{"linear", func(n int) int { return 100_000 * n }, false},
		{"the cube", func(n int) int { return n * n * n }, true}, // The square is too near to the limit to be told from noise each time.
	} {
		f := &failures{TB: t}
		Check(f, 100, func(size int) func() {
			return func() {
				for i := range c.steps(size) {
					sum += i ^ sum>>3
				}
			}
		})
		if (len(f.told) > 0) != c.fails {
			t.Errorf("%s: %v", c.name, f.told)
		}
	}
}
