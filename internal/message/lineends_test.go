package message

import (
	"strings"
	"testing"
)

func TestLineEnds(t *testing.T) {
	for in, want := range map[string]int64{
		"": 0, "a\r\n": 0, "a": 2, "a\r": 1, "a\n": 1, "\n": 1, "\r\n": 0, "\n\r\n\n": 2, "a\r\r\nb\rc\r\n": 0, "\r": 1, "a\nb\nc": 4, "a\r\nb": 2, "\x00": 2,
	} {
		var whole, pieces LineEnds
		whole.Count([]byte(in))
		for _, c := range strings.Split(in, "") {
			pieces.Count([]byte(c))
		}
		if whole.Lacking() != want || pieces.Lacking() != want {
			t.Errorf("%q lacks %d, octet by octet %d, want %d", in, whole.Lacking(), pieces.Lacking(), want)
		}
	}
}
