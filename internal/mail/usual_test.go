package mail_test

import (
	"testing"

	"yubin/internal/mail"
)

func TestUsualRole(t *testing.T) {
	for name, want := range map[mail.MailboxName]mail.Role{
		"Spam": mail.RoleJunk, "INBOX/Junk E-mail": mail.RoleJunk, "迷惑メール": mail.RoleJunk, "Gelöschte Elemente": mail.RoleTrash,
		"Archive": mail.RoleArchive, "INBOX": "", "Friends": "", "Friends/Spam": "", "INBOX/INBOX/Spam": "", "Spammers": "",
	} {
		if got := mail.UsualRole(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if names := mail.UsualNames(mail.RoleDrafts); len(names) == 0 || names[0] != "drafts" || mail.UsualNames(mail.RoleAll) != nil {
		t.Errorf("names %q", names)
	}
}
