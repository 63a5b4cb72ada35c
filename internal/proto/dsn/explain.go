package dsn

import (
	"strings"

	"yubin/internal/mail"
)

// Language is a language that reports are written in.
type Language uint8

// The languages.
const (
	English Language = iota
	Japanese
	languages
)

var languageTags = [languages]string{"en", "ja"}

// String returns the language tag (RFC 5646).
func (l Language) String() string { return languageTags[l] }

// ParseLanguage reads a language tag, with or without a region. The error is
// of kind Invalid.
func ParseLanguage(tag string) (Language, error) {
	primary, _, _ := strings.Cut(tag, "-")
	for l, name := range languageTags {
		if strings.EqualFold(name, primary) {
			return Language(l), nil
		}
	}
	return 0, mail.Errorf(mail.Invalid, "reports are written in en and ja, not in %q", tag)
}

// Explain says in plain words what s means: why a message was not delivered, and what the
// sender can do; advice may be "". A code that is not known is explained by
// its subject, and else by its class.
func Explain(s Status, l Language) (why, advice string) {
	row := reasonFor(s)
	return row.why[l], advices[row.advice][l]
}

func reasonFor(s Status) *reason {
	best := &unexplained[0]
	if s.Class == Temporary {
		best = &unexplained[1]
	}
	if s.Subject == 0 {
		return best
	}
	for i := range reasons {
		switch r := &reasons[i]; {
		case r.subject != s.Subject:
		case r.detail == s.Detail:
			return r
		case r.detail == 0:
			best = r
		}
	}
	return best
}

// advice is what the sender can do.
type advice uint8

const (
	noAdvice advice = iota
	checkAddress
	askAddress
	askRoom
	sendSmaller
	sendAgain
	sendFewer
	changeContent
	tellTheirs
	tellOurs
	askPermission
)

var advices = [...][languages]string{
	noAdvice: {"", ""},
	checkAddress: {
		"Please check the address for typing errors and send the message again.",
		"アドレスに誤りがないかご確認のうえ、もう一度お送りください。",
	},
	askAddress: {
		"Please ask the recipient for the right address in another way, for example by telephone.",
		"お電話など別の方法で、相手の方に現在のアドレスをお確かめください。",
	},
	askRoom: {
		"Please tell the recipient in another way, and send the message again when there is room.",
		"別の方法で相手の方にお知らせいただき、空きができてからもう一度お送りください。",
	},
	sendSmaller: {
		"Please send a smaller message: leave out attachments, or share large files in another way.",
		"添付ファイルを減らすか、大きなファイルは別の方法で共有して、もう一度お送りください。",
	},
	sendAgain: {
		"Please send the message again later. If that fails too, tell the recipient in another way.",
		"しばらくしてからもう一度お送りください。それでも届かない場合は、別の方法で相手の方にご連絡ください。",
	},
	sendFewer: {
		"Please send the message to fewer recipients at a time.",
		"一度に送る宛先の数を減らして、もう一度お送りください。",
	},
	changeContent: {
		"Please change the message, for example leave out attachments or send plain text, and send it again.",
		"添付ファイルを外す、テキスト形式にするなど、内容を変えてもう一度お送りください。",
	},
	tellTheirs: {
		"The people who run the recipient's mail system can put this right. Please pass on to them what their server answered.",
		"相手側のメールシステムの管理者による対応が必要です。サーバーからの応答を管理者にお伝えください。",
	},
	tellOurs: {
		"The people who run our mail system can put this right. Please reply to this report.",
		"当方のメールシステムの管理者による対応が必要です。このメールにご返信ください。",
	},
	askPermission: {
		"Please ask the recipient, in another way, to have your messages allowed.",
		"別の方法で相手の方にご連絡のうえ、受信の許可をご依頼ください。",
	},
}
