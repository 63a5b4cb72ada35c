package blob_test

import (
	"crypto/rand"
	"io"
	"os"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/blob"
)

// TestHold: a removal waits for the last hold.
func TestHold(t *testing.T) {
	d, err := blob.Open(t.TempDir(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	name, err := f.Keep()
	if err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		f, err := d.Open(name)
		if err == nil {
			_ = f.Close()
		}
		return err == nil
	}
	first, second := d.Hold(), d.Hold()
	if err := d.Remove(name); err != nil || !there() {
		t.Fatalf("removed although it is held: %v", err)
	}
	for range 2 { // The second time it does nothing.
		if err := first(); err != nil || !there() {
			t.Fatalf("removed although another holds it: %v", err)
		}
	}
	if err := second(); err != nil || there() {
		t.Errorf("it is still there: %v", err)
	}
	if err := d.Remove(name); err != nil {
		t.Errorf("without a hold: %v", err)
	}
}

// TestElsewhere: files come from where fetch has them, and leave nothing.
func TestElsewhere(t *testing.T) {
	scratch := t.TempDir()
	const name, other = "00112233445566778899aabbccddeeff", "ff112233445566778899aabbccddeeff"
	d := blob.Elsewhere(scratch, func(n string, to io.Writer) error {
		if n != name {
			return mail.Errorf(mail.NotFound, "no %s", n)
		}
		_, err := io.WriteString(to, "octets")
		return err
	})
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil || string(text) != "octets" {
		t.Errorf("got %q, %v", text, err)
	}
	_ = f.Close()
	if _, err := d.Open(other); mail.KindOf(err) != mail.NotFound {
		t.Errorf("got %v", err)
	}
	if _, err := d.Open("../x"); mail.KindOf(err) != mail.Invalid {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
