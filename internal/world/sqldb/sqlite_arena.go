package sqldb

import (
	"fmt"
	"math"

	"modernc.org/libc"
)

// arena is memory of the C heap for the arguments of a statement: the engine
// reads them there, and must not read memory of Go.
type arena struct {
	block uintptr
	room  int
	used  int
	full  []uintptr // blocks that were too small, in use until clear
}

const (
	arenaLeast = 256
	arenaKept  = 128 << 10 // a larger block is given back by clear
)

// keep copies b and returns where it is until clear.
func (a *arena) keep(tls *libc.TLS, b []byte) (uintptr, error) {
	if len(b) > math.MaxInt32 {
		return 0, fmt.Errorf("%d octets cannot be stored", len(b))
	}
	if a.used+len(b) > a.room || a.block == 0 {
		room := max(2*a.room, len(b), arenaLeast)
		block := libc.Xmalloc(tls, libc.Tsize_t(room))
		if block == 0 {
			return 0, fmt.Errorf("no memory for %d octets", room)
		}
		if a.block != 0 {
			a.full = append(a.full, a.block)
		}
		a.block, a.room, a.used = block, room, 0
	}
	p := a.block + uintptr(a.used)
	copy(octetsAt(p, int64(len(b))), b)
	a.used += len(b)
	return p, nil
}

// clear forgets what was kept.
func (a *arena) clear(tls *libc.TLS) {
	a.used = 0
	for _, p := range a.full {
		libc.Xfree(tls, p)
	}
	a.full = a.full[:0]
	if a.room > arenaKept {
		a.free(tls)
	}
}

// free gives all memory back.
func (a *arena) free(tls *libc.TLS) {
	for _, p := range append(a.full, a.block) {
		libc.Xfree(tls, p)
	}
	*a = arena{}
}
