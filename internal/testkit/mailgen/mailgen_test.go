package mailgen

import (
	"bytes"
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"testing"
)

var bareEnd = regexp.MustCompile(`[^\r]\n|\r[^\n]`)

func TestSameSeedSameMail(t *testing.T) {
	a, b, other := New(7, true), New(7, true), New(8, true)
	differ := false
	for range 300 {
		m, n := a.Next(), b.Next()
		if !bytes.Equal(m.Octets, n.Octets) {
			t.Fatalf("%s differs under the same seed", m.Kind)
		}
		differ = differ || !bytes.Equal(m.Octets, other.Next().Octets)
	}
	if !differ {
		t.Error("another seed gives the same mail")
	}
}

func TestEveryMessageCanTravelBySMTP(t *testing.T) {
	g := New(1, false)
	kinds := map[string]bool{}
	for range 10 * Kinds() {
		m := g.Next()
		kinds[m.Kind] = true
		if !bytes.HasSuffix(m.Octets, []byte("\r\n")) || bareEnd.Match(m.Octets) || bytes.IndexByte(m.Octets, 0) >= 0 {
			t.Errorf("%s has line ends or octets that SMTP refuses", m.Kind)
		}
	}
	if len(kinds) != Kinds() {
		t.Errorf("%d kinds of %d were made", len(kinds), Kinds())
	}
}

func TestExactMessagesCannotTravelByDATA(t *testing.T) {
	g := New(1, false)
	kinds := map[string]bool{}
	for range ExactKinds() {
		m := g.NextExact()
		kinds[m.Kind] = true
		if bytes.HasSuffix(m.Octets, []byte("\r\n")) && !bareEnd.Match(m.Octets) && bytes.IndexByte(m.Octets, 0) < 0 {
			t.Errorf("%s could travel with DATA", m.Kind)
		}
	}
	if len(kinds) != ExactKinds() {
		t.Errorf("%d kinds of %d were made", len(kinds), ExactKinds())
	}
}

func TestSoundMessagesAreSound(t *testing.T) {
	g := New(2, false)
	for range 10 * Kinds() {
		m := g.Next()
		if m.Structure == "" || strings.HasPrefix(m.Kind, "broken") {
			continue
		}
		msg, err := mail.ReadMessage(bytes.NewReader(m.Octets))
		if err != nil {
			t.Errorf("%s: %v", m.Kind, err)
			continue
		}
		want, _, _ := strings.Cut(m.Structure, "(")
		got, _, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
		if msg.Header.Get("Content-Type") != "" && (err != nil || got != want) {
			t.Errorf("%s: type %q, %v; want %q", m.Kind, got, err, want)
		}
	}
}
