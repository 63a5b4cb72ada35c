package dsn

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"yubin/internal/mail"
)

// QuotaNotice tells the owner of an account how full it is. It is a message of
// its own, and no report of another.
type QuotaNotice struct {
	To               mail.Address // the account
	From             mail.Address // of the people who run this mail system: postmaster
	Host             mail.Domain  // this mail system
	Date             time.Time
	ID               string // as Options.ID
	Language         Language
	Octets, Messages int64 // that it holds
	Quota            mail.Quota
}

// From these percents on the subject has other words.
const (
	almostFull = 95
	whollyFull = 100
)

// quotaWords are the words of a QuotaNotice in one language.
type quotaWords struct {
	subject [3]string // %d: percent; below almostFull, below whollyFull, from there
	holds   string    // %s: address, %d: percent
	size    string    // %s of %s
	count   string    // %d of %d messages
	advice  string    // %s: who can give more
	sign    string    // %s: host, its people's address
}

var quotaPhrases = [languages]quotaWords{English: {
	subject: [...]string{"Your mailbox is %d %% full", "Your mailbox is almost full (%d %%)", "Your mailbox is full (%d %%)"},
	holds:   "The mailbox %s has used %d %% of what it may hold:",
	size:    "%s of %s",
	count:   "%d of %d messages",
	advice: "When it is full, new mail for you is turned away and its senders are told. Delete what you no longer need " +
		"and empty the trash, or ask %s for a larger quota.",
	sign: "This message was written by the mail system of %s. If you need help, reply to it: your reply goes to %s.",
}, Japanese: {
	subject: [...]string{"メールボックスの使用量が %d%% になりました", "メールボックスの空きが残りわずかです（%d%%）", "メールボックスがいっぱいです（%d%%）"},
	holds:   "%s のメールボックスは、使用できる量の %d%% を使用しています。",
	size:    "容量: %s / %s",
	count:   "通数: %d / %d 通",
	advice: "いっぱいになると、新しいメールを受け取れなくなり、送信者にその旨が通知されます。不要なメールを削除し、" +
		"ゴミ箱を空にしてください。容量を増やしたい場合は、%s までお問い合わせください。",
	sign: "このお知らせは、%s のメールシステムが自動的に作成しました。お困りの際は、このメールにご返信ください（宛先: %s）。",
}}

// Append appends the whole message.
func (n QuotaNotice) Append(dst []byte) []byte {
	words, taken := &quotaPhrases[n.Language], n.Quota.Percent(n.Octets, n.Messages)
	subject := words.subject[0]
	switch {
	case taken >= whollyFull:
		subject = words.subject[2]
	case taken >= almostFull:
		subject = words.subject[1]
	}
	dst = appendField(dst, "From", encodeWords(phrases[n.Language].system)+" <"+n.From.String()+">")
	dst = appendField(dst, "To", n.To.String())
	dst = appendField(dst, "Subject", encodeWords(fmt.Sprintf(subject, taken)))
	dst = appendDate(dst, "Date", n.Date)
	dst = appendField(dst, "Message-ID", "<"+n.ID+"@"+string(n.From.Domain)+">")
	dst = appendField(dst, "Auto-Submitted", "auto-generated") // RFC 3834 §5.1: it answers nothing
	dst = appendField(dst, "MIME-Version", "1.0")
	dst = appendField(dst, "Content-Type", "text/plain; charset=utf-8")
	dst = appendField(dst, "Content-Language", n.Language.String())

	text := appendWrapped(nil, "", fmt.Sprintf(words.holds, n.To, taken))
	text = append(text, "\r\n"...)
	if n.Quota.Octets > 0 {
		text = appendWrapped(text, "  ", fmt.Sprintf(words.size, size(n.Octets), size(n.Quota.Octets)))
	}
	if n.Quota.Messages > 0 {
		text = appendWrapped(text, "  ", fmt.Sprintf(words.count, n.Messages, n.Quota.Messages))
	}
	text = appendWrapped(append(text, "\r\n"...), "", fmt.Sprintf(words.advice, n.From))
	text = appendWrapped(append(text, "\r\n"...), "", fmt.Sprintf(words.sign, n.Host, n.From))
	if dst = appendEncoded(dst, text); !bytes.HasSuffix(dst, []byte("\r\n")) {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// size writes a number of octets for people: 4.1 GB.
func size(n int64) string {
	const unit = 1000
	if n < unit {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, names := float64(n), "kMGTPE"
	for value /= unit; value >= unit; value /= unit {
		names = names[1:]
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + names[:1] + "B"
}
