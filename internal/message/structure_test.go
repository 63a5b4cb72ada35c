package message

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sameStructure(t *testing.T, want, got *Part) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Part{}), cmpopts.IgnoreFields(Part{}, "Envelope"), cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("structure changed:\n%s", d)
	}
}

func TestStructureRoundTrip(t *testing.T) {
	for _, b := range seedMessages() {
		root := Parse(b).Root
		for range 2 {
			enc := AppendStructure([]byte("x"), root)
			got, err := DecodeStructure(enc[1:])
			if err != nil {
				t.Fatalf("%.60q: %v", b, err)
			}
			sameStructure(t, root, got)
			root.Shift(321) // and the same with a trace block before it
		}
	}
}

func TestStructureSize(t *testing.T) {
	if n := len(AppendStructure(nil, Parse(textMessage(4096)).Root)); n > 20 {
		t.Errorf("a text message takes %d octets", n)
	}
	if n := len(AppendStructure(nil, Parse(attachment(4096)).Root)); n > 60 {
		t.Errorf("a message with an attachment takes %d octets", n)
	}
}

func TestStructureRefused(t *testing.T) {
	good := AppendStructure(nil, Parse(seedMessages()[7]).Root)
	for i := range good {
		if _, err := DecodeStructure(good[:i]); !errors.Is(err, ErrStructure) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	deep := bytes.Repeat([]byte{0x80, 0x04, 7, 9, 0, 0, 100, 0, 1}, 3*MaxDepth) // hasChildren, multipart/mixed
	for name, b := range map[string][]byte{
		"empty": nil, "version": append([]byte{2}, good[1:]...), "more": append(bytes.Clone(good), 0), "deep": append([]byte{1}, deep...),
		"multipart without parts": {1, 0, 7, 9, 0, 0, 0, 0}, "leaf with a part": {1, 0x80, 4, 1, 3, 0, 0, 0, 0, 1, 0, 1, 3, 0, 0, 0, 0},
		"child outside": {1, 0x80, 4, 7, 9, 0, 0, 5, 0, 1, 0, 1, 3, 6, 0, 0, 0}, "unknown name": {1, 0, 0xff, 1, 3, 0, 0, 0, 0},
		"huge": {1, 0, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 9, 0, 0, 0},
	} {
		if p, err := DecodeStructure(b); !errors.Is(err, ErrStructure) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestNames(t *testing.T) {
	if len(nameIndex) != len(names) {
		t.Error("a word stands twice in names")
	}
	// Stored structures depend on these places for ever.
	for i, want := range map[int]string{0: "text", 3: "multipart", 28: "utf-8", 47: "base64", 79: "euc-kr"} {
		if names[i] != want {
			t.Errorf("names[%d] is %q, want %q", i, names[i], want)
		}
	}
}
