package mailgen

import (
	"fmt"
	"strings"
)

// writers is one row a kind of message.
var writers = [...]writer{
	{"mutt", (*Generator).mutt},
	{"charset-base64", func(g *Generator) Message { return g.inCharset("base64", 'B') }},
	{"charset-qp", func(g *Generator) Message { return g.inCharset("quoted-printable", 'Q') }},
	{"charset-8bit", func(g *Generator) Message { return g.inCharset("8bit", 'B') }},
	{"thunderbird", (*Generator).thunderbird},
	{"outlook", (*Generator).outlook},
	{"apple", (*Generator).apple},
	{"gmail", (*Generator).gmail},
	{"japanese-phone", (*Generator).japanesePhone},
	{"cron", (*Generator).cron},
	{"git", (*Generator).git},
	{"mailman-digest", (*Generator).digest},
	{"bounce", (*Generator).bounce},
	{"forward", func(g *Generator) Message { return g.forward(1 + g.rand.IntN(4)) }},
	{"calendar", (*Generator).calendar},
	{"signed", (*Generator).signed},
	{"newsletter", (*Generator).newsletter},
	{"uuencode", (*Generator).uuencode},
	{"external-body", (*Generator).externalBody},
	{"eight-bit-header", (*Generator).eightBitHeader},
	{"many-parts", (*Generator).manyParts},
	{"many-recipients", (*Generator).manyRecipients},
	{"long-lines", (*Generator).longLines},
	{"long-header", (*Generator).longHeader},
	{"header-only", func(g *Generator) Message {
		return Message{Octets: []byte(g.header("no body at all", "")), Structure: "text/plain"}
	}},
	{"empty-body", func(g *Generator) Message {
		return Message{Octets: []byte(g.header("", "") + "\n"), Structure: "text/plain"}
	}},
	{"broken-no-header", func(g *Generator) Message { return Message{Octets: []byte("\n" + g.text(5))} }},
	{"broken-not-a-header", func(g *Generator) Message { return Message{Octets: []byte("this is no header line\n" + g.text(5))} }},
	{"broken-unclosed", (*Generator).unclosed},
	{"broken-boundary", (*Generator).wrongBoundary},
	{"broken-no-boundary", (*Generator).noBoundary},
	{"broken-charset", (*Generator).brokenCharset},
	{"broken-base64", (*Generator).brokenBase64},
	{"broken-type", (*Generator).brokenType},
	{"broken-addresses", (*Generator).brokenAddresses},
	{"broken-words", (*Generator).brokenWords},
	{"broken-deep", func(g *Generator) Message { return g.nested(150) }},
	{"nested", func(g *Generator) Message { return g.nested(12) }},
	{"broken-duplicate", (*Generator).duplicateFields},
	{"broken-headerless", (*Generator).headerless},
	{"broken-stray-first", (*Generator).strayFirst},
	{"broken-stray-within", (*Generator).strayWithin},
	{"broken-no-empty-line", (*Generator).noEmptyLine},
	{"broken-attached-mbox", (*Generator).attachedMbox},
	{"broken-two-encodings", (*Generator).twoEncodings},
	{"broken-returned", (*Generator).returned},
	{"parameters", (*Generator).parameters},
	{"utf8-header", (*Generator).utf8Header},
	{"long-addresses", (*Generator).longAddresses},
	{"long-text", (*Generator).longText},
	{"signed-8bit", (*Generator).signedEightBit},
	{"encrypted-8bit", (*Generator).encryptedEightBit},
}

func (g *Generator) mutt() Message {
	h := g.header("Re: "+words[g.rand.IntN(len(words))]+" and more", "MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\nContent-Disposition: inline\nUser-Agent: Mutt/2.2.9 (2022-11-12)\n")
	return Message{Octets: []byte(h + "\n" + g.text(10+g.rand.IntN(60)) + "-- \nsignature\n"), Structure: "text/plain"}
}

func (g *Generator) inCharset(cte string, how byte) Message {
	c := charsets[(g.n+g.rand.IntN(len(charsets)))%len(charsets)]
	body := transfer(c.encode(c.phrase+"\n"+g.text(5)+c.phrase+"\n"), cte)
	h := g.header(c.word(c.phrase, how), fmt.Sprintf("MIME-Version: 1.0\nContent-Type: text/plain; charset=%q\nContent-Transfer-Encoding: %s\n", c.name, cte))
	return Message{Octets: []byte(h + "\n" + body), Structure: "text/plain", Phrase: c.phrase, Charset: c.name}
}

func (g *Generator) thunderbird() Message {
	b := fmt.Sprintf("------------%024d", g.rand.Uint64())
	h := g.header("=?UTF-8?Q?Rechnung_f=C3=BCr_M=C3=A4rz?=", "User-Agent: Mozilla Thunderbird\nContent-Language: de-DE\nMIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\""+b+"\"\n")
	body := "This is a multi-part message in MIME format.\n--" + b +
		"\nContent-Type: text/plain; charset=UTF-8; format=flowed\nContent-Transfer-Encoding: 8bit\n\nGrüße, \n" + g.text(8) +
		"\n--" + b + "\nContent-Type: application/pdf;\n name=\"=?UTF-8?B?UmVjaG51bmcgTcOkcnoucGRm?=\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n filename*0*=UTF-8''%52%65%63%68%6E%75%6E%67%20%4D;\n filename*1*=%C3%A4%72%7A%2E%70%64%66\n\n" +
		base64Lines(g.octets(500+g.rand.IntN(5000)), 72) + "\n--" + b + "--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/mixed(text/plain,application/pdf)"}
}

func (g *Generator) outlook() Message {
	outer, inner := fmt.Sprintf("----=_NextPart_000_%04X_01D9.%08X", g.n&0xffff, g.rand.Uint32()), fmt.Sprintf("----=_NextPart_001_%04X_01D9.%08X", g.n&0xffff, g.rand.Uint32())
	h := g.header("RE: FW: Q3 numbers", "MIME-Version: 1.0\nContent-Type: multipart/mixed;\n\tboundary=\""+outer+"\"\nX-Mailer: Microsoft Outlook 16.0\nThread-Index: AdmcZ0\nContent-Language: en-us\n")
	c := charsets[17] // windows-1252
	body := "This is a multipart message in MIME format.\n\n--" + outer + "\nContent-Type: multipart/alternative;\n\tboundary=\"" + inner + "\"\n\n\n--" + inner +
		"\nContent-Type: text/plain;\n\tcharset=\"windows-1252\"\nContent-Transfer-Encoding: quoted-printable\n\n" + transfer(c.encode(c.phrase+"\n"+g.text(6)), "quoted-printable") +
		"\n--" + inner + "\nContent-Type: text/html;\n\tcharset=\"windows-1252\"\nContent-Transfer-Encoding: quoted-printable\n\n<html xmlns:o=3D\"urn\"><body><p class=3DMsoNormal>Hi<o:p></o:p></p></body></html>\n\n--" + inner +
		"--\n\n--" + outer + "\nContent-Type: application/ms-tnef;\n\tname=\"winmail.dat\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n\tfilename=\"winmail.dat\"\n\n" + base64Lines(g.octets(900), 76) + "\n--" + outer + "--\n\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/mixed(multipart/alternative(text/plain,text/html),application/ms-tnef)"}
}

func (g *Generator) apple() Message {
	a, r := fmt.Sprintf("Apple-Mail=_%X", g.rand.Uint64()), fmt.Sprintf("Apple-Mail=_%X", g.rand.Uint64())
	h := g.header("Photos", "Content-Type: multipart/alternative;\n\tboundary=\""+a+"\"\nMime-Version: 1.0 (Mac OS X Mail 16.0 \\(3731.500.231\\))\nX-Mailer: Apple Mail (2.3731.500.231)\n")
	body := "\n--" + a + "\nContent-Transfer-Encoding: 7bit\nContent-Type: text/plain;\n\tcharset=us-ascii\n\n" + g.text(4) + "\n--" + a +
		"\nContent-Type: multipart/related;\n\ttype=\"text/html\";\n\tboundary=\"" + r + "\"\n\n\n--" + r + "\nContent-Transfer-Encoding: 7bit\nContent-Type: text/html;\n\tcharset=us-ascii\n\n<html><body><img src=\"cid:1@x\"></body></html>\n--" + r +
		"\nContent-Transfer-Encoding: base64\nContent-Disposition: inline;\n\tfilename*=utf-8''%E5%86%99%E7%9C%9F.jpg\nContent-Type: image/jpeg;\n\tx-unix-mode=0666;\n\tname=\"=?utf-8?B?5YaZ55yfLmpwZw==?=\"\nContent-Id: <1@x>\n\n" + base64Lines(g.octets(3000), 76) + "\n--" + r + "--\n\n--" + a + "--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/alternative(text/plain,multipart/related(text/html,image/jpeg))"}
}

func (g *Generator) gmail() Message {
	b := fmt.Sprintf("000000000000%012x", g.rand.Uint64()>>16)
	c := charsets[len(charsets)-1]
	h := g.header(c.word(c.phrase, 'B'), "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=\""+b+"\"\n")
	body := "--" + b + "\nContent-Type: text/plain; charset=\"UTF-8\"\nContent-Transfer-Encoding: base64\n\n" + transfer([]byte(c.phrase+"\n"+g.text(5)), "base64") +
		"--" + b + "\nContent-Type: text/html; charset=\"UTF-8\"\nContent-Transfer-Encoding: quoted-printable\n\n" + transfer([]byte("<div dir=\"ltr\">"+c.phrase+"<br></div>\n"), "quoted-printable") + "--" + b + "--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/alternative(text/plain,text/html)", Phrase: c.phrase, Charset: c.name}
}

func (g *Generator) japanesePhone() Message {
	c := charsets[0]
	subject := c.word("件名は長いので", 'B') + "\n " + c.word("二つに分かれます", 'B')
	h := g.header(subject, "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: 7bit\n")
	return Message{Octets: []byte(h + "\n" + string(c.encode(c.phrase+"\n送信テスト\n"))), Structure: "text/plain"}
}

func (g *Generator) cron() Message {
	h := g.header("Cron <root@host> test -x /usr/sbin/anacron || run-parts --report /etc/cron.daily", "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\nAuto-Submitted: auto-generated\n")
	return Message{Octets: []byte(h + "\n/etc/cron.daily/logrotate:\nerror: “stat” of /var/log failed\n"), Structure: "text/plain"}
}

func (g *Generator) git() Message {
	h := g.header("[PATCH v2 1/3] store: keep the counters beside the rows", "X-Mailer: git-send-email 2.39.5\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n")
	return Message{Octets: []byte(h + "\n" + g.text(3) + "---\n a.c | 2 +-\n 1 file changed\n\ndiff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-old\n+new\n--\n2.39.5\n"), Structure: "text/plain"}
}

func (g *Generator) digest() Message {
	b := fmt.Sprintf("===============%d==", g.rand.Uint64())
	h := g.header("users Digest, Vol 7, Issue 3", "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=\""+b+"\"\nPrecedence: list\nList-Id: users <users.example.org>\n")
	var body, tree strings.Builder
	for i := range 3 + g.rand.IntN(4) {
		body.WriteString("--" + b + "\n\n" + g.header(fmt.Sprintf("topic %d", i), "") + "\n" + g.text(4) + "\n")
		if i > 0 {
			tree.WriteString(",")
		}
		tree.WriteString("message/rfc822(text/plain)")
	}
	return Message{Octets: []byte(h + "\n" + body.String() + "--" + b + "--\n"), Structure: "multipart/digest(" + tree.String() + ")"}
}

func (g *Generator) bounce() Message {
	h := g.header("Undelivered Mail Returned to Sender", "Auto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"4A/B?=x.1\"\nContent-Transfer-Encoding: 8bit\n")
	body := "This is a MIME-encapsulated message.\n\n--4A/B?=x.1\nContent-Description: Notification\nContent-Type: text/plain; charset=utf-8\n\nI'm sorry.\n\n--4A/B?=x.1\nContent-Description: Delivery report\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n--4A/B?=x.1\nContent-Description: Undelivered Message Headers\nContent-Type: text/rfc822-headers\n\n" + g.header("lost", "") + "\n--4A/B?=x.1--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/report(text/plain,message/delivery-status,text/rfc822-headers)"}
}

func (g *Generator) forward(depth int) Message {
	if depth == 0 {
		return g.mutt()
	}
	inner := g.forward(depth - 1)
	b := fmt.Sprintf("fwd-%d-%x", depth, g.rand.Uint32())
	h := g.header("Fwd: something", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="+b+"\n")
	body := "--" + b + "\n\nsee below\n--" + b + "\nContent-Type: message/rfc822\nContent-Disposition: inline\n\n" + string(inner.Octets) + "\n--" + b + "--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/mixed(text/plain,message/rfc822(" + inner.Structure + "))"}
}

func (g *Generator) calendar() Message {
	h := g.header("Invitation: lunch @ Tue", "MIME-Version: 1.0\nContent-Type: text/calendar; charset=utf-8; method=REQUEST; name=\"invite.ics\"\nContent-Transfer-Encoding: base64\nContent-Class: urn:content-classes:calendarmessage\n")
	return Message{Octets: []byte(h + "\n" + transfer([]byte("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:昼食\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"), "base64")), Structure: "text/calendar"}
}

func (g *Generator) signed() Message {
	h := g.header("signed", "MIME-Version: 1.0\nContent-Type: multipart/signed; micalg=pgp-sha512;\n\tprotocol=\"application/pgp-signature\"; boundary=\"sig (1):,=?\"\n")
	body := "\n--sig (1):,=?\nContent-Type: text/plain; charset=us-ascii\nContent-Disposition: inline\nContent-Transfer-Encoding: quoted-printable\n\n" + g.text(5) + "\n--sig (1):,=?\nContent-Type: application/pgp-signature; name=\"signature.asc\"\nContent-Description: Digital signature\n\n-----BEGIN PGP SIGNATURE-----\n\niQIzBAABCgAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n\n--sig (1):,=?--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/signed(text/plain,application/pgp-signature)"}
}

func (g *Generator) newsletter() Message {
	h := g.header("=?utf-8?q?Don=E2=80=99t_miss_out_=F0=9F=8E=89?=", "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\nList-Unsubscribe: <mailto:u@example.com>,\n <https://example.com/u?x=1>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nX-Spacer: \n")
	return Message{Octets: []byte(h + "\n" + transfer([]byte("<html><head><style>p{color:red}</style></head><body>"+strings.Repeat("<p>Sale &amp; more — today only</p>\n", 60)+"</body></html>\n"), "quoted-printable")), Structure: "text/html"}
}

func (g *Generator) uuencode() Message {
	h := g.header("file for you", "")
	return Message{Octets: []byte(h + "\n" + g.text(3) + "\nbegin 644 a.txt\n#0V%T\n`\nend\n"), Structure: "text/plain"}
}

func (g *Generator) externalBody() Message {
	h := g.header("draft announcement", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=NextPart\n")
	body := "--NextPart\n\n" + g.text(3) + "\n--NextPart\nContent-Type: message/external-body; access-type=anon-ftp;\n site=\"ftp.example.org\"; directory=\"drafts\"; name=\"a.txt\"\n\nContent-Type: text/plain\nContent-ID: <1@x>\n\n\n--NextPart--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/mixed(text/plain,message/external-body)"}
}

func (g *Generator) manyParts() Message {
	h := g.header("scans", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n")
	n := 40 + g.rand.IntN(60)
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, "--b\nContent-Type: image/png; name=\"scan-%d.png\"\nContent-Transfer-Encoding: base64\n\n%s\n", i, base64Lines(g.octets(60), 76))
	}
	return Message{Octets: []byte(h + "\n" + body.String() + "--b--\n"), Structure: "multipart/mixed(" + strings.TrimSuffix(strings.Repeat("image/png,", n), ",") + ")"}
}

func (g *Generator) manyRecipients() Message {
	var to strings.Builder
	for i := range 200 {
		fmt.Fprintf(&to, " \"Person %d\" <p%d@example.org>,\n", i, i)
	}
	h := g.header("party", "Cc: friends: "+strings.TrimLeft(to.String(), " ")+" last@example.org;\n")
	return Message{Octets: []byte(h + "\n" + g.text(2)), Structure: "text/plain"}
}

func (g *Generator) largeAttachment() Message {
	h := g.header("big file", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=big\n")
	body := "--big\nContent-Type: text/plain\n\nhere it is\n--big\nContent-Type: application/zip\nContent-Transfer-Encoding: base64\n\n" + base64Lines(g.octets(1<<20+g.rand.IntN(2<<20)), 76) + "--big--\n"
	return Message{Octets: []byte(h + "\n" + body), Structure: "multipart/mixed(text/plain,application/zip)"}
}

func (g *Generator) nested(depth int) Message {
	var b strings.Builder
	b.WriteString(g.header("nested", "MIME-Version: 1.0\n"))
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=\"n%d\"\n\n--n%d\n", i, i)
	}
	b.WriteString("Content-Type: text/plain\n\nat the bottom\n")
	for i := depth - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "--n%d--\n", i)
	}
	m := Message{Octets: []byte(b.String())}
	if depth < 20 {
		m.Structure = strings.Repeat("multipart/mixed(", depth) + "text/plain" + strings.Repeat(")", depth)
	}
	return m
}
