package dsn

import (
	"fmt"
	"strings"

	"yubin/internal/mail"
)

// unknownWords are how servers say without an enhanced code that nobody has the
// address; blockedWords how they say that they want nothing of our server;
// senderWords that it is the sender's address they ask about, and then words like
// the first are about that. All in lower case.
var (
	unknownWords = []string{"user unknown", "unknown user", "no such user", "user not found", "no such recipient", "recipient unknown",
		"unknown recipient", "recipient not found", "no such mailbox", "mailbox not found", "unknown mailbox", "mailbox does not exist",
		"no mailbox here", "no such address", "unknown address", "address unknown", "no such account", "unknown account", "invalid recipient",
		"user does not exist", "user doesn't exist", "recipient does not exist", "address does not exist", "account does not exist"}
	senderWords  = []string{"sender verif", "sender address", "sender unknown", "verify sender", "verification failed", "callout", "callback"}
	blockedWords = []string{"blocklist", "block list", "blacklist", "black list", "blocked using", "spamhaus", "dnsbl", "reputation",
		"your ip ", "your server is blocked", "your network is blocked"}
)

// What words tell that no code does.
var (
	blocked = reason{advice: tellOurs, why: [...]string{
		"The recipient's mail system takes no mail from our server: our network address is on a list of those that it blocks. The recipient did not do that.",
		"当方のサーバーのネットワークアドレスが拒否リストに載っているため、相手側のメールシステムがメールを受け付けません。相手の方の操作によるものではありません。"}}
	moved = [languages]string{
		"The recipient has moved; the other side names this new address: %s",
		"このアドレスは使われなくなっています。相手側のサーバーは、新しいアドレスとして %s を示しています。"}
)

// ExplainReply is Explain for a status that an SMTP reply gave, whose lines are
// parted by LF. Where the code leaves it open, or is of policy only, the words
// are read: a bare "550 User unknown" is an unknown user, a block of our own
// address is not the recipient's doing, nor is one that did not like the sender's
// address, and "551 … try <new@…>" names the new
// address.
func ExplainReply(s Status, reply string, l Language) (why, advice string) {
	row := reasonFor(s)
	words := strings.ToLower(strings.ReplaceAll(reply, "\n", " "))
	switch {
	case s.Class != Temporary && s.Class != Permanent:
	case (s.Subject == 0 || s.Subject == 7 && s.Detail <= 1) && containsAny(words, blockedWords):
		row = &blocked
	case s.Class == Temporary:
	case s.Subject == 1 && s.Detail == 6 || strings.HasPrefix(words, "551"):
		if a, ok := newAddress(reply); ok {
			return fmt.Sprintf(moved[l], a), advices[askAddress][l]
		}
	case s.Subject == 0 && containsAny(words, senderWords):
		row = reasonFor(Status{Class: Permanent, Subject: 1, Detail: 8})
	case s.Subject == 0 && containsAny(words, unknownWords):
		row = reasonFor(Status{Class: Permanent, Subject: 1, Detail: 1})
	}
	return row.why[l], advices[row.advice][l]
}

func containsAny(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// newAddress reads the address in angle brackets behind "try" (RFC 5321 §3.4).
func newAddress(reply string) (mail.Address, bool) {
	i := strings.Index(strings.ToLower(reply), "try")
	if i < 0 {
		return mail.Address{}, false
	}
	_, rest, _ := strings.Cut(reply[i:], "<")
	text, _, ok := strings.Cut(rest, ">")
	if !ok {
		return mail.Address{}, false
	}
	a, err := mail.ParseAddress(text)
	return a, err == nil
}
