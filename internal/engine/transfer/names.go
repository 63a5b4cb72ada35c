package transfer

import (
	"slices"
	"strings"

	"yubin/internal/mail"
)

// usualNames are what mail programs call the mailboxes of each role, in lower
// case, the best first.
var usualNames = map[mail.Role][]string{
	mail.RoleSent: {"sent", "sent items", "sent messages", "sent mail", "sent-mail", "gesendet", "gesendete objekte",
		"gesendete elemente", "gesendete nachrichten", "送信済み", "送信済みアイテム", "送信済みメール", "送信済みトレイ", "送信箱"},
	mail.RoleDrafts: {"drafts", "draft", "entwürfe", "entwurf", "下書き", "下書きトレイ"},
	mail.RoleTrash: {"trash", "deleted items", "deleted messages", "bin", "papierkorb", "gelöschte objekte", "gelöschte elemente",
		"gelöscht", "ゴミ箱", "ごみ箱", "削除済みアイテム", "削除済みメール", "削除済み"},
	mail.RoleJunk: {"junk", "spam", "junk e-mail", "junk email", "junk-e-mail", "bulk mail", "spamverdacht", "unerwünscht",
		"unerwünschte werbung", "迷惑メール", "迷惑メールトレイ", "スパム"},
	mail.RoleArchive: {"archive", "archives", "archiv", "アーカイブ", "保管"},
}

// assignRoles gives each folder its role: as the source says; for the roles that
// it does not name, by the usual names, at the top or directly below INBOX.
func assignRoles(folders []Folder) {
	named := make(map[mail.Role]bool)
	for i := range folders {
		if r := folders[i].Role; r != "" {
			if named[r] {
				folders[i].Role = ""
			}
			named[r] = true
		}
		if isInbox(folders[i].Levels) {
			folders[i].Role = mail.RoleInbox
		}
	}
	for role, names := range usualNames {
		if named[role] {
			continue
		}
		if i := bestNamed(folders, names); i >= 0 {
			folders[i].Role = role
		}
	}
}

func isInbox(levels []string) bool {
	return len(levels) == 1 && strings.EqualFold(levels[0], string(mail.Inbox))
}

// bestNamed returns the folder with the first of names that one has, or -1.
func bestNamed(folders []Folder, names []string) int {
	best, rank := -1, len(names)
	for i, f := range folders {
		l := f.Levels
		if len(l) == 2 && strings.EqualFold(l[0], string(mail.Inbox)) {
			l = l[1:]
		}
		if len(l) != 1 || f.Role != "" {
			continue
		}
		if n := slices.Index(names, strings.ToLower(l[0])); n >= 0 && n < rank {
			best, rank = i, n
		}
	}
	return best
}

// nameOf makes the name of a mailbox of levels; what a name cannot have becomes
// "_".
func nameOf(levels []string) (mail.MailboxName, error) {
	clean := make([]string, len(levels))
	for i, l := range levels {
		clean[i] = strings.ReplaceAll(l, mail.MailboxSeparator, "_")
	}
	return mail.ParseMailboxName(strings.Join(clean, mail.MailboxSeparator))
}
