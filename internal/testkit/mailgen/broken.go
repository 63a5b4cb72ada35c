package mailgen

import (
	"fmt"
	"strings"
)

func (g *Generator) eightBitHeader() Message {
	c := charsets[g.rand.IntN(len(charsets))]
	h := g.header(string(c.encode(c.phrase)), "X-Raw: "+string(charsets[8].encode("Grüße"))+"\n")
	return Message{Octets: []byte(h + "\n" + g.text(3)), Structure: "text/plain"}
}

func (g *Generator) longLines() Message {
	h := g.header("one line", "MIME-Version: 1.0\nContent-Type: text/html\n")
	return Message{Octets: []byte(h + "\n<p>" + strings.Repeat("0123456789", 1000+g.rand.IntN(4000)) + "</p>\n"), Structure: "text/html"}
}

func (g *Generator) longHeader() Message {
	h := g.header("long header", "X-Spam-Report: "+strings.Repeat("x", 3000)+"\nX-Folded:"+strings.Repeat("\n folded line of a long field", 300)+"\n")
	return Message{Octets: []byte(h + "\n" + g.text(3)), Structure: "text/plain"}
}

// unclosed is a multipart without its last boundary, as cut-off mail is.
func (g *Generator) unclosed() Message {
	h := g.header("cut off", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=cut\n")
	return Message{Octets: []byte(h + "\n--cut\nContent-Type: text/plain\n\n" + g.text(3) + "--cut\nContent-Type: image/gif\nContent-Transfer-Encoding: base64\n\nR0lGODlhAQAB")}
}

func (g *Generator) wrongBoundary() Message {
	h := g.header("wrong boundary", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=right\n")
	return Message{Octets: []byte(h + "\n--wrong\nContent-Type: text/plain\n\n" + g.text(3) + "--wrong--\n")}
}

func (g *Generator) noBoundary() Message {
	h := g.header("no boundary", "MIME-Version: 1.0\nContent-Type: multipart/alternative\n")
	return Message{Octets: []byte(h + "\n--x\n\n" + g.text(3) + "--x--\n")}
}

func (g *Generator) brokenCharset() Message {
	names := [...]string{"x-unknown", "utf-8", "us-ascii", "", "iso-2022-jp", "=?utf-8?q?charset?="}
	h := g.header("charset lies", fmt.Sprintf("MIME-Version: 1.0\nContent-Type: text/plain; charset=%q\nContent-Transfer-Encoding: 8bit\n", names[g.rand.IntN(len(names))]))
	return Message{Octets: []byte(h + "\n\xff\xfe\x80 \x1b$B half a character \xe3\x81\n")}
}

func (g *Generator) brokenBase64() Message {
	h := g.header("base64 lies", "MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n")
	return Message{Octets: []byte(h + "\naGVsbG8=\n!!! not base64 !!!\nd29ybGQ\n-- \nlist footer\n")}
}

func (g *Generator) brokenType() Message {
	types := [...]string{"text", "text/", "/plain", "; charset=x", "text/plain charset=utf-8", `text/plain; name="unclosed`, "text/plain; a=b; a=c; =d; e", "TEXT/PLAIN;;;charset=US-ASCII;", "multipart/mixed; boundary=\"\"", "text/plain\x00"}
	h := g.header("type", "MIME-Version: 1.0\nContent-Type: "+strings.ReplaceAll(types[g.rand.IntN(len(types))], "\x00", "")+"\nContent-Transfer-Encoding: 9bit;x=y\nContent-Disposition: ; filename=\n")
	return Message{Octets: []byte(h + "\n" + g.text(2))}
}

func (g *Generator) brokenAddresses() Message {
	lists := [...]string{"undisclosed-recipients:;", "a@b@c.example, <>, ,", `"unclosed <x@y.example>`, "(((nested) comment) x@y.example", "Group: a@b.example, Other: c@d.example;;",
		"<@route,@other:x@y.example>", "plain words only", "=?utf-8?q?a=40b?= <x@y.example> trailing", "a@b.example; c@d.example", "\xe9t\xe9@example.fr"}
	b := "From: " + lists[g.rand.IntN(len(lists))] + "\nTo: " + lists[g.rand.IntN(len(lists))] + "\nCc:" + strings.Repeat(" ,", 50) + "\nDate: Tuesday, the first\nMessage-ID: no brackets\nIn-Reply-To: Your message of Monday\n"
	return Message{Octets: []byte(b + "Subject: addresses\n\n" + g.text(2)), Structure: "text/plain"}
}

func (g *Generator) brokenWords() Message {
	subjects := [...]string{"=?utf-8?B?44GC44G=?=", "=?utf-8?B?4?= =?utf-8?B?4GC?=", "=?x?y?z?=", "=?utf-8?q?no end", "=?iso-2022-jp?B?GyRC?= =?iso-2022-jp?B?JCIbKEI=?=", "=?utf-8*en?Q?lang=20tag?=", "=?utf-8?Q?spaces in it?=", "=?UTF-8?Q?=?="}
	h := g.header(subjects[g.rand.IntN(len(subjects))], "")
	return Message{Octets: []byte(h + "\n" + g.text(2)), Structure: "text/plain"}
}

func (g *Generator) duplicateFields() Message {
	h := g.header("first", "Subject: second\nFrom: other@example.org\nMessage-ID: <dup@example.org>\nContent-Type: text/plain\nContent-Type: text/html\n : no name\nBad Field Name: x\n")
	return Message{Octets: []byte(h + "\n" + g.text(2))}
}
