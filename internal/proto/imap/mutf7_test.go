package imap

import "testing"

// TestUTF7 has the examples of RFC 3501 §5.1.3 and the edges around them.
func TestUTF7(t *testing.T) {
	for utf7, utf8 := range map[string]string{
		"":                                "",
		"INBOX":                           "INBOX",
		"~peter/mail/&U,BTFw-/&ZeVnLIqe-": "~peter/mail/台北/日本語",
		"&U,BTF2XlZyyKng-":                "台北日本語",
		"R&-D":                            "R&D",
		"&-&-":                            "&&",
		"&-&AOk-&-":                       "&é&",
		"Entw&APw-rfe":                    "Entwürfe",
		"&2D3eAA-":                        "😀",
		"&AAAACQ-":                        "\x00\t",
		"&AH8-":                           "\x7f",
	} {
		got, ok := ParseMailbox([]byte(utf7), false)
		if !ok || got != utf8 {
			t.Errorf("decode %q: %q, %v", utf7, got, ok)
		}
		if back := AppendMailbox(nil, utf8, false); string(back) != utf7 {
			t.Errorf("encode %q: %q", utf8, back)
		}
	}
}

func TestUTF7Refused(t *testing.T) {
	for name, utf7 := range map[string]string{
		"no shift back":         "&Jjo",
		"shift back missing":    "&Jjo!",
		"superfluous shift":     "&U,BTFw-&ZeVnLIqe-",
		"lone ampersand":        "R&D",
		"printable in base64":   "&AEE-",
		"ampersand in base64":   "&ACY-",
		"half a unit":           "&AA-",
		"stray bits":            "&AOl-",
		"padding":               "&AOk=-",
		"slash":                 "&U/BTFw-",
		"high surrogate alone":  "&2D0-",
		"low surrogate alone":   "&3gA-",
		"surrogates turned":     "&3gDYPQ-",
		"high surrogate, other": "&2D0A6Q-",
		"control":               "a\tb",
		"newline in base64":     "&AO\nk-",
	} {
		if got, ok := ParseMailbox([]byte(utf7), false); ok {
			t.Errorf("%s: %q is %q", name, utf7, got)
		}
	}
}

func TestMailboxInUTF8Mode(t *testing.T) {
	if got, ok := ParseMailbox([]byte("R&D/é"), true); !ok || got != "R&D/é" {
		t.Errorf("got %q, %v", got, ok)
	}
	if got := AppendMailbox(nil, "R&D/é", true); string(got) != "R&D/é" {
		t.Errorf("got %q", got)
	}
	if got := AppendMailbox(nil, "a\xffb", false); string(got) != "a&,,0-b" {
		t.Errorf("octets that are no UTF-8 give %q", got)
	}
}
