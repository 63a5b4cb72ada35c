package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// words are what letters are made of.
func words() []string {
	return []string{"minutes", "meeting", "harbour", "ledger", "window", "quarter", "annual", "report", "train", "garden", "paper", "letter",
		"signal", "engine", "bridge", "market", "season", "copper", "silver", "winter", "summer", "ticket", "number", "review", "draft", "answer"}
}

// What SEARCH looks for: a sender and a word that few letters have.
const (
	RareSender = "wanted.sender"
	RareWord   = "chrysanthemum"
	rareEvery  = 1000
)

// Letter is the n-th message of a mailbox: the same octets for the same n.
func Letter(n, size int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	w := words()
	word := func() string { return w[r.IntN(len(w))] }
	sender := fmt.Sprintf("%s.%s", word(), word())
	if n%rareEvery == 0 {
		sender = RareSender
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s <%s@example.org>\r\nTo: <someone@yubin.test>\r\nSubject: %s %s %d\r\n", sender, sender, word(), word(), n)
	fmt.Fprintf(&b, "Date: Sat, 21 Nov 2026 %02d:%02d:%02d +0000\r\nMessage-ID: <letter.%d@example.org>\r\nMIME-Version: 1.0\r\n", n/3600%24, n/60%60, n%60, n)
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\n\r\n")
	if n%rareEvery == 1 {
		b.WriteString(RareWord + "\r\n")
	}
	for b.Len() < size {
		for range 9 {
			b.WriteString(word())
			b.WriteByte(' ')
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}
