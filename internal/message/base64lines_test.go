package message

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// TestBase64Lines: lines of 76 octets, the last one ended, however it is written.
func TestBase64Lines(t *testing.T) {
	for _, size := range []int{0, 1, 56, 57, 58, 114, 1000} {
		octets := bytes.Repeat([]byte("yubin"), 200)[:size]
		var whole, pieces strings.Builder
		w := NewBase64Lines(&whole)
		_, err := w.Write(octets)
		if err == nil {
			err = w.Close()
		}
		p := NewBase64Lines(&pieces)
		for i := range octets {
			_, _ = p.Write(octets[i : i+1])
		}
		_ = p.Close()
		if err != nil || whole.String() != pieces.String() {
			t.Errorf("%d: %v, %q, %q", size, err, whole.String(), pieces.String())
		}
		back, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(whole.String(), "\r\n", ""))
		if err != nil || !bytes.Equal(back, octets) {
			t.Errorf("%d: %q, %v", size, back, err)
		}
		lines := strings.SplitAfter(whole.String(), "\r\n")
		for i, line := range lines {
			if last := i >= len(lines)-2; len(line) > 78 || !last && len(line) != 78 || line != "" && !strings.HasSuffix(line, "\r\n") {
				t.Errorf("%d: line %d is %q", size, i, line)
			}
		}
	}
}
