package dsn

// reason explains a status code, whatever its class.
type reason struct {
	subject, detail uint16
	advice          advice
	why             [languages]string
}

// unexplained is for codes that name no subject: permanent, then temporary.
var unexplained = [2]reason{
	{0, 0, tellTheirs, [...]string{
		"The message was refused.",
		"メールの受け取りが拒否されました。"}},
	{0, 0, sendAgain, [...]string{
		"For the time being, the message cannot be delivered.",
		"現在、一時的にメールを配信できない状態です。"}},
}

// reasons are the registered codes, RFC 3463 unless said otherwise. Detail 0
// also explains the codes of its subject that are not here.
var reasons = [...]reason{
	{1, 0, checkAddress, [...]string{
		"There is a problem with the address.",
		"宛先のアドレスに問題があります。"}},
	{1, 1, checkAddress, [...]string{
		"There is no mailbox with this address.",
		"このアドレスのメールボックスは存在しません。"}},
	{1, 2, checkAddress, [...]string{
		"The part of the address after the @ does not exist or does not take mail.",
		"アドレスの @ より後ろの部分（ドメイン）が存在しないか、メールを受け付けていません。"}},
	{1, 3, checkAddress, [...]string{
		"The address is not written in a valid way.",
		"アドレスの書き方が正しくありません。"}},
	{1, 4, askAddress, [...]string{
		"The address fits more than one mailbox.",
		"このアドレスに該当するメールボックスが複数あります。"}},
	{1, 5, noAdvice, [...]string{
		"The address is right.",
		"アドレスは正しいものです。"}},
	{1, 6, askAddress, [...]string{
		"The recipient has moved and left no new address.",
		"このアドレスは使われなくなっており、新しいアドレスは登録されていません。"}},
	{1, 7, tellOurs, [...]string{
		"Your own address is not written in a way that the other side takes.",
		"差出人のアドレスの書き方を、相手側のサーバーが受け付けませんでした。"}},
	{1, 8, tellOurs, [...]string{
		"The other side could not verify that your own address can get mail.",
		"差出人のアドレスがメールを受け取れることを、相手側のサーバーが確認できませんでした。"}},
	{1, 9, noAdvice, [...]string{ // RFC 3886
		"The message was passed on to a system that does not report what becomes of it.",
		"メールは、配信結果を通知しないシステムに引き渡されました。"}},
	{1, 10, checkAddress, [...]string{ // RFC 7505
		"The domain of the address says that it takes no mail at all.",
		"このアドレスのドメインは、メールを一切受け付けないと宣言しています。"}},

	{2, 0, askAddress, [...]string{
		"There is a problem with the recipient's mailbox.",
		"相手の方のメールボックスに問題があります。"}},
	{2, 1, askAddress, [...]string{
		"The recipient's mailbox is closed and takes no messages.",
		"相手の方のメールボックスは停止されており、メールを受け取れません。"}},
	{2, 2, askRoom, [...]string{
		"The recipient's mailbox is full.",
		"相手の方のメールボックスがいっぱいです。"}},
	{2, 3, sendSmaller, [...]string{
		"The message is larger than the recipient's mailbox takes.",
		"メールの大きさが、相手の方のメールボックスで受け取れる上限を超えています。"}},
	{2, 4, tellTheirs, [...]string{
		"The address is a mailing list, and the list does not work.",
		"宛先のメーリングリストが正しく機能していません。"}},

	{3, 0, tellTheirs, [...]string{
		"There is a problem with the recipient's mail system.",
		"相手側のメールシステムに問題があります。"}},
	{3, 1, sendAgain, [...]string{
		"The recipient's mail system has no room left.",
		"相手側のメールシステムの容量が不足しています。"}},
	{3, 2, sendAgain, [...]string{
		"The recipient's mail system takes no messages at present.",
		"相手側のメールシステムは、現在メールを受け付けていません。"}},
	{3, 3, changeContent, [...]string{
		"The recipient's mail system cannot do what the message asks for.",
		"このメールに必要な機能に、相手側のメールシステムが対応していません。"}},
	{3, 4, sendSmaller, [...]string{
		"The message is larger than the recipient's mail system takes.",
		"メールの大きさが、相手側のメールシステムで受け取れる上限を超えています。"}},
	{3, 5, tellTheirs, [...]string{
		"The recipient's mail system is not set up correctly.",
		"相手側のメールシステムの設定に誤りがあります。"}},
	{3, 6, noAdvice, [...]string{ // RFC 6710
		"The message was taken, but with another priority than asked for.",
		"メールは、指定とは異なる優先度で受け付けられました。"}},

	{4, 0, sendAgain, [...]string{
		"There was a problem on the way to the recipient's mail system.",
		"相手側のメールシステムまでの経路に問題がありました。"}},
	{4, 1, sendAgain, [...]string{
		"The recipient's mail system does not answer.",
		"相手側のメールシステムが応答しません。"}},
	{4, 2, sendAgain, [...]string{
		"The connection to the recipient's mail system broke off.",
		"相手側のメールシステムとの接続が途中で切れました。"}},
	{4, 3, sendAgain, [...]string{
		"A directory that tells where the message must go could not be asked.",
		"配信先を調べるための情報を取得できませんでした。"}},
	{4, 4, checkAddress, [...]string{
		"No way to the recipient's mail system could be found.",
		"相手側のメールシステムへの配信経路が見つかりません。"}},
	{4, 5, sendAgain, [...]string{
		"The recipient's mail system has too much to do at present.",
		"相手側のメールシステムが混み合っています。"}},
	{4, 6, tellTheirs, [...]string{
		"The message went round in a circle between mail systems.",
		"メールがサーバーの間で循環してしまいました。"}},
	{4, 7, sendAgain, [...]string{
		"The message could not be delivered within the time allowed.",
		"決められた時間内にメールを配信できませんでした。"}},

	{5, 0, tellOurs, [...]string{
		"The mail systems did not understand each other.",
		"メールシステム間の通信手順に問題がありました。"}},
	{5, 1, tellOurs, [...]string{
		"The recipient's mail system did not accept a command of ours.",
		"当方のサーバーの命令を、相手側のサーバーが受け付けませんでした。"}},
	{5, 2, tellOurs, [...]string{
		"The recipient's mail system did not understand a command of ours.",
		"当方のサーバーの命令を、相手側のサーバーが解釈できませんでした。"}},
	{5, 3, sendFewer, [...]string{
		"The message has too many recipients.",
		"メールの宛先の数が多すぎます。"}},
	{5, 4, tellOurs, [...]string{
		"The recipient's mail system did not accept the details of a command of ours.",
		"当方のサーバーの命令の内容を、相手側のサーバーが受け付けませんでした。"}},
	{5, 5, tellOurs, [...]string{
		"The mail systems speak different versions of their language.",
		"メールシステム間で、通信手順の版が一致しませんでした。"}},
	{5, 6, tellOurs, [...]string{ // RFC 4954
		"Our server's login at the next one was not accepted.",
		"中継先のサーバーへのログインが受け付けられませんでした。"}},

	{6, 0, changeContent, [...]string{
		"Something in the message is not accepted.",
		"メールの内容に、受け付けられない部分があります。"}},
	{6, 1, changeContent, [...]string{
		"The message has a kind of content that the recipient's mail system does not take.",
		"メールに、相手側のメールシステムが対応していない形式の内容が含まれています。"}},
	{6, 2, changeContent, [...]string{
		"The message would have to be converted, and that is not allowed.",
		"配信するにはメールの変換が必要ですが、変換は許可されていません。"}},
	{6, 3, changeContent, [...]string{
		"The message would have to be converted, and that is not possible.",
		"配信するにはメールの変換が必要ですが、変換できません。"}},
	{6, 4, noAdvice, [...]string{
		"The message was converted, and something was lost.",
		"メールは変換され、その際に一部の情報が失われました。"}},
	{6, 5, changeContent, [...]string{
		"The message had to be converted, and that failed.",
		"配信に必要なメールの変換に失敗しました。"}},
	{6, 6, sendAgain, [...]string{ // RFC 4468
		"A part of the message could not be fetched from where it is kept.",
		"メールの一部を、保存先から取得できませんでした。"}},
	{6, 7, askAddress, [...]string{ // RFC 6531
		"The recipient's mail system does not take addresses with such characters.",
		"相手側のメールシステムは、英数字以外の文字を含むアドレスに対応していません。"}},
	{6, 8, askAddress, [...]string{ // RFC 6531
		"The answer of the recipient's mail system has characters that could not be passed on.",
		"相手側のメールシステムの応答に、伝達できない文字が含まれていました。"}},
	{6, 9, changeContent, [...]string{ // RFC 6531
		"The recipient's mail system does not take messages with such characters in their header.",
		"相手側のメールシステムは、英数字以外の文字を直接含むヘッダーに対応していません。"}},
	{6, 10, askAddress, [...]string{ // RFC 6531: as X.6.8
		"The answer of the recipient's mail system has characters that could not be passed on.",
		"相手側のメールシステムの応答に、伝達できない文字が含まれていました。"}},

	{7, 0, askPermission, [...]string{
		"The message was refused for reasons of security.",
		"セキュリティ上の理由により、メールの受け取りが拒否されました。"}},
	{7, 1, askPermission, [...]string{
		"The message was refused by a rule of the recipient or of their mail system.",
		"相手の方、または相手側のメールシステムの規則により、受け取りが拒否されました。"}},
	{7, 2, askPermission, [...]string{
		"You may not send to this mailing list.",
		"このメーリングリストへの投稿は許可されていません。"}},
	{7, 3, tellTheirs, [...]string{
		"The protection of the message would have to be converted, and that is not possible.",
		"メールの保護方式の変換が必要ですが、変換できません。"}},
	{7, 4, tellTheirs, [...]string{
		"The protection that the message needs is not supported on the way.",
		"このメールに必要な保護機能に、配信経路が対応していません。"}},
	{7, 5, tellTheirs, [...]string{
		"The message could not be checked or decrypted: a key is missing or wrong.",
		"鍵がないか誤っているため、メールの検証または復号ができませんでした。"}},
	{7, 6, tellTheirs, [...]string{
		"The message could not be checked or decrypted: its method is not supported.",
		"暗号方式に対応していないため、メールの検証または復号ができませんでした。"}},
	{7, 7, sendAgain, [...]string{
		"The message was changed or damaged on its way.",
		"メールが途中で改変されたか、破損しました。"}},
	{7, 8, tellOurs, [...]string{ // RFC 4954
		"Our server's login at the next one was refused.",
		"中継先のサーバーへのログインが拒否されました。"}},
	{7, 9, tellOurs, [...]string{ // RFC 4954
		"Our server's way of logging in at the next one is too weak for it.",
		"中継先のサーバーが、より安全なログイン方式を求めています。"}},
	{7, 10, tellOurs, [...]string{ // RFC 5248
		"The next server wants an encrypted connection.",
		"中継先のサーバーが、暗号化された接続を求めています。"}},
	{7, 11, tellOurs, [...]string{ // RFC 4954
		"The next server wants an encrypted connection before a login.",
		"中継先のサーバーが、ログインの前に暗号化された接続を求めています。"}},
	{7, 12, tellOurs, [...]string{ // RFC 4954
		"The password of our server at the next one must be renewed.",
		"中継先のサーバーで使うパスワードの更新が必要です。"}},
	{7, 13, tellOurs, [...]string{ // RFC 5248
		"The account of our server at the next one is disabled.",
		"中継先のサーバーで使うアカウントが無効になっています。"}},
	{7, 14, tellOurs, [...]string{ // RFC 5248
		"The next server must first be told to trust another one.",
		"中継先のサーバーに、別のサーバーとの信頼関係の設定が必要です。"}},
	{7, 15, sendAgain, [...]string{ // RFC 6710
		"The priority of the message is too low for the recipient's mail system at present.",
		"メールの優先度が低いため、相手側のメールシステムに受け付けられませんでした。"}},
	{7, 16, sendSmaller, [...]string{ // RFC 6710
		"The message is too large for its priority.",
		"メールの優先度に対して、メールが大きすぎます。"}},
	{7, 17, askAddress, [...]string{ // RFC 7293
		"The mailbox has changed hands since you last knew it.",
		"このメールボックスの所有者が変わっています。"}},
	{7, 18, askAddress, [...]string{ // RFC 7293
		"The domain has changed hands since you last knew it.",
		"このドメインの所有者が変わっています。"}},
	{7, 19, askAddress, [...]string{ // RFC 7293
		"It could not be made sure that the mailbox still has the same owner.",
		"メールボックスの所有者が変わっていないことを確認できませんでした。"}},
	{7, 20, tellOurs, [...]string{ // RFC 7372
		"The message has no valid DKIM signature.",
		"メールに有効な DKIM 署名がありません。"}},
	{7, 21, tellOurs, [...]string{ // RFC 7372
		"The message has no DKIM signature that the other side accepts.",
		"メールに、相手側が認める DKIM 署名がありません。"}},
	{7, 22, tellOurs, [...]string{ // RFC 7372
		"The message has no valid DKIM signature of the author's domain.",
		"メールに、差出人のドメインによる有効な DKIM 署名がありません。"}},
	{7, 23, tellOurs, [...]string{ // RFC 7372
		"The domain of the sender does not allow our server to send its mail (SPF).",
		"差出人のドメインが、当方のサーバーからの送信を許可していません（SPF）。"}},
	{7, 24, tellOurs, [...]string{ // RFC 7372
		"It could not be checked whether our server may send mail of this domain (SPF).",
		"当方のサーバーからの送信が許可されているかどうかを確認できませんでした（SPF）。"}},
	{7, 25, tellOurs, [...]string{ // RFC 7372
		"The name and the network address of our server do not match.",
		"当方のサーバーの名前とネットワークアドレスが一致しません（逆引きの検証）。"}},
	{7, 26, tellOurs, [...]string{ // RFC 7372
		"The message did not pass the other side's checks of where it comes from.",
		"相手側による送信元の検証に、メールが合格しませんでした。"}},
	{7, 27, tellOurs, [...]string{ // RFC 7505
		"The domain of your own address says that it takes no mail, so the other side refuses it.",
		"差出人のドメインがメールを受け付けないと宣言しているため、拒否されました。"}},
	{7, 28, sendAgain, [...]string{ // registered without an RFC
		"Too many messages came at once.",
		"短時間に届いたメールの数が多すぎます。"}},
	{7, 29, tellOurs, [...]string{ // RFC 8617
		"The record of the servers that the message passed is not valid (ARC).",
		"メールの中継記録の検証に失敗しました（ARC）。"}},
	{7, 30, tellTheirs, [...]string{ // RFC 8689
		"You asked for encryption all the way, and a server on the way does not offer it.",
		"全経路での暗号化が指定されていますが、経路上のサーバーが対応していません。"}},
}
