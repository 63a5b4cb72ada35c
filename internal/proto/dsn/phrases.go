package dsn

import "strings"

// phrasebook has the words of the text in one language. Where there is one for
// each Action, it is indexed by it.
type phrasebook struct {
	system   string    // who the report is from
	subject  [6]string // of a message with a subject, which takes the place of %s
	untitled [6]string // of one without
	one      [6]string // heading above one recipient
	many     [6]string // heading above several
	note     [6]string // below each recipient
	forward  string    // %s: where mail for the original address goes
	gaveUp   string    // of a temporary problem that lasted
	until    string    // %s: when we stop trying
	keepOn   string    // we do not know until when
	said     string    // %s: the server whose words follow
	recorded string    // above what is not the words of another server
	about    string    // heading above the facts about the original
	labels   [4]string // Subject, Date, Message-ID, envelope-id
	attached [3]string // nothing, the header, the message
	hint     string    // what to do about a copy, whose rule takes the place of %s, or about a forward; "" for other mail
	sign     string    // %s: reporting MTA, its people's address
	date     string    // layout
}

var phrases = [languages]phrasebook{English: {
	system: "Mail Delivery System",
	subject: [...]string{Failed: "Not delivered: %s", Delayed: "Not yet delivered: %s", Delivered: "Delivered: %s",
		Relayed: "Passed on: %s", Expanded: "Delivered: %s"},
	untitled: [...]string{Failed: "Your message was not delivered", Delayed: "Your message is not yet delivered",
		Delivered: "Your message was delivered", Relayed: "Your message was passed on", Expanded: "Your message was delivered"},
	one: [...]string{
		Failed:    "Your message could not be delivered to this address:",
		Delayed:   "Your message has not been delivered to this address yet:",
		Delivered: "Your message was delivered to this address:",
		Relayed:   "Your message was passed on to the mail system of this address:",
		Expanded:  "Your message was delivered to this address, which passes it on to several recipients:",
	},
	many: [...]string{
		Failed:    "Your message could not be delivered to these addresses:",
		Delayed:   "Your message has not been delivered to these addresses yet:",
		Delivered: "Your message was delivered to these addresses:",
		Relayed:   "Your message was passed on to the mail systems of these addresses:",
		Expanded:  "Your message was delivered to these addresses, which pass it on to several recipients:",
	},
	note: [...]string{
		Delivered: "This does not say that it has been read.",
		Relayed:   "That system does not report successful deliveries. You will only hear of this again if something goes wrong.",
		Expanded:  "You may still hear of problems with single recipients.",
	},
	forward:  "Mail for it goes to %s.",
	gaveUp:   "We tried again and again, and have now given up.",
	until:    "We will keep trying until %s. You need not send the message again.",
	keepOn:   "We will keep trying. You need not send the message again.",
	said:     "The server %s answered:",
	recorded: "Our mail system noted:",
	about:    "The message:",
	labels:   [...]string{"Subject:    ", "Date:       ", "Message-ID: ", "Reference:  "},
	attached: [...]string{"", "The header of your message is attached.", "Your message is attached."},
	sign:     "This report was written by the mail system of %s. If you need help, reply to this report: it goes to %s.",
	date:     "2 January 2006, 15:04 (-07:00)",
}, Japanese: {
	system: "メール配信システム",
	subject: [...]string{Failed: "配信できませんでした: %s", Delayed: "配信が遅れています: %s", Delivered: "配信しました: %s",
		Relayed: "引き渡しました: %s", Expanded: "配信しました: %s"},
	untitled: [...]string{Failed: "メールを配信できませんでした", Delayed: "メールの配信が遅れています",
		Delivered: "メールを配信しました", Relayed: "メールを引き渡しました", Expanded: "メールを配信しました"},
	one: [...]string{
		Failed:    "お送りいただいたメールを、次の宛先に配信できませんでした。",
		Delayed:   "お送りいただいたメールは、次の宛先にまだ配信されていません。",
		Delivered: "お送りいただいたメールを、次の宛先に配信しました。",
		Relayed:   "お送りいただいたメールを、次の宛先のメールシステムに引き渡しました。",
		Expanded:  "お送りいただいたメールを、次の宛先に配信しました。この宛先からは、さらに複数の方に転送されます。",
	},
	many: [...]string{
		Failed:    "お送りいただいたメールを、次の宛先に配信できませんでした。",
		Delayed:   "お送りいただいたメールは、次の宛先にまだ配信されていません。",
		Delivered: "お送りいただいたメールを、次の宛先に配信しました。",
		Relayed:   "お送りいただいたメールを、次の宛先のメールシステムに引き渡しました。",
		Expanded:  "お送りいただいたメールを、次の宛先に配信しました。これらの宛先からは、さらに複数の方に転送されます。",
	},
	note: [...]string{
		Delivered: "相手の方がお読みになったことを示すものではありません。",
		Relayed:   "引き渡し先のシステムは、配信の完了を通知しません。問題が起きた場合に限り、改めてお知らせいたします。",
		Expanded:  "転送先で問題が起きた場合は、改めてお知らせすることがあります。",
	},
	forward:  "この宛先のメールは %s に転送されます。",
	gaveUp:   "繰り返し配信を試みましたが、届けることができず、配信を中止いたしました。",
	until:    "%s まで配信を続けます。もう一度お送りいただく必要はありません。",
	keepOn:   "引き続き配信を試みます。もう一度お送りいただく必要はありません。",
	said:     "サーバー %s からの応答:",
	recorded: "当方のメールシステムの記録:",
	about:    "対象のメール:",
	labels:   [...]string{"件名: ", "日時: ", "Message-ID: ", "送信時の識別子: "},
	attached: [...]string{"", "お送りいただいたメールのヘッダーを添付しています。", "お送りいただいたメールを添付しています。"},
	sign:     "この通知は、%s のメールシステムが自動的に作成しました。お困りの際は、このメールにご返信ください（宛先: %s）。",
	date:     "2006年1月2日 15:04 (-07:00)",
}}

// lostPhrases are the words to the people who run the mail system about a report
// that did not reach its reader.
var lostPhrases = [languages]phrasebook{
	English: phrases[English].lost(phrasebook{
		subject:  [6]string{Failed: "A report was not delivered: %s"},
		untitled: [6]string{Failed: "A report was not delivered"},
		one: [6]string{Failed: "This mail system had to tell the sender of a message what became of it. " +
			"The report could not be delivered to this address:"},
		many: [6]string{Failed: "This mail system had to tell the sender of a message what became of it. " +
			"The report could not be delivered to these addresses:"},
		about: "The report:",
		attached: [...]string{"", "The header of the report is attached.", "The report is attached. If the sender's address is forged, nothing " +
			"needs to be done. Else please tell the sender in another way: nobody has yet."},
		sign: "This was written by the mail system of %s for its postmaster, %s.",
	}),
	Japanese: phrases[Japanese].lost(phrasebook{
		subject:  [6]string{Failed: "配信通知を届けられませんでした: %s"},
		untitled: [6]string{Failed: "配信通知を届けられませんでした"},
		one:      [6]string{Failed: "メールの配信結果を送信者に通知しようとしましたが、次の宛先に通知を配信できませんでした。"},
		many:     [6]string{Failed: "メールの配信結果を送信者に通知しようとしましたが、次の宛先に通知を配信できませんでした。"},
		about:    "対象の通知:",
		attached: [...]string{"", "通知のヘッダーを添付しています。", "通知を添付しています。送信者のアドレスが詐称されたものであれば、対応は不要です。" +
			"そうでない場合、送信者にはまだ通知されていませんので、別の方法でお伝えください。"},
		sign: "このお知らせは、%s のメールシステムが管理者（%s）あてに自動的に作成しました。",
	}),
}

// lost is p with the words of w.
func (p phrasebook) lost(w phrasebook) phrasebook {
	p.subject, p.untitled, p.one, p.many = w.subject, w.untitled, w.one, w.many
	p.about, p.attached, p.sign = w.about, w.attached, w.sign
	return p
}

// copyPhrases are the words to the people who run the mail system about a copy, which a rule
// of theirs made.
var copyPhrases = [languages]phrasebook{
	English: phrases[English].copied(phrasebook{
		subject:  [6]string{Failed: "A copy was not delivered: %s", Delayed: "A copy is not yet delivered: %s"},
		untitled: [6]string{Failed: "A copy was not delivered", Delayed: "A copy is not yet delivered"},
		one: [6]string{Failed: "This mail system makes a copy of some messages. The copy of this one could not be delivered to this address:",
			Delayed: "This mail system makes a copy of some messages. The copy of this one has not been delivered to this address yet:"},
		about:    "The message, which its own recipients got or get:",
		attached: [...]string{"", "The header of the message is attached.", "The copy is attached."},
		hint:     "The rule %s makes these copies. Correct the address, or end the rule: yubin copy list, yubin copy remove. The sender does not know of the copy, and was told nothing.",
		until:    "We will keep trying until %s.",
		keepOn:   "We will keep trying.",
		sign:     "This was written by the mail system of %s for its postmaster, %s.",
	}),
	Japanese: phrases[Japanese].copied(phrasebook{
		subject:  [6]string{Failed: "写しを配信できませんでした: %s", Delayed: "写しの配信が遅れています: %s"},
		untitled: [6]string{Failed: "写しを配信できませんでした", Delayed: "写しの配信が遅れています"},
		one: [6]string{Failed: "このメールシステムは、一部のメールの写しを作成しています。このメールの写しを、次の宛先に配信できませんでした。",
			Delayed: "このメールシステムは、一部のメールの写しを作成しています。このメールの写しは、次の宛先にまだ配信されていません。"},
		about:    "対象のメール（本来の宛先への配信には影響ありません）:",
		attached: [...]string{"", "メールのヘッダーを添付しています。", "写しを添付しています。"},
		hint:     "この写しは、規則 %s によるものです。宛先を訂正するか、規則を終了してください（yubin copy list、yubin copy remove）。送信者は写しのことを知らず、何も通知されていません。",
		until:    "%s まで配信を続けます。",
		keepOn:   "引き続き配信を試みます。",
		sign:     "このお知らせは、%s のメールシステムが管理者（%s）あてに自動的に作成しました。",
	}),
}

// forwardPhrases are the words to somebody who keeps his mail and has it sent on, too.
var forwardPhrases = [languages]phrasebook{
	English: phrases[English].copied(phrasebook{
		subject:  [6]string{Failed: "Not forwarded: %s", Delayed: "Not yet forwarded: %s"},
		untitled: [6]string{Failed: "A message to you was not forwarded", Delayed: "A message to you is not yet forwarded"},
		one: [6]string{Failed: "A message to you is in your mailbox. You have your mail forwarded, too, and that could not be done to this address:",
			Delayed: "A message to you is in your mailbox. You have your mail forwarded, too, and that could not be done to this address yet:"},
		about:    "The message:",
		attached: [...]string{"", "The header of the message is attached.", "The message is attached."},
		hint:     "If that address is wrong or no more, have your forwarding changed. The sender was told nothing, for you have the message.",
		until:    "We will keep trying until %s.",
		keepOn:   "We will keep trying.",
		sign:     phrases[English].sign,
	}),
	Japanese: phrases[Japanese].copied(phrasebook{
		subject:  [6]string{Failed: "転送できませんでした: %s", Delayed: "転送が遅れています: %s"},
		untitled: [6]string{Failed: "あなた宛てのメールを転送できませんでした", Delayed: "あなた宛てのメールの転送が遅れています"},
		one: [6]string{Failed: "あなた宛てのメールは、メールボックスに届いています。設定されている転送先のうち、次の宛先に転送できませんでした。",
			Delayed: "あなた宛てのメールは、メールボックスに届いています。設定されている転送先のうち、次の宛先にはまだ転送されていません。"},
		about:    "対象のメール:",
		attached: [...]string{"", "メールのヘッダーを添付しています。", "メールを添付しています。"},
		hint:     "転送先が誤っている、または使われなくなっている場合は、転送の設定を変更してください。メールは届いているため、送信者には何も通知していません。",
		until:    "%s まで転送を続けます。",
		keepOn:   "引き続き転送を試みます。",
		sign:     phrases[Japanese].sign,
	}),
}

// copied is p with the words of w about mail that failed or is late; there is no other.
func (p phrasebook) copied(w phrasebook) phrasebook {
	for _, a := range []Action{Failed, Delayed} {
		p.subject[a], p.untitled[a], p.one[a], p.many[a] = w.subject[a], w.untitled[a], w.one[a], strings.NewReplacer("this address", "these addresses").Replace(w.one[a])
	}
	p.about, p.attached, p.hint, p.until, p.keepOn, p.sign = w.about, w.attached, w.hint, w.until, w.keepOn, w.sign
	return p
}
