package milter

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"yubin/internal/mail"
)

func TestCommands(t *testing.T) {
	client := func(s string) Address { return AddressOf(netip.MustParseAddrPort(s)) }
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"options": {AppendOptions(nil, Options{6, 0x1ff, 0x1fffff}), "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"},
		"connect": {AppendConnect(nil, "mx.test", client("192.0.2.1:25")), "\x00\x00\x00\x16Cmx.test\x004\x00\x19192.0.2.1\x00"},
		"mapped":  {AppendConnect(nil, "", client("[::ffff:192.0.2.1]:25")), "\x00\x00\x00\x0fC\x004\x00\x19192.0.2.1\x00"},
		"IPv6":    {AppendConnect(nil, "h", client("[2001:db8::1]:1024")), "\x00\x00\x00\x12Ch\x006\x04\x002001:db8::1\x00"},
		"unknown": {AppendConnect(nil, "h", Address{}), "\x00\x00\x00\x04Ch\x00U"},
		"macros":  {AppendMacros(nil, Mail, "i", "q1", "{auth_type}", "PLAIN"), "\x00\x00\x00\x19DMi\x00q1\x00{auth_type}\x00PLAIN\x00"},
		"mail":    {AppendStrings(nil, Mail, "<a@b.test>", "SIZE=9"), "\x00\x00\x00\x13M<a@b.test>\x00SIZE=9\x00"},
		"NUL":     {AppendStrings(nil, Helo, "a\x00b"), "\x00\x00\x00\x04Hab\x00"},
		"data":    {AppendStrings(nil, Data), "\x00\x00\x00\x01T"},
		"body":    {AppendBody([]byte("x"), []byte("y\x00")), "x\x00\x00\x00\x03By\x00"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: %q", name, c.got)
		}
	}
	if got := AppendStrings(nil, Helo, strings.Repeat("x", MaxText+9)); len(got) != MaxText+6 {
		t.Errorf("a long string makes %d octets", len(got))
	}
}

func TestReplies(t *testing.T) {
	for packet, want := range map[string]Reply{
		"c":      {Kind: Continue},
		"a":      {Kind: Accept},
		"p":      {Kind: Progress},
		"sextra": {Kind: Skip},
		"O\x00\x00\x00\x06\x00\x00\x00\x01\x00\x10\x00\x00\x00\x00\x00\x00i\x00": {Kind: Optioned, Options: Options{6, AddHeaders, HeaderLeadSpace}},
		"y550 5.7.1 no spam, 100%% sure\x00":                                     {Kind: ReplyCode, Code: 550, Enhanced: mail.Enhanced{Class: 5, Subject: 7, Detail: 1}, Text: "no spam, 100% sure"},
		"y451-4.7.1 later\r\n451 4.7.1 please\x00":                               {Kind: ReplyCode, Code: 451, Enhanced: mail.Enhanced{Class: 4, Subject: 7, Detail: 1}, Text: "later please"},
		"y550 4.7.1 odd\x00":                                                     {Kind: ReplyCode, Code: 550, Text: "odd"},
		"y554\x00":                                                               {Kind: ReplyCode, Code: 554},
		"y554 \x1bé\x00":                                                         {Kind: ReplyCode, Code: 554, Text: "??"},
		"+<a@b>\x00":                                                             {Kind: AddRcpt, Value: "<a@b>"},
		"2<a@b>\x00NOTIFY=NEVER\x00":                                             {Kind: AddRcptWith, Value: "<a@b>", Params: "NOTIFY=NEVER"},
		"-<a@b>\x00":                                                             {Kind: DelRcpt, Value: "<a@b>"},
		"e<>\x00":                                                                {Kind: NewFrom, Value: "<>"},
		"bxyz":                                                                   {Kind: NewBody, Body: []byte("xyz")},
		"hX-A\x00 b\n c\x00":                                                     {Kind: AddHeader, Name: "X-A", Value: " b\n c"},
		"i\x00\x00\x00\x01X\x00y\x00":                                            {Kind: InsHeader, Index: 1, Name: "X", Value: "y"},
		"m\x00\x00\x00\x02X\x00\x00":                                             {Kind: ChgHeader, Index: 2, Name: "X"},
		"qbecause\x00":                                                           {Kind: Quarantined, Text: "because"},
	} {
		got, err := ParseReply([]byte(packet))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", packet, got, err)
		}
	}
	for _, bad := range []string{"", "z", "O\x00", "y", "y550", "y250 fine\x00", "y55\x00", "yabc x\x00", "y550_x\x00", "hX\x00", "i\x00\x00\x00", "q", "+a@b", "y550 a\nb\x00"} {
		if got, err := ParseReply([]byte(bad)); err == nil || mail.KindOf(err) != mail.Invalid {
			t.Errorf("%q is %+v, %v", bad, got, err)
		}
	}
}

// FuzzReply: no packet brings the reader down, and what is said to people is one line.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"c", "y550-5.7.1 x\r\n550 y\x00", "O\x00\x00\x00\x06\x00\x00\x00\x01\x00\x10\x00\x00", "m\x00\x00\x00\x02X\x00\x00", "e<>\x00x\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		r, err := ParseReply(packet)
		if err != nil {
			return
		}
		if len(r.Text) > maxWords || strings.ContainsAny(r.Text, "\r\n\x00") {
			t.Fatalf("%q: %q", packet, r.Text)
		}
		if r.Kind == ReplyCode && (r.Code < 400 || r.Code > 599) {
			t.Fatal(fmt.Sprint(r.Code))
		}
	})
}
