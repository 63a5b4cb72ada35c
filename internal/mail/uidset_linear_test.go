package mail_test

import (
	"testing"

	"yubin/internal/mail"
	"yubin/internal/testkit/linear"
)

func TestUIDsInAnyOrder(t *testing.T) {
	for _, c := range []struct {
		ranges []mail.UIDRange
		want   string
	}{
		{nil, ""},
		{[]mail.UIDRange{{First: 5, Last: 9}, {First: 1, Last: 2}, {First: 3, Last: 3}, {First: 8, Last: 20}, {First: 10, Last: 11}}, "1:3,5:20"},
		{[]mail.UIDRange{{First: 1, Last: ^mail.UID(0)}, {First: ^mail.UID(0), Last: ^mail.UID(0)}, {First: 7, Last: 8}}, "1:4294967295"},
		{[]mail.UIDRange{{First: 4, Last: 4}, {First: 1, Last: 1}}, "1,4"},
	} {
		if got := mail.UIDRanges(c.ranges).String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	linear.Check(t, 30000, func(size int) func() {
		list := make([]mail.UID, size)
		for i := range list {
			list[i] = mail.UID(2 * (size - i))
		}
		return func() {
			if got := mail.UIDs(list...).Len(); got != size {
				t.Fatalf("%d of %d UIDs", got, size)
			}
		}
	})
}
