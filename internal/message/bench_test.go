package message

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
)

// textMessage is a message of about size octets as mail servers see most.
func textMessage(size int) []byte {
	var b bytes.Buffer
	b.WriteString(strings.ReplaceAll(`Return-Path: <alice@example.org>
Received: from mail.example.org (mail.example.org [192.0.2.25])
	(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))
	by mx.example.net (yubin) with ESMTPS id 4WxYz12345
	for <bob@example.net>; Tue, 14 Jan 2025 10:11:12 +0100
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=mail;
	t=1736845872; h=from:to:subject:date:message-id; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;
	b=Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4
Date: Tue, 14 Jan 2025 10:11:10 +0100
From: =?utf-8?Q?Al=C3=ADce?= Example <alice@example.org>
To: "Bob Example" <bob@example.net>, Carol <carol@example.net>
Cc: team@example.net
Subject: =?utf-8?Q?Re=3A_Gr=C3=BC=C3=9Fe?= aus dem Norden
Message-ID: <CAH2abcdefghijklmnop@mail.example.org>
In-Reply-To: <20250113.1234@example.net>
References: <20250112.1111@example.net> <20250113.1234@example.net>
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"; format=flowed
Content-Transfer-Encoding: 8bit
X-Mailer: Example 1.0

`, "\n", "\r\n"))
	for b.Len() < size {
		b.WriteString("The quick brown fox jumps over the lazy dog, and then it rests a while.\r\n")
	}
	return b.Bytes()
}

// attachment is a multipart with a base64 part of size octets before encoding.
func attachment(size int) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@example.org\r\nSubject: report\r\nContent-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n" +
		"--=_x\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n" +
		"--=_x\r\nContent-Type: application/pdf; name=report.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	line := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb, 1, 2}, 19)) + "\r\n"
	for range size / 57 {
		b.WriteString(line)
	}
	b.WriteString("--=_x--\r\n")
	return b.Bytes()
}

func BenchmarkParse(b *testing.B) {
	html := bytes.Replace(textMessage(4096), []byte("text/plain"), []byte("text/html"), 1)
	for name, msg := range map[string][]byte{
		"text4KiB": textMessage(4 << 10), "html4KiB": html, "base64-10MiB": attachment(10 << 20), "text1MiB": textMessage(1 << 20),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				p := NewParser()
				for rest := msg; len(rest) > 0; {
					n := min(len(rest), 16<<10)
					p.Write(rest[:n])
					rest = rest[n:]
				}
				p.Finish()
			}
		})
	}
}

func BenchmarkDecoder(b *testing.B) {
	raw := attachment(1 << 20)
	qp := bytes.Repeat([]byte("Gr=C3=BC=C3=9Fe aus dem Norden, und noch etwas mehr Text in dieser Zeile=\r\n"), 10000)
	for _, c := range []struct {
		enc string
		raw []byte
	}{{"base64", raw}, {"quoted-printable", qp}} {
		b.Run(c.enc, func(b *testing.B) {
			b.SetBytes(int64(len(c.raw)))
			for b.Loop() {
				if _, err := io.Copy(io.Discard, NewDecoder(bytes.NewReader(c.raw), c.enc)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
