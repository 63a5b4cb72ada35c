package store_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/heap"
)

// owner holds a share of a budget.
type owner struct {
	heap.Share
	yielded bool
}

func (*owner) Party() heap.Party { return heap.Party{Account: 1} }
func (o *owner) Yield()          { o.yielded = true }

func ownerOf(b *heap.Budget) *owner {
	o := new(owner)
	o.Init(b, o)
	return o
}

// TestIncomingCountsWhatItHolds: a small message nothing, a larger one its
// buffer, the header and what is made of it.
func TestIncomingCountsWhatItHolds(t *testing.T) {
	h := newHouse(t)
	body := strings.Repeat("a line of text, sixty-six octets long with its end, as people write\r\n", 20_000)
	header := strings.Repeat("X-Filler: "+strings.Repeat("x", 60)+"\r\n", 2000)
	addresses := "To: " + strings.Repeat("a@b,\r\n ", 4000) + "a@b\r\n"
	for _, c := range []struct {
		name, octets string
		least, most  int64
	}{
		{"small", "Subject: x\r\n\r\n" + body[:3000], 0, 0},
		{"medium", "Subject: x\r\n\r\n" + body[:12_000], 8 << 10, 24 << 10},
		{"large", "Subject: x\r\n\r\n" + body, 56 << 10, 72 << 10},
		{"header", header + "\r\n", 200 << 10, 300 << 10},
		{"header without end", header, 200 << 10, 300 << 10},
		{"one long line", "X: " + strings.Repeat("x", 200_000), 200 << 10, 360 << 10},
		{"addresses", addresses + "\r\n", 400 << 10, 900 << 10},
	} {
		budget := heap.NewBudget(10 << 20)
		o := ownerOf(budget)
		in := h.NewIncoming()
		in.CountFor(&o.Share)
		for b := []byte(c.octets); len(b) > 0; {
			n := min(len(b), 5000)
			if _, err := in.Write(b[:n]); err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
		if c.name != "addresses" { // They are made at the end of the header, the others count while they come.
			if held := o.Held(); held < c.least || held > c.most {
				t.Errorf("%s: %d octets are counted", c.name, held)
			}
		}
		if _, err := in.Finish(); err != nil {
			t.Fatal(err)
		}
		if held := o.Held(); held < c.least || held > c.most {
			t.Errorf("%s: %d octets are counted at the end", c.name, held)
		}
		in.Close()
		if held := budget.Stats().Held; held != 0 {
			t.Errorf("%s: %d octets are not given back", c.name, held)
		}
	}
}

// TestIncomingWithoutMemory: of a message whose header is small only a little is
// in memory, the rest in its file; one with a large header is refused.
func TestIncomingWithoutMemory(t *testing.T) {
	h := newHouse(t)
	account := h.account(1)
	budget := heap.NewBudget(16 << 10)
	full := ownerOf(budget)
	if err := full.Take(16 << 10); err != nil {
		t.Fatal(err)
	}
	o := ownerOf(budget)
	octets := []byte("Subject: x\r\n\r\n" + strings.Repeat("text\r\n", 9000))
	in := h.NewIncoming()
	defer in.Close()
	in.CountFor(&o.Share)
	if _, err := in.Write(octets); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{{Account: account, Role: mail.RoleInbox, Received: h.now()}}}); err != nil {
		t.Fatal(err)
	}
	if o.Held() != 0 || full.yielded {
		t.Errorf("%d octets were taken; another was pushed out: %v", o.Held(), full.yielded)
	}
	c, err := in.Content()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size())); err != nil || !bytes.Equal(got, octets) {
		t.Errorf("%d octets came back, %v", len(got), err)
	}
	large := h.NewIncoming()
	defer large.Close()
	large.CountFor(&full.Share) // Who holds most gives way.
	for err == nil && large.Size() < 1<<20 {
		_, err = large.Write([]byte("X-Filler: " + strings.Repeat("x", 60) + "\r\n"))
	}
	if mail.KindOf(err) != mail.Unavailable || large.Size() > 16<<10 {
		t.Errorf("after %d octets of a header: %v", large.Size(), err)
	}
}
