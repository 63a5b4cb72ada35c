package transfer

import (
	"slices"
	"strings"

	"yubin/internal/mail"
)

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
	for _, role := range []mail.Role{mail.RoleSent, mail.RoleDrafts, mail.RoleTrash, mail.RoleJunk, mail.RoleArchive} {
		if named[role] {
			continue
		}
		if i := bestNamed(folders, mail.UsualNames(role)); i >= 0 {
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
