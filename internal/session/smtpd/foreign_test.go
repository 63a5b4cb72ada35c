package smtpd

import (
	"bytes"
	"strings"
	"testing"

	"yubin/internal/message"
)

// withoutReturnPaths is what is kept of a message that comes in pieces of size octets.
func withoutReturnPaths(msg string, size int) string { return withoutForeign(foreign{}, msg, size) }

// withoutForeign is the same with what r takes out.
func withoutForeign(r foreign, msg string, size int) string {
	var out bytes.Buffer
	head := message.NewParser()
	pass := func(p []byte) {
		out.Write(p)
		head.Write(p)
	}
	for rest := []byte(msg); len(rest) > 0; {
		n := min(len(rest), size)
		if _, ended := head.Header(); ended {
			pass(rest[:n])
		} else {
			r.cut(rest[:n], pass, head.BetweenFields)
		}
		rest = rest[n:]
	}
	r.end(pass)
	return out.String()
}

func TestReturnPathsGo(t *testing.T) {
	for msg, want := range map[string]string{
		"":                                    "",
		"Return-Path":                         "Return-Path",
		"Return-Path: <a@b>":                  "",
		"Return-Path: <a@b>\r\n\r\n":          "\r\n",
		"Return-Path: <a@b>\r\nA: b\r\n\r\nc": "A: b\r\n\r\nc",
		"A: b\r\nRETURN-path \t: <a\r\n @b>\r\n\t(c)\r\nReturn-path:\r\nC: d\r\n e\r\n\r\n":                             "A: b\r\nC: d\r\n e\r\n\r\n",
		"A: b\r\nReturn-Path: <a>\r\n\r\n folded\r\nReturn-Path: text\r\n":                                              "A: b\r\n\r\n folded\r\nReturn-Path: text\r\n",
		"Return-Paths: a\r\nReturn-Pat: b\r\nReturn-Path-X: c\r\nX-Return-Path: d\r\nReturn\r\n Return-Path: e\r\n\r\n": "Return-Paths: a\r\nReturn-Pat: b\r\nReturn-Path-X: c\r\nX-Return-Path: d\r\nReturn\r\n Return-Path: e\r\n\r\n",
		"Return-Path: <a@b>\nA: b\n\nReturn-Path: text\n":                                                               "A: b\n\nReturn-Path: text\n",
		"From x@y Mon\r\nReturn-Path: <a>\r\nA: b\r\n\r\n":                                                              "From x@y Mon\r\nA: b\r\n\r\n",
		// Text that has no header keeps all of it, and a part the header that it has.
		"Disk is full\r\nReturn-Path: <a>\r\n":                                         "Disk is full\r\nReturn-Path: <a>\r\n",
		"A: b\r\nDisk is full\r\nReturn-Path: <a>\r\n\r\n":                             "A: b\r\nDisk is full\r\nReturn-Path: <a>\r\n\r\n",
		"Return-Path: <a>\r\nDisk is full\r\n\r\nbye":                                  "Disk is full\r\n\r\nbye",
		"Content-Type: multipart/mixed; boundary=b\r\n--b\r\nReturn-Path: <a>\r\n\r\n": "Content-Type: multipart/mixed; boundary=b\r\n--b\r\nReturn-Path: <a>\r\n\r\n",
		"Content-Type: message/rfc822\r\n\r\nReturn-Path: <a>\r\nA: b\r\n\r\n":         "Content-Type: message/rfc822\r\n\r\nReturn-Path: <a>\r\nA: b\r\n\r\n",
	} {
		for size := 1; size <= len(msg)+1; size++ {
			if got := withoutReturnPaths(msg, size); got != want {
				t.Errorf("%q in pieces of %d became %q, want %q", msg, size, got, want)
			}
		}
	}
}

// A line that only begins like the field is not held back for long.
func TestReturnPathIsNotHeld(t *testing.T) {
	var r foreign
	for range 1000 {
		r.cut([]byte("Return-Path  "), func([]byte) {}, func() bool { return true })
		if len(r.start) > maxStart {
			t.Fatalf("%d octets are held", len(r.start))
		}
	}
}

// claims is true of a value that begins with our name.
func claims(value []byte) bool { return bytes.Contains(value, []byte("mx.here")) }

// TestClaimsGo: what is said in our name is taken out, whatever is folded how, and
// what others say stays.
func TestClaimsGo(t *testing.T) {
	for msg, want := range map[string]string{
		"Authentication-Results: mx.here; spf=pass\r\nA: b\r\n\r\n":                                                             "A: b\r\n\r\n",
		"A: b\r\nAUTHENTICATION-results :\r\n mx.here; spf=pass\r\n\tdkim=pass\r\nC: d\r\n\r\n":                                 "A: b\r\nC: d\r\n\r\n",
		"Authentication-Results: mx.there;\r\n spf=pass\r\nA: b\r\n\r\n":                                                        "Authentication-Results: mx.there;\r\n spf=pass\r\nA: b\r\n\r\n",
		"Authentication-Results: mx.there; none\r\nAuthentication-Results: mx.here; none\r\nAuthentication-Results: c\r\n\r\nx": "Authentication-Results: mx.there; none\r\nAuthentication-Results: c\r\n\r\nx",
		"X-Yubin-Verdict: deliver\r\n , fine\r\nReturn-Path: <a>\r\nX-Yubin-Verdicts: 1\r\n\r\n":                                "Return-Path: <a>\r\nX-Yubin-Verdicts: 1\r\n\r\n",
		"A: b\r\n\r\nAuthentication-Results: mx.here; none\r\n":                                                                 "A: b\r\n\r\nAuthentication-Results: mx.here; none\r\n",
		"Authentication-Results: mx.here":                                                                                       "",
		"Authentication-Results: there":                                                                                         "Authentication-Results: there",
	} {
		for size := 1; size <= len(msg)+1; size++ {
			if got := withoutForeign(foreign{keepPaths: true, claims: claims}, msg, size); got != want {
				t.Errorf("%q in pieces of %d became %q, want %q", msg, size, got, want)
			}
		}
	}
	long := "Authentication-Results: there;" + strings.Repeat("\r\n x", maxField) + "\r\nA: b\r\n\r\n"
	if got := withoutForeign(foreign{claims: claims}, long, 1000); got != "A: b\r\n\r\n" {
		t.Errorf("a field without an end left %d octets", len(got))
	}
}

func FuzzForeign(f *testing.F) {
	f.Add([]byte("Return-Path: <a>\r\n b\r\nA: b\r\nstray\r\nReturn-path : c\r\n\r\nReturn-Path: d"), 3)
	f.Add([]byte("From x\nReturn-Path:\r\n\r\r\n--b\r\nReturn-Path: a\r\n"), 1)
	f.Fuzz(func(t *testing.T, msg []byte, size int) {
		once := withoutForeign(foreign{claims: claims}, string(msg), len(msg)+1)
		if pieces := withoutForeign(foreign{claims: claims}, string(msg), 1+size&63); pieces != once {
			t.Fatalf("%q became %q, in pieces %q", msg, once, pieces)
		}
		before, after := message.Parse(msg), message.Parse([]byte(once))
		if b, a := before.Header, after.Header; b.Size > 0 && a.Size > 0 && b.Received != a.Received {
			t.Fatalf("%q became %q: %d hops, then %d", msg, once, b.Received, a.Received)
		}
	})
}
