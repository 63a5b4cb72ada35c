package mail

import (
	"slices"
	"strings"
)

// usualNames are what mail programs call the mailboxes of each role, in lower case, the
// best first.
var usualNames = map[Role][]string{
	RoleSent: {"sent", "sent items", "sent messages", "sent mail", "sent-mail", "gesendet", "gesendete objekte",
		"gesendete elemente", "gesendete nachrichten", "送信済み", "送信済みアイテム", "送信済みメール", "送信済みトレイ", "送信箱"},
	RoleDrafts: {"drafts", "draft", "entwürfe", "entwurf", "下書き", "下書きトレイ"},
	RoleTrash: {"trash", "deleted items", "deleted messages", "bin", "papierkorb", "gelöschte objekte", "gelöschte elemente",
		"gelöscht", "ゴミ箱", "ごみ箱", "削除済みアイテム", "削除済みメール", "削除済み"},
	RoleJunk: {"junk", "spam", "junk e-mail", "junk email", "junk-e-mail", "bulk mail", "spamverdacht", "unerwünscht",
		"unerwünschte werbung", "迷惑メール", "迷惑メールトレイ", "スパム"},
	RoleArchive: {"archive", "archives", "archiv", "アーカイブ", "保管"},
}

// UsualNames are what mail programs call the mailboxes of a role, in lower case, the best
// first; none for a role whose mailboxes have no usual names.
func UsualNames(r Role) []string { return slices.Clone(usualNames[r]) }

// UsualRole is the role that a mailbox seems to have by its name, at the top or directly
// below INBOX; "" if it tells of none. Mailboxes that have a role need not be called so.
func UsualRole(name MailboxName) Role {
	own := strings.ToLower(string(name))
	own = strings.TrimPrefix(own, strings.ToLower(string(Inbox))+MailboxSeparator)
	for role, names := range usualNames {
		if slices.Contains(names, own) {
			return role
		}
	}
	return ""
}
