package dkim

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"strings"
	"syscall"
	"testing"
	"time"

	"yubin/internal/dns"
)

// processor reports how much processor time an operation took: the machine may be busy.
func processor(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

// benchMessage is a message of about size octets, signed with RSA-2048, and the key.
func benchMessage(b *testing.B, size int) ([]byte, map[dns.Name]KeyResult, *PrivateKey) {
	generated, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	key, err := NewPrivateKey(generated)
	if err != nil {
		b.Fatal(err)
	}
	header := "Received: from mx.example.net (mx.example.net [192.0.2.7])\r\n\tby mx.example.org with ESMTPS id 12345\r\n\tfor <b@example.org>; Mon, 1 Jan 2024 10:00:00 +0100\r\n" +
		"From: Anna Example <anna@example.org>\r\nTo: Bob Example <bob@example.net>\r\nSubject: A message of usual size\r\nDate: Mon, 1 Jan 2024 10:00:00 +0100\r\n" +
		"Message-ID: <20240101100000.12345@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nUser-Agent: Example 1.0\r\n\r\n"
	line := "The quick brown fox jumps over the lazy dog and then it does so again.\r\n"
	message := []byte(header + strings.Repeat(line, max(0, size-len(header)-800)/len(line)))
	o := SignOptions{Keys: []SigningKey{{"example.org", "s", key}}, Time: time.Unix(1700000000, 0)}
	field, err := Sign(bytes.NewReader(message), o)
	if err != nil {
		b.Fatal(err)
	}
	public, _ := ParseKey(key.Record())
	return append(field, message...), map[dns.Name]KeyResult{"s._domainkey.example.org": {Keys: []*Key{public}}}, key
}

func BenchmarkVerify(b *testing.B) {
	for name, size := range map[string]int{"4KiB": 4 << 10, "50KiB": 50 << 10} {
		message, keys, _ := benchMessage(b, size)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			defer processor(b)()
			for b.Loop() {
				v := New(Options{})
				v.Write(message)
				if r := v.Finish(keys); len(r) != 1 || r[0].Result != Pass {
					b.Fatal(r)
				}
			}
		})
		// What cannot be saved: one RSA operation, a hash of all octets.
		b.Run(name+"/least", func(b *testing.B) {
			b.ReportAllocs()
			defer processor(b)()
			sum := sha256.Sum256(message)
			for b.Loop() {
				sum = sha256.Sum256(message)
				keys["s._domainkey.example.org"].Keys[0].Verify(RSASHA256, sum[:], make([]byte, 256))
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	message, _, key := benchMessage(b, 4<<10)
	o := SignOptions{Keys: []SigningKey{{"example.org", "s", key}}}
	b.ReportAllocs()
	defer processor(b)()
	for b.Loop() {
		if _, err := Sign(bytes.NewReader(message), o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseKey(b *testing.B) {
	_, _, key := benchMessage(b, 4<<10)
	record := key.Record()
	b.ReportAllocs()
	defer processor(b)()
	for b.Loop() {
		ParseKey(record)
	}
}
