package queue

import (
	"fmt"
	"strings"
	"time"
)

// carried are the keys that are being carried by who is alone: their rows say
// that they wait, and are active for whoever asks.
type carried struct {
	keys map[key]bool
	now  time.Time
}

func (q *Queue) carried() carried {
	c := carried{map[key]bool{}, q.o.Now()}
	if !q.o.Alone {
		return c
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.board.busy == 0 {
		return c
	}
	for k, e := range q.board.errands {
		if e.busy {
			c.keys[k] = true
		}
	}
	return c
}

// mark makes d active if it is being carried.
func (c carried) mark(d *Delivery) {
	if d.State == Waiting && !d.Due.After(c.now) && c.keys[key{d.Item, d.Site}] {
		d.State = Active
	}
}

// term is the condition, over queue_delivery d, that a row has a state.
func (c carried) term(s State, args []any) (string, []any) {
	if len(c.keys) == 0 || s != Waiting && s != Active {
		return fmt.Sprintf("d.state = %d", s), args
	}
	args = append(args, millis(c.now))
	var those strings.Builder
	fmt.Fprintf(&those, "(d.state = %d AND d.due <= $%d AND (d.item, d.site) IN (VALUES ", Waiting, len(args))
	comma := ""
	for k := range c.keys {
		args = append(args, k.item, k.site)
		fmt.Fprintf(&those, "%s($%d, $%d)", comma, len(args)-1, len(args))
		comma = ", "
	}
	those.WriteString("))")
	if s == Waiting {
		return fmt.Sprintf("(d.state = %d AND NOT %s)", Waiting, &those), args
	}
	return fmt.Sprintf("(d.state = %d OR %s)", Active, &those), args
}
