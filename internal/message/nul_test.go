package message

import (
	"strings"
	"testing"
)

func TestWithoutNUL(t *testing.T) {
	var b strings.Builder
	w := WithoutNUL(&b)
	in := []string{"a\x00", "", "\x00\x00b", "plain"}
	for _, s := range in {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
	if got, want := b.String(), "a\x80\x80\x80bplain"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if in[0] != "a\x00" {
		t.Error("what was given was changed")
	}
}

func TestHasASCIILines(t *testing.T) {
	for name, want := range map[string]bool{
		"us-ascii": true, "": false, "UTF-8": true, "iso-8859-1": true, "iso-2022-jp": true, "Shift_JIS": true, "euc-kr": true, "gb18030": true,
		"big5": true, "utf-7": true, "utf-16": false, "UTF-16LE": false, "utf-16be": false, "utf-32": false, "utf-32le": false,
		"ibm037": false, "x-no-such-charset": false,
	} {
		if got := HasASCIILines(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
