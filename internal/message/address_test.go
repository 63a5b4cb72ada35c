package message

import (
	"fmt"
	"strings"
	"testing"
)

// show renders a list: name|route|mailbox|host, nil as NIL.
func show(list []MailAddress) string {
	var out []string
	for _, a := range list {
		f := func(b []byte) string {
			if b == nil {
				return "NIL"
			}
			return string(b)
		}
		s := strings.Join([]string{f(a.Name), f(a.Route), f(a.Mailbox), f(a.Host)}, "|")
		if a.Group != NoGroup {
			s = fmt.Sprintf("%d:%s", a.Group, s)
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestParseAddressList(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{" , ,", ""},
		// RFC 5322 appendix A.1
		{"John Doe <jdoe@machine.example>", "John Doe|NIL|jdoe|machine.example"},
		{`"Joe Q. Public" <john.q.public@example.com>`, "Joe Q. Public|NIL|john.q.public|example.com"},
		{"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>", "Mary Smith|NIL|mary|x.test; NIL|NIL|jdoe|example.org; Who?|NIL|one|y.test"},
		{`<boss@nil.test>, "Giant; \"Big\" Box" <sysservices@example.net>`, `NIL|NIL|boss|nil.test; Giant; "Big" Box|NIL|sysservices|example.net`},
		{"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
			"1:NIL|NIL|A Group|NIL; Ed Jones|NIL|c|a.test; NIL|NIL|joe|where.test; John|NIL|jdoe|one.test; 2:NIL|NIL|NIL|NIL"},
		{"Undisclosed recipients:;", "1:NIL|NIL|Undisclosed recipients|NIL; 2:NIL|NIL|NIL|NIL"},
		{`"Mary Smith: Personal Account" <smith@home.example>`, "Mary Smith: Personal Account|NIL|smith|home.example"},
		// A.5
		{`Pete(A nice \) chap) <pete(his account)@silly.test(his host)>`, "Pete|NIL|pete|silly.test"},
		{"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
			"1:NIL|NIL|A Group|NIL; Chris Jones|NIL|c|public.example; NIL|NIL|joe|example.org; John|NIL|jdoe|one.test; 2:NIL|NIL|NIL|NIL"},
		{"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "1:NIL|NIL|Hidden recipients|NIL; 2:NIL|NIL|NIL|NIL"},
		// A.6
		{"Joe Q. Public <john.q.public@example.com>", "Joe Q. Public|NIL|john.q.public|example.com"},
		{"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example", "Mary Smith|@node.test|mary|example.net; NIL|NIL|jdoe|test.example"},
		{"John Doe <jdoe@machine(comment).  example>", "John Doe|NIL|jdoe|machine.example"},
		{"Mary Smith\r\n  \r\n          <mary@example.net>", "Mary Smith|NIL|mary|example.net"},
		// RFC 7103 §7.1
		{"<@example.net:fran@example.com>", "NIL|@example.net|fran|example.com"},
		{"<<<user2@example.org>>>", "NIL|NIL|user2|example.org"},
		{"<another@example.net", "NIL|NIL|another|example.net"},
		{"second@example.org>", "NIL|NIL|second|example.org"},
		{"(Testing <fran@example.com>", "Testing|NIL|fran|example.com"},
		{"Testing) <sam@example.com>", "Testing)|NIL|sam|example.com"},
		{"<third@example.net, fourth@example.net>", "NIL|NIL|third|example.net; NIL|NIL|fourth|example.net"},
		{`"Joe <joe@example.com>`, "Joe|NIL|joe|example.com"},
		{"Joe", "NIL|NIL|Joe|"},
		// others
		{"John Smith", "John Smith|NIL||"},
		{"<>", "NIL|NIL||"},
		{"<joe>", "NIL|NIL|joe|"},
		{"joe@", "NIL|NIL|joe|"},
		{"@example.org", "NIL|NIL||example.org"},
		{"a@b (Al Pha)", "Al Pha|NIL|a|b"},
		{"<a@b> (Al Pha)", "Al Pha|NIL|a|b"},
		{"(Al Pha) <a@b>", "Al Pha|NIL|a|b"},
		{"a@b <a@b>", "a@b|NIL|a|b"},
		{"John Smith john@example.org", "John Smith|NIL|john|example.org"},
		{`"very unusual@x, y"@example.org`, "NIL|NIL|very unusual@x, y|example.org"},
		{`"a b".c@example.org`, "NIL|NIL|a b.c|example.org"},
		{"x . y @ example . org", "NIL|NIL|x.y|example.org"},
		{"a@[192.0.2.1], b@[IPv6:2001:db8::1]", "NIL|NIL|a|[192.0.2.1]; NIL|NIL|b|[IPv6:2001:db8::1]"},
		{"=?utf-8?Q?J=C3=B6rg?= <j@x>", "=?utf-8?Q?J=C3=B6rg?=|NIL|j|x"},
		{"=?utf-8?Q?Doe, John?= <j@x>, b@c", "=?utf-8?Q?Doe, John?=|NIL|j|x; NIL|NIL|b|c"},
		{"=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?= <a@b>", "=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=|NIL|a|b"},
		{"J\u00f6rg <j\u00f6rg@b\u00fccher.example>", "J\u00f6rg|NIL|j\u00f6rg|b\u00fccher.example"},
		{"list: a@b, c@d", "1:NIL|NIL|list|NIL; NIL|NIL|a|b; NIL|NIL|c|d; 2:NIL|NIL|NIL|NIL"},
		{"g: a@b; c@d", "1:NIL|NIL|g|NIL; NIL|NIL|a|b; 2:NIL|NIL|NIL|NIL; NIL|NIL|c|d"},
		{"a@b; c@d", "NIL|NIL|a|b; NIL|NIL|c|d"},
		{`"" <a@b>`, "NIL|NIL|a|b"},
		{`"Doe" John <a@b>`, "Doe John|NIL|a|b"},
		{"a@b@c", "NIL|NIL|a@b|c"},
	} {
		if got := show(ParseAddressList([]byte(c.in))); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

// TestNaughtyLists are lists on which a careless parser takes quadratic time.
func TestNaughtyLists(t *testing.T) {
	for _, s := range []string{"\"", "(", "((", "<", "\"\\", "[", "=?", "=?a?q?", "\\", "a:", "(<", "\"<", "\" ", "@", "<@", ". "} {
		list := ParseAddressList([]byte(strings.Repeat(s, MaxHeader/len(s))))
		if len(list) > MaxAddresses+1 {
			t.Errorf("%q repeated gives %d addresses", s, len(list))
		}
	}
}

func TestEnvelope(t *testing.T) {
	m := Parse([]byte(crlf(`From  : John Doe <jdoe@machine(comment).  example>
To    : Mary Smith
  
          <mary@example.net>
Subject     : Saying =?utf-8?q?H=C3=A9llo?=
	again
Date  : Fri, 21 Nov 1997 09(comment):   55  :  06 -0600
Message-ID  : <1234   @   local(blah)  .machine .example>
In-Reply-To: <3456@example.net>
References: <1@a> <"2"@b>
 <3456@example.net>
Cc: one@x
Cc: two@x
Subject: second

hi
`)))
	e := m.Envelope
	for _, c := range []struct{ what, got, want string }{
		{"from", show(e.From), "John Doe|NIL|jdoe|machine.example"},
		{"sender", show(e.Sender), ""},
		{"reply-to", show(e.ReplyTo), ""},
		{"to", show(e.To), "Mary Smith|NIL|mary|example.net"},
		{"cc", show(e.Cc), "NIL|NIL|one|x; NIL|NIL|two|x"},
		{"raw subject", string(e.Subject), "Saying =?utf-8?q?H=C3=A9llo?=\tagain"},
		{"subject", m.Subject, "Saying Héllo again"},
		{"message-id", m.MessageID, "1234@local.machine.example"},
		{"in-reply-to", string(e.InReplyTo), "<3456@example.net>"},
		{"refs", strings.Join(m.Refs, " "), "1234@local.machine.example 3456@example.net 1@a 2@b"},
		{"date", m.Date.String(), "1997-11-21 09:55:06 -0600 -0600"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
	if e.Bcc != nil || Parse(nil).Envelope.Date != nil {
		t.Error("a field that is not there is not nil")
	}
	if d := Parse([]byte("Date:\r\nSender:\r\nFrom: a@b\r\n\r\n")).Envelope; d.Date == nil || show(d.Sender) != "" {
		t.Errorf("empty fields: date %v, sender %s", d.Date, show(d.Sender))
	}
}

func TestRefs(t *testing.T) {
	var refs strings.Builder
	for i := range 100 {
		fmt.Fprintf(&refs, "\r\n <%d@x>", i)
	}
	m := Parse([]byte("Message-ID: bare@x\r\nIn-Reply-To: Your mail of <99@x> (Mon)\r\nReferences:" + refs.String() + "\r\n\r\n"))
	if len(m.Refs) != MaxRefs || m.Refs[0] != "bare@x" || m.Refs[1] != "99@x" || m.Refs[MaxRefs-1] != "98@x" || m.Refs[2] != "69@x" {
		t.Errorf("%d refs: %v", len(m.Refs), m.Refs)
	}
	if m := Parse([]byte("Message-ID: <" + strings.Repeat("x", MaxMessageID+1) + "@y>\r\n\r\n")); m.MessageID != "" || m.Refs != nil {
		t.Errorf("overlong id: %q %q", m.MessageID, m.Refs)
	}
}
