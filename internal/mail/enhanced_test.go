package mail

import "testing"

func TestParseEnhanced(t *testing.T) {
	for text, want := range map[string]Enhanced{"5.1.1": {5, 1, 1}, "2.0.0": {2, 0, 0}, "4.999.10": {4, 999, 10}} {
		got, ok := ParseEnhanced(text)
		if !ok || got != want || got.String() != text {
			t.Errorf("%q is %v, %v", text, got, ok)
		}
	}
	for _, bad := range []string{"", "5", "5.1", "5.1.", "5.1.1 ", "5.01.1", "5.1.1000", "3.1.1", "6.0.0", "5.1.1.1", "x", "5.+1.1", "50.1.1"} {
		if got, ok := ParseEnhanced(bad); ok {
			t.Errorf("%q is %v", bad, got)
		}
	}
	if (Enhanced{}).String() != "" {
		t.Error("no status has no text")
	}
}
