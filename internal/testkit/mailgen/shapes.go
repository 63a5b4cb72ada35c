package mailgen

import (
	"fmt"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// Shapes that programs read differently: what stands where a header should be,
// lines in a header that are no fields, fields that stand twice, and parameters.

// pick returns one of list.
func pick[T any](g *Generator, list ...T) T { return list[g.rand.IntN(len(list))] }

// headerless is text that somebody sent without a header.
func (g *Generator) headerless() Message {
	return Message{Octets: []byte(pick(g, "Disk is full\nplease look\n\nbye\n", "Disk is full\nHost: web1\nhttp://web1/\n\nbye\n", " folded\n\nbye\n",
		"From the desk of Bob\n\nhello\n", "--b\nhello\n\n--b--\n", ": x\n\ntext\n", "Subject without a colon\n"+g.text(3)+"\n"+g.text(2)))}
}

// strays are lines that are no fields.
var strays = [...]string{"X-\xc3\xa9: 1", ": x", "From x@y Mon Jan  1 10:00:00 2024", ">From x@y Mon Jan  1 10:00:00 2024", "a long line that a program broke",
	"--b", "two\nof them", "two words: x"}

// strayFirst has a line before its header that is no field.
func (g *Generator) strayFirst() Message {
	first := pick(g, append(strays[:], " folded", "\tfolded\n twice")...)
	return Message{Octets: []byte(first + "\n" + g.header("behind a stray line", "MIME-Version: 1.0\nContent-Type: text/html\n") + "\n<p>text</p>\n")}
}

// strayWithin has a line among its fields that is none.
func (g *Generator) strayWithin() Message {
	h := g.header("before a stray line", pick(g, strays[:]...)+"\nBcc: hidden@example.org\n")
	return Message{Octets: []byte(h + "MIME-Version: 1.0\nContent-Type: text/html\n\n<p>text</p>\n")}
}

// noEmptyLine has its text right behind its fields.
func (g *Generator) noEmptyLine() Message {
	h := g.header("no empty line", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n")
	return Message{Octets: []byte(h + pick(g, "text right away\nand more\n", "--b\n\ntext\n--b--\n", "Disk: full\nplease look\n\nbye\n"))}
}

// attachedMbox has a message attached as a program cut it out of an mbox file.
func (g *Generator) attachedMbox() Message {
	h := g.header("Fwd: from a file", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=mbox\n")
	first := pick(g, "From x@y Mon Jan  1 10:00:00 2024\n", ">From x@y Mon Jan  1 10:00:00 2024\n")
	inner := g.header("in the file", "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n")
	return Message{Octets: []byte(h + "\n--mbox\n\nsee below\n--mbox\nContent-Type: message/rfc822\n\n" + first + inner + "\n<p>text</p>\n--mbox--\n")}
}

// twoEncodings is encoded as the first of its Content-Transfer-Encodings says.
func (g *Generator) twoEncodings() Message {
	how := pick(g, "base64", "quoted-printable", "8bit")
	h := g.header("two encodings", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "+how+
		"\nContent-Transfer-Encoding: "+pick(g, "7bit", "base64", "8bit")+"\n")
	return Message{Octets: []byte(h + "\n" + transfer([]byte("Grüße = greetings\n"), how)), Structure: "text/plain"}
}

// returned has the trace fields of another server, and two Subjects.
func (g *Generator) returned() Message {
	h := "Return-Path: <earlier@example.org>\nDelivered-To: elsewhere@example.org\n" + g.header("first", "Subject: second\nReturn-Path: <earlier still@example.org>\n")
	return Message{Octets: []byte(h + "\n" + g.text(3)), Structure: "text/plain"}
}

// parameters has files whose names are written in all the ways there are.
func (g *Generator) parameters() Message {
	names := [...]string{"name*=iso-2022-jp'ja'a%8ab", "title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "name*0*=utf-8''a%20;\n name*1=\"b c\";\n name*2*=%E2%82%AC",
		"name*0=\"part one\";\n name*1=\" part two.txt\"", "name*1=second; name*0=first", "name*0*=utf-8''%e2%82; name*1*=%ac; name*2=\"it's\"", "name*1=b; name*3=d", "name*1=alone", "name*0*=us-ascii'en'%E4; name=plain; name*=utf-8''%C3%A4",
		"name==?utf-8?B?5YaZ55yfLmpwZw==?=", "name=\"=?utf-8?Q?Gr=C3=BC=C3=9Fe.txt?=\"", "name=\"Gr\xc3\xbc\xc3\x9fe.txt\"", "name=\"Gr\xfc\xdfe.txt\"", "name=Gr\xfc\xdfe.txt",
		"name=two words.txt", "name=\"a \\\"quoted\\\" name\"", "name=(a comment) x.txt (another)", "Name=Upper.TXT; CHARSET=US-ASCII", "name=\"\"", "name*=utf-8'de'", "name*=no quotes"}
	h := g.header("parameters", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"par am\"\n")
	var body strings.Builder
	for i, name := range names {
		disposition := [...]string{"attachment; file" + name, "inline;\n\tfile" + name, "attachment"}[i%3]
		fmt.Fprintf(&body, "--par am\nContent-Type: text/plain; %s\nContent-Disposition: %s\n\ntext\n", name, disposition)
	}
	body.WriteString("--par am\nContent-Type: text/plain\nContent-Disposition: =?utf-8?q?attachment?=; filename=x\n\ntext\n")
	return Message{Octets: []byte(h + "\n" + body.String() + "--par am--\n"),
		Structure: "multipart/mixed(" + strings.Repeat("text/plain,", len(names)) + "text/plain)"}
}

// utf8Header is as RFC 6532 has it.
func (g *Generator) utf8Header() Message {
	h := "From: 郵便局 <郵便@example.jp>\nTo: \"Jörg Müller\" <jörg@example.de>, 名前 <a@例え.テスト>\nSubject: 郵便局からのお知らせ\nDate: Mon, 1 Jan 2024 10:00:00 +0900\n" +
		fmt.Sprintf("Message-ID: <%d.ü@example.org>\n", g.n) + "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8; name=\"写真.txt\"\nContent-Description: 写真\nContent-Transfer-Encoding: 8bit\n"
	return Message{Octets: []byte(h + "\n郵便局からのお知らせ\n"), Structure: "text/plain", Phrase: "郵便局からのお知らせ", Charset: "UTF-8"}
}

// longAddresses has local parts that programs make of addresses and numbers.
func (g *Generator) longAddresses() Message {
	h := g.header("long local parts", "Reply-To: bounces+"+strings.Repeat("0123456789", 7)+"=user.example@lists.example.org\n"+
		"Bcc: SRS1=HHHH=example.net==SRS0=GGGG=TT=example.org="+strings.Repeat("user", 12)+"@forward.example.com, user..name@docomo.example, name.@example.jp, \"a b\\\"@c\"@example.org\n")
	return Message{Octets: []byte(h + "\n" + g.text(2)), Structure: "text/plain"}
}

// longText has lines of the length that RFC 5322 §2.1.1 allows, and beyond.
func (g *Generator) longText() Message {
	h := g.header("long lines", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n")
	return Message{Octets: []byte(h + "\n" + strings.Repeat("x", 998) + "\n" + strings.Repeat("y", 999) + "\n" + strings.Repeat("郵", 700) + "\n.\n" + strings.Repeat(".", 2000) + "\n"), Structure: "text/plain"}
}

// signedEightBit has octets beyond ASCII that others signed: nobody may convert
// them on the way.
func (g *Generator) signedEightBit() Message {
	h := g.header("signed as it is", "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=k; h=from:subject; bh=MTIz; b=YWJj\nMIME-Version: 1.0\nContent-Type: multipart/signed; micalg=pgp-sha512;\n\tprotocol=\"application/pgp-signature\"; boundary=s8\n")
	body := "--s8\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße  \nFrom here to there\n\n--s8\nContent-Type: application/pgp-signature; name=signature.asc\n\n-----BEGIN PGP SIGNATURE-----\n\niQIzBAABCgAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n\n--s8--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/signed(text/plain,application/pgp-signature)"}
}

// encryptedEightBit has octets beyond ASCII in what is encrypted: nobody may convert
// them on the way.
func (g *Generator) encryptedEightBit() Message {
	h := g.header("encrypted as it is", "MIME-Version: 1.0\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\n\tboundary=e8\n")
	body := "--e8\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n--e8\nContent-Type: application/octet-stream; name=encrypted.asc\nContent-Transfer-Encoding: 8bit\n\n" +
		"-----BEGIN PGP MESSAGE-----\nComment: Grüße\n\nhQEMA5sdrUNP\n=abcd\n-----END PGP MESSAGE-----\n\n--e8--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/encrypted(application/pgp-encrypted,application/octet-stream)"}
}

// exact is one row a kind of message that only BDAT, APPEND and files can carry.
var exact = [...]writer{
	{"nul", func(g *Generator) Message {
		h := g.header("NUL", "X-Nul: a\x00b\nMIME-Version: 1.0\nContent-Type: application/octet-stream; name=\"a\x00b\"\nContent-Transfer-Encoding: 8bit\n")
		return Message{Octets: append(crlf([]byte(h+"\nNUL: \x00\n")), "\x00"...), Structure: "application/octet-stream"}
	}},
	{"bare-lf", func(g *Generator) Message {
		return Message{Octets: []byte(g.header("LF", "MIME-Version: 1.0\n") + "\n" + g.text(5)), Structure: "text/plain"}
	}},
	{"mixed-ends", func(g *Generator) Message {
		h := g.header("LF and CRLF", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=ends\n")
		return Message{Octets: append(crlf([]byte(h)), "\n--ends\r\nContent-Type: text/html\n\r\n<p>\n--ends\n\r\ntext\r\r\n--ends--\n"...), Structure: "multipart/mixed(text/html,text/plain)"}
	}},
	{"no-last-line-end", func(g *Generator) Message {
		return Message{Octets: append(crlf([]byte(g.header("no last line end", "")+"\n"+g.text(3))), "the end"...), Structure: "text/plain"}
	}},
	{"utf-16-binary", func(g *Generator) Message { return g.wide("utf-16") }},
	{"utf-16le-binary", func(g *Generator) Message { return g.wide("utf-16le") }},
	{"utf-32-binary", func(g *Generator) Message { return g.wide("utf-32") }},
}

// wide is text whose lines do not end in the octets of ASCII.
func (g *Generator) wide(name string) Message {
	c := charset{name: name, phrase: "郵便局\nからの ഊ\r\nお知らせ", enc: unicode.UTF16(unicode.BigEndian, unicode.UseBOM)}
	switch name {
	case "utf-16le":
		c.enc = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "utf-32":
		c.enc = utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	}
	h := g.header("wide text", "MIME-Version: 1.0\nContent-Type: text/plain; charset="+name+"\nContent-Transfer-Encoding: binary\n")
	return Message{Octets: append(crlf([]byte(h+"\n")), c.encode(c.phrase)...), Structure: "text/plain", Charset: name}
}
