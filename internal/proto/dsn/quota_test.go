package dsn

import (
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// TestQuotaNotice compares whole messages with testdata.
func TestQuotaNotice(t *testing.T) {
	n := QuotaNotice{
		To:   mail.Address{Local: "alice", Domain: "yubin.example"},
		From: mail.Address{Local: "postmaster", Domain: "mail.yubin.example"}, Host: "mail.yubin.example",
		Date: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC), ID: "ABCDEFGHIJKLMNOPQRSTUV",
		Octets: 4_100_000_000, Messages: 31022, Quota: mail.Quota{Octets: 5_000_000_000},
	}
	both, over := n, n
	both.Quota.Messages = 32000
	over.Octets = 5_000_000_001
	for name, n := range map[string]QuotaNotice{"quota-80": n, "quota-95": both, "quota-full": over} {
		for _, n.Language = range []Language{English, Japanese} {
			b := n.Append(nil)
			checkLines(t, b, false)
			m := message.Parse(b)
			golden(t, name+"-"+n.Language.String()+".eml", string(b))
			golden(t, name+"-"+n.Language.String()+".txt", m.Subject+"\r\n\r\n"+partText(t, b, m.Root))
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 5e9: "5.0 GB", 1<<63 - 1: "9.2 EB"} {
		if got := size(n); got != want || strings.Contains(got, ",") {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}
