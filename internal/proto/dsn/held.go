package dsn

import (
	"bytes"
	"fmt"
	"time"

	"yubin/internal/mail"
)

// HeldNotice tells the owner of an account that what it sends is kept back because it is
// unlike what it sent before.
type HeldNotice struct {
	To       mail.Address // the account
	From     mail.Address // of the people who run this mail system: postmaster
	Host     mail.Domain  // this mail system
	Date     time.Time
	ID       string // as Options.ID
	Language Language
	Since    time.Time
}

// heldWords are the words of a HeldNotice in one language.
type heldWords struct {
	subject string
	what    string // %s: address, when
	mine    string // %s: who lets it go
	theirs  string // %s: who to tell
	sign    string // %s: host, its people's address
}

var heldPhrases = [languages]heldWords{English: {
	subject: "Mail that you send is being held back",
	what: "Since %[2]s mail that is sent from %[1]s is not delivered but held, because far more of it is sent than usual. " +
		"None of it is lost, and you still receive mail.",
	mine:   "If you sent it yourself, ask %s to let it go.",
	theirs: "If you did not, somebody else knows your password: change it now, and tell %s.",
	sign:   "This message was written by the mail system of %s. If you need help, reply to it: your reply goes to %s.",
}, Japanese: {
	subject: "送信されたメールを保留しています",
	what: "%[2]s 以降、%[1]s から通常よりはるかに多くのメールが送信されているため、配送せずに保留しています。" +
		"メールは失われていません。受信はこれまでどおりできます。",
	mine:   "ご自身で送信された場合は、%s に配送の再開をご依頼ください。",
	theirs: "お心当たりがない場合は、パスワードが第三者に知られています。直ちにパスワードを変更し、%s にお知らせください。",
	sign:   "このお知らせは、%s のメールシステムが自動的に作成しました。お困りの際は、このメールにご返信ください（宛先: %s）。",
}}

// Append appends the whole message.
func (n HeldNotice) Append(dst []byte) []byte {
	words := &heldPhrases[n.Language]
	dst = appendField(dst, "From", encodeWords(phrases[n.Language].system)+" <"+n.From.String()+">")
	dst = appendField(dst, "To", n.To.String())
	dst = appendField(dst, "Subject", encodeWords(words.subject))
	dst = appendDate(dst, "Date", n.Date)
	dst = appendField(dst, "Message-ID", "<"+n.ID+"@"+string(n.From.Domain)+">")
	dst = appendField(dst, "Auto-Submitted", "auto-generated") // RFC 3834 §5.1: it answers nothing
	dst = appendField(dst, "MIME-Version", "1.0")
	dst = appendField(dst, "Content-Type", "text/plain; charset=utf-8")
	dst = appendField(dst, "Content-Language", n.Language.String())

	text := appendWrapped(nil, "", fmt.Sprintf(words.what, n.To, n.Since.UTC().Format("2006-01-02 15:04 MST")))
	text = appendWrapped(append(text, "\r\n"...), "", fmt.Sprintf(words.mine, n.From))
	text = appendWrapped(append(text, "\r\n"...), "", fmt.Sprintf(words.theirs, n.From))
	text = appendWrapped(append(text, "\r\n"...), "", fmt.Sprintf(words.sign, n.Host, n.From))
	if dst = appendEncoded(dst, text); !bytes.HasSuffix(dst, []byte("\r\n")) {
		dst = append(dst, "\r\n"...)
	}
	return dst
}
