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

// strays are lines that are no fields.
var strays = [...]string{"X-\xc3\xa9: 1", ": x", " folded", "From x@y Mon Jan  1 10:00:00 2024", ">From x@y Mon Jan  1 10:00:00 2024",
	"a long line that a program broke", "--b", "two\nof them", "two words: x"}

// strayLine has a line among its fields, or before them, that is none.
func (g *Generator) strayLine() Message {
	line, h := strays[g.rand.IntN(len(strays))], g.header("stray line", "")
	switch g.rand.IntN(3) {
	case 0:
		h = line + "\n" + h
	case 1:
		at := strings.IndexByte(h, '\n') + 1
		h = h[:at] + line + "\n" + h[at:]
	default:
		h += line + "\nBcc: hidden@example.org\n"
	}
	return Message{Octets: []byte(h + "\n" + g.text(2))}
}

// noEmptyLine has its text right behind its fields.
func (g *Generator) noEmptyLine() Message {
	h := g.header("no empty line", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n")
	bodies := [...]string{"text right away\nand more\n", "--b\n\ntext\n--b--\n", "Disk: full\nplease look\n\nbye\n"}
	return Message{Octets: []byte(h + bodies[g.rand.IntN(len(bodies))])}
}

// mboxLine has an attached message that was cut out of an mbox file.
func (g *Generator) mboxLine() Message {
	h := g.header("attached", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n")
	quote := [...]string{"", ">"}[g.rand.IntN(2)]
	return Message{Octets: []byte(h + "\n--b\nContent-Type: message/rfc822\n\n" + quote + "From x@y Mon Jan  1 10:00:00 2024\n" +
		g.header("within", "") + "\n" + g.text(2) + "--b--\n")}
}

func (g *Generator) twoEncodings() Message {
	h := g.header("two encodings", "Return-Path: <other@example.org>\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n")
	return Message{Octets: []byte(h + "\naGVsbG8=\n")}
}

// parameters has parameters in all forms of RFC 2231, and in some of nobody's.
func (g *Generator) parameters() Message {
	forms := [...]string{"name*=iso-2022-jp'ja'a%8ab", "title*=us-ascii'en-us'This%20is", "name*0=\"a b\"; name*1=c", "name*0*=utf-8''%e2%82; name*1*=%ac; name*2=\"it's\"",
		"name=plain; name*=utf-8''%e2%82%ac", "name=\"=?utf-8?B?4oKs?=\"", "name=\"\xe2\x82\xac\"", "name*1=b; name*3=d"}
	h := g.header("parameters", "MIME-Version: 1.0\nContent-Type: text/plain; "+forms[g.rand.IntN(len(forms))]+"\n")
	return Message{Octets: []byte(h + "\n" + g.text(2)), Structure: "text/plain"}
}
